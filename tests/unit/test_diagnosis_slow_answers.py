"""The diagnosis of a service that answers, after seconds."""

from __future__ import annotations

from typing import Any

import pytest
from diagnosis_sample import CLUSTER, WEB, evidence, path

from harness.diagnosis import bundle_observations
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence


def seen(*took_s: float | None, **more: Any) -> Evidence:
    """The web service's three paths, with the time of each."""
    times = dict(zip(("client", "inside", "standby"), took_s, strict=True))
    others = [path(o, s, answered_s=0.05) for o in times for s in CLUSTER.services if s is not WEB]
    return evidence(paths=[*others, *(path(o, WEB, answered_s=s, **more) for o, s in times.items())])


def told(it: Evidence) -> list[Cause]:
    return [c for c in diagnose(it).causes if "answers after" in c.says]


@pytest.mark.parametrize(
    ("took_s", "certainty"),
    [((8.1, 8.0, 8.2), Certainty.LIKELY), ((6.0, None, None), Certainty.LIKELY), ((8.0, 2.5, 3.0), Certainty.POSSIBLE)],
)
def test_a_service_that_answers_late(took_s: tuple[float | None, ...], certainty: Certainty) -> None:
    (cause,) = told(seen(*took_s))
    assert cause.host == "lknode01" and cause.certainty is certainty and f"{WEB.name} (port {WEB.port})" in cause.says


def test_where_a_host_is_busy_it_is_possible_only() -> None:
    (cause,) = told(seen(8.0, 8.0, 8.0, overload="lknode01 has a load of 90 on 2 processors"))
    assert cause.certainty is Certainty.POSSIBLE and "load of 90" in cause.otherwise


@pytest.mark.parametrize("took_s", [(0.1, 0.1, 0.1), (8.0, 0.1, 8.0), (None, None, None)])
def test_the_fastest_answer_counts(took_s: tuple[float | None, ...]) -> None:
    assert told(seen(*took_s)) == []
    assert told(seen(8.0, 8.0, 8.0, outcome="fail")) == []


def test_a_bundle_has_the_times() -> None:
    data = bundle_observations.as_data(seen(8.0, 8.0, None), [])
    read = bundle_observations.parse(data, CLUSTER)
    assert [p.answered_s for p in read.paths if p.service.name == WEB.name] == [8.0, 8.0, None]
    for row in data["paths"]:
        del row["answered_s"]
    assert {p.answered_s for p in bundle_observations.parse(data, CLUSTER).paths} == {None}
