"""What flight recorders kept, put together and judged: files as hosts write them, cut off or hostile ones, and several hosts' clocks."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.config import cluster_config
from harness.core.errors import Inconclusive
from harness.core.verdict import Outcome
from harness.lab.lifecycle import default_cluster
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.measure.measurement_result import Measured
from harness.recorder import incident_fetch, incident_files, incident_grouping, incident_recording
from harness.recorder.incident_files import HostIncident
from harness.recorder.incident_sources import Sources
from harness.remote.recording.recording import Clock, NodeEvent, Recording, Series

WALL, MONO = 1_790_000_000.0, 50_000.0  # of the hosts, when a file was begun
CLUSTER = cluster_config.parse(default_cluster.cluster_data(None, {}), Path("the lab's default cluster"))
CLIENT, (ONE, TWO) = CLUSTER.client.name, [node.name for node in CLUSTER.nodes]
SERVICE = CLUSTER.services[0]


def header(host: str, why: str = "failed") -> str:
    told = {"t0": MONO - 40, "mono": MONO, "wall": WALL, "series": [f"{host}/{SERVICE.name}/new"], "why": why}
    return f"a {json.dumps(told)}"


def sample(at: float, outcome: str = "a") -> str:
    """An attempt `at` seconds from the file's beginning."""
    return f"s 0 {round((40 + at) * 1e6)} {250_000 if outcome == 's' else 2000} {outcome} {30000 + round(at * 100) % 30000} "


def event(at: float, kind: str, **data: object) -> str:
    return f"v {json.dumps({'at': round((40 + at) * 1e6), 'kind': kind, 'text': '', 'data': data})}"


def noise(at: float) -> str:
    return f"n {round((40 + at) * 1e6)} 10 0 200 0.0 0.1"


HOLDS = "\n".join([header(ONE, "it began"), event(-50.0, "vip-up", address=str(CLUSTER.vip), initial=True)])
LACKS = "\n".join([header(TWO, "it began"), event(-50.0, "vip-down", address=str(CLUSTER.vip), initial=True)])


def attempts(out: tuple[float, float] | None) -> list[str]:
    """Half a minute at 100 ms, 10 s at 10 ms from 0.05 s after the cut on; silent while the path is out."""
    moments = [-30 + n / 10 for n in range(300)] + [n / 100 for n in range(1000)]
    cut = out or (99.0, 99.0)
    return [*(sample(at, "s" if cut[0] <= at < cut[1] else "a") for at in moments), *(noise(at) for at in range(-29, 11))]


def file(host: str, lines: list[str], name: str = "incident-1790000000000", why: str = "failed") -> HostIncident:
    found = incident_files.incident(host, name, "\n".join([header(host, why), *lines]))
    assert found is not None
    return found


def assembled(*files: HostIncident, clocks: dict[str, Clock] | None = None, journals: dict[str, str] | None = None) -> Recording:
    known = {one.host: Clock(one.host, 10.0, 0.0, 0.001, 100.0 - WALL) for one in files} if clocks is None else clocks
    all_series = [Series(f"{h}/{SERVICE.name}/new", h, SERVICE.name, "new", SERVICE.port, 0.1, 0.25) for h in (CLIENT, ONE, TWO)]
    said = {ONE: HOLDS} if journals is None else journals
    known |= {} if clocks is not None else {host: Clock(host, 10.0, 0.0, 0.001, 100.0 - WALL) for host in said}
    roles = {host: incident_files.role_events(host, journal) for host, journal in said.items()}
    made = incident_recording.assemble(CLUSTER, Sources(tuple(files), known, roles, WALL - 100.0), all_series)
    return Recording(made.header, made.samples, events=made.events, marks=made.marks, clocks=made.clocks, noise=made.noise, complete=True)


def judged(*files: HostIncident, **more) -> Measured:
    return evaluate(assembled(*files, **more))


def test_a_cut_of_three_tenths_of_a_second_is_told_to_ten_milliseconds() -> None:
    result = judged(file(CLIENT, attempts((0.0, 0.3))))
    (series,) = result.series
    (out,) = series.outages
    assert (out.seconds, out.min_s) == (pytest.approx(0.3, abs=0.001), pytest.approx(0.29, abs=0.001))
    assert result.verdict.outcome is Outcome.FAIL and "no attempt may fail here" in result.verdict.reason
    assert result.anchor - result.start == pytest.approx(30.0, abs=0.05)


def test_a_failover_within_its_budget_passes_and_names_who_serves() -> None:
    left = file(ONE, [event(0.2, "vip-down", address=str(CLUSTER.vip))], why="vip-down")
    came = file(TWO, [event(1.0, "vip-up", address=str(CLUSTER.vip))], why="vip-up eth1")
    journal = "\n".join([header(ONE, "it began"), event(-20.0, "vip-up", address=str(CLUSTER.vip), initial=True)])
    result = judged(file(CLIENT, attempts((0.0, 1.5))), left, came, journals={ONE: journal})
    assert (result.before, result.after, result.verdict.outcome) == (ONE, TWO, Outcome.PASS), result.verdict
    assert "longest out: client path" in result.verdict.reason


def test_a_node_that_lost_its_power_had_the_vip_though_it_left_no_file() -> None:
    came = file(ONE, [event(1.0, "vip-up", address=str(CLUSTER.vip))], why="vip-up eth1")
    journals = {ONE: LACKS.replace(TWO, ONE), TWO: HOLDS.replace(ONE, TWO)}
    result = judged(file(CLIENT, attempts((0.0, 1.5))), came, journals=journals)
    assert (result.before, result.after, result.verdict.outcome) == (TWO, ONE, Outcome.PASS), result.verdict


def test_a_node_that_had_given_the_vip_up_before_does_not_have_it() -> None:
    gone = "\n".join([HOLDS, event(-45.0, "vip-down", address=str(CLUSTER.vip))])
    took = "\n".join([header(TWO), event(-60.0, "vip-up", address=str(CLUSTER.vip))])
    assert judged(file(CLIENT, attempts((0.0, 0.3))), journals={ONE: gone, TWO: took}).before == TWO


@pytest.mark.parametrize("journals", [{}, {ONE: LACKS.replace(TWO, ONE), TWO: LACKS}, {ONE: "", TWO: "v {"}])
def test_where_no_node_is_known_to_have_had_the_vip_nobody_is_taken_for_it(journals: dict[str, str]) -> None:
    came = file(TWO, [event(1.0, "vip-up", address=str(CLUSTER.vip))], why="vip-up eth1")
    for files in ([file(CLIENT, attempts((0.0, 1.5)))], [file(CLIENT, attempts((0.0, 1.5))), came]):
        result = judged(*files, journals=journals)
        assert result.verdict.outcome is Outcome.INCONCLUSIVE and "which node had the VIP before is not known" in result.verdict.reason
    assert judged(file(CLIENT, attempts(None), why="mark x"), journals=journals).verdict.outcome is Outcome.PASS


def back() -> list[str]:
    """The return of a path that was out for hours: 35 s of that are held."""
    return [
        *(sample(-35 + n / 10, "s") for n in range(350)),
        *(sample(n / 100) for n in range(1000)),
        *(noise(at) for at in range(-34, 11)),
    ]


def test_a_path_that_was_out_already_is_out_for_at_least_so_long() -> None:
    result = judged(file(CLIENT, back(), why="answered again"))
    (series,) = result.series
    assert result.verdict.outcome is Outcome.FAIL and "out for at least 35.0" in result.verdict.reason
    assert series.recovered_after_s is None and series.unknown == "out already when what was kept begins"
    assert [(out.min_s is not None, out.max_s) for out in series.outages] == [(True, None)]


@pytest.mark.parametrize(("budget_s", "outcome"), [(120.0, Outcome.INCONCLUSIVE), (20.0, Outcome.FAIL)])
def test_the_return_of_a_path_passes_no_budget(budget_s: float, outcome: Outcome) -> None:
    came = file(TWO, [event(-1.0, "vip-up", address=str(CLUSTER.vip))], why="vip-up eth1")
    verdict = evaluate(assembled(file(CLIENT, back(), why="answered again"), came), budget_s=budget_s).verdict
    assert verdict.outcome is outcome and "out for at least 35.0" in verdict.reason, verdict


def test_a_mark_without_an_outage_is_a_pass_that_tells_it() -> None:
    told = {"at": round(45 * 1e6), "kind": "mark", "text": "users complain", "data": {}}
    result = judged(file(CLIENT, [*attempts(None), f"v {json.dumps(told)}"], why="mark users complain"))
    assert result.verdict.outcome is Outcome.PASS and result.observations == ["mark: users complain"]


def test_clocks_that_are_apart_are_a_reason_not_to_trust_the_figures() -> None:
    clocks = {CLIENT: Clock(CLIENT, 10, 0, 0.001, 100.0 - WALL), ONE: Clock(ONE, 10, 0, 0.001, 99.0 - WALL)}
    files = [file(CLIENT, attempts((0.0, 0.3))), file(ONE, attempts(None))]
    assert "its clock is known to 1001 ms only" in judged(*files, clocks=clocks).timing.reason
    assert "its clock is known to 1000 ms only" in judged(*files, clocks={CLIENT: clocks[CLIENT]}).timing.reason


def test_two_files_that_begin_with_the_same_half_minute_double_nothing() -> None:
    once, twice = assembled(file(CLIENT, attempts((0.0, 0.3)))), assembled(*[file(CLIENT, attempts((0.0, 0.3)))] * 2)
    assert once.samples == twice.samples and len(once.events) == len(twice.events)


def test_what_cannot_be_read_is_left_out() -> None:
    lines = [header(CLIENT), sample(0), "s 7 1 2 a 3 ", "s 0 x", "v {", 'v {"at": 1}', "n 1", "\x00", "s 0 40000000"]
    found = incident_files.incident(CLIENT, "incident-1", "\n".join(lines))
    assert found is not None and len(found.samples[f"{CLIENT}/{SERVICE.name}/new"]) == 1 and found.events == []
    for text in ("", "a {", "a []", "a {}", "s 0 1 2 a 3 ", 'a {"t0": "x", "mono": 1, "wall": 2, "series": 3, "why": 4}'):
        assert incident_files.incident(CLIENT, "incident-1", text) is None
    assert incident_files.role_events(CLIENT, 'v {"at": 1}\na {"t0": []}\nv []\n') == []


def test_files_of_one_time_are_one_incident_whichever_hosts_wrote_them() -> None:
    spans = [("a", 0, 50), ("b", 20, 90), ("a", 200, 250), ("b", 151, 199)]
    files = [file(host, [event(b, "x"), event(e, "y")]) for host, b, e in spans]
    files = [HostIncident(f.host, f.name, f.why, WALL + b, f.samples, f.events) for f, (_, b, _) in zip(files, spans, strict=True)]
    found = [[one.host for one in group] for group in incident_grouping.groups(files, {})]
    assert found == [["a", "b"], ["b"], ["a"]]
    assert [[one.host for one in group] for group in incident_grouping.groups(files, {"b": 20.0})] == [["a", "b"], ["b", "a"]]


def spanning(host: str, triggered: float, ended: float) -> HostIncident:
    """A file that begins with the 35 s before."""
    told = [NodeEvent(WALL + at, host, "x", "", {}) for at in (triggered - 35, ended)]
    return HostIncident(host, "incident-1", "failed", WALL + triggered, {}, told)


def test_what_fails_now_and_then_for_hours_is_many_incidents() -> None:
    one = [spanning(CLIENT, n * 610.0, n * 610.0 + 600.0) for n in range(5)]
    assert [len(group) for group in incident_grouping.groups(one, {})] == [1] * 5
    two = [*one, *(spanning(ONE, n * 610.0 + 300.0, n * 610.0 + 900.0) for n in range(5))]
    assert [len(group) for group in incident_grouping.groups(two, {})] == [2] * 5


def test_a_closed_file_waits_for_another_hosts_and_never_for_the_same_hosts_next() -> None:
    group = [spanning(CLIENT, 0.0, 600.0)]
    assert not incident_grouping.waits_for(group, [(CLIENT, WALL + 600.0)], {})
    assert incident_grouping.waits_for(group, [(ONE, WALL + 5.0)], {})
    assert not incident_grouping.waits_for(group, [(ONE, WALL + 620.0)], {})
    assert not incident_grouping.waits_for([*group, spanning(ONE, 1.0, 500.0)], [(ONE, WALL + 550.0), (CLIENT, WALL + 590.0)], {})


def test_one_file_that_cannot_be_read_keeps_no_other_from_home() -> None:
    forgot: list[str] = []
    good = "\n".join([header(CLIENT), sample(0)])

    def fetch(name: str) -> str:
        if name == "broken":
            raise Inconclusive("client: its flight recorder: no such file")
        return {"empty": "", "junk": "a {", "good": good}[name]

    link = SimpleNamespace(name=CLIENT, fetch=fetch, forget=forgot.extend)
    brought, lacking = incident_fetch.FetchResult(), dict[str, str]()
    names = ("broken", "empty", "junk", "good")
    found = [one.name for name in names for one in incident_fetch._read(link, name, brought, lacking)]  # type: ignore[arg-type]
    assert found == ["good"] and forgot == ["empty"]
    assert brought.faults == ["client: its flight recorder: no such file", f"{CLIENT}: junk cannot be read, and stays there"]
    assert list(lacking) == [CLIENT], "what could not be asked for now comes later; what cannot be read never will"
