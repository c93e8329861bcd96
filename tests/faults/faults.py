"""The faults. Those of a group run in their order here, the groups in the seed's order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.e2e.lab import wait_for
from tests.faults.cut import Cause
from tests.faults.scene import Scene, root

# The group that always runs first: the stack has the old release only once.
FIRST = "upgrade"
OLD, NEW = "24.1.2", "27.0.1"
# Of another series than NEW, with the same schema.
LIKE_NEW = "26.0.2"
ENGINE, API, CFN = "heat-engine", "heat-api", "heat-api-cfn"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault. `planned`: an operator's change, which no client may notice; otherwise something breaks."""

    name: str
    group: str
    planned: bool
    do: Callable[[Scene], None]


FAULTS: list[Fault] = []


def fault(group: str, *, planned: bool) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Add a function to the list, under its own name."""

    def add(do: Callable[[Scene], None]) -> Callable[[Scene], None]:
        FAULTS.append(Fault(name=do.__name__.replace("_", "-"), group=group, planned=planned, do=do))
        return do

    return add


@fault(FIRST, planned=True)
def upgrade_failed(scene: Scene) -> None:
    """No engine of NEW starts on the stack that tests/faults/run.sh started with OLD: the old engines keep serving."""
    dropin = "/etc/systemd/system/heat-engine@.service.d"
    fails = f"[Service]\nExecStartPre=/bin/sh -c '! grep -q /opt/heat/{NEW}/ /etc/systemd/system/%p@%i.service'\n"
    for node in scene.nodes():
        scene.stack.on(node, f"mkdir -p {dropin}; cat >{dropin}/fails.conf; systemctl daemon-reload", stdin=fails)
    try:
        scene.refused({"heatVersion": NEW}, "systemd could not start it", "runs again with its previous files")
    finally:
        for node in scene.nodes():
            scene.stack.on(node, f"rm -r {dropin}; systemctl daemon-reload")


@fault(FIRST, planned=True)
def upgraded(scene: Scene) -> None:
    """The upgrade continues from where the failed one stopped."""
    scene.change({"heatVersion": NEW})


@fault(FIRST, planned=True)
def downgrade_refused(scene: Scene) -> None:
    """The schema is already that of the new release."""
    scene.refused({"heatVersion": OLD}, "which this release of Heat does not know")
    scene.change({"heatVersion": NEW})


@fault(FIRST, planned=True)
def downgraded(scene: Scene) -> None:
    """Between releases with the same schema, a downgrade is the same command as an upgrade."""
    scene.change({"heatVersion": LIKE_NEW})
    scene.change({"heatVersion": NEW})


@fault("engines", planned=True)
def engines_out(scene: Scene) -> None:
    scene.change({"engines": 4})


@fault("engines", planned=True)
def engines_in(scene: Scene) -> None:
    scene.change({"engines": 2})


@fault("apis", planned=True)
def apis_out(scene: Scene) -> None:
    scene.change({"apis": 4, "cfnApis": 4})


@fault("apis", planned=True)
def apis_in(scene: Scene) -> None:
    scene.change({"apis": 2, "cfnApis": 2})


@fault("nodes", planned=True)
def node_added(scene: Scene) -> None:
    scene.change({"nodes": 3, "engines": 3, "apis": 3, "cfnApis": 3})


@fault("nodes", planned=True)
def node_removed(scene: Scene) -> None:
    scene.change({"nodes": 2, "engines": 2, "apis": 2, "cfnApis": 2})


@fault("nodes", planned=False)
def removed_node_back(scene: Scene) -> None:
    """A node that was removed while it was down does not rejoin the deployment when it comes back."""
    scene.change({"nodes": 3, "engines": 3, "apis": 3, "cfnApis": 3})
    # Under another name, so that its container is not removed with the node.
    lost, back = "node-3", "node-93"
    with scene.cut(Cause.ENGINE), scene.cut(Cause.API, api=API), scene.cut(Cause.API, api=CFN):
        scene.podman("kill", scene.container(lost))
    scene.podman("rename", scene.container(lost), scene.container(back))
    try:
        scene.change({"nodes": 2, "engines": 2, "apis": 2, "cfnApis": 2})
        scene.podman("start", scene.container(back))
        # The front host's firewall no longer accepts it: the engine retries and does not start.
        asks = f"the broker cannot be asked whether {lost} belongs to the deployment, trying again"
        journal = "journalctl --boot --unit heat-engine@1 --output cat"
        wait_for(lambda: asks in scene.stack.on(back, journal, check=False), "its engine is refused")
        state = "systemctl show --property ActiveState --value heat-engine@1"
        assert scene.stack.on(back, state, check=False) == "activating"
        assert scene.stack.consumers() == len(scene.units(ENGINE))
    finally:
        scene.podman("kill", scene.container(back))
        scene.podman("rm", "-f", scene.container(back))


@fault("options", planned=True)
def heat_option(scene: Scene) -> None:
    """Every process reads heat.conf, and restarts."""
    scene.change({"timeouts.engineGraceful": scene.chance.randint(90, 200)})


@fault("options", planned=True)
def proxy_option(scene: Scene) -> None:
    scene.change({"haproxy.maxconn": scene.chance.randint(7000, 7999)})


@fault("reload", planned=True)
def proxy_reloaded(scene: Scene) -> None:
    for _ in range(5):
        scene.stack.on("front", "systemctl reload haproxy")
        time.sleep(scene.chance.uniform(1, 3))


@fault("interrupted", planned=True)
def up_killed(scene: Scene) -> None:
    """Kill `up` at any moment; the next `up` continues from there."""
    for key, value in {"engines": 4, "apis": 4, "timeouts.engineGraceful": scene.chance.randint(201, 300)}.items():
        scene.stack.pulumi("config", "set", "--path", key, str(value))
    for _ in range(2):
        scene.interrupted(scene.chance.uniform(4, 40))
    scene.change({"engines": 4})


@fault("interrupted", planned=True)
def back_after_up_killed(scene: Scene) -> None:
    scene.change({"engines": 2, "apis": 2})


@fault("repair", planned=True)
def repaired(scene: Scene) -> None:
    """`verify` finds what someone changed on the hosts, and `repair` repairs it."""
    here, there = scene.chance.sample(scene.units(ENGINE), 2)
    scene.stack.on(here[0], "echo '# changed' >>/etc/heat/heat.conf; rm /etc/heat/policy.yaml")
    scene.stack.on(there[0], f"systemctl disable --now {there[1]}")
    found = scene.tool("verify")
    assert found.returncode == 1, found.stdout
    for thing in ("/etc/heat/heat.conf ", "/etc/heat/policy.yaml ", there[1]):
        assert thing in found.stdout, found.stdout
    repaired = scene.tool("repair")
    assert repaired.returncode == 0, repaired.stdout
    left = scene.tool("verify")
    assert left.returncode == 0, left.stdout


@fault("engine-killed", planned=False)
def engine_killed(scene: Scene) -> None:
    """Kill an engine with its workers."""
    node, unit = scene.chance.choice(scene.units(ENGINE))
    with scene.cut(Cause.ENGINE):
        scene.stack.on(node, f"systemctl kill --signal KILL {unit}")


@fault("worker-killed", planned=False)
def worker_killed(scene: Scene) -> None:
    node, unit = scene.chance.choice(scene.units(ENGINE))
    ask = f"pgrep -P $(systemctl show --property MainPID --value {unit})"
    before = scene.stack.on(node, ask)
    with scene.cut(Cause.ENGINE):
        scene.stack.on(node, f"kill -KILL {' '.join(before.split())}")
    # Its master starts another worker within seconds, too quickly for the broker to show a missing consumer.
    wait_for(lambda: scene.stack.on(node, ask, check=False) not in {"", before}, "another worker")


@fault("api-killed", planned=False)
def api_killed(scene: Scene) -> None:
    node, unit = scene.chance.choice(scene.units(API))
    with scene.cut(Cause.API, api=API):
        scene.stack.on(node, f"systemctl kill --signal KILL {unit}")


@fault("api-worker-killed", planned=False)
def api_worker_killed(scene: Scene) -> None:
    node, unit = scene.chance.choice(scene.units(API))
    with scene.cut(Cause.API, api=API):
        scene.stack.on(node, f"pkill -KILL -P $(systemctl show --property MainPID --value {unit})")


@fault("cfn-killed", planned=False)
def cfn_killed(scene: Scene) -> None:
    node, unit = scene.chance.choice(scene.units(CFN))
    with scene.cut(Cause.API, api=CFN):
        scene.stack.on(node, f"systemctl kill --signal KILL {unit}")


@fault("node-killed", planned=False)
def node_killed(scene: Scene) -> None:
    """A power cut: the node goes down and comes back."""
    node = scene.chance.choice(scene.nodes())
    with scene.cut(Cause.ENGINE), scene.cut(Cause.API, api=API), scene.cut(Cause.API, api=CFN):
        scene.podman("kill", scene.container(node))
    time.sleep(10 if scene.short else 60)
    scene.podman("start", scene.container(node))


@fault("broker", planned=False)
def broker_restarted(scene: Scene) -> None:
    with scene.cut(Cause.BROKER):
        scene.stack.on("front", "systemctl restart rabbitmq-server")


@fault("broker", planned=False)
def broker_killed(scene: Scene) -> None:
    killed(scene, "rabbitmq-server", "rabbitmqctl await_startup", Cause.BROKER)


@fault("database", planned=False)
def database_restarted(scene: Scene) -> None:
    with scene.cut(Cause.DATABASE):
        scene.stack.on("front", "systemctl restart mariadb")


@fault("database", planned=False)
def database_killed(scene: Scene) -> None:
    killed(scene, "mariadb", "mariadb-admin ping", Cause.DATABASE)


@fault("database", planned=False)
def database_read_only(scene: Scene) -> None:
    """The database refuses writes for some seconds, as during a change of the primary; reads still work."""
    held = "mariadb --skip-column-names heat --execute 'select count(*) from resource where engine_id is not null'"
    wait_for(lambda: int(scene.stack.on("front", held)) > 1, "resources in progress")
    with scene.cut(Cause.DATABASE):
        scene.stack.on("front", "mariadb --execute 'set global read_only = 1'")
        try:
            time.sleep(6)
        finally:
            scene.stack.on("front", "mariadb --execute 'set global read_only = 0'")


@fault("keystone", planned=False)
def keystone_killed(scene: Scene) -> None:
    url = scene.outputs["keystoneUrl"]
    killed(scene, "keystone", f"curl --silent --fail --noproxy '*' {url}", Cause.KEYSTONE)


@fault("cache", planned=False)
def cache_killed(scene: Scene) -> None:
    """Heat asks Keystone instead of the cache."""
    killed(scene, "memcached", "systemctl is-active memcached")


def killed(scene: Scene, unit: str, works: str, *causes: Cause) -> None:
    """Kill a unit of the front host, and wait until systemd has restarted it and it works."""
    with scene.cut(*causes):
        scene.stack.on(
            "front", f"systemctl kill --signal KILL {unit}; until {works} >/dev/null 2>&1; do sleep 0.2; done"
        )


@contextmanager
def full(scene: Scene, host: str) -> Iterator[None]:
    """Fill the directories where Heat and the journal write on a host: a full tmpfs of 1 MB replaces each."""
    places = ["/var/lib/heat", "/var/log", "/var/tmp"]  # noqa: S108 # the host's
    for place in places:
        scene.inside(host, "mount", "-t", "tmpfs", "-o", "size=1m", "full", place)
        scene.stack.on(host, f"chmod 0777 {place}; head -c 2M /dev/zero >{place}/full 2>/dev/null || true")
    try:
        yield
    finally:
        for place in places:
            scene.inside(host, "umount", "--lazy", place)


@fault("disk", planned=False)
def disk_full(scene: Scene) -> None:
    """The disk is full, and the engine of that host has to start meanwhile."""
    node, unit = scene.chance.choice(scene.units(ENGINE))
    with full(scene, node):
        with scene.cut(Cause.ENGINE):
            scene.stack.on(node, f"systemctl kill --signal KILL {unit}")
        time.sleep(15 if scene.short else 60)


@fault("network", planned=False)
def network_cut(scene: Scene) -> None:
    """A node has no network for two minutes."""
    device = scene.link(scene.chance.choice(scene.nodes()))
    with scene.cut(Cause.HOST, Cause.ENGINE):
        root("ip", "link", "set", device, "down")
    try:
        time.sleep(30 if scene.short else 120)
    finally:
        root("ip", "link", "set", device, "up")


@fault("proxy-killed", planned=False)
def proxy_killed(scene: Scene) -> None:
    port = urlsplit(scene.outputs["haproxyStatsUrl"]).port
    killed(scene, "haproxy", f"ss -Hltn 'sport = :{port}' | grep .", Cause.PROXY)
