"""The connection worker: many requests at once, its death and its successors, and that it leaves nothing behind."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from agent_fixtures import namespace, needs_namespaces
from loopback import PYTHON, echo_server
from sshd_server import SSHD, start_server, stop_server

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive, Unusable
from harness.hosts.host import HostUnreachable
from harness.hosts.local_host import LocalHost
from harness.hosts.ssh.ssh_host import SshHost
from harness.remote import script_transport
from harness.remote.connections import worker_session as module
from harness.remote.connections.attempt import attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.connections.tcp_tunnel import relay
from harness.remote.connections.worker_session import ConnectionWorker
from tests.free_port import free_port

needs_sshd = pytest.mark.skipif(not SSHD.exists() or os.geteuid() != 0, reason="needs root and a real sshd (openssh-server)")
MANY = 40


class Counting(LocalHost):
    """This machine, remembering the processes that were streamed."""

    def __init__(self) -> None:
        super().__init__("here")
        self.started: list = []

    def start(self, command):
        self.started.append(super().start(command))
        return self.started[-1]


@pytest.fixture
def host():
    host = Counting()
    yield host
    host.close()


@pytest.fixture
def here(host):
    resident = ConnectionWorker(host, PYTHON)
    yield resident
    resident.close()


class Silent:
    """A port of this machine that is silent: its backlog is full."""

    def __init__(self, held: contextlib.ExitStack) -> None:
        door = held.enter_context(socket.socket())
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        self.port = door.getsockname()[1]
        self._fillers = {self._fill(held.enter_context(socket.socket())) for _ in range(3)}

    def _fill(self, sock: socket.socket) -> int:
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", self.port))
        return sock.getsockname()[1]

    def attempts(self) -> set[int]:
        """The ports of the sockets that have sent it a SYN and wait. The kernel lists them one after the other, not at one moment."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        waiting = {int(r[1][-4:], 16) for r in rows if r[2] == f"0100007F:{self.port:04X}" and r[3] == "02"}
        return waiting - self._fillers


@pytest.fixture
def silent():
    with contextlib.ExitStack() as held:
        yield Silent(held)


@contextlib.contextmanager
def under_way(resident, silent):
    """A silent attempt with a long limit, in a thread; gives the future of what it raises."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(attempt, resident, "127.0.0.1", silent.port, limit=60)
        Deadline(120).wait_for(silent.attempts, what="the attempt is under way", every=0.01)
        yield future


def test_one_script_serves_many_requests_at_once(here, host):
    with echo_server(b"hello\n") as (port, _), ThreadPoolExecutor(MANY) as pool, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # held, so that no relay is offered on it

        def speak(word: bytes) -> bytes:
            with relay(here, "127.0.0.1", port, limit=10) as link, socket.create_connection((link.host, link.port), timeout=60) as sock:
                sock.sendall(word)
                sock.shutdown(socket.SHUT_WR)
                with sock.makefile("rb") as said:
                    return said.read()

        words = [b"%d " % n * 2000 for n in range(MANY // 2)]
        spoken = [pool.submit(speak, w) for w in words]
        tried = [pool.submit(attempt, here, *closed.getsockname(), count=20) for _ in range(MANY // 2)]
        assert [f.result() for f in spoken] == [b"hello\n" + w for w in words]
        assert {a.outcome for f in tried for a in f.result()} == {AttemptOutcome.REFUSED}
    assert len(host.started) == 1


@needs_namespaces
def test_nothing_connects_to_itself():
    # ten times all local ports, of which a network of its own has few, tried against one of them that is closed: a draw of that very one
    # would be answered by itself
    setup = "ip link set lo up; echo 40000 40039 >/proc/sys/net/ipv4/ip_local_port_range"
    with namespace("-n", setup=setup) as inside:
        host = LocalHost("inside", prefix=inside)
        resident = ConnectionWorker(host, PYTHON)
        # the kernel draws for a socket that is bound mostly from every second port
        tried = [one for port in (40020, 40021) for one in attempt(resident, "127.0.0.1", port, count=200)]
        resident.close()
        host.close()
    assert len(tried) == 400 and {a.outcome for a in tried} == {AttemptOutcome.REFUSED}


def test_a_silent_request_delays_no_other(here, silent):
    with under_way(here, silent) as slow:
        with echo_server() as (open_port, _):
            assert all(a.answered for a in attempt(here, "127.0.0.1", open_port, count=100, reset=True))
        assert not slow.done()
        here.close()
        with pytest.raises((HostUnreachable, Inconclusive), match=r"during `attempts` to 127.0.0.1:\d+ \(it was closed\)"):
            slow.result(10)


def test_the_sockets_of_all_requests_together_are_bounded(host, silent, monkeypatch):
    monkeypatch.setattr(module, "MAX_SOCKETS", 5)
    here = ConnectionWorker(host, PYTHON)
    with ThreadPoolExecutor(3) as pool:
        all_of_them = [pool.submit(attempt, here, "127.0.0.1", silent.port, count=8, limit=0.3) for _ in range(3)]
        most, before = 0, set()
        while not all(f.done() for f in all_of_them):
            # Only what two lists name was open at one moment: a single one may hold a socket that has ended and its successor.
            now = silent.attempts()
            most, before = max(most, len(before & now)), now
        assert [len(f.result()) for f in all_of_them] == [8, 8, 8]
        assert 0 < most <= 5
    here.close()


def test_a_peer_that_does_not_read_holds_no_other_up_and_fills_nobody_s_memory(here):
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        echo_server() as (echo, _),
        relay(here, "127.0.0.1", door.getsockname()[1]) as link,
        socket.create_connection((link.host, link.port), timeout=1) as sock,
        door.accept()[0] as far,
    ):
        sock.setblocking(False)
        sent, quiet = 0, Deadline(0.5)
        while not quiet.expired:
            with contextlib.suppress(BlockingIOError):
                sent += sock.send(bytes(65536))
                quiet = Deadline(0.5)
        assert sent < 40_000_000  # what kernels and windows hold, not what a client could pour in
        assert attempt(here, "127.0.0.1", echo)[0].answered
        far.settimeout(10)
        got = 0
        while got < sent:
            got += len(far.recv(1 << 20))
        assert got == sent


def test_a_harness_that_does_not_read_holds_no_connection_up(host):
    plan = {"destination": "127.0.0.1", "count": 1500, "limit": 5, "spacing": 0, "source": None, "reset": True, "at_once": 64}
    with echo_server() as (port, peers):
        process = script_transport.start(host, PYTHON, "connection_worker", {"sockets": 100, "window": 1000})
        process.send(json.dumps({"id": 1, "do": "attempts", "port": port, **plan}).encode() + b"\n")
        Deadline(120).wait_for(lambda: len(peers), until=lambda n: n >= 1400, what="every connection", every=0.02)
        process.close()


def test_a_connection_ends_on_the_host_after_its_lifetime(here):
    with socket.create_server(("127.0.0.1", 0)) as door:
        plan = {"destination": "127.0.0.1", "port": door.getsockname()[1], "limit": 1, "lifetime": 0.3, "source": None}
        with here.ask("connect", **plan) as request, door.accept()[0] as far:
            assert request.next(10)["errno"] is None
            far.settimeout(10)
            assert far.recv(1) == b""
            assert request.next(10)["why"] == "its lifetime is over"


def test_a_half_closed_client_still_hears_the_answer(here):
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        relay(here, "127.0.0.1", door.getsockname()[1]) as link,
        socket.create_connection((link.host, link.port), timeout=60) as sock,
    ):
        far, _ = door.accept()
        far.settimeout(10)
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        with far, far.makefile("rb") as words:
            assert words.read() == b"question"
            far.sendall(b"answer")
        assert sock.recv(10) == b"answer" and sock.recv(10) == b""


def test_a_request_whose_script_is_killed_says_so_and_the_next_works(here, host, silent):
    with under_way(here, silent) as lost:
        os.kill(host.started[0].pid, signal.SIGKILL)
        with pytest.raises(HostUnreachable, match=r"here: .*`connection_worker` killed, during `attempts` to 127.0.0.1:\d+;"):
            lost.result(10)
    assert attempt(here, "127.0.0.1", free_port())[0].outcome is AttemptOutcome.REFUSED
    assert len(host.started) == 2


def test_a_relay_whose_script_is_killed_ends_its_client_s_stream(here, host):
    with (
        echo_server(b"hi") as (port, _),
        relay(here, "127.0.0.1", port) as link,
        socket.create_connection((link.host, link.port), timeout=60) as sock,
    ):
        assert sock.recv(2) == b"hi"
        os.kill(host.started[0].pid, signal.SIGKILL)
        assert sock.recv(2) == b""
    with echo_server() as (port, _), relay(here, "127.0.0.1", port) as link:
        assert link.attempt.answered


def test_a_frozen_script_is_replaced_when_it_is_asked_again(here, host, monkeypatch):
    monkeypatch.setattr(module, "QUIET_TIMEOUT_S", 0.0)
    monkeypatch.setattr(module, "PING_TIMEOUT_S", 0.2)
    attempt(here, "127.0.0.1", free_port())
    os.kill(host.started[0].pid, signal.SIGSTOP)
    assert attempt(here, "127.0.0.1", free_port())[0].outcome is AttemptOutcome.REFUSED
    assert len(host.started) == 2 and not host.started[0].running


def test_a_start_that_closes_without_a_word_is_tried_once_more(here, host):
    start, asked = host.start, []

    def closing_at_once(command):
        asked.append(command)
        return start(["sh", "-c", "head -c 100 >/dev/null"]) if len(asked) == 1 else start(command)

    host.start = closing_at_once
    assert attempt(here, "127.0.0.1", free_port())[0].outcome is AttemptOutcome.REFUSED
    assert len(asked) == 2


def test_a_script_that_breaks_is_quoted(here, silent):
    with under_way(here, silent) as told:
        here._life.send({"broken": "order"})
        with pytest.raises((Inconclusive, HostUnreachable), match="KeyError"):
            told.result(10)


@pytest.mark.timing  # it presses Ctrl-C in its own process, which must not be a worker's
def test_an_interrupt_leaves_it_usable(here, silent):
    for pause in (0.0, 0.002, 0.02, 0.1):
        ending = threading.Timer(pause, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            ending.start()
            attempt(here, "127.0.0.1", silent.port, limit=60)
        Deadline(120).wait_for(silent.attempts, until=lambda ports: not ports, what="the attempt was cancelled", every=0.02)
        assert attempt(here, "127.0.0.1", free_port())[0].outcome is AttemptOutcome.REFUSED


def test_nothing_is_left_after_close(here, host, silent):
    threads = threading.active_count()
    with under_way(here, silent) as cut:
        here.close()
        with pytest.raises((HostUnreachable, Inconclusive)):
            cut.result(10)
        assert not silent.attempts()
    assert not host.started[0].running and threading.active_count() <= threads


def test_a_missing_python_is_said(host):
    missing = ConnectionWorker(host, "python-that-is-not-there")
    with pytest.raises(Unusable, match=r"python-that-is-not-there.*set ssh.python"):
        attempt(missing, "127.0.0.1", 1)
    with pytest.raises(Unusable, match=r"python-that-is-not-there.*set ssh.python"), relay(missing, "127.0.0.1", 1):
        pass


@pytest.mark.parametrize("name", ["connection_worker", "packet_capture"])
def test_the_scripts_are_python_3_6(name):
    ast.parse(script_transport.source(name), feature_version=(3, 6))
    assert b"from __future__" not in script_transport.source(name)


@needs_sshd
def test_a_connection_cut_under_a_request_is_told_and_the_next_connects_again(tmp_path, silent):
    server = start_server(tmp_path / "sshd")
    host = SshHost(server.machine())
    resident = ConnectionWorker(host)
    with under_way(resident, silent) as lost:
        for child in server.connections():
            os.kill(child, signal.SIGKILL)
        with pytest.raises(HostUnreachable, match="lknode01: the connection was lost"):
            lost.result(10)
    assert attempt(resident, "127.0.0.1", free_port())[0].outcome is AttemptOutcome.REFUSED
    resident.close()
    gone = lambda: host.run(["pgrep", "-f", "^python3 -I -S -c import os.s=b"]).exit == 1  # noqa: E731
    Deadline(120).wait_for(gone, what="the scripts ended on the host")
    host.close()
    stop_server(server)
