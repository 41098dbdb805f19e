"""What this node does about its peer: starts, silence, contact, and hierarchies handed over (LKL-36 to LKL-51)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from harness.core.deadline import Deadline
from harness.lab.lifekeeper.comm.comm_paths import NoContact
from harness.lab.lifekeeper.config.tunables import Tunables
from harness.lab.lifekeeper.hierarchy.hierarchy_engine import Busy, Refused
from harness.lab.lifekeeper.hierarchy.local_recovery import Recovery
from harness.lab.lifekeeper.hierarchy.manual_switchover import Switching
from harness.lab.lifekeeper.hierarchy.quorum import Quorum
from harness.lab.lifekeeper.hierarchy.state_store import IN_SERVICE, PAUSED
from harness.lab.lifekeeper.log import Code
from harness.lab.lifekeeper.resource_types.resource_type import Failed


class Failover:
    """Its methods run on one thread, one after the other, so that decisions never overlap."""

    def __init__(self, switching: Switching, recovery: Recovery, tunables: Tunables, quorum: Quorum | None = None) -> None:
        self.switching, self.recovery, self.tunables, self.quorum = switching, recovery, tunables, quorum
        self.engine, self.comm = switching.engine, switching.comm
        self.store, self.tree, self.log, self.journal = recovery.store, recovery.tree, recovery.log, recovery.journal
        self.config = self.engine.config
        self.confirmed: bool | None = None
        self.confirming = False
        self._answered = threading.Condition()
        self._tags_to_start: set[str] = set()
        self.formed = False  # this node began the cluster alone, with the witness

    # start
    def prepare_start(self) -> None:
        """Before the peer can hear us: what this node remembers is no longer what it has.

        Otherwise a peer that meets a node fresh from a crash is told that both have everything in service (LKL-40).
        """
        first_at_home = self._first_at_home()
        self._tags_to_start = set(self.tree.resources) if first_at_home else self.store.wanted_at_start() & set(self.tree.resources)
        self.store.hold_stop(self._tags_to_start)
        self._set_all("ILLSTATE" if self._tags_to_start else "OSU", "LifeKeeper is starting")
        self.switching.claims = set(self._tags_to_start)  # from the first heartbeat on: when both nodes start, one of them has to see it

    def start(self) -> None:
        """Start what was in service at the last stop, unless the peer has it (LKL-49, LKL-50); home starts all at first. With a witness a
        node that hears no peer starts everything where it gets that, as a cluster that forms does, else nothing."""
        first_at_home, wanted = self._first_at_home(), self._tags_to_start
        if (wanted or self.quorum) and not first_at_home:
            self._wait_for_peer()
        if self.quorum and (first_at_home or not self.comm.contact()):
            self.formed = self.quorum.arbitrate()
            wanted = set(self.tree.resources) if self.formed else set()
        if self.store.has_flag(PAUSED):
            wanted = set()
        with self.switching.claiming(wanted):
            mine = wanted if self.formed else self._left_to_us(wanted)
            self._set_all("OSU", "out of service at the start")
            why = "first start, this node is home" if first_at_home else "in service at the last stop" if mine else "nothing to start here"
            self.log.write(Code.START_DECISION, f"{why}: {', '.join(sorted(mine)) or 'all resources stay OSU'}", program="lcdinit")
            self.journal.note("start-decision", tags=sorted(mine), reason=why)
            if mine:
                self._restore(mine, "start")
        self.store.forget_stop()

    def _first_at_home(self) -> bool:
        return self.store.first_start and self.config.node == self.config.home

    def _set_all(self, state: str, reason: str) -> None:
        keep = () if "start" in self.config.unknowns.osf_cleared_by else ("OSF",)
        for tag in self.tree.resources:
            if self.store.state(tag) not in keep:
                self.store.set_state(tag, state, reason)

    def _wait_for_peer(self) -> None:
        """At most the dead time and timers.start_contact_extra_s; a peer that answers is waited for no longer."""
        limit = Deadline(self.tunables.dead_time + self.config.timers.start_contact_extra_s)
        with self.comm.changed:
            self.comm.changed.wait_for(lambda: self.comm.contact() and self.comm.peer, limit.remaining())

    def _left_to_us(self, tags: set[str]) -> set[str]:
        """Those that the peer neither has nor takes. The disks of a hierarchy are asked once, so that an answer that does not come in time
        counts for all of it: a part of it would be brought in service, and the rest never."""
        is_taken = cache(self._disk_is_taken)
        return {tag for tag in tags if not self._peer_has_or_takes(tag, is_taken)}

    def _peer_has_or_takes(self, tag: str, is_taken: Callable[[frozenset[str]], bool]) -> bool:
        """In service there, or being brought in service there; when both nodes start, the better priority goes first.

        A shared disk that is reserved by the other node says so even while that node is not heard: a node that comes back
        from a crash must not believe what it remembers, or it would take the disk from the one that serves (LKL-40, LKL-50).
        """
        hierarchy = self.tree.hierarchy(tag)
        if any(self.comm.peer_state(t) in IN_SERVICE for t in hierarchy) or is_taken(frozenset(hierarchy)):
            return True
        if self.comm.contact() and self.comm.peer.get("formed"):
            return True
        if not self.comm.contact() or not hierarchy.intersection(self.comm.peer.get("claims", ())):
            return False
        priority = self.tree.resources[tag].priority
        return self.comm.peer.get("phase") != "starting" or priority[self.config.peer] < priority[self.config.node]

    def _disk_is_taken(self, hierarchy: frozenset[str]) -> bool:
        try:
            return any(self.engine.kinds[tag].taken_elsewhere() is not None for tag in hierarchy)
        except Failed as unknown:
            self.log.write(Code.START_DECISION, f"nothing is started: {unknown}", program="lcdinit")
            return True

    # the peer is silent (LKL-36, LKL-39)
    def on_silence(self) -> None:
        """The last path to the peer died: takes over what it had, unless something forbids that (LKL-39, LKL-40)."""
        peer = self.config.peer
        self.log.write(Code.PEER_SILENT, f"{peer} is silent: all communication paths to it are DEAD")
        self.journal.note("peer-silent")
        self.store.set_fact("peer_seen", False)
        if self.quorum and not self.store.fact("peer_stopped") and not self.quorum.arbitrate() and not self.comm.contact():
            self.leave(f"{peer} is silent, and has the witness")
            return
        why_not = self._why_no_failover()
        if why_not is None and self.store.has_flag(f"confirmso!{peer}"):
            why_not = self._ask_to_confirm()
        todo = {tag for tag, state in self.store.states().items() if state not in IN_SERVICE}
        with self.switching.claiming(todo):
            if why_not is None and self.comm.contact():
                why_not = "a communication path came back"
            if why_not is not None:
                self._withhold(why_not)
            elif todo:
                for path in self.comm.paths:
                    path.comm_downs += 1
                self.log.write(Code.FAILOVER_BEGUN, f"failover from {peer}: {', '.join(sorted(todo))}")
                self.journal.note("failover-begun", tags=sorted(todo))
                self._restore(todo, "failover")

    def leave(self, why: str) -> None:
        """This node has no majority, so whatever it has in service ends at once (facts WCLU-91): the node is reset."""
        held = sorted(tag for tag in self.tree.resources if self.store.in_service(tag))
        self.log.write(Code.QUORUM_LOST, f"no majority: {why}")
        self.journal.note("quorum-lost", reason=why)
        if held:
            self.recovery.halt(Code.HALTED, held[0], f"no majority: {why}")

    def on_witness(self, event: str) -> None:
        """The claim of the witness was lost to the other node while this one did not look, or won when it had none."""
        if event == "evicted":
            self.leave(f"{self.config.peer} took the witness")
        else:
            self.log.write(Code.QUORUM_FORMED, "the witness could be had: this node is the cluster now")
            self.on_silence()

    def _why_no_failover(self) -> str | None:
        peer = self.config.peer
        if self.store.has_flag(f"!nofailover!{peer}"):
            return f"flag !nofailover!{peer} is set"
        if self.store.has_flag(PAUSED):
            return "this node is paused (WCLU-66)"
        return f"{peer} was stopped in order" if self.store.fact("peer_stopped") else None

    def _ask_to_confirm(self) -> str | None:
        """Wait for lk_confirmso, at most CONFIRMSOTO seconds; then CONFIRMSODEF decides (LKL-45). None means proceed."""
        peer, limit = self.config.peer, Deadline(self.tunables.CONFIRMSOTO)
        self.log.write(Code.FAILOVER_ASKED, f"failover from {peer} waits {limit.seconds:g} s for lk_confirmso -y|-n {peer}")
        with self._answered:
            self.confirmed, self.confirming = None, True
            while self.confirmed is None and not limit.expired and not self.comm.contact():
                self._answered.wait(limit.within(self.tunables.LCMHBEATTIME))
            answer, self.confirming = self.confirmed, False
        if answer is None:
            return None if self.tunables.CONFIRMSODEF == 0 else "nobody confirmed it and CONFIRMSODEF is 1"
        return None if answer else "it was answered with no"

    def confirm(self, yes: bool) -> bool:
        """False when no failover waits for an answer."""
        with self._answered:
            if not self.confirming:
                return False
            self.confirmed = yes
            self._answered.notify_all()
        return True

    # the peer is back
    def on_contact(self) -> None:
        """The peer is heard again: what its silence left behind is forgotten."""
        peer = self.config.peer
        if self.quorum:
            self.quorum.lost = False
        self.store.set_fact("peer_stopped", False)
        self.store.set_fact("peer_seen", True)
        self.store.remove_flag(f"!nofailover!{peer}")
        self.log.write(Code.PEER_BACK, f"{peer} is heard")
        self.journal.note("peer-heard")
        self.settle(ask_peer=True)

    def settle(self, *, ask_peer: bool) -> None:
        """Both have a hierarchy in service: the shared disk's reservation decides; without one the switch `split_brain` does."""
        for root in self.tree.roots:
            try:
                if self._in_service_on_both(root):
                    if ask_peer:  # one that was frozen has noticed no silence, and would not look by itself
                        self.comm.call("settle", limit=self.tunables.dead_time)
                    with self.engine.action("settle", root):
                        self._settle_one(root)
            except NoContact:
                return  # gone again; the next contact settles
            except (Refused, Busy) as error:
                self.log.write(
                    Code.ACTION_FAILED, f"a hierarchy in service on both nodes was not settled: {error}", action="settle", tag=root
                )

    def _in_service_on_both(self, root: str) -> list[str]:
        """Asked of the peer itself, because what its last heartbeat said may be an action old."""
        theirs = self.comm.call("states", limit=self.tunables.dead_time)
        return sorted(t for t in self.tree.below([root]) if self.store.in_service(t) and theirs.get(t) in IN_SERVICE)

    def _settle_one(self, root: str) -> None:
        both = self._in_service_on_both(root)
        if not both:
            return
        self.log.write(Code.BOTH_IN_SERVICE, f"in service on both nodes: {', '.join(both)}", action="settle", tag=root)
        self.journal.note("both-in-service", tags=both)
        priority = self.tree.resources[root].priority
        if any(self.tree.resources[t].kind == "disk" for t in both):
            self.recovery.holds_its_disks(set(both))
        elif self.quorum:
            if not self.quorum.holds:
                self.leave(f"{self.config.peer} has the witness, and the same in service")
        elif self.config.unknowns.split_brain == "lower_priority_removes" and priority[self.config.node] > priority[self.config.peer]:
            self.engine.remove(self.tree.below([root]))

    # what the peer tells us
    def take_over(self, tags: set[str]) -> None:
        """The peer has taken these out of service and asks us to start them."""
        with self.switching.claiming(tags):
            self.log.write(Code.FAILOVER_BEGUN, f"{self.config.peer} hands over: {', '.join(sorted(tags))}")
            self.journal.note("failover-begun", tags=sorted(tags))
            self._restore(tags, "takeover")

    def may_take_over(self) -> str | None:
        """Why not, or None (LKL-23: `!nofailover!`)."""
        peer = self.config.peer
        if self.store.has_flag(PAUSED):
            return f"{self.config.node} is paused (WCLU-66)"
        return f"flag !nofailover!{peer} is set on {self.config.node}" if self.store.has_flag(f"!nofailover!{peer}") else None

    def peer_stops(self, args: dict[str, Any]) -> dict[str, Any]:
        """The peer stops in order: its silence will be no failure (LKL-39, LKL-46, LKL-47)."""
        self.store.set_fact("peer_stopped", True)
        if args["nofailover"]:
            self.store.create_flag(f"!nofailover!{self.config.peer}")
        self.log.write(Code.PEER_STOPPED, f"{self.config.peer} stops in order")
        self.journal.note("peer-stopping", nofailover=args["nofailover"])
        return {"ok": True}

    def _restore(self, tags: set[str], why: str) -> None:
        first = next((root for root in self.tree.roots if root in tags), min(tags))
        try:
            with self.engine.action("restore", first):
                self.engine.restore(tags)
        except (Refused, Busy) as error:
            self.log.write(Code.ACTION_FAILED, f"{why} ended: {error}", action="restore", tag=first)

    def _withhold(self, why: str) -> None:
        self.log.write(Code.FAILOVER_WITHHELD, f"no failover from {self.config.peer}: {why}")
        self.journal.note("failover-withheld", reason=why)
