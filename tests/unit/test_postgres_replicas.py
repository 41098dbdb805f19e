"""A PostgreSQL each of whose commits waits for a replica that is not connected: reading works, writing hangs."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.deadline import Deadline
from harness.services.kinds import postgres
from harness.services.service_kind import NotServing, WrongAnswer

SAID = ["lknode01", "10.20.1.11", "1.5", "16.4", "f", "f"]


def ask(
    monkeypatch: pytest.MonkeyPatch, names: str, commit: str = "on", senders: str = "10", replicas: str | Exception = "0", **of: str
) -> Any:
    class Session:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> Session:
            return self

        def __exit__(self, *_: object) -> None: ...
        def query(self, question: bytes, deadline: Deadline) -> list[list[str]]:
            if question == postgres.QUESTION:
                return [[*SAID[:4], of.get("recovering", "f"), "f", names, commit, senders]]
            if isinstance(replicas, Exception):
                raise replicas
            return [[replicas]]

    monkeypatch.setattr(postgres, "Session", Session)
    return postgres.Postgres().who_are_you("10.20.1.200", 5432, settings={}, deadline=Deadline(1))


@pytest.mark.parametrize("names", ["replica1", "*", "ANY 1 (a, b)"])
@pytest.mark.parametrize("commit", ["on", "remote_write", "remote_apply"])
def test_commits_that_wait_for_a_replica_that_is_not_there(monkeypatch: pytest.MonkeyPatch, names: str, commit: str) -> None:
    with pytest.raises(WrongAnswer, match="serves reading, and each commit waits for a replica that is not there") as told:
        ask(monkeypatch, names, commit)
    assert f"synchronous_standby_names is {names}, synchronous_commit is {commit}" in str(told.value)


@pytest.mark.parametrize(
    "sound",
    [
        {"names": ""},
        {"names": "replica1", "commit": "local"},
        {"names": "replica1", "commit": "off"},
        {"names": "replica1", "senders": "0"},  # the server ignores the names then
        {"names": "replica1", "replicas": "1"},
        {"names": "replica1", "replicas": NotServing("permission denied for view pg_stat_replication")},
    ],
)
def test_commits_that_wait_for_nobody_or_for_a_replica_that_may_be_there(monkeypatch: pytest.MonkeyPatch, sound: dict[str, Any]) -> None:
    assert ask(monkeypatch, **sound).node == "lknode01"


def test_a_server_that_recovers_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongAnswer, match="it is in recovery"):
        ask(monkeypatch, "replica1", recovering="t")
