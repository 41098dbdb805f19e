"""Who was there to measure and to watch: hosts that were lost, nodes that could not capture, and where the evidence ends. Pure."""

from __future__ import annotations

from statistics import median

from harness.remote.recording.recording import Recording

Span = tuple[float, float]
LOST = {"host-lost": "host", "agent-lost": "agent"}
CAPTURE_EVENTS = ("witness-lost", "witness-back")
BACK = {"host-back": "host", "agent-back": "agent"}


def extent(recording: Recording) -> Span:
    """From the first to the last moment that the recording tells of."""
    moments = [row.at for rows in (recording.events, recording.marks, recording.sightings, recording.tokens) for row in rows]
    for rows in recording.samples.values():
        moments += [row.at for row in rows]
    for series in recording.header.series:
        if measured := recording.samples.get(series.id):
            moments.append(max(row.at for row in measured) + series.period_s)
    return (min(moments), max(moments)) if moments else (0.0, 0.0)


def lost_spans(recording: Recording, host: str, *, itself: bool = False) -> list[Span]:
    """When a host, or the agent on it (not where it is `itself` asked for), was not to be reached; one that never came back, to the
    recording's end."""
    spans: list[Span] = []
    missing: dict[str, float] = {}
    for event in sorted((e for e in recording.events if e.host == host), key=lambda e: e.at):
        if itself and event.kind.startswith("agent"):
            continue
        if event.kind in LOST:
            missing.setdefault(LOST[event.kind], event.at)
        elif event.kind in BACK and (since := missing.pop(BACK[event.kind], None)) is not None:
            spans.append((since, event.at))
    if missing:
        end = extent(recording)[1]
        spans += [(since, end) for since in missing.values()]
    return sorted(spans)


def gone_since(recording: Recording, host: str) -> float | None:
    """When a host was lost for good, as far as measuring from it goes: no sample of it began after it was (its longest limit later)."""
    spans = lost_spans(recording, host)
    series = [t for t in recording.header.series if t.origin == host]
    last = max((row.at for t in series for row in recording.samples.get(t.id, ())), default=None)
    reach = max((t.limit_s + 5 * t.period_s for t in series), default=0.0)
    return next((start for start, _ in spans if last is None or last <= start + reach), None)


def unwatched_nodes(recording: Recording) -> list[str]:
    """Nodes whose packets nobody watched."""
    return sorted({e.host for e in recording.events if e.kind == "no-capture"} & set(recording.header.nodes))


def limited_hosts(recording: Recording) -> dict[str, str]:
    """Hosts that bore less than the whole agent, and what that left, in a sentence."""
    return {e.host: e.text for e in recording.events if e.kind == "coarse"}


def unseen_nodes(recording: Recording) -> list[str]:
    """Nodes without Python whose packets are not known; of connections at most those that stand for a while."""
    return sorted((set(limited_hosts(recording)) & set(recording.header.nodes)) - without_loopback(recording))


def without_loopback(recording: Recording) -> set[str]:
    """Hosts whose packets were captured, but for those that stay inside them."""
    return {e.host for e in recording.events if e.kind == "no-loopback"}


def unwatched_spans(recording: Recording) -> list[Span]:
    """When some node's traffic was not watched."""
    if unwatched_nodes(recording):
        return [(float("-inf"), float("inf"))]
    return sorted(span for node in recording.header.nodes for span in [*lost_spans(recording, node), *uncaptured_spans(recording, node)])


def uncaptured_spans(recording: Recording, node: str) -> list[Span]:
    """When a node's packets were not, or not all, watched, as its capture's own life tells; nothing in a recording of before.

    An event tells from when (`from`) and until when (`until`) something is missing, else its own moment does.
    """
    spans: list[Span] = []
    since: float | None = None
    for event in sorted((e for e in recording.events if e.host == node and e.kind in CAPTURE_EVENTS), key=lambda e: e.at):
        missing_from, missing_until = event.data.get("from", event.at), event.data.get("until", event.at)
        if event.kind == "witness-lost" and since is None:
            since = missing_from
        elif event.kind == "witness-back":
            spans.append((missing_from if since is None else min(since, missing_from), max(missing_until, event.at)))
            since = None
    return spans if since is None else [*spans, (since, float("inf"))]


def look_intervals(recording: Recording) -> dict[str, tuple[float, float]]:
    """How long it took from one look at the VIP, listeners and connections of a host to the next, in seconds, by hosts that told it: as a
    rule (the median of their means), and the longest."""
    means: dict[str, list[float]] = {}
    longest: dict[str, float] = {}
    for event in recording.events:
        if event.kind == "looks":
            means.setdefault(event.host, []).append(event.data["every"])
            longest[event.host] = max(longest.get(event.host, 0.0), event.data["longest"], event.data.get("vip_longest", 0.0))
    return {host: (median(host_means), longest[host]) for host, host_means in means.items()}
