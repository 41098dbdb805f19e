"""Nights in which a disruption was to be measured and was not: of these a line has no figure, and would look steady for ever. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from harness.history.asked_disruptions import ALL
from harness.history.stored_rows import StoredRun


def unmeasured_nights(runs: Sequence[StoredRun], measured: Mapping[str, Set[str]]) -> dict[tuple[str, str], list[int]]:
    """By cluster and disruption, the places of the runs that set out to measure it and have no figure of it.

    `runs` are in order of time; `measured`: a run's id → the disruptions that it has figures of. A run for all disruptions is taken to have
    been for those that the newest run before it measured: those that are never done unless they are named are not missed in it.
    """
    nights: dict[tuple[str, str], list[int]] = {}
    usual: dict[str, Set[str]] = {}
    for place, run in enumerate(runs):
        own = measured.get(run.run_id, frozenset())
        asked = {name for name in run.asked if name != ALL} | (usual.get(run.cluster, frozenset()) if ALL in run.asked else frozenset())
        for disruption in sorted(asked - own) if run.cluster else ():
            nights.setdefault((run.cluster, disruption), []).append(place)
        if own:
            usual[run.cluster] = own
    return nights
