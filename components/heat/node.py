"""A host that runs Heat: Heat is installed, and the files that its processes read are in place.

The later phases come between those of other hosts, and each has a module of its own: `components.heat.schema` before
any process starts, `components.heat.processes` before the proxy sends requests and after it stopped sending them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pulumi

from components.heat import heat_conf
from components.heat.api_server import ApiServer, uwsgi_path
from components.heat.heat_conf import Deployment, Options
from components.heat.install import PROGRAM, Release
from components.heat.overrides import Overrides
from components.memory import DEFAULTS, Memory
from components.proxy.monitor import Monitor
from components.remote import Host
from components.rendering import program_text, render
from components.topology import APIS, Kind, Process

# Seconds from a process's start to its first answer, at most. A small machine takes 6.
_START_TIMEOUT = 120
_CONSUMERS = "/usr/local/lib/heat-scaleout/broker_consumers.py"
_MESSAGING = "/usr/local/lib/heat-scaleout/messaging_options.py"
_CHECK_POLICY = "/usr/local/lib/heat-scaleout/check_policy.py"
_ENCRYPTED = "/usr/local/lib/heat-scaleout/encrypted.py"
_ENGINE = "/usr/local/lib/heat-scaleout/engine.py"
_PACE = "/usr/local/lib/heat-scaleout/pace.py"
_API = "/usr/local/lib/heat-scaleout/api.py"
_MEMBERS = "/usr/local/lib/heat-scaleout/members.py"
_WORK = "/usr/local/lib/heat-scaleout/engine_work.py"


def _unit_path(kind: Kind) -> str:
    return f"/etc/systemd/system/{kind.value}@.service"


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


class HeatNode(pulumi.ComponentResource):
    """Heat on one host.

    Attributes:
        host: the host.
        installed: done when this release of Heat is installed.
        release: what the host reports about the release.
        broker: the broker and the vhost, as `heat_conf.broker` writes them; no secret.
        python: the path of Heat's own Python on the host.
        prefix: the directory of the installation.
        files: everything that must be in place before a process starts.
        digest: of all texts that processes read here.
        memory: the memory limit of each unit.
        overrides: the operator's options of heat.conf, and policy rules.
        api_server: how much one API process serves at once.
        options_checker: the path of the program that refuses options which this release does not know.
        before_options: everything that must be done before a file of options is checked.
        copies_by_unit: for each process that runs here, the path of its own copy of each file, by the file's path.
        template_values: the values that all templates of templates/heat share, by their names.
    """

    installed: pulumi.Resource
    release: pulumi.Output[Release]
    broker: pulumi.Output[str]
    python: str
    prefix: str
    files: list[pulumi.Resource]
    digest: pulumi.Output[str]
    memory: Memory
    copies_by_unit: dict[str, dict[str, str]]
    template_values: dict[str, Any]

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
        memory: Memory = DEFAULTS,
        extra_files: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Install Heat and put the node's files in place.

        Args:
            name: the component's name.
            host: the host.
            deployment: what every node's heat.conf is made from: release, URLs, region, workers, timeouts.
            public: the options of heat.conf.
            secret: the options of secrets.conf.
            api_server: how much one API process serves at once.
            overrides: the operator's options of heat.conf, and policy rules.
            proxy: the only address that requests come from; "" if the address is not known beforehand.
            monitor: the proxy's health checks; only for a proxy that does not report its state to the APIs.
            memory: the memory limit of each unit.
            extra_files: the text of each further file that heat.conf names, by its path. Every process reads them.
            opts: of the component.
        """
        super().__init__("heat:node:HeatNode", name, {}, opts)
        # Without the login it is no secret, and a preview shows which processes are stopped.
        self.broker = pulumi.Output.unsecret(
            pulumi.Output.from_input(secret).apply(lambda known: heat_conf.broker(known["DEFAULT"]["transport_url"]))
        )
        self._extra_files = dict(extra_files or {})
        self.host = host
        self._deployment = deployment
        self.memory = memory
        self.overrides = overrides
        self._install = deployment.install
        self.api_server = api_server
        self._texts: dict[str, pulumi.Output[str]] = {}
        self._key_test: pulumi.Resource | None = None
        self.copies_by_unit = {}
        self.files = []
        self.prefix = deployment.prefix
        self.template_values = {
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
        self.installed = self._install_heat()
        self.options_checker = f"{self.prefix}/check-options"
        self.before_options = [self._put_options_checker()]
        self._put_options(public, secret)
        self._put_policy()
        self._put_programs()
        for kind in Kind:
            self._put_unit(kind)
        self.digest = self.digest_of(self._texts)

    def _install_heat(self) -> pulumi.Resource:
        program = program_text("heat/installed.py")
        files = [
            self.host.file("installed-program", PROGRAM, program, parent=self),
            *(self.host.file(name, path, text, parent=self) for name, (path, text) in self._install.files().items()),
        ]
        done = self.host.script("install", self._install.script(), parent=self, after=files)
        # The report has no secrets, and heat.conf, which depends on it, must be readable in a preview.
        self.release = pulumi.Output.unsecret(done.stdout.apply(Release.reported))
        return done

    def _put_options_checker(self) -> pulumi.Resource:
        return self.host.file(
            "check-options",
            self.options_checker,
            render(
                "heat/check-options.sh.j2",
                prefix=self.prefix,
                title=self._install.title,
                allowed=self.overrides.allowed,
            ),
            mode="0755",
            parent=self,
            after=[self.installed],
        )

    def _put_options(self, public: pulumi.Input[Options], secret: pulumi.Input[Options]) -> None:
        # For a release whose packages are locked here this is known beforehand, and the first preview shows heat.conf.
        ec2_login = self._install.locked or self.release.apply(lambda release: release.ec2_login)
        self._file(
            "heat-conf",
            heat_conf.CONF,
            pulumi.Output.all(public, self.overrides.public.on_node(self.host.name), ec2_login).apply(
                lambda known: render(
                    "heat/options.conf.j2",
                    purpose="Heat's options on every node. Secrets are in secrets.conf.",
                    options=heat_conf.known_to(heat_conf.merge(*known[:2]), ec2_login=known[2]),
                )
            ),
            check=self.options_checker,
        )
        self._file(
            "secrets-conf",
            heat_conf.SECRETS,
            pulumi.Output.all(pulumi.Output.secret(secret), self.overrides.secret.on_node(self.host.name), ec2_login)
            .apply(
                lambda known: render(
                    "heat/options.conf.j2",
                    purpose="Heat's secret options on every node, read after heat.conf.",
                    options=heat_conf.known_to(heat_conf.merge(*known[:2]), ec2_login=known[2]),
                )
            ),
            mode="0640",
            owner="root:heat",
            check=self.options_checker,
        )  # fmt: skip
        for path, text in self._extra_files.items():
            self._file(path.rpartition("/")[2].replace(".", "-"), path, text)

    def _put_policy(self) -> None:
        self.before_options.append(
            self.host.file("check-policy", _CHECK_POLICY, program_text("heat/check_policy.py"), parent=self)
        )
        self._file(
            "policy",
            heat_conf.POLICY,
            render("heat/policy.yaml.j2", rules=self.overrides.policy),
            check=f"{self.python} {_CHECK_POLICY}",
        )

    def _put_programs(self) -> None:
        self._file("engine-program", _ENGINE, program_text("heat/engine.py"))
        self._file("engine-pace", _PACE, program_text("heat/pace.py"))
        self._file("engine-work", _WORK, program_text("heat/engine_work.py"))
        self._file("broker-consumers", _CONSUMERS, program_text("heat/broker_consumers.py"))
        self._file("members-program", _MEMBERS, program_text("heat/members.py"))
        if not self.api_server.console:
            self._file("api-program", _API, program_text("heat/api.py"))

    def _put_unit(self, kind: Kind) -> None:
        title = APIS[kind].title if kind in APIS else None
        if self._under_uwsgi(kind):
            self._file(
                f"{kind.value}-uwsgi",
                uwsgi_path(kind),
                render(
                    "heat/uwsgi.ini.j2",
                    kind=kind.value,
                    title=title,
                    application=self._install.application(kind),
                    address=self.host.address,
                    timeouts=self._deployment.timeouts,
                    processes=self.api_server.processes,
                    threads=self.api_server.threads,
                    extra=self.api_server.extra,
                    max_body=self.api_server.max_body,
                    proxy=self.template_values["proxy"],
                ),
            )
        template = "engine" if kind not in APIS else "api" if self._under_uwsgi(kind) else "console-api"
        self._file(
            f"{kind.value}-unit",
            _unit_path(kind),
            render(
                f"heat/{template}@.service.j2",
                title=title,
                prefix=self.prefix,
                files=[*self._extra_files, *self.copies(kind, "%p@%i", "").values()],
                timeouts=self._deployment.timeouts,
                members=_MEMBERS,
                node=self.host.name,
                memory=self.memory.of(kind),
                checks_per_stack=self._deployment.checks_per_stack,
            ),
        )

    @property
    def console_processes(self) -> int | None:
        """The number of workers of Heat's own API program; None if the APIs run under uWSGI."""
        return self.api_server.processes if self.api_server.console else None

    def _under_uwsgi(self, kind: Kind) -> bool:
        return kind in APIS and not self.api_server.console

    def files_read_by(self, kind: Kind) -> list[str]:
        """The paths of the files that every process of a kind reads on this node, beside its own."""
        files = [heat_conf.CONF, heat_conf.SECRETS, *self._extra_files, heat_conf.POLICY, _unit_path(kind)]
        if kind not in APIS:
            return [*files, _ENGINE, _PACE]
        return [*files, uwsgi_path(kind), _API] if self._under_uwsgi(kind) else files

    def copies(self, kind: Kind, unit: str, conf: str) -> dict[str, str]:
        """The path of a process's own copy of each file that it reads, by the file's path.

        Files that heat.conf names by their paths have no copies.

        Args:
            kind: the kind of the process.
            unit: the process's unit, or systemd's placeholder for it.
            conf: the path of the file with the process's own options.
        """
        own = heat_conf.own_directory(unit)
        renamed = {_unit_path(kind): f"/etc/systemd/system/{unit}.service", uwsgi_path(kind): f"{own}/uwsgi.ini"}
        read = self.files_read_by(kind)
        named = {path: f"{own}/{PurePosixPath(path).name}" for path in read if path not in self._extra_files}
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
            name, path, text, mode=mode, owner=owner, check=check, parent=self, after=self.before_options
        )
        self.files.append(put)

    def put_key_test(self) -> pulumi.Resource:
        """Put the program that tests whether a key is a database's on the host, once. Other programs import it."""
        if self._key_test is None:
            text = program_text("heat/encrypted.py")
            self._key_test = self.host.file("encrypted-program", _ENCRYPTED, text, parent=self, after=[self.installed])
        return self._key_test

    def publish_membership(self, nodes: Sequence[str], after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Publish the deployment's nodes at the broker. Call it for one node of a deployment.

        Args:
            nodes: the names of all nodes.
            after: what must be done before.
        """
        # These files name the broker and the vhost.
        text = self.digest_of([heat_conf.CONF, heat_conf.SECRETS]).apply(
            lambda digest: render("heat/members.sh.j2", digest=digest, nodes=nodes, **self.template_values)
        )
        return self.host.script("members", text, parent=self, after=[*self.files, *after])

    def check(
        self,
        processes: Sequence[Process],
        after: Sequence[pulumi.Resource],
        *,
        engine_workers_in_all: int | None = None,
    ) -> pulumi.Resource:
        """Check that every process of this node is healthy.

        Args:
            processes: this node's part of the plan.
            after: what must be done before.
            engine_workers_in_all: how many engine workers the broker must count; for one node of a deployment.
        """
        text = self.digest.apply(
            lambda digest: render(
                "heat/check.sh.j2",
                digest=digest,
                processes=processes,
                total=engine_workers_in_all,
                **self.template_values,
            )
        )
        # Every process is known by now. tools/verify.py reads the copies from the stack's state.
        self.register_outputs(
            {
                "version": self.release.apply(lambda release: release.version),
                "rpc_version": self.release.apply(lambda release: release.engine_worker),
                "broker": self.broker,
                "copies": self.copies_by_unit,
            }
        )
        return self.host.script("check", text, parent=self, after=after, show_output=True)

    def messaging(self, plan: Sequence[Process], after: Sequence[pulumi.Resource]) -> pulumi.Output[dict[str, str]]:
        """Read back the messaging options that this node's Heat uses: a digest of each, by "section.option"."""
        program = self.host.file(
            "messaging-program",
            _MESSAGING,
            program_text("heat/messaging_options.py"),
            parent=self,
            after=[self.installed],
        )
        text = self.digest_of(self._texts, *(process.name for process in plan)).apply(
            lambda digest: render("heat/messaging.sh.j2", digest=digest, program=_MESSAGING, **self.template_values)
        )
        read = self.host.script("messaging", text, parent=self, after=[program, *after])
        return read.stdout.apply(json.loads)

    def digest_of(self, paths: Iterable[str], *more: pulumi.Input[str]) -> pulumi.Output[str]:
        """A digest of files of this node: a script with the digest in its text runs again when a file changes.

        Args:
            paths: the paths of files that processes read here.
            more: further texts.
        """
        return pulumi.Output.all(*(self._texts[path] for path in paths), *more).apply(_digest)
