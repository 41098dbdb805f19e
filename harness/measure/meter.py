"""The meter: an agent on every host that measures the VIP from there, a packet capture on every node, and one recording for each thing
that is measured. The agents run on between recordings, so that a recording begins on warm ground."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cluster.capture_sources import Source
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config.cluster_config import Cluster, Service
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Unusable
from harness.hosts.host import HostUnreachable
from harness.measure.connection_rates import OTHER_PERIOD_S, requested_period_s
from harness.measure.evaluation.timing_quality import MIN_CALM_LINES, is_calm
from harness.measure.live_state import Live
from harness.measure.unrecorded_time import UnrecordedTime
from harness.remote.agents.agent_factory import Measures, agent_of
from harness.remote.agents.agent_launch import AgentPlan, AgentSeries, AgentWatch, bearable
from harness.remote.captures.capture_session import SYN, PacketCapture
from harness.remote.captures.continuous_capture import Watched
from harness.remote.host_capabilities import Capabilities, Kind
from harness.remote.recording.packets import Packet
from harness.remote.recording.recording import NEW, PINNED, CapturedPacket, Clock, Header, NodeEvent, Noise, Recorder, Sample, Series
from harness.services import service_registry

ATTEMPT_TIMEOUT_S = 0.25  # an attempt that has heard nothing for so long is given up (facts, measuring: open loop)
PINNED_ATTEMPT_TIMEOUT_S = 1.0
WATCH_INTERVAL_S = 0.005
FLUSH = 64
MIN_ATTEMPTS = 4  # attempts that tell whether a path is right


def series_of(cluster: Cluster, period_s: float, capabilities: Mapping[str, Capabilities]) -> list[Series]:
    """Every service from every host, new connections; and a pinned one where the service keeps a connection (facts, measuring).

    As often, and as many of them, as each host can bear: a series's period is the one that is kept.
    """
    all_series = []
    for machine in cluster.machines:
        host_capabilities = capabilities[machine.name]
        for i, service in enumerate(cluster.services):
            hello = service_registry.hello(service, cluster)
            period = bearable(host_capabilities.period_s(requested_period_s(i, period_s)), hello)
            all_series.append(
                Series(f"{machine.name}/{service.name}/new", machine.name, service.name, NEW, service.port, period, ATTEMPT_TIMEOUT_S)
            )
            if host_capabilities.keeps and hello.keeps:
                pinned_period_s = max(period_s, OTHER_PERIOD_S)
                pinned = Series(
                    f"{machine.name}/{service.name}/pinned",
                    machine.name,
                    service.name,
                    PINNED,
                    service.port,
                    pinned_period_s,
                    PINNED_ATTEMPT_TIMEOUT_S,
                )
                all_series.append(pinned)
    return all_series


def series_plan(cluster: Cluster, series: Series, service: Service) -> AgentSeries:
    """What an agent does for a series: what it says to that service, and what it expects to hear."""
    hello = service_registry.hello(service, cluster)
    words = (hello.say, hello.expect, hello.again, hello.http)
    return AgentSeries(series.id, str(cluster.vip), series.port, series.kind, series.period_s, series.limit_s, *words)


def addresses_of(cluster: Cluster) -> dict[str, list[str]]:
    """Every host's own addresses, by the cluster file."""
    client_addresses = {cluster.client.name: [str(cluster.client.address)]}
    return client_addresses | {n.name: [str(n.address), str(n.second_address)] for n in cluster.nodes}


class Meter:
    """`start` it once; then `recording` as often as wanted; `stop` leaves nothing on the hosts."""

    def __init__(self, subject: ClusterUnderTest, *, period_s: float = 0.01, lifetime_s: float = 7200.0) -> None:
        cluster, probe = subject.cluster, subject.cluster.load_balancer.probe
        self.subject = subject
        names = [m.name for m in cluster.machines]
        self._capabilities = dict(zip(names, subject.together(*(lambda n=n: subject.capabilities(n) for n in names)), strict=True))
        self.series = series_of(cluster, period_s, self._capabilities)
        at_network = [node.name for node in cluster.nodes if subject.captures.at_network(node.name)]
        sentences = {
            name: capabilities.sentence(name, period_s, captured_elsewhere=name in at_network)
            for name, capabilities in self._capabilities.items()
        }
        self.coarse = {name: sentence for name, sentence in sentences.items() if sentence}  # hosts that bear less than the whole agent
        self.addresses = addresses_of(cluster)
        compiled = [name for name, capabilities in self._capabilities.items() if capabilities.kind is Kind.COMPILED]
        self.live = Live(self.series, self.addresses, (str(probe.source), probe.port), without_loopback=compiled)
        self.blind: dict[str, str] = {}  # nodes whose packets cannot be watched, and why
        self._at_network: frozenset[str] = frozenset()  # nodes whose packets are captured at the network's end of their links
        self._lifetime_s = lifetime_s
        self._agents: dict[str, Measures] = {}
        self._recorder: Recorder | None = None
        self._since = 0.0  # when its recording began …
        self.recorded_until: float | None = None  # … and the newest one ended; None before that
        self._unrecorded = UnrecordedTime(self.series)  # since it ended …
        self._unrecorded_before = self._unrecorded  # … and before it began
        self._watched: dict[str, Watched] = {}
        self._clocks: dict[str, Clock] = {}
        self._standing: dict[
            tuple[str, str, Any], NodeEvent
        ] = {}  # the last word on each VIP and listener, for recordings that begin later
        self._sightings: list[CapturedPacket] = []
        self._noise: dict[str, deque[Noise]] = defaultdict(lambda: deque(maxlen=MIN_CALM_LINES))  # the newest of each host
        self._lock = threading.RLock()

    def start(self) -> None:
        """Returns when every agent measures. Raises HostUnreachable, or Unusable when a host cannot run it."""
        nodes = [node.name for node in self.subject.cluster.nodes]
        self.subject.together(*(lambda n=n: self._check_capture(n) for n in nodes))
        self._at_network = frozenset(node for node in nodes if self.subject.captures.at_network(node))
        self.live.without_loopback |= {node for node in nodes if self.subject.captures.without_loopback(node)}
        for machine in self.subject.cluster.machines:
            self._agents[machine.name] = self._make_agent(machine.name)
        self.subject.together(*(a.start for a in self._agents.values()))

    def _make_agent(self, name: str) -> Measures:
        plan = self._make_plan(name, self._lifetime_s)
        return agent_of(self.subject.hosts[name], self._capabilities[name], self.subject.python(name), plan, _MeterSink(self, name))

    def _check_capture(self, node: str) -> None:
        """Find out whether a node's packets may be watched, and where. Where a check of paths has watched them already, that is known."""
        if node in self.subject.evidence():
            return
        captures = self.subject.captures
        if captures.source(node) is Source.NONE and not self._capabilities[node].captures:
            self.blind[node] = f"{node}: its packets cannot be watched without Python"
            return
        try:
            with self._make_capture(node):
                return
        except Unusable as error:
            if isinstance(error, HostUnreachable) or not captures.fall_back(node, str(error)):
                self.blind[node] = str(error)
                return
        self._check_capture(node)

    def _make_capture(self, node: str, tell: Callable[[Packet], None] | None = None) -> PacketCapture:
        return self.subject.captures.make(node, flags=SYN, tell=tell, newest=tell is not None)

    def stop(self) -> list[str]:
        """End the agents and remove what they left. Returns what could not be done, in sentences."""
        agents, self._agents = self._agents, {}
        return [fault for faults in self.subject.together(*(a.stop for a in agents.values())) for fault in faults]

    @contextlib.contextmanager
    def recording(self, path: Path, header: Header) -> Iterator[Recorder]:
        """Everything that is seen while the block runs goes to `path`; the packets beside it, as NODE.pcapng."""
        self._renew_agents()
        with Recorder(path, replace(header, wall_minus_mono=time.time() - time.monotonic()), clean=self.subject.cleaner.data) as recorder:
            with self._lock:
                self._recorder, self._since = recorder, time.monotonic()
                self._unrecorded.end(self._since)
                for clock in self._clocks.values():
                    recorder.add(clock)
                for event in self._standing.values():
                    recorder.add(replace(event, at=time.monotonic()))
                for host, sentence in self.coarse.items():
                    recorder.add(NodeEvent(time.monotonic(), host, "coarse", sentence))
            try:
                self.subject.together(*(lambda n=n.name: self._watch(n) for n in self.subject.cluster.nodes))
                self._renew_kept()
                yield recorder
            finally:
                try:
                    self.subject.together(*(capture.end for capture in self._watched.values()))
                finally:  # what is measured while captures are stopped and written would have no packets that show who answered
                    with self._lock:
                        self._flush()
                        self._recorder, self.recorded_until = None, time.monotonic()
                        self._unrecorded_before, self._unrecorded = self._unrecorded, UnrecordedTime(self.series)
                        self._unrecorded.begin(self.recorded_until)
                    self._end_watching(path.parent)

    def unwatched_s(self, after: float) -> float:
        """For how many seconds a path may have been out unseen between `after`, when an earlier recording (any meter's) ended, and the
        beginning of the newest."""
        return self._unrecorded_before.in_doubt_s(after)

    def clock(self, host: str) -> Clock | None:
        """The newest measurement of a host's clock."""
        return self._clocks.get(host)

    def all_right(self, hosts: list[str], node: str | None, *, since: float) -> bool:
        """Is every series from these hosts answered by `node` (any one node, when None) and has been since then?"""
        watched = {name: capabilities.tells_port and not self.blind for name, capabilities in self._capabilities.items()}
        series = [t for t in self.series if t.origin in hosts]
        return all(self.live.is_right(t.id, node, since=min(since, _judged_since(t)), watched=watched[t.origin]) for t in series)

    def wait_until_right(self, hosts: list[str], node: str | None, deadline: Deadline, *, steady_s: float) -> None:
        """Until every series from these hosts has been answered by `node` for `steady_s` without a gap. Raises DeadlineExceeded."""
        deadline.wait_for(
            lambda: self.all_right(hosts, node, since=time.monotonic() - steady_s - ATTEMPT_TIMEOUT_S),
            what=f"every path from {', '.join(hosts)} being answered{f' by {node}' if node else ''} for {steady_s:g} s",
            every=0.05,
        )

    def wait_until_calm(self, deadline: Deadline) -> None:
        """Until every measuring host has kept its ticks for a few seconds. Raises DeadlineExceeded."""
        self._noise.clear()
        deadline.wait_for(self._is_calm, what=f"{' and '.join(self._agents)} keeping their ticks", every=0.2)

    def _is_calm(self) -> bool:
        with self._lock:
            newest = {host: list(self._noise.get(host, ())) for host in self._agents}
        return all(is_calm(host, lines, min(t.period_s for t in self.series if t.origin == host)) for host, lines in newest.items())

    def _make_plan(self, host: str, lifetime_s: float) -> AgentPlan:
        cluster = self.subject.cluster
        services = {s.name: s for s in cluster.services}
        series = [series_plan(cluster, t, services[t.service]) for t in self.series if t.origin == host]
        if host == cluster.client.name or not self._capabilities[host].watches:
            return AgentPlan(series, lifetime_s)
        ports = (*(s.port for s in cluster.services), cluster.load_balancer.probe.port)
        watch = AgentWatch(
            vip=str(cluster.vip),
            ports=ports,
            connections=tuple(s.port for s in cluster.services) if host in {*self.blind, *self.live.without_loopback} else (),
            log=str(self.subject.manager.log or ""),
            every_s=WATCH_INTERVAL_S,
        )
        return AgentPlan(series, lifetime_s, watch)

    # what comes in
    def _watch(self, node: str) -> None:
        """Begin to watch a node's packets; where that is not allowed, its connections are looked at instead, and that is told."""
        if node in self.blind:
            capabilities = self._capabilities[node]
            every = f" every {WATCH_INTERVAL_S * 1000:g} ms" if capabilities.full else ""  # else the agent tells how often it really is
            text = f"{self.blind[node]}{f'; its connections were looked at{every} instead' if capabilities.watches else ''}"
            self.event(NodeEvent(time.monotonic(), node, "no-capture", text))
            return
        if node in self.live.without_loopback:
            self.event(NodeEvent(time.monotonic(), node, "no-loopback", "what stays inside it is in no capture: by that it is known"))
        watched = Watched(node, lambda: self._make_capture(node, lambda packet: self._take_packet(node, packet)), self.event)
        with self._lock:
            self._watched[node] = watched
        watched.start()

    def _end_watching(self, folder: Path) -> None:
        with self._lock:
            captures, self._watched = self._watched, {}
        self.subject.together(*(capture.stop for capture in captures.values()))
        for node, capture in captures.items():
            file = folder / f"{node}.pcapng"
            try:
                capture.write_pcap(file)
            except OSError as error:  # a disk that is full: the recording says what was measured, and what was done is undone all the same
                file.unlink(missing_ok=True)
                fault = f"{file.name} of {folder.name} could not be written: {error.strerror or error}"
                self.subject.timeline.note("harness", "evidence-fault", fault)

    def _renew_agents(self) -> None:
        """An agent that has ended, or has less than half of its lifetime left, is replaced before something is measured by it."""

        def renew(name: str, old: Measures) -> None:
            fresh = self._make_agent(name)
            try:
                fresh.start()
            except HarnessError as error:  # the old one may still measure; if it does not, the paths are not right, and that is said
                self.subject.timeline.note(name, "agent", f"it could not be renewed: {error}")
                return
            self._agents[name] = fresh
            for fault in old.stop():
                self.subject.timeline.note(name, "agent", fault)

        expiring = {name: agent for name, agent in self._agents.items() if agent.remaining_s < self._lifetime_s / 2}
        self.subject.together(*(lambda n=n, agent=agent: renew(n, agent) for n, agent in expiring.items()))

    def _renew_kept(self) -> None:
        """Kept connections are made anew while captures run: a node that answers one from before would not be known."""
        for name, agent in self._agents.items():
            try:
                agent.renew()
            except OSError as error:
                self.subject.timeline.note(name, "agent", f"its kept connections are from before: {error}")

    def _take_packet(self, node: str, packet: Packet) -> None:
        if packet.protocol != "tcp":
            return
        # What is captured at the network has this machine's clock, whatever the node's is.
        clock = None if node in self._at_network and not packet.local else self._clocks.get(node)
        at = packet.time + clock.wall_s if clock else packet.time - time.time() + time.monotonic()
        what = "syn" if packet.is_syn else "syn-ack" if packet.is_syn_ack else "rst" if packet.is_rst else "data"
        captured = CapturedPacket(at, node, packet.interface, what, packet.src, packet.sport, packet.dst, packet.dport, packet.outgoing)
        with self._lock:
            self._sightings.append(captured)
            if len(self._sightings) >= FLUSH:
                self._flush()

    def _flush(self) -> None:
        rows, self._sightings = self._sightings, []
        if rows:
            self.live.sightings(rows)
            if self._recorder is not None:
                self._recorder.sightings(rows)

    def samples(self, series: str, rows: list[Sample]) -> None:
        """Takes attempts from an agent, for the screen and the recording; what began before that is not its concern, whenever it ended."""
        self.live.samples(series, rows)
        self._unrecorded.samples(series, rows)
        with self._lock:
            self._flush()
            if self._recorder is not None:
                self._recorder.samples(series, [row for row in rows if row.at >= self._since])

    def _take_connection(self, event: NodeEvent) -> None:
        """A connection that was looked at, in the place of its packets."""
        data, own_addresses = event.data, {*self.addresses[event.host], str(self.subject.cluster.vip)}
        interface = "lo" if data["peer"] in own_addresses else ""
        if not interface and event.host not in self.blind:
            return  # the capture sees its packets
        captured = CapturedPacket(
            event.at, event.host, interface, "socket", data["peer"], data["peer_port"], data["address"], data["port"], False
        )
        with self._lock:
            self._sightings.append(captured)

    def event(self, event: NodeEvent) -> None:
        """Takes an event from an agent."""
        if event.kind == "connected":
            return self._take_connection(event)
        if event.kind == "log" and self.subject.manager.notices(event.text):
            event = replace(event, data={**event.data, "means": "noticed"})
        if event.kind == "log":
            event = replace(event, text=self.subject.cleaner.line(event.host, event.text))
        else:  # what a host's program said when it ended, which the live view prints
            event = replace(event, text=self.subject.cleaner.text(event.text))
        if event.kind != "looks":
            self.live.event(event)
        with self._lock:
            if event.kind.startswith(("vip-", "listener-")):
                self._standing[event.host, event.kind.partition("-")[0], event.data.get("port")] = event
            if self._recorder is not None:
                self._recorder.add(event)

    def add(self, measurement: Noise | Clock) -> None:
        """Takes a host's noise or clock."""
        with self._lock:
            if isinstance(measurement, Clock):
                self._clocks[measurement.host] = measurement
            else:
                self._noise[measurement.host].append(measurement)
            if self._recorder is not None:
                self._recorder.add(measurement)


def _judged_since(series: Series) -> float:
    """The latest moment since which a series must have been right to be called so: a few of its attempts have ended since."""
    return time.monotonic() - series.limit_s - MIN_ATTEMPTS * series.period_s


class _MeterSink:
    """What one agent tells goes to the meter."""

    def __init__(self, meter: Meter, host: str) -> None:
        self._meter = meter
        self._host = host

    def samples(self, series: str, rows: list[Sample]) -> None:
        self._meter.samples(series, rows)

    def event(self, event: NodeEvent) -> None:
        self._meter.event(event)

    def noise(self, noise: Noise) -> None:
        self._meter.add(noise)

    def clock(self, clock: Clock) -> None:
        self._meter.add(clock)
