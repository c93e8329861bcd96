"""Secrets that nobody has to invent: made once on the operator's machine, kept encrypted in the stack's state.

Each is a resource of its own, made by its name's first `up` and unchanged ever after; to make a new one, replace it:
`pulumi up --target-replace URN --target-dependents`. A protected one cannot be lost by a `destroy` that was a mistake.
"""

from __future__ import annotations

import shlex

import pulumi
import pulumi_command as command

from components.rendering import program_text

# Whatever of a secret's recipe changes, the secret does not: a later run repeats what the first one made.
_KEEP = 'printf %s "$PULUMI_COMMAND_STDOUT"'


def _generated(name: str, create: str, parent: pulumi.Resource, *, protect: bool) -> pulumi.Output[str]:
    made = command.local.Command(
        name,
        create=create,
        update=_KEEP,
        logging=command.local.Logging.NONE,
        opts=pulumi.ResourceOptions(
            parent=parent, protect=protect or None, additional_secret_outputs=["stdout", "stderr"]
        ),
    )
    return pulumi.Output.secret(made.stdout)


class KeyPair:
    """An ed25519 key pair: `private_key` in OpenSSH's format, `public_key` as "ssh-ed25519 AAAA…" (not a secret)."""

    def __init__(self, name: str, parent: pulumi.Resource, *, protect: bool = False) -> None:
        # ssh-keygen would write files. Not this interpreter by its path: another checkout would be another text.
        create = shlex.join(["python3", "-I", "-c", program_text("hosts/keypair.py")])
        both = _generated(name, create, parent, protect=protect)
        self.private_key = both.apply(lambda text: text.rpartition("ssh-ed25519 ")[0])
        self.public_key = pulumi.Output.unsecret(
            both.apply(lambda text: "ssh-ed25519 " + text.rpartition("ssh-ed25519 ")[2].strip())
        )


def password(name: str, parent: pulumi.Resource, *, protect: bool = False) -> pulumi.Output[str]:
    """32 hexadecimal digits, 128 bits: good in URLs, INI files, SQL and as Heat's auth_encryption_key."""
    return _generated(name, "od -An -N16 -tx1 /dev/urandom | tr -d ' \\n'", parent, protect=protect)
