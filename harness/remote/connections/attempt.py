"""Attempts: connections tried from a host, each with its precise outcome and the port that identifies it on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Inconclusive
from harness.remote.connections.attempt_outcome import MEANING, OUTCOME_OF, AttemptOutcome
from harness.remote.connections.connector_base import ConnectorBase
from harness.remote.connections.worker_session import ConnectionWorker

MAX_CONCURRENT_ATTEMPTS = 256  # the most sockets that one call has open together; further attempts wait for a free place
START_TIMEOUT_S = 15.0  # for the log-in and the interpreter's start, beyond what the attempts themselves may take


@dataclass(frozen=True)
class Attempt:
    """One connection try.

    `local_address` and `local_port` are the origin's end, known even for silent attempts; None only when the origin could not
    even make a socket. `started` is on the harness's monotonic clock, an estimate that is late by about the time the host
    takes to hand its results over; `host_time` is exact, on the origin's own clock (epoch). `seconds` is how long it took.
    """

    origin: str
    destination: str
    port: int
    outcome: AttemptOutcome
    local_address: str | None
    local_port: int | None
    started: float
    host_time: float
    seconds: float
    detail: str = ""

    @property
    def answered(self) -> bool:
        """Whether the service answered."""
        return self.outcome is AttemptOutcome.ANSWERED

    def __str__(self) -> str:
        where = f"{self.origin} → {self.destination}:{self.port}"
        after = f" after {self.seconds * 1000:.0f} ms" if self.outcome is AttemptOutcome.SILENT else f" in {self.seconds * 1000:.1f} ms"
        return f"{where} {self.outcome}{after}" + (f" ({self.detail})" if self.detail else "")


def attempt(
    resident: ConnectionWorker | ConnectorBase,
    destination: str,
    port: int,
    *,
    count: int = 1,
    limit: float = 1.0,
    spacing: float = 0.0,
    source: str | None = None,
    reset: bool = False,
) -> list[Attempt]:
    """Open `count` connections from the resident's host and close them at once, each from a fresh port and abandoned after its own `limit`.

    All go together (at most MAX_CONCURRENT_ATTEMPTS open), or one every `spacing` seconds, which no slow one delays. `source` binds them to
    an address; `reset` closes answered ones with RST, which leaves no TIME_WAIT. In the order in which they ended.
    From a host without Python ports may be missing, and more time lies between them.
    Raises HostUnreachable, DeadlineExceeded, Unusable (no Python there), or Inconclusive when the origin could not try.
    """
    if isinstance(resident, ConnectorBase):
        return resident.attempts(str(destination), port, count=count, limit=limit, spacing=spacing, source=source and str(source))
    plan: dict[str, Any] = {
        "destination": str(destination),
        "port": port,
        "count": count,
        "limit": limit,
        "spacing": spacing,
        "source": source and str(source),
        "reset": reset,
        "at_once": MAX_CONCURRENT_ATTEMPTS,
    }
    rounds = -(-count // MAX_CONCURRENT_ATTEMPTS)
    deadline = Deadline(count * spacing + rounds * limit + START_TIMEOUT_S)
    lines: list[Mapping[str, Any]] = []
    with resident.ask("attempts", **plan) as request:
        while (line := request.next(deadline.remaining())) is not None and "end" not in line:
            lines.append(line)
    if line is None:
        raise DeadlineExceeded(
            f"{resident.name}: of {count} attempts to {destination}:{port} {len(lines)} had ended after {deadline.seconds:g} s; "
            "is the host overloaded or frozen?"
        )
    if len(lines) != count:
        raise Inconclusive(
            f"{resident.name}: {count} attempts to {destination}:{port} were asked for and {len(lines)} were reported: "
            f"{line.get('why') or 'they were cut off'}"
        )
    return [
        attempt_of_report(resident.name, destination, port, report, started=line["arrived"] - (line["end"] - report["mono"]))
        for report in lines
    ]


def attempt_of_report(origin: str, destination: str, port: int, line: Mapping[str, Any], *, started: float) -> Attempt:
    """An Attempt of one line of a script. Raises Inconclusive for outcomes that say nothing about the path (no port left …)."""
    code = line["errno"]
    outcome = AttemptOutcome.SILENT if line["gave_up"] else OUTCOME_OF.get(code)
    if outcome is None:
        raise Inconclusive(
            f"{origin}: no connection to {destination}:{port} could be tried: {code}, {MEANING.get(code, 'an error of the origin itself')}"
        )
    detail = f"{code}: {MEANING[code]}" if code in MEANING else code or ""
    return Attempt(
        origin,
        str(destination),
        port,
        outcome,
        line["local_address"],
        line["local_port"],
        started,
        line["host_time"],
        line["seconds"],
        detail,
    )
