"""The VNet that carries everything, fact by fact (FAB), and the open question of what it answers to ARP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, GRE, Ether

from harness.core.errors import BadUse
from harness.lab.lab_config import Unknowns
from harness.lab.topology import FABRIC_MAC
from tests.lab.frame_capture import (
    ADDRESS,
    APP,
    CLIENT,
    NODE1,
    NODE2,
    PROBE,
    PROBE_SOURCE,
    SECOND,
    Eyes,
    arrives,
    call_from_fabric,
    holding,
    in_fabric,
    in_service,
    only_up,
    quiet,
    reach,
    shell,
)

GATEWAY, UNASSIGNED, ROUTED, EVERYBODY = "10.20.1.1", "10.20.1.77", "10.20.1.88", "ff:ff:ff:ff:ff:ff"
FROM_NIC_2 = [  # what a guest needs so that its second NIC reaches beyond its subnet
    ("ip route add default via 10.20.2.1 dev eth1 table 200", "ip route del default table 200"),
    ("ip rule add from 10.20.2.11 lookup 200", "ip rule del from 10.20.2.11 lookup 200"),
]


def client_to(address: str, **ip: Any) -> IP:
    return IP(src=ADDRESS[CLIENT], dst=address, **ip)


def control() -> IP:
    """A datagram that every fabric carries from the client to the first node."""
    return client_to(ADDRESS[NODE1]) / UDP(sport=4000, dport=5000)


@pytest.mark.fact("FAB-01")
def test_no_broadcast_no_multicast_no_layer_2(nat: Any) -> None:
    """Broadcast, multicast and frames to another NIC's own MAC reach nobody; unicast through the fabric does."""
    client, node, other = Eyes(nat, CLIENT), Eyes(nat, NODE1), Eyes(nat, NODE2)
    node_mac = nat.sh(NODE1, "cat /sys/class/net/eth0/address || ip -o link show eth0").stdout
    mac = node_mac.split("link/ether ")[-1].split()[0]
    datagram = UDP(sport=4000, dport=5000)
    for frame in (
        Ether(dst=EVERYBODY) / client_to("255.255.255.255") / datagram,
        Ether(dst=EVERYBODY) / client_to("10.20.1.255") / datagram,
        Ether(dst=FABRIC_MAC) / client_to("10.20.1.255") / datagram,
        Ether(dst="01:00:5e:00:00:12") / client_to("224.0.0.18", proto=112),
        Ether(dst=FABRIC_MAC) / client_to("224.0.0.18", proto=112),
        Ether(dst=mac) / client_to(ADDRESS[NODE1]) / datagram,
        Ether(dst=EVERYBODY) / client_to(ADDRESS[NODE1]) / datagram,
    ):
        assert not arrives(client, node, frame, control=control()), frame.summary()
    assert arrives(client, node, Ether(dst=FABRIC_MAC) / client_to(ADDRESS[NODE1]) / datagram, control=control())
    assert other.all(src=ADDRESS[CLIENT]) == []


@pytest.mark.fact("FAB-02")
def test_protocols_that_no_vnet_carries(nat: Any) -> None:
    """IP-in-IP, GRE, unicast DHCP and UDP from port 65330 are lost between two VMs; other UDP, TCP and ping are not."""
    client, node = Eyes(nat, CLIENT), Eyes(nat, NODE1)
    to = client_to(ADDRESS[NODE1])
    lost = [GRE(), IP(src="192.0.2.1", dst="192.0.2.2"), UDP(sport=68, dport=67), UDP(sport=67, dport=68), UDP(sport=65330, dport=5000)]
    for what in lost:
        assert not arrives(client, node, to / what, control=control()), what.summary()
    for what in (UDP(sport=65331, dport=5000), UDP(sport=5000, dport=65330), TCP(sport=5000, dport=6000), ICMP()):
        assert arrives(client, node, to / what, control=control()), what.summary()


@pytest.mark.fact("FAB-02")
def test_gateway_answers_no_ping_and_no_traceroute(nat: Any) -> None:
    """The gateway answers ARP, but no ping, no TCP or UDP, and no packet whose time runs out on it; a VM answers ping and refuses TCP."""
    client, node = Eyes(nat, CLIENT), Eyes(nat, NODE1)
    for address in (GATEWAY, PROBE_SOURCE, ADDRESS[NODE1]):
        client.send(client_to(address) / TCP(sport=4001, dport=6000, flags="S"), client_to(address) / UDP(sport=4001, dport=6000))
        client.send(client_to(address) / ICMP(id=1))
    client.send(client_to(ADDRESS[NODE1], ttl=1) / ICMP(id=2), who_has(GATEWAY))
    client.send(client_to(ADDRESS[NODE1]) / ICMP(id=3))
    client.wait_until(lambda s: not s.out and s.icmp == 0 and s.frame[ICMP].id == 3, "the node's last answer to ping")
    heard = [s for s in client.all(out=False) if s.src]
    assert {s.src for s in heard if s.src in (GATEWAY, PROBE_SOURCE) or s.icmp == 11} == set()
    assert any(s.flags == "RA" for s in heard)  # the control: the node refuses; that a port is unreachable Linux does not always say
    node.wait_for("the node's datagram", src=ADDRESS[CLIENT], sport=4001, proto=17, out=False)
    assert client.all(arp=(2, GATEWAY, FABRIC_MAC), out=False)


@pytest.mark.fact("FAB-03")
@pytest.mark.parametrize("last", [0, 1, 2, 3, 255])
def test_reserved_addresses_cannot_be_given(last: int, make_lab: Callable[..., Any]) -> None:
    """A lab with a host or frontend on one of the five reserved addresses of a subnet is refused, with the fact's name."""
    for over in ({"client": {"address": f"10.20.1.{last}"}}, {"load_balancer": {"frontend": f"10.20.1.{last}"}}):
        with pytest.raises(BadUse, match=rf"10\.20\.1\.{last} is reserved by Azure .*FAB-03"):
            make_lab("nat", **over)


@pytest.mark.fact("FAB-03")
def test_first_free_address_can_be_given(make_lab: Callable[..., Any]) -> None:
    """The first and last addresses that are not reserved work, and nobody is behind the reserved ones."""
    first, last = "10.20.1.4", "10.20.1.254"
    bench = make_lab("nat", client={"address": first}, load_balancer={"frontend": last}, ip_resource={"address": last})
    eyes = Eyes(bench, CLIENT)
    with only_up(bench, NODE1):
        bench.listen(NODE1, APP)
        for n in (0, 1, 2, 3, 255):
            eyes.send(IP(src=first, dst=f"10.20.1.{n}") / ICMP())
        assert reach(bench, CLIENT, last) == NODE1
        assert eyes.all(icmp=0) == []


def who_has(address: str, host: str = CLIENT, sender: str = "") -> Ether:
    return Ether(dst=EVERYBODY) / ARP(op=1, psrc=sender or ADDRESS[host], hwsrc="00:0d:3a:00:00:00", pdst=address)


def answers_arp(eyes: Eyes, host: str, *addresses: str) -> dict[str, str | None]:
    """The MAC that each address was said to have; the gateway, asked last, always answers."""
    eyes.forget()
    eyes.send(*(who_has(a, host) for a in addresses), who_has(GATEWAY, host))
    eyes.wait_until(lambda s: not s.out and s.arp is not None and s.arp[:2] == (2, GATEWAY), "the gateway's answer to ARP")
    told = {s.arp[1]: s.arp[2] for s in eyes.all(out=False) if s.arp and s.arp[0] == 2}
    return {a: told.get(a) for a in addresses}


@pytest.mark.fact("FAB-04")
def test_every_neighbour_has_one_mac(nat: Any) -> None:
    """Every ARP query is answered with 12:34:56:78:9a:bc, in the guests' own tables too, whatever the NICs' real addresses."""
    client = Eyes(nat, CLIENT)
    asked = (ADDRESS[NODE1], ADDRESS[NODE2], GATEWAY, nat.vip)
    assert answers_arp(client, CLIENT, *asked) == dict.fromkeys(asked, FABRIC_MAC)
    nat.sh(CLIENT, "ip neigh flush dev eth0")
    reach(nat, CLIENT, ADDRESS[NODE1])
    assert f"{ADDRESS[NODE1]} dev eth0 lladdr {FABRIC_MAC}" in nat.sh(CLIENT, "ip neigh").stdout
    macs = [nat.sh(h, "ip -o link show eth0").stdout.split("link/ether ")[1].split()[0] for h in (CLIENT, NODE1, NODE2)]
    assert len({FABRIC_MAC, *macs}) == 4


@pytest.mark.fact("FAB-06")
def test_gratuitous_arp_moves_nothing(each_design: Any) -> None:
    """A gratuitous ARP for the frontend or another VM's address reaches nobody, and traffic goes where it went before."""
    with in_service(each_design, NODE1):
        client, other = Eyes(each_design, CLIENT), Eyes(each_design, NODE2)
        each_design.listen(NODE1, APP)
        each_design.listen(NODE2, APP)
        with holding(each_design, NODE2, nic="eth0"), holding(each_design, NODE2, ADDRESS[NODE1], nic="eth0"):
            for address in (each_design.vip, ADDRESS[NODE1]):
                for op in (1, 2):
                    other.send(Ether(dst=EVERYBODY) / ARP(op=op, psrc=address, pdst=address, hwsrc="00:0d:3a:14:01:0c"))
            client.send(who_has(each_design.vip), who_has(ADDRESS[NODE1]))
            assert [reach(each_design, CLIENT, to) for to in (each_design.vip, ADDRESS[NODE1])] == [NODE1, NODE1]
        learned = {s.arp for s in client.all(out=False) if s.arp}
        assert {(2, each_design.vip, FABRIC_MAC), (2, ADDRESS[NODE1], FABRIC_MAC)} <= learned
        assert {mac for _, _, mac in learned} == {FABRIC_MAC}


@pytest.mark.fact("FAB-06")
@pytest.mark.parametrize("op", [1, 2])
def test_a_hosts_own_gratuitous_arp_changes_nothing_either(nat: Any, op: int) -> None:
    """A host that announces its address with another MAC is reached by its NIC's as before: the platform knows who is where."""
    node = Eyes(nat, NODE1)
    nat.listen(NODE1, APP)
    assert reach(nat, CLIENT, ADDRESS[NODE1]) == NODE1
    node.send(Ether(dst=EVERYBODY) / ARP(op=op, psrc=ADDRESS[NODE1], pdst=ADDRESS[NODE1], hwsrc="00:0d:3a:14:01:0c"))
    assert reach(nat, CLIENT, ADDRESS[NODE1]) == NODE1


@pytest.mark.fact("FAB-07")
def test_address_known_only_to_a_guest_is_silent_from_elsewhere(nat: Any) -> None:
    """An address configured only inside a guest answers that guest and nobody else."""
    with holding(nat, NODE1, UNASSIGNED, nic="eth0"):
        node = Eyes(nat, NODE1)
        nat.listen(NODE1, APP)
        assert reach(nat, NODE1, UNASSIGNED) == NODE1
        assert [quiet(nat, host, UNASSIGNED) for host in (CLIENT, NODE2)] == ["silent"] * 2
        assert [reach(nat, host, ADDRESS[NODE1]) for host in (CLIENT, NODE2)] == [NODE1] * 2
        assert [s for s in node.all(dst=UNASSIGNED) if s.nic != "lo"] == []


@pytest.mark.fact("FAB-08")
def test_source_that_is_not_the_nics_is_dropped(nat: Any) -> None:
    """A packet whose source is not assigned to the NIC that it leaves by is dropped, even if it is the host's other NIC's."""
    client, node = Eyes(nat, CLIENT), Eyes(nat, NODE1)
    datagram = UDP(sport=4000, dport=5000)
    good = IP(src=ADDRESS[NODE1], dst=ADDRESS[CLIENT]) / datagram
    for source, nic in ((UNASSIGNED, "eth0"), (ADDRESS[NODE2], "eth0"), (SECOND[NODE1], "eth0"), (ADDRESS[NODE1], "eth1")):
        assert not arrives(node, client, IP(src=source, dst=ADDRESS[CLIENT]) / datagram, control=good, nic=nic), (source, nic)
    assert arrives(node, client, good, control=good)
    assert arrives(node, client, IP(src=SECOND[NODE1], dst=ADDRESS[CLIENT]) / datagram, control=good, nic="eth1")


@pytest.mark.fact("FAB-08")
def test_packet_for_an_address_that_is_not_the_nics_does_not_arrive(nat: Any) -> None:
    """Without IP forwarding a VM gets only what is for its own addresses, though a guest routes other traffic to it."""
    client, node = Eyes(nat, CLIENT), Eyes(nat, NODE1)
    nat.listen(NODE1, APP)
    with (
        holding(nat, NODE1, ROUTED, nic="lo"),
        shell(nat, CLIENT, (f"ip route add {ROUTED} via {ADDRESS[NODE1]}", f"ip route del {ROUTED}")),
    ):
        assert quiet(nat, CLIENT, ROUTED) == "silent"
        client.wait_for("the SYN leaving", dst=ROUTED, flags="S", out=True)
        assert reach(nat, CLIENT, ADDRESS[NODE1]) == NODE1
        node.wait_for("the control's SYN", dst=ADDRESS[NODE1], flags="S", dport=APP)
        assert node.all(dst=ROUTED) == []


@pytest.mark.fact("FAB-09")
def test_replies_of_a_floating_flow_leave_as_the_vip(floating: Any) -> None:
    """Replies with the VIP as source pass the fabric; a packet from the VIP that answers nothing does not."""
    with in_service(floating, NODE1):
        client, node = Eyes(floating, CLIENT), Eyes(floating, NODE1)
        floating.listen(NODE1, APP)
        assert reach(floating, CLIENT, floating.vip) == NODE1
        node.wait_for(src=floating.vip, dst=ADDRESS[CLIENT], flags="SA", nic="eth0", out=True)
        client.wait_for(src=floating.vip, flags="SA", out=False)
        good = IP(src=ADDRESS[NODE1], dst=ADDRESS[CLIENT]) / UDP(sport=4000, dport=5000)
        for what in (TCP(sport=APP, dport=6000, flags="S"), TCP(sport=APP, dport=6001, flags="SA"), UDP(sport=53, dport=6000)):
            assert not arrives(node, client, IP(src=floating.vip, dst=ADDRESS[CLIENT]) / what, control=good), what.summary()


@pytest.mark.fact("FAB-11")
def test_second_nic_reaches_nothing_beyond_its_subnet(nat: Any) -> None:
    """From its second NIC's address a node reaches that subnet only, until it routes by source."""
    for host in (CLIENT, NODE2):
        nat.listen(host, APP)
    assert "default via 10.20.1.1 dev eth0" in nat.sh(NODE1, "ip route show default").stdout
    assert reach(nat, NODE1, SECOND[NODE2], source=SECOND[NODE1]) == NODE2
    assert quiet(nat, NODE1, ADDRESS[CLIENT], source=SECOND[NODE1]) == "silent"
    assert quiet(nat, CLIENT, SECOND[NODE2]) == "silent"
    with shell(nat, NODE1, *FROM_NIC_2):
        assert reach(nat, NODE1, ADDRESS[CLIENT], source=SECOND[NODE1]) == CLIENT


@pytest.mark.fact("FAB-12")
def test_probe_on_the_second_nic_is_answered_through_the_first_and_lost(nat: Any) -> None:
    """A probe that arrives on NIC 2 is answered through NIC 1 and lost; answered through NIC 2, it is heard."""
    node = Eyes(nat, NODE1)
    nat.listen(NODE1, PROBE)
    assert call_from_fabric(nat, PROBE_SOURCE, ADDRESS[NODE1], PROBE) == "answered"
    assert call_from_fabric(nat, PROBE_SOURCE, SECOND[NODE1], PROBE) == "silent"
    assert {s.nic for s in node.all(src=SECOND[NODE1], flags="SA", out=True)} == {"eth0"}
    assert {s.nic for s in node.all(dst=SECOND[NODE1], flags="S", out=False)} == {"eth1"}
    with shell(nat, NODE1, *FROM_NIC_2):
        assert call_from_fabric(nat, PROBE_SOURCE, SECOND[NODE1], PROBE) == "answered"


@pytest.mark.fact("FAB-13")
def test_user_defined_route_takes_data_replies_but_no_probes(each_design: Any) -> None:
    """A route 0.0.0.0/0 to nowhere on the nodes' subnet ends replies to clients, and leaves the probes alone.

    User-defined routes are no feature of the lab: the test lays one into the fabric.
    """
    each_design.listen(NODE1, APP)
    each_design.listen(NODE1, PROBE)
    each_design.wait_healthy(NODE1)
    leg = leg_of(each_design, ADDRESS[NODE1])
    with holding(each_design, NODE1):
        assert reach(each_design, CLIENT, each_design.vip) == NODE1
        sent = each_design.ask("status")["probes_sent"][NODE1]
        in_fabric(each_design, "ip", "route", "add", "blackhole", "default", "table", "300")
        in_fabric(each_design, "ip", "rule", "add", "iif", leg, "lookup", "300", "priority", "90")
        try:
            client, node = Eyes(each_design, CLIENT), Eyes(each_design, NODE1)
            assert quiet(each_design, CLIENT, each_design.vip) == "silent"
            node.wait_for("the node's answer leaving", flags="SA", dst=ADDRESS[CLIENT], out=True)
            assert client.all(flags="SA") == []
            enough = sent + 4  # so many probes later, each of which was answered
            each_design.wait_for(lambda: each_design.ask("status")["probes_sent"][NODE1], "more probes", until=lambda n: n >= enough)
            assert each_design.healthy() == [NODE1]
        finally:
            in_fabric(each_design, "ip", "rule", "del", "priority", "90")
            in_fabric(each_design, "ip", "route", "flush", "table", "300")
        assert reach(each_design, CLIENT, each_design.vip) == NODE1


def leg_of(bench: Any, address: str) -> str:
    return in_fabric(bench, "ip", "route", "show", address).split(" dev ")[1].split()[0]


@pytest.mark.fact("FAB-14")
@pytest.mark.parametrize(("prefix", "way"), [(32, "eth0"), (24, "eth1")])
def test_vip_with_a_wide_mask_pulls_traffic_out_of_the_wrong_nic(nat: Any, prefix: int, way: str) -> None:
    """A /24 on the second NIC is a second route to the service subnet: once it wins, peers are lost. A /32 adds none.

    It wins when the first NIC's route is put back behind it, as after a link's loss.
    """
    again = "ip route del 10.20.1.0/24 dev eth0; ip route append 10.20.1.0/24 dev eth0 proto kernel scope link src 10.20.1.11"
    nat.listen(CLIENT, APP)
    with holding(nat, NODE1, prefix=prefix):
        routes = nat.sh(NODE1, f"ip -o route show 10.20.1.0/24; {again}").stdout
        assert ("dev eth1" in routes) == (way == "eth1")
        node = Eyes(nat, NODE1)
        went = (reach if way == "eth0" else quiet)(nat, NODE1, ADDRESS[CLIENT])
        syn = node.wait_for(dst=ADDRESS[CLIENT], dport=APP, flags="S", out=True)
    assert (syn.nic, syn.src, went) == (("eth0", ADDRESS[NODE1], CLIENT) if way == "eth0" else ("eth1", nat.vip, "silent"))
    assert reach(nat, NODE1, ADDRESS[CLIENT]) == CLIENT


@pytest.mark.fact("OQ-03", "FAB-05")
@pytest.mark.parametrize(
    ("answer", "unassigned", "frontend"), [("all", True, True), ("assigned+frontend", False, True), ("assigned", False, False)]
)
def test_who_is_answered_to_arp(answer: str, unassigned: bool, frontend: bool, nat: Any, make_lab: Callable[..., Any]) -> None:
    """ARP for unassigned addresses and for the frontend is answered as the switch says, for assigned ones always; no ping is answered."""
    bench = nat if answer == Unknowns().arp_answers else make_lab("nat", lab={"unknowns": {"arp_answers": answer}})
    client = Eyes(bench, CLIENT)
    told = answers_arp(client, CLIENT, UNASSIGNED, bench.vip, ADDRESS[NODE1])
    assert told == {UNASSIGNED: FABRIC_MAC if unassigned else None, bench.vip: FABRIC_MAC if frontend else None, ADDRESS[NODE1]: FABRIC_MAC}
    client.send(*(client_to(to) / ICMP() for to in (UNASSIGNED, bench.vip, ADDRESS[NODE1])))
    client.wait_for("the node's answer to ping", icmp=0, src=ADDRESS[NODE1], out=False)
    assert {s.src for s in client.all(icmp=0, out=False)} == {ADDRESS[NODE1]}
