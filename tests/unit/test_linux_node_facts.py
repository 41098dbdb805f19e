"""The facts of a host come from its one script: what it printed, what it did not tell and why, and its clock. Run by a real shell."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness.check.command_cache import CachingHost
from harness.check.linux_node_facts import of_script, offset_of
from harness.check.node_facts import NodeFacts
from harness.collect.collectors import NIC_SYSCTLS, SYSCTLS
from harness.collect.linux_host_script import FACTS, pieces, script
from harness.config import cluster_config
from harness.diagnosis import linux_host_script_parse
from harness.hosts.host import CommandFailed, CommandResult, HostUnreachable
from harness.hosts.root_rights import WHOLE
from harness.lab.lifecycle import default_cluster
from harness.managers.manager_registry import manager_of

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))
NODE, CLIENT = CLUSTER.nodes[0], CLUSTER.client
MANAGER = manager_of(CLUSTER, {})
TOOLS = {
    "ip": 'case "$*" in "-json addr") echo \'[{"ifname":"eth0","mtu":1500,"operstate":"UP","addr_info":[{"local":"10.20.1.11",'
    '"prefixlen":24}]}]\' ;; "route get 10.20.1.200") echo "local 10.20.1.200 dev lo" ;;'
    ' "route get 168.63.129.16") echo "168.63.129.16 via 10.20.1.1 dev eth0" ;; esac',
    "ss": 'echo "State Recv-Q Send-Q Local Peer"; case "$*" in -tlnp) echo "LISTEN 0 8 0.0.0.0:12345 0.0.0.0:*" ;; esac',
    "nft": "echo '{}'",
    "getent": "exit 0",
}


def told(folder: Path, line: str, without: str = "", **instead: str) -> str:
    """What a host with these tools prints; `instead` replaces one."""
    for name, does in {**TOOLS, **instead}.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    for name in ("cat", "cut", "date", "df", "grep", "head", "sort", "tail", "awk", "sh"):
        (folder / name).symlink_to(Path("/usr/bin") / name if (Path("/usr/bin") / name).exists() else Path("/bin") / name)
    if without:
        (folder / without).unlink()
    line = line.replace('PATH="$PATH:/usr/sbin:/sbin"', "PATH")
    done = subprocess.run(["/bin/sh", "-c", line], env={"PATH": str(folder)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def facts(text: str, **more) -> NodeFacts:
    return of_script(CLUSTER, linux_host_script_parse.host(NODE.name, text, CLUSTER.ip_resource.tag), text, **more)


def test_one_script_tells_all_facts(tmp_path: Path) -> None:
    found = facts(told(tmp_path, script(CLUSTER, NODE, MANAGER)))
    assert found.not_told == () and found.nic_of("10.20.1.11") == "eth0" and found.firewall is not None and found.disks == ()
    assert [(x.address, x.port) for x in found.listeners or ()] == [("0.0.0.0", 12345)]
    assert found.vip_route is not None and found.vip_route.kind == "local" and found.probe_route is not None
    assert {"lo.rp_filter", "lo.arp_ignore", "tcp_timestamps"} <= set(found.sysctls)  # those of a live look's findings


def test_the_probes_way_back_is_that_of_answers_from_the_nodes_own_address(tmp_path: Path) -> None:
    """A default route by another NIC, and a policy rule that sends what has the node's address by the right one."""
    by_eth1 = TOOLS["ip"].replace("10.20.1.1 dev eth0", "10.20.2.1 dev eth1")
    ruled = by_eth1.replace("esac", '"route get 168.63.129.16 from 10.20.1.11") echo "168.63.129.16 from 10.20.1.11 dev eth0" ;; esac')
    nics = []
    for name, ip in (("without a rule", by_eth1), ("with one", ruled)):
        (tmp_path / name).mkdir()
        found = facts(told(tmp_path / name, script(CLUSTER, NODE, MANAGER), ip=ip))
        nics.append(found.probe_route.interface if found.probe_route else None)
    assert nics == ["eth1", "eth0"]


@pytest.mark.parametrize(
    ("tool", "instead", "says"),
    [
        ("ss", "", "its listeners: lknode01: `ss` is not installed there; install the package iproute2 (iproute)"),
        ("ss", "echo Cannot open netlink socket >&2; exit 255", "its listeners: lknode01: `ss -tlnp` exited 255 and said: Cannot open"),
        ("nft", "exit 1", "its firewall: lknode01: the firewall may be read by root only"),
        ("ip", "echo 'Object \"addr\" is unknown' >&2; exit 1", "its addresses: lknode01: `ip addr` exited 1 and said: Object"),
        ("ip", "echo nonsense", "its route to the VIP: lknode01: what was printed cannot be read: nonsense"),
    ],
)
def test_what_is_not_told_is_named_with_the_tools_own_reason(tmp_path: Path, tool: str, instead: str, says: str) -> None:
    line = script(CLUSTER, NODE, MANAGER)
    found = facts(told(tmp_path, line, **{tool: instead}) if instead else told(tmp_path, line, without=tool))
    assert any(why.startswith(says) for why in found.not_told), found.not_told
    if tool == "ss":
        assert found.listeners is None  # which is not: nobody listens


def test_a_client_need_not_tell_its_firewall(tmp_path: Path) -> None:
    text = told(tmp_path, script(CLUSTER, CLIENT, MANAGER), nft="exit 1")
    found = of_script(CLUSTER, linux_host_script_parse.host(CLIENT.name, text), text)
    assert (found.firewall, found.not_told) == (None, ())


def test_in_pieces_it_tells_the_same(tmp_path: Path) -> None:
    parts = pieces(CLUSTER, NODE, MANAGER)
    assert tuple(parts) == FACTS
    (tmp_path / "whole").mkdir()
    one = facts(told(tmp_path / "whole", script(CLUSTER, NODE, MANAGER)))
    texts = []
    for name, piece in parts.items():
        (tmp_path / name).mkdir()
        texts.append(told(tmp_path / name, piece))
    assert facts("\n".join(texts)) == one
    lost = facts("\n".join(texts[1:]), failed={"addresses": "more than it brings back"})
    assert lost.not_told == ("its addresses: lknode01: more than it brings back",)


def test_every_setting_that_is_read_is_in_one_list() -> None:
    line = script(CLUSTER, NODE, MANAGER)
    assert all(f"conf/*/{name}" in line for name in NIC_SYSCTLS)
    assert all(name.removeprefix("net.ipv4.") in line for name in SYSCTLS if name.startswith("net.ipv4."))
    used = {
        "arp_ignore",
        "rp_filter",
        "tcp_timestamps",
        "tcp_keepalive_time",
        "tcp_retries2",
        "ip_local_port_range",
        "ip_local_reserved_ports",
    }
    assert used <= {*NIC_SYSCTLS, *(name.removeprefix("net.ipv4.") for name in SYSCTLS)}


@pytest.mark.parametrize("ahead", [-3.0, 0.0, 600.0])
def test_a_script_that_takes_long_tells_the_time_as_well_as_a_quick_one(ahead: float) -> None:
    """It looked at its clock 0.02 s after it was asked, and 0.03 s before it had answered, eight seconds later."""
    text = f"@@ time\n{1000.02 + ahead:.9f} +0000\n@@ ended\n{1008.02 + ahead:.9f}\n"
    found = offset_of(text, 1000.0, 1008.05)
    assert found is not None and abs(found[0] - ahead) <= found[1] and found[1] == pytest.approx(0.025)


@pytest.mark.parametrize("text", ["", "@@ time\nnoon\n@@ ended\n1.5\n", "@@ time\n1.5 +0000\n", "@@ time\n1.N +0000\n@@ ended\n1.N\n"])
def test_a_clock_that_was_not_told_is_none(text: str) -> None:
    assert offset_of(text, 1.0, 2.0) is None


class Counted:
    """A host that counts what it is asked, and answers the first when it is let go on."""

    name = "lknode01"

    def __init__(self, error: HostUnreachable | None = None) -> None:
        self.asked: list[str] = []
        self.go_on, self.error = threading.Event(), error

    def run(self, command: str, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        self.asked.append(command)
        assert self.go_on.wait(60)
        if self.error:
            raise self.error
        return CommandResult(self.name, command, 3 if command == "false" else 0, command, "", 0.0, 0.0)


def test_who_asks_the_same_meanwhile_or_later_has_the_first_ones_answer() -> None:
    host = Counted()
    once = CachingHost(host)  # type: ignore[arg-type]
    said: list[str] = []
    asking = [threading.Thread(target=lambda: said.append(once.check("one"))) for _ in range(3)]
    for one in asking:
        one.start()
    host.go_on.set()
    for one in asking:
        one.join(60)
    assert said == ["one"] * 3 and once.run("one").ok and host.asked == ["one"]
    assert once.check("two") == "two" and host.asked == ["one", "two"]
    with pytest.raises(CommandFailed):
        once.check("false")


def test_an_error_is_everybodys() -> None:
    host = Counted(HostUnreachable("gone"))
    host.go_on.set()
    once = CachingHost(host)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(HostUnreachable, match="gone"):
            once.run("one")
    assert host.asked == ["one"]


def test_of_sockets_those_are_told_that_somebody_has_or_waits_for() -> None:
    """Not the hundreds that a look's own attempts leave in TIME-WAIT, which would push others out. By the kernel's own word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        kept, ended = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
        first, second = (server.accept()[0] for _ in range(2))
        ended.close()
        second.close()
        data = default_cluster.merge_tables(default_cluster.cluster_data(), {"load_balancer": {"probe": {"port": port}}})
        line = re.search(r"(?m)^echo '@@ sockets'; (.*)$", script(cluster_config.parse(data, Path("a test's")), NODE, MANAGER))
        assert line is not None
        said = subprocess.run(["/bin/sh", "-c", f"{WHOLE}\n{line[1]}"], capture_output=True, text=True, timeout=60, check=True).stdout
        kept.close()
        first.close()
    states = {s.state for s in linux_host_script_parse.host(NODE.name, f"@@ sockets\n{said}").sockets}
    assert {"LISTEN", "ESTAB"} <= states and "TIME-WAIT" not in states
