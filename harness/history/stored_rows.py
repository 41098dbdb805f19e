"""What the store of the history hands out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StoredRun:
    """A run as the store has it. `started` in seconds since 1970; `counts` of tests; `context` is what may explain a change."""

    run_id: str
    folder: str
    stamp: str
    started: float
    iso: str
    seconds: float
    outcome: str
    reason: str
    exit_code: int
    state: str
    cluster: str
    name: str
    kind: str
    counts: dict[str, int]
    context: dict[str, str]
    asked: list[str] = field(default_factory=list)
    """The disruptions that it set out to measure (`asked_disruptions`)."""


@dataclass(frozen=True)
class StoredSeries:
    """A series: its line, and what must be the same all along it."""

    id: str
    line: dict[str, str]
    identity: dict[str, str]


@dataclass(frozen=True)
class StoredPoint:
    """The figures of one series in one run: `figures` is a SeriesRecord as data, without what is at its default."""

    run_id: str
    series: str
    figures: dict[str, Any]
