"""Which files of which hosts are one incident: those that were triggered while another of them went on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.recorder.incident_files import HostIncident

MAX_TOGETHER_S = 600.0  # files of one time begin within so long: what a path does that fails now and then is not one incident for ever


def groups(incidents: Sequence[HostIncident], offsets: Mapping[str, float]) -> Iterator[list[HostIncident]]:
    """Files that tell of one time, of whichever hosts: those that something triggered while the first of them went on, or another one that
    did so. `offsets` put each host's wall clock on a common one, in seconds to add."""

    def triggered(one: HostIncident) -> float:
        return one.triggered + offsets.get(one.host, 0.0)

    together: list[HostIncident] = []
    for one in sorted(incidents, key=triggered):
        if together and triggered(one) > until(together, offsets):
            yield together
            together = []
        together.append(one)
    if together:
        yield together


def until(group: Sequence[HostIncident], offsets: Mapping[str, float]) -> float:
    """A file that was triggered by then belongs to the group, on the common clock."""
    first = min(one.triggered + offsets.get(one.host, 0.0) for one in group)
    return min(max(one.ended + offsets.get(one.host, 0.0) for one in group), first + MAX_TOGETHER_S)


def waits_for(group: Sequence[HostIncident], going_on: Sequence[tuple[str, float]], offsets: Mapping[str, float]) -> bool:
    """Whether a file that is still written belongs to the group. `going_on`: its host, and when it was triggered, on the common clock. Of a
    host that has a closed file in the group it is the next incident."""
    hosts, end = {one.host for one in group}, until(group, offsets)
    return any(host not in hosts and at <= end for host, at in going_on)
