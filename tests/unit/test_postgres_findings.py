"""What a PostgreSQL server's settings and slots say of a failover."""

from __future__ import annotations

from typing import cast

import pytest

from harness.core.deadline import Deadline
from harness.core.finding import Weight
from harness.services.kinds import postgres
from harness.services.postgresql import postgres_reserves
from harness.services.postgresql.postgres_session import Session
from harness.services.service_kind import TellsFindings
from harness.services.service_registry import kind

GB = 1 << 30


NOW, DAY = 1_790_000_000, 86_400
HARNESS = ["harness", "", str(NOW)]


class Answers:
    def __init__(self, settings: list[str], slots: list[list[str]], files: list[list[str]] | None = None) -> None:
        self.asked = 0
        self.answers = {postgres.OF_THE_SERVER: [settings], postgres.SLOTS: slots, postgres.FILE_ERRORS: files, postgres.RULE_ERRORS: []}
        self.answers[postgres_reserves.QUESTION] = [["off", "0", "", "-Infinity", "", "2", "100", "3", "1000", ""]]

    def query(self, question: bytes, deadline: Deadline) -> list[list[str]]:
        self.asked += 1
        answer = self.answers[question]
        assert answer is not None, "it may not be asked that"
        return answer


def told(
    fsync: str = "on", pages: str = "on", most: str = "10", recovering: str = "f", version: str = "150018", slots: object = ()
) -> Answers:
    rows = [list(row) for row in cast("list[list[str]]", slots)]
    return Answers([fsync, pages, most, recovering, version, "f", "f", "", *HARNESS], rows)


def findings(answers: Answers, password: str = "") -> list[tuple[Weight, str]]:
    found = postgres.server_findings(cast(Session, answers), Deadline(1), {password: "it"} if password else {})
    return [(f.weight, f.what) for f in found]


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
    asked = set(answers.answers) - {postgres.SLOTS, postgres.FILE_ERRORS, postgres.RULE_ERRORS}
    assert findings(answers) == [] and answers.asked <= len(asked)


def asked_of_files(rows: list[list[str]], may: str = "t", pending: str = "", **more: str) -> list[tuple[Weight, str]]:
    until = more.get("until", "")
    settings = ["on", "on", "0", "f", "150018", may, may, pending, "harness", until, str(NOW)]
    return findings(Answers(settings, [], rows if may == "t" else None), more.get("password", ""))


def test_lines_that_the_next_start_does_not_take() -> None:
    file = "/srv/shared/pgdata/postgresql.conf"
    assert asked_of_files([]) == asked_of_files([], may="f") == []
    wrong = [file, "812", "work_mem", "setting could not be applied", "f"]
    assert asked_of_files([wrong]) == [(Weight.FAULT, "next start")]
    assert asked_of_files([[file, "3", "port", "setting could not be applied", "t"]]) == [(Weight.NOTE, "next start")]
    (found,) = postgres.of_files([wrong], "")
    assert f"{file} line 812 (work_mem)" in found.says


def test_settings_that_wait_for_the_next_start() -> None:
    assert asked_of_files([], pending="listen_addresses, port") == [(Weight.NOTE, "next start")]


@pytest.mark.parametrize(
    ("until", "found"),
    [
        (str(NOW + 3600), [(Weight.FAULT, "account")]),
        (f"{NOW + 5 * DAY}.5", [(Weight.NOTE, "account")]),
        (str(NOW + 31 * DAY), []),
        ("Infinity", []),
        ("infinity", []),
        ("", []),
        ("odd", []),
        ("9e30", []),
    ],
)
def test_a_password_that_ends_soon(until: str, found: list[tuple[Weight, str]]) -> None:
    assert asked_of_files([], until=until, password="password_file") == found
    given_anew = [(Weight.NOTE, what) for _, what in found]  # by a vault, for one
    assert (
        asked_of_files([], until=until, password="password_command")
        == asked_of_files([], until=until, password="password_env")
        == given_anew
    )
    assert asked_of_files([], until=until) == []  # it proves who it is by something else


def reserves(**of: str) -> list[tuple[Weight, str]]:
    sound = dict(
        mode="off", failures="0", failed="", archived="-Infinity", log="", used="5", most="100", reserved="3", age="5", prepared=""
    )
    assert not set(of) - set(sound)
    return [(f.weight, f.what) for f in postgres_reserves.findings([*(sound | of).values()])]


ARCHIVE = {"mode": "on", "failures": "12", "failed": "2000.5", "log": "000000010000000000000003"}


@pytest.mark.parametrize(
    ("of", "found"),
    [
        ({}, []),
        (ARCHIVE, [(Weight.FAULT, "archive")]),
        (ARCHIVE | {"mode": "always", "archived": "1999"}, [(Weight.FAULT, "archive")]),
        (ARCHIVE | {"archived": "2001"}, []),  # that is over
        (ARCHIVE | {"mode": "off"}, []),
        (ARCHIVE | {"failures": "2"}, []),
        ({"used": "97"}, [(Weight.FAULT, "connections")]),
        ({"used": "90"}, [(Weight.NOTE, "connections")]),
        ({"used": "80"}, []),
        ({"used": "8", "most": "12"}, []),
        ({"used": "10", "most": "12"}, [(Weight.FAULT, "connections")]),
        ({"age": "1900000000"}, [(Weight.FAULT, "transaction ids")]),
        ({"age": "1500000000"}, []),
        ({"prepared": "7200"}, [(Weight.NOTE, "prepared transaction")]),
        ({"prepared": "60"}, []),
        ({"used": "NaN", "most": "x", "age": "", "failures": "many", **{"mode": "on"}}, []),
    ],
)
def test_what_a_server_uses_up(of: dict[str, str], found: list[tuple[Weight, str]]) -> None:
    assert reserves(**of) == found
