"""The dev stack, from creation to deletion, as operators and clients use it. Each test continues the one before."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import botocore.session
import openstack
import pytest
from botocore.utils import parse_timestamp
from heatclient.client import Client as HeatClient

from components.remote import add_length_header
from tests.e2e.lab import ROOT, Result, Stack, engine, wait_for

WAIT = 120


def template(**resources: Any) -> dict[str, Any]:
    return {"heat_template_version": "2018-08-31", "resources": resources}


def random_strings(count: int) -> dict[str, Any]:
    definition = {"type": "OS::Heat::TestResource", "properties": {"wait_secs": 1}}
    return template(
        group={"type": "OS::Heat::ResourceGroup", "properties": {"count": count, "resource_def": definition}}
    )


def gone(cloud: Any, stack: Any) -> None:
    cloud.orchestration.delete_stack(stack)
    cloud.orchestration.wait_for_delete(stack, interval=0.5, wait=WAIT)


def completed(cloud: Any, stack: Any, status: str = "CREATE_COMPLETE") -> Any:
    failed = status.replace("COMPLETE", "FAILED")
    return cloud.orchestration.wait_for_status(stack, status=status, failures=[failed], interval=0.5, wait=WAIT)


def named(preview: Result) -> set[str]:
    """The resources that a preview would create, by their names."""
    return set(re.findall(r"(?m)^ *\+ +command:remote:Command +(\S+) +create\b", preview.text))


def test_a_preview_of_an_empty_stack_names_every_process(stack: Stack, first_preview: Result) -> None:
    units = [(process["node"], process["unit"].replace("@", "-")) for process in stack.outputs()["processes"]]
    assert named(first_preview) >= {f"{node}-{unit}" for node, unit in units}
    assert " to create" in first_preview.text
    assert "Traceback" not in first_preview.text


def test_the_outputs_say_what_runs_where(stack: Stack) -> None:
    outputs = stack.outputs()
    assert {node["name"] for node in outputs["nodes"]} == {"front", "node-1", "node-2"}
    units = [(process["node"], process["unit"]) for process in outputs["processes"]]
    assert units == [
        ("node-1", "heat-engine@1"),
        ("node-1", "heat-api@8004"),
        ("node-2", "heat-api@8004"),
        ("node-1", "heat-api-cfn@8000"),
        ("node-2", "heat-api-cfn@8000"),
    ]
    assert stack.consumers() == 1


def test_the_bridge_keeps_its_mac_address_when_containers_come_and_go(stack: Stack) -> None:
    """The kernel reports NET_ADDR_SET (3) for a fixed address; otherwise a bridge takes one of its ports' addresses."""
    assert Path(f"/sys/class/net/{stack.bridge()}/addr_assign_type").read_text().strip() == "3"


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before = stack.pids()
    stack.up("--expect-no-changes")
    assert stack.pids() == before


# The ports for clients and operators; sshd is on each host.
FOR_CLIENTS = {"front": {22, 5000, 8000, 8004, 8404}, "node-1": {22}, "node-2": {22}}


def listening(stack: Stack, host: str) -> set[tuple[str, int, str]]:
    """The protocol, port and address of every socket of a host that other hosts might reach."""
    found = set()
    for line in stack.on(host, "ss -Hltun").splitlines():
        protocol, _, _, _, local, *_ = line.split()
        address, _, port = local.rpartition(":")
        if not address.startswith(("127.", "[::1]", "[::ffff:127.")):
            found.add((protocol, int(port), address.partition("%")[0]))
    return found


def refused(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_an_address_outside_the_plan_reaches_only_the_ports_for_clients(stack: Stack) -> None:
    """This machine's own address on the bridge is not in the plan."""
    addresses = {node["name"]: node["address"] for node in stack.outputs()["nodes"]}
    for host, address in addresses.items():
        found = listening(stack, host)
        assert {protocol for protocol, *_ in found} == {"tcp"}, found
        ports = {port for _, port, _ in found}
        assert ports >= FOR_CLIENTS[host]
        assert {port for port in ports if not refused(address, port)} == FOR_CLIENTS[host]
        assert ports > FOR_CLIENTS[host], "nothing here is closed"
    # A node may connect to the control plane, and to no other node.
    reach = "python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)' {} {}"
    for port in (3306, 5672, 11211):
        stack.on("node-1", reach.format(addresses["front"], port))
    for port in (8004, 8000):
        stack.on("front", reach.format(addresses["node-1"], port))
        assert "ConnectionRefusedError" in stack.on("node-2", reach.format(addresses["node-1"], port), check=False)


def test_the_firewall_survives_a_restart_of_a_host_and_leaves_other_tables_alone(stack: Stack) -> None:
    (address,) = [node["address"] for node in stack.outputs()["nodes"] if node["name"] == "node-2"]
    subprocess.run([*engine(), "restart", f"heat-{stack.name}-node-2"], capture_output=True, check=True)
    wait_for(lambda: stack.on("node-2", "systemctl is-active heat-api@8004", check=False) == "active", "node-2", WAIT)
    wait_for(lambda: ("tcp", 8004, address) in listening(stack, "node-2"), "the API", WAIT)
    assert refused(address, 8004)
    # The file of the distribution's firewall starts by emptying every table.
    for what in ("start nftables; systemctl restart", "reload"):
        stack.on("node-2", f"systemctl {what} nftables")
        wait_for(lambda: refused(address, 8004), "the firewall to be back")
    stack.on("node-2", "systemctl stop nftables && systemctl start heat-scaleout-firewall")
    stack.on("node-2", "nft add table inet others && systemctl reload heat-scaleout-firewall")
    assert stack.on("node-2", "nft list tables") == "table inet others\ntable inet heat_scaleout"
    stack.on("node-2", "nft delete table inet others")


def test_a_stack_is_created_updated_and_deleted_by_openstacksdk(cloud: Any) -> None:
    made = cloud.orchestration.create_stack(name="sdk", template=random_strings(2))
    completed(cloud, made)
    cloud.orchestration.update_stack(made, template=random_strings(3))
    completed(cloud, made, "UPDATE_COMPLETE")
    inner = [item for item in cloud.orchestration.resources(made) if item.name == "group"]
    assert [item.status for item in inner] == ["UPDATE_COMPLETE"]
    gone(cloud, made)


def test_a_stack_is_created_and_deleted_by_python_heatclient(cloud: Any) -> None:
    client = HeatClient("1", session=cloud.session, service_type="orchestration")
    made = client.stacks.create(stack_name="heatclient", template=template(value={"type": "OS::Heat::RandomString"}))
    identifier = made["stack"]["id"]
    wait_for(lambda: client.stacks.get(identifier).stack_status == "CREATE_COMPLETE", "CREATE_COMPLETE", WAIT)
    assert "heatclient" in [listed.stack_name for listed in client.stacks.list()]
    client.stacks.delete(identifier)
    wait_for(lambda: client.stacks.get(identifier).stack_status == "DELETE_COMPLETE", "DELETE_COMPLETE", WAIT)


@pytest.fixture
def cloudformation(stack: Stack, cloud: Any) -> Any:
    """The CFN API with boto3, with EC2 credentials of the client's own user."""
    answer = cloud.session.post(
        f"/users/{cloud.session.get_user_id()}/credentials/OS-EC2",
        json={"tenant_id": cloud.session.get_project_id()},
        endpoint_filter={"service_type": "identity", "interface": "public"},
    ).json()["credential"]
    # boto3 cannot parse Heat's "None" for times that are not set.
    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(
        timestamp_parser=lambda text: None if text == "None" else parse_timestamp(text)
    )
    return boto3.Session(botocore_session=core).client(
        "cloudformation",
        endpoint_url=stack.outputs()["heatCfnUrl"],
        region_name="RegionOne",
        aws_access_key_id=answer["access"],
        aws_secret_access_key=answer["secret"],
        config=botocore.client.Config(proxies={}, retries={"max_attempts": 0}),
    )


def test_a_project_s_member_reads_and_deletes_stacks_by_boto3(cloud: Any, cloudformation: Any) -> None:
    # With a timeout, because boto3 does not accept "None" for a number of minutes either.
    made = cloud.orchestration.create_stack(name="cfn", template=random_strings(1), timeout_mins=10)
    completed(cloud, made)
    listed = cloudformation.list_stacks()["StackSummaries"]
    assert "cfn" in [summary["StackName"] for summary in listed]
    described = cloudformation.describe_stacks(StackName="cfn")["Stacks"][0]
    assert described["StackStatus"] == "CREATE_COMPLETE"
    assert "resources" in cloudformation.get_template(StackName="cfn")["TemplateBody"]
    cloudformation.delete_stack(StackName="cfn")
    cloud.orchestration.wait_for_delete(made, interval=0.5, wait=WAIT)


def test_a_wait_condition_is_signalled_through_its_signed_url(stack: Stack, cloud: Any) -> None:
    resources = {
        "handle": {"type": "AWS::CloudFormation::WaitConditionHandle"},
        "wait": {
            "type": "AWS::CloudFormation::WaitCondition",
            "properties": {"Handle": {"get_resource": "handle"}, "Timeout": "120", "Count": "1"},
        },
    }
    outputs = {"url": {"value": {"get_resource": "handle"}}}
    made = cloud.orchestration.create_stack(name="signal", template=template(**resources) | {"outputs": outputs})

    def url() -> str | None:
        shown = cloud.orchestration.get_stack(made.id)
        values = [output.get("output_value") or "" for output in shown.outputs or ()]
        return next((value for value in values if value.startswith("http")), None)

    signed = wait_for(url, "the handle's URL", WAIT)
    assert signed.startswith(stack.outputs()["heatCfnUrl"] + "waitcondition/")
    body = json.dumps({"Status": "SUCCESS", "Reason": "done", "UniqueId": "1", "Data": "x"}).encode()
    request = urllib.request.Request(signed, data=body, method="PUT", headers={"Content-Type": ""})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        assert answer.status == 200
    completed(cloud, made)
    gone(cloud, made)


def test_engines_go_from_one_to_four_and_those_that_stay_are_not_touched(stack: Stack) -> None:
    before = stack.pids()
    stack.set("engines", 4)
    preview = stack.pulumi("preview")
    started = {"node-2-heat-engine-1", "node-1-heat-engine-2", "node-2-heat-engine-2"}
    assert {name for name in named(preview) if not name.endswith("-conf")} == started
    began = time.monotonic()
    stack.up()
    print(f"four engines after {time.monotonic() - began:.1f} s")
    assert stack.consumers() == 4
    after = stack.pids()
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 3


def test_four_engines_take_work_from_one_queue(stack: Stack, cloud: Any) -> None:
    made = [
        cloud.orchestration.create_stack(name=f"shared-{number}", template=random_strings(8)) for number in range(3)
    ]
    for one in made:
        completed(cloud, one)
    idle = [
        (node, unit)
        for node, unit in stack.pids()
        if unit.startswith("heat-engine")
        and not int(
            stack.on(node, f"journalctl --unit {unit} --output cat | grep -c 'creating TestResource'", check=False)
        )
    ]
    assert not idle, f"these engines did nothing: {idle}"
    for one in made:
        gone(cloud, one)


def test_engines_go_from_four_to_two_and_those_that_stay_are_not_touched(stack: Stack) -> None:
    before = stack.pids()
    stack.set("engines", 2)
    stack.up()
    assert stack.consumers() == 2
    after = stack.pids()
    assert len(after) == len(before) - 2
    assert {key: before[key] for key in after} == after
    for node in ("node-1", "node-2"):
        assert stack.on(node, "systemctl is-enabled heat-engine@2", check=False) != "enabled"
        assert stack.on(node, "ls /etc/heat/processes | grep -c heat-engine@2", check=False) == "0"


def test_several_apis_on_a_host_have_ports_of_their_own_and_all_serve(stack: Stack) -> None:
    stack.set("apis", 4)
    stack.up()
    served = stack.on("front", "echo 'show stat' | python3 -c '" + _SHOW_STAT + "'")
    up = [line.split(",") for line in served.splitlines() if line.startswith("rest_api_proxy,node-")]
    assert {(row[1], row[17]) for row in up} == {
        (f"node-{node}-{port}", "UP") for node in (1, 2) for port in (8004, 8014)
    }


_SHOW_STAT = """
import socket, sys
admin = socket.socket(socket.AF_UNIX)
admin.connect("/run/haproxy/admin.sock")
admin.sendall(sys.stdin.read().encode())
print(admin.makefile().read())
"""


def test_a_process_that_cannot_start_is_named_with_its_host_and_its_log(stack: Stack) -> None:
    before = stack.pids()
    taken = subprocess.Popen(
        [*engine(), "exec", f"heat-{stack.name}-node-1", "python3", "-m", "http.server", "8024"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: stack.on("node-1", "ss -Hltn 'sport = :8024'"), "port 8024 taken")
        stack.set("apis", 5)
        failed = stack.up(check=False)
        assert failed.code != 0
        assert (
            "heat-api@8024 on node-1 (10.213.78.11) cannot run: port 8024 is taken by python3 (process " in failed.text
        )
        assert "Traceback" not in failed.text
    finally:
        stack.on("node-1", "pkill -f 'http.server 8024'", check=False)
        taken.wait(timeout=10)
    # The other processes were left alone, and the next up continues from there.
    after = stack.pids()
    assert {key: after[key] for key in before} == before
    stack.up()
    stack.set("apis", 2)
    stack.up()


def test_a_wrong_setting_is_refused_with_what_to_type_before_anything_is_changed(stack: Stack) -> None:
    stack.set("enginez", 4)
    stack.set("engines", 0)
    refused = stack.up(check=False)
    stack.pulumi("config", "rm", "enginez")
    stack.set("engines", 2)
    assert refused.code != 0
    assert "enginez: there is no such setting, did you mean engines?" in refused.text
    assert (
        "engines = 0: must be an integer from 1 to 2000. Type: pulumi config set engines 2 --stack e2e" in refused.text
    )
    assert "Traceback" not in refused.text
    stack.up("--expect-no-changes")


def test_an_option_that_heat_does_not_know_never_reaches_a_process(stack: Stack) -> None:
    before = stack.on("node-1", "sha256sum /etc/heat/heat.conf")
    refusal = stack.on(
        "node-1",
        "heat-scaleout put /etc/heat/heat.conf 0644 root:root /opt/heat/27.0.1/check-options",
        stdin=add_length_header("[DEFAULT]\nsql_connection = mysql://nowhere\n"),
        check=False,
    )
    assert "DEFAULT/sql_connection" in refusal
    assert stack.on("node-1", "sha256sum /etc/heat/heat.conf") == before


def test_a_configuration_that_haproxy_warns_of_is_not_taken(stack: Stack) -> None:
    before = stack.on("front", "sha256sum /etc/haproxy/haproxy.cfg")
    # haproxy -c alone accepts it: "uses http-check rules without 'option httpchk', so the rules are ignored".
    warned = "defaults\n mode http\n timeout server 1s\n timeout connect 1s\n" + (
        "backend a\n http-check expect status 200\n server s 127.0.0.1:1\n"
    )
    stack.on(
        "front",
        "heat-scaleout put /etc/haproxy/haproxy.cfg 0644 root:root haproxy -c -q -dW -f && exit 1 || exit 0",
        stdin=add_length_header(warned),
    )
    assert stack.on("front", "sha256sum /etc/haproxy/haproxy.cfg") == before


def test_the_nodes_use_the_token_cache(stack: Stack, cloud: Any) -> None:
    question = (
        "printf 'stats\\r\\nquit\\r\\n' | python3 -c '" + _MEMCACHED + f"' {stack.outputs()['nodes'][0]['address']}"
    )

    def hits() -> int:
        line = next(line for line in stack.on("front", question).splitlines() if " get_hits " in line)
        return int(line.split()[-1])

    before = hits()
    for _ in range(5):
        list(cloud.orchestration.stacks())
    assert hits() >= before + 4


def test_the_tokens_that_the_apis_cache_are_encrypted(stack: Stack, cloud: Any) -> None:
    """Keystone's own entries in the cache are not: oslo.cache has no encryption."""
    list(cloud.orchestration.stacks())
    front = stack.outputs()["nodes"][0]["address"]
    entries = json.loads(stack.on("front", f"python3 - {front}", stdin=_CACHED))
    # oslo.cache pickles its entries, under keys of 40 hexadecimal digits.
    tokens = {key: value for key, value in entries.items() if not re.fullmatch("[0-9a-f]{40}", key)}
    assert tokens
    for key, value in tokens.items():
        assert not re.search("token|project|expires|admin|heat", bytes.fromhex(value).decode("latin-1")), key


_CACHED = """
import json, socket, sys, urllib.parse
server = socket.create_connection((sys.argv[1], 11211), 5)
answers = server.makefile("rb")
def ask(line):
    server.sendall(line + b"\\r\\n")
    return answers.readline()
keys, line = [], ask(b"lru_crawler metadump all")
while line.rstrip() != b"END":
    keys.append(urllib.parse.unquote_to_bytes(line.split()[0][len(b"key="):]))
    line = answers.readline()
found = {}
for key in keys:
    head = ask(b"get " + key).split()
    if head[0] == b"VALUE":
        found[key.decode()] = answers.read(int(head[3])).hex()
        answers.readline(), answers.readline()
print(json.dumps(found))
"""


_MEMCACHED = """
import socket, sys
cache = socket.create_connection((sys.argv[1], 11211), 5)
cache.sendall(sys.stdin.buffer.read())
print(cache.makefile().read())
"""


def secrets_of(stack: Stack) -> list[str]:
    """Every secret of the stack in plain text, from Pulumi."""
    state = json.loads(stack.pulumi("stack", "export", "--show-secrets").text)
    found = [
        resource["outputs"]["stdout"]["plaintext"].strip('"')
        for resource in state["deployment"]["resources"]
        if resource["urn"].rpartition("::")[2].startswith("secret-")
    ]
    assert len(found) >= 8
    return found


def test_no_secret_is_in_plain_state_on_a_command_line_or_in_a_log(stack: Stack) -> None:
    secrets = secrets_of(stack)
    for file in (ROOT / ".state").rglob("*"):
        if file.is_file() and file.suffix != ".tar" and file.name != "clouds.yaml":
            text = file.read_bytes()
            assert not any(secret.encode() in text for secret in secrets), file
    for host in ("front", "node-1", "node-2"):
        seen = stack.on(host, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl --no-pager --output cat")
        assert not any(secret in seen for secret in secrets), host


def test_files_with_secrets_are_readable_only_by_their_owners(stack: Stack) -> None:
    for node in ("node-1", "node-2"):
        assert stack.on(node, "stat -c '%a %U:%G' /etc/heat/secrets.conf") == "640 root:heat"
    secrets = secrets_of(stack)
    for host in ("front", "node-1", "node-2"):
        patterns = "\n".join(secrets)
        readable = stack.on(
            host,
            "find /etc /opt/heat/*.txt /var/lib /usr/local /run /tmp -xdev -type f -perm /o=r -print0 2>/dev/null"
            " | xargs -0 grep -lFf /dev/stdin 2>/dev/null || true",
            stdin=patterns,
        )
        assert readable == "", f"{host}: {readable}"
    clouds = Path(stack.outputs()["cloudsYamlPath"])
    assert stat.S_IMODE(clouds.stat().st_mode) == 0o600


def test_heat_runs_as_its_own_user_without_privileges(stack: Stack) -> None:
    for (node, _), pid in stack.pids().items():
        assert stack.on(node, f"stat -c %U /proc/{pid}") == "heat"
        assert stack.on(node, f"grep -E '^(NoNewPrivs|CapEff)' /proc/{pid}/status | tr -d '\\n\\t '") == (
            "CapEff:0000000000000000NoNewPrivs:1"
        )


def test_a_process_that_is_killed_comes_back(stack: Stack) -> None:
    engines, before = stack.consumers(), stack.pids()["node-1", "heat-engine@1"]
    stack.on("node-1", f"kill -9 {before}")
    wait_for(lambda: stack.pids()["node-1", "heat-engine@1"] not in ("0", before), "the engine to restart", 20)
    wait_for(lambda: stack.consumers() == engines, "as many consumers as before")


def test_no_symlink_of_heats_user_misleads_root(stack: Stack) -> None:
    """The marks of a draining API and the digests of its files are in directories that its user cannot change."""
    looks = "find /run/heat-scaleout /etc/heat /usr/local/lib/heat-scaleout ! -type l"
    for node in ("node-1", "node-2"):
        assert stack.on(node, f"runuser -u heat -- {looks} -writable 2>/dev/null", check=False) == ""
        assert stack.on(node, f"{looks} ! -user root") == ""
        assert "down" not in stack.on(node, "ls /run/heat-scaleout/*")
    # The API still finds its mark: its health check shows that, and its next start removes the mark.
    mark = "/run/heat-scaleout/heat-api@8004/down"
    status = "curl -s -o /dev/null -w '%{http_code}' http://$(hostname -I | tr -d ' '):8004/healthcheck"
    assert stack.on("node-2", status) == "200"
    stack.on("node-2", f"touch {mark}")
    assert stack.on("node-2", status) != "200"
    stack.on("node-2", "systemctl restart heat-api@8004")
    wait_for(lambda: stack.on("node-2", status) == "200", "the API to be back")
    assert stack.on("node-2", f"ls {mark} 2>/dev/null", check=False) == ""


def test_after_a_restart_of_its_hosts_verify_finds_no_differences(stack: Stack, cloud: Any) -> None:
    engines = stack.consumers()
    stack.restart("front", "node-1")
    wait_for(lambda: stack.consumers() == engines, "every engine is back", WAIT)
    found = stack.tool("verify")
    assert found.code == 0, found.text
    stack.up("--expect-no-changes")
    before = stack.pids()
    proxy = stack.on("front", "systemctl show --property MainPID --value haproxy")
    # Every script of a service runs again: none finds anything to do, and none finds its port taken.
    stack.set("generation", 2)
    stack.up()
    assert stack.pids() == before
    assert stack.on("front", "systemctl show --property MainPID --value haproxy") == proxy
    found = stack.tool("verify")
    assert found.code == 0, found.text
    made = cloud.orchestration.create_stack(name="after-restart", template=random_strings(1))
    completed(cloud, made)
    gone(cloud, made)


def test_a_host_that_has_lost_the_program_is_named_with_what_to_type(stack: Stack) -> None:
    stack.on("node-2", "mv /usr/local/sbin/heat-scaleout /root/")
    stack.set("apiThreads", 5)
    failed = stack.up(check=False)
    stack.on("node-2", "mv /root/heat-scaleout /usr/local/sbin/")
    stack.pulumi("config", "rm", "apiThreads")
    stack.up()
    assert failed.code != 0
    assert "has no /usr/local/sbin/heat-scaleout any more: the host seems to have been reinstalled" in failed.text
    assert "type: make repair STACK=" in failed.text


def test_a_changed_option_restarts_only_the_processes_that_read_it(stack: Stack) -> None:
    before = stack.pids()
    stack.set("apiThreads", 4)
    stack.up()
    after = stack.pids()
    restarted = {unit.partition("@")[0] for key, pid in after.items() if before[key] != pid for unit in key[1:]}
    assert restarted == {"heat-api", "heat-api-cfn"}


def test_a_node_comes_and_goes_while_the_others_run_on(stack: Stack, cloud: Any) -> None:
    before = stack.pids()
    for key in ("nodes", "engines", "apis"):
        stack.set(key, 3)
    stack.up()
    assert {key: pid for key, pid in stack.pids().items() if key[0] != "node-3"} == before
    assert ("node-3", "heat-api@8004") in stack.pids()
    for key in ("nodes", "engines", "apis"):
        stack.set(key, 2)
    assert "more consumers than planned at the broker, vhost heat: engine has 3" in stack.up().text
    assert stack.pids() == before
    let_in = stack.on("front", "nft list set inet heat_scaleout hosts; nft list set inet heat_scaleout leaving")
    assert re.findall(r"10\.[\d.]+", let_in) == ["10.213.78.11", "10.213.78.12"]
    made = cloud.orchestration.create_stack(name="after", template=random_strings(1))
    gone(cloud, completed(cloud, made))
    wait_for(lambda: stack.consumers() == 2, "only the engines that stay")


def test_a_node_whose_messaging_options_differ_is_named_with_the_option(stack: Stack) -> None:
    stack.on(
        "node-2",
        "cp -p /etc/heat/heat.conf /root/kept"
        " && sed -i '/oslo_messaging_rabbit/a heartbeat_rate = 7' /etc/heat/heat.conf",
    )
    stack.set("engines", 3)
    refused = stack.up(check=False)
    stack.on("node-2", "mv /root/kept /etc/heat/heat.conf")
    stack.set("engines", 2)
    assert refused.code != 0
    assert "oslo_messaging_rabbit.heartbeat_rate on " in refused.text
    assert "Traceback" not in refused.text
    stack.up()


def test_a_host_with_another_key_is_refused(stack: Stack) -> None:
    stack.on(
        "node-2",
        "cp -p /etc/ssh/ssh_host_ed25519_key /root/kept && rm /etc/ssh/ssh_host_ed25519_key"
        " && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key && systemctl restart ssh",
    )
    stack.set("apiThreads", 5)
    refused = stack.up(check=False)
    stack.on("node-2", "mv /root/kept /etc/ssh/ssh_host_ed25519_key && systemctl restart ssh")
    assert refused.code != 0
    assert "host key mismatch" in refused.text
    stack.up()


def restarted(before: dict[tuple[str, str], str], after: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    assert before.keys() == after.keys()
    return {key for key, pid in after.items() if before[key] != pid}


def read_by(stack: Stack, node: str, unit: str, option: str) -> str:
    """The value of an option for a process: the last of its files wins."""
    files = " ".join(f"/etc/heat/processes/{unit}/{name}.conf" for name in ("heat", "secrets", "process"))
    return stack.on(node, f"cat {files} | sed -n 's/^{option} = //p' | tail -n 1")


def test_an_override_reaches_its_processes_and_restarts_no_other(stack: Stack) -> None:
    before, key = stack.pids(), "an-hmac-key-of-the-tests"
    stack.set("options.kinds.heat-engine.DEFAULT.client_retry_limit", 5)
    stack.set("options.nodes.node-2.DEFAULT.max_resources_per_stack", 1100)
    stack.set("options.nodes.node-2.my_plugin.colour[0]", "red")
    stack.pulumi("config", "set", "--path", "allowOptions[0]", "my_plugin.colour")
    stack.pulumi("config", "set", "--secret", "--path", "secretOptions.nodes.node-2.profiler.hmac_keys", stdin=key)
    stack.set("timeouts.proxyServer", 100)
    stack.up()
    after = stack.pids()
    assert restarted(before, after) == {("node-1", "heat-engine@1"), *(key for key in after if key[0] == "node-2")}
    for node, unit in after:
        there = node == "node-2"
        assert read_by(stack, node, unit, "client_retry_limit") == ("5" if unit.startswith("heat-engine@") else "")
        assert read_by(stack, node, unit, "max_resources_per_stack") == ("1100" if there else "")
        assert read_by(stack, node, unit, "colour") == ("red" if there else "")
        assert read_by(stack, node, unit, "hmac_keys") == (key if there else "")
    assert "    timeout server 100s\n" in stack.on("front", "cat /etc/haproxy/haproxy.cfg")
    files = [file for file in (ROOT / ".state").rglob("*") if file.is_file()]
    assert not [file for file in files if key.encode() in file.read_bytes()]
    assert stack.on("node-2", f"find /etc/heat -type f -perm /o=r -exec grep -l {key} {{}} +", check=False) == ""


def test_an_invalid_override_is_refused_before_anything_is_changed(stack: Stack) -> None:
    wrong = {
        "options.all.DEFAULT.max_stacks": "Heat 27.0.1 does not know it (did you mean max_stacks_per_tenant?)",
        "options.all.DEFAULT.rpc_response_timeout": "this program sets it, from timeouts.rpcResponse",
        "options.all.cache.password": "this is a secret, and would be kept in plain text",
    }
    for key in wrong:
        stack.set(key, 1)
    refused = stack.up(check=False)
    for key in wrong:
        stack.pulumi("config", "rm", "--path", key)
    assert refused.code != 0
    for key, rule in wrong.items():
        assert re.search(rf"{re.escape(key)} = [^:]*: {re.escape(rule)}", refused.text)
    assert "Traceback" not in refused.text
    stack.set("timeouts.uwsgi", 60)
    refused = stack.up(check=False)
    stack.pulumi("config", "rm", "--path", "timeouts.uwsgi")
    assert "timeouts.uwsgi = 60: must be longer than timeouts.rpcResponse (60 s), or " in refused.text
    stack.up("--expect-no-changes")


def test_a_line_that_haproxy_refuses_is_reported_with_its_message_and_changes_nothing(stack: Stack) -> None:
    before, conf = stack.pids(), stack.on("front", "sha256sum /etc/haproxy/haproxy.cfg")
    stack.set("haproxy.apiExtra[0]", "http-reqest deny if { path_beg /x }")
    refused = stack.up(check=False)
    assert refused.code != 0
    assert "unknown keyword 'http-reqest' in 'listen' section" in refused.text
    assert stack.on("front", "sha256sum /etc/haproxy/haproxy.cfg") == conf
    assert stack.pids() == before


def test_policy_rules_apply_in_heat_and_extra_lines_in_haproxy(stack: Stack, cloud: Any, tmp_path: Path) -> None:
    rules = tmp_path / "policy.yaml"
    rules.write_text('"stacks:index": "role:admin"\n"stacks:lst": "role:admin"\n')
    stack.set("policy", rules)
    stack.set("haproxy.apiExtra[0]", "http-request deny deny_status 429 if { path_beg /closed }")
    before = stack.pids()
    refused = stack.up(check=False)
    assert refused.code != 0
    assert "stacks:lst: Heat asks for no such rule" in refused.text
    assert stack.pids() == before
    rules.write_text('"stacks:index": "role:admin"\n')
    stack.up()
    with pytest.raises(openstack.exceptions.ForbiddenException):
        list(cloud.orchestration.stacks())
    list(openstack.connect(cloud="heat-admin").orchestration.stacks())
    request = f"{stack.outputs()['heatApiUrl']}/closed"
    with pytest.raises(urllib.error.HTTPError, match="429"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)


def test_an_up_without_changes_notices_that_nothing_answers(stack: Stack) -> None:
    stack.on("front", "systemctl stop haproxy")
    refused = stack.up(check=False)
    stack.on("front", "systemctl start haproxy")
    assert refused.code != 0
    assert "the public endpoints do not answer" in refused.text
    assert f"{stack.outputs()['heatApiUrl']}/healthcheck): nothing listens there" in refused.text
    assert f"make repair STACK={stack.name}" in refused.text
    assert "Traceback" not in refused.text
    stack.up()


def test_destroy_leaves_nothing(stack: Stack) -> None:
    clouds = Path(stack.outputs()["cloudsYamlPath"])
    stack.pulumi("destroy", "--yes", "--skip-preview")
    listed = subprocess.run(
        [*engine(), "ps", "--all", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    ).stdout
    # Other stacks' names may begin with this one's.
    assert not re.findall(rf"(?m)^heat-{stack.name}-(?:front|node-\d+)$", listed)
    networks = subprocess.run(
        [*engine(), "network", "ls", "--format", "{{.Name}}"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert f"heat-{stack.name}" not in networks
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    assert "10.213.78." not in routes
    assert not clouds.exists()
    state = json.loads(stack.pulumi("stack", "export").text)
    assert not [item for item in state["deployment"].get("resources", []) if item["type"] != "pulumi:pulumi:Stack"]
