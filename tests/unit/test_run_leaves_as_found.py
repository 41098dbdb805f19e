"""The end of a run that disturbed: who gives the lease back, what goes on, and what is told of a cluster that is not as it was found."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from put_back_cluster import (
    CLUSTER,
    B,
    Manager,
    S,
    audit_passes,  # noqa: F401
    both,
    node,
    subject_of,
)
from report_sample import a_builder

from harness.attach import disruptive_run, initial_state
from harness.attach.disruptive_run import DisruptiveRun
from harness.core.deadline import Deadline
from harness.core.errors import ExitCode, Inconclusive, Unusable
from harness.core.timeline import Timeline
from harness.core.verdict import Outcome, Verdict, failed, passed
from harness.disrupt import undo
from harness.measure import write_durability
from harness.pytest_plugin.measurement_plan import MeasurementOptions, Plan
from harness.pytest_plugin.pytest_session import Session
from harness.report.junit import junit
from harness.report.record.run_exit_code import exit_code_of
from harness.report.record.run_record import AS_FOUND, Result, RunState
from harness.report.record.run_verdict import judge
from harness.report.terminal_summary import summary


class Watchdog:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.tell_settled: Callable[[], None] = lambda: self.told.append("settled")
        self.dismiss: Callable[[], None] = lambda: self.told.append("farewell")
        self.leave_to_it: Callable[[], None] = lambda: self.told.append("left to it")


class Lease:
    stolen = ""

    def __init__(self) -> None:
        self.told: list[str] = []

    def leave_to_another(self) -> None:
        self.told.append("left")

    def give_back(self) -> list[str]:
        self.told.append("given back")
        return []


def an_attached(tmp_path: Path, *, disturbed: bool = True) -> tuple[DisruptiveRun, Watchdog, Lease]:
    subject = subject_of(Manager(both(node("lknode01", ip=S), node("lknode02", ip=B))))
    one = DisruptiveRun(subject, "r", tmp_path)
    watchdog, lease = Watchdog(), Lease()
    one._watchdog, one._lease, one._active = watchdog, lease, "lknode01"  # type: ignore[assignment]
    one._guard = SimpleNamespace(disturbed=disturbed)  # type: ignore[assignment]
    return one, watchdog, lease


@pytest.mark.parametrize(
    ("verdict", "watchdog_told", "lease_told"),
    [
        (passed("as it was"), ["settled", "farewell"], "given back"),
        (failed("lknode02 is active, lknode01 was"), ["left to it"], "left"),
    ],
)
def test_farewell_only_after_a_put_back_that_passed(
    monkeypatch, tmp_path, verdict: Verdict, watchdog_told: list[str], lease_told: str
) -> None:
    monkeypatch.setattr(disruptive_run, "put_back", lambda *about, **more: verdict)
    one, watchdog, lease = an_attached(tmp_path)
    said = one.end(broken=True)
    assert said is not None and said.outcome is verdict.outcome
    one.give_back()
    assert (watchdog.told, lease.told) == (watchdog_told, [lease_told])


def test_a_table_of_ours_in_the_database_is_not_as_it_was_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything is where it was, and nothing is the watchdog's; but the customer's database has a table more, which a person removes."""

    def refuse() -> None:
        raise Unusable("postgres could not be asked")

    monkeypatch.setattr(disruptive_run, "put_back", lambda *about, **more: passed("as it was"))
    monkeypatch.setattr(write_durability, "TABLES_LEFT", {"postgres": refuse})
    one, watchdog, lease = an_attached(tmp_path)
    said = one.end(broken=False)
    assert said is not None and said.outcome is Outcome.FAIL
    assert "lkharness_tokens may still be in the database of postgres (DROP TABLE lkharness_tokens removes it)" in said.reason
    one.give_back()
    assert (watchdog.told, lease.told) == (["settled", "farewell"], ["given back"])


def test_a_deed_is_asked_for_twice_and_the_first_time_forgets_what_the_run_has_counted(tmp_path: Path) -> None:
    """Before it is prepared, and right before it is done; else a few repeats would reach what the manager bears."""
    one, watchdog, lease = an_attached(tmp_path)
    asked: list[tuple[str, dict[str, Any]]] = []
    covered: list[bool] = []
    guard = SimpleNamespace(disturbed=False, demand_permission=lambda name, **more: asked.append((name, more)))
    one._guard = guard  # type: ignore[assignment]
    watchdog.tell_disruption, lease.cover = lambda disruption: 60.0, lambda seconds, *, within: covered.append(within)  # type: ignore[attr-defined]
    one._initial_state = initial_state.record_state(one._subject)
    counts = one._subject.manager.counts
    for disturbed, within, left in ((False, False, 1), (True, True, 1), (True, False, 0)):
        guard.disturbed = disturbed
        counts["lknode01"] = {"ip": 1}
        one.demand_permission(SimpleNamespace(name="switchover"), within=within)  # type: ignore[arg-type]
        assert len(counts["lknode01"]) == left, "what failed before anything was done is the cluster's own"
    one._permit(SimpleNamespace(name="switchover", chosen_as_active="lknode01"))  # type: ignore[arg-type]
    assert covered == [False, True, False]
    words = [{"within": False}, {"within": True}, {"within": False}, {"node": "lknode01"}]
    assert asked == [("switchover", more) for more in words]


def test_without_a_plan_nothing_is_done(tmp_path: Path) -> None:
    one, _, _ = an_attached(tmp_path)
    one._guard = None
    with pytest.raises(Inconclusive, match="no plan of it was shown"):
        one.demand_permission(SimpleNamespace(name="switchover"))  # type: ignore[arg-type]


def test_nothing_is_moved_on_a_cluster_that_another_run_has_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    moved: list[str] = []
    monkeypatch.setattr(disruptive_run, "put_back", lambda subject, active, *about, **more: moved.append(active) or passed("as it was"))
    one, _, lease = an_attached(tmp_path)
    lease.stolen = "run 2 has it"
    verdict = one.end(broken=False)
    assert verdict is not None and not verdict and "nothing was put back: run 2 has it" in verdict.reason and not moved


def test_nothing_done_nothing_kept(tmp_path: Path) -> None:
    one, watchdog, lease = an_attached(tmp_path, disturbed=False)
    assert one.end(broken=True) is None and one.give_back() == []
    assert (watchdog.told, lease.told) == (["settled", "farewell"], ["given back"])


def test_the_lease_is_given_back_while_there_is_a_watchdog(tmp_path: Path) -> None:
    """A harness that is killed while it gives back would else leave the lease on the nodes."""
    one, watchdog, lease = an_attached(tmp_path, disturbed=False)
    watchdog.told = lease.told
    one.give_back()
    assert lease.told == ["settled", "given back", "farewell"]


class Stubborn:
    """Its undoing fails a number of times."""

    name, by_azure = "power loss", False

    def __init__(self, failures: int) -> None:
        self.failures, self.undone = failures, 0

    def not_done_there(self) -> str:
        return ""

    def begin(self, deadline: Deadline) -> None:
        raise Unusable("its beginning was cut short")

    def undo(self, deadline: Deadline) -> None:
        if self.failures:
            self.failures -= 1
            raise Unusable("power.on exited 1")
        self.undone += 1


def test_what_was_not_undone_is_undone_at_the_end(tmp_path: Path) -> None:
    one, watchdog, _ = an_attached(tmp_path)
    disruption: Any = Stubborn(failures=1)
    with pytest.raises(Unusable):
        undo.begin(one._subject, disruption, Deadline(1.0))
    with pytest.raises(Unusable):
        undo.undo(one._subject, disruption, Deadline(1.0))
    verdict = one.end(broken=False)
    assert verdict is not None and verdict and disruption.undone == 1 and not one._subject.standing
    one.give_back()
    assert watchdog.told == ["settled", "farewell"]


def test_what_cannot_be_undone_is_said_and_left_to_the_watchdog(tmp_path: Path) -> None:
    one, watchdog, _ = an_attached(tmp_path)
    one._subject.standing.append(Stubborn(failures=99))  # type: ignore[arg-type]
    verdict = one.end(broken=False)
    assert verdict is not None and "power loss is not undone: power.on exited 1" in verdict.reason
    one.give_back()
    assert watchdog.told == ["left to it"]


def a_session(attached: Any) -> Session:
    session = Session(CLUSTER, [], Path(), lab_data=None, allowed=True, plan=Plan((), MeasurementOptions()))
    session._attached = attached
    return session


def of_run(builder: Any) -> list[str]:
    """The first and the last line of the summary, in one line each."""
    lines = summary(builder.run.record, Path(), width=2000).splitlines()
    return [lines[0], lines[-1]]


def timed_out(broken: bool) -> None:
    pytest.fail("Timeout (>300.0s) from pytest-timeout.")


def full_disk(broken: bool) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(broken: bool) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("end", [timed_out, full_disk, interrupted, lambda broken: failed("putting it back: lknode02 is active")])
def test_whatever_ends_the_put_back_the_run_says_so_first_and_last(tmp_path: Path, end: Callable) -> None:
    builder = a_builder(tmp_path)
    builder.begin_test("t", "everything is well")
    builder.end_test(passed("it is"))
    given: list[str] = []

    def give_back() -> list[str]:
        given.append("given back")
        return ["the watchdog process of this run goes on"]

    attached = SimpleNamespace(end=end, give_back=give_back, not_put_back=lambda why: failed(why))
    session = a_session(attached)
    session._leave_as_found(builder)
    assert given == ["given back"]
    assert builder.finish(RunState.INTERRUPTED if session.interrupted else RunState.FINISHED).exit_code is ExitCode.FAILED
    first, last = of_run(builder)
    assert first.startswith("FAILED: THE CLUSTER IS NOT AS IT WAS FOUND: putting it back")
    assert last.startswith("THE CLUSTER IS NOT AS IT WAS FOUND: putting it back")
    assert "<system-err>THE CLUSTER IS NOT AS IT WAS FOUND" in junit(builder.run.record)
    html = (builder.run.directory / "report.html").read_text()
    assert html.count("THE CLUSTER IS NOT AS IT WAS FOUND") >= 2
    builder.run.close()


def test_a_killed_run_s_record_does_not_claim_a_cluster_as_found(tmp_path: Path) -> None:
    builder = a_builder(tmp_path)
    builder.disturbed("this run ended before it saw that")
    verdict = judge(builder.run.record)
    code = exit_code_of(builder.run.record, verdict)
    assert verdict.reason.startswith("NOBODY HAS SEEN WHETHER THE CLUSTER IS AS IT WAS FOUND: ") and code is ExitCode.INCONCLUSIVE
    assert "NOBODY HAS SEEN" in (builder.run.directory / "run.json").read_text(), "it is on the disk before the deed"
    builder.audit(AS_FOUND, passed("lknode01 is active, as it was"))
    assert [a.verdict.outcome for a in builder.run.record.audits] == [Result.PASS]
    builder.run.close()


def test_notes_do_not_raise_on_a_full_disk() -> None:
    timeline = Timeline(Path("/dev/full"))
    assert timeline.note("harness", "undone", "undone").text == "undone" and len(timeline.events) == 1
    assert timeline.fault == "No space left on device"
    timeline.close()


def test_a_report_that_cannot_be_written_still_has_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = a_builder(tmp_path)

    def full(*about: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("harness.report.record.run_directory.write_atomically", full)
    builder.audit(AS_FOUND, failed("lknode02 is active, lknode01 was"))
    ended = builder.finish()
    assert ended.exit_code is ExitCode.FAILED and ended.files == []
    assert ended.verdict.reason.startswith("THE CLUSTER IS NOT AS IT WAS FOUND: lknode02 is active")
    assert builder.run.record.state_reason == "the report could not be written: No space left on device"
    builder.run.close()
