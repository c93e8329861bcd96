"""Merge an adopted heat.conf with this program's own options. Pure.

For Heat's behaviour the adopted file counts, for where Heat runs this program does: docs/adoption.md has the table.
Reading the host is the work of programs/adoption/original.py, translating that of `components.adoption.translation`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import PurePosixPath

from components.adoption.combined import keystone_root
from components.adoption.names import label
from components.adoption.oslo_files import DEFAULT
from components.adoption.tables import AUTH
from components.adoption.translation import Translation, translate
from components.heat import heat_conf
from components.heat.heat_conf import Deployment, Options, merge
from components.heat.install import can_share_vhost
from components.heat.options import Name

# Where the nodes have the files that an adopted heat.conf names.
DIRECTORY = f"{heat_conf.CONF_DIR}/adopted"
_POLICY: Name = ("oslo_policy", "policy_file")
_POLICY_DIRS: Name = ("oslo_policy", "policy_dirs")
# This program's value counts, whatever the adopted file has.
_PROGRAM_WINS: tuple[Name, ...] = ((DEFAULT, "num_engine_workers"),)
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104


class Subject(Enum):
    """What of a deployment an adopted configuration can disagree with."""

    RELEASE = "release"
    ADDRESS = "address"
    API_PORT = "api_port"
    CFN_PORT = "cfn_port"
    RPC_RESPONSE = "rpc_response"
    ENGINE_GRACEFUL = "engine_graceful"
    MAX_BODY = "max_body"
    ALLOW = "allow"


# The original processes, the new ones and the proxy wait for each other: these timeouts must be equal.
_EQUAL: dict[Name, Subject] = {
    (DEFAULT, "rpc_response_timeout"): Subject.RPC_RESPONSE,
    (DEFAULT, "graceful_shutdown_timeout"): Subject.ENGINE_GRACEFUL,
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A reason why a configuration cannot be adopted.

    Attributes:
        rule: what is wrong, as a sentence without a full stop.
        subject: what of the deployment disagrees; None where the remedy is on the adopted host alone.
        value: the deployment's value; empty for `Subject.ALLOW`.
        remedy: the value that would agree; for `Subject.ALLOW` an option to allow, as section.option.
    """

    rule: str
    subject: Subject | None = None
    value: str = ""
    remedy: str = ""


class AdoptionError(ValueError):
    """A heat.conf cannot be adopted as it is.

    Attributes:
        problems: every reason.
    """

    def __init__(self, problems: Collection[Problem]) -> None:
        """Take the reasons; the message has their rules."""
        super().__init__("\n".join(problem.rule for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Original:
    """What programs/adoption/original.py reports of the adopted host.

    Attributes:
        files: the configuration's texts by their paths, in the order in which Heat reads them.
        policies: the paths of policy files next to the configuration.
        release: Heat's release there; empty where none was found.
        ignored: a sentence for each process that calls itself an engine and is not trusted.
    """

    files: Mapping[str, str] = field(repr=False)
    policies: tuple[str, ...] = ()
    release: str = ""
    ignored: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str) -> Original:
        """Parse what the program on the host prints: a JSON object."""
        found = json.loads(text)
        return Original(
            files=found["files"],
            policies=tuple(found["policies"]),
            release=found["release"],
            ignored=tuple(found.get("ignored", ())),
        )


@dataclass(frozen=True, kw_only=True)
class AdoptionSpec:
    """What the adopted configuration must agree with.

    Attributes:
        control: the address at which other hosts reach the adopted one.
        address: where the proxy listens.
        api_port: its port for heat-api.
        cfn_port: its port for heat-api-cfn.
        deployment: this program's own options.
        max_body: the largest request body that the proxy passes on, in bytes.
        allow: options to keep even if no release knows them, as section.option.
    """

    control: str
    address: str
    api_port: int
    cfn_port: int
    deployment: Deployment
    max_body: int
    allow: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """heat.conf and secrets.conf of the nodes.

    Attributes:
        public: options without secrets. Options that name a file still have the path on the adopted host.
        secret: the other options; none of them is in `public`.
        files: the paths on the adopted host of files that the nodes need, by the option that names each.
        notes: a sentence for each thing that the operator should know.
    """

    public: Options
    secret: Options = field(repr=False)
    files: Mapping[Name, str]
    notes: tuple[str, ...]

    @property
    def keystone_url(self) -> str:
        """Keystone's URL without version."""
        return keystone_root(self.login["auth_url"])

    @property
    def login(self) -> dict[str, str]:
        """Heat's own login at Keystone, by the names of its options."""
        return {**self.public.get(AUTH, {}), **self.secret.get(AUTH, {})}

    def with_node_paths(self, contents: Mapping[str, str]) -> Adopted:
        """The same, with every file's path on the nodes.

        Args:
            contents: base64, by the path on the adopted host.
        """
        paths: dict[str, dict[str, str]] = {}
        for (section, option), path in self.files.items():
            paths.setdefault(section, {})[option] = node_path(path, contents[path])
        return replace(self, public=merge(self.public, paths))

    def with_encrypted_tokens(self, key: str) -> Adopted:
        """The same, with encrypted tokens in memcached, unless the adopted file has a strategy for them.

        Args:
            key: the key of the encryption where the adopted file has none.
        """
        login = self.login
        if "memcached_servers" not in login or "memcache_security_strategy" in login:
            return self
        own = {heat_conf.TOKEN_CACHE_KEY: login.get(heat_conf.TOKEN_CACHE_KEY, key)}
        return replace(
            self,
            public=merge(self.public, {AUTH: heat_conf.ENCRYPTED_TOKENS}),
            secret=merge(self.secret, {AUTH: own}),
        )


def clean_base64(content: str) -> str:
    """Base64 without any other character, whatever a host printed: it becomes a part of a script."""
    return base64.b64encode(base64.b64decode(content)).decode()


def node_path(path: str, content: str) -> str:
    """The path on the nodes of a file of the adopted host.

    Another content makes another path, so that the processes that read the file restart.

    Args:
        path: on the adopted host.
        content: base64.
    """
    digest = hashlib.sha256(base64.b64decode(content)).hexdigest()[:12]
    return f"{DIRECTORY}/{digest}-{PurePosixPath(path).name}"


def adopt(original: Original, spec: AdoptionSpec) -> Adopted:
    """Make the nodes' options of an existing configuration.

    Raises:
        AdoptionError: with every problem found.
    """
    translation = translate(
        original.files, control=spec.control, release=spec.deployment.install.version, allow=spec.allow
    )
    files = _files(translation, original)
    problems = [
        *map(_on_host, translation.problems),
        *(_on_host(reason) for reason in translation.missing if "auth_encryption_key" not in reason),
        *_release_problems(original, spec),
        *_listener_problems(translation, spec),
        *_timeout_problems(translation, spec),
        *_body_problems(translation, spec),
        *_login_problems(translation),
        *_public_secrets(translation, spec),
        *_policy_problems(original, spec),
    ]
    if problems:
        raise AdoptionError(problems)
    own = heat_conf.options(spec.deployment)
    public = merge(own, translation.public)
    for section, option in _PROGRAM_WINS:
        public = merge(public, {section: {option: own[section][option]}})
    if _POLICY not in files:
        public = merge(public, {_POLICY[0]: {_POLICY[1]: own[_POLICY[0]][_POLICY[1]]}})
    return Adopted(
        public=public, secret=translation.secret, files=files, notes=(*_notes(translation, spec), *_ignored(original))
    )


def _on_host(rule: str) -> Problem:
    return Problem(rule=rule)


def _value(translation: Translation, name: Name) -> str | None:
    found = translation.public.get(name[0], {}).get(name[1])
    return translation.secret.get(name[0], {}).get(name[1]) if found is None else found


def _release_problems(original: Original, spec: AdoptionSpec) -> list[Problem]:
    release = spec.deployment.install.version
    if not original.release or can_share_vhost(original.release, release):
        return []
    rule = (
        f"Heat {original.release} runs there, and engines of the two releases do not understand each other on one "
        "broker: adopt with the same release, and upgrade afterwards"
    )
    return [Problem(rule=rule, subject=Subject.RELEASE, value=release, remedy=original.release)]


def _listener_problems(translation: Translation, spec: AdoptionSpec) -> list[Problem]:
    found = []
    for section, listener, port, subject in (
        ("heat_api", translation.api, spec.api_port, Subject.API_PORT),
        ("heat_api_cfn", translation.cfn, spec.cfn_port, Subject.CFN_PORT),
    ):
        if listener.port != port:
            rule = f"{label((section, 'bind_port'))} is {listener.port}, and clients use that port"
            found.append(Problem(rule=rule, subject=subject, value=f"{port}", remedy=f"{listener.port}"))
        if listener.host not in (*_EVERY_ADDRESS, spec.address):
            rule = f"{label((section, 'bind_host'))} is {listener.host}, and clients use that address"
            found.append(Problem(rule=rule, subject=Subject.ADDRESS, value=spec.address, remedy=listener.host))
    return found


def _timeout_problems(translation: Translation, spec: AdoptionSpec) -> list[Problem]:
    own, found = heat_conf.options(spec.deployment), []
    for name, subject in _EQUAL.items():
        ours, theirs = own[name[0]][name[1]], _value(translation, name)
        if theirs is not None and theirs.strip() != ours:
            rule = f"{label(name)} is {theirs} there, and the two must be equal"
            found.append(Problem(rule=rule, subject=subject, value=ours, remedy=theirs))
    return found


def _body_problems(translation: Translation, spec: AdoptionSpec) -> list[Problem]:
    """Requests that the adopted Heat accepts, and that the proxy would refuse."""

    def limit(option: str, default: int) -> int:
        value = (_value(translation, (DEFAULT, option)) or "").strip()
        return int(value) if re.fullmatch(r"[0-9]{1,12}", value) else default

    json_body = limit("max_json_body_size", heat_conf.MAX_JSON_BODY_SIZE)
    template = limit("max_template_size", heat_conf.MAX_TEMPLATE_SIZE)
    largest = heat_conf.largest_body(json_body, template)
    if largest <= spec.max_body:
        return []
    rule = "max_json_body_size and max_template_size allow larger requests there"
    return [Problem(rule=rule, subject=Subject.MAX_BODY, value=f"{spec.max_body}", remedy=f"{largest}")]


def _login_problems(translation: Translation) -> list[Problem]:
    """What the check at the end of an `up` needs: it logs in as Heat does, and clients see Keystone's URL."""
    url = _value(translation, (AUTH, "auth_url")) or ""
    if re.search("[@?#]", url):
        rule = f"[{AUTH}] auth_url has a login or a query in it, and clients see this URL: remove it from the URL"
        return [_on_host(rule)]
    if _value(translation, (AUTH, "auth_type")) is None:
        return []  # This is reported as missing already.
    needed = ("username", "password", "project_name")
    missing = [option for option in needed if not _value(translation, (AUTH, option))]
    if not missing:
        return []
    rule = f"[{AUTH}] has no {' and no '.join(missing)}: Heat's own user needs its name, its password and its project"
    return [_on_host(rule)]


def _public_secrets(translation: Translation, spec: AdoptionSpec) -> list[Problem]:
    """Options that this program writes to heat.conf, which everybody can read, and that have a secret in the file."""
    own = heat_conf.options(spec.deployment)
    return [
        _on_host(f"{label((section, option))} has a login in it, and everybody can read it: remove the login")
        for section, values in translation.secret.items()
        for option in values
        if option in own.get(section, {})
    ]


def _files(translation: Translation, original: Original) -> dict[Name, str]:
    """The files that the nodes need too, by the option that names each."""
    found = {
        name: path
        for name, path in translation.files.items()
        # Directories are only reported. The health check's file takes an API out of service while it exists.
        if not name[1].endswith(("dir", "dirs")) and name[0] != "healthcheck"
    }
    if _POLICY not in found:
        policy = _value(translation, _POLICY) or "policy.yaml"
        found_policies = [path for path in original.policies if PurePosixPath(path).name == policy]
        if found_policies:
            found[_POLICY] = found_policies[0]
    return found


def _policy_problems(original: Original, spec: AdoptionSpec) -> list[Problem]:
    more = [path for path in original.policies if PurePosixPath(path).parent.name == "policy.d"]
    allow = ".".join(_POLICY_DIRS)
    if not more or allow in spec.allow:
        return []
    rule = f"{', '.join(more)}: Heat adds these rules to the policy file, and the nodes get that file only"
    return [Problem(rule=f"{rule}: move the rules into it", subject=Subject.ALLOW, remedy=allow)]


def _ignored(original: Original) -> list[str]:
    return [f"{reason}: its release of Heat is ignored" for reason in original.ignored]


def _notes(translation: Translation, spec: AdoptionSpec) -> list[str]:
    notes = [
        f"{label(name)} = {path}: a directory of the adopted host; each node reads its own"
        for name, path in translation.files.items()
        if name[1].endswith(("dir", "dirs"))
    ]
    if any("auth_encryption_key" in reason for reason in translation.missing):
        notes.append("[DEFAULT] auth_encryption_key is not set: Heat encrypts with the key in its source code")
    for section, listener in (("heat_api", translation.api), ("heat_api_cfn", translation.cfn)):
        if listener.host in _EVERY_ADDRESS:
            notes.append(f"[{section}] listened on every address; the proxy listens on {spec.address} only")
    return notes
