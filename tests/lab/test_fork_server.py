"""Commands that the stand-in forks from a loaded process behave as if they had been started: exit, output, limit, what they leave."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from harness.core.deadline import Deadline
from harness.lab.lifekeeper.resource_types.bounded_command import RanOut
from harness.lab.lifekeeper.resource_types.fork_server import ForkServer
from harness.lab.lifekeeper.resource_types.resource_type import Failed
from harness.lab.services import node_process
from tests.free_port import free_port

UNIT, WEB = "harness.lab.services.service_control", "harness.lab.services.http_server"


@pytest.fixture
def warm():
    warm = ForkServer(sys.executable)
    warm.start()
    yield warm
    warm.stop()


PORT = str(free_port())


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def unit(action: str, folder: Path, *more: str) -> list[str]:
    words = ["--name", "web", "--pid-file", str(folder / "web.pid"), "--log", str(folder / "web.log")]
    words += ["--protocol", "http", "--port", PORT, "--limit", "10"]
    return [sys.executable, "-m", UNIT, action, *words, *more]


def test_a_command_that_fails_says_its_exit_and_its_last_line(warm: ForkServer, tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"exited 1 and said: web does not run"):
        warm.run(unit("check", tmp_path), 10.0, extra={})


def test_bad_use_is_a_failure_too(warm: ForkServer, tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"exited 2 and said: .*invalid choice"):
        warm.run(unit("dance", tmp_path), 10.0, extra={})


def test_what_a_command_starts_outlasts_it_and_its_output_is_returned(warm: ForkServer, tmp_path: Path) -> None:
    service = ["--", "http_server", "--port", PORT, "--bind", "127.0.0.1", "--node", "lknode01"]
    assert "started with pid" in warm.run(unit("start", tmp_path, *service), 10.0, extra={})
    started = node_process.process_of(tmp_path / "web.pid")
    assert started is not None and started.alive
    try:
        warm.run(unit("check", tmp_path), 10.0, extra={})
    finally:
        warm.run(unit("stop", tmp_path), 10.0, extra={})
    assert not started.alive


def test_a_command_that_does_not_end_is_killed_at_its_limit(warm: ForkServer) -> None:
    port = str(free_port())
    listening = [sys.executable, "-m", WEB, "--port", port, "--bind", "127.0.0.1", "--node", "lknode01"]
    with pytest.raises(RanOut, match=r"did not end within 0\.5 s"):
        warm.run(listening, 0.5, extra={})

    def serves() -> bool:
        listeners = Path("/proc/net/tcp").read_text()
        return f"0100007F:{int(port):04X} 00000000:0000 0A" in listeners

    Deadline(120).wait_for(lambda: not serves(), what="the end of the command")


def test_a_killed_server_costs_time_only(warm: ForkServer, tmp_path: Path) -> None:
    os.kill(warm.pid, 9)
    os.waitpid(warm.pid, 0)
    with pytest.raises(Failed, match=r"exited 1 and said: web does not run"):
        warm.run(unit("check", tmp_path), 10.0, extra={})


def test_any_other_command_is_run_as_usual(warm: ForkServer) -> None:
    assert warm.run(["sh", "-c", "echo $LK_TAG"], 10.0, extra={"LK_TAG": "web"}) == "web\n"


def test_the_server_ends_with_its_user() -> None:
    warm = ForkServer(sys.executable)
    warm.start()
    assert warm.pid in children()
    warm.stop()
    assert warm.pid not in children()


def below(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def fails(warm: ForkServer, folder: Path, **extra: str) -> None:
    with pytest.raises(Failed, match=r"exited 1 and said: web does not run"):
        warm.run(unit("check", folder), 10.0, extra=extra, again=True)


def test_a_command_that_is_run_again_is_run_by_the_same_process_and_ends_with_its_user(warm: ForkServer, tmp_path: Path) -> None:
    fails(warm, tmp_path, LK_TAG="web")
    waiting = below(warm.pid)
    assert len(waiting) == 1
    fails(warm, tmp_path, LK_TAG="web")
    assert below(warm.pid) == waiting
    fails(warm, tmp_path, LK_TAG="other")  # what it finds in its environment is its own
    assert len(below(warm.pid)) == 2
    (pid,) = waiting
    warm.stop()
    Deadline(120).wait_for(lambda: not node_process.find(pid), what="the end of the process that waited")


def test_a_process_that_was_killed_while_it_waited_costs_time_only(warm: ForkServer, tmp_path: Path) -> None:
    fails(warm, tmp_path)
    (waiting,) = below(warm.pid)
    os.kill(waiting, 9)
    fails(warm, tmp_path)
    Deadline(120).wait_for(lambda: waiting not in below(warm.pid), what="the process that was killed being collected")


def test_one_that_does_not_end_the_second_time_is_killed_at_its_limit(warm: ForkServer, tmp_path: Path) -> None:
    fails(warm, tmp_path)
    (waiting,) = below(warm.pid)
    os.kill(waiting, signal.SIGSTOP)
    with pytest.raises(RanOut, match=r"did not end within 0\.2 s"):
        warm.run(unit("check", tmp_path), 0.2, extra={}, again=True)
    Deadline(120).wait_for(lambda: not node_process.find(waiting), what="the end of the process that was stopped")
    fails(warm, tmp_path)
