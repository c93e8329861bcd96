"""The options of a node's heat.conf. Pure: the properties of a deployment in, sections of options out.

heat.conf has the public options, secrets.conf the secret ones, and each process has a file with a line or two. Heat
reads the three in this order, and the last one wins. Names and sections are those of Heat 24 to 27.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias, TypeVar

from components import urls
from components.heat.install import Installation
from components.timeouts import Timeouts
from components.topology import APIS, Kind, Process

# Value by section and option. A repeated option has a line for each of its values.
Options: TypeAlias = Mapping[str, Mapping[str, str]]
T = TypeVar("T")

CONF_DIR = "/etc/heat"
CONF = f"{CONF_DIR}/heat.conf"
SECRETS = f"{CONF_DIR}/secrets.conf"
POLICY = f"{CONF_DIR}/policy.yaml"
# The operator's own certificates, and those that the system trusts.
CA = f"{CONF_DIR}/ca.pem"
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"

# Where the bundled control plane listens.
KEYSTONE_PORT = 5000
DATABASE_PORT = 3306
BROKER_PORT = 5672
# RabbitMQ's usual port for TLS.
BROKER_TLS_PORT = 5671
MEMCACHED_PORT = 11211

# Heat's own limits in bytes, and the size of a request's other parts: a form's other fields, JSON's other members.
MAX_JSON_BODY_SIZE, MAX_TEMPLATE_SIZE, _BESIDE_A_TEMPLATE = 1048576, 524288, 65536


def largest_body(max_json_body_size: int, max_template_size: int) -> int:
    """The largest body in bytes that Heat accepts: JSON, or a form, where a template can be three times its size."""
    return max(max_json_body_size, 3 * max_template_size) + _BESIDE_A_TEMPLATE


# The role that Heat gives to the users of its stacks.
STACK_USER_ROLE = "heat_stack_user"

# The number of messages that a worker can work on, and so may fetch from the queue in advance. A worker that fetches
# without a limit hoards messages while others idle.
WORKER_THREADS = 64
# Seconds. After two to three heartbeats the broker declares a worker on an unreachable host dead, and delivers its
# messages to another worker while the API still waits for the answer (rpc_response_timeout).
HEARTBEAT = 15
# Seconds until a failed cache is tried again. By default everything goes uncached for five minutes.
_CACHE_RETRY = "10"
# Whoever reaches memcached can read and replace its contents. With a key the APIs refuse a forged token.
ENCRYPTED_TOKENS = {"memcache_security_strategy": "ENCRYPT"}
TOKEN_CACHE_KEY = "memcache_secret_key"  # noqa: S105 # the option's name
# The number of times that the CFN API repeats a request to a Keystone that does not answer or answers 503.
_KEYSTONE_RETRIES = "5"
# The section for the CFN API's requests to Keystone, which checks EC2 signatures.
_EC2 = "ec2authtoken"


def process_conf(process: Process) -> str:
    """The path of the file with this process's own options."""
    return f"{CONF_DIR}/processes/{process.unit}.conf"


def own_directory(unit: str) -> str:
    """The directory with the copies of files that a process reads: templates/heat/process.sh.j2."""
    return f"{CONF_DIR}/processes/{unit}"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The properties of a deployment that are in every node's heat.conf, without its control plane; no secrets.

    Attributes:
        install: how Heat is installed, and which release.
        urls: the proxy's URL of each API, as clients see it. Heat signs it into the URLs that it hands out.
        region: Keystone's region.
        engine_workers: the number of workers of one engine.
        checks_per_stack: the number of a stack's resources that one worker works on at once; 0 for Heat's own pace.
        timeouts: in seconds.
        strips_headers: whether the proxy removes the headers by which clients claim another address or host.
    """

    install: Installation
    urls: Mapping[Kind, str]
    region: str
    engine_workers: int
    checks_per_stack: int
    timeouts: Timeouts
    strips_headers: bool = True

    @property
    def prefix(self) -> str:
        """The directory where this release of Heat is installed."""
        return self.install.prefix


@dataclass(frozen=True, kw_only=True)
class Services:
    """The addresses of Heat's control plane, and Heat's names in Keystone; no secrets.

    Attributes:
        keystone_url: without a version and without a slash at its end.
        public_keystone_url: the URL of the same Keystone for clients; "" if it is the same URL.
        memcached: servers, each host:port.
        ca_file: the path on the nodes of the certificates that TLS is verified with; "" for the libraries' own.
        database_tls: whether the database is reached by TLS.
        broker_tls: whether the broker is reached by TLS.
        user: Heat's user.
        project: that user's project.
        domain: the domain of the user and of the project.
        stack_domain: the domain of the users of stacks.
        stack_domain_admin: the administrator of that domain.
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
    """The secrets in secrets.conf.

    Attributes:
        database_url: in SQLAlchemy's form.
        transport_url: in oslo.messaging's form.
        service_password: the password of Heat's user.
        domain_admin_password: the password of the administrator of the stacks' domain.
        auth_encryption_key: exactly 32 characters, the same on every engine.
        token_cache_key: the APIs encrypt the tokens with it that they keep in memcached.
    """

    database_url: str
    transport_url: str
    service_password: str
    domain_admin_password: str
    auth_encryption_key: str
    token_cache_key: str


def merge(*layers: Mapping[str, Mapping[str, T]]) -> dict[str, dict[str, T]]:
    """Merge sets of options. The last value of an option wins."""
    merged: dict[str, dict[str, T]] = {}
    for layer in layers:
        for section, values in layer.items():
            merged.setdefault(section, {}).update(values)
    return merged


def options(deployment: Deployment) -> Options:
    """The options of heat.conf about Heat itself, the same on every node."""
    shipped = f"{deployment.prefix}/etc/heat"
    return {
        "DEFAULT": {
            "heat_metadata_server_url": deployment.urls[Kind.CFN],
            "heat_waitcondition_server_url": f"{deployment.urls[Kind.CFN]}/v1/waitcondition",
            "heat_stack_user_role": STACK_USER_ROLE,
            "region_name_for_services": deployment.region,
            "num_engine_workers": str(deployment.engine_workers),
            "rpc_response_timeout": str(deployment.timeouts.rpc_response),
            # No limit: systemd or templates/heat/finish.inc.sh stops an engine, and decides how long it may take.
            "graceful_shutdown_timeout": "0",
            "executor_thread_pool_size": str(WORKER_THREADS),
            "environment_dir": f"{shipped}/environment.d",
            "template_dir": f"{shipped}/templates",
        },
        "paste_deploy": {"api_paste_config": f"{shipped}/api-paste.ini"},
        # In the same directory: each process has its own copies of both files.
        "oslo_policy": {"policy_file": PurePosixPath(POLICY).name},
        # HAProxy removes these headers of clients (templates/proxy/haproxy.cfg.j2), Octavia does not.
        "oslo_middleware": {"enable_proxy_headers_parsing": "true" if deployment.strips_headers else "false"},
        "oslo_messaging_rabbit": {
            "rabbit_qos_prefetch_count": str(WORKER_THREADS),
            "heartbeat_timeout_threshold": str(HEARTBEAT),
        },
    }


def service_options(services: Services) -> Options:
    """The options of heat.conf about the control plane, the same on every node."""
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
        # A trustee's session verifies TLS by [clients]; this section has no option for it.
        "trustee": login,
        "clients_keystone": {"auth_uri": services.keystone_url},
        # The CFN API asks Keystone to check EC2 signatures, which Keystone allows to services only (OSSA-2025-002).
        # Heat adds /v3/ec2tokens itself: the override has neither version nor slash.
        # While Keystone restarts, the CFN API repeats its request for 15 s. Without an answer of Keystone the CFN API
        # has none for its own client either, and closes the connection.
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
        # Engines use the internal endpoints of the cloud; servers in stacks get the public ones.
        found["clients_keystone"]["endpoint_type"] = "internalURL"
        found["DEFAULT"]["server_keystone_endpoint_type"] = "public"
    if services.ca_file:
        found["clients"] = {"ca_file": services.ca_file}
    if services.broker_tls:
        found["oslo_messaging_rabbit"] = {"ssl": "true", "ssl_ca_file": services.ca_file}
    if services.memcached:
        servers = ",".join(services.memcached)
        # Without a cache, every request costs a validation by Keystone.
        found["keystone_authtoken"] |= {
            "memcached_servers": servers,
            "memcache_pool_dead_retry": _CACHE_RETRY,
            **ENCRYPTED_TOKENS,
        }
        found["cache"] = {
            "enabled": "true",
            # With dogpile.cache.pymemcache a request or a resource fails if its connection is to a memcached that has
            # been restarted since.
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
    """The options for a release whose CFN API cannot log in to Keystone: it only knows `auth_uri`.

    Args:
        options: of heat.conf or of secrets.conf.
        ec2_login: whether the CFN API can log in; 24.1.2, 25.0.2 and all releases from 26 on can.
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
    """A transport_url without its logins: rabbit://host:port,host:port/vhost. No secret.

    Engines share their queues if the result is the same; the login does not matter. The hosts compute the same:
    templates/heat/broker.inc.sh.
    """
    if "@" not in transport_url:
        return transport_url.partition("?")[0]
    try:
        return urls.without_logins(transport_url)
    except urls.BrokerUrlError:
        # Any part of it may be a password.
        return "the broker in secrets.conf"


def process_options(process: Process, *, console_processes: int | None = None, max_header: int = 0) -> Options:
    """The options of one process: `host` is the name of the engine's own queue, and of the API in its logs.

    While the file of `disable_by_file_path` exists, the API fails the proxy's health checks:
    templates/heat/drain.inc.sh.

    Args:
        process: the process.
        console_processes: the number of workers of Heat's own API program; None under uWSGI.
        max_header: the longest line of a request's headers in bytes, for Heat's own API program.
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
        # A stop ends the program at once. Without keep-alive every open connection has a request in progress.
        own["eventlet_opts"] = {"wsgi_keep_alive": "false"}
    return own
