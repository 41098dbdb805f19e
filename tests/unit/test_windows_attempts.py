"""Connections that a Windows host makes for the harness: what its script answers as attempts, and the lab's stand-in for that script."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import Inconclusive
from harness.hosts.windows import script_contract
from harness.hosts.windows.script_protocol import ScriptAnswer
from harness.lab.guests.windows import script_answers
from harness.lab.guests.windows.stand_ins import connection_scripts
from harness.remote.connections import windows_attempts
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.connections.windows_attempts import attempts_from

HOST: Any = SimpleNamespace(name="lknode01")


def row(outcome: str, took_ms: float = 1.0, port: int = 50001) -> dict[str, Any]:
    return {"Outcome": outcome, "TookMs": took_ms, "Port": port}


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch):
    """The host answers with these rows, or this answer; what it was asked is in the list."""
    asked: list[dict[str, Any]] = []

    def answer_with(*rows: dict[str, Any], answer: ScriptAnswer | None = None) -> list[dict[str, Any]]:
        left = list(rows)

        def ask(host: Any, name: str, parameters: dict[str, Any], *, limit: float) -> ScriptAnswer:
            assert host is HOST and script_contract.refusal(name, parameters) == ""
            asked.append({**parameters, "limit": limit})
            given, left[:] = left[: parameters["Count"]], left[parameters["Count"] :]
            return answer or ScriptAnswer(True, rows=tuple(given))

        monkeypatch.setattr(windows_attempts, "ask", ask)
        return asked

    return answer_with


@pytest.mark.parametrize(
    ("said", "outcome", "detail"),
    [
        ("answered", AttemptOutcome.ANSWERED, ""),
        ("silent", AttemptOutcome.SILENT, ""),
        ("TimedOut", AttemptOutcome.SILENT, ""),
        ("ConnectionRefused", AttemptOutcome.REFUSED, ""),
        ("ConnectionReset", AttemptOutcome.RESET, ""),
        ("ConnectionAborted", AttemptOutcome.RESET, "ConnectionAborted: given up by the origin, not reset by the other"),
        ("AccessDenied", AttemptOutcome.UNREACHABLE, "AccessDenied: a filter of the origin itself forbids it"),
        ("HostUnreachable", AttemptOutcome.UNREACHABLE, "HostUnreachable"),
    ],
)
def test_what_became_of_one(answering, said: str, outcome: AttemptOutcome, detail: str) -> None:
    answering(row(said, 250.0))
    (attempt,) = attempts_from(HOST, "10.20.1.200", 1521, count=1, limit=1.0, spacing=0.0)
    assert (attempt.outcome, attempt.detail, attempt.local_port, attempt.seconds) == (outcome, detail, 50001, 0.25)
    assert (attempt.origin, attempt.destination, attempt.port) == ("lknode01", "10.20.1.200", 1521)


def test_more_than_one_question_may_ask_for_are_asked_for_in_parts(answering) -> None:
    asked = answering(*[row("answered", port=50000 + number) for number in range(300)])
    attempts = attempts_from(HOST, "10.20.1.200", 1521, count=300, limit=1.0, spacing=0.1)
    assert [attempt.local_port for attempt in attempts] == list(range(50000, 50300))
    assert [(one["Count"], one["EveryMs"], one["LimitMs"]) for one in asked] == [(256, 100, 1000), (44, 100, 1000)]
    assert asked[0]["limit"] > 256 * 0.1 + 1.0


def test_no_oftener_than_the_script_can(answering) -> None:
    asked = answering(row("answered"))
    attempts_from(HOST, "10.20.1.200", 1521, count=1, limit=1.0, spacing=0.0)
    assert asked[0]["EveryMs"] == 50


@pytest.mark.parametrize("said", ["unknown", "TooManyOpenSockets", "AddressNotAvailable"])
def test_what_the_host_could_not_try_says_nothing_of_the_path(answering, said: str) -> None:
    answering(row("answered"), row(said))
    with pytest.raises(Inconclusive, match=f"lknode01: no connection to 10.20.1.200:1521 could be tried: {said}"):
        attempts_from(HOST, "10.20.1.200", 1521, count=2, limit=1.0, spacing=0.0)


def test_an_answer_with_an_error_or_with_too_few_is_no_attempt(answering) -> None:
    answering(answer=ScriptAnswer(False, "FormatException", "no address"))
    with pytest.raises(Inconclusive, match="could not be tried: FormatException: no address"):
        attempts_from(HOST, "10.20.1.200", 1521, count=1, limit=1.0, spacing=0.0)
    answering(row("answered"))
    with pytest.raises(Inconclusive, match=r"2 connections to 10\.20\.1\.200:1521 were asked for and 1 were reported"):
        attempts_from(HOST, "10.20.1.200", 1521, count=2, limit=1.0, spacing=0.0)


def stand_in(port: int, count: int = 3, *, every: int = 10, limit: int = 200) -> list[dict[str, Any]]:
    given = {"Address": "127.0.0.1", "Port": port, "Count": count, "EveryMs": every, "LimitMs": limit}
    said = script_answers.answer("attempts", given)
    assert said["ok"], said
    return said["rows"]


def test_the_stand_in_is_answered_refused_and_left_in_silence() -> None:
    assert connection_scripts.MAX_ATTEMPTS == windows_attempts.MAX_ASKED
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        port = listener.getsockname()[1]
        answered = stand_in(port)
        assert [one["Outcome"] for one in answered] == ["answered"] * 3 and len({one["Port"] for one in answered}) == 3
        assert {listener.accept()[1][1] for _ in range(3)} == {one["Port"] for one in answered}
    assert {one["Outcome"] for one in stand_in(port)} == {"ConnectionRefused"}
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        kept = [socket.create_connection(full.getsockname())]
        rows = stand_in(full.getsockname()[1])
        assert {one["Outcome"] for one in rows} == {"silent"} and all(200 <= one["TookMs"] < 60_000 for one in rows)
        for one in kept:
            one.close()


def test_the_stand_in_makes_as_many_as_the_script_would() -> None:
    said = script_answers.answer("attempts", {"Address": "127.0.0.1", "Port": 1, "Count": 257, "EveryMs": 1, "LimitMs": 1})
    assert not said["ok"] and "from 1 to 256" in said["message"]
