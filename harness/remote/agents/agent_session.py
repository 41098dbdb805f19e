"""The agent of one host, seen from the harness: started there, followed without losing or doubling a sample, ended and removed.

The agent does not need the connection: when that is lost it goes on, and what it saw meanwhile is fetched afterwards. When the agent
itself is gone (the host was switched off), another one takes its place as soon as the host answers.
"""

from __future__ import annotations

import threading
import time
from enum import Enum, auto
from typing import Protocol

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Inconclusive
from harness.hosts.host import Host, HostUnreachable, Process, WrongHostKey
from harness.remote import script_transport
from harness.remote.agents import agent_launch
from harness.remote.agents.agent_launch import AgentPlan
from harness.remote.agents.clock_sync import HostClock
from harness.remote.agents.spool_reader import AgentRun, Reader
from harness.remote.recording.recording import Clock, NodeEvent, Noise, Sample

START_TIMEOUT_S = 20.0
PINGS_AT_FIRST, PINGS_LATER, PING_EVERY_S = 10, 3, 2.0
LOST_TIMEOUT_S = 2.0  # a host that has said nothing for so long is called lost; a living one says something at least each second
CONNECTION_TIMEOUT_S = 6.0  # then the connection is given up and a new one tried
RETRY_INTERVAL_S = 0.2
SCRIPT_FAILURE_TIMEOUT_S = 10.0  # for so long a host that answers may fail to run a script; longer, and something is wrong with it
DRAIN_TIMEOUT_S = 5.0


class Sink(Protocol):
    """Takes what comes in, from threads of the agent; all times are on the harness's monotonic clock. It must not block for long."""

    def samples(self, series: str, rows: list[Sample]) -> None:
        """Takes attempts of one series."""

    def event(self, event: NodeEvent) -> None:
        """Takes an event at a host."""

    def noise(self, noise: Noise) -> None:
        """Takes how well a host kept its ticks in the last second."""

    def clock(self, clock: Clock) -> None:
        """Takes a better estimate of a host's clock."""


class _How(Enum):
    """How the following of a spool ended."""

    LOST = auto()  # the connection; the agent may live
    GONE = auto()  # the agent is gone, and all it left was read
    FINAL = auto()  # it ended for a reason that would end another one too


class Agent:
    """Measures at `host` from start to stop. Events of its own: agent-lost, agent-back, host-lost, host-back."""

    def __init__(self, host: Host, python: str, plan: AgentPlan, sink: Sink) -> None:
        self.name = host.name
        self._host, self._python, self._plan, self._sink = host, python, plan, sink
        self._lifetime = Deadline(plan.lifetime_s)
        self._life: AgentRun | None = None
        self._folders_left: list[list[str]] = []  # folders of agents that were started and not yet removed, by agent
        self._process: Process | None = None
        self._heard_at = 0.0
        self._lost_kinds: set[str] = set()
        self._trying: Deadline | None = None
        self._telling = threading.RLock()
        self._clocked, self._over, self._stopping = threading.Event(), threading.Event(), threading.Event()
        self._end_reason = ""
        self._threads: list[threading.Thread] = []

    def start(self, limit: float = START_TIMEOUT_S) -> None:
        """Begin; on return it measures and its clock is known. Raises HostUnreachable, Unusable, Inconclusive, DeadlineExceeded."""
        deadline = Deadline(limit)
        self._lifetime = Deadline(self._plan.lifetime_s)
        try:
            self._life = self._begin(limit)
            for work in (self._run, self._watch):
                thread = threading.Thread(target=work, name=f"agent-{self.name}", daemon=True)
                self._threads.append(thread)
                thread.start()
            while not self._clocked.wait(deadline.within(0.1)):
                if self._over.is_set():
                    raise Inconclusive(f"{self.name}: the measuring agent ended before it was first heard: {self._end_reason}")
                deadline.require(f"{self.name}: measuring its clock")
        except BaseException:
            self.stop()
            raise

    def stop(self, limit: float = 15.0) -> list[str]:
        """End it, take in what is left, and remove all it left on the host. Returns what could not be done, in sentences.

        What is left then goes by itself: the agent at the end of its lifetime, its spool `keep_s` later. Stopping twice is fine.
        """
        deadline = Deadline(limit)
        self._stopping.set()
        trouble = []
        if self._life is not None and not self._over.is_set():
            try:
                self._ask_to_end(max(0.1, deadline.remaining()))
                if not self._over.wait(deadline.within(DRAIN_TIMEOUT_S)):
                    trouble.append(
                        f"{self.name}: the agent did not hand over all it saw within {DRAIN_TIMEOUT_S:g} s of being asked to end"
                    )
            except HarnessError as error:
                trouble.append(f"{self.name}: the agent could not be asked to end: {error}")
        self._over.set()
        self._disconnect()
        for thread in self._threads:
            thread.join(max(1.0, deadline.remaining()))
        trouble += self._clean(max(3.0, deadline.remaining()))
        return trouble

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return bool(self._threads) and not self._over.is_set()

    @property
    def remaining_s(self) -> float:
        """How long it may still measure, in seconds."""
        return self._lifetime.remaining() if self.running else 0.0

    def renew(self) -> None:
        """Let every kept connection be made anew, so that who answers it is seen from its beginning. Raises OSError when the agent is not
        to be reached just now."""
        process = self._process
        if process is None:
            raise ConnectionError(f"{self.name}: its agent is not followed just now")
        process.send(b"renew\n")

    @property
    def folder(self) -> str | None:
        """Where on the host the agent of now keeps its spool."""
        return self._life.folder if self._life is not None else None

    @property
    def complete(self) -> bool:
        """After stop: did all that the last agent wrote come in?"""
        return self._life is not None and self._life.wrote == self._life.taken

    # --- the agent on the host

    def _begin(self, limit: float) -> AgentRun:
        folders = agent_launch.new_folders(self._plan)
        self._folders_left.append(folders)
        lifetime = max(1.0, self._lifetime.remaining())
        folder = agent_launch.launch(self._host, self._python, self._plan, folders, lifetime_s=lifetime, limit=limit)
        self._folders_left[-1] = [folder]  # the others are places that it did not take, and anybody may have made there what he likes
        return AgentRun(folder, HostClock(self.name))

    def _open(self, life: AgentRun) -> Process:
        """The stream of its spool, from where it was lost."""
        return agent_launch.follow(self._host, self._python, life.folder, life.offset)

    def _ask_to_end(self, limit: float) -> None:
        assert self._life is not None
        agent_launch.order(self._host, self._python, "stop", [self._life.folder], limit=limit)

    def _clean(self, limit: float) -> list[str]:
        trouble, remaining = [], []
        for folders in self._folders_left:
            try:
                agent_launch.order(self._host, self._python, "clean", folders, limit=limit)
            except HarnessError as error:
                remaining.append(folders)
                trouble.append(f"{self.name}: {error}; its spool goes by itself {self._plan.keep_s:g} s after the agent's end")
        self._folders_left = remaining
        return trouble

    def _run(self) -> None:
        """Follow, and follow again whatever is lost, until all is over."""
        try:
            while not self._over.is_set():
                assert self._life is not None
                how = self._follow(self._life)
                if how is _How.FINAL or (self._stopping.is_set() and how is _How.GONE):
                    break
                if how is _How.GONE and not self._replace():
                    break
                self._over.wait(RETRY_INTERVAL_S)
        except Exception as error:
            self._end_reason = self._end_reason or f"{type(error).__name__}: {error}"
        finally:
            if not self._stopping.is_set():
                self._tell("agent-lost", self._end_reason)
            self._over.set()

    def _replace(self) -> bool:
        """A new agent in the place of the one that is gone; False when none is to be had."""
        self._tell("agent-lost", self._end_reason)
        while not self._stopping.is_set() and not self._lifetime.expired:
            self._clean(START_TIMEOUT_S)
            try:
                self._life = self._begin(START_TIMEOUT_S)
                return True
            except HarnessError as error:
                self._tolerate(error)
            self._over.wait(RETRY_INTERVAL_S)
        return False

    def _tolerate(self, error: HarnessError) -> None:
        """What a host that goes down or comes up may say, for a while, is told and tried again; all else is raised."""
        away = isinstance(error, HostUnreachable | DeadlineExceeded) and not isinstance(error, WrongHostKey)
        self._trying = self._trying if self._trying and not away else Deadline(SCRIPT_FAILURE_TIMEOUT_S)
        if isinstance(error, WrongHostKey) or self._trying.expired:
            raise error
        self._tell("host-lost" if away else "agent-lost", str(error))

    # --- its stream

    def _follow(self, life: AgentRun) -> _How:
        try:
            process = self._open(life)
        except HarnessError as error:
            self._tolerate(error)
            return _How.LOST
        self._process, self._heard_at = process, time.monotonic()
        reader = Reader(life, self.name, self._sink)
        try:
            while data := process.recv(65536):
                now = time.monotonic()
                if self._over.is_set():
                    return _How.LOST
                self._take(reader, data, now, process)
                if reader.over:
                    break
        except OSError as error:
            self._end_reason = f"the connection broke: {error}"
        finally:
            self._process = None
            process.close()
        if not reader.over:
            self._end_reason = reader.complaint or script_transport.complaint(process) or "the connection to it was lost"
            if not self._over.is_set():
                self._tell("agent-lost", self._end_reason)
            return _How.LOST
        self._end_reason = life.reason or "it was killed, or its host was switched off"
        return _How.FINAL if life.final else _How.GONE

    def _take(self, reader: Reader, data: bytes, now: float, process: Process) -> None:
        fresh = reader.life.offset == 0
        with self._telling:
            self._heard_at = now
            for message, clock in reader.take(data, now):
                if message:
                    process.send(message)
                if clock is not None:
                    self._sink.clock(clock)
                    if step := reader.life.clock.step():
                        jump = {"from": step.since, "until": step.until, "mono_s": -step.mono_s, "wall_s": -step.wall_s}
                        self._sink.event(NodeEvent(step.until, self.name, "clock-step", str(step), jump))
            if reader.began:
                reader.began = False
                process.send(reader.life.clock.begin(PINGS_AT_FIRST))
            self._tell_return("host-lost", "host-back", "it answers again")
            self._trying = None
            if reader.running and reader.life.clock.best is not None:
                self._clocked.set()
                self._tell_return("agent-lost", "agent-back", "a new one took its place" if fresh else "it is heard again")

    def _watch(self) -> None:
        """Ask for the time now and then, and notice silence."""
        asked_at = time.monotonic()
        while not self._over.wait(0.25):
            process, now = self._process, time.monotonic()
            if process is None or self._life is None:
                continue
            silent_s = now - self._heard_at
            if silent_s > LOST_TIMEOUT_S:
                self._tell("host-lost", f"nothing was heard of it for {LOST_TIMEOUT_S:g} s")
            if silent_s > CONNECTION_TIMEOUT_S:
                self._disconnect()
            elif now - asked_at > PING_EVERY_S and self._clocked.is_set():
                asked_at = now
                try:
                    with self._telling:
                        ping = self._life.clock.begin(PINGS_LATER)
                    process.send(ping)
                except (OSError, ValueError):
                    continue  # it has just closed: the thread that reads it tells

    def _disconnect(self) -> None:
        process = self._process
        if process is not None:
            process.close()

    # --- what is told about it

    def _tell(self, kind: str, reason: str) -> None:
        """Once for each loss; it began when the host was last heard."""
        with self._telling:
            if kind not in self._lost_kinds and not self._stopping.is_set():
                self._lost_kinds.add(kind)
                self._sink.event(NodeEvent(self._heard_at, self.name, kind, reason))

    def _tell_return(self, lost_kind: str, kind: str, text: str) -> None:
        if lost_kind in self._lost_kinds:
            self._lost_kinds.discard(lost_kind)
            self._sink.event(NodeEvent(time.monotonic(), self.name, kind, text))
