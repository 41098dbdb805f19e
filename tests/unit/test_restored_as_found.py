"""That a cluster is as it was found is proved, or the run says that it is not, and the watchdog goes on."""

from __future__ import annotations

import pytest
from put_back_cluster import (
    PATHS,
    B,
    Manager,
    S,
    audit_passes,  # noqa: F401
    both,
    node,
    subject_of,
)

from harness.attach import initial_state, restore
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.core.verdict import Outcome
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, ResourceState, Says
from harness.managers.parse.pacemaker_parse import fail_counts


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
