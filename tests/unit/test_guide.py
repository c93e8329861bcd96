"""The sample of Heat's guide "Scaling a Deployment": its lines, and what this program renders for the same machines.

A has the original addresses and becomes the proxy, B and C run one ReST and one CFN API each, and engines.
"""

from __future__ import annotations

import functools
from urllib.parse import urlsplit

import pytest

from components.heat.heat_conf import process_options, secret_options
from components.proxy.haproxy import configuration, listeners
from components.rendering import render
from components.topology import Kind, of_kind, on_node
from infra.settings.model import Settings
from infra.settings.proxy import HaproxySettings
from tests.unit.program import guide_sample
from tests.unit.sample import CONF, NODES, SECRETS, A, B, C, parsed, processes

# The directives of the guide's sample for HAProxy, by section.
GUIDE = {
    "global": ["daemon", "maxconn 4000"],
    "defaults": [
        "log global",
        "maxconn 8000",
        "option redispatch",
        "retries 3",
        "timeout http-request 10s",
        "timeout queue 1m",
        "timeout connect 10s",
        "timeout client 1m",
        "timeout server 1m",
        "timeout check 10s",
    ],
    "listen rest_api_proxy": [
        "bind 10.0.0.1:8004",
        "balance source",
        "option tcpka",
        "option httpchk",
        "server rest-server-1 10.0.0.2:8004",
        "server rest-server-2 10.0.0.3:8004",
    ],
    "listen cfn_api_proxy": [
        "bind 10.0.0.1:8000",
        "balance source",
        "option tcpka",
        "option httpchk",
        "server cfn-server-1 10.0.0.2:8000",
        "server cfn-server-2 10.0.0.3:8000",
    ],
}

# Lines of the guide that this program replaces: with what, and why.
_NAMED = "a server is named by its host and port, so a deployment that grows renames none"
DEVIATIONS = {
    ("global", "daemon"): (None, "systemd starts HAProxy, and needs it in the foreground"),
    ("defaults", "timeout server 1m"): (
        "timeout server 70s",
        "Heat itself gives up after 60 s (rpc_response_timeout): HAProxy's 504 must not come in the same second",
    ),
    ("defaults", "timeout check 10s"): (
        "timeout check 2s",
        "HAProxy leaves an API that hangs within seconds; a busy API has a thread free for the check",
    ),
    ("defaults", "option redispatch"): (
        "option redispatch 1",
        "at the first retry, not after the last: a dead API is seldom back within seconds",
    ),
    ("listen rest_api_proxy", "server rest-server-1 10.0.0.2:8004"): ("server node-1-8004 10.0.0.2:8004", _NAMED),
    ("listen rest_api_proxy", "server rest-server-2 10.0.0.3:8004"): ("server node-2-8004 10.0.0.3:8004", _NAMED),
    ("listen cfn_api_proxy", "server cfn-server-1 10.0.0.2:8000"): ("server node-1-8000 10.0.0.2:8000", _NAMED),
    ("listen cfn_api_proxy", "server cfn-server-2 10.0.0.3:8000"): ("server node-2-8000 10.0.0.3:8000", _NAMED),
}

# Lines that the guide does not have, and why.
_HEADERS = "Heat trusts forwarded headers: a client's own must not reach it"
_BY_NAME = "the check at the end of an `up` asks each API by its name; no other host may"
_CHECKED = "a bare httpchk sends OPTIONS /, which Heat's CORS filter answers with 200 even if Heat is broken"
_LEAVING = "each check tells an API that is to stop whether it still gets requests; only the proxy may say so"
_LIMITS = "input without an end or a limit is stopped here, where it occupies no thread of an API"
_TWICE = "if an API dies during a request, another API gets it, if asking twice does no harm"
_LOG = (
    'log-format "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs '
    '\\"%HM %[var(txn.path)] %HV\\""'
)
_BOTH = {
    "source 10.0.0.1": "a node admits only this address of the front host, which may have others",
    "hash-type consistent": "with the other hash type, a retry goes to the API to which the client is bound",
    "http-request del-header Forwarded": _HEADERS,
    "http-request del-header X-Forwarded -m beg": _HEADERS,
    "http-request set-header X-Forwarded-Proto http": "links in Heat's answers have the scheme that clients use",
    "http-check expect status 200": _CHECKED,
    "http-check send-state": _LEAVING,
    "http-check disable-on-404": "an API that is to stop finishes its requests; one that is down is cut off",
    "http-request set-var(txn.path) path": "the part of the URL that the log shows",
    "acl large_body req.body_size gt 65536": _LIMITS,
    "acl large_body req.hdr(Transfer-Encoding) -m found": _LIMITS,
    "tcp-request connection track-sc0 src table clients": _LIMITS,
    "tcp-request connection reject if { sc0_conn_cur(clients) gt 256 }": _LIMITS,
    "http-request track-sc2 src table large_bodies if large_body": _LIMITS,
    "http-request deny deny_status 429 if { sc2_conn_cur(large_bodies) gt 16 }": _LIMITS,
    'http-request return status 431 content-type text/plain string "The headers are larger than 32768 bytes." '
    "if { req.hdrs,length gt 32768 }": _LIMITS,
    'http-request return status 414 content-type text/plain string "The URL is longer than 15359 bytes." '
    "if { url,length gt 15359 }": _LIMITS,
    "http-request deny deny_status 413 if { req.body_size gt 1638400 }": _LIMITS,
    "http-request wait-for-body time 10s": _LIMITS,
    "http-request deny deny_status 413 if { req.body_len gt 1638400 }": _LIMITS,
    "http-request del-header X-Haproxy-Server-State": _LEAVING,
    "http-request disable-l7-retry unless { method GET HEAD }": _TWICE,
    "use-server %[req.hdr(X-Heat-Backend)] if { src 10.0.0.1 127.0.0.0/8 } { req.hdr(X-Heat-Backend) -m found }": (
        _BY_NAME
    ),
}
ADDITIONS = {
    "global": {
        "log stdout format raw local0": "the journal gets the log: `log global` alone sends it nowhere",
        "user haproxy": "not as root",
        "group haproxy": "not as root",
        "chroot /var/lib/haproxy": "without access to the file system",
        "stats socket /run/haproxy/admin.sock mode 660 level admin expose-fd listeners": (
            "the check reads states there, and a reload passes the listening sockets on"
        ),
        "stats timeout 30s": "the timeout of that socket",
        "tune.bufsize 1736704": "a request is held until all of it has arrived",
        "lua-load /etc/haproxy/heat-scaleout-leave.lua": _TWICE,
        "tune.maxrewrite 4096": "the same, and room to change its headers",
    },
    "defaults": {
        "mode http": "the default is TCP, which has no forwarded headers and no HTTP in its log",
        _LOG: "which request went where, with its result; without the query, which may hold a signature",
        "option dontlognull": "the log shows requests only",
        "option idle-close-on-response": "a reload does not close a connection at the moment a request arrives on it",
        "option disable-h2-upgrade": _LIMITS,
        "option http-restrict-req-hdr-names delete": _HEADERS,
        "default-server maxconn 8": "an API has a thread free for the check; further requests can go to another API",
        "default-server source 10.0.0.1": "an API accepts requests from this address only",
        "option forwardfor if-none": "Heat's log and policies see the client's address",
        "retry-on conn-failure empty-response": _TWICE,
        "default-server check inter 2s fastinter 500ms downinter 500ms fall 3 rise 2": (
            "without `check`, httpchk does nothing; an API that leaves or returns is noticed within seconds"
        ),
    },
    "listen rest_api_proxy": {
        **_BOTH,
        "http-check send meth GET uri /healthcheck ver HTTP/1.1 hdr Host 10.0.0.1:8004": _CHECKED,
    },
    "listen cfn_api_proxy": {
        **_BOTH,
        "http-check send meth GET uri /healthcheck ver HTTP/1.1 hdr Host 10.0.0.1:8000": _CHECKED,
    },
}
# Sections that the guide does not have: the counters of each client, and the statistics.
COUNTERS, OURS = ["backend clients", "backend large_bodies"], ["listen stats"]

LINES = [(section, line) for section, lines in GUIDE.items() for line in lines]


@functools.cache
def ours() -> dict[str, list[str]]:
    """Our configuration for the guide's machines: the directives of each section, in order."""
    settings = Settings()
    text = configuration(
        A,
        listeners(processes(), ports={Kind.API: 8004, Kind.CFN: 8000}),
        limits=settings.request_limits,
        at_once=8,
        haproxy=settings.haproxy_values,
        stats_port=settings.stats_port,
        stats_allow=["10.0.0.0/24"],
    )
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = " ".join(line.split())
        if not words or words.startswith("#"):
            continue
        if line[0] != " ":
            sections[words] = []
        else:
            sections[[*sections][-1]].append(words)
    return sections


@pytest.mark.parametrize(("section", "line"), LINES, ids=lambda value: value)
def test_a_line_of_the_guide_is_ours_or_a_named_deviation(section: str, line: str) -> None:
    if (section, line) in DEVIATIONS:
        instead, reason = DEVIATIONS[section, line]
        assert line not in ours()[section], f"no longer a deviation, but the table lists it: {reason}"
        assert instead is None or instead in ours()[section], reason
    else:
        assert line in ours()[section], "the guide's line is missing, and no deviation says why"


def test_every_deviation_is_from_a_line_of_the_guide() -> None:
    assert set(DEVIATIONS) <= set(LINES)


def test_the_sections_are_the_guides_in_the_guides_order() -> None:
    general, listening = [*GUIDE][:2], [*GUIDE][2:]
    assert list(ours()) == [*general, *COUNTERS, *listening, *OURS]


@pytest.mark.parametrize("section", GUIDE)
def test_every_line_of_ours_is_the_guides_or_stands_for_one_or_has_a_reason(section: str) -> None:
    replaced = {instead for (where, _), (instead, _) in DEVIATIONS.items() if where == section}
    unexplained = set(ours()[section]) - set(GUIDE[section]) - replaced - set(ADDITIONS[section])
    assert not unexplained
    assert set(ADDITIONS[section]) <= set(ours()[section]), "a reason for a line that is not there"


@pytest.mark.parametrize("section", GUIDE)
def test_the_guides_lines_are_in_the_guides_order(section: str) -> None:
    shown = [DEVIATIONS.get((section, line), (line, ""))[0] for line in GUIDE[section]]
    assert [line for line in ours()[section] if line in shown] == [line for line in shown if line]


def test_the_defaults_of_the_settings_are_the_guides_numbers() -> None:
    default = HaproxySettings()
    assert GUIDE["global"][1] == f"maxconn {default.global_maxconn}"
    assert GUIDE["defaults"] == [
        "log global",
        f"maxconn {default.maxconn}",
        "option redispatch",
        f"retries {default.retries}",
        f"timeout http-request {default.timeout_http_request}",
        f"timeout queue {default.timeout_queue}",
        f"timeout connect {default.timeout_connect}",
        f"timeout client {default.timeout_client}",
        "timeout server 1m",
        "timeout check 10s",
    ]


def test_the_whole_program_renders_the_same_lines_for_the_samples_machines() -> None:
    text = guide_sample().by_name["front-haproxy-cfg"].text()
    words = [" ".join(line.split()) for line in text.splitlines()]
    for lines in ours().values():
        assert set(lines) <= set(words)


# heat.conf: what the operator of the guide changes in B's copy of A's file, by today's option names.


def test_on_b_the_database_and_the_broker_are_those_of_a() -> None:
    """sql_connection and rabbit_host: their loopback addresses become 10.0.0.1."""
    conf = secret_options(SECRETS)
    database = urlsplit(conf["database"]["connection"])
    assert (database.scheme, database.hostname, database.path) == ("mysql+pymysql", A, "/heat")
    assert urlsplit(conf["DEFAULT"]["transport_url"]).hostname == A


def test_no_loopback_address_is_left_in_what_b_and_c_read() -> None:
    run = guide_sample()
    for node in NODES:
        for resource in run.remote:
            if run.host_of(resource) == node.name and resource.name.endswith("conf"):
                assert not any(word in resource.text() for word in ("127.0.0.1", "localhost", "::1")), resource.name


def test_on_b_host_is_a_value_of_its_own_for_each_process() -> None:
    """The guide copies heat.conf for each process; here each process has a file of one line."""
    planned = processes(engines=6, apis=4, cfn_apis=4)
    hosts = [process_options(process)["DEFAULT"]["host"] for process in planned]
    assert len({*hosts}) == len(hosts)
    assert not {"localhost", A} & {*hosts}


def test_each_api_has_an_address_of_its_own_to_listen_on() -> None:
    planned = processes(apis=6, cfn_apis=6)
    listening = [(process.address, process.port) for process in planned if process.kind is not Kind.ENGINE]
    assert len({*listening}) == len(listening) == 12


def test_b_and_c_run_one_rest_and_one_cfn_api_each_and_engines() -> None:
    planned = processes()
    for node, address in zip(NODES, (B, C), strict=True):
        there = [(process.kind, process.address, process.port) for process in on_node(planned, node.name)]
        assert there == [(Kind.ENGINE, address, None), (Kind.API, address, 8004), (Kind.CFN, address, 8000)]


def test_any_number_of_engines_runs_on_one_machine() -> None:
    assert [len(on_node(of_kind(processes(engines=7), Kind.ENGINE), node.name)) for node in NODES] == [4, 3]


def test_the_brokers_options_are_equal_on_every_machine() -> None:
    """The guide requires equal rabbit_ and kombu_ options: the files are the same to the last byte."""
    run = guide_sample()
    for name in ("heat-conf", "secrets-conf"):
        assert run.by_name[f"node-1-{name}"].text() == run.by_name[f"node-2-{name}"].text()
    for process in processes():
        own = parsed(render("heat/options.conf.j2", purpose="", options=process_options(process)))
        own.pop("healthcheck", None)
        assert own == {"DEFAULT": {"host": process.name}}, "a process's own file has a broker's option"
    together = {*CONF, *secret_options(SECRETS)}
    assert "oslo_messaging_rabbit" in together


def test_clients_change_nothing_the_proxy_is_where_the_apis_were() -> None:
    outputs = guide_sample().outputs
    assert outputs["heatApiUrl"] == f"http://{A}:8004"
    assert outputs["heatCfnUrl"] == f"http://{A}:8000/v1/"
