"""A service without a connection left says so itself: its own words come before what is only felt of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, evidence, path, paths
from test_diagnosis_hosts import listening, node, with_host

from harness.cluster import path_check
from harness.cluster.path_exchange import NoConnection
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.expectations.connectivity_matrix import Origin
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.remote.captures.wire_code_classifier import Way
from harness.remote.connections.attempt import Attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.services import oracle_session, service_registry
from harness.services.service_kind import NotServing, NotTheService, TurnedAway, WrongAnswer
from harness.services.sqlserver import sqlserver_session as mssql_session
from harness.services.sqlserver.tds_protocol import ServerError
from tests.saying_server import saying

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")
FULL = "10.20.1.200:5432: PostgreSQL answers, but does not serve: FATAL: 53300: sorry, too many clients already"
MIXED = {"outcome": "fail", "outcomes": frozenset({"answered", "silent"}), "identity": FULL}


def refusal(number: int, says: bytes, state: bytes = b"#08004") -> bytes:
    body = b"\xff" + number.to_bytes(2, "little") + state + says
    return len(body).to_bytes(3, "little") + b"\0" + body


@pytest.mark.parametrize("settings", [{}, {"greeting": r"\d+\.\d+\.\d+"}])
@pytest.mark.parametrize(("number", "says"), [(1040, b"Too many connections"), (1203, b"User has more"), (1129, b"Host blocked")])
def test_mysql_without_a_connection_left_is_heard(number: int, says: bytes, settings: dict[str, str]) -> None:
    for state in (b"#08004", b""):  # MariaDB and old servers send no SQLSTATE here
        with saying(refusal(number, says, state)) as port, pytest.raises(NotServing, match=rf"error {number}, {says.decode()}"):
            service_registry.kind("tcp").who_are_you("127.0.0.1", port, settings=settings, deadline=Deadline(10))


def test_a_host_that_mysql_does_not_let_in_is_not_told_by_it() -> None:
    for says in (refusal(1130, b"Host '10.0.0.9' is not allowed to connect"), b"J\0\0\0\x0a8.0.36\0" + b"x" * 60, b"220 ready\r\n"):
        with saying(says) as port:
            told = service_registry.kind("tcp").who_are_you("127.0.0.1", port, settings={}, deadline=Deadline(10))
        assert "it said" in told.said


@pytest.mark.parametrize(
    ("number", "words"),
    [(18, "sessions"), (20, "processes"), (12516, "handler free"), (12519, "handler free"), (12520, "handler free")],
)
def test_oracle_without_a_connection_left(number: int, words: str) -> None:
    told = oracle_session.explain_error(f"ORA-{number:05d}: maximum reached", "10.20.1.200:1521", "app", "SALES")
    assert isinstance(told, NotServing) and words in str(told) and f"ORA-{number:05d}" in str(told)


@pytest.mark.parametrize("number", [17809, 10928])
def test_sql_server_without_a_connection_left(number: int) -> None:
    error = ServerError(number, 1, 20, "The maximum number has been reached.", "")
    told = mssql_session.explain_errors([error], "10.20.1.200:1433", "app", "sales")
    assert isinstance(told, NotServing) and str(number) in str(told)


def some(**more: Any) -> Evidence:
    told = [path("client", DATABASE, **(MIXED | more)) if (p.path, p.service) == ("client", DATABASE) else p for p in paths()]
    return evidence(paths=told)


def test_its_own_words_name_the_cause_where_only_some_attempts_were_answered() -> None:
    for outcomes in ({"answered", "silent"}, {"answered", "refused"}, {"answered", "reset", "silent"}):
        [cause] = diagnose(some(outcomes=frozenset(outcomes))).causes
        assert cause.certainty is Certainty.CERTAIN and "53300" in cause.says and cause.host == "lknode01"
        assert "raise the limit" in cause.do


def test_a_second_holder_of_the_vip_or_another_node_is_explained_by_itself() -> None:
    elsewhere = some(nodes=frozenset({"lknode01", "lknode02"}))
    one = node("lknode02")
    held = replace(one, addresses=[*(one.addresses or ()), InterfaceAddress("eth1", str(CLUSTER.vip), 32, "UP")])
    second = replace(with_host(held), paths=some().paths)
    for seen in (elsewhere, second):
        assert not [c for c in diagnose(seen).causes if "53300" in c.says]


def test_a_services_own_words_come_before_the_short_queue_that_is_silent_to_some() -> None:
    others = [listening(p) for p in (12345, *(s.port for s in CLUSTER.services if s is not DATABASE))]
    short = with_host(node("lknode01", listeners=[*others, listening(DATABASE.port, room=5)]))
    for words, named in ((FULL, "53300"), ("", "accept queue of 5")):
        [cause] = diagnose(replace(short, paths=some(identity=words).paths)).causes
        assert named in cause.says


SAYS = [
    (NotServing(FULL), FULL),
    (TurnedAway("no pg_hba.conf entry"), "no pg_hba.conf entry"),
    (WrongAnswer("answered 503"), "answered 503"),
    (NoConnection("the connection was silent"), ""),
    (ConnectionResetError("closed the connection without a word"), ""),
    (NotTheService("it said something else"), ""),
    (DeadlineExceeded("within 2 s"), ""),
]


@pytest.mark.parametrize(("error", "told"), SAYS, ids=lambda x: type(x).__name__)
def test_only_what_the_service_said_counts_of_a_path_that_is_mixed(error: Exception, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(*_: Any) -> None:
        asked.append("")
        raise error if len(asked) > 1 or isinstance(error, DeadlineExceeded) else NoConnection("the connection was silent")

    checked = check(monkeypatch, ask, [AttemptOutcome.ANSWERED, AttemptOutcome.SILENT])
    assert not checked.verdict and checked.identity == told and not checked.hung and len(asked) <= path_check.MIXED_QUESTIONS


def test_the_words_are_asked_for_again_where_the_question_got_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [NoConnection("the connection was silent"), NoConnection("the connection was reset"), NotServing(FULL)]

    def ask(*_: Any) -> None:
        raise errors.pop(0)

    checked = check(monkeypatch, ask, [AttemptOutcome.ANSWERED] * 2)
    assert not checked.verdict and checked.identity == FULL and "53300" in checked.verdict.reason and not errors


def test_all_paths_of_a_service_without_a_connection_left_are_one_cause() -> None:
    """Who of them gets one is chance, and so is whether what gets none is silent."""
    of = {
        "client": {"identity": FULL},
        "inside": {"identity": "the connection was silent", "outcomes": frozenset({"answered"})},
        "standby": {"identity": ""},
    }
    told = [path(p.path, DATABASE, **(MIXED | of[p.path])) if p.service == DATABASE else p for p in paths()]
    seen = diagnose(evidence(paths=told))
    [cause] = seen.causes
    assert "no connection left" in cause.says and set(seen.under[0]) == {f"{p}/database" for p in of}


def test_nobody_is_asked_where_nothing_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any) -> None:
        raise AssertionError("asked")

    assert check(monkeypatch, ask, [AttemptOutcome.SILENT] * 2).identity == ""


def check(monkeypatch: pytest.MonkeyPatch, ask: Any, outcomes: list[AttemptOutcome]) -> path_check.PathCheck:
    vip, client = str(CLUSTER.vip), str(CLUSTER.client.address)
    attempts = [Attempt("lkclient", vip, DATABASE.port, o, client, 40000 + i, 0.0, 0.0, 0.1) for i, o in enumerate(outcomes)]
    reached = Way("W1", "lknode01", "eth0", "10.20.1.11", True, "by the balancer")
    ways = [reached if o is AttemptOutcome.ANSWERED else Way("W8", None, None, None, True, "silent") for o in outcomes]
    monkeypatch.setattr(path_check, "attempt", lambda *_, **__: attempts)
    monkeypatch.setattr(path_check, "classify_all", lambda *_, **__: ways)
    monkeypatch.setattr(path_check, "with_addresses", lambda attempts, *_: attempts)
    monkeypatch.setattr(path_check, "why_unseen", lambda *_: "")
    monkeypatch.setattr(path_check, "ask_over_the_path", ask)

    @contextmanager
    def watched() -> Iterator[Any]:
        yield SimpleNamespace(packets=dict, without_loopback=frozenset())

    subject = SimpleNamespace(
        cluster=CLUSTER, origin=lambda origin, active: "lkclient", connection_workers={"lkclient": None}, watched=watched
    )
    subject.standby_of = lambda active: "lknode02"
    return path_check.check_path(subject, Origin.CLIENT, DATABASE, "lknode01", in_full=True)  # type: ignore[arg-type]
