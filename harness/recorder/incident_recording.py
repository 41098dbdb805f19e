"""An incident as a recording: what several hosts kept of one time, on one clock, with a header that says that nothing was done. Pure.

Times are the hosts' wall clocks, put on the harness's monotonic one by what was measured when they were fetched. How far two hosts' clocks
differ then is taken as how wrong they may have been: a clock that has been set since cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.config.cluster_config import Cluster
from harness.disrupt.disruption import Effect
from harness.expectations import outage_budget
from harness.expectations.connectivity_matrix import Origin
from harness.measure.meter import addresses_of
from harness.recorder.incident_files import STANDING, HostIncident
from harness.recorder.incident_sources import Sources
from harness.remote.recording.recording import INCIDENT, Clock, Header, Mark, NodeEvent, Noise, Sample, Series

UNKNOWN_CLOCK_ERROR_S = 1.0  # of a host whose clock could not be measured
NO_CAPTURE = "the flight recorder captures no packets"
LEAD_S = 0.001  # so long before its first sign an incident begins


@dataclass(frozen=True)
class Assembled:
    """What is written: the header, and everything else in the order of recordings."""

    header: Header
    samples: dict[str, list[Sample]]
    events: list[NodeEvent]
    noise: list[Noise]
    clocks: list[Clock]
    marks: list[Mark]
    title: str


def assemble(cluster: Cluster, sources: Sources, all_series: Sequence[Series]) -> Assembled:
    """One incident from the files that tell of it, and from every host's journal, which says how roles stood before: a node that lost its
    power may have left no file. What a host kept that could not be asked is told to be missing."""
    files, wall_minus_mono = sources.files, sources.wall_minus_mono
    shift = {host: sources.to_harness_s(host) for host in sources.hosts}
    samples: dict[str, list[Sample]] = {}
    for incident in files:
        for name, rows in incident.samples.items():
            samples.setdefault(name, []).extend(row._replace(at=row.at + shift[incident.host]) for row in rows)
    samples = {name: sorted(set(rows)) for name, rows in samples.items()}  # two files of one host may begin with the same half minute
    events = _unique_events(replace(e, at=e.at + shift[incident.host]) for incident in files for e in incident.events)
    noise = [replace(n, at=n.at + shift[incident.host]) for incident in files for n in incident.noise]
    start = min(incident.begun_at + shift[incident.host] for incident in files)
    end = max(incident.ended_at + shift[incident.host] for incident in files)
    begin = _first_sign(files, samples, events, shift) - LEAD_S
    roles_before = [
        replace(e, at=e.at + shift[host])
        for host in sources.roles
        for e in sources.state_before(host, min([begin - shift[host], *(incident.begun_at for incident in files if incident.host == host)]))
    ]
    before = [replace(e, at=start) for e in roles_before]
    active = _vip_holder([*roles_before, *(e for e in events if e.at < begin)])
    moved = any(e.kind == "vip-up" and e.host != active and e.at >= begin for e in events)
    measured_series = tuple(series for series in all_series if series.id in samples)
    why = "; ".join(
        dict.fromkeys(f"{incident.host}: {incident.why}" for incident in sorted(files, key=lambda incident: incident.triggered))
    )
    header = _make_header(cluster, measured_series, why, active, wall_minus_mono, moved=moved)
    blind = [NodeEvent(start, node, "no-capture", NO_CAPTURE) for node in header.nodes]
    lacking = [NodeEvent(start, host, "not-asked", because) for host, because in sources.lacking.items()]
    marks = [Mark(begin, "begin", why), *(Mark(e.at, "told", f"mark: {e.text}") for e in events if e.kind == "mark")]
    host_clocks = [
        _host_clock(incident, sources.clocks, cluster.client.name, end) for incident in {file.host: file for file in files}.values()
    ]
    title = "an unplanned failover: every path recovered in time" if moved else "what was recorded: no path was out"
    return Assembled(header, samples, [*blind, *lacking, *before, *events], noise, host_clocks, marks, title)


def _make_header(
    cluster: Cluster, measured_series: tuple[Series, ...], why: str, active: str, wall_minus_mono: float, *, moved: bool
) -> Header:
    """What the recording says of itself: that nothing was done, and the longest budget, as nobody knows what the cause was."""
    allowance = max(
        (outage_budget.service_crash(cluster), outage_budget.node_loss(cluster), outage_budget.switchover(cluster)),
        key=lambda candidate: candidate.seconds,
    )
    effect = Effect.RECOVERS if moved else Effect.UNTOUCHED
    return Header(
        disruption=INCIDENT,
        sentence=f"nothing was done; kept by the flight recorder because {why}",
        design=str(cluster.design),
        vip=str(cluster.vip),
        client=cluster.client.name,
        nodes=tuple(node.name for node in cluster.nodes),
        addresses=addresses_of(cluster),
        active=active,
        target=active,
        moves=None,
        expects={str(origin): str(effect) for origin in Origin},
        takes_away=moved,
        lasts=False,
        shares=False,
        budget_s=allowance.seconds,
        budget_because=allowance.because,
        probe_port=cluster.load_balancer.probe.port,
        probe_source=str(cluster.load_balancer.probe.source),
        probe_interval_s=cluster.load_balancer.probe.interval_s,
        series=measured_series,
        observed=True,
        wall_minus_mono=wall_minus_mono,
    )


def _vip_holder(events: Sequence[NodeEvent]) -> str:
    """The node that had the VIP after these events; empty where none is known to have had it."""
    last = {e.host: e for e in sorted(events, key=lambda e: e.at) if e.kind in ("vip-up", "vip-down")}
    up = [e for e in last.values() if e.kind == "vip-up"]
    return max(up, key=lambda e: e.at).host if up else ""


def _unique_events(events: Iterator[NodeEvent]) -> list[NodeEvent]:
    by_key: dict[tuple[float, str, str, str], NodeEvent] = {(e.at, e.host, e.kind, e.text): e for e in events}
    return sorted(by_key.values(), key=lambda e: e.at)


def _first_sign(
    files: Sequence[HostIncident], samples: Mapping[str, list[Sample]], events: Sequence[NodeEvent], shift: Mapping[str, float]
) -> float:
    """When the first attempt failed, the first role changed or, where neither did, somebody left a mark."""
    failed = [row.at for rows in samples.values() for row in rows if row.outcome not in ("answered", "skipped")]
    changed = [e.at for e in events if e.kind in STANDING and not e.data.get("initial")]
    return min([*failed, *changed], default=min(incident.triggered + shift[incident.host] for incident in files))


def _host_clock(incident: HostIncident, clocks: Mapping[str, Clock], client: str, at: float) -> Clock:
    """That host's clock as far as it is known for then: its error, and how far it was from the client's."""
    clock = clocks.get(incident.host)
    if clock is None:
        return Clock(incident.host, at, 0.0, UNKNOWN_CLOCK_ERROR_S)
    reference = clocks.get(client, clock)
    return Clock(incident.host, at, clock.offset_s, clock.error_s + abs(clock.wall_s - reference.wall_s), clock.wall_s)
