"""When a database that listened served at last: the end of its recovery, or of the time in which no instance was there. Pure.

An agent writes the error that a database or its listener sent into the attempt's detail. These errors say *not yet*: the process is
there and listens, the data is not served (facts PGS-01, PGS-02, ORA-11). Everything else, such as no free connection, is no phase.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.measure.evaluation.attempt_attribution import Traced, Traces
from harness.remote.recording.recording import Series

NOT_YET = {
    "SQLSTATE 57P03": "PostgreSQL starts, recovers or shuts down",
    "ORA-12514": "no instance has registered the service",
    "ORA-12526": "all instances are restricted",
    "ORA-12528": "all instances block new connections",
}
ERROR_PATTERN = re.compile(
    r"\(((?:SQLSTATE|ORA)[ -][0-9A-Z]{5})\)(?: between heartbeats)?\Z"
)  # as the agent writes it, after all that is quoted


class Ready(NamedTuple):
    """The moment, the words for it, and the host that saw it; `at` None: not seen, and the words say why."""

    at: float | None
    evidence: str
    origin: str = ""


def code_of(detail: str) -> str:
    """The database's own error in an attempt's detail that means *not yet*; else empty."""
    match = ERROR_PATTERN.search(detail)
    return match[1] if match and match[1] in NOT_YET else ""


def ready(all_series: Iterable[Series], traces: Traces, node: str, anchor: float) -> Ready:
    """The last of the databases on `node` that said *not yet* since `anchor`, by the first right answer after its last such word."""
    by_service: dict[str, list[tuple[Series, Sequence[Traced]]]] = {}
    for series in all_series:
        rows = [attempt for attempt in traces.get(series.id, ()) if attempt.at >= anchor and attempt.node == node]
        by_service.setdefault(series.service, []).append((series, rows))
    moments = [moment for service, rows in by_service.items() if (moment := _last_ready(service, rows, node, anchor))]
    if not moments:
        return Ready(None, f"no database was seen to recover, or to wait for its instance, on {node}")
    return max(moments, key=lambda moment: float("inf") if moment.at is None else moment.at)


def _last_ready(service: str, rows: Sequence[tuple[Series, Sequence[Traced]]], node: str, anchor: float) -> Ready | None:
    refusals = sorted((attempt.at, code_of(attempt.detail)) for _, attempts in rows for attempt in attempts if code_of(attempt.detail))
    if not refusals:
        return None
    (first, _), (last, code) = refusals[0], refusals[-1]
    sentence = f"{service}: {code} ({NOT_YET[code]}), told {len(refusals)} times, from {first - anchor:+.3f} to {last - anchor:+.3f} s"
    answers = [(attempt.ended_at, series) for series, attempts in rows for attempt in attempts if attempt.is_answered and attempt.at > last]
    if not answers:
        return Ready(None, f"{sentence}; it was not seen to serve on {node} after that")
    at, series = min(answers, key=lambda answer: answer[0])
    return Ready(at, f"{sentence}; then served, by {series.id}, asked every {series.period_s:g} s", series.origin)
