"""Copy files to a host and run scripts on it. Every command of `components/` on a host goes through here.

Each file and each script is one `remote.Command` that travels on its stdin: content, mode and owner are kept, a file
is replaced atomically, and a changed text is an update in place. The helper on the host,
programs/hosts/heat-scaleout.sh, does nothing before a text has arrived completely. The commands have no `delete`, so
that a host that is gone blocks neither `up` nor `destroy`, and no `triggers`, which replace. What must happen when a
host leaves the deployment is an `on_destroy` script: a command of this machine that gives up on a dead host.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components import watch
from components.rendering import render

# A host in its first boot refuses or drops connections for minutes. Retry intervals grow to 5 s: about 8 minutes.
BOOT_DIALS = 100
# Later a host that does not answer is down. The command fails after about half a minute.
DIALS = 12
# Free disk space, in MB, that a new host needs. Packages and an empty database take about 1000 on the front host, 500
# on a node. The rest is for logs and for the next release, which is installed beside the running one.
FREE_MB = 2000

_ROOT = "root"
# The program on a host that puts files and runs scripts: programs/hosts/heat-scaleout.sh.
HELPER = "/usr/local/sbin/heat-scaleout"
_FIRST_LINE = "heat-scaleout-input"


def add_length_header(text: str) -> str:
    """Put the line in front of a text that tells the helper on the host how many bytes to wait for.

    The length travels with the text and not on a command line, because it reveals something about a secret.
    """
    return f"{_FIRST_LINE} {len(text.encode())}\n{text}"


def remove_length_header(stdin: str) -> str:
    """Undo `add_length_header`; a text without that line is returned unchanged."""
    first, _, text = stdin.partition("\n")
    return text if first.startswith(f"{_FIRST_LINE} ") else stdin


@dataclass(frozen=True, kw_only=True)
class Jump:
    """A jump host on the way to another host, with the same private key.

    Attributes:
        address: where this machine reaches it.
        host_key: its public key, "ssh-ed25519 AAAA…", which is verified.
        user: whom to log in as.
        port: its sshd's port.
    """

    address: pulumi.Input[str]
    host_key: pulumi.Input[str]
    user: str = _ROOT
    port: int = 22


@dataclass(frozen=True, kw_only=True)
class Login:
    """How to log in to a host.

    Attributes:
        host_key: the host's public key, "ssh-ed25519 AAAA…", which is verified.
        private_key: in OpenSSH's format. None: the ssh agent at $SSH_AUTH_SOCK has the key. The socket's path is not
            stored, because it differs in each session and a changed login runs every command again.
        user: whom to log in as.
        port: the host's sshd's port.
        jump: the jump host, if any.
    """

    host_key: pulumi.Input[str]
    private_key: pulumi.Input[str] | None = None
    user: str = _ROOT
    port: int = 22
    jump: Jump | None = None


class Host:
    """A host, and how files and scripts get there. The first command waits for its boot.

    Args:
        name: the prefix of its resources' names, such as "node-1".
        address: the IPv4 address at which the deployment's hosts reach it and its services listen.
        login: how to log in.
        parent: the component that the host belongs to.
        machine: the resource that is the machine itself. When it is replaced, the host is set up again. A host without
            this resource booted long ago, and no command waits for its boot.
        identity: the machine's identifier, if another machine can take its place without a replacement in Pulumi's
            state, as when it was found deleted. A new value runs every command again.
        generation: a new value runs every command again, because the host may have changed behind Pulumi's back.
        public_address: where this machine and clients reach it, if not at `address`.
        route_to: the address of another host. `source_address` becomes the one from which this host connects there.
        after: resources that must exist before the first login.

    Attributes:
        name: as given.
        address: as given.
        public_address: as given, or `address`.
        source_address: the address that other hosts see in this host's connections.
        ready: the resource that exists when the host has been checked and has the helper.
    """

    def __init__(
        self,
        name: str,
        *,
        address: str,
        login: Login,
        parent: pulumi.Resource,
        machine: pulumi.Resource | None = None,
        identity: pulumi.Input[str] | None = None,
        generation: int = 1,
        public_address: pulumi.Input[str] | None = None,
        route_to: str = "",
        after: Sequence[pulumi.Resource] = (),
    ) -> None:
        self.name = name
        self.address = address
        self.public_address = pulumi.Output.from_input(address if public_address is None else public_address)
        self._login = login
        self._machine = [machine] if machine else []
        self._boots_on_its_own = identity is not None
        # Shell comments: the same commands in a changed text run again.
        self._rerun_comments = [
            *([] if identity is None else [" # machine ", identity]),
            *([f" # generation {generation}"] if generation > 1 else []),
        ]
        self._sudo = "" if login.user == _ROOT else "sudo -n "
        self._required: list[pulumi.Resource] = self._machine
        self.ready = self._command(
            "ready",
            # As the user that logs in: the script itself checks whether that user may become root.
            "sh -s",
            stdin=render("scripts/ready.sh.j2", name=name, address=address, free_mb=FREE_MB, route_to=route_to),
            parent=parent,
            after=after,
            dials=self._first_dials(),
        )
        self._required = [self.ready]
        self.source_address = pulumi.Output.from_input(address)
        if route_to:
            self.source_address = pulumi.Output.unsecret(
                self.ready.stdout.apply(lambda stdout: stdout.strip().rpartition("\n")[2] or address)
            )

    @property
    def port(self) -> int:
        """Its sshd's port."""
        return self._login.port

    @property
    def direct(self) -> bool:
        """Whether this machine logs in without a jump host."""
        return self._login.jump is None

    def warn_if_silent(self) -> None:
        """Log a warning if the host does not answer SSH; not in a preview, and not for a host behind a jump host.

        A host that this run creates is tested once its machine exists, a VM once it has booted.
        """
        if pulumi.runtime.is_dry_run():
            return
        jump = self._login.jump
        if jump is None and not self._machine:
            watch.warn_if_silent(self.name, self.address, self.port)
        elif jump is None:
            created = self.ready if self._boots_on_its_own else self._machine[0]
            pulumi.Output.all(self.public_address, created.urn, getattr(created, "id", "")).apply(
                lambda known: watch.warn_if_silent(self.name, known[0], self.port)
            )
        elif isinstance(jump.address, str):
            watch.warn_if_silent("the jump host", jump.address, jump.port)

    def _first_dials(self) -> int:
        """How many failed logins the first command retries."""
        # Behind a jump host the provider retries on the connection that has just failed, and then reports only "EOF".
        # Only the first attempt reports a wrong key.
        if self._login.jump:
            return 0
        return BOOT_DIALS if self._machine else DIALS

    def require(self, resources: Sequence[pulumi.Resource]) -> None:
        """Run every further file and script on this host after these resources."""
        self._required += resources

    def file(
        self,
        name: str,
        path: str,
        content: pulumi.Input[str],
        *,
        parent: pulumi.Resource,
        after: Sequence[pulumi.Resource] = (),
        mode: str = "0644",
        owner: str = "root:root",
        check: str = "",
    ) -> command.remote.Command:
        """Create or replace a file.

        Args:
            name: the resource is called <host>-<name>.
            path: on the host. Missing directories are created.
            content: the text. A secret stays a secret in the state and in previews.
            parent: the component that the file belongs to.
            after: resources that must exist before.
            mode: octal, four digits.
            owner: "user:group".
            check: a shell command on the host. Its argument is the new content's path; if it fails, the old file stays.

        Returns:
            The resource, which exists when the file does.
        """
        words = " ".join(map(shlex.quote, (path, mode, owner)))
        return self._command(
            name,
            self._helper_command(f"put {words} {check}".rstrip()),
            stdin=pulumi.Output.from_input(content).apply(add_length_header),
            parent=parent,
            after=after,
        )

    def script(
        self,
        name: str,
        text: pulumi.Input[str],
        *,
        parent: pulumi.Resource,
        after: Sequence[pulumi.Resource] = (),
        show_output: bool = False,
    ) -> command.remote.Command:
        """Run a POSIX shell script as root, and again whenever its text changes. It must be idempotent.

        Args:
            name: the resource is called <host>-<name>.
            text: the script.
            parent: the component that the script belongs to.
            after: resources that must exist before.
            show_output: show the operator its stdout, and not only its errors.

        Returns:
            The resource, which exists when the script has succeeded. Its `stdout` is the script's output, a secret.
        """
        stdin = pulumi.Output.from_input(text).apply(add_length_header)
        create = self._helper_command(f"run {shlex.quote(name)}")
        return self._command(name, create, stdin=stdin, parent=parent, after=after, show_output=show_output)

    def limit_memory(
        self, unit: str, size: str, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
    ) -> command.remote.Command:
        """Limit the memory of a unit that a package installs. The unit's own script applies it: memory.inc.sh.

        Args:
            unit: such as "rabbitmq-server".
            size: systemd's MemoryMax=, such as "2G".
            parent: the component that the unit belongs to.
            after: resources that must exist before.
        """
        path = f"/etc/systemd/system/{unit}.service.d/heat-scaleout-memory.conf"
        return self.file(
            f"{unit}-memory", path, render("scripts/memory.conf.j2", size=size), parent=parent, after=after
        )

    def _helper_command(self, words: str) -> str:
        """A command line for the helper on the host, with a message if the host has no helper any more."""
        lost = (
            f"{self.name} ({self.address}) has no {HELPER} any more: the host seems to have been reinstalled. "
            "To set it up again, type: make repair STACK= and the name of the stack"
        )
        say = f"[ -e {HELPER} ] || echo {shlex.quote(lost)} >&2"
        return f"{self._sudo}heat-scaleout {words} || {{ code=$?; {say}; exit $code; }}"

    def on_destroy(
        self,
        name: str,
        text: str,
        *,
        if_unreachable: str,
        parent: pulumi.Resource,
        after: Sequence[pulumi.Resource] = (),
    ) -> command.local.Command:
        """Run a script as root when the host leaves the deployment: in a `destroy`, or when its node is removed.

        A host that cannot be reached or was reinstalled is reported and left unchanged. A failing script is an error.

        Args:
            name: the resource is called <host>-<name>.
            text: the script. It must be idempotent and contain no secrets.
            if_unreachable: a message: what stays on a host that cannot be reached, and how to remove it.
            parent: the component that the script belongs to.
            after: resources that must still exist when the script runs.

        Returns:
            The resource that runs the script when Pulumi deletes it.
        """
        login, jump = self._login, self._login.jump
        jump_values = [jump.address, jump.host_key] if jump else []
        lost = (
            f"{self.name} ({self.address}) has no {HELPER}, as after a reinstallation, and is left as it is: "
            f"{if_unreachable}"
        )
        # The template adds the newline after the script.
        stdin = add_length_header(f"{text}\n").removesuffix("\n")
        script = pulumi.Output.all(self.public_address, login.host_key, *jump_values).apply(
            lambda known: render(
                "scripts/teardown.sh.j2",
                name=self.name,
                host=known[0],
                port=login.port,
                user=login.user,
                host_key=known[1],
                jump=jump,
                jump_host=known[2] if jump else "",
                jump_key=known[3] if jump else "",
                command=f"[ -e {HELPER} ] || {{ echo {shlex.quote(lost)} >&2; exit 0; }}; "
                f"{self._sudo}heat-scaleout run {shlex.quote(name)}",
                script=stdin,
                if_unreachable=if_unreachable,
            )
        )
        return command.local.Command(
            f"{self.name}-{name}",
            create="sh -s create",
            delete="sh -s delete",
            stdin=script,
            environment={"PRIVATE_KEY": pulumi.Output.secret(login.private_key)} if login.private_key else None,
            logging=command.local.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=parent,
                depends_on=[*self._required, *after],
                replace_with=self._machine,
                # When a machine is replaced, its script runs while it still exists, and never on its replacement.
                delete_before_replace=True,
            ),
        )

    def _command(
        self,
        name: str,
        create: str,
        *,
        stdin: pulumi.Input[str],
        parent: pulumi.Resource,
        after: Sequence[pulumi.Resource],
        dials: int = DIALS,
        show_output: bool = False,
    ) -> command.remote.Command:
        login, jump = self._login, self._login.jump
        return command.remote.Command(
            f"{self.name}-{name}",
            connection=command.remote.ConnectionArgs(
                host=self.public_address,
                port=login.port,
                user=login.user,
                private_key=login.private_key,
                host_key=login.host_key,
                dial_error_limit=dials,
                proxy=command.remote.ProxyConnectionArgs(
                    host=jump.address,
                    port=jump.port,
                    user=jump.user,
                    private_key=login.private_key,
                    host_key=jump.host_key,
                    dial_error_limit=dials or DIALS,
                )
                if jump
                else None,
            ),
            create=pulumi.Output.concat(create, *self._rerun_comments) if self._rerun_comments else create,
            stdin=stdin,
            # stdout may repeat secrets from the script, so it stays out of logs and of the state's plain text.
            logging=command.remote.Logging.STDOUT if show_output else command.remote.Logging.NONE,
            # sshd refuses foreign environment variables by default.
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=parent,
                depends_on=[*self._required, *after],
                replace_with=self._machine,
                deleted_with=self._machine[0] if self._machine else None,
                additional_secret_outputs=["stdout", "stderr"],
            ),
        )
