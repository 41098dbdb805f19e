"""DHCP and names as Azure gives them, by the dnsmasq that a lab starts, behind the fabric's own rules, in network namespaces of our own."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from harness.config import cluster_config
from harness.core.errors import BadUse, Unusable
from harness.hosts.local_host import LocalHost
from harness.lab import lab_config, topology
from harness.lab.guests import container_provisioning
from harness.lab.lifecycle import default_cluster
from harness.lab.network import dhcp, fabric, fabric_ruleset

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip", "nft", "dnsmasq"))),
    reason="needs root, util-linux, iproute2, nftables and dnsmasq (Debian package dnsmasq-base)",
)
CLUSTER = cluster_config.Cluster.model_validate(default_cluster.cluster_data())
TOPOLOGY = topology.make_topology(CLUSTER)
PLATFORM = "168.63.129.16"
# Asks as a client does that has no address yet; prints the address, the server and the options that were confirmed, or None.
ASK = """
import socket, struct, sys, time
mac, nic, limit = bytes.fromhex(sys.argv[1].replace(":", "")), sys.argv[2], float(sys.argv[3])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800))
wire.bind((nic, 0))
def ask(*options):
    fields = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, 7, 0, 0x8000, 0, 0, 0, 0) + mac + bytes(202) + bytes([99, 130, 83, 99])
    fields += b"".join(bytes([code, len(value)]) + value for code, value in options) + bytes([255]) + bytes(40)
    udp = struct.pack("!HHHH", 68, 67, 8 + len(fields), 0) + fields
    head = struct.pack("!BBHIBBH4s4s", 69, 0, 20 + len(udp), 0, 64, 17, 0, bytes(4), bytes([255] * 4))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    wire.send(bytes([255] * 6) + mac + b"\\x08\\x00" + head + udp)
    end = time.monotonic() + limit
    while (left := end - time.monotonic()) > 0:
        wire.settimeout(left)
        try:
            frame = wire.recv(2000)[14:]
        except TimeoutError:
            break
        if frame[9] == 17 and frame[20:24] == b"\\x00\\x43\\x00\\x44":
            told, at, options = frame[28:], 240, {}
            while told[at] != 255:
                options[told[at]] = told[at + 2 : at + 2 + told[at + 1]]
                at += 2 + told[at + 1]
            return told[16:20], frame[12:16], options
wanted = (55, bytes([1, 3, 6, 15, 26, 51, 54, 121, 245]))
offer = ask((53, bytes([1])), wanted)
answer = offer and ask((53, bytes([3])), (50, offer[0]), (54, offer[1]), wanted)
print(answer and (socket.inet_ntoa(answer[0]), socket.inet_ntoa(answer[1]), answer[2]))
"""
NAME = """
import socket, struct, sys
question = b"".join(bytes([len(part)]) + part.encode() for part in sys.argv[1].split(".")) + bytes(1) + struct.pack("!HH", 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question, ("168.63.129.16", 53))
answer = s.recv(512)
print((answer[3] & 15, socket.inet_ntoa(answer[-4:]) if struct.unpack_from("!H", answer, 6)[0] else ""))
"""


class Net:
    """A fabric with the legs of lknode01, which asks, and of the client, which does not."""

    def __init__(self, folder: Path) -> None:
        self._holders = [subprocess.Popen(["unshare", "-n", "sh", "-c", "echo up; exec cat"], stdin=-1, stdout=-1) for _ in range(3)]
        for holder in self._holders:
            assert holder.stdout is not None and holder.stdout.readline() == b"up\n"
        self.fabric, self.node, self.client = (LocalHost("a", prefix=["nsenter", "-t", str(h.pid), "-n"]) for h in self._holders)
        hosts = dict(zip(("lknode01", "lkclient"), self._holders[1:], strict=True))
        asking = dhcp.nics_of(TOPOLOGY, ["lknode01"])
        lines = ["link set lo up", f"link add {fabric.STUB} type veth peer name end", f"link set {fabric.STUB} up"]
        lines += [f"address add {address}/32 dev {fabric.STUB}" for address in fabric.own_addresses(CLUSTER)]
        for name, holder in hosts.items():
            lines += fabric._legs(CLUSTER, TOPOLOGY.of(name), str(holder.pid))
        self._ip(self.fabric, [*lines, *dhcp.address_lines(CLUSTER, asking)])
        self._ip(self.node, [*fabric.guest_lines(TOPOLOGY.of("lknode01"), asks=True), "link set eth0 up", "link set eth1 up"])
        self._ip(self.client, fabric.guest_lines(TOPOLOGY.of("lkclient")))
        rules = fabric_ruleset.ruleset(CLUSTER, TOPOLOGY, lab_config.LabSettings()) + dhcp.ruleset(CLUSTER, asking)
        self.fabric.check(["nft", "-f", "-"], input=rules.encode())
        file = folder / "dhcp.conf"
        file.write_text(dhcp.configuration(CLUSTER, TOPOLOGY, ["lknode01"]))
        server = self.fabric.start(f"exec dnsmasq --conf-file={file} 2>&1")
        assert any("DHCP, static leases only on 10.20.2.0" in line for line in server.lines())

    def _ip(self, host: LocalHost, lines: list[str]) -> None:
        host.check(["ip", "-batch", "-"], input="\n".join([*lines, ""]).encode())

    def power_cycle(self) -> None:
        """The node's legs go, and others of their names come, as with its power."""
        nics = TOPOLOGY.of("lknode01")
        self._ip(self.fabric, [f"link del {nic.leg}" for nic in nics])
        self._ip(self.fabric, [*fabric._legs(CLUSTER, nics, str(self._holders[1].pid)), *dhcp.address_lines(CLUSTER, nics)])
        self._ip(self.node, [*fabric.guest_lines(nics, asks=True), "link set eth0 up", "link set eth1 up"])

    def ask(self, host: LocalHost, mac: str, nic: str, *, limit: float = 20.0) -> Any:
        return ast.literal_eval(host.check([sys.executable, "-S", "-c", ASK, mac, nic, str(limit)], limit=60.0))

    def close(self) -> None:
        for host in (self.fabric, self.node, self.client):
            host.close()
        for holder in self._holders:
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait(120)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    made = Net(tmp_path_factory.mktemp("dhcp"))
    yield made
    made.close()


@needs_namespaces
def test_what_a_first_and_a_second_nic_are_given(net: Net) -> None:
    first, second = TOPOLOGY.of("lknode01")
    assert first.mac.startswith("00:0d:3a:")
    address, server, options = net.ask(net.node, first.mac, "eth0")
    assert (address, server) == ("10.20.1.11", PLATFORM)
    gateway, platform, metadata = (IPv4Address(a).packed for a in ("10.20.1.1", PLATFORM, "169.254.169.254"))
    routes = bytes([0]) + gateway + bytes([32]) + platform + gateway + bytes([32]) + metadata + gateway
    given = {1: bytes([255, 255, 255, 0]), 3: gateway, 6: platform, 15: dhcp.DOMAIN.encode(), 51: bytes([255] * 4), 54: platform}
    given |= {121: routes, 245: platform}
    assert {code: options.get(code) for code in given} == given
    address, server, options = net.ask(net.node, second.mac, "eth1")
    assert (address, server, options[54]) == ("10.20.2.11", PLATFORM, platform)
    assert not {3, 121} & set(options), "only the first NIC has a way out of its subnet (FAB-11)"


@needs_namespaces
def test_a_guest_that_lost_its_power_is_answered_again(net: Net) -> None:
    net.power_cycle()
    for nic in TOPOLOGY.of("lknode01"):
        address, server, _ = net.ask(net.node, nic.mac, nic.name)
        assert (address, server) == (str(nic.address), PLATFORM)


@needs_namespaces
def test_who_is_none_of_its_guests_is_given_nothing(net: Net) -> None:
    """Another hardware address, and a host that does not ask: its leg is not served."""
    net.ask(net.node, TOPOLOGY.of("lknode01")[0].mac, "eth0")  # it answers, so that what follows is silence
    assert net.ask(net.node, "00:0d:3a:00:00:99", "eth0", limit=1.0) is None
    assert net.ask(net.client, TOPOLOGY.of("lknode01")[0].mac, "eth0", limit=1.0) is None


@needs_namespaces
def test_names_are_those_of_the_lab_and_no_others(net: Net) -> None:
    net.node.run("ip addr add 10.20.1.11/24 dev eth0; ip route add default via 10.20.1.1")

    def name(text: str) -> tuple[int, str]:
        code, address = ast.literal_eval(net.node.check([sys.executable, "-S", "-c", NAME, text], limit=60.0))
        return code, address

    assert name("lknode02") == (0, "10.20.1.12") and name(f"lkclient.{dhcp.DOMAIN}") == (0, "10.20.1.20")
    assert name("example.com") == (5, ""), "refused at once: there is nobody to ask, and nobody waits"


def test_a_container_that_asks_is_given_nothing_but_its_hardware_addresses(tmp_path: Path) -> None:
    """systemd's network manager asks there: it is wanted at boot, and what wants the network waits for it."""
    seed = container_provisioning.Seed(tmp_path)
    container_provisioning.ask_by_dhcp(seed)
    assert "DHCP=ipv4" in (tmp_path / "etc/systemd/network/lab.network").read_text()
    for target, unit in container_provisioning.DHCP_UNITS.items():
        link = tmp_path / f"etc/systemd/system/{target}.wants/{unit}"
        assert link.readlink() == Path("/lib/systemd/system") / unit
    lines = fabric.guest_lines(TOPOLOGY.of("lknode01"), asks=True)
    assert lines == ["link set lo up", "link set eth0 address 00:0d:3a:14:01:0b", "link set eth1 address 00:0d:3a:14:02:0b"]


def test_a_namespace_cannot_ask() -> None:
    data = default_cluster.cluster_data(overrides={"lab": {"guests": {"lknode01": {"dhcp": True}}}})
    with pytest.raises(BadUse, match=r"lab\.guests\.lknode01\.dhcp: a namespace has no DHCP client"):
        lab_config.make_lab_config(cluster_config.parse(data, Path("x")), Path("x"))


def test_a_machine_without_dnsmasq_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dhcp.shutil, "which", lambda name: None)
    with pytest.raises(Unusable, match="apt-get install -y --no-install-recommends dnsmasq-base"):
        dhcp.demand()
