"""The cluster under test: its hosts, its manager, what its hosts see, and the checks that are made on it.

The lab and any other cluster are attached to through exactly this.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from harness.cluster.capture_sources import CaptureSources, Source
from harness.config.cluster_config import Cluster, Machine
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive, Unusable
from harness.core.redaction.output_redaction import Cleaner
from harness.core.timeline import Timeline
from harness.expectations.connectivity_matrix import Origin
from harness.hosts.host import CommandFailed
from harness.hosts.host_facts import facts_of
from harness.hosts.ssh.ssh_connection import SessionsTaken
from harness.hosts.ssh.ssh_host import connect_all
from harness.managers.manager import ClusterState
from harness.managers.manager_registry import manager_of
from harness.remote import host_capabilities
from harness.remote.captures.capture_session import PacketCapture, mark_all
from harness.remote.connections.worker_session import ConnectionWorker
from harness.remote.host_capabilities import Capabilities, Kind

if TYPE_CHECKING:
    from harness.hosts.deadman.deadman_switch import ArmedUndo
    from harness.remote.connections.connector_without_python import FallbackConnector

UNRELATED_INTERVAL_S = 30.0  # after which another application's resources are asked for again, where none were told


class StandingDisruption(Protocol):
    """What was done to the cluster, as far as the cluster has to know it until it is seen undone: a disruption."""

    name: ClassVar[str]
    by_azure: ClassVar[bool]

    @property
    def chosen_as_active(self) -> str:
        """The node that was chosen as the active one."""

    def undo(self, deadline: Deadline) -> None:
        """Undoes it; raises HarnessError or DeadlineExceeded."""


class ClusterUnderTest:
    """Everything that checks and disruptions need; roles are looked up anew whenever they are asked for, but within `one_look`."""

    _look: list[ClusterState] | None = None  # within one look: what the manager said, once it has been asked

    def __init__(self, cluster: Cluster, timeline: Timeline) -> None:
        self.cluster = cluster
        self.timeline = timeline
        self.hosts = connect_all(cluster, timeline)
        self.facts = {m.name: facts_of(m, self.hosts[m.name]) for m in cluster.machines}
        self.connection_workers = ConnectionWorkers(self)
        self.manager = manager_of(cluster, self.hosts)
        self.cleaner = Cleaner()  # takes secrets out of what hosts say, before it is kept; a run's own, where there is a run
        self.absent: set[str] = set()  # hosts that a disruption has silenced: they can neither be watched nor asked
        self.standing: list[StandingDisruption] = []  # what was done to the cluster and was not seen undone yet, in its order
        self.before_undoing: Callable[[], None] = lambda: None  # ends a test's timeout, which must not fall into it
        # Told of what a host is about to be armed with, and of what was seen undone there (its token).
        self.arming: Callable[[ArmedUndo], None] = lambda armed: None
        self.disarmed: Callable[[str], None] = lambda token: None
        self.power_command: Callable[[tuple[int, str]], None] = lambda process: None  # begun on this machine: its id and its start
        # Of a run that holds a lease on somebody's cluster: what a node asks itself, what this process knows, and everything asked anew.
        self.lease_line, self.lease_token = "", ""
        self.skips: Mapping[str, str] = {}  # disruptions that the plan leaves out, and why
        self.lost: Callable[[], str] = str
        self.stolen: Callable[[], str] = str  # the same where there is no doubt: another run has it
        self.takes_unproven = False  # has the operator said that what the manager cannot tell is no reason to leave it?
        self.permit: Callable[[StandingDisruption], None] = lambda disruption: None
        self._log_ins: dict[str, Future[None]] = {}  # those begun ahead whose end nobody has asked for
        self._capture_by_host: dict[str, PacketCapture] = {}
        self._unrelated: frozenset[str] = frozenset()
        self._unrelated_asked_pause = Deadline(0.0)
        self.captures = CaptureSources(cluster, self.hosts, self.capabilities)
        self._capture_locks = {name: threading.Lock() for name in self.hosts}
        self._failed_captures: dict[str, HarnessError] = {}  # the last one of each host
        self._capabilities: dict[str, Capabilities] = {}
        self._capability_locks = {name: threading.Lock() for name in self.hosts}

    def clean(self, text: str) -> str:
        """Text without secrets."""
        return self.cleaner.text(text)

    def write_manager_log(self, node: str, path: Path) -> None:
        """What the cluster manager of a node logged last, without secrets."""
        path.write_text(self.clean(self.manager.recent_log(node)))

    def reach(self) -> None:
        """Log in to every host. Raises HostUnreachable for the first that does not let us, so that a person reads that and no more;
        Unusable for one that lets us in and runs no commands."""
        try:
            self.together(*(lambda n=n: self.let_in(n) for n in self.hosts))
        except CommandFailed as error:
            raise Unusable(f"{error}; the log-in works, but commands do not run there: give the account a shell") from error

    def begin_log_ins(self) -> None:
        """Log in everywhere beside what is done next; each host's first `let_in` has what came of it."""
        pool = ThreadPoolExecutor(max_workers=len(self.hosts))
        self._log_ins = {name: pool.submit(self._log_in, name) for name in self.hosts}
        pool.shutdown(wait=False)

    def let_in(self, name: str) -> None:
        """Log in to a host and run something there. A client that runs nothing for us will do, if its sshd makes connections.

        Raises HostUnreachable, CommandFailed, Unusable.
        """
        if (log_in := self._log_ins.pop(name, None)) is not None:
            log_in.result()
        else:
            self._log_in(name)

    def _log_in(self, name: str) -> None:
        try:
            self.hosts[name].check(["true"])
        except (CommandFailed, SessionsTaken):
            if name != self.cluster.client.name or self.runs_commands(name):
                raise

    def runs_commands(self, name: str) -> bool:
        """Or is there nothing but its sshd?"""
        return self.capabilities(name).kind is not Kind.FORWARDING

    @property
    def active(self) -> str:
        """The node that has the services, by the manager's word. Raises Inconclusive when there is no single one, with what each says.

        A node whose hierarchy is incomplete still leads when the other has nothing; that it is incomplete is for other checks to say.
        """
        state = self.state()
        if state.leading is None:
            raise Inconclusive(f"{state.why_none_leads}: {state}")
        return state.leading

    def state(self, *, limit: float | None = None) -> ClusterState:
        """What the manager says of all that the file names. Another application's resources are left out: they may be anywhere, and may
        have failed. Which those are is asked where the whole is not healthy, and kept. Raises HarnessError as `Manager.state` does."""
        if self._look:
            return self._look[0]
        full_state = self.manager.state() if limit is None else self.manager.state(limit=limit)
        if not full_state.healthy:
            if not self._unrelated and self._unrelated_asked_pause.expired:
                self._unrelated = self.manager.unrelated_resources()
                self._unrelated_asked_pause = Deadline(UNRELATED_INTERVAL_S)
            full_state = full_state.without(self._unrelated)
        if self._look is not None:
            self._look.append(full_state)
        return full_state

    @contextlib.contextmanager
    def one_look(self) -> Iterator[None]:
        """Within it `state` and `active` are asked of the manager once, whoever asks: for what only describes the cluster, such as a plan,
        which names the active node in many places. What is done to it, or waits for it, must look anew."""
        self._look = []
        try:
            yield
        finally:
            self._look = None

    def standby_of(self, active: str) -> str:
        """The node that is not this one."""
        return self.cluster.peer_of(active).name

    def machine(self, name: str) -> Machine:
        """The host of that name in the cluster file."""
        return next(m for m in self.cluster.machines if m.name == name)

    def origin(self, origin: Origin, active: str) -> str:
        """The host that a path starts at, given who is active."""
        host_by_origin = {Origin.CLIENT: self.cluster.client.name, Origin.INSIDE: active, Origin.STANDBY: self.standby_of(active)}
        return host_by_origin[origin]

    def python(self, name: str) -> str:
        """The Python that the cluster file names for a host."""
        return self.machine(name).ssh.python

    def capabilities(self, name: str) -> Capabilities:
        """How connections are made from a host; asked of it once. Raises HostUnreachable, Unusable when none can be."""
        with self._capability_locks[name]:
            if name not in self._capabilities:
                capabilities = host_capabilities.ask(self.hosts[name], self.machine(name).platform, self.python(name))
                if capabilities.kind is Kind.POWERSHELL:
                    from harness.remote.agents import csharp_agent  # only a Windows host needs what there is for it

                    capabilities = host_capabilities.COMPILED if csharp_agent.compiles(self.hosts[name]) else capabilities
                self._capabilities[name] = capabilities
            return self._capabilities[name]

    def unwatchable(self) -> list[str]:
        """The hosts, of those that are present, whose packets cannot be watched, for want of a Python or, on Windows, of a compiler."""
        present = [m.name for m in self.cluster.machines if m.name not in self.absent]
        unknown = [n for n in present if n not in self._capabilities]  # asked at every check of a path: known nearly always
        self.together(*(lambda n=n: self.capabilities(n) for n in unknown))
        return [n for n in present if self.captures.source(n) is Source.NONE]

    @property
    def capture_refused(self) -> dict[str, str]:
        """Hosts that may not be captured by what runs on them, and what they said; asked of each once."""
        return self.captures.refused

    def together(self, *work: Callable[[], object]) -> list:
        """Do several things at once and return their results in order; the first failure is raised when all have ended."""
        if len(work) < 2:
            return [w() for w in work]
        # Threads of its own for each call: work may itself do things together, and must never wait for a place.
        with ThreadPoolExecutor(max_workers=len(work)) as pool:
            futures = [pool.submit(w) for w in work]
        return [f.result() for f in futures]

    def holders_of_vip(self) -> dict[str, list[str]]:
        """Which node holds the VIP, and on which interfaces with which prefix (`eth1/32`)."""
        holders: dict[str, list[str]] = {}
        vip = str(self.cluster.vip)

        def read_addresses(name: str) -> None:
            interfaces = [f"{a.interface}/{a.prefix}" for a in self.facts[name].addresses() if a.address == vip]
            if interfaces:
                holders[name] = interfaces

        self.together(*(lambda n=n.name: read_addresses(n) for n in self.cluster.nodes))
        return holders

    @contextlib.contextmanager
    def watched(self, *names: str) -> Iterator[CaptureWindow]:
        """Watch the wire on these hosts (all that are present and can be watched when none is named) while the block runs."""
        blind = () if names else self.unwatchable()
        watched_names = names or tuple(m.name for m in self.cluster.machines if m.name not in self.absent and m.name not in blind)
        captures = {name: capture for name in watched_names if (capture := self._capture_by_host.get(name)) is not None}
        with contextlib.ExitStack() as exit_stack:
            for capture in captures.values():
                exit_stack.enter_context(capture.holding())
            starts, lost_captures = mark_all(captures)
            new_names = [name for name in watched_names if name not in starts]
            begun_captures = self.together(
                *(lambda n=n: self._begin_capture(n, captures.get(n), lost_captures.get(n), exit_stack) for n in new_names)
            )
            for name, capture_and_mark in zip(new_names, begun_captures, strict=True):
                if capture_and_mark is not None:
                    captures[name], starts[name] = capture_and_mark
            yield CaptureWindow({name: captures[name] for name in watched_names if name in starts}, starts)

    def _begin_capture(
        self, name: str, old_capture: PacketCapture | None, reason: Inconclusive | None, exit_stack: contextlib.ExitStack
    ) -> tuple[PacketCapture, int] | None:
        """A new capture of the host, in place of one that died with it, and the position of what it sees from now on; None for a Windows
        host that does not allow one, whose paths are then judged by outcomes alone.

        It watches until the run ends, for hours maybe: behind what `exit_stack` holds it keeps the newest packets alone. Of several that
        ask at once one tries: a host that does not answer makes all of them wait once, and not each behind the other."""
        failure_before = self._failed_captures.get(name)
        with self._capture_locks[name]:
            failure = self._failed_captures.get(name)
            if failure is not None and failure is not failure_before:
                raise failure
            if self._capture_by_host.get(name) is old_capture:  # else another thread has begun one meanwhile
                if old_capture is not None:
                    self.timeline.note(name, "packet-capture", f"begins again: {reason}")
                    old_capture.stop()
                try:
                    self._capture_by_host[name] = self._start_capture(name)
                except HarnessError as error:
                    self._failed_captures[name] = error
                    if not isinstance(error, Unusable) or self.capabilities(name).kind is not Kind.COMPILED:
                        raise
                    self.capture_refused[name] = str(error)
                    self.timeline.note(name, "no-capture", str(error))
                    return None
            capture = self._capture_by_host[name]
            exit_stack.enter_context(capture.holding())
            return capture, capture.mark()

    def _start_capture(self, name: str) -> PacketCapture:
        """On the host, or at the network. Raises as PacketCapture's `start`."""
        capture = self.captures.begin(name, newest=True)
        if self.captures.at_network(name):
            refused = f" ({self.capture_refused[name]})" if name in self.capture_refused else ""
            loopback_words = ", what stays inside it by itself" if capture.loopback else ""
            self.timeline.note(name, "packet-capture", f"its packets are captured at the network{loopback_words}{refused}")
        return capture

    def evidence(self) -> dict[str, PacketCapture]:
        """The packet captures that have run, by host."""
        return dict(self._capture_by_host)

    def wait_until_healthy(self, deadline: Deadline) -> ClusterState:
        """Until one node is active, the other stands by and all communication paths are alive. Raises DeadlineExceeded."""
        return deadline.wait_for(self.state, until=lambda s: s.healthy, what="the cluster being healthy", every=0.2)

    def close(self) -> None:
        """Ends what runs on the hosts and closes every connection."""
        for capture in self._capture_by_host.values():
            capture.stop()
        self.captures.close()
        for worker in self.connection_workers.values():
            worker.close()
        for host in self.hosts.values():
            host.close()


class ConnectionWorkers(dict[str, "ConnectionWorker | FallbackConnector"]):
    """What makes connections from each host, by name; made when it is first needed, because the host is asked what it can bear."""

    def __init__(self, subject: ClusterUnderTest) -> None:
        self._subject = subject
        self._worker_lock = threading.Lock()

    def __missing__(self, name: str) -> ConnectionWorker | FallbackConnector:
        capabilities, host = self._subject.capabilities(name), self._subject.hosts[name]
        with self._worker_lock:
            if name not in self:
                if capabilities.full:
                    self[name] = ConnectionWorker(host, self._subject.python(name))
                else:
                    from harness.remote.connections.connector_without_python import FallbackConnector  # few clusters need it

                    self[name] = FallbackConnector(host, capabilities)
            return self[name]


class CaptureWindow:
    """What the watched hosts saw since the watching began."""

    def __init__(self, captures: Mapping[str, PacketCapture], starts: Mapping[str, int]) -> None:
        self._capture_by_host = captures
        self._starts = starts

    @property
    def watching(self) -> tuple[str, ...]:
        """The hosts that are captured."""
        return tuple(self._capture_by_host)

    @property
    def without_loopback(self) -> frozenset[str]:
        """Those of them whose captures do not see what stays inside the host."""
        return frozenset(name for name, capture in self._capture_by_host.items() if not capture.loopback)

    def packets(self) -> dict[str, list]:
        """Per host, everything captured until now, complete. Raises Inconclusive when a capture died or lost packets."""
        ends, lost_captures = mark_all(self._capture_by_host)
        for name, capture in self._capture_by_host.items():
            if name in lost_captures:
                raise lost_captures[name]
            if capture.dropped:
                reason = f" ({capture.drop_reason})" if capture.drop_reason else ""
                raise Inconclusive(f"{name}: the capture lost {capture.dropped} packets{reason}, so absence proves nothing")
            if capture.unproven:
                raise Inconclusive(f"{name}: {capture.unproven}")
        return {n: w.packets(self._starts[n], ends[n]) for n, w in self._capture_by_host.items()}
