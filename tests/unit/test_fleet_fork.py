"""A fleet's commands as forks: they end, say and hear what new interpreters would, also where the server or who waits is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w

from harness.commands.fleet import child_process, run_fork_server
from harness.commands.fleet.child_process import PROGRAM, Child, Fork, ForkServer
from harness.core.deadline import Deadline
from harness.lab.lifecycle import default_cluster

pytestmark = pytest.mark.skipif(not child_process.can_fork(), reason="commands are forked on Linux only")


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer() as one:
        yield one


def start(server: ForkServer, log: Path, *words: str) -> Child:
    with log.open("wb") as file:
        return server.start([*PROGRAM, *words], file)


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[list[str]]:
    """The words of a check that goes on until somebody ends it: of a cluster that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        data = default_cluster.cluster_data(None, {})
        port, known = listener.getsockname()[1], tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n")
        ssh = {"host": "127.0.0.1", "port": port, "user": "nobody", "connect_limit_s": 300.0, "known_hosts": str(known)}
        for machine in (data["client"], *data["nodes"]):
            machine["ssh"] = ssh
        data.pop("lab", None)
        (tmp_path / "mute.toml").write_text(tomli_w.dumps(data))
        yield ["check", "--cluster", str(tmp_path / "mute.toml")]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_exit_codes_and_output_are_a_new_interpreters(server: ForkServer, tmp_path: Path) -> None:
    for words in (["fact", "DSN-06"], ["fact", "nonsense"], ["check", "--no-such-option"], ["--version"]):
        child = start(server, log := tmp_path / "log", *words)
        assert isinstance(child, Fork)
        alone = subprocess.run([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        assert (child.wait(), log.read_bytes()) == (alone.returncode, alone.stdout), words
        assert child.wait() == alone.returncode
        child.send_signal(signal.SIGKILL)  # to nobody


def test_ctrl_c_and_a_kill_reach_the_command_alone(server: ForkServer, tmp_path: Path, mute: list[str]) -> None:
    ends = {signal.SIGINT: (130, -signal.SIGINT), signal.SIGKILL: (-signal.SIGKILL,), signal.SIGTERM: (130, -signal.SIGTERM)}
    for number, codes in ends.items():
        child = start(server, tmp_path / "log", *mute)
        assert isinstance(child, Fork) and os.getsid(child._pid) == child._pid
        child.send_signal(number)
        assert child.wait() in codes
    assert start(server, tmp_path / "log", "--version").wait() == 0


def test_a_command_whose_waiter_was_killed_is_waited_for_all_the_same(server: ForkServer, tmp_path: Path, mute: list[str]) -> None:
    child = start(server, tmp_path / "log", *mute)
    assert isinstance(child, Fork)
    os.kill(parent_of(child._pid), signal.SIGKILL)
    began = time.monotonic()
    os.kill(child._pid, signal.SIGKILL)
    assert child.wait() == 1 and time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("raised", "ends"), [(KeyboardInterrupt(), -signal.SIGINT), (ValueError("wrong"), 1), (SystemExit(3), 3), (SystemExit(None), 0)]
)
def test_what_nobody_caught_ends_a_command_as_it_ends_an_interpreter(tmp_path: Path, monkeypatch, raised: BaseException, ends: int) -> None:
    def fails(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(run_fork_server.runpy, "run_module", fails)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if (pid := os.fork()) == 0:
        run_fork_server._run_command([], os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT, 0o600), theirs, {})
    theirs.close()
    assert ours.recv(64) == f"began {pid}".encode()
    ours.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == ends
    assert ("Traceback" in (tmp_path / "log").read_text()) is not isinstance(raised, SystemExit)


def test_where_the_server_has_ended_a_new_interpreter_begins(tmp_path: Path) -> None:
    with ForkServer() as server:
        server._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.close()
        child = start(server, tmp_path / "log", "--version")
        assert isinstance(child, subprocess.Popen) and child.wait() == 0
    with ForkServer() as server, (tmp_path / "log").open("wb") as log:
        assert isinstance(other := server.start([sys.executable, "-c", "pass"], log), subprocess.Popen) and other.wait() == 0


def test_it_ends_with_its_fleet_and_its_commands_go_on(tmp_path: Path, mute: list[str]) -> None:
    with ForkServer() as server:
        child = start(server, tmp_path / "log", *mute)
        assert isinstance(child, Fork)
        waiter = parent_of(child._pid)
        ours = parent_of(waiter)
        os.kill(ours, signal.SIGTERM)  # as a unit that stops does to every process of it
        os.kill(waiter, signal.SIGTERM)
    Deadline(60).wait_for(lambda: parent_of(waiter) != ours, what="the server's end", every=0.02)
    assert Path(f"/proc/{child._pid}").exists()
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
