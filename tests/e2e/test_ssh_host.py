"""Commands and streams of SshHost on a real OpenSSH server on loopback, with keys made for each test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sshd_server import SSHD, servers

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable
from harness.core.timeline import Timeline
from harness.hosts.host import CommandFailed
from harness.hosts.root_rights import as_root
from harness.hosts.ssh.ssh_host import SshHost
from harness.remote.captures.capture_session import PacketCapture
from harness.remote.connections.attempt import attempt
from harness.remote.connections.tcp_tunnel import relay
from harness.remote.connections.worker_session import ConnectionWorker
from tests.deep_option import is_deep

pytestmark = [
    pytest.mark.skipif(not SSHD.exists(), reason="needs a real sshd (Debian package openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sshd separates privileges"),
]


@pytest.fixture
def serve(tmp_path):
    with servers(tmp_path) as serve:
        yield serve


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with servers(tmp_path_factory.mktemp("sshd")) as serve:
        yield serve()


@pytest.fixture
def host(server):
    host = SshHost(server.machine(), timeline=Timeline())
    yield host
    host.close()


def test_a_command_gives_its_exit_and_both_streams(host):
    result = host.run("echo out; echo err >&2; exit 3")
    assert (result.exit, result.out, result.err) == (3, "out\n", "err\n")
    assert result.seconds > 0
    assert host.run(["printf", "%s|", "a b", "$HOME", "c'd"]).out == "a b|$HOME|c'd|"


def test_every_command_speaks_the_c_locale(host):
    assert host.check("echo $LC_ALL") == "C\n"
    assert host.check(["sh", "-c", "echo $LC_ALL"]) == "C\n"


def test_check_demands_success_and_quotes_what_was_said(host):
    with pytest.raises(CommandFailed, match="exited 4 and said: no such thing"):
        host.check("echo no such thing >&2; exit 4")


def test_a_death_by_signal_is_not_a_lost_connection(host):
    assert host.run("kill -9 $$").exit in (-1, 137)
    assert host.check("echo still here") == "still here\n"


def test_input_reaches_the_command_and_ends(host):
    data = os.urandom(1_500_000)
    assert host.run("wc -c", input=data).out.strip() == str(len(data))
    echoed = host.run("base64 -w0", input=data, limit=120).out
    assert len(echoed) == (len(data) + 2) // 3 * 4


def test_input_that_nobody_reads_does_not_hang(host):
    assert host.run("exit 5", input=bytes(10_000_000)).exit == 5


def test_big_outputs_on_both_streams_neither_fills(host):
    size = 1_200_000
    both = f"head -c {size} /dev/zero | tr '\\0' e >&2; head -c {size} /dev/zero | tr '\\0' o; head -c {size} /dev/zero | tr '\\0' e >&2"
    result = host.run(both, limit=60)
    assert (len(result.out), len(result.err)) == (size, 2 * size)


def test_a_command_that_exceeds_its_limit_is_ended_and_quoted(host):
    with pytest.raises(DeadlineExceeded, match=r"longer than 5 s.*half way") as caught:
        host.run("echo half way; exec sleep 47.11", limit=5)
    assert caught.value.out == "half way\n"
    gone = lambda: host.run("pgrep -fx 'sleep 47.11'").exit == 1  # noqa: E731
    Deadline(120).wait_for(gone, what="the command ended on the host", every=0.2)


def test_a_daemon_left_behind_does_not_hold_the_result_back(host):
    result = host.run("sleep 600 & echo $!", limit=120)
    assert result.ok
    host.check(["kill", result.out.strip()])


def test_a_stream_gives_lines_takes_input_and_ends(host):
    process = host.start("while read word; do echo got $word; done")
    lines = process.lines()
    process.send(b"one\n")
    assert next(lines) == "got one"
    process.send(b"two\n")
    assert next(lines) == "got two"
    process.close()
    assert list(lines) == []


def test_many_threads_share_a_connection_without_exceeding_the_sessions_of_sshd(host, server):
    before = len(server.connections())
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(host.run("sleep 0.1; echo x", limit=120).out)) for _ in range(12)
    ]  # more than MAX_SESSIONS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["x\n"] * 12
    assert len(server.connections()) <= before + 1


def test_busy_sessions_do_not_make_a_host_look_dead_but_say_so_to_the_ninth(host):
    streams = [host.start("cat") for _ in range(8)]
    assert host.alive(limit=120)
    with pytest.raises(DeadlineExceeded, match="all 8 sessions stayed busy"):
        host.run("true", limit=0.5)
    for stream in streams:
        stream.close()
    assert host.run("true").ok


def test_a_stream_closed_while_it_is_read_takes_nothing_from_another_connection(server):
    """What reads one stream must never touch the descriptor that another connection got when the stream was closed."""
    timeline = Timeline()
    host = SshHost(server.machine(connect_limit_s=120), timeline=timeline)  # a busy sshd keeps sessions for a while that are closed here

    def read_while_it_is_closed(times: int) -> None:
        for _ in range(times):
            stream = host.start("exec seq 1 200000")
            reader = threading.Thread(target=lambda s=stream: [None for _ in s.lines()])
            reader.start()
            stream.close()
            reader.join(10)

    def open_and_close_descriptors(over: threading.Event) -> None:
        while not over.is_set():
            one, other = socket.socketpair()
            one.sendall(b"x" * 64)
            taken.append(len(other.recv(64)))
            one.close()
            other.close()

    taken: list[int] = []
    over = threading.Event()
    with ThreadPoolExecutor(5) as pool:
        beside = [pool.submit(open_and_close_descriptors, over)]  # one keeps a processor busy already
        try:
            for worker in [pool.submit(read_while_it_is_closed, 15 if is_deep() else 5) for _ in range(4)]:
                worker.result()
        finally:
            over.set()
        for one in beside:
            one.result()
    assert set(taken) == {64}
    assert host.check("echo alive") == "alive\n"
    assert [event.text for event in timeline.events if event.kind in ("connected", "reconnected")] == ["lknode01: SSH connection up"]
    host.close()


def test_missing_sudo_is_one_clear_sentence(serve, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "env", "timeout", "true"):
        (tools / name).symlink_to(shutil.which(name))
    server = serve(f"SetEnv PATH={tools}")
    host = SshHost(server.machine(sudo=True))
    with pytest.raises(Unusable, match=r"lknode01: .*sudo.*not found"):
        PacketCapture(host).start()
    with pytest.raises(Unusable, match=r"`sudo -n` does not work for root .*not found.*lacks the line that allows `true`"):
        host.run(as_root(["true"]))
    assert host.run("echo as myself").out == "as myself\n"
    (tools / "sudo").write_text('#!/bin/sh\n[ "$1" = -n ] && shift\nAS=sudo exec "$@"\n')
    (tools / "sudo").chmod(0o755)
    # the shell must not remember that it found none: every command has a shell of its own
    assert host.run(as_root("echo as $AS")).out == "as sudo\n" and host.run("echo as $AS").out == "as\n"
    host.close()


def test_attempts_relays_and_witnesses_work_over_ssh_and_leave_nothing_running(host, server):
    with PacketCapture(host) as witness:
        resident = ConnectionWorker(host)
        (tried,) = attempt(resident, "127.0.0.1", server.port)
        with relay(resident, "127.0.0.1", server.port) as link, socket.create_connection((link.host, link.port), timeout=60) as sock:
            assert sock.recv(100).startswith(b"SSH-2.0-OpenSSH")
        witness.mark()
        syns = {p.sport for p in witness.packets() if p.is_syn}
    assert tried.answered and {tried.local_port, link.attempt.local_port} <= syns
    resident.close()
    gone = lambda: host.run(["pgrep", "-f", "^python3 -I -S -c import os.s=b"]).exit == 1  # noqa: E731
    Deadline(120).wait_for(gone, what="the scripts ended on the host")


@pytest.mark.timing  # it presses Ctrl-C in its own process, which must not be a worker's
def test_an_interrupt_ends_a_command_at_once_and_the_host_stays_usable(host):
    """Ctrl-C arrives in the main thread, again and again at other moments; none may leave a lock of the library held."""
    for pause in (0.0, 0.01, 0.03, 0.1, 0.2):
        streaming = threading.Event()

        def interrupt(streaming=streaming, pause=pause):
            streaming.wait(pause)
            os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            threading.Thread(target=interrupt).start()
            host.run("while :; do echo much on both; echo streams >&2; done", limit=50)
    assert host.run("echo usable", limit=10).out == "usable\n"
