"""What an incident is assembled from: several hosts' files and journals, with their clocks. It is stored beside a run that lacks a host, so
that the incident can be completed when that host is back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.core.files import open_text, packed, write_atomically
from harness.core.redaction.output_redaction import Cleaner
from harness.recorder.incident_files import HostIncident, state_before
from harness.remote.recording.recording import Clock, NodeEvent, Noise, Sample

FILE = "hosts.jsonl"  # beside the recording of an incident that lacks a host
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Sources:
    """`roles`: host → what its journal tells of addresses and listeners, on its wall clock. `clocks` and `wall_minus_mono` relate to the
    harness's clocks when they were asked. `lacking`: host → why it could not be asked."""

    files: tuple[HostIncident, ...]
    clocks: Mapping[str, Clock]
    roles: Mapping[str, Sequence[NodeEvent]]
    wall_minus_mono: float
    lacking: Mapping[str, str] = field(default_factory=dict)

    @property
    def hosts(self) -> list[str]:
        """Those that it has something of."""
        return list(dict.fromkeys([*(incident.host for incident in self.files), *self.roles]))

    def to_harness_s(self, host: str) -> float:
        """What to add to a host's wall clock for the harness's monotonic one; a clock that could not be measured is taken for right."""
        return self.clocks[host].wall_s if host in self.clocks else -self.wall_minus_mono

    def offset_s(self, host: str) -> float:
        """What to add to a host's wall clock for the harness's wall clock."""
        return self.to_harness_s(host) + self.wall_minus_mono

    def state_before(self, host: str, before: float) -> list[NodeEvent]:
        """What that host's address and listeners had last come to before a moment of its wall clock."""
        return state_before(self.roles.get(host, ()), before)

    def with_others(self, later: Sources, files: Sequence[HostIncident]) -> Sources:
        """These and what hosts that were lacking said later: their clocks and roles, and those of their files that belong to it."""
        new_hosts = [host for host in self.lacking if host not in later.lacking]
        known_files = {(incident.host, incident.name) for incident in self.files}
        shift = self.wall_minus_mono - later.wall_minus_mono  # from the clock of the harness that asked first to the later one's
        clocks = {host: replace(clock, offset_s=clock.offset_s + shift, wall_s=clock.wall_s + shift) for host, clock in self.clocks.items()}
        return Sources(
            files=(*self.files, *(incident for incident in files if (incident.host, incident.name) not in known_files)),
            clocks={**clocks, **{host: later.clocks[host] for host in new_hosts if host in later.clocks}},
            roles={**self.roles, **{host: later.roles[host] for host in new_hosts if host in later.roles}},
            wall_minus_mono=later.wall_minus_mono,
            lacking={host: why for host, why in self.lacking.items() if host not in new_hosts},
        )


def store(path: Path, sources: Sources, cleaner: Cleaner) -> None:
    """Write them without secrets, a line for each host and file, as a whole or not at all. Raises OSError."""

    def clean_events(log: str, events: Sequence[NodeEvent]) -> list[NodeEvent]:
        return [replace(event, text=cleaner.line(log, event.text)) if event.kind == "log" else event for event in events]

    roles = {host: clean_events(f"{host}'s journal", events) for host, events in sources.roles.items()}
    files = [replace(incident, events=clean_events(f"{incident.host}'s {incident.name}", incident.events)) for incident in sources.files]
    rows: list[dict[str, Any]] = [{"wall_minus_mono": sources.wall_minus_mono, "lacking": dict(sources.lacking)}]
    rows += [{"clock": asdict(clock)} for clock in sources.clocks.values()]
    rows += [{"host": host, "roles": [asdict(event) for event in events]} for host, events in roles.items()]
    rows += [{"file": asdict(incident)} for incident in files]
    lines = [json.dumps(cleaner.data(row), separators=(",", ":"), ensure_ascii=False) for row in rows]
    write_atomically(path, "\n".join([*lines, ""]))


def load(path: Path) -> Sources:
    """Those that were stored, packed or not. Raises what is in UNREADABLE."""
    with open_text(path) as file:
        first, *rows = [json.loads(line) for line in file]
    clocks = [Clock(**row["clock"]) for row in rows if "clock" in row]
    files = tuple(_read_file(row["file"]) for row in rows if "file" in row)
    if not files:
        raise ValueError("no host's file is in it")
    return Sources(
        files=files,
        clocks={clock.host: clock for clock in clocks},
        roles={row["host"]: [NodeEvent(**event) for event in row["roles"]] for row in rows if "roles" in row},
        wall_minus_mono=float(first["wall_minus_mono"]),
        lacking=dict(first["lacking"]),
    )


def remove(path: Path) -> None:
    """Nothing is lacking any more. Raises OSError."""
    for form in (path, packed(path)):
        form.unlink(missing_ok=True)


def _read_file(row: dict[str, Any]) -> HostIncident:
    return HostIncident(
        host=row["host"],
        name=row["name"],
        why=row["why"],
        triggered=float(row["triggered"]),
        samples={series: [Sample(*sample) for sample in samples] for series, samples in row["samples"].items()},
        events=[NodeEvent(**event) for event in row["events"]],
        noise=[Noise(**noise) for noise in row["noise"]],
    )
