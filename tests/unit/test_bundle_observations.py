"""What a look tried and captured, through an archive and back: the same evidence, so the same causes; a stranger's is one sentence."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, evidence, path, paths, probed
from report_sample import a_builder, a_cluster
from test_bundle_check import a_bundle, told

from harness.check import bundle_check
from harness.check.check_result import PathLine
from harness.core.errors import BadUse
from harness.core.finding import Finding, Weight
from harness.core.verdict import failed
from harness.diagnosis import bundle_observations
from harness.diagnosis.evidence import Direct, Evidence, PathSeen, ProbesSeen
from harness.explain.failure_causes import FailureStates
from harness.report.record.run_record import StateRecord
from harness.report.run_record_builder import ReportBuilder

OUTCOMES = ("answered", "silent", "refused", "reset", "unreachable")
FOUND = (
    Finding(Weight.FAULT, "service web", "certificate", "it ended", "renew it", ("SQL-79",)),
    Finding(Weight.NOTE, "ilb", "x", "y", "z"),
)


def some(rng: random.Random, words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(rng.sample(words, rng.randint(0, len(words))))


def an_evidence(rng: random.Random) -> Evidence:
    nodes, maybe = ("lknode01", "lknode02"), (True, False)
    tried = [
        PathSeen(
            p.path,
            p.origin,
            p.service,
            rng.choice(("pass", "fail", "inconclusive")),
            "why „so“\n",
            some(rng, OUTCOMES),
            some(rng, ("W1", "W4", "W?")),
            some(rng, nodes),
            some(rng, ("10.20.1.11", "10.20.1.200")),
            rng.choice(maybe),
            rng.choice(maybe),
            rng.choice(("", "FATAL: 53300")),
            rng.choice((None, True, False)),
            rng.choice(("", "3000 bytes")),
            rng.choice(maybe),
            rng.choice(("", "lknode01 has a load of 9")),
        )
        for p in paths()
    ]
    seen = {
        n: ProbesSeen(n, rng.random(), {12345: rng.randint(0, 9)}, some(rng, ("eth0",)), rng.randint(0, 9), 1, some(rng, ("eth1",)))
        for n in nodes
    }
    direct = [Direct(rng.choice((*nodes, "lkclient")), n, 80, rng.choice(OUTCOMES), rng.choice(("", "ECONNREFUSED"))) for n in nodes]
    asked = rng.choice(({}, {"lknode01": "200 OK", "lknode02": ""}))
    return evidence(paths=tried, probes=seen, direct=direct, asked_by_probe=asked, moved=rng.choice(maybe))


@pytest.mark.parametrize("seed", range(50))
def test_it_comes_back_as_it_was(seed: int) -> None:
    one = an_evidence(random.Random(seed))
    back = bundle_observations.parse(json.loads(json.dumps(bundle_observations.as_data(one, FOUND))), CLUSTER)
    same = ("active", "moved", "paths", "probes", "direct", "asked_by_probe")
    assert {name: getattr(back, name) for name in same} == {name: getattr(one, name) for name in same}
    assert tuple(back.findings) == FOUND


def observed(of: Any, /, **more: Any) -> dict[str, Any]:
    """Of a balancer with floating IP on, which the file has off: only packets show that."""
    services = {s.name: s for s in of.services}
    untranslated = {"arrived_as": frozenset({str(of.vip)})}
    tried = [path(p.path, services[p.service.name], **untranslated) for p in paths() if p.service.name in services and p.path != "inside"]
    line = PathLine("client", tried[0].service.name, "lkclient", "reaches", "W2", "W2", "", "fail", "not translated")
    data = bundle_observations.as_data(evidence(cluster=of, paths=tried, probes={"lknode01": probed("lknode01")}), FOUND)
    verdict = {"outcome": "fail", "reason": "the client is not served"}
    return {**data, "lines": [line.__dict__], "cluster": verdict, **more}


def with_it(folder: Path, **more: Any) -> Path:
    def change(index: dict[str, Any], _: Any) -> None:
        index["observed"] = observed(a_cluster(), **more)

    return a_bundle(folder, change)


def test_causes_of_paths_and_what_services_say_are_in_a_bundle(tmp_path: Path) -> None:
    without, there = bundle_check.look(a_bundle(tmp_path)), bundle_check.look(with_it(tmp_path))
    floating = "floating IP is on"
    assert not [c for c in told(without) if floating in c] and [c for c in told(there) if floating in c]
    assert FOUND[0] in there.findings and [p.outcome for p in there.paths] == ["fail"] and "not served" in there.cluster_verdict.reason
    assert "not in a bundle" in {f.what for f in without.findings} and "not in a bundle" not in {f.what for f in there.findings}


def test_what_somebody_else_tried_takes_its_place(tmp_path: Path) -> None:
    assert not [c for c in told(bundle_check.look(with_it(tmp_path), lambda cluster: ())) if "floating IP is on" in c]


def a_run(builder: ReportBuilder, bundle: Path) -> FailureStates:
    kept = builder.run.directory / "evidence" / "state.tar.gz"
    kept.parent.mkdir(exist_ok=True)
    bundle.replace(kept)
    builder.begin_test("t::one", "One")
    at = {"expected": "", "observed": "", "origin": "lkclient", "attempts": {"refused": 24}}
    builder.add_check(failed("W5"), path="client", service="listener", wire="W5", node="lknode01", **at)
    builder.end_test(failed("W5"))
    builder.run.record.states.append(StateRecord(path="evidence/state.tar.gz", test="t::one", during=""))
    return FailureStates(builder.run.record, builder.run.directory)


def test_a_failed_test_is_judged_by_how_all_paths_were_then(tmp_path: Path) -> None:
    states = a_run(a_builder(tmp_path / "reports"), with_it(tmp_path))
    assert [c for c, _ in states.causes("t::one") if "floating IP is on" in c.says]


def test_where_that_names_nothing_it_is_judged_by_its_own_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states, real, asked = a_run(a_builder(tmp_path / "reports"), with_it(tmp_path)), bundle_check.look, []

    def look(path: Path, paths: bundle_check.Paths | None = None) -> Any:
        asked.append(paths and [p.name for p in paths(a_cluster())])
        found = real(path, paths)
        return found if paths else replace(found, diagnosis=replace(found.diagnosis, causes=(), under=()))

    monkeypatch.setattr(bundle_check, "look", look)
    assert states.causes("t::one") and asked == [None, ["client/listener"]]


def test_paths_that_were_held_against_another_active_node_are_not_judged(tmp_path: Path) -> None:
    found = bundle_check.look(with_it(tmp_path, active="lknode02"))
    assert not [c for c in told(found) if "floating IP is on" in c] and found.paths == []
    assert [f.weight for f in found.findings if f.what == "roles"] == [Weight.UNKNOWN]


def test_why_there_are_none_is_told(tmp_path: Path) -> None:
    def change(index: dict[str, Any], _: Any) -> None:
        index["observed"] = {"why": "python-tds is not installed"}

    assert "because python-tds is not installed" in bundle_check.look(a_bundle(tmp_path, change)).as_text()


STRANGE = [
    {"paths": [{}]},
    {"paths": 7},
    {"probes": [{"node": "lknode01", "seconds": "x", "syns": [], "answered": 0, "refused": 0, "came_by": [], "answers_by": []}]},
    {"direct": [{"origin": 1, "node": "lknode01", "port": 80, "outcome": "silent", "detail": ""}]},
    {"direct": [{"origin": "lkclient", "node": "lknode01", "port": -1, "outcome": "silent", "detail": ""}]},
    {"asked_by_probe": {"lknode01": 5}},
    {"findings": [{"weight": "heavy"}]},
    {"lines": [{}]},
    {"cluster": {}},
    {"cluster": {"outcome": "maybe", "reason": "x"}},
]


@pytest.mark.parametrize("more", STRANGE, ids=lambda m: f"{m}"[:40])
def test_a_strangers_is_one_sentence(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(BadUse):
        bundle_check.look(with_it(tmp_path, **more))


def test_what_names_nothing_of_the_cluster_is_left_out(tmp_path: Path) -> None:
    data = observed(a_cluster())
    data["direct"] = [{"origin": "lkclient", "node": "nobody", "port": 80, "outcome": "silent", "detail": ""}]
    data["probes"] = [{**data["probes"][0], "node": "nobody"}]
    data["paths"] = [{**data["paths"][0], "service": "nobody"}, {**data["paths"][0], "origin": "nobody"}]
    back = bundle_observations.parse(data | {"active": "nobody"}, a_cluster())
    assert (back.active, back.paths, back.probes, back.direct) == (None, [], {}, [])
