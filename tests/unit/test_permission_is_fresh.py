"""Permission is as fresh as the deed: the lease covers what is armed, the node asks for it itself, and the role is looked at again."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from permissive_manager import PermittingManager

from harness.attach.lease import Lease, LeaseHeld
from harness.attach.preflight import Preflight
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive, Unusable
from harness.disrupt import disruption as disruptions
from harness.disrupt import undo
from harness.disrupt.azure.azure_base import ByAzure
from harness.disrupt.disruption import Effect, both
from harness.disrupt.lease_and_role_check import REFUSED_EXIT, with_permission_checks
from harness.disrupt.node.switchover import Switchover
from harness.hosts.host import CommandFailed, CommandResult
from harness.hosts.local_host import LocalHost
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import ClusterState, CommPath, NodeState, ResourceState

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))
PATHS = (CommPath("other", "a/b", True), CommPath("other", "c/d", True))


def lease(folder: Path, run: str = "run-1", **about: Any) -> Lease:
    return Lease({"lknode01": LocalHost("lknode01")}, run, folder=str(folder / "lease"), renew_s=60.0, **about)


def term(folder: Path) -> float:
    """How long the lease has to run, on the host's own count."""
    until = float((folder / "lease" / "lease").read_text().splitlines()[3])
    return until - float(Path("/proc/uptime").read_text().split()[0])


def test_the_term_covers_the_longest_thing_armed_and_no_more(tmp_path: Path) -> None:
    """Else a second run begins while the first one's undoing is still to come."""
    one = lease(tmp_path)
    one.take()
    assert term(tmp_path) <= 31
    one.cover(325.0)
    assert term(tmp_path) > 325
    with pytest.raises(LeaseHeld):
        lease(tmp_path, "run-2").take()
    one.cover(0.0)
    assert term(tmp_path) <= 31
    one.cover(100000.0)
    with pytest.raises(LeaseHeld, match="run-1"):
        lease(tmp_path, "run-2").take()
    one.give_back()


def test_within_another_disruption_the_term_becomes_no_shorter(tmp_path: Path) -> None:
    """A switchover within a cut: harness and watchdog die, and the next run would have the cluster while the cut is armed."""
    one = lease(tmp_path)
    one.take()
    one.cover(325.0)
    one.cover(0.0, within=True)
    assert term(tmp_path) > 325
    one.cover(400.0, within=True)
    assert term(tmp_path) > 400
    one.cover(0.0)
    assert term(tmp_path) <= 31, "nothing stands any more"
    one.give_back()


def test_one_that_could_not_be_asked_at_first_is_renewed_all_the_same(tmp_path: Path) -> None:
    """Both nodes were away when their watchdog began; they come back, and nothing may be changed on them without the lease."""
    one = lease(tmp_path)
    one.take()
    one.leave_to_another()
    late = Lease({"lknode01": LocalHost("lknode01")}, "r", token=one.token, folder=str(tmp_path / "lease"), renew_s=0.01)
    assert "could not be renewed" in late.loss_reason
    late.keep_renewing()
    Deadline(60.0).wait_for(lambda: not late.loss_reason, what="the lease being renewed", every=0.01)
    late.give_back()


def test_the_watchdog_s_covers_it_too(tmp_path: Path) -> None:
    one = lease(tmp_path)
    one.take()
    resumed = lease(tmp_path, token=one.token, lasts_s=200.0)
    assert resumed.resume() and term(tmp_path) > 200
    resumed.give_back()
    one.leave_to_another()


def stolen(folder: Path) -> None:
    record = folder / "lease" / "lease"
    lines = record.read_text().splitlines()
    record.write_text("\n".join(["another", "somebody@elsewhere, run run-9", *lines[2:]]) + "\n")


def test_a_first_doubt_stops_what_would_be_done(tmp_path: Path) -> None:
    """A laptop that woke would go on for two renewals beside another run."""
    one = lease(tmp_path)
    one.take()
    stolen(tmp_path)
    one._renew_everywhere()
    assert "somebody@elsewhere" in one.loss_reason and not one.stolen
    one.give_back()


def test_what_cannot_be_covered_is_not_done(tmp_path: Path) -> None:
    one = lease(tmp_path)
    one.take()
    stolen(tmp_path)
    with pytest.raises(Unusable, match="somebody@elsewhere"):
        one.cover(60.0)
    one.give_back()


def test_it_counts_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = lease(tmp_path)
    one.take()
    slept = time.clock_gettime(time.CLOCK_BOOTTIME) + 60.0
    monkeypatch.setattr(time, "clock_gettime", lambda clock: slept if clock == time.CLOCK_BOOTTIME else time.monotonic())
    assert "could not be renewed for 30 s" in one.loss_reason
    one.give_back()


def run(act: str) -> Any:
    return LocalHost("lknode01").run(["sh", "-c", act])


def a_subject(**about: Any) -> Any:
    manager = SimpleNamespace(in_service_test=lambda tag: about.get("role", "true"))
    return SimpleNamespace(
        cluster=CLUSTER,
        manager=manager,
        state=lambda **limit: manager.state(**limit),
        lease_line=about.get("lease_line", ""),
        standing=about.get("standing", []),
    )


def a_disruption(target: str = "lknode01") -> Any:
    return SimpleNamespace(name="NIC down", target=lambda: target, chosen_as_active="lknode01")


def test_a_node_does_nothing_without_the_lease(tmp_path: Path) -> None:
    one = lease(tmp_path)
    one.take()
    act = with_permission_checks(a_subject(lease_line=one.line), a_disruption(), f"touch {tmp_path}/done")
    assert run(act).ok and (tmp_path / "done").exists()
    (tmp_path / "done").unlink()
    stolen(tmp_path)
    refused = run(act)
    assert refused.exit == REFUSED_EXIT and "not this run's any more" in refused.err and not (tmp_path / "done").exists()
    one.give_back()
    assert run(with_permission_checks(a_subject(lease_line=one.line), a_disruption(), "true")).exit == REFUSED_EXIT, "no lease at all"


def test_a_node_whose_role_moved_does_nothing(tmp_path: Path) -> None:
    act = f"touch {tmp_path}/done"
    refused = run(with_permission_checks(a_subject(role="false"), a_disruption(), act))
    assert refused.exit == REFUSED_EXIT and "was active and is not any more" in refused.err and not (tmp_path / "done").exists()
    assert run(with_permission_checks(a_subject(role="false"), a_disruption("lknode02"), act)).ok, "it was not chosen for being active"
    within = a_subject(role="false", standing=[a_disruption()])
    assert run(with_permission_checks(within, a_disruption(), act)).ok, "within another disruption no node is active"


def test_the_moment_is_that_of_the_act_and_its_exit_code_counts(tmp_path: Path) -> None:
    begins = f"date +%s.%N >{tmp_path}/at"
    asked = f"date +%s.%N >{tmp_path}/asked"
    word, before, after = run(with_permission_checks(a_subject(role=asked), a_disruption(), begins)).out.split()
    told = [float((tmp_path / name).read_text()) for name in ("asked", "at")]
    assert word == "moment" and told[0] <= float(before) <= told[1] <= float(after)
    assert run(with_permission_checks(a_subject(), a_disruption(), "exit 5")).exit == 5


def test_nothing_is_begun_when_the_lease_is_lost() -> None:
    begun: list[str] = []
    disruption = SimpleNamespace(name="switchover", begin=lambda deadline: begun.append("done"), by_azure=False)
    subject = SimpleNamespace(lost=lambda: "somebody else has it", standing=[])
    with pytest.raises(Inconclusive, match="switchover was not done, and nothing was: somebody else has it"):
        undo.begin(subject, disruption, Deadline(1.0))  # type: ignore[arg-type]
    assert not begun and not subject.standing
    subject.before_undoing = lambda: None
    disruption.undo = lambda deadline: begun.append("undone")
    undo.undo(subject, disruption, Deadline(1.0))  # type: ignore[arg-type]
    assert not begun, "what was refused has nothing to undo on a cluster that another run has"


@pytest.mark.parametrize(("exit_code", "cleared"), [(REFUSED_EXIT, False), (1, True)])
def test_what_a_host_refused_leaves_the_marks_of_failure_alone(monkeypatch: pytest.MonkeyPatch, exit_code: int, cleared: bool) -> None:
    """They are another run's, who has made them since; what was begun and broke has made its own."""
    asked: list[str] = []
    monkeypatch.setattr(disruptions, "clear_failures", lambda subject, deadline: asked.append("cleared"))

    class Refused(Switchover):
        def begin(self, deadline: Deadline) -> None:
            raise CommandFailed(CommandResult("lknode01", "sh", exit_code, "", "not this run's any more", 0.0, 0.0))

    subject: Any = SimpleNamespace(cluster=CLUSTER, active="lknode01", lost=str, standing=[], before_undoing=lambda: None)
    one = Refused(subject)
    with pytest.raises(CommandFailed):
        undo.begin(subject, one, Deadline(1.0))
    undo.undo(subject, one, Deadline(1.0))
    assert bool(asked) is cleared and subject.standing == []


def a_guard(active: str = "lknode01", left: list[str] | None = None) -> Preflight:
    in_service, standby = ResourceState.IN_SERVICE, ResourceState.STANDBY
    nodes = {n.name: NodeState(n.name, True, {"ip": in_service if n.name == active else standby}, PATHS) for n in CLUSTER.nodes}
    manager = PermittingManager(ClusterState(nodes))
    subject = SimpleNamespace(manager=manager, state=lambda **limit: manager.state(**limit), standby_of=lambda a: CLUSTER.peer_of(a).name)
    return Preflight(subject, frozenset({"switchover"}), str, list, lambda: left or [])  # type: ignore[arg-type]


def test_a_role_that_moved_between_look_and_deed_stops_it() -> None:
    a_guard().demand_permission("switchover", node="lknode01")
    with pytest.raises(Inconclusive, match="lknode01 was active when it was chosen, and lknode02 is by now"):
        a_guard("lknode02").demand_permission("switchover", node="lknode01")


def test_what_an_earlier_run_left_stops_it_with_its_name() -> None:
    with pytest.raises(Inconclusive, match="folder /run/lkharness/aa/NIC-down"):
        a_guard(left=["left behind: lknode01: folder /run/lkharness/aa/NIC-down"]).demand_permission("switchover")


class OverTheWire(ByAzure):
    """Sends what it does by a runner that counts it."""

    name, sentence, moves, expects = "azure thing", "", False, both(Effect.ANY, Effect.ANY, Effect.ANY)

    def allowance(self) -> Any:
        return None

    def took_effect(self, deadline: Deadline) -> None:
        return None

    def _undoing(self) -> Any:
        return "a resource", "an undo"

    def _tag(self, *what: Any) -> None:
        self._tagged = what

    def _do(self, deadline: Deadline) -> None:
        self._subject.absent.add(self.target())
        for _ in range(2):  # Azure throttles once
            self._runner.before_send()
            self.sent += 1

    @property
    def _azure(self) -> Any:
        return SimpleNamespace(operation_limit_s=5.0)


@pytest.mark.parametrize(("asked", "sent"), [("lease", 0), ("role", 0), ("role after the first", 1), ("", 2)])
def test_azure_is_told_nothing_for_which_the_permission_is_gone(asked: str, sent: int) -> None:
    """Reading, tagging and throttling take minutes: lease and role are asked before each time that something is sent."""
    asks: list[str] = []

    def permit(disruption: Any) -> None:
        asks.append(disruption.name)
        if asked == "role" or (asked == "role after the first" and len(asks) == 2):
            raise Inconclusive("lknode01 was active when it was chosen, and lknode02 is by now")

    lost = (lambda: "another run seems to have this cluster") if asked == "lease" else str
    subject: Any = SimpleNamespace(active="lknode01", absent=set(), lost=lost, permit=permit, standing=[])
    one: Any = OverTheWire(subject)
    one.sent, one._cached_runner = 0, SimpleNamespace(before_send=lambda: None)
    subject.standing.append(one)
    if asked:
        with pytest.raises(Inconclusive, match=r"azure thing was not done: .*(by now|another run)"):
            one.begin(Deadline(5))
    else:
        one.begin(Deadline(5))
    assert one.sent == sent and one._disturbed is (sent > 0) and subject.absent == ({"lknode01"} if sent else set())
    one._cached_runner.before_send()  # an undoing asks nobody
    subject.standing.append(a_disruption())
    if asked == "role":  # within another disruption no node is active
        one.begin(Deadline(5))
        assert one.sent == 2
