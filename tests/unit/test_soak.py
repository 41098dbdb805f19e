"""A soak: how long, what it does to the cluster, how it yields, and the budget of the whole; and what stays of a run's lab."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from measure_sample import a_measured
from recordings import CLIENT, A, B, Script, a_header, a_series, marks, play

from harness.core.errors import BadUse, Inconclusive
from harness.core.verdict import Outcome, failed, passed
from harness.disrupt.disruption import Effect
from harness.disrupt.none import Nothing
from harness.measure.evaluation import recording_evaluation
from harness.measure.measured_disruption import NotSteady, Start
from harness.measure.measurement_result import Measured, Outage
from harness.pytest_plugin import session_lab, soak
from harness.pytest_plugin.soak import Soak
from harness.remote.recording.recording import Series
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.statistics.path_availability import availability_of, judge_availability

ROUND = replace(a_measured("none"), series=[replace(series, outages=[]) for series in a_measured("none").series])
GOOD, BAD = replace(ROUND, verdict=passed("fine")), replace(ROUND, verdict=failed("out"))


@dataclass
class Session:
    """Gives what it was told to give, one after the other, the last one again and again; counts."""

    results: list[Measured | Exception]
    starts: list[Start] = field(default_factory=list)
    backed_off: int = 0
    unwatched_s: float = 0.0

    def measure(self, make, start: Start, *, test: str) -> Measured:
        self.starts.append(start)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result

    def back_off(self) -> bool:
        self.backed_off += 1
        return True


@pytest.fixture(autouse=True)
def no_rest(monkeypatch) -> None:
    monkeypatch.setattr(soak, "PAUSES_S", (0.0, 0.0, 0.0))


def kept(session: Session, lasts_s: float, least: float | None = None) -> Measured:
    return soak.keep_measuring(session, lambda: None, Start(lasts_s=lasts_s), Soak(lasts_s, least), test="t")  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(("words", "seconds"), [("90s", 90), ("30m", 1800), ("8h", 28800), ("1.5h", 5400), ("2d", 172800)])
def test_a_span_is_read(words, seconds) -> None:
    assert Soak.of_options(words, 99.9) == Soak(seconds, 99.9)


@pytest.mark.parametrize(
    ("words", "least"), [("8", None), ("0h", None), ("-1h", None), ("8 h", None), ("8h", 0.0), ("8h", 101.0), (None, 99.0)]
)
def test_what_is_none_is_bad_use(words, least) -> None:
    with pytest.raises(BadUse):
        Soak.of_options(words, least)


def test_the_load_is_said_before_it_begins() -> None:
    rows = [Series("c/a/new", "c", "a", "new", 1, 0.01, 0.25), Series("n/a/new", "n", "a", "new", 1, 0.1, 0.25)]
    said = soak.load_in_words([*rows, Series("c/a/pinned", "c", "a", "pinned", 1, 0.1, 1.0)], 8 * 3600)
    assert "a soak of 8 h: 110 new connections a second from 2 hosts" in said and "3,168,000 in all, and 1 kept ones with 10 heart" in said


def test_it_measures_until_its_time_is_over_and_its_word_is_the_worst() -> None:
    session = Session([GOOD, BAD, GOOD])
    assert kept(session, 0.2) is BAD
    assert [one.repeat for one in session.starts[:3]] == [0, 1, 2]
    assert kept(only := Session([GOOD]), 0.0) is GOOD and len(only.starts) == 1


def test_it_yields_when_attempts_fail_before_anything_was_done_and_goes_on() -> None:
    session = Session([NotSteady("out"), NotSteady("out"), GOOD])
    result = kept(session, 0.05)
    assert session.backed_off == 2 and len(session.starts) > 2
    assert result.verdict.outcome is Outcome.INCONCLUSIVE and "2 rounds could not begin: out" in result.verdict.reason, result.verdict
    assert kept(Session([NotSteady("out"), BAD, GOOD]), 0.05) is BAD


def test_it_yields_when_a_path_is_out_in_one_round_after_the_other_in_which_nothing_is_done() -> None:
    out, quiet = a_round(silent=(20.0, 23.0)), a_round()
    done = replace(out, disruption="switchover")
    for rounds, backed_off in (([out, quiet] * 4, 0), ([done] * 8, 0), ([quiet, out, out, quiet], 1), ([out] * 4 + [quiet], 2)):
        session = Session([*rounds, StopIteration()])
        with pytest.raises(StopIteration):
            kept(session, 60.0, 90.0)
        assert session.backed_off == backed_off, [bool(one.series[0].outages) for one in rounds]


def test_where_the_whole_has_a_budget_what_was_out_before_a_round_is_a_figure() -> None:
    session = Session([NotSteady("out"), GOOD])
    assert kept(session, 0.05, 99.9) is GOOD and session.backed_off == 1
    header = a_header(disruption="none", moves=False, expects=dict.fromkeys(("client", "inside", "standby"), "any"), figures_only=True)
    unsteady = recording_evaluation.evaluate(play(header, Script(balancer=[(0, None)], holder=[(0, None)]), end=15.0))
    client = next(row for row in availability_of([MeasurementRecord.of(unsteady, id="02-none", test="t")]) if row.path == "client")
    assert client.out_s == pytest.approx(15.0, abs=0.5), "the recording of a round that could not begin holds what was out"


def test_rests_and_waits_between_rounds_may_have_been_out() -> None:
    (row,) = availability_of([measured(0.0)], unwatched_s=30.0)
    assert (row.unmeasured_s, row.max_out_s) == (30.0, 30.0)
    assert judge_availability([row], 99.9).outcome is Outcome.INCONCLUSIVE and judge_availability([row], 95.0).outcome is Outcome.PASS


def test_what_is_kept_of_a_round_is_all_that_may_be_asked_for() -> None:
    out, holed = a_round(silent=(20.0, 23.0)), replace(a_round(missing=(5.0, 5.5)), verdict=passed("fine"))
    assert out.verdict.outcome is Outcome.PASS and holed.series[0].unmeasured_s
    budget, none = Soak(3600, 99.9), Soak(3600)
    assert soak.is_spent(a_round(), budget) and soak.is_spent(a_round(), none)
    assert not any(soak.is_spent(one, whole) for one in (out, holed) for whole in (budget, none))
    done = replace(out, disruption="switchover")
    assert soak.is_spent(done, none) and not soak.is_spent(done, budget), (
        "an outage of a disruption is held to its own budget, or the whole's"
    )
    assert not soak.is_spent(replace(done, verdict=failed("late")), none)


def test_a_cluster_that_never_comes_to_rest_ends_it_with_the_reason() -> None:
    session = Session([NotSteady("the paths were not right")])
    with pytest.raises(Inconclusive, match="given up after 4 such beginnings in a row: the paths were not right"):
        kept(session, 60.0)


def test_where_the_whole_has_a_budget_a_round_demands_nothing() -> None:
    for demanding, effect in ((True, Effect.UNTOUCHED), (False, Effect.ANY)):
        nothing = Nothing.__new__(Nothing)
        nothing.soak(60.0, demanding=demanding)
        assert nothing.lasts_s == 60.0 and {e for paths in nothing.expects.values() for e in paths.values()} == {effect}


def measured(out: float, error: float = 0.01) -> MeasurementRecord:
    """1000 s of one client series that was out for so long."""
    series = next(one for one in GOOD.series if one.path == "client" and one.kind == "new")
    outages = [Outage(series.id, 10.0, 10.0 + out, out, 0.01, {}, {}, "", True, max(0.0, out - error), out + error)] if out else []
    whole = replace(GOOD, start=0.0, end=1000.0, series=[replace(series, outages=outages, unmeasured_s=0.0, attempts=9)])
    return MeasurementRecord.of(whole, id="01-none", test="t")


@pytest.mark.parametrize(
    ("outs", "demanded", "outcome"),
    [
        ((0.0,), 100.0, Outcome.PASS),
        ((1.0, 0.0), 99.9, Outcome.PASS),
        ((3.0, 0.0), 99.9, Outcome.FAIL),
        ((1.0,), 99.9, Outcome.INCONCLUSIVE),
        ((500.0,), None, Outcome.PASS),
        ((), 99.9, Outcome.INCONCLUSIVE),
    ],
)
def test_the_whole_has_a_budget_and_its_interval_decides(outs, demanded, outcome) -> None:
    rows = availability_of(measured(out) for out in outs)
    verdict = judge_availability(rows, demanded)
    assert verdict.outcome is outcome, verdict
    if outs == (3.0, 0.0):
        assert (
            rows[0].percent == pytest.approx(99.85)
            and "in service for 99.8500 % of" in verdict.reason
            and "99.9 % demanded" in verdict.reason
        )


@pytest.mark.parametrize(
    ("keep", "passes", "stays"), [("never", False, False), ("failed", True, False), ("failed", False, True), ("always", True, True)]
)
def test_a_lab_stays_as_was_asked(keep, passes, stays) -> None:
    downs: list[int] = []
    lab = session_lab.SessionLab({}, azure=False, keep=keep)
    assert lab.down(passed=passes) == "" and lab.events() is None, "it never came up"
    lab._down, lab.name = lambda: downs.append(1), "run-1"
    assert bool(lab.down(passed=passes)) is stays and bool(downs) is not stays


def test_keep_is_for_a_lab() -> None:
    assert session_lab.parse_keep("always", attached=False) == "always" and session_lab.parse_keep("never", attached=True) == "never"
    for words, attached in (("sometimes", False), ("failed", True)):
        with pytest.raises(BadUse, match="--keep"):
            session_lab.parse_keep(words, attached=attached)


def a_round(*, figures_only: bool = True, missing: tuple[float, float] = (0.0, 0.0), silent: tuple[float, float] = (0.0, 0.0)) -> Measured:
    """A minute in which nothing is done; what of the client's samples is `missing`, and what is `silent`."""
    header = a_header(disruption="none", moves=False, expects=dict.fromkeys(("client", "inside", "standby"), "any"), lasts=False)
    series = tuple(a_series(host, period=0.05) for host in (CLIENT, A, B))
    recording = play(replace(header, figures_only=figures_only, series=series), Script(balancer=[(0, A)], holder=[(0, A)]), end=60.0)
    rows = recording.samples[f"{CLIENT}/listener/new"]
    rows[:] = [
        one._replace(outcome="silent", seconds=0.25) if silent[0] < one.at < silent[1] else one
        for one in rows
        if not missing[0] < one.at < missing[1]
    ]
    return recording_evaluation.evaluate(marks(recording, begin=1.0), calibration=passed("checked"))


def test_what_a_round_did_not_measure_may_have_been_out() -> None:
    whole, holed = a_round(), a_round(missing=(5.0, 55.0))
    assert whole.verdict.outcome is Outcome.PASS, whole.verdict
    assert holed.verdict.outcome is Outcome.INCONCLUSIVE and "nothing was measured from" in holed.verdict.reason
    rows = availability_of(MeasurementRecord.of(one, id=f"{n}", test="t") for n, one in enumerate((whole, holed)))
    client = next(row for row in rows if row.path == "client")
    assert client.unmeasured_s == pytest.approx(50.0, abs=0.2) and client.max_out_s == pytest.approx(client.unmeasured_s)
    verdict = judge_availability(rows, 99.95)
    assert verdict.outcome is Outcome.INCONCLUSIVE and "s were not measured" in verdict.reason
    assert judge_availability(rows, 50.0).outcome is Outcome.PASS


def test_what_was_not_measured_before_a_round_began_may_have_been_out_too() -> None:
    recording = play(a_header(disruption="none", moves=False, lasts=False), Script(balancer=[(0, A)], holder=[(0, A)]), end=60.0)
    rows = recording.samples[f"{CLIENT}/listener/new"]
    rows[:] = [one for one in rows if not 2.0 < one.at < 12.0]
    holed = recording_evaluation.evaluate(marks(recording, begin=20.0), calibration=passed("checked"))
    assert not soak.is_spent(replace(holed, verdict=passed("fine")), Soak(3600))
    rows_by_path = {(row.path, row.service): row for row in availability_of([MeasurementRecord.of(holed, id="1", test="t")])}
    assert rows_by_path["client", "listener"].unmeasured_s == pytest.approx(10.0, abs=0.2)


def test_an_outage_in_a_round_of_a_whole_with_a_budget_is_a_figure() -> None:
    assert a_round(silent=(20.0, 23.0)).verdict.outcome is Outcome.PASS


def test_a_client_that_nobody_measured_from_is_no_service() -> None:
    (one,), other = (measured(0.0),), measured(0.0)
    series = [replace(s, service="web", attempts=0, unmeasured_s=0.0) for s in other.measured.series]
    rows = availability_of([one, MeasurementRecord.of(replace(other.measured, series=series), id="02-none", test="t")])
    assert judge_availability(rows, 99.9).outcome is Outcome.INCONCLUSIVE


def test_what_noise_set_aside_is_no_failure_and_no_proof() -> None:
    verdict = judge_availability(availability_of([measured(0.0)], [measured(30.0)]), 99.9)
    assert verdict.outcome is Outcome.INCONCLUSIVE, verdict
