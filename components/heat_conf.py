"""What stands in a node's heat.conf. Pure: a deployment's facts in, sections of options out.

One heat.conf holds all that may be read by anyone, one secrets.conf what may not, and each process has a file of a
line or two; Heat reads the three in that order, a later one winning. Names and sections are those of Heat 24 to 27.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from components.topology import Process

# Section, option, value; the form in which options are merged. One that may be repeated has each value on a line.
Options: TypeAlias = Mapping[str, Mapping[str, str]]

CONF_DIR = "/etc/heat"
CONF = f"{CONF_DIR}/heat.conf"
SECRETS = f"{CONF_DIR}/secrets.conf"
POLICY = f"{CONF_DIR}/policy.yaml"

# Where the bundled control plane listens.
KEYSTONE_PORT = 5000
DATABASE_PORT = 3306
BROKER_PORT = 5672
MEMCACHED_PORT = 11211

# Names in Keystone.
SERVICE_USER = "heat"
SERVICE_PROJECT = "service"
SERVICE_DOMAIN = "Default"
STACK_DOMAIN = "heat"
STACK_DOMAIN_ADMIN = "heat_domain_admin"
STACK_USER_ROLE = "heat_stack_user"

# What a worker can have in work, and so what it may fetch from the queue ahead: a worker that fetches without limit
# hoards messages while others idle.
_WORKER_THREADS = 64
# Seconds after which a cache that was away is asked again; by default everything goes uncached for five minutes.
_CACHE_RETRY = "10"


def process_conf(process: Process) -> str:
    """The path of the file that only this process reads."""
    return f"{CONF_DIR}/processes/{process.unit}.conf"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What every node's heat.conf is made from: addresses as the nodes reach them, no secrets.

    `api_url` and `cfn_url` are the proxy's, as clients see them: Heat signs them into the URLs that it hands out.
    `keystone_url` has no version and no slash at its end.
    """

    heat_version: str
    api_url: str
    cfn_url: str
    keystone_url: str
    database_host: str
    broker_host: str
    memcached: str
    region: str
    engine_workers: int
    rpc_response_timeout: int
    graceful_shutdown_timeout: int

    @property
    def prefix(self) -> str:
        """Where this release of Heat is installed."""
        return f"/opt/heat/{self.heat_version}"


def _service_login(deployment: Deployment) -> dict[str, str]:
    return {
        "auth_type": "password",
        "auth_url": f"{deployment.keystone_url}/v3",
        "username": SERVICE_USER,
        "user_domain_name": SERVICE_DOMAIN,
    }


def options(deployment: Deployment) -> Options:
    """The options of heat.conf, the same on every node."""
    login = _service_login(deployment)
    in_project = {"project_name": SERVICE_PROJECT, "project_domain_name": SERVICE_DOMAIN}
    shipped = f"{deployment.prefix}/etc/heat"
    return {
        "DEFAULT": {
            "heat_metadata_server_url": deployment.cfn_url,
            "heat_waitcondition_server_url": f"{deployment.cfn_url}/v1/waitcondition",
            "heat_stack_user_role": STACK_USER_ROLE,
            "stack_user_domain_name": STACK_DOMAIN,
            "stack_domain_admin": STACK_DOMAIN_ADMIN,
            "region_name_for_services": deployment.region,
            "num_engine_workers": str(deployment.engine_workers),
            "rpc_response_timeout": str(deployment.rpc_response_timeout),
            "graceful_shutdown_timeout": str(deployment.graceful_shutdown_timeout),
            "executor_thread_pool_size": str(_WORKER_THREADS),
            "environment_dir": f"{shipped}/environment.d",
            "template_dir": f"{shipped}/templates",
        },
        "paste_deploy": {"api_paste_config": f"{shipped}/api-paste.ini"},
        "oslo_policy": {"policy_file": POLICY},
        # HAProxy is in front, and strips what clients claim: templates/haproxy/haproxy.cfg.j2.
        "oslo_middleware": {"enable_proxy_headers_parsing": "true"},
        "oslo_messaging_rabbit": {"rabbit_qos_prefetch_count": str(_WORKER_THREADS)},
        "keystone_authtoken": {
            **login,
            **in_project,
            "www_authenticate_uri": f"{deployment.keystone_url}/v3",
            # Without a cache that answers, every request costs a validation at Keystone.
            "memcached_servers": deployment.memcached,
            "memcache_pool_dead_retry": _CACHE_RETRY,
        },
        "trustee": login,
        "clients_keystone": {"auth_uri": deployment.keystone_url},
        # The CFN API asks Keystone to check EC2 signatures, which Keystone allows to services only (OSSA-2025-002).
        # Heat adds /v3/ec2tokens itself: the override has neither version nor slash.
        "ec2authtoken": {**login, **in_project, "endpoint_override": deployment.keystone_url},
        "cache": {
            "enabled": "true",
            "backend": "dogpile.cache.pymemcache",
            "memcache_servers": deployment.memcached,
        },
    }


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What goes into secrets.conf. `auth_encryption_key` has exactly 32 characters, the same on every engine."""

    database_password: str
    broker_password: str
    service_password: str
    domain_admin_password: str
    auth_encryption_key: str


def secret_options(deployment: Deployment, secrets: Secrets) -> Options:
    """The options of secrets.conf, the same on every node."""
    service = {"password": secrets.service_password}
    return {
        "DEFAULT": {
            "transport_url": f"rabbit://heat:{secrets.broker_password}@{deployment.broker_host}:{BROKER_PORT}/heat",
            "auth_encryption_key": secrets.auth_encryption_key,
            "stack_domain_admin_password": secrets.domain_admin_password,
        },
        "database": {
            "connection": f"mysql+pymysql://heat:{secrets.database_password}@{deployment.database_host}/heat?charset=utf8mb4"
        },
        "keystone_authtoken": service,
        "trustee": service,
        "ec2authtoken": service,
    }


def process_options(process: Process) -> Options:
    """The options that differ between processes: `host` names the engine's own queue, and each API in its logs."""
    return {"DEFAULT": {"host": process.name}}
