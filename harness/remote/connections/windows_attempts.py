"""Attempts from a Windows host, asked of the PowerShell that stays there: no process is started for them. Run on the Windows-shaped lab;
the script never on Windows."""

from __future__ import annotations

import time

from harness.core.errors import Inconclusive
from harness.hosts.host import Host
from harness.hosts.windows.script_protocol import Row
from harness.hosts.windows.script_runner import advice, ask
from harness.remote.connections.attempt import Attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome

SCRIPT = "attempts"
MAX_ASKED = 256  # of one question, as the script has it
MIN_SPACING_S = 0.05  # the script's own loop needs so long for one at worst, as the measuring script's
START_TIMEOUT_S = 15.0  # for PowerShell's start, beyond what the attempts themselves may take
# By the names that .NET gives socket errors on every platform (WNET-62); any other is "unreachable", with its name.
OUTCOME_OF_ERROR = {
    "answered": AttemptOutcome.ANSWERED,
    "silent": AttemptOutcome.SILENT,
    "ConnectionRefused": AttemptOutcome.REFUSED,
    "TimedOut": AttemptOutcome.SILENT,
    "ConnectionReset": AttemptOutcome.RESET,
    "ConnectionAborted": AttemptOutcome.RESET,
}
# With which the host could not try at all: nothing is said of the path.
NOT_TRIED = ("unknown", "AddressAlreadyInUse", "AddressNotAvailable", "NoBufferSpaceAvailable", "TooManyOpenSockets")
MEANING = {
    "AccessDenied": "a filter of the origin itself forbids it",
    "NetworkDown": "the origin's own NIC is down",
    "ConnectionAborted": "given up by the origin, not reset by the other",
}


def attempts_from(host: Host, destination: str, port: int, *, count: int, limit: float, spacing: float) -> list[Attempt]:
    """`count` attempts, one every `spacing` seconds or as often as the script can, each silent after `limit` seconds; in the order in which
    they began. Raises HostUnreachable, DeadlineExceeded, Unusable, and Inconclusive where the host could not try."""
    made: list[Attempt] = []
    while len(made) < count:
        part = min(count - len(made), MAX_ASKED)
        made += _ask_for(host, destination, port, part, limit, max(spacing, MIN_SPACING_S))
    return made


def _ask_for(host: Host, destination: str, port: int, count: int, limit: float, every: float) -> list[Attempt]:
    parameters = {"Address": destination, "Port": port, "Count": count, "EveryMs": round(every * 1000), "LimitMs": round(limit * 1000)}
    answer = ask(host, SCRIPT, parameters, limit=START_TIMEOUT_S + count * every + 2 * limit)
    if not answer.ok:
        raise Inconclusive(f"{host.name}: connections to {destination}:{port} could not be tried: {answer.why}{advice(answer)}")
    if len(answer.rows) != count:
        raise Inconclusive(f"{host.name}: {count} connections to {destination}:{port} were asked for and {len(answer.rows)} were reported")
    return [_attempt_of(host.name, destination, port, row) for row in answer.rows]


def _attempt_of(origin: str, destination: str, port: int, row: Row) -> Attempt:
    word, seconds = str(row["Outcome"]), float(row["TookMs"]) / 1000
    if word in NOT_TRIED:
        raise Inconclusive(f"{origin}: no connection to {destination}:{port} could be tried: {word}")
    outcome = OUTCOME_OF_ERROR.get(word, AttemptOutcome.UNREACHABLE)
    detail = f"{word}: {MEANING[word]}" if word in MEANING else "" if word in OUTCOME_OF_ERROR else word
    began, began_at = time.monotonic() - seconds, time.time() - seconds
    return Attempt(origin, destination, port, outcome, None, int(row["Port"]) or None, began, began_at, seconds, detail)
