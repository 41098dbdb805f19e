"""Why an outage was as long as it was: by this path's own moments, what the longest phase waited for, and the part of the budget it had."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recordings import a_switchover

from harness.core.verdict import failed, inconclusive, passed
from harness.diagnosis.cause import Certainty
from harness.diagnosis.outages.budget_terms import Term, share, terms
from harness.diagnosis.outages.outage_causes import explain
from harness.diagnosis.outages.path_phases import OutageCutter
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.measure.measurement_result import PHASES, Boundary, ChartRow, Measured, Outage, Segment, SeriesResult

OLD, NEW = "lknode01", "lknode02"
SUM = "heartbeats missed 3 × 5 + database recovery 60 + takeover 30 + first probe 5 + probe-up 2 × 5 + margin 10 s"
SEEN = {"noticed": 10.0, "stopped": 11.0, "vip moved": 12.0, "service up": 20.0, "probe answered": 13.0, "balancer switched": 14.0}


def a_series(service: str = "web", path: str = "client", *, end: float | None = 21.0, start: float = 1.0, verdict=None) -> SeriesResult:
    outage = Outage(f"{path}/{service}", start, end, (end or 30.0) - start, 0.1, {"silent": 9}, {}, "out")
    segments = [Segment(end, end + 10, "answered", NEW, 9)] if end else []
    verdict = passed("within its budget") if verdict is None else verdict
    return SeriesResult(f"{path}/{service}", path, path, service, "new", 0.1, segments, [outage], end, verdict)


def a_measured(*series: SeriesResult, because: str = SUM, up: dict[str, float] | None = None, **moments: float | None) -> Measured:
    """A node loss at 0; `up`: when each service began to listen on the node that took over."""
    at = SEEN | {key.replace("_", " "): value for key, value in moments.items()}
    listens = sorted((up or {"web": 20.0}).items(), key=lambda row: row[1])
    edges = [(-1.0, "none"), *((when, ", ".join(name for name, _ in listens[: n + 1])) for n, (_, when) in enumerate(listens))]
    spans = [(a, b, state) for (a, state), (b, _) in zip(edges, [*edges[1:], (40.0, "")], strict=True)]
    return Measured(
        disruption="power loss", sentence="its power is cut", design="nat", target=OLD, before=OLD, after=NEW,
        anchor=0.0, start=-1.0, end=40.0, wall_minus_mono=0.0, budget_s=130.0, budget_because=because, series=list(series),
        boundaries=[Boundary(n, at.get(n), "seen" if at.get(n) else "not observed: nobody said", NEW) for n in PHASES],
        chart_rows=[ChartRow(f"{NEW} services", spans)], log=[(9.5, NEW, "all communication paths are DEAD")], timing=passed("quiet"),
        tokens=None, verdict=passed("all came back"),
    )  # fmt: skip


def test_the_sum_of_a_budget_is_read_back() -> None:
    found = terms(SUM)
    assert found["heartbeats missed"] == Term("heartbeats missed", 3, 5.0) and found["margin"].seconds == 10.0
    assert share("service up", found) == (("stopped", "vip moved", "service up", "database ready"), 90.0)
    assert share("noticed", found) == (("noticed",), 15.0) and share("first answer", found) is None


@pytest.mark.parametrize("words", ["", "given when it was judged again", "a + " * 9999, "x" * 100_000, "takeover ∞ s", "+ + +"])
def test_what_is_no_sum_has_no_parts(words: str) -> None:
    assert terms(words) == {}


def test_the_pieces_add_up_to_the_outage() -> None:
    for result in (evaluate(a_switchover()), a_measured(a_series())):
        cutter = OutageCutter(result)
        for series in result.series:
            for outage in series.outages:
                assert sum(p.seconds for p in cutter.cut(series, outage).pieces) == pytest.approx(outage.seconds)


def test_the_longest_phase_is_named_with_what_it_waited_for() -> None:
    found = explain(a_measured(a_series()))
    (cause,) = found.causes
    assert "9.00 s" in cause.says and "until the cluster manager on lknode02 had noticed: 3 heartbeats, one every 5 s" in cause.says
    assert cause.certainty is Certainty.CERTAIN and cause.host == NEW and "LCMHBEATTIME" in cause.do
    assert any("DEAD" in line for line in cause.evidence) and found.under == (("client/web",),)


def test_a_path_waits_for_its_own_service_and_not_for_another() -> None:
    """The cluster's last service listens at 20 s; `web` did so at 12.5 s, and was reached when the balancer had switched."""
    result = a_measured(a_series("web", end=14.1, start=9.95), a_series("db", end=20.1, start=9.9), up={"web": 12.5, "db": 20.0})
    assert {one.series.service: one.phases.longest.name for one in explain(result).outages} == {"web": "stopped", "db": "service up"}
    names = [p.name for p in OutageCutter(result).cut(result.series[0], result.series[0].outages[0]).pieces]
    assert names == ["noticed", "stopped", "vip moved", "service up", "probe answered", "balancer switched", "first answer"]


def test_the_inside_path_does_not_wait_for_the_balancer() -> None:
    result = a_measured(a_series(path="inside"))
    names = {p.name for p in OutageCutter(result).cut(result.series[0], result.series[0].outages[0]).pieces}
    assert not names & {"probe answered", "balancer switched"}


def test_a_moment_that_nobody_saw_may_hide_in_the_phase() -> None:
    (cause,) = explain(a_measured(a_series(), noticed=None, stopped=None)).causes
    assert cause.certainty is Certainty.LIKELY and "noticed was not observed" in cause.otherwise
    assert "until lknode02 had taken the VIP" in cause.says


def test_the_phase_over_its_part_of_the_budget_is_told_of_what_failed() -> None:
    series = a_series(end=150.0, verdict=failed("client path to web: out 149 s, 130 s allowed"))
    found = explain(replace(a_measured(series, up={"web": 149.0}), end=200.0))
    assert found.failed == (True,)
    assert "until web listened on lknode02" in found.causes[0].says
    assert "“stopped, vip moved, service up” took 2 min 17 s" in found.causes[0].says and "90.0 s are for it" in found.causes[0].says


def test_a_path_that_never_came_back_is_told_by_what_was_never_seen() -> None:
    series = a_series(end=None, verdict=failed("it did not come back"))
    (cause,) = explain(a_measured(series, up={"other": 5.0}, vip_moved=None, probe_answered=None, balancer_switched=None)).causes
    assert "did not come back" in cause.says and "vip moved was not observed" in cause.says


def test_what_must_be_out_while_it_lasts_waited_for_the_undoing() -> None:
    result = replace(a_measured(a_series()), log=[(18.0, "harness", "the undoing begins")], boundaries=[], chart_rows=[])
    (cause,) = explain(result).causes
    assert "until the disruption itself (power loss) was undone" in cause.says


def test_an_outage_that_is_not_the_boundaries_is_cut_by_the_chart_rows() -> None:
    """Everything moved at 12 s; at 25 s the VIP was gone where it was, and came back at 29 s."""
    again = a_series(start=25.0, end=29.1)
    chart_rows = [ChartRow("VIP", [(-1.0, 25.0, NEW), (25.0, 29.0, "nobody"), (29.0, 40.0, NEW)])]
    (cause,) = explain(replace(a_measured(again), chart_rows=chart_rows)).causes
    assert "4.00 s" in cause.says and "until lknode02 had taken the VIP" in cause.says


def test_those_that_failed_come_first_and_equal_waits_are_one_cause() -> None:
    slow = a_series("db", end=150.0, verdict=failed("too long"))
    found = explain(replace(a_measured(a_series(), a_series(path="standby"), slow, up={"web": 20.0, "db": 149.0}), end=200.0))
    assert found.failed == (True, False) and found.under == (("client/db",), ("client/web", "standby/web"))
    assert len(found.outages) == 3


def test_where_nothing_was_done_no_outage_is_its_doing() -> None:
    assert (
        explain(replace(a_measured(a_series()), verdict=inconclusive("the recording does not say when the disruption began"))).causes == ()
    )


def test_what_was_out_before_is_not_explained_by_it() -> None:
    assert explain(a_measured(a_series(start=-0.9, end=-0.1))).causes == ()


def test_a_timing_that_may_not_be_trusted_leaves_nothing_certain() -> None:
    (cause,) = explain(replace(a_measured(a_series()), timing=inconclusive("many ticks were late"))).causes
    assert cause.certainty is Certainty.LIKELY and "many ticks were late" in cause.otherwise


def test_a_path_that_is_out_many_times_is_one_path() -> None:
    series = a_series()
    again = [replace(series.outages[0], start=22 + n * 0.2, end=22.05 + n * 0.2, seconds=0.05) for n in range(40)]
    found = explain(a_measured(replace(series, outages=[*series.outages, *again])))
    many = found.causes[1]
    assert "client/web was out 40 times" in many.says and found.under[1] == ("client/web",) and len(many.evidence) < 30
