"""Generated secrets: created once on the operator's machine and stored encrypted in the stack's state.

Each secret is a resource, created by the first `up` and never changed afterwards. To create a new one, replace it:
`pulumi up --target-replace URN --target-dependents`. A protected secret survives an accidental `destroy`.
"""

from __future__ import annotations

import shlex

import pulumi
import pulumi_command as command

from components.rendering import program_text

# If the command changes, the secret stays: a later run prints the first run's output.
_KEEP = 'printf %s "$PULUMI_COMMAND_STDOUT"'


def _generated(name: str, create: str, parent: pulumi.Resource, *, protect: bool) -> pulumi.Output[str]:
    generated = command.local.Command(
        name,
        create=create,
        update=_KEEP,
        logging=command.local.Logging.NONE,
        opts=pulumi.ResourceOptions(
            parent=parent, protect=protect or None, additional_secret_outputs=["stdout", "stderr"]
        ),
    )
    return pulumi.Output.secret(generated.stdout)


class KeyPair:
    """A generated ed25519 key pair.

    Attributes:
        private_key: in OpenSSH's format, a secret.
        public_key: "ssh-ed25519 AAAA…", not a secret.
    """

    def __init__(self, name: str, parent: pulumi.Resource, *, protect: bool = False) -> None:
        # ssh-keygen would write files. The interpreter has no path, so that all checkouts have the same command.
        create = shlex.join(["python3", "-I", "-c", program_text("hosts/keypair.py")])
        both = _generated(name, create, parent, protect=protect)
        self.private_key = both.apply(lambda text: text.rpartition("ssh-ed25519 ")[0])
        self.public_key = pulumi.Output.unsecret(
            both.apply(lambda text: "ssh-ed25519 " + text.rpartition("ssh-ed25519 ")[2].strip())
        )


def password(name: str, parent: pulumi.Resource, *, protect: bool = False) -> pulumi.Output[str]:
    """A generated password, a secret: 32 hexadecimal digits (128 bits).

    It needs no quoting in URLs, INI files and SQL, and is valid as Heat's auth_encryption_key.

    Args:
        name: of the resource.
        parent: the component that the password belongs to.
        protect: protect the resource from deletion.
    """
    return _generated(name, "od -An -N16 -tx1 /dev/urandom | tr -d ' \\n'", parent, protect=protect)
