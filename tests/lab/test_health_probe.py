"""The verdict on a member, without a network: a clock that is counted, a member that changes when it is told to (facts PRB, TIME)."""

from __future__ import annotations

import pytest

from harness.config.load_balancer_config import Probe
from harness.lab.lab_config import Unknowns
from harness.lab.network.health_probe import FLAP_WINDOW, Judge, Result, timeout_of

OK, FAILED = Result(True, "Up_Probe_Success"), Result(False, "Down_Probe_TcpProbeTimeout")
STATUS_200 = Result(True, "Up_Probe_Success", explicit=True)
STATUS_500 = Result(False, "Down_Probe_HttpStatusCodeError", explicit=True)
TIMED_OUT = Result(False, "Down_Probe_HttpNoResponse")


def judge(threshold: int = 1, protocol: str = "tcp", **unknowns) -> Judge:
    return Judge(Probe(protocol=protocol, threshold=threshold), Unknowns(**unknowns))


def settled(judge: Judge, up: bool, explicit: bool = False) -> Judge:
    """A judge that has long been of one opinion."""
    for _ in range(FLAP_WINDOW + 200):
        judge.record(Result(up, "settled", explicit=explicit))
    assert judge.up == up
    return judge


def flips(judge: Judge, results: list[Result]) -> list[int]:
    """After which results (counted from 1) the verdict changed."""
    return [n for n, result in enumerate(results, 1) if judge.record(result)]


@pytest.mark.fact("PRB-07")
@pytest.mark.parametrize("threshold", [1, 2, 3, 100])
def test_the_threshold_counts_consecutive_results_both_ways(threshold):
    """probeThreshold results in a row flip the verdict, down as up; one fewer does not, and a contrary one starts the count anew."""
    made = settled(judge(threshold), True)
    assert flips(made, [FAILED] * (threshold - 1) + [OK]) == []
    assert flips(made, [FAILED] * threshold) == [threshold]
    settled(made, False)
    assert flips(made, [OK] * (threshold - 1) + [FAILED]) == []
    assert flips(made, [OK] * threshold) == [threshold]


@pytest.mark.fact("PRB-07", "PRB-08", "PRB-05")
def test_the_defaults():
    """A probe about which nothing is said has a threshold of 1, so that one result flips, and an interval of 5 s."""
    assert (Probe().threshold, Probe().interval_s) == (1, 5.0)
    assert flips(judge(), [OK, FAILED, OK]) == [1, 2, 3]


@pytest.mark.fact("PRB-07")
@pytest.mark.parametrize("threshold", [0, 101])
def test_the_threshold_is_1_to_100(threshold):
    """A threshold outside 1 to 100 is refused."""
    with pytest.raises(ValueError, match="threshold"):
        Probe(threshold=threshold)


@pytest.mark.fact("PRB-10", "PRB-11")
@pytest.mark.parametrize(
    ("protocol", "interval", "limit"), [("tcp", 5, 5), ("tcp", 40, 40), ("http", 5, 5), ("http", 30, 30), ("http", 40, 30)]
)
def test_the_timeouts(protocol, interval, limit):
    """A TCP probe may take the whole interval, an HTTP probe 30 s at most."""
    assert timeout_of(Probe(protocol=protocol, interval_s=interval)) == limit


@pytest.mark.fact("PRB-14")
def test_an_explicit_status_decides_alone_and_resets_the_count():
    """With a threshold of 3 a status flips at once; timeouts are counted, and any 200 between them starts the count anew."""
    made = settled(judge(3, "http"), True, explicit=True)
    assert flips(made, [STATUS_500, STATUS_200, STATUS_500]) == [1, 2, 3]
    made.record(STATUS_200)
    assert flips(made, [TIMED_OUT, TIMED_OUT, STATUS_200, TIMED_OUT, TIMED_OUT]) == []
    assert flips(made, [TIMED_OUT]) == [1]


@pytest.mark.fact("OQ-14")
def test_a_refused_http_probe_counts_unless_it_is_explicit():
    """What http_probe_refused = at-once changes is only that the refusal is explicit."""
    refused = "Down_Probe_HttpEndpointUnreachable"
    assert flips(settled(judge(3, "http"), True), [Result(False, refused)] * 3) == [3]
    assert flips(settled(judge(3, "http"), True), [Result(False, refused, explicit=True)] * 3) == [1]


@pytest.mark.fact("PRB-17", "OQ-19")
@pytest.mark.parametrize(("switch", "needed"), [("threshold", 3), ("one", 1)])
def test_the_first_success_after_a_boot(switch, needed):
    """After a boot a member needs threshold successes, or one where first_success_after_boot says so; later always threshold."""
    made = judge(3, first_success_after_boot=switch)
    assert flips(made, [OK] * 3) == [needed]
    settled(made, False)
    assert flips(made, [OK] * 3) == [3]
    settled(made, False)
    made.note_boot()
    assert flips(made, [OK] * 3) == [needed]


@pytest.mark.fact("OQ-05")
def test_the_flap_penalty_is_paid_only_soon_after_going_down():
    """With a penalty of 4 a member that comes back soon needs threshold + 4 successes, one that was down for long needs threshold."""
    made = settled(judge(2, flap_penalty_intervals=4), True)
    assert flips(made, [FAILED] * 2 + [OK] * 10) == [2, 2 + 6]
    settled(made, False)
    assert flips(made, [OK] * 3) == [2]
    assert flips(settled(judge(2), True), [FAILED] * 2 + [OK] * 10) == [2, 2 + 2]  # by default there is none


@pytest.mark.fact("API-03", "API-04")
def test_the_names_of_the_verdicts():
    """The reasons are the platform's own, with the two that tell of a verdict in the making."""
    made = judge(2)
    said = [made.reason]
    for result in (FAILED, OK, OK, FAILED, FAILED):
        made.record(result)
        said.append(made.reason)
    assert said == [
        "Down_Probe_TcpProbeTimeout",
        "Down_Probe_TcpProbeTimeout",
        "Down_Probe_ApproachingHealthyThreshold",
        "Up_Probe_Success",
        "Up_Probe_ApproachingUnhealthyThreshold",
        "Down_Probe_TcpProbeTimeout",
    ]


def switch_time(probe: Probe, before: Result, after: Result, phase: float, *, takes: float = 0.0) -> float:
    """Seconds from a change at the member to the verdict. Probes go out at 0, I, 2·I …; the change comes `phase` seconds after one of
    them (above 0, at most I), and from then on every probe finds `after`, which is known `takes` seconds after it went out."""
    made = settled(Judge(probe, Unknowns()), before.ok, before.explicit)
    n = 1
    while not made.record(after):
        n += 1
    return n * probe.interval_s + takes - phase


PHASES = [0.001, 0.25, 0.5, 0.999, 1.0]  # of an interval
CASES = [(5.0, 1), (5.0, 2), (15.0, 1), (0.5, 3)]


def window(probe: Probe, before: Result, after: Result, takes: float = 0.0) -> tuple[float, float]:
    """The quickest and the slowest switch over all phases."""
    times = [switch_time(probe, before, after, phase * probe.interval_s, takes=takes) for phase in PHASES]
    return min(times), max(times)


@pytest.mark.fact("TIME-01", "TIME-03")
@pytest.mark.parametrize(("interval", "threshold"), CASES)
@pytest.mark.parametrize(("before", "after"), [(OK, FAILED), (FAILED, OK)])
def test_refusal_and_recovery_take_between_n_minus_1_and_n_intervals(interval, threshold, before, after):
    """TCP refused, or answered again: (N-1)·I to N·I, and both ends of that window are met."""
    quick, slow = window(Probe(interval_s=interval, threshold=threshold), before, after)
    assert quick == pytest.approx((threshold - 1) * interval)
    assert slow == pytest.approx(threshold * interval, rel=0.002) and slow <= threshold * interval


@pytest.mark.fact("TIME-02")
@pytest.mark.parametrize(("interval", "threshold"), CASES)
def test_silence_takes_one_interval_more(interval, threshold):
    """TCP silent: N·I to (N+1)·I."""
    probe = Probe(interval_s=interval, threshold=threshold)
    quick, slow = window(probe, OK, FAILED, takes=timeout_of(probe))
    assert quick == pytest.approx(threshold * interval)
    assert slow == pytest.approx((threshold + 1) * interval, rel=0.002) and slow <= (threshold + 1) * interval


@pytest.mark.fact("TIME-04")
@pytest.mark.parametrize(("interval", "threshold"), CASES)
@pytest.mark.parametrize(("before", "after"), [(STATUS_200, STATUS_500), (STATUS_500, STATUS_200)])
def test_an_http_status_takes_at_most_one_interval(interval, threshold, before, after):
    """HTTP status to or from 200: 0 to I, whatever the threshold."""
    quick, slow = window(Probe(protocol="http", interval_s=interval, threshold=threshold), before, after)
    assert quick == pytest.approx(0) and slow == pytest.approx(interval, rel=0.002)


@pytest.mark.fact("TIME-05", "PRB-11")
@pytest.mark.parametrize(("interval", "threshold"), [*CASES, (60.0, 2)])
def test_http_silence(interval, threshold):
    """HTTP silent, T = min(I, 30): (N-1)·I + T to N·I + T."""
    probe, limit = Probe(protocol="http", interval_s=interval, threshold=threshold), min(interval, 30)
    quick, slow = window(probe, STATUS_200, TIMED_OUT, takes=timeout_of(probe))
    assert quick == pytest.approx((threshold - 1) * interval + limit)
    assert slow == pytest.approx(threshold * interval + limit, rel=0.002)
