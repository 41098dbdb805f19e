"""Which files of which hosts are one incident: those that were triggered while another of them went on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.recorder.incident_files import HostIncident

MAX_TOGETHER_S = 600.0  # files of one time begin within so long: what a path does that fails now and then is not one incident for ever


def groups(incidents: Sequence[HostIncident], offsets: Mapping[str, float]) -> Iterator[list[HostIncident]]:
    """Files that tell of one time, of whichever hosts: those that something triggered while the first of them went on, or another one that
    did so. `offsets` put each host's wall clock on a common one, in seconds to add."""

    def triggered_at(incident: HostIncident) -> float:
        return incident.triggered + offsets.get(incident.host, 0.0)

    together: list[HostIncident] = []
    for incident in sorted(incidents, key=triggered_at):
        if together and triggered_at(incident) > until(together, offsets):
            yield together
            together = []
        together.append(incident)
    if together:
        yield together


def until(group: Sequence[HostIncident], offsets: Mapping[str, float]) -> float:
    """A file that was triggered by then belongs to the group, on the common clock."""
    first = min(incident.triggered + offsets.get(incident.host, 0.0) for incident in group)
    return min(max(incident.ended_at + offsets.get(incident.host, 0.0) for incident in group), first + MAX_TOGETHER_S)


def waits_for(group: Sequence[HostIncident], going_on: Sequence[tuple[str, float]], offsets: Mapping[str, float]) -> bool:
    """Whether a file that is still written belongs to the group. `going_on`: its host, and when it was triggered, on the common clock. Of a
    host that has a closed file in the group it is the next incident."""
    hosts, end = {incident.host for incident in group}, until(group, offsets)
    return any(host not in hosts and at <= end for host, at in going_on)
