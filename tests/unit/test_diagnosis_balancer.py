"""The diagnosis of what the balancer does: whom it probes and sends, and what a security group denies on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diagnosis_sample import (
    CLUSTER,
    IN,
    OUT,
    SILENT,
    TAGS,
    WEB,
    client,
    drop,
    evidence,
    faults,
    listening,
    nft,
    node,
    only,
    paths,
    probed,
    state,
    with_host,
)

from harness.config import cluster_config
from harness.diagnosis.engine import all_rules, diagnose
from harness.diagnosis.evidence import Direct, Evidence, ProbesSeen
from harness.diagnosis.firewall import parse
from harness.lab.lifecycle import default_cluster


@pytest.mark.parametrize("name", ["lknode01", "lknode02"])
def test_a_node_that_is_not_probed_is_outside_the_pool_or_shut_out(name: str) -> None:
    broken = paths(client=SILENT, standby=SILENT) if name == "lknode01" else paths()
    seen = evidence(paths=broken)
    seen = replace(seen, probes={**seen.probes, name: ProbesSeen(name, 2.0)})
    only(seen, name, "no probe from", "pool", "NSG")


def test_a_probe_that_asks_another_port_is_told_by_the_packets() -> None:
    seen = evidence(paths=paths(client=SILENT, standby=SILENT))
    seen = replace(seen, probes={n: ProbesSeen(n, 1.0, syns={59999: 4}) for n in ("lknode01", "lknode02")})
    both = only(
        seen, "lknode01", "asks port 59999 of both nodes, not 12345, where the health-check resource of lknode01 answers", "probe ask 12345"
    )
    assert "client/web" not in both.explains and "client/*" in both.explains
    listeners = [listening(p) for p in (59999, *(s.port for s in CLUSTER.services))]
    only(
        replace(seen, hosts={**seen.hosts, "lknode01": node("lknode01", listeners=listeners)}),
        "lknode01",
        "let the cluster file have 59999",
    )
    apart = replace(seen, probes={n: ProbesSeen(n, 1.0, syns={port: 4}) for n, port in (("lknode01", 59999), ("lknode02", 59998))})
    assert [c.host for c in faults(diagnose(apart))] == ["lknode01", "lknode02"], "each asked another one"


def test_one_silent_port_has_no_rule_and_one_silent_origin_is_denied() -> None:
    one = [replace(p, **SILENT) if p.service is WEB and p.path != "inside" else p for p in paths()]
    seen = evidence(paths=one, direct=[Direct("lknode02", "lknode01", WEB.port, "answered")])
    only(seen, "lknode01", f"no rule for port {WEB.port}")
    only(evidence(paths=paths(client=SILENT)), "lkclient", "NSG", "lkclient")


def test_floating_ip_on_or_off_against_the_file() -> None:
    as_vip = {"outcome": "fail", "ways": frozenset({"W2"}), "arrived_as": frozenset({"10.20.1.200"})}
    only(evidence(paths=paths(client=as_vip, standby=as_vip)), "lknode01", "floating IP is on", "nat")
    other = cluster_config.parse(default_cluster.merge_tables(default_cluster.cluster_data(), {"design": "floating"}), Path("a test's"))
    told = diagnose(evidence(cluster=other, paths=paths(client={"outcome": "fail"}, standby={"outcome": "fail"})))
    assert "floating IP is off" in faults(told)[0].says


def test_one_port_of_one_origin_is_denied_by_a_rule_about_both() -> None:
    denied = [replace(p, **SILENT) if p.service is WEB and p.path == "client" else p for p in paths()]
    only(evidence(paths=denied), "lkclient", f"port {WEB.port}", "NSG")
    own = "table inet e {\nchain o {\ntype filter hook output priority 0;\nip daddr 10.20.1.200 tcp dport 80 drop\n}\n}\n"
    cause = only(with_host(client(firewall=parse(own)), paths=denied), "lkclient", "its own firewall drops")
    assert "NSG" not in cause.says


def test_both_nodes_or_none() -> None:
    both = state(standby=dict.fromkeys(TAGS, IN))
    assert "split brain" in faults(diagnose(evidence(state=both, active=None, paths=())))[0].says
    none = state(dict.fromkeys(TAGS, OUT))
    assert "nothing is in service" in faults(diagnose(evidence(state=none, active=None, paths=())))[0].says


def test_clients_that_are_sent_to_a_node_that_answers_no_probe() -> None:
    mixed = {"outcome": "fail", "outcomes": frozenset({"answered", "refused"}), "nodes": frozenset({"lknode01", "lknode02"})}
    only(evidence(paths=paths(client=mixed, standby=mixed)), "lknode02", "admin", "Up")
    none_up = {n: ProbesSeen(n, 1.0, syns={12345: 4}, refused=4) for n in ("lknode01", "lknode02")}
    told = diagnose(evidence(paths=paths(client=mixed, standby=mixed), probes=none_up))
    assert "AllProbedUp" in faults(told)[0].says


def test_a_healthy_node_that_is_sent_nobody() -> None:
    silent = paths(client=SILENT, standby=SILENT)
    past = [Direct(o, "lknode01", s.port, "answered") for o in ("lkclient", "lknode02") for s in CLUSTER.services]
    only(evidence(paths=silent, direct=past), "lknode01", "adminState")
    only(evidence(paths=silent, direct=[replace(d, outcome="silent") for d in past]), "lknode01", "NSG")


def test_a_standby_that_is_silent_to_clients_is_shut_by_its_security_group() -> None:
    """Its own kernel would refuse; a firewall of its own is told as that."""
    past = [Direct("lkclient", "lknode02", s.port, "silent" if s is WEB else "refused") for s in CLUSTER.services]
    only(evidence(direct=past), "lknode02", "NSG", f"{WEB.port} ({WEB.name})")
    closed = node("lknode02", firewall=parse(nft(drop("tcp", "dport", WEB.port))))
    only(with_host(closed, direct=past), "lknode02", "firewall drops")


def test_a_port_that_is_silent_past_the_balancer_too_is_denied_by_a_security_group() -> None:
    one = [replace(p, **SILENT) if p.service is WEB and p.path != "inside" else p for p in paths()]
    only(evidence(paths=one, direct=[Direct("lknode02", "lknode01", WEB.port, "silent")]), "lknode01", "NSG", f"port {WEB.port}")


WINDOWS = CLUSTER.model_copy(update={"nodes": tuple(n.model_copy(update={"platform": "windows"}) for n in CLUSTER.nodes)})

SHUT = {"direct": [Direct("lkclient", "lknode02", s.port, "silent") for s in CLUSTER.services]}
UNANSWERED = {"probes": {"lknode01": probed("lknode01"), "lknode02": probed("lknode02", refused=0)}}


@pytest.mark.parametrize(("seen", "says"), [(SHUT, "security group (NSG) at lknode02 denies"), (UNANSWERED, "nothing answers it")])
def test_a_windows_standby_that_is_silent_where_nobody_listens_is_sound(seen: dict[str, Any], says: str) -> None:
    """Its stealth mode sends no RST (WNET-13). On Linux the same silence has a cause, and on Windows where somebody listens."""

    def said(of: Evidence) -> list[str]:
        return [cause.says for rule in all_rules() for cause in rule(of)]

    assert [says in one for one in said(evidence(**seen))] == [True]
    assert said(evidence(**seen, cluster=WINDOWS)) == []
    listens = node("lknode02", listeners=[listening(p) for p in (12345, *(s.port for s in CLUSTER.services))])
    hosts = {"lknode01": node("lknode01"), "lknode02": listens, "lkclient": client()}
    assert any(says in one for one in said(evidence(**seen, cluster=WINDOWS, hosts=hosts)))
