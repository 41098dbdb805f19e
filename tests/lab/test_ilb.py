"""The load balancer's data path, fact by fact (ILB), and its open questions."""

from __future__ import annotations

from collections.abc import Callable
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
    holding,
    in_service,
    only_up,
    quiet,
    reach,
    shell,
)

WEB, BACKEND, MESSAGES = 8080, 18080, 5353
RULES = [{"port": WEB, "backend_port": BACKEND}, {"port": MESSAGES, "protocol": "udp"}]
DESIGNS = ["nat", "floating"]
# One rule for every port, and each question answered the other way, cost two labs each. Either design carries them by the same lines.
MOSTLY_NAT = ["nat", pytest.param("floating", marks=pytest.mark.deep)]
MOSTLY_FLOATING = ["floating", pytest.param("nat", marks=pytest.mark.deep)]


KINDS: dict[str, dict[str, Any]] = {
    # Besides the services' rules one to another backend port, and one for UDP.
    "plain": {"lab": {"rules": RULES}},
    # The open questions answered the other way.
    "other": {"lab": {"rules": RULES, "unknowns": {"backend_port_under_floating": "ignore", "new_flow_from_vip": "pass"}}},
    # One rule for every port.
    "ha": {"load_balancer": {"ha_ports": True}},
    "ha other": {"load_balancer": {"ha_ports": True}, "lab": {"unknowns": {"icmp_on_ha_ports": "pass", "mss_clamp": "on"}}},
}


@pytest.fixture(scope="module")
def labs(make_lab: Callable[..., Any]) -> Callable[..., Any]:
    """Labs by design and kind, each brought up when first asked for."""
    made: dict[tuple[str, str], Any] = {}

    def get(design: str, kind: str = "plain") -> Any:
        if (design, kind) not in made:
            made[design, kind] = make_lab(design, **KINDS[kind])
        return made[design, kind]

    return get


@pytest.fixture(params=DESIGNS)
def lab(request: pytest.FixtureRequest, labs: Callable[..., Any]) -> Any:
    return labs(request.param)


@pytest.fixture(params=MOSTLY_FLOATING)
def other(request: pytest.FixtureRequest, labs: Callable[..., Any]) -> Any:
    return labs(request.param, "other")


@pytest.fixture(params=MOSTLY_NAT)
def ha_ports(request: pytest.FixtureRequest, labs: Callable[..., Any]) -> Any:
    return labs(request.param, "ha")


@pytest.fixture(params=MOSTLY_FLOATING)
def ha_ports_other(request: pytest.FixtureRequest, labs: Callable[..., Any]) -> Any:
    return labs(request.param, "ha other")


def destination(bench: Any, node: str) -> str:
    """The address by which client traffic arrives at a node."""
    return bench.vip if bench.data["design"] == "floating" else ADDRESS[node]


def conversation(eyes: Eyes, port: int, *, out: bool) -> list[tuple]:
    """The TCP segments of one connection, one way, as they make sense to both ends."""
    own = [s for s in eyes.all(out=out) if port in (s.sport, s.dport)]
    return sorted((s.seq, s.ack, s.flags, s.data) for s in own)


@pytest.mark.fact("ILB-01")
def test_handshake_is_between_client_and_node(lab: Any) -> None:
    """Every segment, from SYN to FIN, is the same at the client and at the node: nothing on the way accepts or closes."""
    with in_service(lab, NODE1):
        client, node = Eyes(lab, CLIENT), Eyes(lab, NODE1)
        lab.listen(NODE1, APP)
        port = lab.connect(CLIENT, lab.vip, APP)[0]["port"]

        def whole() -> bool:
            asked, heard = conversation(client, port, out=True), conversation(client, port, out=False)
            ended = sum("F" in flags for _, _, flags, _ in asked + heard) == 2
            return ended and asked == conversation(node, port, out=False) and heard == conversation(node, port, out=True)

        lab.wait_for(whole, "both ends having seen the same whole conversation")
        assert client.all(out=True, sport=port)[0].flags == "S"


@pytest.mark.fact("ILB-01")
def test_nothing_accepts_for_a_node_that_does_not(lab: Any) -> None:
    """A node whose own firewall drops the SYN leaves the client without a handshake."""
    chain = "add table ip guest; add chain ip guest in { type filter hook input priority 0; }"
    ignore = f"nft '{chain}; add rule ip guest in tcp dport {APP} drop'"
    with in_service(lab, NODE1):
        client, node = Eyes(lab, CLIENT), Eyes(lab, NODE1)
        lab.listen(NODE1, APP)
        with shell(lab, NODE1, (ignore, "nft delete table ip guest")):
            assert quiet(lab, CLIENT, lab.vip) == "silent"
            node.wait_for("the SYN at the node", dport=APP, flags="S", out=False)
            assert client.all(src=lab.vip) == []
        assert reach(lab, CLIENT, lab.vip) == NODE1
        assert client.all(src=lab.vip, flags="SA")


@pytest.mark.fact("ILB-02")
def test_node_sees_the_clients_own_address_and_port(lab: Any) -> None:
    """There is no source NAT: the node sees the client's address and port."""
    with in_service(lab, NODE1):
        node = Eyes(lab, NODE1)
        lab.listen(NODE1, APP)
        done = lab.connect(CLIENT, lab.vip, APP)[0]
        assert done["hello"]["peer"] == [ADDRESS[CLIENT], done["port"]]
        syn = node.wait_for(dport=APP, flags="S", out=False)
        assert (syn.src, syn.sport) == (ADDRESS[CLIENT], done["port"])


FROM_ONE_PORT = """
import socket, sys
with socket.socket() as one:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("", 41000))
    one.settimeout(0.3)
    try:
        one.connect((sys.argv[1], int(sys.argv[2])))
        print('"answered"')
    except TimeoutError:
        print('"silent"')
"""


@pytest.mark.fact("ILB-02")
def test_a_nodes_silence_does_not_change_the_next_connections_port(labs: Callable[..., Any]) -> None:
    """Nobody answered a connection to the node's own address; one by the frontend from the same port soon keeps its port again."""
    lab = labs("nat")
    chain = "add table ip guest; add chain ip guest in { type filter hook input priority 0; }"
    ignore = f"nft '{chain}; add rule ip guest in tcp dport {APP} drop'"

    def connect(to: str) -> str:
        return lab.python(NODE2, FROM_ONE_PORT, to, APP)

    with in_service(lab, NODE1):
        node = Eyes(lab, NODE1)
        lab.listen(NODE1, APP)
        with shell(lab, NODE1, (ignore, "nft delete table ip guest")):
            assert connect(ADDRESS[NODE1]) == "silent"
            node.wait_for("the SYN at the node", sport=41000, flags="S", out=False)
        later = Eyes(lab, NODE1)

        def keeps_its_port() -> bool:
            connect(lab.vip)
            return bool(later.all(sport=41000, dport=APP, flags="S", out=False))

        lab.wait_for(keeps_its_port, "a connection by the frontend arriving with its own port", limit=60.0)


@pytest.mark.fact("ILB-03")
def test_silence_when_no_node_is_there_to_answer(lab: Any) -> None:
    """With nobody to send to, the client gets neither RST nor ICMP; with a node that does not listen it gets that node's RST."""
    client, node = Eyes(lab, CLIENT), Eyes(lab, NODE1)
    with holding(lab, NODE1):
        with only_up(lab):
            assert quiet(lab, CLIENT, lab.vip) == "silent"
            client.wait_for("the SYN leaving", dst=lab.vip, flags="S", out=True)
            assert client.all(out=False, proto=6) + client.all(out=False, proto=1) == []
            assert node.all(dport=APP) == []
        with only_up(lab, NODE1):
            assert reach(lab, CLIENT, lab.vip) == "refused"
    made, got = node.wait_for(flags="RA", dst=ADDRESS[CLIENT], out=True), client.wait_for(flags="RA", out=False)
    assert (made.src, got.src) == (destination(lab, NODE1), lab.vip)
    assert (made.ack, made.dport) == (got.ack, got.dport)


@pytest.mark.fact("ILB-03")
def test_own_kernel_refuses_where_the_vip_is_local(lab: Any) -> None:
    """On a node that holds the VIP, a closed port is refused by its own kernel, with nothing on any NIC."""
    eyes = Eyes(lab, NODE1)
    with in_service(lab, NODE1):
        assert reach(lab, NODE1, lab.vip) == "refused"
        assert reach(lab, NODE1, ADDRESS[CLIENT], 9) == "refused"
    eyes.wait_for("the control's SYN on the wire", dst=ADDRESS[CLIENT], nic="eth0", out=True)
    assert {s.nic for s in eyes.all(dst=lab.vip)} == {"lo"}


@pytest.mark.fact("ILB-05")
def test_nat_arrives_at_private_address_and_backend_port(labs: Callable[..., Any]) -> None:
    """Floating IP off: arrives at the node's private address and the backend port; the client sees the reply from the VIP."""
    nat = labs("nat")
    with only_up(nat, NODE1):
        client, node = Eyes(nat, CLIENT), Eyes(nat, NODE1)
        nat.listen(NODE1, BACKEND, ADDRESS[NODE1])
        done = nat.connect(CLIENT, nat.vip, WEB)[0]
        assert done["hello"]["own"] == [ADDRESS[NODE1], BACKEND]
        node.wait_for(dst=ADDRESS[NODE1], dport=BACKEND, flags="S", out=False)
        node.wait_for(src=ADDRESS[NODE1], sport=BACKEND, flags="SA", out=True)
        client.wait_for(src=nat.vip, sport=WEB, flags="SA", out=False)
        assert client.all(src=ADDRESS[NODE1]) == [] == node.all(dst=nat.vip)


@pytest.mark.fact("ILB-06")
def test_floating_arrives_at_the_vip_unrewritten(labs: Callable[..., Any]) -> None:
    """Floating IP on: arrives at the VIP and leaves as the VIP; without the VIP on the node nobody answers."""
    floating = labs("floating")
    with only_up(floating, NODE1):
        client, node = Eyes(floating, CLIENT), Eyes(floating, NODE1)
        floating.listen(NODE1, APP)
        with holding(floating, NODE1):
            done = floating.connect(CLIENT, floating.vip, APP)[0]
            assert done["hello"]["own"] == [floating.vip, APP]
        node.wait_for(dst=floating.vip, dport=APP, flags="S", out=False)
        sent, got = node.wait_for(src=floating.vip, flags="SA", out=True), client.wait_for(src=floating.vip, flags="SA", out=False)
        assert (sent.seq, sent.ack) == (got.seq, got.ack)
        assert node.all(dst=ADDRESS[NODE1], dport=APP) == []
        assert quiet(floating, CLIENT, floating.vip) == "silent"


@pytest.mark.fact("ILB-07")
def test_floating_without_the_vip_is_silent_even_with_forwarding(labs: Callable[..., Any]) -> None:
    """Floating IP on and no VIP: the node discards the packet; with ip_forward it sends it back out, and the fabric drops it."""
    floating = labs("floating")
    forward = ("sysctl -qw net.ipv4.ip_forward=1", "sysctl -qw net.ipv4.ip_forward=0")
    with only_up(floating, NODE1):
        client, node, other = Eyes(floating, CLIENT), Eyes(floating, NODE1), Eyes(floating, NODE2)
        floating.listen(NODE1, APP)
        assert quiet(floating, CLIENT, floating.vip) == "silent"
        node.wait_for("the SYN at the node", dst=floating.vip, flags="S", out=False)
        assert node.all(out=True, proto=6, dst=ADDRESS[CLIENT]) == []
        node.forget()
        with shell(floating, NODE1, forward):
            assert quiet(floating, CLIENT, floating.vip) == "silent"
        back = node.wait_for("the SYN sent back out", dst=floating.vip, src=ADDRESS[CLIENT], flags="S", out=True)
        again = [s for s in node.all(seq=back.seq, out=False) if s.ttl < back.ttl]
        assert again == []
        assert client.all(out=False, proto=6) == [] == other.all(dst=floating.vip)
        with holding(floating, NODE1):
            assert reach(floating, CLIENT, floating.vip) == NODE1


@pytest.mark.fact("ILB-08")
def test_replies_return_directly(lab: Any) -> None:
    """A reply leaves the node for the client itself, and comes as many hops as one of a direct connection."""
    with in_service(lab, NODE1):
        client, node = Eyes(lab, CLIENT), Eyes(lab, NODE1)
        lab.listen(NODE1, APP)
        assert reach(lab, CLIENT, ADDRESS[NODE1]) == NODE1
        assert reach(lab, CLIENT, lab.vip) == NODE1
        through, direct = client.wait_for(src=lab.vip, flags="SA"), client.wait_for(src=ADDRESS[NODE1], flags="SA")
        assert through.ttl == direct.ttl
        assert {s.dst for s in node.all(out=True, sport=APP, nic="eth0")} == {ADDRESS[CLIENT]}
        assert {s.dport for s in node.all(out=True, flags="SA", nic="eth0")} == {through.dport, direct.dport}


@pytest.mark.fact("ILB-11")
def test_vip_on_every_member_makes_the_standby_talk_to_itself(lab: Any) -> None:
    """With the VIP on every member's loopback the standby reaches itself; with it on the active node alone, the active one."""
    with in_service(lab, NODE1):
        lab.listen(NODE1, APP)
        lab.listen(NODE2, APP)
        with holding(lab, NODE2, nic="lo"):
            assert reach(lab, NODE2, lab.vip) == NODE2
        assert reach(lab, NODE2, lab.vip) == NODE1


@pytest.mark.fact("ILB-12", "FAB-09", "OQ-16")
def test_new_flow_from_the_vip_is_lost(lab: Any) -> None:
    """A new flow whose source is the VIP leaves the node and arrives nowhere, while one from the private address does."""
    with in_service(lab, NODE1):
        client, node = Eyes(lab, CLIENT), Eyes(lab, NODE1)
        lab.listen(CLIENT, 7000)
        assert quiet(lab, NODE1, ADDRESS[CLIENT], 7000, source=lab.vip) == "silent"
        node.wait_for("the SYN leaving", src=lab.vip, flags="S", nic="eth0", out=True)
        assert reach(lab, NODE1, ADDRESS[CLIENT], 7000) == CLIENT
        client.wait_for("the control's SYN", src=ADDRESS[NODE1], flags="S")
        assert client.all(src=lab.vip) == []


@pytest.mark.fact("OQ-16")
def test_new_flow_from_the_vip_passes_when_switched_so(other: Any) -> None:
    """With `new_flow_from_vip = pass` the SYN of such a flow arrives at its destination, with the VIP as source."""
    with in_service(other, NODE1):
        client = Eyes(other, CLIENT)
        quiet(other, NODE1, ADDRESS[CLIENT], 7000, source=other.vip)
        client.wait_for(src=other.vip, dport=7000, flags="S", out=False)


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


@pytest.mark.fact("OQ-09")
@pytest.mark.parametrize(("kind", "port"), [("plain", BACKEND), ("other", WEB)])
def test_backend_port_under_floating(kind: str, port: int, labs: Callable[..., Any]) -> None:
    """A floating-IP rule's other backend port is honoured by default, and ignored when switched so; the client sees the frontend port."""
    floating = labs("floating", kind)
    with in_service(floating, NODE1):
        client, node = Eyes(floating, CLIENT), Eyes(floating, NODE1)
        floating.listen(NODE1, port)
        done = floating.connect(CLIENT, floating.vip, WEB)[0]
        assert done["hello"]["own"] == [floating.vip, port]
        node.wait_for(dst=floating.vip, dport=port, flags="S", out=False)
        client.wait_for(src=floating.vip, sport=WEB, flags="SA", out=False)
