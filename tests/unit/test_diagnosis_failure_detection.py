"""The diagnosis of how long the nodes wait before they give each other up, where both have the same; and of what waits as long beside."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import CLUSTER, both, evidence, faults, node, only, state

from harness.config.cluster_config import Cluster
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.host_config.lifekeeper_settings import of_lifekeeper
from harness.managers.manager import CommPath
from harness.managers.parse import corosync_parse


def of_kind(kind: str, heartbeat_s: float = 5.0, **more: object) -> Cluster:
    told = {"kind": kind, "heartbeat_s": heartbeat_s, "heartbeats_missed": 3, **more}
    return CLUSTER.model_copy(update={"manager": CLUSTER.manager.model_copy(update=told)})


def of_lifekeepers(first: str, second: str | None = None, cluster: Cluster | None = None) -> Evidence:
    files = tuple(of_lifekeeper(text) for text in (first, first if second is None else second))
    return replace(both(settings=(files[0], files[1])), cluster=cluster or of_kind("lifekeeper"))


def of_corosync(totem: str, heartbeat_s: float = 5.0) -> Evidence:
    settings = corosync_parse.parse(f"totem {{\n{totem}\n}}\n")
    return replace(both(corosync=(settings, settings)), cluster=of_kind("pacemaker", heartbeat_s))


def told_of(seen: Evidence) -> list[tuple[str, Certainty]]:
    return [(c.host, c.certainty) for c in diagnose(seen).causes]


def test_lifekeeper_that_waits_for_minutes() -> None:
    only(of_lifekeepers("LCMHBEATTIME=300\nLCMNUMHBEATS=10"), "lknode02", "after 3000 s", "LCMHBEATTIME 300", "LCMNUMHBEATS 10")
    only(of_lifekeepers("LCMNUMHBEATS=24"), "lknode02", "after 120 s")  # and the other has its default
    meant = of_lifekeepers("LCMHBEATTIME=50", cluster=of_kind("lifekeeper", 50.0))
    assert told_of(meant) == [("lknode02", Certainty.POSSIBLE)], "the cluster file says so, too"
    for quiet in ("LCMHBEATTIME=5\nLCMNUMHBEATS=3", "LKCHECKINTERVAL=120", "", "LCMHBEATTIME=5\nLCMNUMHBEATS=4"):
        assert told_of(of_lifekeepers(quiet)) == [], quiet
    assert told_of(of_lifekeepers("LCMHBEATTIME=1")) == [("lknode02", Certainty.POSSIBLE)], "not as the cluster file says"
    assert told_of(replace(of_lifekeepers("LCMHBEATTIME=300"), moved=True)) == []


@pytest.mark.parametrize(
    ("totem", "heartbeat_s", "certainty", "words"),
    [
        ("token: 300000", 5.0, Certainty.LIKELY, ("after 660 s", "token 300000 ms")),
        ("token: 60000\nconsensus: 72000", 5.0, Certainty.LIKELY, ("after 132 s",)),
        ("token: 100", 5.0, Certainty.LIKELY, ("0.22 s", "token 100 ms", "freezes")),
        ("token: 454", 1 / 3, None, ()),  # as the cluster file says
        ("token: 30000", 22.0, None, ()),
        ("token: 30000", 5.0, Certainty.POSSIBLE, ("66 s", "the cluster file says 15 s")),
        ("transport: knet", 5.0, None, ()),
        ("token: many", 5.0, None, ()),
    ],
)
def test_corosync_that_waits_too_long_or_too_short(
    totem: str, heartbeat_s: float, certainty: Certainty | None, words: tuple[str, ...]
) -> None:
    seen = of_corosync(totem, heartbeat_s)
    assert told_of(seen) == ([("lknode02", certainty)] if certainty else [])
    assert not [w for w in words if w not in str([c.as_data() for c in diagnose(seen).causes])]


def test_one_node_alone_says_nothing_of_both() -> None:
    seen = of_corosync("token: 300000")
    assert told_of(replace(seen, hosts={n: h for n, h in seen.hosts.items() if n != "lknode01"})) == []
    untold = {**seen.hosts, "lknode02": node("lknode02")}
    assert not [c for c in diagnose(replace(seen, hosts=untold)).causes if "given up" in c.says]


WHOLE = {"totem.transport": "knet", "quorum.two_node": "1", "node 1 ring0_addr": "10.20.1.11", "node 2 ring0_addr": "10.20.1.12"}


def without_token(heartbeat_s: float, runs: str = "", **more: str) -> Evidence:
    settings, running = WHOLE | more, {"totem.token": runs, "totem.consensus": f"{int(runs) * 6 // 5}"} if runs else {}
    return replace(both(corosync=(settings, settings), corosync_runs=(running, running)), cluster=of_kind("pacemaker", heartbeat_s))


def test_a_file_of_corosync_without_a_token_lets_its_own_count() -> None:
    def told(seen: Evidence) -> list[tuple[Certainty, str]]:
        return [(c.certainty, c.says) for c in diagnose(seen).causes]

    ((certainty, says),) = told(without_token(5.0))
    assert certainty is Certainty.POSSIBLE and "has no token" in says and "after 2.2 s or 6.6 s of silence (as its version has it)" in says
    ((certainty, says),) = told(without_token(5.0, "3000"))
    assert certainty is Certainty.POSSIBLE and "after 6.6 s of silence;" in says
    ((certainty, says),) = told(without_token(22.0, "1000"))
    assert certainty is Certainty.LIKELY and "after 2.2 s of silence" in says
    assert [c for c, _ in told(without_token(22.0))] == [Certainty.LIKELY]  # whichever version it is
    for quiet in (without_token(1.0, "1000"), without_token(3.0), without_token(3.0, "3000"), without_token(22.0, "30000"),
                  without_token(5.0, quorum="1", **{"node 3 ring0_addr": "10.20.1.13"})):  # fmt: skip
        assert told(quiet) == []
    assert not [says for _, says in told(without_token(100.0, "30000")) if "own counts" in says]  # somebody has set it while it runs
    half = without_token(5.0)
    for other in ({}, {"totem.transport": "knet"}, {**WHOLE, "totem.token": "3000"}):  # not told, not whole, and one that has it
        hosts = {**half.hosts, "lknode02": node("lknode02", corosync=other)}
        assert not [c for c in diagnose(replace(half, hosts=hosts)).causes if "no token" in c.says], other
    assert told(replace(half, moved=True)) == []


def test_what_corosync_runs_with_counts_and_not_what_its_file_has_by_now() -> None:
    seen = of_corosync("token: 300000")
    hosts = {n: replace(h, corosync_runs={"totem.token": "1000", "totem.consensus": "1200"}) for n, h in seen.hosts.items()}
    (stale, apart) = diagnose(replace(seen, hosts=hosts)).causes
    assert stale.certainty is Certainty.LIKELY and "was not read again" in stale.says
    assert apart.certainty is Certainty.POSSIBLE and "after 2.2 s (token 1000 ms" in apart.says and "660" not in apart.as_text()
    one = {**hosts, "lknode02": seen.hosts["lknode02"]}  # of the other nothing was told: nothing is said of both
    assert not [c for c in diagnose(replace(seen, hosts=one)).causes if "was not read again" not in c.says]
    same = {n: replace(h, corosync_runs={"totem.token": "300000"} if n == "lknode01" else {}) for n, h in seen.hosts.items()}
    assert told_of(replace(seen, hosts=same)) == [("lknode02", Certainty.LIKELY)]


def test_a_health_check_that_waits_for_hours() -> None:
    only(of_lifekeepers("HC_TIMEOUT=86400", "HC_TIMEOUT=60"), "lknode01", "HC_TIMEOUT is 86400 s on lknode01", "24 hours")
    assert faults(diagnose(of_lifekeepers("HC_TIMEOUT=900"))) == []


def test_checks_that_are_seldom_on_one_node_or_on_both() -> None:
    only(of_lifekeepers("LKCHECKINTERVAL=1800", "LKCHECKINTERVAL=120"), "lknode01", "LKCHECKINTERVAL is 1800 s on lknode01 and 120 s")
    only(of_lifekeepers("A=1", "LKCHECKINTERVAL=900"), "lknode02", "900 s on lknode02")
    for quiet in (("LKCHECKINTERVAL=900", "LKCHECKINTERVAL=900"), ("LKCHECKINTERVAL=300", "A=1"),
                  ("LKCHECKINTERVAL=600", "LKCHECKINTERVAL=300")):  # fmt: skip
        assert faults(diagnose(of_lifekeepers(*quiet))) == [], quiet
    daily = "LKCHECKINTERVAL=86400"
    assert [c.certainty for c in diagnose(of_lifekeepers(daily)).causes] == [Certainty.LIKELY] * 2
    meant = of_lifekeepers(daily, cluster=of_kind("lifekeeper", check_interval_s=86400.0))
    assert [c.certainty for c in diagnose(meant).causes] == [Certainty.POSSIBLE] * 2, "the cluster file says so, too"


def with_paths(*addresses: str) -> Evidence:
    paths = tuple(CommPath("other", a, True) for a in addresses)
    told = state()
    return evidence(state=replace(told, nodes={n: replace(one, comm_paths=paths) for n, one in told.nodes.items()}))


def test_two_communication_paths_by_one_nic() -> None:
    first, second = "10.20.1.11/10.20.1.12", "10.20.2.11/10.20.2.12"
    only(with_paths(first, first), "lknode02", "all communication paths (10.20.1.11/10.20.1.12) go by eth0", "both have everything")
    assert faults(diagnose(with_paths(first, second))) == []
    assert faults(diagnose(with_paths("10.9.9.1/10.9.9.2", "10.9.8.1/10.9.8.2"))) == []  # on no NIC that was told
    dead = with_paths(first, first)
    nodes = {n: replace(s, comm_paths=tuple(replace(p, alive=False) for p in s.comm_paths)) for n, s in dead.state.nodes.items()}
    assert not [c for c in faults(diagnose(replace(dead, state=replace(dead.state, nodes=nodes)))) if "go by" in c.says]
