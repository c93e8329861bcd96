"""What only holds or fails between values; each is known to be good in itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from components.heat.heat_conf import BROKER_PORT, DATABASE_PORT, KEYSTONE_PORT, MEMCACHED_PORT, WORKER_THREADS
from components.hosts.subnets import free_subnet, overlapping_routes
from components.memory import megabytes
from components.timeouts import LINKS, complete_chain
from components.topology import PlacementError
from infra.settings.formats import LARGEST_BODY
from infra.settings.model import API_PORTS, FRONT, HaproxySettings, Settings
from infra.settings.reader import Reader, camel, seconds
from infra.settings.rules.options import check_processes
from infra.settings.rules.values import PORTS

Routes = Sequence[tuple[ipaddress.IPv4Network, str]]

# What else listens on the front host's address where the control plane is bundled.
_BUNDLED = {
    DATABASE_PORT: "MariaDB",
    KEYSTONE_PORT: "Keystone",
    BROKER_PORT: "RabbitMQ",
    MEMCACHED_PORT: "memcached",
}
# What the bundled MariaDB allows, and what Keystone and the operator need of it.
MAX_CONNECTIONS = 4000
OTHER_CONNECTIONS = 200


def check_together(settings: Settings, reader: Reader, routes: Routes) -> None:
    """What only holds or fails between values; each is known to be good in itself."""
    network = settings.network
    if settings.hosts == "containers" and (found := overlapping_routes(network, routes)):
        rule = f"this machine has a route to {', '.join(found)}, and the containers' bridge would take its traffic"
        reader.refuse("subnet", settings.subnet, rule, free_subnet(routes))
    if settings.hosts != "existing":
        try:
            _ = settings.addresses
        except ValueError as error:
            reader.refuse("subnet", settings.subnet, f"{error}", "<a larger IPv4 subnet>")
            return
    if _check_ports(settings, reader):
        check_processes(settings, reader)
    if settings.control_plane == "bundled":
        _check_connections(settings, reader)
    if settings.request_limits.body > LARGEST_BODY:
        rule = f"follows from options; HAProxy holds a whole request in memory, {LARGEST_BODY} bytes at most"
        reader.refuse("haproxy.maxBody", settings.request_limits.body, rule, LARGEST_BODY)
    else:
        _check_memory_of_bodies(settings, reader)
    _check_timeouts(settings, reader)
    if settings.octavia:
        _check_monitor(settings, reader)


def _check_memory_of_bodies(settings: Settings, reader: Reader) -> None:
    """One client alone must not fill HAProxy's memory: half of it holds the large bodies that one may send at once."""
    limits, size = settings.request_limits, settings.memory_limits.haproxy
    needed = 2 * limits.large_bodies * limits.buffer
    if not settings.octavia and megabytes(size) and needed > megabytes(size) * 1024**2:
        each = f"one client may send {limits.large_bodies} bodies of {limits.body} bytes at once"
        rule = f"{each} (haproxy.maxBody, haproxy.clientConnections), and HAProxy needs twice as much memory"
        reader.refuse("memory.haproxy", size, rule, f"{-(-needed // 1024**3)}G")


def _check_connections(settings: Settings, reader: Reader) -> None:
    each = worker_connections(settings)
    if settings.engines * settings.engine_workers * each + OTHER_CONNECTIONS > MAX_CONNECTIONS:
        most = (MAX_CONNECTIONS - OTHER_CONNECTIONS) // each
        if settings.engine_workers > most:
            rule = f"the bundled MariaDB carries {most} workers in all"
            reader.refuse("engineWorkers", settings.engine_workers, rule, most // settings.engines or 1)
        else:
            rule = f"with engineWorkers = {settings.engine_workers} the bundled MariaDB carries {most} workers in all"
            reader.refuse("engines", settings.engines, rule, most // settings.engine_workers)


def worker_connections(settings: Settings) -> int:
    """What one worker of an engine may open to the database at once: its pool, and a connection for each thread."""
    most = settings.options.most
    overflow = max(
        most(("database", "max_overflow"), 50), most(("DEFAULT", "executor_thread_pool_size"), WORKER_THREADS)
    )
    return most(("database", "max_pool_size"), 5) + overflow


def _check_timeouts(settings: Settings, reader: Reader) -> None:
    """The chain of timeouts holds, link by link: a mended link is what the next one is measured by."""
    own, server = settings.timeouts.proxy_server, settings.haproxy.timeout_server
    if own is not None and server and seconds(server) != own:
        rule = f"this is timeouts.proxyServer too, which is {own} s"
        reader.refuse("haproxy.timeoutServer", server, rule)
    given, before = settings.given_timeouts, {link.longer: link for link in LINKS}
    for link, longer, shorter in complete_chain(given)[1]:
        source = ""
        if given.get(link.shorter) != shorter:
            source = f", {before[link.shorter].margin} more than timeouts.{camel(before[link.shorter].shorter)}"
        rule = f"must be longer than timeouts.{camel(link.shorter)} ({shorter} s{source}), or {link.consequence}"
        mended = shorter + link.margin
        if link.longer == "proxy_server" and own is None:
            reader.refuse("haproxy.timeoutServer", server, rule, f"{mended}s")
        else:
            reader.refuse(f"timeouts.{camel(link.longer)}", longer, rule, mended)


def _check_monitor(settings: Settings, reader: Reader) -> None:
    """An API that is to stop has the time to be found not well."""
    monitor, stop = settings.monitor, settings.chain.api_stop
    if monitor.delay * monitor.down >= stop:
        rule = (
            f"the load balancer takes {monitor.delay * monitor.down} s to leave an API alone (haproxy.checkFall = "
            f"{monitor.fall}), which has timeouts.apiStop ({stop} s) to end its requests"
        )
        usual = HaproxySettings().check_interval
        reader.refuse("haproxy.checkInterval", settings.haproxy.check_interval, rule, usual)


def _check_ports(settings: Settings, reader: Reader) -> bool:
    """Whether every process has a port that it can have, so that there is a plan."""
    default = Settings()
    logins = settings.existing.by_name if settings.hosts == "existing" else {}
    taken = {22: "sshd"} | (_BUNDLED if settings.control_plane == "bundled" else {})
    taken |= {logins[FRONT].port: "sshd"} if logins else {}
    for name in PORTS:
        port = getattr(settings, name)
        if port in taken:
            rule = f"{taken[port]} listens there on the front host"
            usual = getattr(default, name)
            reader.refuse(camel(name), port, rule, usual if usual != port else "<another port>")
    for name in API_PORTS.values():
        if settings.stats_port == getattr(settings, name):
            # The one to change is the one that was changed.
            moved, other = (name, "stats_port") if settings.stats_port == default.stats_port else ("stats_port", name)
            reader.refuse(camel(moved), settings.stats_port, f"{camel(other)} is the same", getattr(default, moved))
    try:
        for process in settings.processes:
            if logins and process.port == logins[process.node].port:
                name = API_PORTS[process.kind]
                rule = f"{process.unit} would listen on port {process.port} of {process.node}, where sshd does"
                reader.refuse(camel(name), getattr(settings, name), rule, "<another port>")
    except PlacementError as error:
        remedy = "; ".join(
            f"pulumi config set {camel(name)} {getattr(default, name)} --stack {reader.stack}"
            for name in API_PORTS.values()
        )
        keys = ", ".join(map(camel, API_PORTS.values()))
        reader.problems += [f"{keys}: {problem}. Type: {remedy}" for problem in error.problems]
        return False
    return True
