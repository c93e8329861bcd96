"""The guide's sample, as values: A is 10.0.0.1, B and C are 10.0.0.2 and 10.0.0.3."""

from __future__ import annotations

import configparser

from components.heat.heat_conf import Deployment, Secrets, Services, merge, options, service_options
from components.heat.install import Installation
from components.timeouts import complete_chain
from components.topology import Kind, Node, Process, plan_processes
from infra.settings.model import Settings

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
NODES = (Node(name="node-1", address=B), Node(name="node-2", address=C))

DEPLOYMENT = Deployment(
    install=Installation(version="27.0.1"),
    urls={Kind.API: f"http://{A}:8004", Kind.CFN: f"http://{A}:8000"},
    region="RegionOne",
    engine_workers=2,
    checks_per_stack=8,
    timeouts=complete_chain({"rpc_response": 60, "engine_graceful": 90})[0],
)
SERVICES = Services(keystone_url=f"http://{A}:5000", memcached=(f"{A}:11211",))
SECRETS = Secrets(
    database_url=f"mysql+pymysql://heat:database-secret@{A}/heat?charset=utf8mb4",
    transport_url=f"rabbit://heat:broker-secret@{A}:5672/heat",
    service_password="service-secret",
    domain_admin_password="domain-admin-secret",
    auth_encryption_key="0123456789abcdef0123456789abcdef",
    token_cache_key="token-cache-secret",
)

CONF = merge(options(DEPLOYMENT), service_options(SERVICES))


def processes(*, engines: int = 2, apis: int = 2, cfn_apis: int = 2) -> tuple[Process, ...]:
    return plan_processes(
        NODES,
        counts={Kind.ENGINE: engines, Kind.API: apis, Kind.CFN: cfn_apis},
        ports=Settings().api_ports,
    )


def _unquoted(value: str) -> str:
    return value[1:-1] if value and value[0] == value[-1] and value[0] in "'\"" else value


def parsed(text: str) -> dict[str, dict[str, str]]:
    """An INI file as oslo.config understands it: names as they are, $$ for a dollar, no quotes around a value."""
    parser = configparser.RawConfigParser(default_section="", delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = lambda optionstr: optionstr  # type: ignore[method-assign]
    parser.read_string(text)
    return {
        section: {name: _unquoted(value).replace("$$", "$") for name, value in parser.items(section)}
        for section in parser.sections()
    }
