"""Packet captures, between a client and a node that are network namespaces of our own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from harness.config import cluster_config
from harness.core.errors import Inconclusive, Unusable
from harness.hosts.local_host import LocalHost
from harness.remote.captures.capture_session import PacketCapture
from harness.remote.captures.wire_code_classifier import classify
from harness.remote.connections.attempt import attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.connections.worker_session import ConnectionWorker

PYTHON = sys.executable
VIP, A, S, C = "10.20.1.200", "10.20.1.11", "10.20.1.12", "10.20.1.20"
PORT = 1521
CLUSTER = cluster_config.Cluster(
    name="c",
    client={"name": "lkclient", "address": C},
    nodes=[
        {"name": "lknode01", "address": A, "second_address": "10.20.2.11"},
        {"name": "lknode02", "address": S, "second_address": "10.20.2.12"},
    ],
    services=[{"name": "db", "kind": "oracle", "port": PORT, "tag": "t"}],
)
needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip", "nft"))),
    reason="needs root, util-linux, iproute2 and nftables",
)


@pytest.fixture
def here():
    host = LocalHost("here")
    yield host
    host.close()


class Net:
    """Two namespaces and a wire: lkclient (10.20.1.20) and lknode01 (10.20.1.11); the frontend is routed to the node."""

    def __init__(self) -> None:
        self.holders = [subprocess.Popen(["unshare", "-n", "sh", "-c", "echo up; exec cat"], stdin=-1, stdout=-1) for _ in range(2)]
        for holder in self.holders:
            assert holder.stdout.readline() == b"up\n"
        self.client, self.node = (
            LocalHost(name, prefix=["nsenter", "-t", str(h.pid), "-n"])
            for name, h in zip(("lkclient", "lknode01"), self.holders, strict=True)
        )
        self.client.check(f"ip link add eth0 type veth peer name eth0 netns {self.holders[1].pid}")
        self.client.check(f"ip link set lo up; ip addr add {C}/24 dev eth0; ip link set eth0 up")
        self.node.check(f"ip link set lo up; ip addr add {A}/24 dev eth0; ip link set eth0 up")
        self.client.check(f"ip route add {VIP} via {A}")
        self.watched = {host.name: PacketCapture(host, PYTHON) for host in (self.client, self.node)}
        self.connection_workers = {host.name: ConnectionWorker(host, PYTHON) for host in (self.client, self.node)}
        for witness in self.watched.values():
            witness.start()

    def hold_vip(self) -> None:
        self.node.check(f"ip addr add {VIP}/32 dev eth0")

    def listen(self, then: str = "") -> None:
        """Accept on the node, for as long as the test holds its input open; `then` is what to do with each connection c."""
        ender = "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()"
        script = f"import os, socket, sys, threading\n{ender}\ns = socket.create_server(('0.0.0.0', {PORT}))\nprint('up', flush=True)\n"
        process = self.node.start([PYTHON, "-c", script + f"while True:\n c = s.accept()[0]\n {then}\n c.close()"])
        assert next(process.lines()) == "up"

    def way(self, origin: LocalHost, destination=VIP, **options):
        (tried,) = attempt(self.connection_workers[origin.name], destination, PORT, **{"limit": 0.3, **options})
        packets = {}
        for name, witness in self.watched.items():
            witness.mark()
            packets[name] = witness.packets()
        return tried, classify(tried, {"lknode02": [], **packets}, CLUSTER)

    def close(self) -> None:
        for witness in self.watched.values():
            witness.stop()
        for resident in self.connection_workers.values():
            resident.close()
        for host in (self.client, self.node):
            host.close()
        for holder in self.holders:
            holder.stdin.close()
            holder.wait(120)


@pytest.fixture
def net():
    net = Net()
    yield net
    net.close()


@needs_namespaces
def test_an_answer_as_the_vip_and_at_the_private_address(net):
    net.hold_vip()
    net.listen()
    tried, way = net.way(net.client)
    assert (tried.outcome, way.code, way.node, way.interface, way.destination) == (AttemptOutcome.ANSWERED, "W2", "lknode01", "eth0", VIP)
    tried, way = net.way(net.client, A)
    assert (tried.outcome, way.code, way.destination) == (AttemptOutcome.ANSWERED, "W1", A)


@needs_namespaces
def test_inside_the_node_no_nic_sees_it_and_lo_sees_it_twice(net):
    net.hold_vip()
    net.listen()
    tried, way = net.way(net.node)
    assert (tried.outcome, way.code, way.interface, way.left_a_nic) == (AttemptOutcome.ANSWERED, "W3", "lo", False)
    kinds = [p.kind for p in net.watched["lknode01"].packets() if p.is_syn and p.sport == tried.local_port]
    assert kinds == ["outgoing", "host"]


@needs_namespaces
def test_refusals_by_the_node_and_inside(net):
    net.hold_vip()
    tried, way = net.way(net.client)
    assert (tried.outcome, way.code) == (AttemptOutcome.REFUSED, "W5")
    tried, way = net.way(net.node)
    assert (tried.outcome, way.code) == (AttemptOutcome.REFUSED, "W6")


@needs_namespaces
def test_silence_of_a_node_without_the_vip_and_of_the_wire(net):
    net.listen()
    tried, way = net.way(net.client)
    assert (tried.outcome, way.code, way.node) == (AttemptOutcome.SILENT, "W7", "lknode01")
    assert tried.local_port and tried.local_address == C
    net.client.check("ip link add sink type veth peer name sink0")
    net.client.check(f"ip link set sink up; ip link set sink0 up; ip route replace {VIP} dev sink")
    net.client.check(f"ip neigh replace {VIP} lladdr 02:00:00:00:00:99 dev sink nud permanent")
    tried, way = net.way(net.client)
    assert (tried.outcome, way.code, way.node) == (AttemptOutcome.SILENT, "W8", None)


@needs_namespaces
def test_a_local_filter_and_a_missing_route_are_unknown_ways(net):
    net.client.check("nft -f -", input=b"table ip t {\n chain c {\n  type filter hook output priority 0;\n  tcp dport 1521 drop;\n }\n}\n")
    tried, way = net.way(net.client)
    assert (tried.outcome, way.code) == (AttemptOutcome.SILENT, "W?")
    assert "was not seen sending it" in way.reason
    (tried,) = attempt(net.connection_workers["lkclient"], "192.0.2.1", PORT)
    assert tried.outcome is AttemptOutcome.UNREACHABLE and "no route" in tried.detail and tried.local_port


@needs_namespaces
def test_a_mark_is_complete_and_positions_cut(net):
    net.hold_vip()
    witness = net.watched["lknode01"]
    start = witness.mark()
    many = attempt(net.connection_workers["lkclient"], VIP, PORT, count=200)
    os.kill(witness._process.pid, signal.SIGSTOP)  # so that packets and a mark wait for it together
    many += attempt(net.connection_workers["lkclient"], VIP, PORT, count=200)
    witness._process.send(b"mark 1000\n")
    os.kill(witness._process.pid, signal.SIGCONT)
    witness.mark()
    end = witness._marks[1000]
    syns = {p.sport for p in witness.packets(start, end) if p.is_syn and not p.outgoing}
    assert syns == {a.local_port for a in many}
    assert len(witness.packets(end)) == 0 == witness.dropped


@needs_namespaces
def test_without_ports_data_is_left_out_and_with_ports_it_is_kept(net):
    net.hold_vip()
    net.listen(then="c.recv(9)")
    connect = f"import socket\ns = socket.create_connection(('{VIP}', {PORT}))\ns.sendall(b'hello')\ns.recv(1)\n"
    send = connect + f"u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nu.sendto(b'x', ('{VIP}', {PORT}))"
    with PacketCapture(net.node, PYTHON, ports=[PORT, 9]) as all_of_it:
        net.client.check([PYTHON, "-c", send])
        for witness in (all_of_it, net.watched["lknode01"]):
            witness.mark()
        whole, edges = all_of_it.packets(), net.watched["lknode01"].packets()
    assert any(b"hello" in p.raw for p in whole) and any(p.protocol == "udp" for p in whole)
    assert edges and all(set(p.flags) & set("SRF") and p.protocol == "tcp" for p in edges)


@needs_namespaces
def test_the_capture_can_be_read_with_its_interfaces(net, tmp_path):
    net.hold_vip()
    net.way(net.client)
    net.way(net.node)
    path = tmp_path / "seen.pcapng"
    witness = net.watched["lknode01"]
    witness.write_pcap(path)
    from scapy.utils import PcapNgReader

    with PcapNgReader(str(path)) as reader:
        read = list(reader)
    seen = witness.packets()
    assert len(read) == len(seen) > 4
    assert [bytes(p)[:40] for p in read] == [p.raw[:40] for p in seen]
    assert [p.sniffed_on for p in read] == [p.interface for p in seen]
    assert {p.interface for p in seen} == {"lo", "eth0"}
    assert all(abs(float(p.time) - q.time) < 1e-5 for p, q in zip(read, seen, strict=True))


@needs_namespaces
def test_a_witness_that_died_is_inconclusive_with_the_reason(net):
    witness = net.watched["lknode01"]
    os.kill(witness._process.pid, 9)
    with pytest.raises(Inconclusive, match="lknode01: the packet capture has ended"):
        witness.mark()


def test_a_witness_that_may_not_capture_says_what_to_do():
    without = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if os.geteuid() == 0 else []
    host = LocalHost("here", prefix=without)
    with pytest.raises(Unusable, match=r"here: the packets there cannot be watched: .*needs root"), PacketCapture(host, PYTHON):
        pass


def test_a_witness_without_python_says_so(here):
    with pytest.raises((Inconclusive, Unusable), match="python-that-is-not-there"), PacketCapture(here, "python-that-is-not-there"):
        pass
