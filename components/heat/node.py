"""A host that runs Heat: installed, configured, its processes started, and stopped when the plan drops them.

The phases are methods, because other hosts' phases come between them: what every node has must be there before the
schema is synced, every process must run before the proxy sends it requests, and one that goes must leave the proxy
first.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias

import pulumi

from components.heat import heat_conf
from components.heat.heat_conf import Deployment, Options
from components.heat.install import PROGRAM, Release, refuse_mixed
from components.heat.overrides import Overrides
from components.memory import USUAL, Memory
from components.proxy.monitor import Monitor
from components.remote import Host
from components.rendering import program_text, render
from components.topology import APIS, Kind, Process, of_kind, rolling_batches

# How long a process may take from its start to its first answer. It takes 6 s on a small machine.
_START_TIMEOUT = 120
_CONSUMERS = "/usr/local/lib/heat-scaleout/broker_consumers.py"
_MESSAGING = "/usr/local/lib/heat-scaleout/messaging_options.py"
_CHECK_POLICY = "/usr/local/lib/heat-scaleout/check_policy.py"
_ENCRYPTED = "/usr/local/lib/heat-scaleout/encrypted.py"
_SCHEMA = "/usr/local/lib/heat-scaleout/schema.py"
_ENGINE = "/usr/local/lib/heat-scaleout/engine.py"
_PACE = "/usr/local/lib/heat-scaleout/pace.py"
_API = "/usr/local/lib/heat-scaleout/api.py"
_MEMBERS = "/usr/local/lib/heat-scaleout/members.py"
_WORK = "/usr/local/lib/heat-scaleout/engine_work.py"


@dataclass(frozen=True, kw_only=True)
class ApiServer:
    """How much one API process serves at once: `processes` times `threads` requests under uWSGI.

    With `console` it is Heat's own program instead, whose processes have as many threads as they need.
    `max_body` and `max_header` are what a request may have at most, in bytes. `extra` are lines of uWSGI's own.
    """

    processes: int = 1
    threads: int = 8
    console: bool = False
    max_body: int = 0
    max_header: int = 0
    extra: tuple[str, ...] = ()

    @property
    def at_once(self) -> int:
        """How many requests one API serves at once; 0 where it has no limit of its own."""
        return 0 if self.console else self.processes * self.threads


# Takes the revisions of the database's schema ("current" and "newest") and the release that is to run; returns the path
# of the dump, "" where none was needed.
Dump: TypeAlias = "Callable[[pulumi.Output[Mapping[str, str | None]], str], pulumi.Output[str]]"


class MixedReleasesError(pulumi.RunError):
    """Engines that cannot share a broker's vhost."""


def _unit_path(kind: Kind) -> str:
    return f"/etc/systemd/system/{kind.value}@.service"


def _uwsgi_path(kind: Kind) -> str:
    return f"{heat_conf.CONF_DIR}/uwsgi-{kind.value}.ini"


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


class HeatNode(pulumi.ComponentResource):
    """One host's Heat.

    Attributes:
        installed: done when this release of Heat is there.
        release: what has been installed, as the host tells it.
        python: Heat's own, on the host.
        files: what must be in place before a process starts.
        digest: of all of them.
        memory: what each unit may use here.
    """

    installed: pulumi.Resource
    release: pulumi.Output[Release]
    python: str
    files: list[pulumi.Resource]
    digest: pulumi.Output[str]
    memory: Memory

    def __init__(
        self,
        name: str,
        *,
        host: Host,
        deployment: Deployment,
        public: pulumi.Input[Options],
        secret: pulumi.Input[Options],
        api_server: ApiServer,
        overrides: Overrides,
        proxy: str = "",
        monitor: Monitor | None = None,
        memory: Memory = USUAL,
        more: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Install Heat and put the files of the node in place.

        Args:
            name: the component's name.
            host: where.
            deployment: which release, and how long things may take.
            public: heat.conf's options.
            secret: those of secrets.conf.
            api_server: how much one API process serves at once.
            overrides: what an operator says otherwise.
            proxy: the only address from which requests come; "" where that is not known beforehand.
            monitor: of the proxy, where the APIs cannot be told by it what it makes of them.
            memory: what each process may use.
            more: files that heat.conf names, each text by its path; every process reads them.
            opts: of the component.
        """
        super().__init__("heat:node:HeatNode", name, {}, opts)
        # No secret any more, and a preview shows what is retired.
        self._broker = pulumi.Output.unsecret(
            pulumi.Output.from_input(secret).apply(lambda known: heat_conf.broker(known["DEFAULT"]["transport_url"]))
        )
        self._more = dict(more or {})
        self.host = host
        self._deployment = deployment
        self.memory = memory
        self._overrides = overrides
        self._install = deployment.install
        self._api_server = api_server
        self._texts: dict[str, pulumi.Output[str]] = {}
        self.files = []
        self._shared = {
            "prefix": deployment.prefix,
            "address": host.address,
            "node": host.name,
            "workers": deployment.engine_workers,
            "consumers": _CONSUMERS,
            "work": _WORK,
            "members": _MEMBERS,
            "drain_timeout": deployment.timeouts.api_stop,
            "finish_timeout": deployment.timeouts.engine_graceful,
            "conf": heat_conf.CONF,
            "secrets": heat_conf.SECRETS,
            "proxy": proxy,
            "monitor": monitor,
            "console": api_server.console,
            "start_timeout": _START_TIMEOUT,
            "kinds": [kind.value for kind in Kind],
        }
        self.python = f"{deployment.prefix}/bin/python"
        self.installed = self._installed()
        self._configure(public, secret)
        self.digest = self._digest(self._texts)

    def _installed(self) -> pulumi.Resource:
        program = program_text("heat/installed.py")
        files = [
            self.host.file("installed-program", PROGRAM, program, parent=self),
            *(self.host.file(name, path, text, parent=self) for name, (path, text) in self._install.files().items()),
        ]
        done = self.host.script("install", self._install.script(), parent=self, after=files)
        # Nothing in it is a secret, and heat.conf, which depends on it, is to be seen in a preview.
        self.release = pulumi.Output.unsecret(done.stdout.apply(Release.told))
        return done

    def _configure(self, public: pulumi.Input[Options], secret: pulumi.Input[Options]) -> None:
        deployment, prefix = self._deployment, self._deployment.prefix
        otherwise = self._overrides
        checker = self.host.file(
            "check-options",
            f"{prefix}/check-options",
            render("heat/check-options.sh.j2", prefix=prefix, title=self._install.title, allowed=otherwise.allowed),
            mode="0755",
            parent=self,
            after=[self.installed],
        )
        self._check = f"{prefix}/check-options"
        self._after_check: list[pulumi.Resource] = [checker]
        # Known beforehand of a release that has a list of packages here: its heat.conf is shown in the first preview.
        ec2_login = self._install.locked or self.release.apply(lambda release: release.ec2_login)
        self._file(
            "heat-conf",
            heat_conf.CONF,
            pulumi.Output.all(public, otherwise.public.on_node(self.host.name), ec2_login).apply(
                lambda known: render(
                    "heat/options.conf.j2",
                    purpose="Heat's options on every node; what is secret stands in secrets.conf.",
                    options=heat_conf.known_to(heat_conf.merge(*known[:2]), ec2_login=known[2]),
                )
            ),
            check=self._check,
        )
        self._file(
            "secrets-conf",
            heat_conf.SECRETS,
            pulumi.Output.all(pulumi.Output.secret(secret), otherwise.secret.on_node(self.host.name), ec2_login).apply(
                lambda known: render(
                    "heat/options.conf.j2",
                    purpose="What Heat must know and others must not; read after heat.conf.",
                    options=heat_conf.known_to(heat_conf.merge(*known[:2]), ec2_login=known[2]),
                )
            ),
            mode="0640",
            owner="root:heat",
            check=self._check,
        )
        for path, text in self._more.items():
            self._file(path.rpartition("/")[2].replace(".", "-"), path, text)
        self._after_check.append(
            self.host.file("check-policy", _CHECK_POLICY, program_text("heat/check_policy.py"), parent=self)
        )
        self._file(
            "policy",
            heat_conf.POLICY,
            render("heat/policy.yaml.j2", rules=otherwise.policy),
            check=f"{self.python} {_CHECK_POLICY}",
        )
        self._file("engine-program", _ENGINE, program_text("heat/engine.py"))
        self._file("engine-pace", _PACE, program_text("heat/pace.py"))
        self._file("engine-work", _WORK, program_text("heat/engine_work.py"))
        self._file("broker-consumers", _CONSUMERS, program_text("heat/broker_consumers.py"))
        self._file("members-program", _MEMBERS, program_text("heat/members.py"))
        if not self._api_server.console:
            self._file("api-program", _API, program_text("heat/api.py"))
        for kind in Kind:
            if self._under_uwsgi(kind):
                self._file(
                    f"{kind.value}-uwsgi",
                    _uwsgi_path(kind),
                    render(
                        "heat/uwsgi.ini.j2",
                        kind=kind.value,
                        title=APIS[kind].title,
                        application=self._install.application(kind),
                        address=self.host.address,
                        timeouts=deployment.timeouts,
                        processes=self._api_server.processes,
                        threads=self._api_server.threads,
                        extra=self._api_server.extra,
                        max_body=self._api_server.max_body,
                        proxy=self._shared["proxy"],
                    ),
                )
            self._file(
                f"{kind.value}-unit",
                _unit_path(kind),
                render(
                    f"heat/{self._unit_template(kind)}@.service.j2",
                    title=APIS[kind].title if kind in APIS else None,
                    prefix=prefix,
                    files=[*self._more, *self._copies(kind, "%p@%i", "").values()],
                    timeouts=deployment.timeouts,
                    members=_MEMBERS,
                    node=self.host.name,
                    memory=self.memory.of(kind),
                    checks_per_stack=deployment.checks_per_stack,
                ),
            )

    @property
    def _console_processes(self) -> int | None:
        return self._api_server.processes if self._api_server.console else None

    def _under_uwsgi(self, kind: Kind) -> bool:
        return kind in APIS and not self._api_server.console

    def _unit_template(self, kind: Kind) -> str:
        return "engine" if kind not in APIS else "api" if self._under_uwsgi(kind) else "console-api"

    def _read(self, kind: Kind) -> list[str]:
        """The files that every process of a kind reads here, beside its own."""
        files = [heat_conf.CONF, heat_conf.SECRETS, *self._more, heat_conf.POLICY, _unit_path(kind)]
        if kind not in APIS:
            return [*files, _ENGINE, _PACE]
        return [*files, _uwsgi_path(kind), _API] if self._under_uwsgi(kind) else files

    def _copies(self, kind: Kind, unit: str, conf: str) -> dict[str, str]:
        """The files that a process has copies of, by their paths; those that heat.conf names by theirs it has not.

        Args:
            kind: of the process.
            unit: its unit, or what systemd puts in for it.
            conf: the file that is meant for it alone.
        """
        own = heat_conf.own_directory(unit)
        renamed = {_unit_path(kind): f"/etc/systemd/system/{unit}.service", _uwsgi_path(kind): f"{own}/uwsgi.ini"}
        named = {path: f"{own}/{PurePosixPath(path).name}" for path in self._read(kind) if path not in self._more}
        return named | {path: copy for path, copy in renamed.items() if path in named} | {conf: f"{own}/process.conf"}

    def _file(
        self,
        name: str,
        path: str,
        text: pulumi.Input[str],
        *,
        mode: str = "0644",
        owner: str = "root:root",
        check: str = "",
    ) -> None:
        self._texts[path] = pulumi.Output.from_input(text)
        put = self.host.file(
            name, path, text, mode=mode, owner=owner, check=check, parent=self, after=self._after_check
        )
        self.files.append(put)

    def require_rpc_version(self, spoken: pulumi.Input[str]) -> pulumi.Resource:
        """Refuse to go on where engines run here, on the planned vhost, that would not understand the planned ones.

        Args:
            spoken: what those understand: `common_rpc_version`.
        """
        text = pulumi.Output.all(spoken, self._digest([heat_conf.SECRETS])).apply(
            lambda known: render(
                "heat/keep-apart.sh.j2", program=PROGRAM, spoken=known[0], digest=known[1], **self._shared
            )
        )
        return self.host.script("keep-apart", text, parent=self, after=self.files)

    @functools.cached_property
    def encrypted(self) -> pulumi.Resource:
        """The program that tells whether a key is the one of a database. Others here import it."""
        text = program_text("heat/encrypted.py")
        return self.host.file("encrypted-program", _ENCRYPTED, text, parent=self, after=[self.installed])

    def sync_schema(
        self, spoken: pulumi.Input[str], after: Sequence[pulumi.Resource], *, dump: Dump | None = None
    ) -> pulumi.Resource:
        """Bring the database's schema up to this release, if it is behind. For one node of a deployment.

        Args:
            spoken: what the engines of all nodes understand: `common_rpc_version`.
            after: what must be done before.
            dump: makes a dump of the database where its schema is behind.
        """
        program = self.host.file(
            "schema-program",
            _SCHEMA,
            program_text("heat/schema.py"),
            parent=self,
            after=[self.encrypted],
        )
        before = [program, *self.files, *after]
        digest = self._digest([heat_conf.SECRETS])
        made: pulumi.Input[str] = ""
        if dump:
            look = digest.apply(
                lambda known: render("heat/schema-state.sh.j2", program=_SCHEMA, digest=known, **self._shared)
            )
            told = self.host.script("schema-state", look, parent=self, after=before)
            # No secret, and a preview shows from where to where the schema goes.
            made = dump(pulumi.Output.unsecret(told.stdout.apply(json.loads)), self._deployment.prefix)
        text = pulumi.Output.all(spoken, digest, made).apply(
            lambda known: render(
                "heat/schema.sh.j2",
                program=_SCHEMA,
                spoken=known[0],
                digest=known[1],
                dump=known[2],
                **self._shared,
            )
        )
        return self.host.script("schema", text, parent=self, after=before)

    def publish_membership(self, nodes: Sequence[str], after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Leave word at the broker of which nodes the deployment has. For one node of it.

        Args:
            nodes: the names of all.
            after: what must be done before.
        """
        # Whether the broker is another one, and which vhost it is, stands in the files.
        text = self._digest([heat_conf.CONF, heat_conf.SECRETS]).apply(
            lambda digest: render("heat/members.sh.j2", digest=digest, nodes=nodes, **self._shared)
        )
        return self.host.script("members", text, parent=self, after=[*self.files, *after])

    def run(self, process: Process, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Start one process, or restart it where a file that it reads has changed, and wait until it works."""
        hidden = self._overrides.secret.of_process(process)
        own = heat_conf.process_options(
            process, console_processes=self._console_processes, max_header=self._api_server.max_header
        )
        layers = [own, self._overrides.public.of_process(process), hidden]
        text = pulumi.Output.all(*layers).apply(
            lambda known: render(
                "heat/options.conf.j2",
                purpose=f"What only {process.unit} on {process.node} reads, after heat.conf and secrets.conf.",
                options=heat_conf.merge(*known),
            )
        )
        conf = self.host.file(
            f"{process.kind.value}-{process.instance}-conf",
            heat_conf.process_conf(process),
            text,
            mode="0640" if hidden else "0644",
            owner="root:heat" if hidden else "root:root",
            check=self._check,
            parent=self,
            after=self._after_check,
        )
        script = self._digest(self._read(process.kind), text).apply(
            lambda digest: render(
                "heat/process.sh.j2",
                digest=digest,
                unit=process.unit,
                name=process.name,
                port=process.port,
                copies=list(self._copies(process.kind, process.unit, heat_conf.process_conf(process)).items()),
                **self._shared,
            )
        )
        return self.host.script(
            f"{process.kind.value}-{process.instance}", script, parent=self, after=[conf, *self.files, *after]
        )

    def retire(
        self, processes: Sequence[Process], *, firewall: pulumi.Input[str], after: Sequence[pulumi.Resource]
    ) -> pulumi.Resource:
        """Stop every process of Heat here that is not among `processes`, this node's part of the plan.

        Args:
            processes: those that stay.
            firewall: what tells the host's rules from those before: only those of the plan hold from now on.
            after: what must be done before.
        """
        units = [process.unit for process in processes]
        # A stand-in that is left where the broker was before is stopped as well.
        text = pulumi.Output.all(self._broker, firewall).apply(
            lambda known: render(
                "heat/retire.sh.j2",
                units=units,
                broker=known[0],
                firewall=known[1],
                **self._shared,
            )
        )
        return self.host.script("retire", text, parent=self, after=after)

    def leave(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Stop Heat here when this host leaves the deployment, while all of `after` is still there."""
        return self.host.on_destroy(
            "leave",
            render("heat/teardown.sh.j2", units=[], timers=[], **self._shared),
            undone="should it come back, Heat runs on; stop it there: systemctl disable --now 'heat-*@*'",
            parent=self,
            after=after,
        )

    def check(
        self,
        processes: Sequence[Process],
        after: Sequence[pulumi.Resource],
        *,
        engines_in_all: int | None = None,
    ) -> pulumi.Resource:
        """See that every process of this node works.

        Args:
            processes: this node's part of the plan.
            after: what must be done before.
            engines_in_all: on one node of a deployment: how many engine workers the broker should count.
        """
        text = self.digest.apply(
            lambda digest: render(
                "heat/check.sh.j2", digest=digest, processes=processes, total=engines_in_all, **self._shared
            )
        )
        return self.host.script("check", text, parent=self, after=after, shown=True)

    def messaging(self, plan: Sequence[Process], after: Sequence[pulumi.Resource]) -> pulumi.Output[dict[str, str]]:
        """Read back what this node's Heat makes of its messaging options: a digest for each, by "section.option"."""
        program = self.host.file(
            "messaging-program",
            _MESSAGING,
            program_text("heat/messaging_options.py"),
            parent=self,
            after=[self.installed],
        )
        text = self._digest(self._texts, *(process.name for process in plan)).apply(
            lambda digest: render("heat/messaging.sh.j2", digest=digest, program=_MESSAGING, **self._shared)
        )
        told = self.host.script("messaging", text, parent=self, after=[program, *after])
        return told.stdout.apply(json.loads)

    def _digest(self, paths: Iterable[str], *more: pulumi.Input[str]) -> pulumi.Output[str]:
        """A digest of files of this node: a script with it in its text runs again when one of them changes."""
        return pulumi.Output.all(*(self._texts[path] for path in paths), *more).apply(_digest)


def common_rpc_version(nodes: Mapping[str, HeatNode]) -> pulumi.Output[str]:
    """The version of the messages that the engines of all nodes understand; the program ends where they differ."""

    def agreed(releases: Mapping[str, Release]) -> str:
        if refusal := refuse_mixed(releases):
            raise MixedReleasesError(refusal)
        return next(iter(releases.values())).engine_worker

    return pulumi.Output.all(**{name: node.release for name, node in nodes.items()}).apply(agreed)


def run_in_batches(
    nodes: Mapping[str, HeatNode], processes: Sequence[Process], after: Sequence[pulumi.Resource], *, batch: int
) -> list[pulumi.Resource]:
    """Run every process, those of one kind in turn: while some restart, the others of their kind serve.

    Each kind starts with one process alone, the APIs after the first engine. One that does not work stops the turn
    there, so that the rest keep running what they ran.

    Args:
        nodes: by name.
        processes: the plan.
        after: what must be done before.
        batch: how many of a kind may restart at once.

    Returns:
        The last of each kind to run: every other one has run before them.
    """
    running: list[pulumi.Resource] = []
    engine: list[pulumi.Resource] = []
    for kind in Kind:
        before = engine
        for together in rolling_batches(of_kind(processes, kind), batch):
            before = [nodes[process.node].run(process, [*after, *before]) for process in together]
            engine = engine or before
        running += before
    return running
