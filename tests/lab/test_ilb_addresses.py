# ruff: noqa: F811 (a fixture is imported and then named as an argument)
"""Which addresses a connection through the load balancer has at its ends, fact by fact (ILB), and its open questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.frame_capture import (
    ADDRESS,
    APP,
    CLIENT,
    NODE1,
    NODE2,
    Eyes,
    holding,
    in_service,
    only_up,
    quiet,
    reach,
    shell,
)
from tests.lab.ilb_labs import BACKEND, WEB, destination, lab, labs, other  # noqa: F401


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
        assert client.all(src=lab.vip, dport=7000) == []  # an earlier connection may still be closing


@pytest.mark.fact("OQ-16")
def test_new_flow_from_the_vip_passes_when_switched_so(other: Any) -> None:
    """With `new_flow_from_vip = pass` the SYN of such a flow arrives at its destination, with the VIP as source."""
    with in_service(other, NODE1):
        client = Eyes(other, CLIENT)
        quiet(other, NODE1, ADDRESS[CLIENT], 7000, source=other.vip)
        client.wait_for(src=other.vip, dport=7000, flags="S", out=False)


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
