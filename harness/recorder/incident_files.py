"""What a flight recorder kept, as its files say it: incidents and the journal, on the host's own wall clock. Pure.

The files come from hosts, and may be cut off or hold anything: what cannot be read is left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.remote.agents.spool_reader import OUTCOMES
from harness.remote.recording.recording import NodeEvent, Noise, Sample

STANDING = ("vip-up", "vip-down", "listener-up", "listener-down")


@dataclass(frozen=True)
class HostIncident:
    """One file of one host. Times are seconds since 1970 by the host's wall clock; series are named as in the plan."""

    host: str
    name: str
    why: str
    triggered: float
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    events: list[NodeEvent] = field(default_factory=list)
    noise: list[Noise] = field(default_factory=list)

    @property
    def begun_at(self) -> float:
        """The first moment of which it tells."""
        return min([self.triggered, *(row.at for rows in self.samples.values() for row in rows[:1]), *(e.at for e in self.events[:1])])

    @property
    def ended_at(self) -> float:
        """The last moment of which it tells."""
        return max([self.triggered, *(row.at for rows in self.samples.values() for row in rows[-1:]), *(e.at for e in self.events[-1:])])


def incident(host: str, name: str, text: str) -> HostIncident | None:
    """The incident in a file; None for one without a header that can be read."""
    lines = text.splitlines()
    header = _json(lines[0][2:]) if lines and lines[0].startswith("a ") else None
    try:
        assert header is not None
        base = float(header["wall"]) - float(header["mono"]) + float(header["t0"])
        series = [str(series_id) for series_id in header["series"]]
        result = HostIncident(host, name, str(header["why"]), float(header["wall"]))
    except (AssertionError, KeyError, TypeError, ValueError):
        return None
    for line in lines[1:]:
        try:
            _take_line(result, base, series, line)
        except (ValueError, KeyError, IndexError, TypeError):
            continue  # a line that a full disk or a power loss cut
    for rows in result.samples.values():
        rows.sort()
    result.events.sort(key=lambda event: event.at)
    return result


def _take_line(incident: HostIncident, base: float, series: Sequence[str], line: str) -> None:
    kind, text = line[:2], line[2:]
    if kind == "s ":
        number, at, took, outcome, port, detail = text.split(" ", 5)
        incident.samples.setdefault(series[int(number)], []).append(
            Sample(base + int(at) / 1e6, int(took) / 1e6, OUTCOMES[outcome], int(port), detail)
        )
    elif kind == "n ":
        at, ticks, late, worst, steal, load = text.split(" ")
        incident.noise.append(
            Noise(base + int(at) / 1e6, incident.host, int(ticks), int(late), int(worst) / 1e6, float(steal), float(load))
        )
    elif kind == "v ":
        record = json.loads(text)
        incident.events.append(
            NodeEvent(base + record["at"] / 1e6, incident.host, str(record["kind"]), str(record["text"]), dict(record["data"]))
        )


def role_events(host: str, journal: str) -> list[NodeEvent]:
    """What a journal says of addresses and listeners, in its order, on the host's wall clock."""
    events: list[NodeEvent] = []
    base: float | None = None
    for line in journal.splitlines():
        record = _json(line[2:])
        try:
            if line.startswith("a ") and record is not None:
                base = float(record["wall"]) - float(record["mono"]) + float(record["t0"])
            elif line.startswith("v ") and record is not None and base is not None and record["kind"] in STANDING:
                events.append(NodeEvent(base + record["at"] / 1e6, host, str(record["kind"]), str(record["text"]), dict(record["data"])))
        except (KeyError, TypeError, ValueError):
            continue
    return events


def state_before(roles: Sequence[NodeEvent], before: float) -> list[NodeEvent]:
    """What an address and each listener had last come to, by one host's `role_events`, before a moment of its wall clock."""
    last = {(event.kind.partition("-")[0], event.data.get("port")): event for event in roles if event.at < before}
    return list(last.values())


def _json(text: str) -> dict[str, Any] | None:
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
