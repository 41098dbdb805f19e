"""That a cluster is as it was found is proved, or the run says that it is not, and the watchdog goes on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from report_sample import a_builder

from harness.attach import disruptive_run, initial_state, restore
from harness.attach.disruptive_run import DisruptiveRun
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import ExitCode, HarnessError, Inconclusive, Unusable
from harness.core.timeline import Timeline
from harness.core.verdict import Outcome, Verdict, failed, passed
from harness.disrupt import undo
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.lifekeeper import LifeKeeper
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, ResourceState, Says
from harness.managers.parse.pacemaker_parse import fail_counts
from harness.managers.switchover_readiness import by_state
from harness.measure import write_durability
from harness.pytest_plugin.measurement_plan import MeasurementOptions, Plan
from harness.pytest_plugin.pytest_session import Session
from harness.report.junit import junit
from harness.report.record.run_exit_code import exit_code_of
from harness.report.record.run_record import AS_FOUND, Result, RunState
from harness.report.record.run_verdict import judge
from harness.report.terminal_summary import summary

CLUSTER = cluster_config.parse(
    default_cluster.cluster_data(overrides={"manager": {"boot_s": 0.4, "takeover_s": 0.2, "check_interval_s": 0.1, "heartbeat_s": 0.05}}),
    Path("a test's"),
)
PATHS = (CommPath("other", "10.20.1.11/10.20.1.12", True), CommPath("other", "10.20.2.11/10.20.2.12", True))
S, B = ResourceState.IN_SERVICE, ResourceState.STANDBY


def node(name: str, **resources: ResourceState) -> NodeState:
    return NodeState(name, True, dict(resources), PATHS)


def both(first: NodeState, second: NodeState) -> ClusterState:
    return ClusterState({first.node: first, second.node: second})


class Manager:
    """A cluster whose `switch_over` gives everything to a node."""

    def __init__(self, state: ClusterState, *, no: tuple[str, ...] = ()) -> None:
        self.now, self.no = state, no
        self.copy, self.copy_asked = [Answer(Says.YES)], list[str]()  # what is said of the copy of the data, the last one from then on
        self.moves: list[str] = []
        self.counts: dict[str, dict[str, int]] = {}
        self.by_hand_line = LifeKeeper(CLUSTER, {}).by_hand_line

    def state(self, *, limit: float = 10.0) -> ClusterState:
        return self.now

    def may_switch_over(self, to: str) -> Answer:
        against = (*by_state(to, self.now).against, *self.no)
        return Answer(Says.NO if against else Says.YES, against)

    def mirror(self, to: str) -> Answer:
        self.copy_asked.append(to)
        return self.copy.pop(0) if len(self.copy) > 1 else self.copy[0]

    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        self.moves.append(to)
        tags = next(iter(self.now.nodes.values())).resources
        self.now = ClusterState({n: node(n, **{t: S if n == to else B for t in tags}) for n in self.now.nodes})

    def fail_counts(self, *, limit: float = 10.0) -> dict[str, dict[str, int]]:
        return {n: dict(tags) for n, tags in self.counts.items()}

    def end_own_move(self, on: str, *, deadline: Deadline) -> None:
        self.no = tuple(reason for reason in self.no if "ours" not in reason)

    def clear_failure(self, tag: str, on: str, *, deadline: Deadline) -> None:
        self.counts.get(on, {}).pop(tag, None)
        old = self.now.nodes[on]
        if old.resources[tag] is not ResourceState.FAILED:
            return
        fresh = NodeState(on, True, {**old.resources, tag: B}, old.comm_paths)
        self.now = ClusterState({**self.now.nodes, on: fresh})


def subject_of(manager: Manager) -> Any:
    def wait_until_healthy(deadline: Deadline) -> ClusterState:
        return deadline.wait_for(manager.state, until=lambda s: s.healthy, what="the cluster being healthy", every=0.01)

    return SimpleNamespace(
        cluster=CLUSTER,
        manager=manager,
        state=lambda **limit: manager.state(**limit),
        timeline=Timeline(),
        hosts={n.name: SimpleNamespace(name=n.name, check=lambda *words, **more: "") for n in CLUSTER.nodes},
        standing=[],
        absent=set(),
        before_undoing=lambda: None,
        lost=str,
        stolen=str,
        takes_unproven=False,
        wait_until_healthy=wait_until_healthy,
    )


@pytest.fixture(autouse=True)
def audit_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "audit", lambda subject, patience_s: passed("as it must be"))


@pytest.mark.parametrize(
    "seen",
    [
        both(node("lknode01", ip=B), node("lknode02", ip=ResourceState.FAILED)),  # a switchover that the standby could not carry out
        both(node("lknode01", ip=B), node("lknode02", ip=B)),
        both(node("lknode01", ip=B, db=S), node("lknode02", ip=S, db=B)),  # half of it was moved
    ],
)
def test_what_only_the_move_makes_whole_is_moved(seen: ClusterState) -> None:
    """Waiting for a whole cluster first would wait for what it is to do."""
    manager = Manager(seen)
    verdict = restore.put_back(subject_of(manager), "lknode01", patience_s=30.0)
    assert verdict and manager.moves == ["lknode01"], verdict


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (both(node("lknode01", ip=B), NodeState("lknode02", False, {}, (), "lknode02 does not answer")), "lknode02 does not answer"),
        (both(node("lknode01", ip=B), node("lknode02", ip=ResourceState.UNKNOWN)), "unknown"),
        (both(node("lknode01", ip=S), node("lknode02", ip=S)), "in service"),
    ],
)
def test_what_might_be_started_twice_is_not_moved(seen: ClusterState, why: str) -> None:
    manager = Manager(seen)
    verdict = restore.put_back(subject_of(manager), "lknode01", patience_s=0.5)
    assert not verdict and why in verdict.reason and not manager.moves
    assert "on lknode01, as root, `" in verdict.reason and "perform_action -t cluster-services -a restore`" in verdict.reason


def test_what_the_manager_has_against_it_besides_its_state_counts() -> None:
    manager = Manager(both(node("lknode01", ip=B), node("lknode02", ip=B)), no=("the flag !nofailover!lknode02 is set",))
    verdict = restore.put_back(subject_of(manager), "lknode01", patience_s=0.5)
    assert not verdict and "!nofailover" in verdict.reason and "nothing to move" not in verdict.reason and not manager.moves


def test_nothing_is_moved_across_a_split() -> None:
    dead = tuple(CommPath(path.peer, path.addresses, False) for path in PATHS)
    manager = Manager(both(NodeState("lknode01", True, {"ip": B}, dead), NodeState("lknode02", True, {"ip": B}, dead)))
    verdict = restore.put_back(subject_of(manager), "lknode01", patience_s=0.5)
    assert not verdict and not manager.moves


def test_a_move_that_went_elsewhere_is_not_as_it_was() -> None:
    """The manager says that it is done, and the service is on the other node again."""
    manager = Manager(both(node("lknode01", ip=B), node("lknode02", ip=S)))
    manager.switch_over = lambda to, *, deadline: manager.moves.append(to)  # type: ignore[method-assign]
    verdict = restore.put_back(subject_of(manager), "lknode01", patience_s=0.5)
    assert manager.moves == ["lknode01"] and not verdict and "lknode02 is active, lknode01 was" in verdict.reason
    assert "on lknode01, as root, `" in verdict.reason


MOVED = both(node("lknode01", ip=B, db=B), node("lknode02", ip=S, db=S))


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "PERMISSION_INTERVAL_S", 0.01)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("says", [Says.NO, Says.CANNOT_TELL])
def test_the_copy_of_the_data_is_asked_for_before_everything_goes_back_onto_it(says: Says) -> None:
    """The node lost its power; it is back, healthy by every other word, and its copy is brought up to date for an hour."""
    manager = Manager(MOVED)
    manager.copy = [Answer(says, ("resynchronising, 3 % done",))]
    verdict = restore.put_back(subject_of(manager), "lknode01", patience_s=0.1)
    assert not verdict and "resynchronising, 3 % done" in verdict.reason and not manager.moves
    assert set(manager.copy_asked) == {"lknode01"} and "on lknode01, as root, `" in verdict.reason


@pytest.mark.usefixtures("soon")
def test_a_copy_that_becomes_complete_in_time_is_waited_for() -> None:
    manager = Manager(MOVED)
    manager.copy = [Answer(Says.NO, ("99 %",)), Answer(Says.CANNOT_TELL, ("busy",)), Answer(Says.YES)]
    assert restore.put_back(subject_of(manager), "lknode01", patience_s=30.0) and manager.moves == ["lknode01"]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("taken", [False, True])
def test_what_the_manager_cannot_tell_is_no_go_unless_the_operator_takes_it_upon_himself(taken: bool) -> None:
    unproven = Answer(Says.CANNOT_TELL, ("nobody answers",))
    for about in ("the copy", "the move"):
        manager = Manager(MOVED)
        if about == "the copy":
            manager.copy = [unproven]
        else:
            manager.may_switch_over = lambda to: unproven  # type: ignore[method-assign]
        subject = subject_of(manager)
        subject.takes_unproven = taken
        verdict = restore.put_back(subject, "lknode01", patience_s=0.1)
        assert bool(verdict) is taken and bool(manager.moves) is taken, (about, verdict)
    manager.copy = [Answer(Says.NO, ("resynchronising",))]
    manager.now = MOVED
    assert not restore.put_back(subject, "lknode01", patience_s=0.1), "a proven no is one whatever the operator says"


@pytest.mark.usefixtures("soon")
def test_what_moved_back_by_itself_meanwhile_is_not_moved() -> None:
    manager = Manager(MOVED)
    manager.copy = [Answer(Says.NO, ("99 %",))]
    whole = both(node("lknode01", ip=S, db=S), node("lknode02", ip=B, db=B))
    manager.mirror = lambda to: setattr(manager, "now", whole) or Answer(Says.NO, ("99 %",))  # type: ignore[method-assign]
    assert restore.put_back(subject_of(manager), "lknode01", patience_s=30.0) and not manager.moves


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "LEASE_PATIENCE_S", 0.1)


@pytest.mark.usefixtures("impatient")
def test_a_cluster_whose_lease_is_lost_is_left_as_it_is() -> None:
    """A laptop that slept: another run has it, is in the middle of a disruption, and has made the marks of failure."""
    failed_there = both(node("lknode01", ip=ResourceState.FAILED), node("lknode02", ip=S))
    for about in ({"lost": lambda: "run 2 seems to have it"}, {"lost": lambda: "run 2 has it", "stolen": lambda: "run 2 has it"}):
        manager = Manager(failed_there)
        subject = subject_of(manager)
        vars(subject).update(about)
        subject.hosts = {}  # it is left before anything on its nodes is waited for
        verdict = restore.put_back(subject, "lknode01", patience_s=30.0)
        assert not verdict and "nothing was changed on the cluster: run 2" in verdict.reason
        assert not manager.moves and manager.now == failed_there, "no mark of failure is cleared either"


@pytest.mark.usefixtures("soon", "impatient")
def test_it_is_asked_again_right_before_the_move() -> None:
    manager = Manager(MOVED)
    subject = subject_of(manager)
    manager.mirror = lambda to: setattr(subject, "lost", lambda: "run 2 has it") or Answer(Says.YES)  # type: ignore[method-assign]
    verdict = restore.put_back(subject, "lknode01", patience_s=30.0)
    assert not verdict and "run 2 has it" in verdict.reason and not manager.moves


def test_a_doubt_is_waited_out() -> None:
    """A node that has just booted was another run's for a moment; the next renewal says that it is ours."""
    manager, doubts = Manager(MOVED), ["run 2 seems to have it", ""]
    subject = subject_of(manager)
    subject.lost = lambda: doubts.pop(0) if doubts else ""
    assert restore.put_back(subject, "lknode01", patience_s=30.0) and manager.moves == ["lknode01"]


def test_nothing_that_was_counted_is_forgotten_on_another_runs_cluster() -> None:
    manager = Manager(both(node("lknode01", ip=S), node("lknode02", ip=B)))
    subject = subject_of(manager)
    before = initial_state.record_state(subject)
    manager.counts = {"lknode01": {"ip": 1}}
    subject.lost = lambda: "run 2 has it"
    initial_state.forget_ours(subject, before)
    assert manager.counts == {"lknode01": {"ip": 1}} and "run 2 has it" in subject.timeline.events[-1].text


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
    one._guard = SimpleNamespace(demand_permission=lambda name, **more: asked.append((name, more)))  # type: ignore[assignment]
    watchdog.tell_disruption, lease.cover = lambda disruption: 60.0, lambda seconds, *, within: covered.append(within)  # type: ignore[attr-defined]
    one._initial_state = initial_state.record_state(one._subject)
    counts = one._subject.manager.counts
    for within, left in ((True, 1), (False, 0)):
        counts["lknode01"] = {"ip": 1}
        one.demand_permission(SimpleNamespace(name="switchover"), within=within)  # type: ignore[arg-type]
        assert len(counts["lknode01"]) == left
    one._permit(SimpleNamespace(name="switchover", chosen_as_active="lknode01"))  # type: ignore[arg-type]
    assert covered == [True, False]
    words = [{"within": True}, {"within": False}, {"node": "lknode01"}]
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


def test_an_error_of_the_manager_is_told_with_what_mends_it() -> None:
    manager = Manager(both(node("lknode01", ip=B), node("lknode02", ip=S)))

    def refuses(to: str, *, deadline: Deadline) -> None:
        raise HarnessError("the standby cannot start ip")

    manager.switch_over = refuses  # type: ignore[method-assign]
    verdict = restore.put_back(subject_of(manager), "lknode01", patience_s=0.5)
    assert "the standby cannot start ip; what brings everything back: on lknode01" in verdict.reason


def test_what_is_in_service_and_not_managed_any_more_is_not_as_it_was() -> None:
    manager = Manager(both(node("lknode01", ip=S), node("lknode02", ip=B)))
    subject = subject_of(manager)
    before = initial_state.record_state(subject)
    assert restore.put_back(subject, "lknode01", before, patience_s=0.5)
    manager.now = both(node("lknode01", ip=ResourceState.UNPROTECTED), node("lknode02", ip=B))
    verdict = restore.put_back(subject, "lknode01", before, patience_s=0.5)
    assert verdict.outcome is Outcome.FAIL and "ip is in service, unprotected on lknode01, it was in service" in verdict.reason


def test_a_resource_that_was_not_there_is_not_as_it_was() -> None:
    manager = Manager(both(node("lknode01", ip=S), node("lknode02", ip=B)))
    subject = subject_of(manager)
    before = initial_state.record_state(subject)
    manager.now = both(node("lknode01", ip=S, db=S), node("lknode02", ip=B))
    verdict = restore.put_back(subject, "lknode01", before, patience_s=0.5)
    assert verdict.outcome is Outcome.FAIL and "db is on lknode01, which was not there before" in verdict.reason


def test_a_deletion_s_own_look_is_waited_for() -> None:
    """The manager calls what it looks at anew out of service for a moment."""
    manager = Manager(both(node("lknode01", ip=S), node("lknode02", ip=B)))
    subject = subject_of(manager)
    before = initial_state.record_state(subject)
    manager.counts = {"lknode01": {"ip": 1}}
    whole, looks = manager.now, iter([manager.now, both(node("lknode01", ip=B), node("lknode02", ip=B))])
    manager.state = lambda *, limit=10.0: next(looks, whole)  # type: ignore[method-assign]
    initial_state.forget_ours(subject, before)
    assert manager.state().healthy and not manager.counts["lknode01"]


def test_failures_that_were_counted_are_deleted_and_others_told() -> None:
    manager = Manager(both(node("lknode01", ip=S, db=S), node("lknode02", ip=B, db=B)))
    subject = subject_of(manager)
    manager.counts = {"lknode01": {"db": 1}}
    before = initial_state.record_state(subject)
    manager.counts = {"lknode01": {"ip": 2, "db": 1}, "lknode02": {"db": 1}}
    assert restore.put_back(subject, "lknode01", before, patience_s=0.5) and manager.counts == {"lknode01": {"db": 1}, "lknode02": {}}
    manager.counts = {"lknode01": {"db": 2}}
    verdict = restore.put_back(subject, "lknode01", before, patience_s=0.5)
    assert not verdict and "the fail count of db on lknode01 is 2, it was 1" in verdict.reason
    assert manager.counts == {"lknode01": {"db": 2}}, "a count of before is not deleted"


HISTORY = """<pacemaker-result><nodes><node name="n1"/></nodes><resources/><node_history><node name="n1">
<resource_history id="db" fail-count="2" migration-threshold="3"/><resource_history id="ip" fail-count="INFINITY"/>
<resource_history id="lb"/>
</node></node_history></pacemaker-result>"""


def test_pacemaker_s_fail_counts() -> None:
    assert fail_counts(HISTORY) == {"n1": {"db": 2, "ip": 1_000_000}}
    assert fail_counts("not connected") is None
