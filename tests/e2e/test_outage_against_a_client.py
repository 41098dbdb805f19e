"""The meter's outage of a crashed PostgreSQL, recovery included, against a client of another make that queries it every 5 ms.

The server is real, and so is its crash: every process is killed while its WAL holds what was inserted since the last checkpoint. What
that takes to replay depends on the machine, so the startup process is besides stopped for a drawn time, in which the server says 57P03.

The figures agree when the two intervals meet: each is as wide as that side's own attempts lay apart at the two ends, which on a quiet
machine is the period of each. The differences are printed (`-s`).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
from agent_fixtures import Seen, measuring, series
from lab_services import LIMIT, open_folder

from harness.core.deadline import Deadline
from harness.hosts.local_host import LocalHost
from harness.lab.services import node_process, postgres, postgres_template
from harness.measure.evaluation import database_recovery, series_outages
from harness.measure.evaluation.attempt_attribution import Traced
from harness.remote.recording.recording import NEW, Series
from harness.services import service_registry
from tests import deep_option
from tests.free_port import free_port

CRASHES = deep_option.number(2, 50, "LKHARNESS_CRASHES")
PERIOD_S = 0.1  # what PostgreSQL is asked with
NODE = "lknode01"
CLIENT = Path(__file__).with_name("postgres_reference_client.py")
WAL = "checkpoint_timeout = 1h\nmax_wal_size = 4GB\nfsync = off\nautovacuum = off\n"


class Span(NamedTuple):
    """An outage: from the first failure to the first success, and how much longer or shorter it may have been, in seconds."""

    start: float
    end: float
    least: float
    most: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


class Server:
    def __init__(self, folder: Path) -> None:
        self.data, self.sockets, self.log, self.port = folder / "data", folder / "run", folder / "log", free_port()
        postgres_template.copy_template(postgres_template.ensure_template(folder / "cache", "the lab's"), self.data)
        with (self.data / "postgresql.auto.conf").open("a") as more:
            more.write(WAL)

    @property
    def socket(self) -> str:
        return str(self.sockets / f".s.PGSQL.{self.port}")

    def start(self) -> node_process.Process:
        return postgres.start(self.data, NODE, port=self.port, bind="127.0.0.1", log=self.log, socket_dir=self.sockets, limit=LIMIT)

    def run(self, statement: str) -> None:
        """One statement by the owner, by hand."""
        words = statement.encode() + b"\0"
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(LIMIT)
            peer.connect(self.socket)
            login = b"user\0postgres\0database\0template1\0\0"
            peer.sendall(struct.pack(">II", len(login) + 8, 196608) + login)
            for say in (b"Q" + struct.pack(">I", len(words) + 4) + words, b""):
                heard = b""
                while not heard.endswith((b"Z\0\0\0\x05I", b"Z\0\0\0\x05E")):
                    heard += peer.recv(65536) or pytest.fail("the server hung up")
                assert b"ERROR" not in heard, heard
                peer.sendall(say)

    def crash_and_start(self, held_s: float) -> None:
        """Kill all of it, start it again, and hold its replay."""
        postgres.end(self.data, Deadline(LIMIT))
        starting = threading.Thread(target=self.start)
        starting.start()
        held = None
        while held is None and starting.is_alive():  # as soon as it is there, or it is over
            held = self._startup()
        if held is not None and held_s:
            with contextlib.suppress(ProcessLookupError):
                os.kill(held, signal.SIGSTOP)
                threading.Event().wait(held_s)  # the length of the recovery, which is what is measured
                os.kill(held, signal.SIGCONT)
        starting.join(LIMIT)
        assert not starting.is_alive()

    def _startup(self) -> int | None:
        running = postgres.postmaster(self.data)
        if running is None:
            return None
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split():
                with contextlib.suppress(OSError):
                    if b": startup" in Path(f"/proc/{child}/cmdline").read_bytes():
                        return int(child)
        return None


@contextlib.contextmanager
def client_of(server: Server, file: Path) -> Iterator[None]:
    with file.open("w") as out:
        program = subprocess.Popen([sys.executable, str(CLIENT), server.socket], stdin=subprocess.PIPE, stdout=out)
        try:
            yield
        finally:
            assert program.stdin is not None
            program.stdin.close()
            program.wait(LIMIT)


def by_the_client(file: Path) -> Span:
    """The longest time without an answer."""
    rows = [(float(began), float(ended), word == "ok") for began, ended, word in map(str.split, file.read_text().splitlines())]
    found, first, before, last = [], None, rows[0][0], 0.0
    for began, ended, good in rows:
        if not good:
            first, last = (began if first is None else first), began
        elif first is None:
            before = began
        else:
            found.append(Span(first, began, last - first, ended - before))
            first, before = None, began
    return max(found, key=lambda span: span.seconds)


def by_the_meter(seen: Seen) -> tuple[Span, set[str]]:
    """The longest outage by the pure code, and what the database said in it. A crash that fits between two answered attempts is no outage
    to the meter: then it lasted no longer than from the beginning of the one to the end of the other."""
    one = Series("t", "here", "postgres", NEW, 5432, PERIOD_S, 1.0)
    rows = sorted(seen.rows["t"], key=lambda row: row.at)
    runs = series_outages.runs_of_failure(one, [Traced(r.at, r.seconds, r.outcome, None, r.detail) for r in rows])
    assert all(run.end is not None for run in runs), runs
    if not runs:
        return Span(0.0, 0.0, 0.0, max(b.at + b.seconds - a.at for a, b in pairwise(rows))), set()
    run = max(runs, key=lambda run: run.seconds(0.0))
    told = series_outages.outage(one, run, until=0.0, reason="", expected=True)
    assert told.end is not None and told.min_s is not None and told.max_s is not None
    return Span(told.start, told.end, told.min_s, told.max_s), {database_recovery.code_of(one.detail) for one in run.failed} - {""}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with open_folder() as folder:
        made = Server(folder)
        try:
            made.start()
            made.run("create table pieces (n bigint, words text)")
            yield made
        finally:
            postgres.stop(made.data, limit=LIMIT)


@pytest.mark.timing
def test_the_outage_of_a_crash_is_that_of_a_client_that_queries_every_5_ms(server: Server, tmp_path: Path) -> None:
    dice, off, plain = random.Random(7), [], []
    hello = service_registry.kind("postgres").hello({})
    assert hello.least_period_s == PERIOD_S
    for number in range(CRASHES):
        held_s = 0.0 if number % 5 == 1 else dice.uniform(0.4, 10.0 if deep_option.is_deep() else 2.0)
        spool, file = tmp_path / f"agent{number}", tmp_path / f"client{number}"
        spool.mkdir()
        server.run("checkpoint")
        server.run(f"insert into pieces select n, repeat('x', 200) from generate_series(1, {dice.randrange(0, 150_000)}) n")
        host, words = LocalHost("here"), {"say": hello.say, "expect": hello.expect, "period_s": PERIOD_S, "limit_s": 1.0}
        with client_of(server, file), measuring(host, spool, series("t", server.port, **words)) as (_, seen):
            seen.wait_rows("t", 5, "answered")
            server.crash_and_start(held_s)
            seen.wait_row_after("t", time.monotonic(), "answered")
        client, (meter, said) = by_the_client(file), by_the_meter(seen)
        off.append(meter.seconds - client.seconds)
        plain.append(client.seconds)
        told = f"crash {number}, held {held_s:.2f} s: meter {meter}, {meter.seconds:.3f} s; client {client}, {client.seconds:.3f} s; {said}"
        assert meter.least <= client.most and client.least <= meter.most, told
        if client.seconds > held_s + 3 * PERIOD_S and held_s > 3 * PERIOD_S:
            assert said == {"SQLSTATE 57P03"}, told
    print(f"\n{len(off)} crashes, out {min(plain):.2f} to {max(plain):.2f} s; the meter against the client: median {median(off):+.4f} s,")
    print(f"of either sign {median(map(abs, off)):.4f} s, worst {max(off, key=abs):+.4f} s")
