"""Network security groups, fact by fact (NSG), and the open question of what a destination means under floating IP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP

from tests.lab.frame_capture import (
    ADDRESS,
    APP,
    CLIENT,
    NODE1,
    NODE2,
    PROBE,
    PROBE_SOURCE,
    Eyes,
    arrives,
    call_from_fabric,
    holding,
    in_fabric,
    in_service,
    nsg,
    quiet,
    reach,
)

WEB, BACKEND = 8080, 18080
STRANGER = "203.0.113.7"  # an Internet address, which the test gives to the fabric or to a host
RULES = {"lab": {"rules": [{"port": WEB, "backend_port": BACKEND}]}}
WITH_VIP_RULES = {"lab": {"unknowns": {"nsg_destination_under_floating": "VIP"}}}


@pytest.fixture(scope="module")
def labs(make_lab: Callable[..., Any]) -> dict[str, Any]:
    return {design: make_lab(design, **RULES) for design in ("nat", "floating")}


@pytest.fixture(params=["nat", "floating"])
def lab(request: pytest.FixtureRequest, labs: dict[str, Any]) -> Any:
    return labs[request.param]


@pytest.fixture
def nat_lab(labs: dict[str, Any]) -> Any:
    """For what does not depend on the design: what is sent to a node's own address, and probes."""
    return labs["nat"]


def rule(access: str, priority: int, **match: Any) -> dict[str, Any]:
    return {"name": f"{access}-{priority}", "access": access, "priority": priority, **match}


def deny(priority: int = 200, **match: Any) -> dict[str, Any]:
    return rule("deny", priority, **match)


def allow(priority: int = 100, **match: Any) -> dict[str, Any]:
    return rule("allow", priority, **match)


@contextmanager
def probed(bench: Any) -> Iterator[None]:
    """The first node answers probes and the application's port, holds the VIP, and is the balancer's choice for that reason alone."""
    bench.listen(NODE1, PROBE)
    bench.listen(NODE1, APP)
    bench.wait_healthy(NODE1)
    with holding(bench, NODE1):
        yield
    bench.tidy()
    bench.wait_healthy()


def stays_healthy(bench: Any) -> bool:
    """Whether the first node is still healthy after a probe that was sent from now on."""
    enough = bench.ask("status")["probes_sent"][NODE1] + 2  # the second goes out when the first has its verdict
    bench.wait_for(lambda: bench.ask("status")["probes_sent"][NODE1], "more probes", until=lambda n: n >= enough)
    return bench.healthy() == [NODE1]


@contextmanager
def stranger_at_the_fabric(bench: Any) -> Iterator[None]:
    """An Internet host that can reach the VNet, as one behind a public address could."""
    in_fabric(bench, "ip", "address", "add", f"{STRANGER}/32", "dev", "stub")
    try:
        yield
    finally:
        in_fabric(bench, "ip", "address", "del", f"{STRANGER}/32", "dev", "stub")


@contextmanager
def internet_behind_the_client(bench: Any) -> Iterator[None]:
    """What goes to the Internet comes out at the client, where it can be seen."""
    leg = in_fabric(bench, "ip", "route", "show", ADDRESS[CLIENT]).split(" dev ")[1].split()[0]
    in_fabric(bench, "ip", "route", "add", f"{STRANGER}/32", "via", ADDRESS[CLIENT], "dev", leg, "onlink")
    try:
        with nsg(bench, lkclient_eth0=[allow()]):
            yield
    finally:
        in_fabric(bench, "ip", "route", "del", f"{STRANGER}/32")


@pytest.mark.fact("NSG-01")
def test_default_rules_inbound(nat_lab: Any) -> None:
    """By default a VM gets anything from the VNet and from the load balancer's probes, and nothing from elsewhere."""
    with probed(nat_lab):
        client, node = Eyes(nat_lab, CLIENT), Eyes(nat_lab, NODE1)
        to = IP(src=ADDRESS[CLIENT], dst=ADDRESS[NODE1])
        for what in (ICMP(), UDP(sport=4000, dport=1), UDP(sport=4000, dport=65000)):
            assert arrives(client, node, to / what, control=to / UDP(sport=4001, dport=5000))
        assert [reach(nat_lab, host, ADDRESS[NODE1]) for host in (CLIENT, NODE2)] == [NODE1, NODE1]
        assert nat_lab.healthy() == [NODE1]
        with stranger_at_the_fabric(nat_lab):
            assert call_from_fabric(nat_lab, STRANGER, ADDRESS[NODE1], APP) == "silent"
            assert node.all(src=STRANGER) == []
            with nsg(nat_lab, lknode01_eth0=[allow(source="Internet", ports=[APP], protocol="tcp")]):
                assert call_from_fabric(nat_lab, STRANGER, ADDRESS[NODE1], APP) == "answered"


@pytest.mark.fact("NSG-01")
def test_default_rules_outbound(nat_lab: Any) -> None:
    """By default a VM may send to the VNet and to the Internet; a custom deny of the Internet ends the latter only."""
    nat_lab.listen(CLIENT, APP)
    with internet_behind_the_client(nat_lab):
        client, node = Eyes(nat_lab, CLIENT), Eyes(nat_lab, NODE1)
        out = IP(src=ADDRESS[NODE1], dst=STRANGER) / UDP(sport=4000, dport=5000)
        control = IP(src=ADDRESS[NODE1], dst=ADDRESS[CLIENT]) / UDP(sport=4001, dport=5000)
        assert arrives(node, client, out, control=control)
        with nsg(nat_lab, lknode01_eth0=[deny(direction="outbound", destination="Internet")]):
            assert not arrives(node, client, IP(src=ADDRESS[NODE1], dst=STRANGER) / UDP(sport=4002, dport=5000), control=control)
            assert reach(nat_lab, NODE1, ADDRESS[CLIENT]) == CLIENT


@pytest.mark.fact("NSG-02")
def test_lowest_priority_number_decides(nat_lab: Any) -> None:
    """The rule with the lowest number that matches decides, in whatever order rules were given; 100 to 4096 can be used."""
    nat_lab.listen(NODE1, APP)
    some, every = {"source": f"{ADDRESS[CLIENT]}/32"}, {"ports": [APP], "protocol": "tcp"}
    with nsg(nat_lab, lknode01_eth0=[deny(4096, **every), allow(100, **some)]):
        assert reach(nat_lab, CLIENT, ADDRESS[NODE1]) == NODE1
        assert quiet(nat_lab, NODE2, ADDRESS[NODE1]) == "silent"
    with nsg(nat_lab, lknode01_eth0=[allow(4096, **some), deny(100, **every)]):
        assert [quiet(nat_lab, host, ADDRESS[NODE1]) for host in (CLIENT, NODE2)] == ["silent", "silent"]
    assert [reach(nat_lab, host, ADDRESS[NODE1]) for host in (CLIENT, NODE2)] == [NODE1, NODE1]
    for number in (99, 4097):
        with pytest.raises(Exception, match="priority"):
            nat_lab.ask("nsg", place="lknode01.eth0", rules=[allow(number)])


KEEPER = r"""
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2); f = s.makefile("rw"); f.readline()
print("ready")
for line in sys.stdin:
    f.write(line); f.flush(); s.settimeout(2); print(f.readline().strip())
"""


@pytest.mark.fact("NSG-03")
def test_change_meets_new_connections_only(lab: Any) -> None:
    """After a deny an established connection goes on and a new one is silent; after its removal new ones work again."""
    with in_service(lab, NODE1):
        lab.listen(NODE1, APP)
        kept = lab.start(CLIENT, KEEPER, lab.vip, APP)
        with nsg(lab, lknode01_eth0=[deny(ports=[APP], protocol="tcp")]):
            assert quiet(lab, CLIENT, lab.vip) == "silent"
            kept.say("still here")
            assert kept.line() == "still here"
        assert reach(lab, CLIENT, lab.vip) == NODE1


@pytest.mark.fact("NSG-04")
def test_load_balanced_traffic_is_matched_by_both_ends_own_addresses(lab: Any) -> None:
    """A rule is held against the client's address and the VM's own address and port; one that names the frontend's matches nothing."""
    with in_service(lab, NODE1):
        lab.listen(NODE1, BACKEND)
        vip, node, client = (f"{a}/32" for a in (lab.vip, ADDRESS[NODE1], ADDRESS[CLIENT]))
        for match in ({"ports": [BACKEND]}, {"destination": node}, {"source": client}, {"destination": node, "ports": [BACKEND]}):
            with nsg(lab, lknode01_eth0=[deny(**match)]):
                assert quiet(lab, CLIENT, lab.vip, WEB) == "silent", match
        for match in ({"ports": [WEB]}, {"destination": vip}, {"source": vip}, {"destination": f"{ADDRESS[NODE2]}/32"}):
            with nsg(lab, lknode01_eth0=[deny(**match)]):
                assert reach(lab, CLIENT, lab.vip, WEB) == NODE1, match


@pytest.mark.fact("OQ-15")
@pytest.mark.parametrize("matches", ["DIP", "VIP"])
def test_destination_under_floating(matches: str, labs: dict[str, Any], make_lab: Callable[..., Any]) -> None:
    """Under floating IP a rule's destination is held against the node's private address by default, against the VIP when switched so."""
    floating = labs["floating"] if matches == "DIP" else make_lab("floating", **WITH_VIP_RULES)
    with in_service(floating, NODE1):
        floating.listen(NODE1, APP)
        for name, address in (("DIP", ADDRESS[NODE1]), ("VIP", floating.vip)):
            with nsg(floating, lknode01_eth0=[deny(destination=f"{address}/32", ports=[APP], protocol="tcp")]):
                ask = quiet if name == matches else reach
                assert ask(floating, CLIENT, floating.vip) == ("silent" if name == matches else NODE1), name
                assert ask(floating, NODE2, floating.vip) == ("silent" if name == matches else NODE1), name


@pytest.mark.fact("NSG-05")
def test_load_balancer_tag_admits_probes_and_no_client(lab: Any) -> None:
    """With a deny-all and an allow for AzureLoadBalancer the node stays healthy, and clients get silence by both addresses."""
    with probed(lab):
        assert reach(lab, CLIENT, lab.vip) == NODE1
        with nsg(lab, lknode01_eth0=[allow(source="AzureLoadBalancer"), deny()]):
            assert stays_healthy(lab)
            assert [quiet(lab, CLIENT, to) for to in (lab.vip, ADDRESS[NODE1])] == ["silent", "silent"]


@pytest.mark.fact("NSG-06")
def test_allowing_clients_admits_no_probes(lab: Any) -> None:
    """With a deny-all and an allow for clients the node turns unhealthy, though clients reach it directly; with both rules all works."""
    clients = allow(100, source="10.20.1.0/24")
    with probed(lab):
        with nsg(lab, lknode01_eth0=[clients, deny()]):
            lab.wait_healthy()
            assert reach(lab, CLIENT, ADDRESS[NODE1]) == NODE1
            assert quiet(lab, CLIENT, lab.vip) == "silent"
        with nsg(lab, lknode01_eth0=[clients, allow(110, source="AzureLoadBalancer"), deny()]):
            lab.wait_healthy(NODE1)
            assert reach(lab, CLIENT, lab.vip) == NODE1


@pytest.mark.fact("NSG-07")
def test_virtual_network_tag_includes_the_hosts_address(nat_lab: Any) -> None:
    """A rule on VirtualNetwork, allow or deny, matches probes too; one on the subnets' prefixes does not."""
    with probed(nat_lab):
        with nsg(nat_lab, lknode01_eth0=[allow(source="VirtualNetwork"), deny()]):
            assert stays_healthy(nat_lab)
            assert reach(nat_lab, CLIENT, nat_lab.vip) == NODE1
        with nsg(nat_lab, lknode01_eth0=[deny(source="10.20.0.0/16")]):
            assert stays_healthy(nat_lab)
            assert quiet(nat_lab, CLIENT, ADDRESS[NODE1]) == "silent"
        with nsg(nat_lab, lknode01_eth0=[deny(source="VirtualNetwork")]):
            nat_lab.wait_healthy()
            assert quiet(nat_lab, CLIENT, ADDRESS[NODE1]) == "silent"


@pytest.mark.fact("NSG-08", "NSG-11")
@pytest.mark.parametrize("source", [f"{PROBE_SOURCE}/32", "AzureLoadBalancer"])
def test_custom_deny_of_the_hosts_address_takes_a_member_out(nat_lab: Any, source: str) -> None:
    """A custom deny that matches 168.63.129.16 makes the member probe-down while VMs reach its port; an allow before it mends that."""
    with probed(nat_lab):
        with nsg(nat_lab, lknode01_eth0=[deny(4096, source=source)]):
            nat_lab.wait_healthy()
            assert [reach(nat_lab, host, ADDRESS[NODE1], PROBE) for host in (CLIENT, NODE2)] == [NODE1, NODE1]
            assert quiet(nat_lab, CLIENT, nat_lab.vip) == "silent"
        with nsg(nat_lab, lknode01_eth0=[allow(4095, source="AzureLoadBalancer"), deny(4096, source=source)]):
            nat_lab.wait_healthy(NODE1)
            assert stays_healthy(nat_lab)


@pytest.mark.fact("NSG-09")
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_subnet_and_nic_both_must_admit(lab: Any, direction: str) -> None:
    """A deny at the subnet or at the NIC, each with an allow at the other, is silence without RST or ICMP; allows at both admit."""
    nic = "lknode01_eth0" if direction == "inbound" else "lkclient_eth0"
    with in_service(lab, NODE1):
        client = Eyes(lab, CLIENT)
        lab.listen(NODE1, APP)
        here = {"direction": direction, "ports": [APP], "protocol": "tcp"}
        for at_subnet, at_nic in ((deny, allow), (allow, deny)):
            with nsg(lab, subnet1=[at_subnet(**here)], **{nic: [at_nic(**here)]}):
                assert [quiet(lab, CLIENT, to) for to in (lab.vip, ADDRESS[NODE1])] == ["silent", "silent"]
        client.wait_for("the SYN leaving", flags="S", dst=lab.vip, out=True)
        ours = {one.sport for one in client.all(flags="S", out=True)}  # a connection of before may still end, and late
        answers = [one for one in client.all(proto=6, out=False) if one.dport in ours]
        assert answers + client.all(proto=1, out=False) == []
        with nsg(lab, subnet1=[allow(**here)], **{nic: [allow(**here)]}):
            assert [reach(lab, CLIENT, to) for to in (lab.vip, ADDRESS[NODE1])] == [NODE1, NODE1]
