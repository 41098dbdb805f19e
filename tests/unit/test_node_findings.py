"""`lkharness check`: every seeded fault is found by its name, with what to do; a sound cluster has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.check.findings.firewall_findings import evaluate_firewalls
from harness.check.findings.node_findings import judge
from harness.check.node_facts import NodeFacts
from harness.config import cluster_config
from harness.core.finding import Finding, Weight
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import ClusterState, CommPath, NodeState, ResourceState

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))
VIP = "10.20.1.200"
PORTS = [s.port for s in CLUSTER.services]


def state(dead: bool = False) -> ClusterState:
    paths = (CommPath("other", "10.20.1.11/10.20.1.12", True), CommPath("other", "10.20.2.11/10.20.2.12", not dead))
    one = NodeState("lknode01", True, {"ip": ResourceState.IN_SERVICE}, paths)
    return ClusterState({"lknode01": one, "lknode02": NodeState("lknode02", True, {"ip": ResourceState.STANDBY}, paths[:1])})


def addresses(last: int, *vip: InterfaceAddress) -> list[InterfaceAddress]:
    return [
        InterfaceAddress("eth0", f"10.20.1.{last}", 24, "UP"),
        InterfaceAddress("eth1", f"10.20.2.{last}", 24, "UP"),
        *vip,
    ]


def vip(interface: str = "eth1", prefix: int = 32) -> InterfaceAddress:
    return InterfaceAddress(interface, VIP, prefix, "UP")


BY_ETH0 = Route("unicast", "eth0", None, "10.20.1.1")
SYSCTLS = {"all.rp_filter": "2", "eth0.rp_filter": "1", "eth1.rp_filter": "0", "eth0.arp_ignore": "0", "tcp_timestamps": "0"}
STRICT = {**SYSCTLS, "all.rp_filter": "1"}
LISTENING = [Listener("0.0.0.0", 22, "tcp", 1, "sshd"), *(Listener("0.0.0.0", p, "tcp", 5, "it") for p in [*PORTS, 12345])]
ACTIVE = NodeFacts("lknode01", addresses(11, vip()), LISTENING, Route("local", "lo"), BY_ETH0, SYSCTLS, "", (0.1, 0.01))
STANDBY = NodeFacts("lknode02", addresses(12), LISTENING[:1], replace(BY_ETH0, gateway=None), BY_ETH0, SYSCTLS, "", (0.2, 0.01))


def found(active: NodeFacts = ACTIVE, standby: NodeFacts = STANDBY, dead: bool = False, **cluster) -> list[Finding]:
    about = (
        CLUSTER
        if not cluster
        else cluster_config.parse(default_cluster.merge_tables(default_cluster.cluster_data(), cluster), Path("a test's"))
    )
    return judged(state(dead), {"lknode01": active, "lknode02": standby, "lkclient": NodeFacts("lkclient", offset=(0.0, 0.01))}, about)


def judged(seen: ClusterState, facts: dict[str, NodeFacts], cluster: cluster_config.Cluster = CLUSTER) -> list[Finding]:
    return judge(cluster, seen, facts, evaluate_firewalls(cluster, facts, seen))


def test_a_sound_cluster_has_no_finding():
    assert found() == []


def test_where_nobody_is_known_to_be_active_no_advice_is_given_that_needs_to_know():
    """It could be to take the live node's address away."""
    denied = {n.name: NodeState(n.name, False, {}, (), why="sudo refused") for n in CLUSTER.nodes}
    (only,) = judged(ClusterState(denied), {"lknode01": ACTIVE, "lknode02": STANDBY})
    assert (only.weight, only.what) == (Weight.UNKNOWN, "roles") and "sudo refused" in only.says
    silent = replace(ACTIVE, sysctls={**SYSCTLS, "eth0.arp_ignore": "8"})
    assert "arp_ignore" in {f.what for f in judged(ClusterState(denied), {"lknode01": silent})}


def test_a_strict_filter_is_a_note():
    """It is the default of some distributions, and drops nothing while routes are symmetric."""
    assert {(f.weight, f.what) for f in found(replace(ACTIVE, sysctls=STRICT))} == {(Weight.NOTE, "rp_filter")}


def test_a_rule_that_spares_a_port_does_not_name_it():
    new = "ct state new tcp dport != { %s } drop"
    assert found(replace(ACTIVE, firewall=NFT % (new % "1521, 5432, 80, 12345, 7365"))) == []
    (one,) = found(replace(ACTIVE, firewall=NFT % (new % "1521, 80, 12345, 7365")))
    assert "5432" in one.says and "1521 (" not in one.says


def test_a_rule_that_forgets_what_comes_back_is_found():
    """Answers to what the node itself asks have the node's own, unforeseeable port."""
    (one,) = found(replace(ACTIVE, firewall=NFT % "tcp dport != { 1521, 5432, 80, 12345, 7365 } drop"))
    assert "the answers (SYN-ACK) of 10.20.1.200:1521" in one.says and one.weight is Weight.FAULT


def test_the_answers_to_the_probe_and_the_managers_own_traffic_are_judged_too():
    agent = "table ip security {\n chain OUTPUT {\n  type filter hook output priority security; policy accept;\n  %s\n }\n}\n"
    (one,) = found(standby=replace(STANDBY, firewall=agent % "meta l4proto tcp ip daddr 168.63.129.16 counter packets 1 bytes 60 drop"))
    assert one.host == "lknode02" and "answers to the probe's source 168.63.129.16 on their way out" in one.says
    (one,) = found(standby=replace(STANDBY, firewall=NFT % "tcp dport 7365 drop"))
    assert "communication path (port 7365)" in one.says
    (one,) = found(standby=replace(STANDBY, firewall=NFT % "limit rate 5/second drop"))
    assert one.weight is Weight.NOTE and "cannot tell" in one.says


def test_the_clients_own_firewall_is_judged_too():
    client = NodeFacts(
        "lkclient", [InterfaceAddress("eth0", "10.20.1.20", 24, "UP")], firewall=NFT % "tcp sport 1521 tcp flags syn,ack drop"
    )
    (one,) = judged(state(), {"lknode01": ACTIVE, "lknode02": STANDBY, "lkclient": client})
    assert one.host == "lkclient" and "the answers (SYN-ACK) of 10.20.1.200:1521" in one.says


def listens(*where: tuple[str, int], process: str = "it") -> list[Listener]:
    changed = {port for _, port in where}
    return [x for x in LISTENING if x.port not in changed] + [Listener(a, p, "tcp", 5, process) for a, p in where]


NFT = "table inet own {\n chain in {\n  type filter hook input priority 0; policy accept;\n  %s\n }\n}\n"
FAULTS = {
    "listener on the VIP only": ({"active": replace(ACTIVE, listeners=listens((VIP, 1521)))}, "lknode01", "listener of listener"),
    "VIP /24": ({"active": replace(ACTIVE, addresses=addresses(11, vip(prefix=24)))}, "lknode01", "VIP"),
    "VIP on Subnet#1's NIC": ({"active": replace(ACTIVE, addresses=addresses(11, vip("eth0")))}, "lknode01", "VIP"),
    "VIP left on the standby": (
        {"standby": replace(STANDBY, addresses=addresses(12, vip()), vip_route=Route("local", "lo"))},
        "lknode02",
        "VIP",
    ),
    "responder bound to the VIP": ({"active": replace(ACTIVE, listeners=listens((VIP, 12345)))}, "lknode01", "probe port"),
    "nobody answers the probe": ({"active": replace(ACTIVE, listeners=LISTENING[:-1])}, "lknode01", "probe port"),
    "probe port = sshd": ({"load_balancer": {"probe": {"port": 22}}}, "lknode02", "probe port"),
    "both nodes answer": (
        {"standby": replace(STANDBY, listeners=[*LISTENING[:1], Listener("10.20.1.12", 12345, "tcp")])},
        "lknode02",
        "probe port",
    ),
    "service on the standby": (
        {"standby": replace(STANDBY, listeners=[*LISTENING[:1], Listener("0.0.0.0", 80, "tcp")])},
        "lknode02",
        "listener of web",
    ),
    "rp_filter strict": ({"standby": replace(STANDBY, sysctls=STRICT)}, "lknode02", "rp_filter"),
    "arp_ignore": ({"active": replace(ACTIVE, sysctls={**SYSCTLS, "eth0.arp_ignore": "8"})}, "lknode01", "arp_ignore"),
    "tcp_timestamps": ({"active": replace(ACTIVE, sysctls={**SYSCTLS, "tcp_timestamps": "1"})}, "lknode01", "tcp_timestamps"),
    "one comm path dead": ({"dead": True}, "lknode01", "communication path"),
    "VIP not local": ({"active": replace(ACTIVE, vip_route=BY_ETH0)}, "lknode01", "route to the VIP"),
    "VIP by the wrong NIC": ({"standby": replace(STANDBY, vip_route=Route("unicast", "eth1"))}, "lknode02", "route to the VIP"),
    "answers to the probe by the wrong NIC": (
        {"active": replace(ACTIVE, probe_route=Route("unicast", "eth1"))},
        "lknode01",
        "route to the probe",
    ),
    "clocks apart": ({"standby": replace(STANDBY, offset=(600.0, 0.1))}, "lknode02", "clock"),
    "nft drops the probe": ({"active": replace(ACTIVE, firewall=NFT % "tcp dport 12345 drop")}, "lknode01", "firewall"),
    "nft drops a set": ({"active": replace(ACTIVE, firewall=NFT % "tcp dport { 80, 443 } counter drop")}, "lknode01", "firewall"),
    "nft drops a range": ({"active": replace(ACTIVE, firewall=NFT % "tcp dport 1500-1600 reject")}, "lknode01", "firewall"),
    "nft drops the source": ({"active": replace(ACTIVE, firewall=NFT % "ip saddr 168.63.129.16 drop")}, "lknode01", "firewall"),
    "iptables": ({"active": replace(ACTIVE, firewall="-A INPUT -p tcp -m tcp --dport 5432 -j REJECT")}, "lknode01", "firewall"),
    "closed by policy": (
        {"active": replace(ACTIVE, firewall=":INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT")},
        "lknode01",
        "firewall",
    ),
    "not told": ({"standby": replace(STANDBY, listeners=None, not_told=("its listeners: ss is not there",))}, "lknode02", "not told"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_named(name: str):
    about, host, what = FAULTS[name]
    seen = found(**about)
    assert [(f.host, f.what) for f in seen if (f.host, f.what) == (host, what)], seen
    others = {(f.host, f.what) for f in seen} - {(host, what)}
    allowed = {("lknode01", "probe port")} if name == "probe port = sshd" else set()
    assert others <= allowed, "one fault, one name"
    assert all(f.says and f.do for f in seen)


@pytest.mark.parametrize(
    "rule", ["tcp dport 12346 drop", "tcp dport 8080 drop", "tcp dport 1521 accept", "# tcp dport 80 drop", "ip saddr 168.63.129.1 drop"]
)
def test_rules_that_concern_nothing_of_ours(rule: str):
    assert found(active=replace(ACTIVE, firewall=NFT % rule)) == []


def test_the_floating_design_wants_the_vip_only():
    assert found(active=replace(ACTIVE, listeners=listens(*((VIP, p) for p in PORTS))), design="floating") == []


def test_what_is_only_worth_knowing_is_no_fault():
    (note,) = found(active=replace(ACTIVE, sysctls={**SYSCTLS, "tcp_timestamps": "1"}))
    assert note.weight is Weight.NOTE and "PRB-24" in str(note)


def test_an_address_that_is_in_its_place_and_on_lo_besides_is_in_its_place():
    assert found(replace(ACTIVE, addresses=addresses(11, vip(), vip("lo")))) == []


def test_what_is_done_about_a_silent_port_follows_from_what_the_manager_says_of_its_resource():
    """Nothing runs: then nothing is said of bindings, nor to put in service what failed or is in service."""
    for told, words in ((ResourceState.FAILED, "failed there"), (ResourceState.IN_SERVICE, "says that"), (ResourceState.STANDBY, "put ")):
        one = NodeState("lknode01", True, {"ip": ResourceState.IN_SERVICE, "lbhc-12345": told}, state().nodes["lknode01"].comm_paths)
        silent = replace(ACTIVE, listeners=[x for x in LISTENING if x.port not in (12345, PORTS[0])])
        seen = judged(ClusterState({**state().nodes, "lknode01": one}), {"lknode01": silent})
        probe = next(f for f in seen if f.what == "probe port")
        assert "nobody listens on 12345" in probe.says and words in probe.do, probe
        assert not any("INADDR_ANY" in f.says or "only" in f.says for f in seen)


def test_a_service_on_another_port_that_a_rule_redirects_to_is_listened_to() -> None:
    redirects = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport {} -j REDIRECT --to-ports 1599\nCOMMIT\n"
    service = CLUSTER.services[0]
    moved = [replace(one, port=1599) if one.port == service.port else one for one in LISTENING]
    for firewall, words in (
        (redirects.format(service.port), []),
        (redirects.format(9), ["nobody listens there"]),
        ("", ["nobody listens there"]),
    ):
        told = [f.says for f in found(replace(ACTIVE, listeners=moved, firewall=firewall)) if f.what == f"listener of {service.name}"]
        assert told == words, firewall
