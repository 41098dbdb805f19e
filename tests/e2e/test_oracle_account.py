"""An Oracle service that is asked with an account: what the instance says of itself, the right error for each wrong thing, and the end of
all waiting. The lab has no instance: what one says is put in the driver's mouth, the listener's refusals are the stand-in's."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oracledb
import pytest
from lab_services import LIMIT, Unit, open_folder, started

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded
from harness.services import oracle_session, service_registry
from harness.services.service_kind import NotServing, NotTheService, TurnedAway, WrongAnswer

ORACLE = service_registry.kind("oracle")
CLIENT = "oracledb@26.0.0"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "pw").write_text("tiger\n")
    return {"user": "scott", "password_file": str(tmp_path / "pw"), "service_name": "payroll"}


@pytest.fixture(scope="module")
def listener() -> Iterator[Unit]:
    with open_folder() as folder, started(Unit(folder, "tns_listener", "tns", "--alias", "LISTENER_lknode01")) as unit:
        yield unit


class Spoken:
    """A connection, and its cursor, whose one row is known."""

    call_timeout = 0

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.row = row

    def __enter__(self) -> Spoken:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cursor(self) -> Spoken:
        return self

    def execute(self, question: str) -> Spoken:
        assert "SERVER_HOST" in question
        return self

    def fetchone(self) -> tuple[Any, ...]:
        return self.row


def test_the_instance_says_where_it_runs(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def connect(**how: Any) -> Spoken:
        asked.update(how)
        return Spoken(("LKNODE01", "orcl", "ORCL", "PRIMARY"))

    monkeypatch.setattr(oracledb, "connect", connect)
    told = ORACLE.who_are_you("127.0.0.1", 1521, settings=settings, deadline=Deadline(60))
    assert told.node == "LKNODE01" and told.facts["instance"] == "orcl" and "instance orcl of ORCL on LKNODE01" in told.said
    assert asked["disable_oob"] is True and asked["password"] == "tiger" and asked["service_name"] == "payroll"
    monkeypatch.setattr(oracledb, "connect", lambda **_: Spoken(("LKNODE02", "orcl", "ORCL", "PHYSICAL STANDBY")))
    with pytest.raises(WrongAnswer, match="PHYSICAL STANDBY, which takes no writes"):
        ORACLE.who_are_you("127.0.0.1", 1521, settings=settings, deadline=Deadline(60))


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("ORA-01017: invalid username/password; logon denied", TurnedAway, "'scott' away: ORA-01017"),
        ("ORA-28000: the account is locked", TurnedAway, "locked"),
        ("ORA-01034: ORACLE not available ORA-27101", NotServing, "ORA-01034, it is not started"),
        ("DPY-6003: SID is not registered", NotServing, "ORA-12505"),
        ("DPY-6000: Listener refused connection. (Similar to ORA-12528)", NotServing, "ORA-12528, all instances are blocking"),
        ("DPY-3001: Native Network Encryption is only supported in thick mode", TurnedAway, "leave `user` out"),
        ("DPY-4011: the database or network closed the connection", ConnectionResetError, "ended the connection"),
        ("DPY-5005: unknown error", NotTheService, "does not speak"),
    ],
)
def test_the_right_error(said: str, kind: type[Exception], words: str) -> None:
    error = oracle_session.explain_error(said, "10.20.1.200:1521", "scott", "payroll")
    assert type(error) is kind and words in str(error)


def test_a_service_that_is_not_there_and_settings_that_lack(listener: Unit, settings: dict[str, str]) -> None:
    with pytest.raises(NotServing, match="does not serve payroll: ORA-12514"):
        ORACLE.who_are_you("127.0.0.1", listener.port, settings=settings, deadline=Deadline(LIMIT))
    for lacking in ("service_name", "password_file", "user"):
        with pytest.raises(BadUse, match="need"):
            ORACLE.who_are_you("127.0.0.1", 1, settings={k: v for k, v in settings.items() if k != lacking}, deadline=Deadline(LIMIT))


def test_one_that_accepts_and_says_nothing_is_left_in_time(settings: dict[str, str]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        pytest.raises(DeadlineExceeded, match=r"did not complete Oracle's log-in within 0.3 s"),
    ):
        ORACLE.who_are_you("127.0.0.1", deaf.getsockname()[1], settings=settings, deadline=Deadline(0.3))


@pytest.mark.deep
@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="Node.js is not installed (Debian packages nodejs and npm)")
def test_node_oracledb_reads_the_refusals(listener: Unit, tmp_path: Path) -> None:
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(tmp_path), CLIENT]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"npm could not install {CLIENT}: {(done.stderr.strip() or 'nothing said').splitlines()[-1]}")
    where = f"(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT={listener.port}))(CONNECT_DATA=(%s)))"
    for target, code in (("SERVICE_NAME=payroll", "NJS-518"), ("SID=payroll", "NJS-519")):
        task = json.dumps({"modules": str(tmp_path / "node_modules"), "connectString": where % target})
        script = Path(__file__).parent / "clients" / "oracledb.js"
        told = subprocess.run(["node", str(script), task], capture_output=True, text=True, timeout=120)
        assert code in json.loads(told.stdout)["error"], told.stdout + told.stderr
