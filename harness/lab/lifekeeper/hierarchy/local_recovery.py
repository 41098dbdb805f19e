"""lkcheck: looks at every resource in service, recovers it here or hands the hierarchy to the other node (LKL-41 to LKL-44)."""

from __future__ import annotations

import threading
import time
import traceback

from harness.lab.lifekeeper.comm.comm_paths import Comm, NoContact
from harness.lab.lifekeeper.config.tunables import Tunables
from harness.lab.lifekeeper.hierarchy.hierarchy_engine import Busy, Engine, Overtaken, Refused
from harness.lab.lifekeeper.hierarchy.state_store import PAUSED
from harness.lab.lifekeeper.log import Code
from harness.lab.lifekeeper.resource_types.bounded_command import RanOut, run
from harness.lab.lifekeeper.resource_types.resource_type import Failed, Fenced, TimedOut

FAILOVERS = "failovers"  # of the cluster, by a failed resource; each node remembers those of both
HALT_TIMEOUT_S = 60.0  # the halt command ends this very process; it only returns when it failed


class Recovery:
    """Each resource is checked on its own thread, so that one slow check does not hide another's failure."""

    def __init__(self, engine: Engine, comm: Comm, tunables: Tunables) -> None:
        self.engine, self.comm, self.tunables, self.interval = engine, comm, tunables, tunables.LKCHECKINTERVAL
        self.store, self.tree, self.log, self.journal = engine.store, engine.tree, engine.log, engine.journal
        self._running: set[str] = set()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begins to look, every LKCHECKINTERVAL seconds, in a thread of its own."""
        threading.Thread(target=self._loop, name="lkcheck", daemon=True).start()

    def stop(self) -> None:
        """Ends that after the look that goes on."""
        self._stopping.set()

    def _loop(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            self._tick()
            # From tick to tick; after a pause of the whole node the missed ones are not made up for.
            due = max(due + self.interval, time.monotonic())
            self._stopping.wait(due - time.monotonic())

    def _tick(self) -> None:
        unknowns = self.engine.config.unknowns
        for tag in self.tree.children_first():
            state = self.store.state(tag)
            if state == "OSF" and "peer_in_service" in unknowns.osf_cleared_by and self.comm.peer_state(tag) == "ISP":
                self.store.set_state(tag, "OSU", "the failure was cleared because the other node has it in service")
            checked = state == "ISP" or (state == "ISU" and unknowns.isu == "failover_only")
            if checked and tag not in self._running and self.engine.tree.resources[tag].kind != "group":
                self._running.add(tag)
                threading.Thread(target=self._check, args=(tag,), name=f"quickCheck {tag}", daemon=True).start()

    def _check(self, tag: str) -> None:
        try:
            epoch = self.engine.epoch
            failure = self._quick_check(tag)
            if failure is not None and not self._stopping.is_set():
                self._on_failure(tag, epoch, failure)
        finally:
            self._running.discard(tag)

    def _quick_check(self, tag: str) -> str | None:
        """None when good or when it could not be told in time; else why it failed. Halts the node when it was fenced."""
        try:
            self.engine.kinds[tag].quick_check()
        except Failed as failed:
            return str(failed)
        except TimedOut as late:
            self._write(Code.CHECK_TIMED_OUT, tag, f"quickCheck ran into its limit (signal ALRM), it is tried again next time: {late}")
        except Fenced as fenced:
            self.halt(Code.FENCED, tag, str(fenced))
        except Exception:
            self._write(Code.INTERNAL, tag, traceback.format_exc())
        return None

    def _on_failure(self, tag: str, epoch: int, failure: str) -> None:
        """The chain of LKL-42: local recovery once; else out of service here from the top down, and over to the peer."""
        try:
            with self.engine.action("recover", tag, if_epoch=epoch):
                self._write(Code.CHECK_FAILED, tag, failure)
                self.journal.note("check-failed", tag=tag, reason=failure)
                if not self.store.in_service(tag) or not self.holds_its_disks({tag}) or self._recovered(tag):
                    return
                scope = self.tree.hierarchy(tag)
                self._take_out(tag, scope, failure)
        except (Overtaken, Busy):
            return  # what overtook it changed the resource; the next check looks again
        except Refused as refused:
            self.halt(Code.HALTED, tag, f"a resource that failed could not be taken out of service ({refused})")
            return
        if self._may_fail_over(tag):
            self.hand_over(tag, scope)

    def _may_fail_over(self, tag: str) -> bool:
        """False, and the hierarchy stays failed here, when as many failovers are over as the period may have (WCLU-84)."""
        failovers = self.store.moments(FAILOVERS, self.tunables.STANDIN_FAILOVER_PERIOD)
        if len(failovers) < self.tunables.STANDIN_FAILOVERS:
            return True
        self._write(Code.FAILOVERS_USED_UP, tag, f"no failover: the {self.tunables.STANDIN_FAILOVERS} of the period are used up (WCLU-84)")
        self.journal.note("failovers-used-up", tag=tag)
        return False

    def _recovered(self, tag: str) -> bool:
        kind = self.engine.kinds[tag]
        if not kind.has_recovery or self.store.state(tag) == "ISU":
            self._write(Code.NO_RECOVERY, tag, "there is no local recovery for it", program="recover")
            return False
        if self.store.has_flag(PAUSED):
            self._write(Code.NO_RECOVERY, tag, "this node is paused, and brings nothing online (WCLU-66)", program="recover")
            return False
        restarts = self.store.moments(f"restarts of {tag}", self.tunables.STANDIN_RESTART_PERIOD)
        if len(restarts) >= self.tunables.STANDIN_RESTARTS:
            self._write(Code.NO_RECOVERY, tag, f"its {len(restarts)} restarts in the period are used up (WCLU-82)", program="recover")
            return False
        self.store.add_moments(f"restarts of {tag}", [time.time()])
        failure = self.engine.recover_one(tag)
        if failure is not None:
            self._write(Code.RECOVERY_FAILED, tag, failure, program="recover")
            return False
        self.store.set_state(tag, "ISP", "local recovery has succeeded")
        self._write(Code.RECOVERED, tag, "local recovery has succeeded", program="recover")
        self.journal.note("recovered", tag=tag)
        return True

    def _take_out(self, tag: str, scope: set[str], failure: str) -> None:
        self.engine.remove(scope)
        self.store.set_state(tag, "OSF", f"quickCheck failed and there was no local recovery: {failure}")

    def hand_over(self, tag: str, scope: set[str]) -> bool:
        """Ask the peer to bring the hierarchy in service there; False when it cannot be asked or will not."""
        try:
            failovers = [*self.store.moments(FAILOVERS, self.tunables.STANDIN_FAILOVER_PERIOD), time.time()]
            answer = self.comm.call("takeover", tags=sorted(scope), tag=tag, failovers=failovers)
        except NoContact as lost:
            self._write(Code.FAILOVER_WITHHELD, tag, f"nobody can take the hierarchy over: {lost}")
            return False
        if "error" in answer:
            self._write(Code.FAILOVER_WITHHELD, tag, f"{self.engine.config.peer} does not take the hierarchy over: {answer['error']}")
            return False
        self.store.add_moments(FAILOVERS, failovers)
        self._write(Code.FAILOVER_OUT, tag, f"the hierarchy goes over to {self.engine.config.peer}")
        self.journal.note("failover-out", tag=tag)
        return True

    def holds_its_disks(self, tags: set[str]) -> bool:
        """False, and the node is halted, when a shared disk below `tags` was taken by the other node.

        Asked before local recovery too: a service must not be restarted on a disk that is no longer ours.
        """
        for below in self.tree.below(tags):
            if self.tree.resources[below].kind == "disk" and self.store.in_service(below):
                try:
                    self.engine.kinds[below].quick_check()
                except Fenced as fenced:
                    self.halt(Code.FENCED, below, str(fenced))
                    return False
                except (Failed, TimedOut):
                    continue  # its own check judges that
        return True

    def halt(self, code: Code, tag: str, why: str) -> None:
        """Forcibly reboot this node (LKL-43)."""
        self._write(code, tag, f"{why}; this node is forcibly rebooted. SYSTEM HALTED")
        self.journal.note("halt", tag=tag, reason=why)
        command = self.engine.config.halt_command
        failure = "no halt_command is configured"
        if command:
            try:
                run(command, HALT_TIMEOUT_S)
                failure = f"{command[0]} returned"
            except (Failed, RanOut) as error:
                failure = str(error)
        self._write(code, tag, f"the node still runs: {failure}")

    def _write(self, code: Code, tag: str, message: str, *, program: str = "quickCheck") -> None:
        self.log.write(code, message, program=program, kit=self.tree.resources[tag].kind, action=program, tag=tag)
