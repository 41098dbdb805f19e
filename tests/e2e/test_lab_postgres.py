"""The lab's PostgreSQL as a real server on loopback, asked by the real driver and by the harness's own dialogues."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from lab_services import LIMIT, PASSWORD, open_folder, template

from harness.core.deadline import Deadline
from harness.core.errors import BadUse
from harness.lab.services import node_process, postgres, postgres_template
from harness.services import service_registry
from harness.services.postgresql import postgres_tokens
from harness.services.postgresql.postgres_tokens import PostgresTokens
from harness.services.service_kind import Identity, NotTheService
from tests.free_port import free_port


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as path:
        yield path


class Database:
    def __init__(self, folder: Path) -> None:
        self.data, self.log, self.sockets = folder / "data", folder / "log", folder / "run"
        self.port = free_port()
        postgres_template.copy_template(template(), self.data)
        (folder / "pw").write_text(PASSWORD + "\nnot this\n")
        self.settings = {"user": "harness", "password_file": str(folder / "pw")}

    def start(self, node: str = "lknode01") -> node_process.Process:
        return postgres.start(self.data, node, port=self.port, bind="127.0.0.1", log=self.log, socket_dir=self.sockets, limit=LIMIT)

    def check(self, limit: float = LIMIT) -> str:
        return postgres.check(self.data, port=self.port, socket_dir=self.sockets, limit=limit)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(host="127.0.0.1", port=self.port, user="harness", password=PASSWORD, connect_timeout=120)

    def ask(self, **more: str) -> Identity:
        return service_registry.kind("postgres").who_are_you(
            "127.0.0.1", self.port, settings={**self.settings, **more}, deadline=Deadline(LIMIT)
        )


@contextlib.contextmanager
def a_database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="lkd-") as name:
        Path(name).chmod(0o755)
        database = Database(Path(name))
        try:
            yield database
        finally:
            postgres.stop(database.data, limit=5)


@pytest.fixture
def database() -> Iterator[Database]:
    with a_database() as one:
        yield one


@pytest.fixture(scope="module")
def serving() -> Iterator[Database]:
    """One that runs, for tests that only ask it."""
    with a_database() as one:
        one.start()
        yield one


def test_postgres_tells_its_node_address_and_start(serving: Database) -> None:
    before = time.time()
    postgres.stop(serving.data)
    serving.start()
    identity = serving.ask()
    assert (identity.node, identity.address) == ("lknode01", "127.0.0.1")
    assert identity.started is not None and before - 2 <= identity.started <= time.time() + 2
    assert identity.facts["in_recovery"] == "no"
    assert "answers" in serving.check()


def test_committed_data_survives_the_postmasters_death_and_a_move(database: Database) -> None:
    running = database.start("lknode01")
    with database.connect() as connection:
        connection.execute("create table kept (n int)")
        connection.execute("insert into kept select generate_series(1, 1000)")
        connection.commit()
        connection.execute("insert into kept values (-1)")  # never committed
        os.kill(running.pid, signal.SIGKILL)
        assert node_process.wait_until_gone(running, Deadline(LIMIT))
        with pytest.raises(postgres.Faulty, match="does not run"):
            database.check()
        with contextlib.suppress(psycopg.OperationalError):  # leaving this connection now finds it broken
            connection.rollback()
    # What the other node finds on the shared disk: a pid that means another process there.
    pid_file = database.data / "postmaster.pid"
    pid_file.write_text(re.sub(r"^\d+", str(os.getpid()), pid_file.read_text()))
    database.start("lknode02")
    with database.connect() as connection:
        assert connection.execute("select count(*), min(n) from kept").fetchone() == (1000, 1)
    assert database.ask().node == "lknode02"
    assert "not properly shut down; automatic recovery in progress" in database.log.read_text()


def test_starting_twice_is_starting_once(serving: Database) -> None:
    assert serving.start() == serving.start()


def test_stop_is_fast_with_clients_and_by_force_when_frozen(database: Database) -> None:
    database.start()
    with database.connect():
        assert postgres.stop(database.data) == "stopped fast"
    running = database.start()
    os.kill(running.pid, signal.SIGSTOP)
    with pytest.raises(postgres.Faulty, match="did not answer"):
        database.check(limit=0.3)
    assert postgres.end(database.data, Deadline(LIMIT)) == "killed"
    assert postgres.stop(database.data).startswith("did not run")


def test_a_start_that_fails_says_what_the_log_says(database: Database) -> None:
    said = r"lknode01: PostgreSQL did not start; its log says: .*could not create any TCP/IP sockets"
    with socket.create_server(("127.0.0.1", database.port)), pytest.raises(postgres.Faulty, match=said):
        database.start()
    shutil.rmtree(database.data)
    with pytest.raises(postgres.Faulty, match="holds no database: is the shared disk mounted on lknode01"):
        database.start()


def test_the_password_is_needed_and_never_shown(serving: Database, tmp_path: Path) -> None:
    wrong, secret = tmp_path / "wrong", "-".join(["wr0ng", "secret"])
    wrong.write_text(secret)
    with pytest.raises(BadUse, match=r"turned us away: .*password authentication failed") as raised:
        serving.ask(password_file=str(wrong))
    assert secret not in repr(raised.value) + str(raised.getrepr(style="long"))
    with pytest.raises(BadUse, match="password"):
        service_registry.kind("postgres").who_are_you("127.0.0.1", serving.port, settings={}, deadline=Deadline(LIMIT))
    with pytest.raises(BadUse, match="does not exist"):
        serving.ask(dbname="nowhere")
    assert PASSWORD not in serving.log.read_text()
    assert not any(PASSWORD in path.name for path in serving.data.parent.rglob("*"))


def test_a_database_that_does_not_serve_is_no_foreign_protocol(database: Database) -> None:
    database.start()
    with database.connect() as one:
        one.execute("select 1")
        root = psycopg.connect(host=str(database.sockets), port=database.port, user="postgres", dbname="postgres", autocommit=True)
        with root:
            root.execute("alter database harness connection limit 0")
    with pytest.raises(ConnectionAbortedError, match=r"PostgreSQL answers, but does not serve: .*too many connections"):
        database.ask()


def test_templates_are_made_once_by_any_number_at_once(folder: Path) -> None:
    cache = folder / "many"
    found: list[Path] = []
    labs = [threading.Thread(target=lambda: found.append(postgres_template.ensure_template(cache, "pw"))) for _ in range(3)]
    for lab in labs:
        lab.start()
    for lab in labs:
        lab.join(LIMIT)
    assert len(found) == 3 and len(set(found)) == 1
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == [found[0].name]
    assert postgres_template.ensure_template(cache, "pw") == found[0]


def test_another_password_is_another_template_and_neither_name_tells_it(folder: Path) -> None:
    keys = {postgres_template._key("15", password) for password in ("pw", "pw2")}
    assert len(keys) == 2 and not any("pw" in key for key in keys)
    with pytest.raises(BadUse, match="printable ASCII"):
        postgres_template.ensure_template(folder / "cache", "")


@pytest.mark.parametrize("kind", ["oracle", "http"])
def test_a_database_is_neither_a_listener_nor_a_web_server(kind: str, serving: Database) -> None:
    """PostgreSQL hangs up on what it cannot read, without a word: that is a broken connection, and nobody is identified."""
    with pytest.raises((OSError, NotTheService)):
        service_registry.kind(kind).who_are_you("127.0.0.1", serving.port, settings={}, deadline=Deadline(LIMIT))


def test_a_session_of_tokens_does_not_outlive_its_host_by_two_hours(serving: Database) -> None:
    """The kernel's own default, which the server goes by unless a session says otherwise."""
    with PostgresTokens("127.0.0.1", serving.port, serving.settings, Deadline(LIMIT)) as tokens:
        asked = ", ".join(f"current_setting('{name}')" for name in postgres_tokens.KEEPALIVES)
        (said,) = tokens._session.query(f"select {asked}".encode(), Deadline(LIMIT))
    idle, interval, count = map(int, said)
    assert idle + interval * count <= 60
