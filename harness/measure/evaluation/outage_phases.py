"""The boundaries between an outage's phases, each with its evidence or the reason why there is none; and an outage cut by them. Pure.

Nothing is guessed and no order is forced: a boundary stands where it was seen, also where that is not its usual place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from harness.measure.evaluation import database_recovery, observation_gaps
from harness.measure.evaluation.attempt_attribution import LOOPBACK, Traces
from harness.measure.measurement_result import PHASES, Boundary, Outage, SeriesResult
from harness.remote.recording.recording import NodeEvent, Recording

STILL_OUT = "still out"
NOTHING_MOVED = "not observed: nothing moved"


@dataclass(frozen=True)
class PhaseEvidence:
    """What the boundaries are looked for in. `after` is the node that served in the end, if any is known to."""

    recording: Recording
    traces: Traces  # wrong nodes already marked
    series: Sequence[SeriesResult]
    anchor: float
    after: str | None

    @property
    def node_before(self) -> str:
        """The node that was active before."""
        return self.recording.header.active

    @property
    def has_moved(self) -> bool:
        """Whether another node is active afterwards."""
        return self.after not in (None, self.node_before)

    @cached_property
    def node_after(self) -> str:
        """The node on which everything is looked for: the one that served in the end, or that took the VIP, or the old one."""
        takers = [e.host for e in self.events("vip-up") if e.host != self.node_before]
        return self.after if self.has_moved and self.after else (takers[0] if takers else self.node_before)

    @cached_property
    def services(self) -> dict[int, str]:
        """The service of each port."""
        return {series.port: series.service for series in self.recording.header.series}

    def events(self, kind: str, host: str | None = None) -> list[NodeEvent]:
        """Changes since the disruption, in order of time; what an agent found when it began is none."""
        changes = [e for e in self.recording.events if e.kind == kind and e.at >= self.anchor and host in (None, e.host)]
        changes = [e for e in changes if not e.data.get("initial")]
        return sorted(changes, key=lambda e: e.at)


def boundaries(scene: PhaseEvidence) -> list[Boundary]:
    """One Boundary for each of PHASES, in that order."""
    finders = (
        _find_noticed,
        _find_stopped,
        _find_vip_moved,
        _find_service_up,
        _find_database_ready,
        _find_probe_answered,
        _find_balancer_switched,
        _find_first_answer,
        _find_all_recovered,
    )
    return [find(scene, name) for name, find in zip(PHASES, finders, strict=True)]


def out_of_order(all_boundaries: Iterable[Boundary], anchor: float, tolerance: float) -> list[str]:
    """Sentences on boundaries that came before one that usually comes first, by more than `tolerance` seconds of measuring error."""
    return [
        f"“{later}” came before “{earlier}”: {second - anchor:+.3f} s and {first - anchor:+.3f} s"
        for (first, earlier), (second, later) in pairwise(_observed_moments(all_boundaries))
        if second < first - tolerance
    ]


def _observed_moments(all_boundaries: Iterable[Boundary]) -> list[tuple[float, str]]:
    return [(b.at, b.name) for b in all_boundaries if b.at is not None]


def stack(all_boundaries: Iterable[Boundary], outage: Outage) -> list[tuple[str, float]]:
    """An outage's seconds, cut at the boundaries that were seen in it, each piece by the name of the boundary that ends it.

    What comes after the last of them bears the name of the first boundary at or after the outage's end; where there is none, it is
    called "all recovered" (or "still out", when the outage has no end). The pieces add up to the outage.
    """
    stop = outage.start + outage.seconds
    moments = sorted(_observed_moments(all_boundaries), key=lambda moment: moment[0])
    ending = next((name for at, name in moments if at >= stop), PHASES[-1])
    pieces, since = [], outage.start
    for at, name in moments:
        if outage.start < at < stop:
            pieces.append((name, at - since))
            since = at
    rest = outage.seconds - sum(length for _, length in pieces)
    return [*pieces, (STILL_OUT if outage.end is None else ending, rest)]


def _not_observed(name: str, why: str) -> Boundary:
    return Boundary(name, None, why if why.startswith("not observed") else f"not observed: {why}")


def _find_noticed(scene: PhaseEvidence, name: str) -> Boundary:
    for event in scene.events("log"):
        if event.data.get("means") == "noticed":
            return Boundary(name, event.at, event.text.strip() or "a line of the cluster manager's log", event.host)
    return _not_observed(name, "no log line of the cluster manager says so")


def _find_stopped(scene: PhaseEvidence, name: str) -> Boundary:
    """The old side is stopped when the last of its services and the VIP are gone there."""
    old = scene.node_before
    first_up = next((e.at for e in scene.events("vip-up", scene.node_after)), float("inf")) if scene.node_after != old else float("inf")
    gone_at: dict[str, float] = {}
    for event in [*scene.events("listener-down", old), *scene.events("vip-down", old)]:
        what = "VIP" if event.kind == "vip-down" else scene.services.get(_port(event), "")
        # what was stopped again after everything had moved (a node that boots, an undoing) is another story
        if what and (what not in gone_at or event.at <= first_up):
            gone_at[what] = event.at
    if scene.node_after == old and not gone_at:
        return _not_observed(name, NOTHING_MOVED)
    wanted = {*scene.services.values(), "VIP"} if scene.node_after != old else set(gone_at)
    if missing := sorted(wanted - set(gone_at)):
        lost_at = next((start for start, _ in observation_gaps.lost_spans(scene.recording, old) if start >= scene.anchor - 1.0), None)
        if lost_at is not None:
            return _not_observed(name, f"{old} was lost {lost_at - scene.anchor:+.2f} s from the disruption, so nobody saw it stop")
        return _not_observed(name, f"{', '.join(missing)} {'was' if len(missing) == 1 else 'were'} not seen to go on {old}")
    last = max(gone_at, key=lambda what: gone_at[what])
    return Boundary(
        name, gone_at[last], f"{last} gone, after {_list_moments(scene, gone_at, but=last)}" if len(gone_at) > 1 else f"{last} gone", old
    )


def _find_vip_moved(scene: PhaseEvidence, name: str) -> Boundary:
    if scene.node_after == scene.node_before:
        return _not_observed(name, NOTHING_MOVED)
    ups = scene.events("vip-up", scene.node_after)
    if not ups:
        return _not_observed(name, f"{scene.recording.header.vip} was not seen to appear on {scene.node_after}")
    return Boundary(name, ups[0].at, f"{scene.recording.header.vip} appeared{_event_text(ups[0])}", scene.node_after)


def _find_service_up(scene: PhaseEvidence, name: str) -> Boundary:
    ups: dict[str, float] = {}
    for event in scene.events("listener-up", scene.node_after):
        service = scene.services.get(_port(event))
        if service:
            ups.setdefault(service, event.at)
    if scene.node_after == scene.node_before and not ups:
        return _not_observed(name, NOTHING_MOVED)
    wanted = set(scene.services.values()) if scene.node_after != scene.node_before else set(ups)
    if missing := sorted(wanted - set(ups)):
        others_up = f" ({_list_moments(scene, ups)} did)" if ups else ""
        return _not_observed(
            name, f"{', '.join(missing)} was not seen to begin listening on {scene.node_after}{others_up}; perhaps always listening there"
        )
    if not wanted:
        return _not_observed(name, "no attempt at a service was recorded")
    last = max(ups, key=lambda what: ups[what])
    return Boundary(name, ups[last], f"listening: {_list_moments(scene, ups)}", scene.node_after)


def _find_database_ready(scene: PhaseEvidence, name: str) -> Boundary:
    header = scene.recording.header
    recovery = database_recovery.ready(header.series, scene.traces, scene.node_after, scene.anchor)
    return (
        _not_observed(name, recovery.evidence) if recovery.at is None else Boundary(name, recovery.at, recovery.evidence, recovery.origin)
    )


def _find_probe_answered(scene: PhaseEvidence, name: str) -> Boundary:
    header = scene.recording.header
    if scene.node_after == scene.node_before:
        return _not_observed(name, NOTHING_MOVED)
    answers = (
        s.at
        for s in scene.recording.sightings
        if s.what == "syn-ack" and s.host == scene.node_after and s.outgoing and s.sport == header.probe_port and s.at >= scene.anchor
        if not header.probe_source or s.dst == header.probe_source
    )
    at = min(answers, default=None)
    return _node_boundary(scene, name, at, f"SYN-ACK out of port {header.probe_port}", f"answer the probe on port {header.probe_port}")


def _find_balancer_switched(scene: PhaseEvidence, name: str) -> Boundary:
    header, hosts = scene.recording.header, scene.recording.node_of_address
    if scene.node_after == scene.node_before:
        return _not_observed(name, NOTHING_MOVED)
    arrivals = [
        s
        for s in scene.recording.sightings
        if s.what == "syn" and s.host == scene.node_after and not s.outgoing and s.interface != LOOPBACK and s.at >= scene.anchor
        if s.dport in scene.services and hosts.get(s.src) == header.client
    ]
    first = min(arrivals, key=lambda s: s.at, default=None)
    evidence = f"SYN from {first.src}:{first.sport} to {first.dst}:{first.dport} on {first.interface}" if first else ""
    return _node_boundary(scene, name, first.at if first else None, evidence, f"receive a connection of {header.client}")


def _node_boundary(scene: PhaseEvidence, name: str, at: float | None, evidence: str, what: str) -> Boundary:
    if at is not None:
        return Boundary(name, at, evidence, scene.node_after)
    blind = scene.node_after in observation_gaps.unwatched_nodes(scene.recording)
    return _not_observed(name, f"{scene.node_after} could not capture packets" if blind else f"{scene.node_after} was not seen to {what}")


def _find_first_answer(scene: PhaseEvidence, name: str) -> Boundary:
    """By the new node; where nothing moved, the first one after the first outage."""
    since = scene.anchor
    if scene.node_after == scene.node_before:
        ends = [
            o.end for t in scene.series for o in t.outages if o.end is not None and o.end >= scene.anchor and t.origin != scene.node_before
        ]
        if not ends:
            return _not_observed(name, "no path from outside was out and came back")
        since = min(ends)
    answers = [
        (attempt.ended_at, series.id, series.origin)
        for series in scene.recording.header.series
        if series.origin != scene.node_after
        for attempt in scene.traces.get(series.id, ())
        if attempt.is_answered and attempt.node == scene.node_after and attempt.at >= since
    ]
    if not answers:
        return _not_observed(name, f"no path from outside was seen to be answered by {scene.node_after}")
    at, series_id, origin = min(answers)
    return Boundary(name, at, f"{series_id}: first right answer by {scene.node_after}", origin)


def _find_all_recovered(scene: PhaseEvidence, name: str) -> Boundary:
    outages = [(o, t) for t in scene.series if t.path for o in t.outages if o.end is None or o.end >= scene.anchor]
    if not outages:
        return _not_observed(name, "no path was out")
    out = sorted({t.id for o, t in outages if o.end is None})
    if out:
        return _not_observed(name, f"{', '.join(out)} did not come back")
    last, series = max(outages, key=lambda pair: pair[0].end or 0.0)
    return Boundary(name, last.end, f"{series.id} was the last to have recovered", series.origin)


def _port(event: NodeEvent) -> int:
    try:
        return int(event.data.get("port", 0))
    except (TypeError, ValueError):
        return 0


def _event_text(event: NodeEvent) -> str:
    return f" ({event.text.strip()})" if event.text.strip() else ""


def _list_moments(scene: PhaseEvidence, when: dict[str, float], but: str = "") -> str:
    return ", ".join(f"{what} at {at - scene.anchor:+.3f} s" for what, at in sorted(when.items(), key=lambda item: item[1]) if what != but)
