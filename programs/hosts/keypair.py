"""Print an ed25519 key pair without writing a file: the private key in OpenSSH's format, then the public key."""

import sys

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
except ModuleNotFoundError:
    sys.exit(
        "python3 is not the interpreter of the project's .venv, which has the package cryptography; type: . ./env.sh"
    )

key = Ed25519PrivateKey.generate()
private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
sys.stdout.write(f"{private.decode()}{public.decode()}\n")
