"""Attempts by a host's shell: what a busy host could not begin in time is no attempt, and is made anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import Inconclusive
from harness.remote import scripts
from harness.remote.connections import connector_without_python
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.connections.connector_without_python import TOO_BUSY, FallbackConnector
from harness.remote.host_capabilities import Kind

ANSWERED = b"s 0 100 250 a 40000 \n"
NOT_BEGUN = b"s 0 100 0 k 0 " + TOO_BUSY + b"\n"
NO_PORT = b"s 0 100 250 k 0 Cannot assign requested address\n"


class Script:
    """The agent on the host, as far as one of its runs is read."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def recv(self, size: int) -> bytes:
        return self._lines.pop(0) if self._lines else b""

    def close(self) -> None:
        """What it has said stays said."""


def connector(monkeypatch: pytest.MonkeyPatch, *runs: list[bytes]) -> tuple[FallbackConnector, list[int]]:
    """One whose script says `runs`, one after the other; and for how many attempts it was begun each time."""
    host: Any = SimpleNamespace(name="lkclient")
    capabilities: Any = SimpleNamespace(kind=Kind.SHELL)
    made, asked, left = FallbackConnector(host, capabilities), [], list(runs)

    def start(series: object, lifetime_s: float, count: int) -> Any:
        asked.append(count)
        numbered = enumerate(left.pop(0))
        return Script([line.replace(b"s 0 100", b"s 0 %d" % (100 + n)) for n, line in numbered])

    monkeypatch.setattr(made, "_start", start)
    return made, asked


def test_what_could_not_begin_in_time_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = connector(monkeypatch, [ANSWERED, NOT_BEGUN, ANSWERED], [NOT_BEGUN], [ANSWERED])
    attempts = made.attempts("10.20.1.200", 1521, count=3, limit=2.0, spacing=0.0, source=None)
    assert asked == [3, 1, 1]
    assert [one.outcome for one in attempts] == [AttemptOutcome.ANSWERED] * 3


def test_what_more_time_would_not_mend_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = connector(monkeypatch, [NO_PORT])
    with pytest.raises(Inconclusive, match="could be tried: Cannot assign requested address"):
        made.attempts("10.20.1.200", 1521, count=1, limit=2.0, spacing=0.0, source=None)
    assert asked == [1]


def test_a_host_that_stays_too_busy_is_said_at_the_end_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.remote.connections.connector_without_python.START_TIMEOUT_S", -100.0)
    made, asked = connector(monkeypatch, [NOT_BEGUN])
    with pytest.raises(Inconclusive, match="its host was too busy to begin it in time"):
        made.attempts("10.20.1.200", 1521, count=1, limit=2.0, spacing=0.0, source=None)
    assert asked == [1]


def test_a_windows_host_is_asked_by_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    host: Any = SimpleNamespace(name="lknode01")
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(connector_without_python, "attempts_from", lambda host, *where, **how: asked.append(how) or [])
    for kind in (Kind.POWERSHELL, Kind.COMPILED):
        capabilities: Any = SimpleNamespace(kind=kind)
        FallbackConnector(host, capabilities).attempts("10.20.1.200", 1521, count=3, limit=1.0, spacing=0.1, source=None)
    assert asked == [{"count": 3, "limit": 1.0, "spacing": 0.1}] * 2


def test_the_agent_says_it_in_these_words() -> None:
    (folder,) = scripts.__path__
    assert TOO_BUSY in (Path(folder) / "agent.sh").read_bytes()
