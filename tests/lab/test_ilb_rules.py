# ruff: noqa: F811 (a fixture is imported and then named as an argument)
"""Which packets the load balancer's rules carry, fact by fact (ILB), and its open questions: protocols, fragments, ports, ICMP, MSS."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import GRE

from tests.lab.frame_capture import (
    ADDRESS,
    APP,
    CLIENT,
    NODE1,
    NODE2,
    Eyes,
    arrives,
    in_service,
    quiet,
    reach,
)
from tests.lab.ilb_labs import MESSAGES, destination, ha_ports, ha_ports_other, lab, labs  # noqa: F401


@pytest.mark.fact("ILB-15")
def test_only_tcp_and_udp_reach_a_node(lab: Any) -> None:
    """ICMP, GRE and ESP to the frontend reach no node and get no answer; UDP and TCP do."""
    with in_service(lab, NODE1):
        client, node, other = Eyes(lab, CLIENT), Eyes(lab, NODE1), Eyes(lab, NODE2)
        lab.listen(NODE1, APP)
        control = IP(dst=lab.vip, src=ADDRESS[CLIENT]) / UDP(dport=MESSAGES)
        for what in (ICMP(), GRE(), None):
            head = IP(dst=lab.vip, src=ADDRESS[CLIENT]) / what if what else IP(dst=lab.vip, src=ADDRESS[CLIENT], proto=50)
            assert not arrives(client, node, head, control=control), head.summary()
        assert other.all(src=ADDRESS[CLIENT]) == []
        assert reach(lab, CLIENT, lab.vip) == NODE1
        client.send(IP(src=ADDRESS[CLIENT], dst=ADDRESS[NODE1]) / ICMP())
        client.wait_for("the node's own answer to ping", icmp=0, src=ADDRESS[NODE1], out=False)
        assert client.all(icmp=0, src=lab.vip) == []


@pytest.mark.fact("ILB-17")
def test_fragments_to_the_frontend_are_lost(lab: Any) -> None:
    """A fragmented datagram to the frontend reaches nobody; a whole one does, and fragments to the node itself do."""
    with in_service(lab, NODE1):
        client, node = Eyes(lab, CLIENT), Eyes(lab, NODE1)
        to_vip, to_node = (IP(src=ADDRESS[CLIENT], dst=d) / UDP(sport=4000, dport=MESSAGES) for d in (lab.vip, ADDRESS[NODE1]))
        control = IP(src=ADDRESS[CLIENT], dst=lab.vip) / UDP(sport=4001, dport=MESSAGES)
        assert not arrives(client, node, to_vip, control=control, fragments=True)
        assert arrives(client, node, to_vip, control=control)
        assert arrives(client, node, to_node, control=control, fragments=True)


@pytest.mark.fact("ILB-18")
def test_ha_ports_cover_every_port(ha_ports: Any) -> None:
    """One HA-ports rule carries every TCP and UDP port."""
    with in_service(ha_ports, NODE1):
        client, node = Eyes(ha_ports, CLIENT), Eyes(ha_ports, NODE1)
        for port in (1, APP, 40000, 65535):
            assert reach(ha_ports, CLIENT, ha_ports.vip, port) == "refused"  # nothing listens, and the node says so
            assert node.wait_for(dport=port, flags="S", out=False).dst == destination(ha_ports, NODE1)
            datagram = IP(src=ADDRESS[CLIENT], dst=ha_ports.vip) / UDP(sport=4000, dport=port)
            assert arrives(client, node, datagram, control=datagram)
        ha_ports.listen(NODE1, 40000)
        assert reach(ha_ports, CLIENT, ha_ports.vip, 40000) == NODE1


@pytest.mark.fact("ILB-19")
def test_port_without_a_rule_is_silent(lab: Any) -> None:
    """A frontend port that has no rule is silent, not refused, though the node listens on it."""
    with in_service(lab, NODE1):
        node = Eyes(lab, NODE1)
        for port in (APP, 4444):
            lab.listen(NODE1, port)
        assert quiet(lab, CLIENT, lab.vip, 4444) == "silent"
        assert node.all(dport=4444) == []
        assert reach(lab, CLIENT, ADDRESS[NODE1], 4444) == NODE1
        assert reach(lab, CLIENT, lab.vip) == NODE1


@pytest.mark.fact("ILB-23")
def test_nodes_have_no_way_to_the_internet(lab: Any) -> None:
    """A backend's connection to an Internet address is silent while the service itself works."""
    with in_service(lab, NODE1):
        node = Eyes(lab, NODE1)
        lab.listen(NODE1, APP)
        assert [quiet(lab, NODE1, to, 443) for to in ("203.0.113.10", "198.51.100.1")] == ["silent"] * 2
        node.wait_for("the SYN leaving", dst="203.0.113.10", flags="S", nic="eth0", out=True)
        assert [s for s in node.all(out=False) if s.proto == 1 or s.src in ("203.0.113.10", "198.51.100.1")] == []
        assert reach(lab, CLIENT, lab.vip) == NODE1


def ping_vip(bench: Any) -> bool:
    """Whether the frontend answers a ping of the client's; a TCP connection through it, after it, is the control."""
    client = Eyes(bench, CLIENT)
    bench.listen(NODE1, APP)
    client.send(IP(src=ADDRESS[CLIENT], dst=bench.vip) / ICMP(id=7))
    assert reach(bench, CLIENT, bench.vip) == NODE1
    client.wait_for(src=bench.vip, flags="SA")
    return bool(client.all(icmp=0, src=bench.vip, out=False))


@pytest.mark.fact("OQ-02", "ILB-15")
def test_icmp_on_ha_ports_is_dropped_by_default(ha_ports: Any) -> None:
    """An HA-ports rule carries no ICMP unless the switch says so."""
    with in_service(ha_ports, NODE1):
        assert not ping_vip(ha_ports)


@pytest.mark.fact("OQ-02")
def test_icmp_on_ha_ports_passes_when_switched_so(ha_ports_other: Any) -> None:
    """With `icmp_on_ha_ports = pass` the active node answers a ping of the frontend, as the frontend."""
    with in_service(ha_ports_other, NODE1):
        assert ping_vip(ha_ports_other)


def mss_through(bench: Any, to: str) -> tuple[int | None, int | None]:
    """The MSS that a SYN of the client's had when it left and when it arrived at the node."""
    client, node = Eyes(bench, CLIENT), Eyes(bench, NODE1)
    bench.connect(CLIENT, to, APP)
    syn = client.wait_for(dst=to, flags="S", out=True)
    return syn.mss, node.wait_for(seq=syn.seq, flags="S", out=False).mss


@pytest.mark.fact("OQ-13", "ILB-25")
def test_mss_is_left_alone_by_default(lab: Any) -> None:
    """The balancer leaves a SYN's MSS as the client set it."""
    with in_service(lab, NODE1):
        assert mss_through(lab, lab.vip) == (1460, 1460)


@pytest.mark.fact("OQ-13", "ILB-25")
def test_mss_is_lowered_through_the_balancer_when_switched_so(ha_ports_other: Any) -> None:
    """With `mss_clamp = on` a SYN through the balancer arrives with MSS 1418, and one sent to the node itself with 1460."""
    with in_service(ha_ports_other, NODE1):
        assert mss_through(ha_ports_other, ha_ports_other.vip) == (1460, 1418)
        assert mss_through(ha_ports_other, ADDRESS[NODE1]) == (1460, 1460)
