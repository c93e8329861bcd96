"""What stands in a node's heat.conf. Pure: a deployment's facts in, sections of options out.

One heat.conf holds all that may be read by anyone, one secrets.conf what may not, and each process has a file of a
line or two; Heat reads the three in that order, a later one winning. Names and sections are those of Heat 24 to 27.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias, TypeVar

from components import loopback
from components.heat.install import Installation
from components.timeouts import Timeouts
from components.topology import APIS, Kind, Process

# Section, option, value; the form in which options are merged. One that may be repeated has each value on a line.
Options: TypeAlias = Mapping[str, Mapping[str, str]]
T = TypeVar("T")

CONF_DIR = "/etc/heat"
CONF = f"{CONF_DIR}/heat.conf"
SECRETS = f"{CONF_DIR}/secrets.conf"
POLICY = f"{CONF_DIR}/policy.yaml"
# Certificates of an operator's own, and those that the system trusts.
CA = f"{CONF_DIR}/ca.pem"
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"

# Where the bundled control plane listens.
KEYSTONE_PORT = 5000
DATABASE_PORT = 3306
BROKER_PORT = 5672
# Where RabbitMQ usually has TLS.
BROKER_TLS_PORT = 5671
MEMCACHED_PORT = 11211

# Heat's own limits on what it is sent, and what a request has beside it: a form's other fields, JSON's other members.
MAX_JSON_BODY_SIZE, MAX_TEMPLATE_SIZE, _BESIDE_A_TEMPLATE = 1048576, 524288, 65536


def largest_body(max_json_body_size: int, max_template_size: int) -> int:
    """The largest body that Heat takes: JSON, or a form, in which a template can be three times its size."""
    return max(max_json_body_size, 3 * max_template_size) + _BESIDE_A_TEMPLATE


# The role that Heat gives to the users of its stacks.
STACK_USER_ROLE = "heat_stack_user"

# What a worker can have in work, and so what it may fetch from the queue ahead: a worker that fetches without limit
# hoards messages while others idle.
WORKER_THREADS = 64
# Seconds. The broker misses a worker whose host is cut off after two to three of them, and gives what it had sent there
# to another one, while the API still waits for the answer (rpc_response_timeout).
HEARTBEAT = 15
# Seconds after which a cache that was away is asked again; by default everything goes uncached for five minutes.
_CACHE_RETRY = "10"
# What stands in memcached can be read, and replaced, by whoever reaches it. With a key the APIs refuse a forged token.
ENCRYPTED_TOKENS = {"memcache_security_strategy": "ENCRYPT"}
TOKEN_CACHE_KEY = "memcache_secret_key"  # noqa: S105 # the option's name
# How often Keystone is asked again by the CFN API, where it does not answer or says that it cannot just now (503).
_KEYSTONE_RETRIES = "5"
# The section by which the CFN API has Keystone check EC2 signatures.
_EC2 = "ec2authtoken"


def process_conf(process: Process) -> str:
    """The path of the file that is meant for this process alone."""
    return f"{CONF_DIR}/processes/{process.unit}.conf"


def own_directory(unit: str) -> str:
    """Where the copies are that a process reads: templates/heat/process.sh.j2."""
    return f"{CONF_DIR}/processes/{unit}"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What every node's heat.conf is made from, but for what Heat leans on; no secrets.

    `urls` has the proxy's URL of each API, as clients see it: Heat signs it into the URLs that it hands out.
    """

    install: Installation
    urls: Mapping[Kind, str]
    region: str
    engine_workers: int
    checks_per_stack: int
    timeouts: Timeouts
    # Whether what is in front of the APIs strips what clients say of themselves.
    strips_headers: bool = True

    @property
    def prefix(self) -> str:
        """Where this release of Heat is installed."""
        return self.install.prefix


@dataclass(frozen=True, kw_only=True)
class Services:
    """Where Heat finds what it leans on, and under which names Keystone knows Heat; no secrets.

    `keystone_url` has no version and no slash at its end; `public_keystone_url` is where clients find the same
    Keystone, if they cannot where Heat does. `ca_file` is a path on the nodes, of the certificates that what is reached
    by TLS is checked against; "" where Keystone's can be left to the libraries.
    """

    keystone_url: str
    public_keystone_url: str = ""
    memcached: tuple[str, ...] = ()
    ca_file: str = ""
    database_tls: bool = False
    broker_tls: bool = False
    user: str = "heat"
    project: str = "service"
    domain: str = "Default"
    stack_domain: str = "heat"
    stack_domain_admin: str = "heat_domain_admin"


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What goes into secrets.conf. `auth_encryption_key` has exactly 32 characters, the same on every engine.

    `token_cache_key` is what the APIs encrypt the tokens with that they keep in memcached.
    """

    database_url: str
    transport_url: str
    service_password: str
    domain_admin_password: str
    auth_encryption_key: str
    token_cache_key: str


def merge(*layers: Mapping[str, Mapping[str, T]]) -> dict[str, dict[str, T]]:
    """One set of options of several: of an option that stands in more than one the last counts."""
    merged: dict[str, dict[str, T]] = {}
    for layer in layers:
        for section, values in layer.items():
            merged.setdefault(section, {}).update(values)
    return merged


def options(deployment: Deployment) -> Options:
    """What heat.conf says of Heat itself, the same on every node."""
    shipped = f"{deployment.prefix}/etc/heat"
    return {
        "DEFAULT": {
            "heat_metadata_server_url": deployment.urls[Kind.CFN],
            "heat_waitcondition_server_url": f"{deployment.urls[Kind.CFN]}/v1/waitcondition",
            "heat_stack_user_role": STACK_USER_ROLE,
            "region_name_for_services": deployment.region,
            "num_engine_workers": str(deployment.engine_workers),
            "rpc_response_timeout": str(deployment.timeouts.rpc_response),
            # No limit: who stops an engine decides how long it may take, systemd or templates/heat/finish.inc.sh.
            "graceful_shutdown_timeout": "0",
            "executor_thread_pool_size": str(WORKER_THREADS),
            "environment_dir": f"{shipped}/environment.d",
            "template_dir": f"{shipped}/templates",
        },
        "paste_deploy": {"api_paste_config": f"{shipped}/api-paste.ini"},
        # Beside the file that says it, as each process has a copy of its own.
        "oslo_policy": {"policy_file": PurePosixPath(POLICY).name},
        # HAProxy strips what clients claim (templates/proxy/haproxy.cfg.j2), Octavia does not.
        "oslo_middleware": {"enable_proxy_headers_parsing": "true" if deployment.strips_headers else "false"},
        "oslo_messaging_rabbit": {
            "rabbit_qos_prefetch_count": str(WORKER_THREADS),
            "heartbeat_timeout_threshold": str(HEARTBEAT),
        },
    }


def service_options(services: Services) -> Options:
    """What heat.conf says of what Heat leans on, the same on every node."""
    trust = {"cafile": services.ca_file} if services.ca_file else {}
    login = {
        "auth_type": "password",
        "auth_url": f"{services.keystone_url}/v3",
        "username": services.user,
        "user_domain_name": services.domain,
    }
    in_project = {"project_name": services.project, "project_domain_name": services.domain}
    found: dict[str, dict[str, str]] = {
        "DEFAULT": {
            "stack_user_domain_name": services.stack_domain,
            "stack_domain_admin": services.stack_domain_admin,
        },
        "keystone_authtoken": {
            **login,
            **in_project,
            **trust,
            "www_authenticate_uri": f"{services.public_keystone_url or services.keystone_url}/v3",
        },
        # What a trustee's session trusts stands in [clients]; this section has no option for it.
        "trustee": login,
        "clients_keystone": {"auth_uri": services.keystone_url},
        # The CFN API asks Keystone to check EC2 signatures, which Keystone allows to services only (OSSA-2025-002).
        # Heat adds /v3/ec2tokens itself: the override has neither version nor slash.
        # A Keystone that is restarted is asked again, for 15 s in all: where it has no answer, the CFN API has
        # none for its own client either, and ends the connection.
        _EC2: {
            **login,
            **in_project,
            **trust,
            "endpoint_override": services.keystone_url,
            "connect_retries": _KEYSTONE_RETRIES,
            "status_code_retries": _KEYSTONE_RETRIES,
        },
    }
    if services.public_keystone_url:
        # Engines keep to their own side of the cloud's network; servers in stacks are told the other.
        found["clients_keystone"]["endpoint_type"] = "internalURL"
        found["DEFAULT"]["server_keystone_endpoint_type"] = "public"
    if services.ca_file:
        found["clients"] = {"ca_file": services.ca_file}
    if services.broker_tls:
        found["oslo_messaging_rabbit"] = {"ssl": "true", "ssl_ca_file": services.ca_file}
    if services.memcached:
        servers = ",".join(services.memcached)
        # Without a cache that answers, every request costs a validation at Keystone.
        found["keystone_authtoken"] |= {
            "memcached_servers": servers,
            "memcache_pool_dead_retry": _CACHE_RETRY,
            **ENCRYPTED_TOKENS,
        }
        found["cache"] = {
            "enabled": "true",
            # With dogpile.cache.pymemcache a request or a resource fails that comes upon a connection to a memcached
            # which has been restarted since.
            "backend": "oslo_cache.memcache_pool",
            "memcache_servers": servers,
            "memcache_dead_retry": _CACHE_RETRY,
        }
    return found


def secret_options(secrets: Secrets) -> Options:
    """The options of secrets.conf, the same on every node."""
    service = {"password": secrets.service_password}
    return {
        "DEFAULT": {
            "transport_url": secrets.transport_url,
            "auth_encryption_key": secrets.auth_encryption_key,
            "stack_domain_admin_password": secrets.domain_admin_password,
        },
        "database": {"connection": secrets.database_url},
        "keystone_authtoken": {**service, TOKEN_CACHE_KEY: secrets.token_cache_key},
        "trustee": service,
        _EC2: service,
    }


def known_to(options: Options, *, ec2_login: bool) -> Options:
    """The same for a release whose CFN API has no login of its own: it asks Keystone without, at `auth_uri`.

    Args:
        options: of heat.conf or of secrets.conf.
        ec2_login: whether it has one; 24.1.2, 25.0.2 and all from 26 on do.
    """
    if ec2_login:
        return options
    login = options.get(_EC2, {})
    others = {section: values for section, values in options.items() if section != _EC2}
    if "endpoint_override" not in login:
        return others
    trust = {"ca_file": login["cafile"]} if "cafile" in login else {}
    return {**others, _EC2: {"auth_uri": f"{login['endpoint_override']}/v3", **trust}}


def broker(transport_url: str) -> str:
    """Where a transport_url leads, without the logins in it: rabbit://host:port,host:port/vhost. No secret.

    Engines that differ in it do not share their queues; those that differ in the login alone do. The hosts see it in
    the same way: templates/heat/broker.inc.sh.
    """
    if "@" not in transport_url:
        return transport_url.partition("?")[0]
    try:
        return loopback.brokers(transport_url)
    except loopback.UndecidableError:
        # No part of it is known not to be a password.
        return "the broker in secrets.conf"


def process_options(process: Process, *, console_processes: int | None = None, max_header: int = 0) -> Options:
    """The options that differ between processes: `host` names the engine's own queue, and each API in its logs.

    An API whose file is there says to the proxy that it is not well: templates/heat/drain.inc.sh.

    Args:
        process: which.
        console_processes: how many an API is to fork, where it is Heat's own program and not under uWSGI.
        max_header: bytes that a line of a request's headers may have there.
    """
    own: dict[str, dict[str, str]] = {"DEFAULT": {"host": process.name}}
    api = APIS.get(process.kind)
    if api is None:
        return own
    down = f"/run/heat-scaleout/{process.unit}/down"
    own["healthcheck"] = {"backends": "disable_by_file", "disable_by_file_path": down}
    if console_processes is not None:
        listening = {"bind_host": process.address, "bind_port": str(process.port), "workers": str(console_processes)}
        own[api.section] = listening | {"max_header_line": str(max_header)}
        # It ends at once when it is told to: a connection that is there is a request that is under way.
        own["eventlet_opts"] = {"wsgi_keep_alive": "false"}
    return own
