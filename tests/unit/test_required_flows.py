"""What has to pass a host's own firewall: one list, from which findings and causes come alike."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from harness.check.findings.firewall_findings import findings
from harness.config import cluster_config
from harness.diagnosis import required_flows
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.firewall import opening, parse
from harness.diagnosis.required_flows import FirewallVerdict, judge_firewall
from harness.diagnosis.rules.network import host_firewall
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import ClusterState, CommPath, NodeState
from harness.managers.parse import corosync_parse
from harness.plugins.extension_points import MANAGERS

LIFEKEEPER = default_cluster.cluster_data()
PACEMAKER = default_cluster.merge_tables(LIFEKEEPER, {"manager": {"kind": "pacemaker"}})
NICS = {"10.20.1.11": "eth0", "10.20.2.11": "eth1", "10.20.1.12": "eth0", "10.20.2.12": "eth1", "10.20.1.20": "eth0"}
CHAIN = "table inet own {\n chain c {\n  type filter hook %s priority 0; policy accept;\n  %s\n }\n}\n"
COROSYNC = """totem {
transport: knet
}
nodelist {
node {
nodeid: 1
ring0_addr: 10.20.1.11
ring1_addr: 10.20.2.11
}
node {
nodeid: 2
ring0_addr: 10.20.1.12
ring1_addr: 10.20.2.12
}
}
"""

# (manager, host, hook, rule, words of what is lost)
STOPPED = [
    (LIFEKEEPER, "lknode01", "input", "tcp dport 12345 drop", "the probe from 168.63.129.16 to port 12345"),
    (LIFEKEEPER, "lknode02", "output", "ip daddr 168.63.129.16 drop", "the answers to the probe's source 168.63.129.16 on their way out"),
    (LIFEKEEPER, "lknode02", "input", "tcp dport 1521 drop", "connections to port 1521 (listener) from the client"),
    (LIFEKEEPER, "lknode01", "input", 'iifname "lo" tcp dport 1521 drop', "its own connections to port 1521 (listener)"),
    (LIFEKEEPER, "lknode02", "output", 'oifname "eth0" ip daddr 10.20.1.200 drop', "what it sends to 10.20.1.200:1521 (listener)"),
    (LIFEKEEPER, "lkclient", "input", "tcp sport 1521 drop", "the answers (SYN-ACK) of 10.20.1.200:1521 (listener)"),
    (LIFEKEEPER, "lknode01", "input", 'iifname "eth1" tcp dport 7365 drop', "(port 7365) with 10.20.2.12"),
    (PACEMAKER, "lknode01", "input", 'iifname "eth1" udp dport 5406 drop', "(UDP port 5406) with 10.20.2.12"),
    (PACEMAKER, "lknode02", "output", "udp dport 5405 drop", "(UDP port 5405) with 10.20.1.11"),
]  # fmt: skip


def of(data: dict, host: str, hook: str, rule: str) -> tuple[Evidence, FirewallVerdict]:
    cluster = cluster_config.parse(data, Path("a test's"))
    seen = HostSeen(host, corosync=corosync_parse.parse(COROSYNC)) if data is PACEMAKER else HostSeen(host)
    port = partial(seen.port_between, cluster)
    told = judge_firewall(cluster, host, parse(CHAIN % (hook, rule)), lambda address: NICS.get(str(address)), port_between=port)
    return Evidence(cluster, ClusterState({}), "lknode01", firewalls={host: told}), told


@pytest.mark.parametrize(("data", "host", "hook", "rule", "lost"), STOPPED, ids=[s[3] for s in STOPPED])
def test_what_is_stopped_is_a_finding_and_a_cause_in_the_same_words(data: dict, host: str, hook: str, rule: str, lost: str) -> None:
    evidence, told = of(data, host, hook, rule)
    (finding,), (cause,) = list(findings(host, told)), list(host_firewall.causes(evidence))
    assert lost in finding.says and lost in cause.says, (finding, cause)
    assert (finding.host, cause.host) == (host, host) and rule in finding.says and rule in cause.says


def test_the_manager_needs_the_firewall_only_where_it_has_a_path() -> None:
    """One ring over Subnet#1: what the second NIC drops is none of its. Where no path was told, both subnets count."""
    cluster = cluster_config.parse(PACEMAKER, Path("a test's"))
    ruleset = parse(CHAIN % ("input", 'iifname "eth1" udp dport 5406 drop'))
    port = partial(HostSeen("lknode01", corosync=corosync_parse.parse(COROSYNC)).port_between, cluster)

    def lost(*paths: str) -> list[str]:
        node = NodeState("lknode01", True, {}, tuple(CommPath("lknode02", p, False) for p in paths))
        told = ClusterState({"lknode01": node, "lknode02": NodeState("lknode02", False, {}, ())}).path_addresses
        judged = judge_firewall(cluster, "lknode01", ruleset, lambda address: NICS.get(str(address)), paths=told, port_between=port)
        return [f.lost for fates in judged.stopped_by_rule.values() for f in fates]

    assert lost("10.20.1.11/10.20.1.12") == []
    for paths in (("10.20.1.11/10.20.1.12", "10.20.2.11/lknode02"), ("10.20.1.11/10.20.1.12", "DISK"), ()):
        assert lost(*paths) == ["the cluster manager's communication path (UDP port 5406) with 10.20.2.12"], paths


TIGHT = (
    'iifname "lo" accept\ntcp dport { 22, 80, 1521, 5432, 12345 } accept\n'
    'iifname "eth0" udp dport 5405 accept\niifname "eth1" udp dport 5406 accept\ndrop'
)


@pytest.mark.parametrize(
    ("old", "new", "stopped"),
    [
        ("", "", ()),
        ("transport: knet", "", ()),  # the default, of versions that start in Azure
        ("transport: knet", "transport: udpu", ("(UDP port 5407) with 10.20.2.12",)),
        ("transport: knet", "interface {\nlinknumber: 1\nmcastport: 5555\n}", ("(UDP port 5555) with 10.20.2.12",)),
        ("transport: knet", "interface {\nmcastport: 5555\n}", ("(UDP port 5555) with 10.20.1.12",)),
        ("transport: knet", "transport: knet\ninterface {\nlinknumber: 1\nknet_transport: sctp\n}", ()),
        ("10.20.2.1", "10.30.9.1", ()),  # by other NICs, of which nothing is known here
        ("ring1_addr", "ring2_addr", ("(UDP port 5407) with 10.20.2.12",)),
        ("10.20.2.1", "hb-", ()),  # names that were not told
    ],
)
def test_each_of_corosyncs_links_has_a_port_of_its_own(old: str, new: str, stopped: tuple[str, ...]) -> None:
    cluster = cluster_config.parse(PACEMAKER, Path("a test's"))
    host = HostSeen("lknode01", corosync=corosync_parse.parse(COROSYNC.replace(old, new) if old else COROSYNC))
    rules = parse(CHAIN % ("input", TIGHT))
    port = partial(host.port_between, cluster)
    judged = judge_firewall(cluster, "lknode01", rules, lambda address: NICS.get(str(address)), port_between=port)
    lost = [f.lost for fates in judged.stopped_by_rule.values() for f in fates if "communication path" in f.lost]
    assert [says.partition("path ")[2] for says in lost] == list(stopped)


def test_what_both_ends_send_from_one_port_passes_a_stateful_firewall_as_the_answer_to_ones_own() -> None:
    """Seen on a lab: with 5405 opened alone, the second link lives by what connection tracking remembers of it."""
    cluster = cluster_config.parse(PACEMAKER, Path("a test's"))

    def lost(rules: str, transport: str = "knet", chain: str = CHAIN % ("input", "%s")) -> list[str]:
        host = HostSeen("lknode01", corosync=corosync_parse.parse(COROSYNC.replace("knet", transport)))
        ruleset, port = parse(chain % rules), partial(host.port_between, cluster)
        judged = judge_firewall(cluster, "lknode01", ruleset, lambda address: NICS.get(str(address)), port_between=port)
        return [f.lost for fates in judged.stopped_by_rule.values() for f in fates if "communication path" in f.lost]

    tracked = "ct state established,related accept\nudp dport 5405 accept\nmeta l4proto udp drop"
    assert lost(tracked) == []
    assert len(lost(tracked, "udpu")) == 1  # which sends from other ports
    assert len(lost("udp dport 5405 accept\nmeta l4proto udp drop")) == 1
    closed = CHAIN % ("input", "%s") + CHAIN.replace("own", "out") % ("output", "udp dport 5406 drop")
    assert len(lost(tracked, chain=closed)) == 2  # neither of them is there for the other to answer


def test_names_in_corosyncs_list_are_resolved_and_a_file_that_was_not_read_says_nothing() -> None:
    names = {"a": ("10.20.1.11",), "b": ("10.20.1.12", "10.20.2.12")}
    listed = corosync_parse.parse(COROSYNC.replace("10.20.1.11", "a").replace("10.20.1.12", "b"))

    def port(settings: dict[str, str], names: dict[str, tuple[str, ...]], *ends: str) -> int | None:
        return corosync_parse.link_port(ends, settings, names, 100)

    assert port(listed, names, "10.20.1.11", "10.20.1.12") == 100 and port(listed, names, "10.20.2.11", "10.20.2.12") == 101
    assert port(listed, {}, "10.20.1.11", "10.20.1.12") is None
    single = {key: value for key, value in listed.items() if "ring1" not in key}
    assert port(single, {}, "10.20.2.11", "10.20.2.12") == 100  # the only link that there is
    assert port({"node 1 ring0_addr": "10.20.1.11"}, {}, "10.20.2.11", "10.20.2.12") is None
    assert port({}, names, "10.20.1.11", "10.20.1.12") is None
    assert port(listed | {"link 1 mcastport": "70x"}, {}, "10.20.2.11") == 101
    assert port(listed | {"link 1 knet_transport": "sctp"}, {}, "10.20.2.11") is None
    assert port({k: v for k, v in listed.items() if "transport" not in k} | {"totem.rrp_mode": "passive"}, {}, "10.20.2.11") == 102


def test_a_standby_that_only_cannot_be_a_client_could_take_over_all_the_same() -> None:
    evidence, _ = of(LIFEKEEPER, "lknode02", "output", 'oifname "eth0" ip daddr 10.20.1.200 drop')
    (cause,) = host_firewall.causes(evidence)
    assert "take over" not in cause.says and "standby/listener" in cause.explains and "client/listener" not in cause.explains
    evidence, _ = of(LIFEKEEPER, "lknode02", "input", "tcp dport 1521 drop")
    (cause,) = host_firewall.causes(evidence)
    assert "could not take over" in cause.says and "client/listener" not in cause.explains


def test_one_of_two_communication_paths_that_is_stopped_takes_nothing_out_of_service() -> None:
    """The manager's nodes still hear each other: the standby could take over, and a service that fails does so for another reason."""
    evidence, _ = of(LIFEKEEPER, "lknode02", "input", 'iifname "eth1" tcp dport 7365 drop')
    paths = (CommPath("other", "10.20.1.12/10.20.1.11", True), CommPath("other", "10.20.2.12/10.20.2.11", False))
    heard = replace(evidence, state=ClusterState({"lknode02": NodeState("lknode02", True, {}, paths)}))
    (cause,) = host_firewall.causes(heard)
    assert "another path" in cause.says and "take over" not in cause.says
    (cause,) = host_firewall.causes(evidence)  # where nobody told that one lives
    assert "could not take over" in cause.says
    evidence, _ = of(LIFEKEEPER, "lknode01", "input", 'iifname "eth1" tcp dport 7365 drop')
    (one,), (none,) = host_firewall.causes(replace(evidence, state=heard.state)), host_firewall.causes(evidence)
    assert "*/*" not in one.explains and "*/*" in none.explains


def test_what_is_true_of_one_manager_is_written_in_its_adapter() -> None:
    """Its port between nodes stands there alone, and no table elsewhere has a manager's name for its key."""
    root = Path(__file__).parents[2] / "harness"
    rooms = ("check", "cluster", "diagnosis", "disrupt", "managers", "measure")
    texts = {p: p.read_text() for room in rooms for p in (root / room).rglob("*.py")}
    for (kind,) in MANAGERS.built_in_classes().values():
        if kind.peer_port:
            files = [str(p.relative_to(root)) for p, text in texts.items() if re.search(rf"\b{kind.peer_port[1]}\b", text)]
            assert [f for f in files if not f.startswith("managers/kinds/")] == [], kind
    for name in MANAGERS.built_in_classes():
        assert [p.name for p, text in texts.items() if re.search(rf'(?<![!=]= )"{name}":', text)] == []  # an `if` ends so, too


def test_a_look_evaluates_each_firewall_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings and causes both rest on it."""
    asked: list[str] = []
    monkeypatch.setattr(required_flows, "opening", lambda ruleset, syn, **more: asked.append(str(syn)) or opening(ruleset, syn, **more))
    evidence, told = of(LIFEKEEPER, "lknode01", "input", "tcp dport 12345 drop")
    once = len(asked)
    assert list(findings("lknode01", told)) and list(host_firewall.causes(evidence)) and len(asked) == once
