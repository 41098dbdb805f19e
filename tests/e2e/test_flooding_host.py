"""A host that answers with far too much: what is kept of it is bounded, and it is told in one sentence."""

from __future__ import annotations

import itertools
import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sshd_server import start_server

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.hosts import output_limits
from harness.hosts.host import Host, NotReadable
from harness.hosts.local_host import LocalHost
from harness.hosts.shell_command import CommandTookTooLong
from harness.hosts.ssh.ssh_host import SshHost
from harness.hosts.windows import powershell
from harness.remote.agents.clock_sync import HostClock
from harness.remote.agents.shell_agent import JudgedStream
from harness.remote.agents.spool_reader import AgentRun, Reader
from harness.remote.connections.worker_session import ConnectionWorker

MIB = 1024 * 1024
MUCH = ["head", "-c", str(64 * MIB), "/dev/zero"]
ENDLESS = ["sh", "-c", "exec yes 0123456789abcdef"]
ONE_LINE = ["sh", "-c", "head -c 67108864 /dev/zero | tr '\\0' x"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sshd separates privileges")


@pytest.fixture(params=["local", pytest.param("ssh", marks=needs_root)])
def host(request, tmp_path) -> Iterator[Host]:
    if request.param == "local":
        yield LocalHost("lknode01")
        return
    server = start_server(tmp_path / "sshd")
    over_ssh = SshHost(server.machine())
    yield over_ssh
    over_ssh.close()
    server.process.terminate()
    server.process.wait(120)


def test_more_than_is_read_of_a_command_is_told_when_it_has_ended(host) -> None:
    with pytest.raises(output_limits.TooMuchOutput, match=r"`head .*exited 0 and printed 64\.0 MiB, of which 2.5 MiB at most are read"):
        host.run(MUCH, limit=60.0)
    assert host.run(["head", "-c", str(MIB), "/dev/zero"], limit=60.0).out == "\0" * MIB
    with pytest.raises(output_limits.TooMuchOutput, match=r"exited 3 and printed 2\.0 MiB, of which 1 MiB"):
        host.run("head -c 2097152 /dev/zero >&2; exit 3", limit=60.0, most=MIB)


def test_output_without_end_is_kept_as_far_as_is_read(host) -> None:
    host.run("true", limit=120)  # so that none of the time is spent on the way there
    with pytest.raises(CommandTookTooLong) as raised:
        host.run(ENDLESS, limit=2.0)
    assert 0 < len(raised.value.out) <= output_limits.MAX_OUTPUT_BYTES and len(str(raised.value)) < 2000


def test_a_command_that_reads_much_and_says_nothing_is_fed(host) -> None:
    assert host.run(["sh", "-c", "wc -c"], limit=60.0, input=b"x" * (4 * MIB)).out.strip() == str(4 * MIB)
    assert host.run(["true"], limit=60.0, input=b"x" * (4 * MIB)).ok, "one that does not read its input is no error"


def test_a_line_without_end_ends_the_stream(host) -> None:
    stream = host.start(ONE_LINE)
    try:
        with pytest.raises(NotReadable, match="a line of more than 1 MiB"):
            next(stream.lines())
    finally:
        stream.close()


@pytest.mark.parametrize("opening", ['<S S="Error">', "<Objs ", "_x000", "\x1b["])
def test_clixml_without_end_is_read_in_time(opening: str) -> None:
    """Twice as much takes about twice as long: a time that grows with its square would be 16 times as long here."""

    def seconds(size: int) -> float:
        said = "#< CLIXML\n<Objs >" + opening * (size // len(opening))
        began = time.process_time()
        powershell.clean_errors(said)
        return time.process_time() - began

    assert seconds(MIB) < 16 * max(min(seconds(MIB // 8) for _ in range(3)), 0.01)


class Flood:
    """A process that says what it is told to, as long as anybody reads."""

    errors = ""

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        self._piece, self._numbers, self._closed = piece, itertools.count(), threading.Event()
        self.sent = 0

    def recv(self, size: int) -> bytes:
        if self._closed.is_set():
            return b""
        data = self._piece(next(self._numbers))
        self.sent += len(data)
        assert self.sent < 512 * MIB, "nobody has stopped reading"
        return data

    def lines(self) -> Iterator[str]:
        cut = output_limits.LineSplitter()
        while data := self.recv(65536):
            yield from (line.decode() for line in cut.feed(data))

    def send(self, data: bytes) -> None:
        """Whatever it is told."""

    def close(self) -> None:
        self._closed.set()


class Fake(LocalHost):
    def __init__(self, process: Flood) -> None:
        super().__init__("lknode01")
        self._process = process

    def start(self, command):  # type: ignore[no-untyped-def]
        return self._process


def test_a_script_that_says_more_than_anybody_asks_for_is_ended() -> None:
    line = json.dumps({"id": 1, "data": "x" * 60_000}).encode() + b"\n"
    flood = Flood(lambda number: line if number else b'{"id": 0}\n')
    resident = ConnectionWorker(Fake(flood))
    try:
        with resident.ask("attempts") as request, pytest.raises(HarnessError, match="8 MiB came about"):
            Deadline(120).wait_for(lambda: not request._life.running, what="the script being given up", every=0.02)
            while request.next(1.0) is not None:
                pass
    finally:
        resident.close()
    assert flood.sent < 64 * MIB


def test_an_agent_that_never_tells_its_clock_is_not_kept_for_ever() -> None:
    reader = Reader(AgentRun("", HostClock("lknode01")), "lknode01", None)  # type: ignore[arg-type]
    with pytest.raises(NotReadable, match="has sent 32 MiB and not told its clock"):
        for _ in range(10_000):
            list(reader.take(b"s 0 0 0 a 1 \n" * 5000, 0.0))


@pytest.mark.parametrize("reads", [lambda flood: JudgedStream(flood, []).recv(65536), lambda flood: next(flood.lines())])
def test_a_streams_line_without_end_is_read_once(reads) -> None:
    flood = Flood(lambda number: b"x" * 65536)
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(NotReadable):
        reads(flood)
    assert flood.sent <= 2 * MIB and resource.getrusage(resource.RUSAGE_SELF).ru_utime - began < 5.0
