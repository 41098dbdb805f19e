"""The ports of Corosync's links in what is told of a dead path, and of hop limits: each link has its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from diagnosis_sample import evidence, node

from harness.config import cluster_config
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.firewall import parse
from harness.diagnosis.rules.network import hop_limits, links
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import ClusterState, CommPath, NodeState
from harness.managers.parse import corosync_parse

PACEMAKER = default_cluster.merge_tables(default_cluster.cluster_data(), {"manager": {"kind": "pacemaker"}})
LISTED = {f"node {n} ring{link}_addr": f"10.20.{link + 1}.1{n}" for n in (1, 2) for link in (0, 1)}
TTL = (
    "table inet t {\n chain c {\n  type filter hook output priority 0; policy accept;\n  udp dport 5406 ip ttl set 1\n"
    "  udp dport 5405 ip ttl set 40\n }\n}\n"
)


def seen(corosync: dict[str, str]) -> Evidence:
    cluster = cluster_config.parse(PACEMAKER, Path("a test's"))
    path = CommPath("other", "10.20.2.11/10.20.2.12", False)
    state = ClusterState({name: NodeState(name, True, {}, (path,)) for name in ("lknode01", "lknode02")})
    hosts = {name: node(name, corosync=corosync, firewall=parse(TTL)) for name in ("lknode01", "lknode02")}
    return replace(evidence(), cluster=cluster, state=state, hosts=hosts)


@pytest.mark.parametrize(("corosync", "says"), [(LISTED, "denies UDP port 5406 between"), ({}, "denies its port between")])
def test_a_dead_link_is_told_with_its_own_port(corosync: dict[str, str], says: str) -> None:
    (cause,) = [c for c in links.causes(seen(corosync)) if "is dead" in c.says]
    assert says in cause.says and "5405" not in cause.as_text()


def test_a_rule_for_the_second_links_port_takes_its_hops_there() -> None:
    says = [c.says for c in hop_limits.causes(seen(LISTED)) if "what the cluster manager sends to 10.20.2.1" in c.says]
    assert len(says) == 2 and all("time to live of 1" in one for one in says)
    assert not [c for c in hop_limits.causes(seen({})) if "the cluster manager sends" in c.says]


def test_what_is_set_for_one_link_does_not_stand_for_another() -> None:
    text = "totem {\ninterface {\nlinknumber: 0\nmcastport: 1\n}\ninterface {\nringnumber: 1\nmcastport: 2\n}\ninterface {\nttl: 3\n}\n}\n"
    assert corosync_parse.parse(text).items() >= {"link 0 mcastport": "1", "link 1 mcastport": "2", "link 0 ttl": "3"}.items()
