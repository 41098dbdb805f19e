"""What CI reads off its parts: a part that failed, ran no test, or did not run at all is no pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.disrupt.disruption import all_of
from tests.ci import page, times
from tests.ci.outcome import Outcome
from tests.ci.parts import CHANGE, DEEP, LINT, ON_WINDOWS, Part

TESTS = Part("tests", ("tests", "-q"))


def outcome(*lines: str, part: Part = TESTS, exit_code: int | None = 0) -> Outcome:
    one = Outcome(part, exit_code)
    for line in lines:
        one.hear(line)
    return one


def test_the_summaries_of_a_part_are_added_up() -> None:
    one = outcome(
        "....  [100%]", "2894 passed, 21 skipped in 332.02s (0:05:32)", "==== 12 passed, 2900 deselected in 60.10s (0:01:00) ===="
    )
    assert one.counts == {"passed": 2906, "skipped": 21, "deselected": 2900} and one.trouble == ""


@pytest.mark.parametrize(
    ("lines", "exit_code", "trouble"),
    [
        (["1 failed, 2 passed in 3.00s", "FAILED tests/a.py::b - assert 1"], 1, "failed (exit 1)"),
        (["no tests ran in 0.01s"], 0, "ran no test"),
        (["20 skipped, 2900 deselected in 0.31s"], 0, "ran no test"),
        ([], 0, "ran no test"),
        (["27 passed in 28.00s"], 4, "failed (exit 4)"),
        ([], None, "did not run"),
    ],
)
def test_what_is_no_pass(lines: list[str], exit_code: int | None, trouble: str) -> None:
    assert outcome(*lines, exit_code=exit_code).trouble == trouble


def test_a_part_without_tests_passes_by_its_exit_alone() -> None:
    assert outcome("All checks passed!", part=LINT).trouble == ""
    assert outcome(part=LINT, exit_code=1).trouble == "failed (exit 1)"


def test_failures_and_errors_are_listed() -> None:
    one = outcome("FAILED tests/a.py::b[x - y] - assert 1 == 2", "ERROR tests/c.py::d - OSError", "FAILED", exit_code=1)
    assert one.failures == ["tests/a.py::b[x - y] - assert 1 == 2", "tests/c.py::d - OSError"]


def test_growth_is_seen_against_the_recorded_runs(tmp_path: Path) -> None:
    file = tmp_path / "times.tsv"
    for wall, processor in ((600.0, 400.0), (620.0, 410.0), (900.0, 405.0)):
        one = outcome("10 passed in 1.00s")
        one.wall_s, one.processor_s = wall, processor
        times.append(times.of_run([one], "2026-11-28", "abc"), file)
    recorded = times.read(file)
    assert times.usual("tests", recorded) == (620.0, 405.0) and times.usual("lint", recorded) is None
    one.wall_s, one.processor_s = 1240.0, 405.0
    assert times.growth(times.of_run([one], "d", "c")[-1], recorded) == (
        "20.7 min in all, 2.00 times the median of the last 3 recorded, processor time 1.00 times"
    )
    one.processor_s = 810.0
    assert times.growth(times.of_run([one], "d", "c")[-1], recorded).endswith("processor time 2.00 times: IT GREW")


def test_the_page_names_what_failed(tmp_path: Path) -> None:
    bad = outcome("FAILED tests/a.py::b - assert '<b>'", "1 failed in 1.00s", exit_code=1)
    bad.hear("reports/2026-11-28_19-00-00/report.html")
    page.write(tmp_path / "deep.html", "The deep tests", "today", [outcome("1 passed in 1.00s"), bad])
    text = (tmp_path / "deep.html").read_text()
    assert "Not passed: tests." in text and "assert &#39;&lt;b&gt;&#39;" in text and 'href="2026-11-28_19-00-00/report.html"' in text


def test_the_plans_end_with_the_harness_s_own_tests_and_deep_has_every_disruption() -> None:
    assert CHANGE[-1].words[0] == DEEP[-1].words[0] == "tests" and "--deep" in DEEP[-1].words
    assert "--heavy" in CHANGE[-1].words
    assert all("--disruption" not in part.words for part in DEEP if "windows" not in part.words)
    assert set(ON_WINDOWS) <= all_of().keys()  # the rest is not done to a Windows node
    for plan in (CHANGE, DEEP):
        assert {"nat", "floating", "pacemaker", "container", "wsfc"} <= {word for part in plan for word in part.words}
        assert len({part.name for part in plan}) == len(plan)
