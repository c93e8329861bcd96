"""An adopted heat.conf and this program's own options, made into one: who wins, option by option. Pure.

What the adopted file says of Heat's behaviour wins over what this program would say by itself. What has to do with
where Heat runs is this program's: docs/adoption.md has the table. Does not read the host, and does not translate:
`components.adoption.translation` does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from components.adoption.oslo_files import DEFAULT
from components.adoption.translation import Translation, keystone_root, label, translate
from components.heat import heat_conf
from components.heat.heat_conf import Deployment, Options, merge
from components.heat.install import can_share_vhost
from components.heat.options import Name

# Where the files that an adopted heat.conf names are on the nodes.
DIRECTORY = f"{heat_conf.CONF_DIR}/adopted"
_POLICY: Name = ("oslo_policy", "policy_file")
_POLICY_DIRS: Name = ("oslo_policy", "policy_dirs")
AUTH = "keystone_authtoken"
# Set by a setting, whatever the adopted file says.
_BY_SETTING: tuple[Name, ...] = ((DEFAULT, "num_engine_workers"),)
# What the processes on both sides, and the proxy, have to agree on: the setting has to say the same.
_AGREED: dict[Name, str] = {
    (DEFAULT, "rpc_response_timeout"): "timeouts.rpcResponse",
    (DEFAULT, "graceful_shutdown_timeout"): "timeouts.engineGraceful",
}
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104


@dataclass(frozen=True, kw_only=True)
class Original:
    """What was found on the host that is adopted, as programs/adoption/original.py tells it."""

    files: Mapping[str, str] = field(repr=False)
    policies: tuple[str, ...] = ()
    release: str = ""
    # Processes that call themselves engines, and may be anybody's.
    ignored: tuple[str, ...] = ()

    @staticmethod
    def told(text: str) -> Original:
        """From what the program on the host has printed."""
        found = json.loads(text)
        return Original(
            files=found["files"],
            policies=tuple(found["policies"]),
            release=found["release"],
            ignored=tuple(found.get("ignored", ())),
        )


@dataclass(frozen=True, kw_only=True)
class AdoptionSpec:
    """What the settings say, for the adopted file to agree with.

    `control` is the address under which other hosts reach the adopted one, `address` and the ports are the proxy's.
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
    """heat.conf and secrets.conf of the nodes, but for the places of `files`: those that are to be brought along.

    `public` and `secret` have no option in common.
    """

    public: Options
    secret: Options = field(repr=False)
    files: Mapping[Name, str]
    notes: tuple[str, ...]

    @property
    def keystone_url(self) -> str:
        """Keystone, without version."""
        return keystone_root(self.login["auth_url"])

    @property
    def login(self) -> dict[str, str]:
        """Heat's own login at Keystone, by the names of its options."""
        return {**self.public.get(AUTH, {}), **self.secret.get(AUTH, {})}

    def placed(self, contents: Mapping[str, str]) -> Adopted:
        """The same, with each file where it is on the nodes.

        Args:
            contents: base64, by the path on the adopted host.
        """
        places: dict[str, dict[str, str]] = {}
        for (section, option), path in self.files.items():
            places.setdefault(section, {})[option] = place(path, contents[path])
        return replace(self, public=merge(self.public, places))

    def with_encrypted_tokens(self, key: str) -> Adopted:
        """The same, with the tokens in memcached encrypted, unless the adopted file says how they are kept.

        Args:
            key: what they are encrypted with, where the adopted file has no key.
        """
        said = self.login
        if "memcached_servers" not in said or "memcache_security_strategy" in said:
            return self
        own = {heat_conf.TOKEN_CACHE_KEY: said.get(heat_conf.TOKEN_CACHE_KEY, key)}
        return replace(
            self,
            public=merge(self.public, {AUTH: heat_conf.ENCRYPTED_TOKENS}),
            secret=merge(self.secret, {AUTH: own}),
        )


class AdoptionError(ValueError):
    """A heat.conf that cannot be adopted as things are; `problems` has one sentence for each reason."""

    def __init__(self, problems: Collection[str]) -> None:
        super().__init__("the heat.conf cannot be adopted:\n" + "\n".join(f"  * {problem}" for problem in problems))
        self.problems = tuple(problems)


def encoded(content: str) -> str:
    """Base64 that has no other characters, whatever a host has told: it stands in a script."""
    return base64.b64encode(base64.b64decode(content)).decode()


def place(path: str, content: str) -> str:
    """Where a file of the adopted host is on the nodes: what reads it restarts as other content makes another path."""
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
    missing = [reason for reason in translation.missing if "auth_encryption_key" not in reason]
    problems = [
        *translation.problems,
        *missing,
        *_release_problems(original, spec),
        *_listener_problems(translation, spec),
        *_disagreements(translation, spec),
        *_body_problems(translation, spec),
        *_login_problems(translation),
        *_open_secrets(translation, spec),
    ]
    files, told = _files(translation, original, spec)
    problems += told
    if problems:
        raise AdoptionError(problems)
    own = heat_conf.options(spec.deployment)
    public = merge(own, translation.public)
    for section, option in _BY_SETTING:
        public = merge(public, {section: {option: own[section][option]}})
    if _POLICY not in files:
        public = merge(public, {_POLICY[0]: {_POLICY[1]: own[_POLICY[0]][_POLICY[1]]}})
    return Adopted(
        public=public, secret=translation.secret, files=files, notes=(*_notes(translation, spec), *_ignored(original))
    )


def _open_secrets(translation: Translation, spec: AdoptionSpec) -> list[str]:
    """What this program says in heat.conf, for all to read, and the adopted file with a secret in it."""
    own = heat_conf.options(spec.deployment)
    return [
        f"{label((section, option))} has a login in it, and stands where everybody can read it: take the login out"
        for section, values in translation.secret.items()
        for option in values
        if option in own.get(section, {})
    ]


def _value(translation: Translation, name: Name) -> str | None:
    found = translation.public.get(name[0], {}).get(name[1])
    return translation.secret.get(name[0], {}).get(name[1]) if found is None else found


def _release_problems(original: Original, spec: AdoptionSpec) -> list[str]:
    release = spec.deployment.install.version
    if not original.release or can_share_vhost(original.release, release):
        return []
    return [
        f"heatVersion = {release}: Heat {original.release} runs there, and the engines of the two do not understand "
        "each other on one broker. "
        f"Type: pulumi config set heatVersion {original.release}, and upgrade once it is adopted"
    ]


def _listener_problems(translation: Translation, spec: AdoptionSpec) -> list[str]:
    found = []
    for section, listener, port, key in (
        ("heat_api", translation.api, spec.api_port, "apiPort"),
        ("heat_api_cfn", translation.cfn, spec.cfn_port, "cfnPort"),
    ):
        if listener.port != port:
            rule = f"{label((section, 'bind_port'))} is {listener.port}, and clients find the API there"
            found.append(f"{key} = {port}: {rule}. Type: pulumi config set {key} {listener.port}")
        if listener.host not in (*_EVERYWHERE, spec.address):
            rule = f"{label((section, 'bind_host'))} is {listener.host}, and clients find the API there"
            remedy = f"pulumi config set --path existing.front.address {listener.host}"
            found.append(f"existing.front.address = {spec.address}: {rule}. Type: {remedy}")
    return found


def _disagreements(translation: Translation, spec: AdoptionSpec) -> list[str]:
    own, found = heat_conf.options(spec.deployment), []
    for name, key in _AGREED.items():
        ours, theirs = own[name[0]][name[1]], _value(translation, name)
        if theirs is not None and theirs.strip() != ours:
            found.append(
                f"{key} = {ours}: {label(name)} is {theirs} there, and both have to agree. "
                f"Type: pulumi config set --path {key} {theirs}"
            )
    return found


def _body_problems(translation: Translation, spec: AdoptionSpec) -> list[str]:
    """What Heat took there, and the proxy would refuse."""

    def limit(option: str, usual: int) -> int:
        said = (_value(translation, (DEFAULT, option)) or "").strip()
        return int(said) if re.fullmatch(r"[0-9]{1,12}", said) else usual

    json_body = limit("max_json_body_size", heat_conf.MAX_JSON_BODY_SIZE)
    template = limit("max_template_size", heat_conf.MAX_TEMPLATE_SIZE)
    largest = heat_conf.largest_body(json_body, template)
    if largest <= spec.max_body:
        return []
    rule = "max_json_body_size and max_template_size allow larger requests there"
    return [f"haproxy.maxBody = {spec.max_body}: {rule}. Type: pulumi config set --path haproxy.maxBody {largest}"]


def _login_problems(translation: Translation) -> list[str]:
    """What the check at the end of an `up` needs, which logs in as Heat does. Clients are told Keystone's URL."""
    url = _value(translation, (AUTH, "auth_url")) or ""
    if re.search("[@?#]", url):
        return [f"[{AUTH}] auth_url has a login in it, or a query, and clients are told this URL: take it out"]
    if _value(translation, (AUTH, "auth_type")) is None:
        return []  # It is among what is missing.
    wanted = ("username", "password", "project_name")
    missing = [option for option in wanted if not _value(translation, (AUTH, option))]
    if not missing:
        return []
    return [f"[{AUTH}] has no {' and no '.join(missing)}: Heat's own user is spec, with its password and its project"]


def _files(translation: Translation, original: Original, spec: AdoptionSpec) -> tuple[dict[Name, str], list[str]]:
    """The files that have to be on the nodes too, by the option that names each, and what is wrong with others."""
    found = {
        name: path
        for name, path in translation.files.items()
        # Directories are told of. The health check's file is there for an API that is to be left out, and only then.
        if not name[1].endswith(("dir", "dirs")) and name[0] != "healthcheck"
    }
    if _POLICY not in found:
        named = _value(translation, _POLICY) or "policy.yaml"
        beside = [path for path in original.policies if PurePosixPath(path).name == named]
        if beside:
            found[_POLICY] = beside[0]
    more = [path for path in original.policies if PurePosixPath(path).parent.name == "policy.d"]
    if more and ".".join(_POLICY_DIRS) not in spec.allow:
        rule = "rules there come on top of the policy file, and only that one is brought to the nodes"
        return found, [f"{', '.join(more)}: {rule}: move them into it, or allow {'.'.join(_POLICY_DIRS)} by adoptAllow"]
    return found, []


def _ignored(original: Original) -> list[str]:
    return [f"{what}: its release of Heat is not looked at" for what in original.ignored]


def _notes(translation: Translation, spec: AdoptionSpec) -> list[str]:
    notes = [
        f"{label(name)} = {path}: a directory of the host that is adopted; the nodes read their own"
        for name, path in translation.files.items()
        if name[1].endswith(("dir", "dirs"))
    ]
    if any("auth_encryption_key" in reason for reason in translation.missing):
        notes.append("[DEFAULT] auth_encryption_key is not set: what Heat encrypts is open to whoever knows its source")
    for section, listener in (("heat_api", translation.api), ("heat_api_cfn", translation.cfn)):
        if listener.host in _EVERYWHERE:
            notes.append(f"[{section}] listened on every address; the proxy listens on {spec.address} alone")
    return notes
