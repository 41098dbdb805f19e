"""One node of the cluster: all parts put together, its life from start to stop, and what the peer may ask of it."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.lab.lifekeeper import STAND_IN
from harness.lab.lifekeeper.comm.comm_paths import Comm, NoContact
from harness.lab.lifekeeper.config.stand_in_settings import Config
from harness.lab.lifekeeper.config.tunables import read_tunables
from harness.lab.lifekeeper.hierarchy.failover_decision import Failover
from harness.lab.lifekeeper.hierarchy.hierarchy_engine import Busy, Engine, Refused
from harness.lab.lifekeeper.hierarchy.local_recovery import FAILOVERS, Recovery
from harness.lab.lifekeeper.hierarchy.manual_switchover import Switching
from harness.lab.lifekeeper.hierarchy.quorum import Quorum
from harness.lab.lifekeeper.hierarchy.resource_tree import Tree
from harness.lab.lifekeeper.hierarchy.state_store import PAUSED, Store
from harness.lab.lifekeeper.log import Code, Journal, Log
from harness.lab.lifekeeper.resource_types import make
from harness.lab.lifekeeper.resource_types.fork_server import ForkServer
from harness.lab.lifekeeper.resource_types.resource_type import ResourceContext


class Node:
    """Raises BadUse when the configuration cannot be used, before anything is started."""

    def __init__(self, config: Config) -> None:
        self.config = config
        tunables_file = Path(config.directories.tunables)
        self.tunables = read_tunables(tunables_file)
        self.log = Log(config.directories.log, config.node)
        self.journal = Journal(config.directories.journal, config.node)
        self.tree = Tree(config.resources)
        self.store = Store(Path(config.directories.state) / "state.json", list(self.tree.resources), self._on_state)
        self.warm = ForkServer(config.warm_interpreter)
        context = ResourceContext(config, lambda: read_tunables(tunables_file), self.store.has_flag, self.store.remove_flag, self.warm)
        self.kinds = {r.tag: make(r, context) for r in config.resources}
        self.engine = Engine(config, self.tree, self.store, self.kinds, self.log, self.journal)
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.comm = Comm(config, self.tunables, self.log, self.journal, self._on_comm)
        self.switching = Switching(self.engine, self.comm)
        self.recovery = Recovery(self.engine, self.comm, self.tunables)
        witness = config.witness
        self.quorum = Quorum(config, self.tunables, witness, self.comm.contact, self._on_witness) if witness else None
        self.failover = Failover(self.switching, self.recovery, self.tunables, self.quorum)
        self.remote_command: Callable[[list[str]], dict[str, Any]] = lambda _argv: {"error": "not ready"}
        self.phase = "starting"
        self.stopped = threading.Event()
        self._stop_begun = threading.Lock()
        self.comm.about_me = self._about_me
        self.comm.answer_call = self._answer_call

    # life
    def start(self, *, restarted: bool) -> None:
        """`restarted`: the supervisor brought the daemon back in mid-life, so everything runs and is only picked up (LKL-02)."""
        self.warm.start()  # first of all: it forks, which a process with threads must not
        self._say_what_this_is()
        self.store.drop_flags("!action!")
        if restarted and not (self.store.first_start or self.store.interrupted_start):
            self.phase = "running"
        elif self.store.first_start:
            for flag in self.config.first_flags:
                self.store.create_flag(flag)
        if self.phase == "starting":
            self.failover.prepare_start()
            self._events.put(self._begin)  # before anything the peer asks for
        if self.quorum:
            self.quorum.start()
        self.comm.start(presume_alive=self.phase == "running" and self.store.fact("peer_seen") and not self.store.fact("peer_stopped"))
        threading.Thread(target=self._decide, name="decisions", daemon=True).start()
        if self.phase == "running":
            self.recovery.start()

    def _begin(self) -> None:
        self.failover.start()
        self.phase = "running"
        self.log.write(Code.STARTED, "LifeKeeper stand-in is running", program="lcdinit")
        self.journal.note("started")
        self.recovery.start()

    def _say_what_this_is(self) -> None:
        timers = {**vars(self.tunables), **vars(self.config.timers), **vars(self.config.unknowns)}
        for code, text in (
            (Code.STAND_IN, f"{STAND_IN}; basis: facts/cluster-managers.md, sections 2, 8, 9 and 10"),
            (Code.SETTINGS, "settings used: " + " ".join(f"{name}={value}" for name, value in timers.items() if name != "ignored")),
        ):
            self.log.write(code, text, program="lcdinit")
        if self.tunables.ignored:
            self.log.write(Code.SETTINGS, f"settings not modelled, ignored: {' '.join(self.tunables.ignored)}", program="lcdinit")
        sped_up = self.tunables.sped_up()
        if sped_up:
            self.log.write(Code.SPED_UP, f"time is sped up for a lab: {', '.join(sped_up)}", program="lcdinit")

    def stop(self, mode: str) -> str | None:
        """Stop in order; `mode` is plain, f, n or r (LKL-47, LKL-48). None when all went well, else what did not."""
        with self._stop_begun:
            if self.stopped.is_set():
                return None
            self.phase = "stopping"
            self.log.write(Code.STOPPING, f"stop in order, mode {mode}", program="lkstop")
            self.journal.note("stopping", mode=mode)
            self.recovery.stop()
            self.store.remember_stop()
            failure = self._leave(mode)
            self.comm.stop()
            if self.quorum:
                self.quorum.stop()
            self.log.write(Code.STOPPED, "stopped" if failure is None else f"stopped, but {failure}", program="lkstop")
            self.journal.note("stopped", reason=failure or "")
            return failure

    def _leave(self, mode: str) -> str | None:
        unknowns = self.config.unknowns
        follows = {"plain": unknowns.lkstop_plain, "n": unknowns.lkstop_n, "r": unknowns.lkstop_r, "f": "nofailover"}[mode]
        over = follows == "strategy" and self.store.has_flag("shutdown_switchover")
        in_service = {tag for tag in self.tree.resources if self.store.in_service(tag)}
        if self.comm.contact():
            try:
                self.comm.call("stopping", limit=self.tunables.dead_time + 1, nofailover=follows == "nofailover")
            except NoContact as lost:
                self.log.write(Code.NO_CONTACT, f"the peer was not told of the stop: {lost}", program="lkstop")
        if mode == "f" or not in_service:
            return None
        try:
            with self.engine.action("remove", min(in_service)):
                self.engine.remove(in_service)
        except (Refused, Busy) as error:
            return str(error)
        if over:
            self.recovery.hand_over(min(in_service), in_service)
        return None

    # what others tell us
    def _decide(self) -> None:
        while True:
            decide = self._events.get()
            try:
                decide()
            except Exception:
                self.log.write(Code.INTERNAL, traceback.format_exc())

    def _on_comm(self, event: str) -> None:
        def unless_stopping() -> None:
            if self.phase == "running":
                self.failover.on_silence() if event == "silence" else self.failover.on_contact()

        self._events.put(unless_stopping)

    def _on_witness(self, event: str) -> None:
        self._events.put(lambda: self.failover.on_witness(event) if self.phase == "running" else None)

    def _on_state(self, tag: str, before: str, state: str, reason: str) -> None:
        kit = self.tree.resources[tag].kind
        self.log.write(Code.STATE, f"{before} -> {state}: {reason}", kit=kit, action="state", tag=tag)
        self.journal.note("state", **{"tag": tag, "from": before, "to": state, "reason": reason})

    def _about_me(self) -> dict[str, Any]:
        return {
            "phase": self.phase,
            "states": self.store.states(),
            "claims": sorted(self.switching.claims),
            "formed": self.failover.formed,
            "paused": self.store.has_flag(PAUSED),
        }

    def _answer_call(self, op: str, args: dict[str, Any]) -> dict[str, Any]:
        if op == "states":
            return dict(self.store.states())
        if op == "command":
            return self.remote_command(args["argv"])
        if op == "stopping":
            return self.failover.peer_stops(args)
        if self.phase == "stopping":
            return {"error": f"{self.config.node} is stopping"}
        if op == "remove":
            return self.switching.removed_for_peer(args)
        if op == "settle":
            self._events.put(lambda: self.failover.settle(ask_peer=False))
            return {"ok": True}
        if op == "takeover":
            why_not = self.failover.may_take_over()
            if why_not is not None:
                return {"error": why_not}
            self.store.add_moments(FAILOVERS, args.get("failovers", ()))
            tags = self.tree.below(tag for tag in args["tags"] if tag in self.tree.resources)
            self._events.put(lambda: self.failover.take_over(tags))
            return {"ok": True}
        return {"error": f"the stand-in on {self.config.node} does not know {op}"}
