"""What listens on a port may be killed or stopped only where it is the cluster's alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.deadline import Deadline
from harness.disrupt.bases.listening_process import ListeningProcess, kill, reason_not_to_end
from harness.hosts.deadman.deadman_switch import moment_of
from harness.hosts.host import CommandFailed
from harness.hosts.linux.linux_parse import Listener
from harness.hosts.local_host import LocalHost


def on(port: int, pid: int, process: str) -> Listener:
    return Listener("0.0.0.0", port, "tcp", pid, process)


@pytest.mark.parametrize(
    ("listeners", "ancestors", "why"),
    [
        ([on(5432, 77, "postgres")], [], ""),
        ([on(5432, 77, "postgres"), on(12345, 77, "postgres")], [], ""),
        ([on(5432, 77, "postgres"), on(22, 9, "sshd")], [9], ""),
        ([on(5432, 1, "systemd")], [], "systemd (1) listens on port 5432 for others"),
        ([on(5432, 1, "runit")], [], "runit (1) listens on port 5432 for others"),
        ([on(5432, 9, "sshd")], [], "sshd (9) listens on port 5432 for others"),
        ([on(5432, 9, "xinetd")], [], "xinetd (9) listens"),
        ([on(5432, 9, "dropbear")], [9], "is the harness's own way to it"),
        ([on(5432, 9, "haproxy"), on(443, 9, "haproxy"), on(80, 9, "haproxy")], [], "on port 5432 and on 80, 443, which the cluster file"),
    ],
)
def test_whose(listeners, ancestors, why):
    pid = next(x.pid for x in listeners if x.port == 5432)
    said = reason_not_to_end(pid, 5432, listeners, {5432, 12345}, ancestors)
    assert why in said and bool(said) == bool(why)


LISTENER = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); time.sleep(120)"


@pytest.fixture
def listener():
    """A process that listens, its port and when it started."""
    process = subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    port = int(process.stdout.readline())
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    try:
        yield process, ListeningProcess(process.pid, started, port)
    finally:
        process.kill()
        process.communicate()


def a_subject(*, role: str = "true", lease_line: str = ""):
    nodes = [SimpleNamespace(name="lknode01"), SimpleNamespace(name="lknode02")]
    return SimpleNamespace(
        cluster=SimpleNamespace(nodes=nodes, ip_resource=SimpleNamespace(tag="ip")),
        hosts={"lknode01": LocalHost("lknode01")},
        manager=SimpleNamespace(in_service_test=lambda tag: role),
        lease_line=lease_line,
        standing=[],
    )


DISRUPTION = SimpleNamespace(target=lambda: "lknode01", chosen_as_active="lknode01")


def test_the_process_that_was_looked_at_is_killed_and_the_moment_told(listener):
    process, looked_at = listener
    before = time.time()
    moment = kill(a_subject(lease_line="true"), DISRUPTION, looked_at, Deadline(30))
    assert process.wait(30) == -signal.SIGKILL
    assert before - 0.1 <= moment.before <= moment.after <= time.time() + 0.1


@pytest.mark.parametrize(
    ("subject", "changed", "why"),
    [
        (a_subject(lease_line="false"), {}, "the lease on this node is not this run's any more"),
        (a_subject(role="false"), {}, "lknode01 was active and is not any more"),
        (a_subject(), {"started": "1"}, "is gone, and another may have its number"),
        (a_subject(), {"port": 1}, "does not listen on port 1 any more"),
    ],
)
def test_what_is_not_as_it_was_looked_at_is_not_killed(listener, subject, changed, why):
    """The laptop slept between the look and the deed: lease, role and process are asked in the command that kills."""
    process, looked_at = listener
    with pytest.raises(CommandFailed, match=why):
        kill(subject, DISRUPTION, looked_at._replace(**changed), Deadline(30))
    assert process.poll() is None


def test_a_moment_that_a_host_cannot_tell_is_no_error_of_another_kind():
    assert moment_of("moment 1764.%N 1765.%N\n") is None and moment_of("moment 1764 1765.25\n") == (1764.0, 1765.25)
    assert moment_of(f"moment {'9' * 400} 1\n") is None and moment_of("moment nan inf\n") is None
