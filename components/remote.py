"""How a file or a script reaches a host: the only place that knows.

Everything travels on stdin of one `remote.Command` each: content, mode and owner are kept, a file is replaced
atomically, and a changed text is an update in place. The far end, programs/hosts/heat-scaleout.sh, does nothing
before all of a text has arrived. None of them has a `delete`, so that a host that is gone blocks neither `up` nor
`destroy`; nothing has `triggers`, which replace. What is to be done when a host leaves is a farewell:
a command of this machine, which gives up on a dead host.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components import watch
from components.rendering import render

# A host in its first boot refuses or drops connections for minutes: retries grow to 5 s each, so this is about 8.
BOOT_DIALS = 100
# Afterwards a host that does not answer is down, and is said to be after about half a minute.
DIALS = 12
# What a new host must have free, in MB. Packages and an empty database are about 1000 on the front host, 500 on a node;
# the rest is for logs and for the next release, which is installed beside the one that runs.
FREE_MB = 2000

_ROOT = "root"
_HAND = "/usr/local/sbin/heat-scaleout"
_FIRST_LINE = "heat-scaleout-input"


def framed(text: str) -> str:
    """A text as the far end takes it: it does nothing before as much has arrived as the first line says.

    The length travels with the text, not on a command line: of a secret it is a part.
    """
    return f"{_FIRST_LINE} {len(text.encode())}\n{text}"


def unframed(stdin: str) -> str:
    """The text of what `framed` has made; any other text as it is."""
    first, _, text = stdin.partition("\n")
    return text if first.startswith(f"{_FIRST_LINE} ") else stdin


@dataclass(frozen=True, kw_only=True)
class Jump:
    """A host on the way to another one, which takes the same key. Its own `host_key` is verified as well."""

    address: pulumi.Input[str]
    host_key: pulumi.Input[str]
    user: str = _ROOT
    port: int = 22


@dataclass(frozen=True, kw_only=True)
class Login:
    """How to log in to a host: `host_key` is its public key, "ssh-ed25519 AAAA…", and is verified.

    Without a `private_key` the ssh agent is asked, where $SSH_AUTH_SOCK says. Its socket is not kept in the login: it
    is another one in each session, and a changed login runs every command again.
    """

    host_key: pulumi.Input[str]
    private_key: pulumi.Input[str] | None = None
    user: str = _ROOT
    port: int = 22
    jump: Jump | None = None


class Host:
    """A host that has booted and takes files and scripts.

    Args:
        name: what its resources are called after, such as "node-1".
        address: where it is reached, and where its services listen.
        login: how to log in.
        parent: the component that the host belongs to.
        machine: the resource that stands for the machine itself; when it is replaced, the host is set up again. A host
            without one has booted long ago, and is not waited for.
        identity: tells the machine from any before it, where another one may take its place without replacing it in
            Pulumi's eyes, as when it was found to be gone. Another one has everything run again.
        generation: another number than before has everything run again, as the host may no longer be as it was left.
        outside: where it is reached from outside its network, by this program and by clients, if not at its address.
        toward: an address of another host. This one is asked from which of its addresses it goes there.
        after: what must be done before it is logged in to.
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
        outside: pulumi.Input[str] | None = None,
        toward: str = "",
        after: Sequence[pulumi.Resource] = (),
    ) -> None:
        self.name = name
        self.address = address
        self.outside = pulumi.Output.from_input(address if outside is None else outside)
        self._login = login
        self._machine = [machine] if machine else []
        self._booting = identity is not None
        # Comments for the shell: what runs is the same, and its text is another one.
        self._marks = [
            *([] if identity is None else [" # machine ", identity]),
            *([f" # generation {generation}"] if generation > 1 else []),
        ]
        self._sudo = "" if login.user == _ROOT else "sudo -n "
        self._first: list[pulumi.Resource] = self._machine
        self.ready = self._command(
            "ready",
            # As the user that logs in: whether that one may become root is for the script to find out.
            "sh -s",
            stdin=render("scripts/ready.sh.j2", name=name, address=address, free_mb=FREE_MB, toward=toward),
            parent=parent,
            after=after,
            dials=self._first_dials(),
        )
        self._first = [self.ready]
        # Where other hosts see it come from: of several addresses it may not be the one that its services have.
        self.source = pulumi.Output.from_input(address)
        if toward:
            self.source = pulumi.Output.unsecret(
                self.ready.stdout.apply(lambda told: told.strip().rpartition("\n")[2] or address)
            )

    @property
    def port(self) -> int:
        """Where its sshd listens."""
        return self._login.port

    @property
    def direct(self) -> bool:
        """Whether it is logged in to without a jump host."""
        return self._login.jump is None

    def watch(self) -> None:
        """Have it named by a warning, should it be silent; not in a preview. One behind a jump host is not seen.

        A host that is made in this very run is not there before it is made, and a VM not before it has booted.
        """
        if pulumi.runtime.is_dry_run():
            return
        jump = self._login.jump
        if jump is None and not self._machine:
            watch.name_silent(self.name, self.address, self.port)
        elif jump is None:
            there = self.ready if self._booting else self._machine[0]
            pulumi.Output.all(self.outside, there.urn, getattr(there, "id", "")).apply(
                lambda known: watch.name_silent(self.name, known[0], self.port)
            )
        elif isinstance(jump.address, str):
            watch.name_silent("the jump host", jump.address, jump.port)

    def _first_dials(self) -> int:
        """How often the first command fails to log in before it is said why."""
        # Behind a jump host the provider tries again on the connection that has just failed, and what it then reports
        # is "EOF": only the first attempt tells a wrong key.
        if self._login.jump:
            return 0
        return BOOT_DIALS if self._machine else DIALS

    def use_after(self, others: Sequence[pulumi.Resource]) -> None:
        """Run nothing more here before all of these are done."""
        self._first += others

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
        """Put a file in place.

        Args:
            name: the resource is called <host>-<name>.
            path: where on the host; missing directories are made.
            content: the text; where it is secret it stays so in state and in previews.
            parent: the component the file belongs to.
            after: what must be done before.
            mode: octal, four digits.
            owner: "user:group".
            check: a shell command on the host that is given the new file's path and refuses it by failing.
        """
        words = " ".join(map(shlex.quote, (path, mode, owner)))
        return self._command(
            name,
            self._told(f"put {words} {check}".rstrip()),
            stdin=pulumi.Output.from_input(content).apply(framed),
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
        shown: bool = False,
    ) -> command.remote.Command:
        """Run a POSIX shell script as root, again whenever its text changes. It must be safe to run twice.

        Args:
            name: the resource is called <host>-<name>.
            text: the script.
            parent: the component the script belongs to.
            after: what must be done before.
            shown: the operator sees what it prints, and not only when it fails.
        """
        stdin = pulumi.Output.from_input(text).apply(framed)
        create = self._told(f"run {shlex.quote(name)}")
        return self._command(name, create, stdin=stdin, parent=parent, after=after, shown=shown)

    def _told(self, words: str) -> str:
        """A command for the far end, which says so where a host has it no more."""
        lost = (
            f"{self.name} ({self.address}) has no {_HAND} any more: the host seems to have been reinstalled. "
            "To set it up again, type: make repair STACK= and the name of the stack"
        )
        say = f"[ -e {_HAND} ] || echo {shlex.quote(lost)} >&2"
        return f"{self._sudo}heat-scaleout {words} || {{ code=$?; {say}; exit $code; }}"

    def on_destroy(
        self, name: str, text: str, *, undone: str, parent: pulumi.Resource, after: Sequence[pulumi.Resource] = ()
    ) -> command.local.Command:
        """Have a script run as root when the host leaves the deployment: by `destroy`, or as a node too many.

        A host that cannot be reached, or that was reinstalled, is told and left as it is; a script that fails is an
        error.

        Args:
            name: the resource is called <host>-<name>.
            text: the script. It must be safe to run twice, and it has no secrets.
            undone: what stays as it is on a host that cannot be reached, and what to do about it.
            parent: the component that the farewell belongs to.
            after: what has to be there still when it runs.
        """
        login, jump = self._login, self._login.jump
        way = [jump.address, jump.host_key] if jump else []
        lost = f"{self.name} ({self.address}) has no {_HAND}, as after a reinstallation, and is left as it is: {undone}"
        # The template ends the line after the script.
        framed_text = framed(f"{text}\n").removesuffix("\n")
        script = pulumi.Output.all(self.outside, login.host_key, *way).apply(
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
                command=f"[ -e {_HAND} ] || {{ echo {shlex.quote(lost)} >&2; exit 0; }}; "
                f"{self._sudo}heat-scaleout run {shlex.quote(name)}",
                script=framed_text,
                undone=undone,
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
                depends_on=[*self._first, *after],
                replace_with=self._machine,
                # A machine that is replaced is taken leave of while it is there; never the one that takes its place.
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
        shown: bool = False,
    ) -> command.remote.Command:
        login, jump = self._login, self._login.jump
        return command.remote.Command(
            f"{self.name}-{name}",
            connection=command.remote.ConnectionArgs(
                host=self.outside,
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
            create=pulumi.Output.concat(create, *self._marks) if self._marks else create,
            stdin=stdin,
            # stdout may repeat what a script was told, and stays out of logs and plain state for that.
            logging=command.remote.Logging.STDOUT if shown else command.remote.Logging.NONE,
            # sshd refuses foreign environment variables by default.
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=parent,
                depends_on=[*self._first, *after],
                replace_with=self._machine,
                deleted_with=self._machine[0] if self._machine else None,
                additional_secret_outputs=["stdout", "stderr"],
            ),
        )
