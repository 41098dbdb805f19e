"""What a PostgreSQL server's settings and slots say of a failover."""

from __future__ import annotations

from typing import cast

import pytest

from harness.core.deadline import Deadline
from harness.core.finding import Weight
from harness.services.kinds import postgres
from harness.services.postgres_session import Session
from harness.services.service_kind import TellsFindings
from harness.services.service_registry import kind

GB = 1 << 30


class Answers:
    def __init__(self, settings: list[str], slots: list[list[str]]) -> None:
        self.settings, self.slots, self.asked = settings, slots, 0

    def query(self, question: bytes, deadline: Deadline) -> list[list[str]]:
        self.asked += 1
        return [self.settings] if question == postgres.OF_THE_SERVER else self.slots


def told(
    fsync: str = "on", pages: str = "on", most: str = "10", recovering: str = "f", version: str = "150018", slots: object = ()
) -> Answers:
    return Answers([fsync, pages, most, recovering, version], [list(row) for row in cast("list[list[str]]", slots)])


def findings(answers: Answers) -> list[tuple[Weight, str]]:
    return [(f.weight, f.what) for f in postgres.server_findings(cast(Session, answers), Deadline(1))]


def test_a_sound_server_has_none() -> None:
    assert findings(told()) == []
    assert findings(told(slots=[["old", str(GB - 1)], ["new", None], ["odd", "-5"]])) == []  # one that waits for its reader
    assert isinstance(kind("postgres"), TellsFindings)


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (told(fsync="off"), [(Weight.FAULT, "durability")]),
        (told(fsync="off", pages="off"), [(Weight.FAULT, "durability")]),
        (told(pages="off"), [(Weight.NOTE, "durability")]),  # on purpose on some file systems
        (told(slots=[["old", str(3 * GB)], ["new", "5"]]), [(Weight.NOTE, "replication slot")]),
    ],
)
def test_what_a_server_says(answers: Answers, found: list[tuple[Weight, str]]) -> None:
    assert findings(answers) == found


@pytest.mark.parametrize("answers", [told(most="0"), told(recovering="t"), told(version="90624")])
def test_a_server_without_slots_or_these_functions_is_not_asked_for_them(answers: Answers) -> None:
    assert findings(answers) == [] and answers.asked == 1
