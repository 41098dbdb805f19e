"""The diagnosis of clusters that are sound and built otherwise than the usual one: nothing is blamed there."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address

import pytest
from diagnosis_sample import BY_ETH0, CLUSTER, SILENT, WEB, client, evidence, faults, listening, nft, node, only, path, probed, with_host

from harness.check.findings.node_findings import judge
from harness.check.node_facts import NodeFacts
from harness.core.finding import Weight
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Evidence
from harness.diagnosis.firewall import parse
from harness.diagnosis.linux_host_script_parse import host
from harness.diagnosis.rules.network.client_routes import is_led_astray
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener, Route
from harness.managers.manager import ClusterState, CommPath

REFUSED = {"outcome": "fail", "outcomes": frozenset({"refused"})}
OLD_SS = """State      Recv-Q Send-Q Local Address:Port               Peer Address:Port
LISTEN     0      128       *:{v4}                *:*     users:(("it",pid=5,fd=3))
LISTEN     0      128      :::{v6}               :::*     users:(("it",pid=5,fd=4))
"""


def with_listener_of(text: str, name: str = "lknode01", **more: object) -> Evidence:
    """The usual cluster, where that is what `ss -tlnp` prints of the web server's port on a node."""
    base = node(name)
    printed = [s for s in host(name, f"@@ listening\n{text}").listeners or () if s.port == WEB.port]
    others = [s for s in base.listeners or () if s.port != WEB.port]
    return with_host(replace(base, listeners=[*others, *printed]), **more)


def test_an_old_ss_writes_one_for_both_protocols_without_brackets() -> None:
    """iproute2 before 4.13, as on RHEL 7 and SLES 12."""
    dual = OLD_SS.format(v4=22, v6=WEB.port)
    refused = [path(p, s, **(REFUSED if s is WEB else {})) for p in ("client", "standby") for s in (WEB,)]
    for tried in (evidence().paths, refused):
        assert [c for c in diagnose(with_listener_of(dual, paths=tried)).causes if "IPv6 only" in c.says] == []
    assert [s.address for s in host("lknode01", f"@@ listening\n{dual}").listeners or ()] == ["0.0.0.0", "*"]


@pytest.mark.parametrize("address", ["[::]:80", "[::1]:80", "::1:80"])
def test_one_that_surely_takes_ipv6_only_is_told(address: str) -> None:
    text = f'LISTEN 0 128 {address} [::]:* users:(("it",pid=5,fd=4))\n'
    failed = [path(p, WEB, **REFUSED) for p in ("client", "inside", "standby")]
    only(with_listener_of(text, paths=failed), "lknode01", "IPv6 only")


def test_nothing_is_said_of_ipv6_where_ipv4_is_answered() -> None:
    base = node("lknode01")
    probe = [listening(12345, "::"), *(s for s in base.listeners or () if s.port != 12345)]
    assert faults(diagnose(with_host(replace(base, listeners=probe)))) == []
    unanswered = {"lknode01": probed("lknode01", answered=0, refused=4), "lknode02": probed("lknode02")}
    assert any("IPv6 only" in c.says for c in faults(diagnose(with_host(replace(base, listeners=probe), probes=unanswered))))
    web = [listening(WEB.port, "::"), *(s for s in base.listeners or () if s.port != WEB.port)]
    assert faults(diagnose(with_host(replace(base, listeners=web)))) == []


def test_an_old_asterisk_means_ipv4_alone() -> None:
    """What the standby has on ::1 is in nobody's way then."""
    mine = with_listener_of(OLD_SS.format(v4=WEB.port, v6=22))
    theirs = node("lknode02", listeners=[listening(WEB.port, "::1")])
    seen = replace(mine, hosts={**mine.hosts, "lknode02": theirs})
    assert [c.says for c in faults(diagnose(seen)) if "could not start" in c.says] == []


RIGHT = {"lknode01": ("10.20.1.11",), "lknode02": ("10.20.1.12",), "lkclient": ("10.20.1.20",)}


def resolving(**names_by_host: dict[str, tuple[str, ...]]) -> Evidence:
    """The usual cluster, whose hosts resolve names rightly but for these."""
    base = evidence()
    return replace(base, hosts={n: replace(seen, names=RIGHT | names_by_host.get(n, {})) for n, seen in base.hosts.items()})


def with_address(seen: Evidence, name: str, address: str, nic: str = "eth2") -> Evidence:
    """The same, where a host has this address besides."""
    its = seen.hosts[name]
    more = [*(its.addresses or ()), InterfaceAddress(nic, address, 24, "UP")]
    return replace(seen, hosts={**seen.hosts, name: replace(its, addresses=more)})


def told(seen: Evidence, words: str) -> list[tuple[str, Certainty]]:
    """Whose the causes that say these words are, and how certain."""
    return [(c.host, c.certainty) for c in diagnose(seen).causes if words in c.says]


def test_a_name_may_lead_to_a_third_nic_of_its_machine() -> None:
    seen = resolving(lknode01={"lknode02": ("10.30.1.12",)})
    assert told(seen, "none of its addresses") == [("lknode01", Certainty.LIKELY)]
    assert told(with_address(seen, "lknode02", "10.30.1.12"), "resolves to") == []
    unasked = replace(seen, hosts={**seen.hosts, "lknode02": replace(seen.hosts["lknode02"], addresses=None)})
    assert told(unasked, "none of its addresses") == [("lknode01", Certainty.POSSIBLE)]


def test_the_bridge_of_a_container_engine_leads_nowhere_else() -> None:
    seen = resolving(lknode01={"lknode02": ("172.17.0.1",)})
    seen = with_address(with_address(seen, "lknode02", "172.17.0.1", "docker0"), "lknode01", "172.17.0.1", "docker0")
    assert told(seen, "none of its addresses") == [("lknode01", Certainty.LIKELY)]


@pytest.mark.parametrize("used", ["", "path", "corosync.conf"])
def test_a_label_of_the_file_that_one_node_alone_knows(used: str) -> None:
    seen = resolving(lknode02={"lknode01": ()})
    if used == "path":
        path_by_name = (CommPath("lknode01", "lknode02/lknode01.example", True),)
        seen = replace(seen, state=ClusterState({n: replace(s, comm_paths=path_by_name) for n, s in seen.state.nodes.items()}))
    if used == "corosync.conf":
        other = replace(seen.hosts["lknode02"], corosync={"node 1 ring0_addr": "lknode01", "node 2 ring0_addr": "10.20.1.12"})
        seen = replace(seen, hosts={**seen.hosts, "lknode02": other})
    certainty = Certainty.LIKELY if used else Certainty.POSSIBLE
    assert told(seen, "cannot resolve the name lknode01") == [("lknode02", certainty)]


@pytest.mark.parametrize(("host_name", "certainty"), [("lknode02.example", Certainty.LIKELY), ("vm-17", Certainty.POSSIBLE)])
def test_a_node_that_knows_no_label_is_told_by_its_host_name(host_name: str, certainty: Certainty) -> None:
    seen = resolving(lknode02={"lknode01": (), "lknode02": ()})
    seen = replace(seen, hosts={**seen.hosts, "lknode02": replace(seen.hosts["lknode02"], limits={"kernel.hostname": host_name})})
    assert told(seen, "cannot resolve any name") == [("lknode02", certainty)]


VIP = "10.20.1.200"
BY_GATEWAY = {(VIP, source): Route("unicast", "eth0", gateway="10.20.0.1") for source in ("", "10.20.0.20")}


@pytest.mark.parametrize(("prefix", "told_of"), [(24, False), (16, True)])
def test_a_client_in_a_neighbour_subnet_has_the_vip_by_its_gateway(prefix: int, told_of: bool) -> None:
    """The file's Subnet#1 is 10.20.0.0/22, say, which holds both subnets."""
    near = client(addresses=[InterfaceAddress("eth0", "10.20.0.20", prefix, "UP")], routes=BY_GATEWAY)
    cluster = CLUSTER.model_copy(update={"client": CLUSTER.client.model_copy(update={"address": ip_address("10.20.0.20")})})
    failed = [path("client", s, "fail", outcomes=frozenset({"answered"})) for s in CLUSTER.services]
    seen = with_host(near, cluster=cluster, paths=failed)
    assert told(seen, "its own subnet") == ([("lkclient", Certainty.LIKELY)] if told_of else [])
    assert is_led_astray(seen, near, "10.20.0.20", WEB.port) is told_of


def test_another_nic_of_a_client_in_a_neighbour_subnet_is_possible_only() -> None:
    addresses = [InterfaceAddress("eth0", "10.20.0.20", 24, "UP"), InterfaceAddress("eth1", "10.20.8.20", 24, "UP")]
    far = client(addresses=addresses, routes={(VIP, ""): Route("unicast", "eth1", gateway="10.20.8.1")})
    cluster = CLUSTER.model_copy(update={"client": CLUSTER.client.model_copy(update={"address": ip_address("10.20.0.20")})})
    seen = with_host(far, cluster=cluster, paths=[path("client", s, **SILENT) for s in CLUSTER.services])
    assert told(seen, "not by eth0, which has the address") == [("lkclient", Certainty.POSSIBLE)]
    assert diagnose(seen).rest or faults(diagnose(seen)), "what is possible only takes no symptom from what explains it"


FIRST_NICS = {"ip address": VIP, "ip nic": "eth0"}


def on_first_nics(prefix: int = 32, standby: dict[str, str] | None = None) -> Evidence:
    """The IP resource is on the first NIC, by the configuration of both nodes, or of one."""
    its = [*(a for a in node("lknode01").addresses or () if a.address != VIP), InterfaceAddress("eth0", VIP, prefix, "UP")]
    seen = with_host(node("lknode01", addresses=its, units=FIRST_NICS | {"ip prefix": str(prefix)}))
    other = node("lknode02", units=(FIRST_NICS | {"ip prefix": str(prefix)}) if standby is None else standby)
    return replace(seen, hosts={**seen.hosts, "lknode02": other})


@pytest.mark.parametrize("prefix", [32, 24])
@pytest.mark.parametrize("standby", [None, {"ip address": VIP}], ids=["by name", "by route"])
def test_a_vip_that_both_nodes_have_on_the_first_nic_goes_to_no_wrong_one(prefix: int, standby: dict[str, str] | None) -> None:
    assert faults(diagnose(on_first_nics(prefix, standby))) == []


@pytest.mark.parametrize("standby", [{"ip address": VIP, "ip nic": "eth1"}, {}], ids=["the second there", "not told"])
def test_a_vip_on_the_first_nic_of_one_node_alone_is_told(standby: dict[str, str]) -> None:
    assert any("wrong NIC" in c.says for c in faults(diagnose(on_first_nics(standby=standby))))


@pytest.mark.parametrize("prefix", [32, 24])
def test_the_cluster_files_place_for_the_vip_is_demanded_all_the_same(prefix: int) -> None:
    seen = on_first_nics(prefix)
    facts = {n: NodeFacts(n, list(host_seen.addresses or ()), seen=host_seen) for n, host_seen in seen.hosts.items()}
    (one,) = [f for f in judge(CLUSTER, seen.state, facts, {}) if f.what == "VIP"]
    assert (
        one.weight is Weight.FAULT and one.says == f"{VIP} is on eth0, not on eth1" and "configuration has it on their first NIC" in one.do
    )
    apart = facts | {"lknode02": replace(facts["lknode02"], seen=node("lknode02", units={"ip address": VIP, "ip nic": "eth1"}))}
    (one,) = [f for f in judge(CLUSTER, seen.state, apart, {}) if f.what == "VIP"]
    assert "configuration" not in one.do


@pytest.mark.parametrize(
    ("source", "certainty"),
    [("10.20.1.13", Certainty.POSSIBLE), (VIP, Certainty.CERTAIN), ("10.20.2.11", Certainty.CERTAIN), ("10.9.9.9", Certainty.CERTAIN)],
    ids=["another of its own", "the VIP", "another NIC's", "nobody's"],
)
def test_a_second_ip_configuration_of_the_nic_may_be_the_source(source: str, certainty: Certainty) -> None:
    base = node("lknode01")
    by_source = {**base.routes, ("10.20.1.20", ""): replace(BY_ETH0, source=source)}
    seen = with_address(with_host(replace(base, routes=by_source)), "lknode01", "10.20.1.13", "eth0")
    assert told(seen, "as their source") == [("lknode01", certainty)]


def test_another_address_of_the_nic_that_the_peer_does_not_answer_is_no_ip_configuration_of_it() -> None:
    base = node("lknode01")
    by_source = {**base.routes, ("10.20.1.12", ""): replace(BY_ETH0, source="10.20.1.13")}
    silent = [Direct("lknode01", "lknode02", 12345, "silent")]
    seen = with_address(with_host(replace(base, routes=by_source), direct=silent), "lknode01", "10.20.1.13", "eth0")
    assert told(seen, "another address of eth0") == [("lknode01", Certainty.LIKELY)]


def shut_to(name: str, *sources: str) -> Evidence:
    """A node whose firewall has a rule for each of these sources, against connections to the database."""
    port = next(s.port for s in CLUSTER.services if s.name == "database")
    expr = [
        [
            {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"set": list(sources)}}},
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}},
            {"drop": None},
        ]
    ]
    return with_host(node(name, firewall=parse(nft(*map(json.dumps, expr)))))


def test_a_database_may_be_shut_to_the_other_node() -> None:
    """As whoever gives rights to the application's subnet alone has it."""
    alone = shut_to("lknode02", "10.20.1.11")
    assert told(alone, "its own firewall drops") == [("lknode02", Certainty.POSSIBLE)]
    assert "could not take over" not in diagnose(alone).causes[0].says
    client_too = shut_to("lknode02", "10.20.1.11", "10.20.1.20")
    assert told(client_too, "could not take over") == [("lknode02", Certainty.CERTAIN)]
    assert told(shut_to("lknode01", "10.20.1.12"), "its own firewall drops") == [("lknode01", Certainty.CERTAIN)]  # a path that is tried


@pytest.mark.parametrize(("name", "weight"), [("lknode01", Weight.FAULT), ("lknode02", Weight.NOTE)])
def test_the_finding_of_that_firewall_is_a_note_on_the_standby(name: str, weight: Weight) -> None:
    seen = shut_to(name, "10.20.1.12" if name == "lknode01" else "10.20.1.11")
    found = judge(CLUSTER, seen.state, {n: NodeFacts(n) for n in seen.hosts}, seen.firewalls)
    assert [(f.host, f.weight) for f in found if f.what == "firewall"] == [(name, weight)]


def test_a_service_that_every_host_runs_by_itself_is_no_second_one() -> None:
    """Web servers that systemd starts on both nodes: the VIP and the probe choose one, and the cluster manager knows nothing of them."""
    web_tag = "nginx.service"
    alone = [s.model_copy(update={"tag": web_tag, "runs_on": "both"}) if s.name == WEB.name else s for s in CLUSTER.services]
    everywhere = CLUSTER.model_copy(update={"services": alone})
    states = {n: replace(s, resources={t: r for t, r in s.resources.items() if t != WEB.tag}) for n, s in evidence().state.nodes.items()}
    seen = with_host(node("lknode02", listeners=[listening(WEB.port)]), cluster=everywhere, state=ClusterState(states))
    assert faults(diagnose(seen)) == []
    facts = {n: NodeFacts(n, listeners=[Listener("0.0.0.0", WEB.port, "tcp")], seen=host_seen) for n, host_seen in seen.hosts.items()}
    assert [f for f in judge(everywhere, seen.state, facts, {}) if f.host == "lknode02" and "listener" in f.what] == []
    as_usual = [s.model_copy(update={"tag": web_tag}) if s.name == WEB.name else s for s in CLUSTER.services]
    active = CLUSTER.model_copy(update={"services": as_usual})
    blamed = " ".join(c.says for c in faults(diagnose(replace(seen, cluster=active))))
    assert "could not start there" in blamed and "the cluster file's tag nginx.service" in blamed
    assert [f.what for f in judge(active, seen.state, facts, {}) if f.host == "lknode02" and "listener" in f.what] == ["listener of web"]
