"""Change points in nights of figures, what they are named with, and flaky told from regressed."""

from __future__ import annotations

import math
import random
from statistics import median

import pytest
from gate_sample import FIGURES
from history_sample import a_night, a_night_without_figures, nights, some_figures

from harness.history.change_points import shifts
from harness.history.nightly_lines import NOTHING_KNOWN, history
from harness.history.run_import import catch_up
from harness.history.stability import Night, State, stability
from harness.history.store import FILE, Store
from harness.history.stored_rows import StoredPoint, StoredRun, StoredSeries
from harness.report.statistics.series_identity import LINE


def read(reports):
    with Store(reports / FILE) as store:
        catch_up(reports, store)
        return history(store.runs(), store.series(), store.points())


def row(*parts: tuple[int, float], noise: float = 0.05, seed: int = 1) -> list[float]:
    dice = random.Random(seed)
    return [level + dice.gauss(0, noise) for count, level in parts for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_a_shift_is_found_where_it_is_within_three_nights_of_it(seed):
    (found,) = shifts(row((60, 1.5), (30, 2.0), seed=seed), 0.01)
    assert abs(found.index - 60) <= 3 and found.by == pytest.approx(0.5, abs=0.1)
    (found,) = shifts(row((60, 1.5), (3, 2.0), seed=seed), 0.01)  # on the third night
    assert found.index == 60


def test_several_shifts_a_path_that_does_not_come_back_and_rows_that_are_too_short():
    found = shifts(row((40, 1.5), (40, 2.5), (40, 1.0)), 0.01)
    assert [abs(s.index - at) <= 3 for s, at in zip(found, (40, 80), strict=True)] == [True, True]
    (gone,) = shifts([*row((40, 1.5)), *[math.inf] * 5], 0.01)
    assert gone.index == 40 and gone.by == math.inf
    assert shifts([1.0, 1.0, 1.0, 9.0, 9.0], 0.01) == [] == shifts([], 0.01)


def test_what_is_no_more_than_a_period_or_one_bad_night_is_no_shift():
    assert shifts(row((60, 1.5), (30, 1.506), noise=0.0005), 0.01) == []
    assert shifts([*row((40, 1.5)), 9.0, *row((40, 1.5), seed=2)], 0.01) == []


def test_steady_rows_are_said_to_shift_no_more_often_than_promised():
    found = sum(bool(shifts(row((60, 1.5), seed=seed), 0.0)) for seed in range(300))
    assert found <= 300 * 0.01 * 2


def recorded_nights(count: int, dice: random.Random, later_s: float = 0.0, since: int = 60) -> list[float]:
    """Medians of four switchovers each that were measured on the lab, which scatter over a second."""
    pool = [one["paths"]["client"] for one in FIGURES["fast"]["disruptions"]["switchover"] if one["before"] == "lknode01"]
    return [median(dice.choices(pool, k=4)) + (later_s if night >= since else 0.0) for night in range(count)]


def test_nights_of_recorded_figures_are_steady_and_a_probe_interval_more_is_found_within_three_nights_of_it():
    dice = random.Random(1)
    assert sum(bool(shifts(recorded_nights(90, dice), 0.01)) for _ in range(60)) <= 1
    rows = [shifts(recorded_nights(90, dice, FIGURES["fast"]["probe_interval_s"]), 0.01) for _ in range(20)]
    assert sum(any(abs(one.index - 60) <= 3 for one in found) for found in rows) >= 18


def test_a_timer_changed_at_night_60_of_90_begins_a_new_series_and_is_named(tmp_path):
    nights(tmp_path, 90, slower_from=60, heartbeat=5.0)
    (cluster,) = read(tmp_path).clusters
    for line in cluster.lines:
        (point,) = line.change_points
        assert point.run == 60 and point.new_series and point.by == pytest.approx(0.5, abs=0.1)
        assert point.because == ("timer manager.heartbeat_s 0.2 → 5",) and point.sentence.startswith("slower by 0.")


@pytest.mark.parametrize("count", [90, 63])
def test_a_shift_without_a_new_series_is_named_with_what_changed_that_night(tmp_path, count):
    nights(tmp_path, count, slower_from=60, kernel="6.18", harness="1.1")
    for line in read(tmp_path).clusters[0].lines:
        (point,) = line.change_points
        assert abs(point.run - 60) <= 3 and not point.new_series
        assert point.because == ("harness 1.0 → 1.1", "kernel of lknode01 6.1 → 6.18", "kernel of lknode02 6.1 → 6.18")


def plain_nights(medians: list[float], harness: dict[int, str]) -> list[str]:
    """The sentences of one line's changes, with their nights. `harness`: night → the version from then on."""
    line, identity = {part: "x" for part in LINE}, {"meter period": "0.01 s"}
    runs, points, version = [], [], ""
    for number, median_s in enumerate(medians):
        version = harness.get(number, version)
        context = {"harness": version}
        runs.append(StoredRun(str(number), "", "", number, "2026-01-01", 1.0, "pass", "", 0, "finished", "x", "x", "lab", {}, context))
        figures = {"n": 1, "values_s": [median_s], "median_s": median_s, "budget_s": 9.0, "outcomes": {"pass": 1}}
        points.append(StoredPoint(str(number), "s", figures))
    ((found,),) = [cluster.lines for cluster in history(runs, [StoredSeries("s", line, identity)], points).clusters]
    return [f"{point.run} {point.sentence}" for point in found.change_points]


@pytest.mark.parametrize("changed", [58, 59, 60, 61, 62, 63, 64])
def test_a_shift_that_is_found_beside_a_change_of_the_harness_is_that_changes(changed):
    """The step at night 61 is so plain that it is found there exactly; the harness changed that many nights before or after."""
    medians = [1.5 + 0.001 * (number % 7) + (0.5 if number >= 61 else 0.0) for number in range(90)]
    assert plain_nights(medians, {0: "1.0", changed: "1.1"}) == [f"{changed} slower by 0.50 s; harness 1.0 → 1.1"]


@pytest.mark.parametrize("changed", [40, 57, 65])
def test_a_change_that_is_further_away_explains_no_shift(changed):
    medians = [1.5 + 0.001 * (number % 7) + (0.5 if number >= 61 else 0.0) for number in range(90)]
    assert plain_nights(medians, {0: "1.0", changed: "1.1"}) == [f"61 slower by 0.50 s; {NOTHING_KNOWN}"]


def test_of_several_changes_beside_a_shift_the_nearest_is_named_and_two_as_near_are_both():
    medians = [1.5 + 0.001 * (number % 7) + (0.5 if number >= 61 else 0.0) for number in range(90)]
    assert plain_nights(medians, {0: "1.0", 59: "1.1", 62: "1.2"}) == ["62 slower by 0.50 s; harness 1.1 → 1.2"]
    both = "harness 1.0 → 1.1; harness 1.1 → 1.2"
    assert plain_nights(medians, {0: "1.0", 59: "1.1", 63: "1.2"}) == [f"59 slower by 0.50 s; {both}"]


def test_one_change_explains_one_of_two_shifts_beside_it():
    medians = [1.5 + 0.001 * (n % 7) + (0.5 if n >= 61 else 0.0) + (0.7 if n >= 65 else 0.0) for n in range(90)]
    first, second = plain_nights(medians, {0: "1.0", 63: "1.1"})
    assert first.startswith("63 slower by ") and first.endswith("; harness 1.0 → 1.1")
    assert second == f"65 slower by 0.70 s; {NOTHING_KNOWN}"


def test_what_changed_in_nights_that_measured_nothing_is_the_next_nights(tmp_path):
    """Five nights long the new harness reached no node; then figures are higher."""
    nights(tmp_path, 40)
    for number in range(40, 45):
        folder = a_night_without_figures(tmp_path, number)
        (folder / "run.json").write_text((folder / "run.json").read_text().replace('"harness_version": "1.0"', '"harness_version": "1.1"'))
    for number in range(45, 60):
        figures = [some_figures([2.5 + number % 3 / 100], path=path, disruption="disruption 1") for path in ("client", "inside", "standby")]
        a_night(tmp_path, number, figures, harness="1.1")
    for line in read(tmp_path).clusters[0].lines:
        (point,) = line.change_points
        assert point.run == 45 and point.because == ("harness 1.0 → 1.1",)


def test_a_shift_that_nothing_explains_says_so(tmp_path):
    nights(tmp_path, 70, slower_from=60)
    assert {point.sentence.split("; ")[1] for line in read(tmp_path).clusters[0].lines for point in line.change_points} == {NOTHING_KNOWN}


def of(words: str, versions: str = "") -> State:
    """`.` passed, `F` failed, `?` could not be judged."""
    told = [{".": True, "F": False, "?": None}[letter] for letter in words]
    return stability([Night(passed, version) for passed, version in zip(told, versions or "a" * len(told), strict=True)]).state


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("", State.UNKNOWN),
        ("??", State.UNKNOWN),
        ("..........", State.STEADY),
        (".....?....", State.STEADY),
        ("FFFFF", State.ALWAYS),
        (".........F", State.NEW),
        ("........FF", State.NEW),
        (".......FFF", State.REGRESSED),
        ("....F.........................FFFF", State.REGRESSED),  # one bad night long before
        ("..F...F..F", State.FLAKY),
        ("..F...F...", State.FLAKY),
        ("F.F.F.F.FFF", State.FLAKY),
        ("....FFFF......", State.RECOVERED),
    ],
)
def test_flaky_is_told_from_regressed(words, state):
    assert of(words) is state


def test_where_every_failure_was_on_another_version_it_says_so():
    nights_of = [Night(letter == ".", version) for letter, version in zip("..F..F..", "aabccdee", strict=True)]
    assert "no version had both outcomes" in stability(nights_of).sentence
    assert "both outcomes on one version" in stability([Night(letter == ".", "a") for letter in "..F..F.."]).sentence


def test_a_version_that_some_nights_could_not_be_asked_begins_no_series_and_hides_no_change():
    """Known, not known, known again, changed: one change, at the last, whoever was asked in between."""
    versions = [{"v": "9.9"}, {}, {}, {"v": "9.9"}, {}, {"v": "10.0"}, {"v": "10.0"}]
    series, points, runs = [], [], []
    line = {part: "x" for part in LINE}
    for number, said in enumerate(versions):
        runs.append(StoredRun(str(number), str(number), "", number, "2026-01-01", 1.0, "pass", "", 0, "finished", "x", "x", "lab", {}, {}))
        series.append(StoredSeries(str(sorted(said.items())), line, {**said, "meter period": "0.01 s"}))
        figures = {"n": 1, "values_s": [1.0], "median_s": 1.0, "budget_s": 9.0, "outcomes": {"fail" if number == 4 else "pass": 1}}
        points.append(StoredPoint(str(number), series[-1].id, figures))
    ((found,),) = [cluster.lines for cluster in history(runs, series, points).clusters]
    (point,) = found.change_points
    assert point.run == 5 and point.new_series and point.because == ("v 9.9 → 10.0",)
    assert len({column.series for column in found.columns[:5]}) == 1 != len({column.series for column in found.columns})
    assert "both outcomes on one version" in found.stability.sentence


def test_nights_in_a_row_are_said_to_be_in_a_row():
    def said(words: str) -> str:
        return stability([Night(one == "p", "1") for one in words]).sentence

    assert "failed in 2 of 6 nights, in a row;" in said("ppffpp")
    assert "failed in 2 of 6 nights, not in a row;" in said("pfpfpp")
    assert said("ppfppp").startswith("failed in 1 of 6 nights;")
