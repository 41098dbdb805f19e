"""SshHost against a real OpenSSH server on loopback, with keys made for each test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest
from sshd_server import SSHD, Server, free_port, make_key, start_server, stop_server, wildcard_of

from harness import model
from harness.deadline import Deadline
from harness.errors import BadUse, DeadlineExceeded, Inconclusive, Unusable
from harness.hosts.base import CommandFailed, HostUnreachable, WrongHostKey
from harness.hosts.ssh import SshHost, connect_all
from harness.measure.attempt import attempt
from harness.measure.relay import relay
from harness.measure.resident import Resident
from harness.measure.witness import Witness
from harness.timeline import Timeline

pytestmark = [
    pytest.mark.skipif(not SSHD.exists(), reason="needs a real sshd (Debian package openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sshd separates privileges"),
]


@pytest.fixture
def serve(tmp_path):
    servers = []

    def serve(*more: str) -> Server:
        servers.append(start_server(tmp_path / f"sshd{len(servers)}", *more))
        return servers[-1]

    yield serve
    for server in servers:
        stop_server(server)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = start_server(tmp_path_factory.mktemp("sshd") / "sshd")
    yield server
    stop_server(server)


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
    data = os.urandom(3_000_000)
    assert host.run("wc -c", input=data).out.strip() == str(len(data))
    echoed = host.run("base64 -w0", input=data, limit=30).out
    assert len(echoed) == (len(data) + 2) // 3 * 4


def test_input_that_nobody_reads_does_not_hang(host):
    assert host.run("exit 5", input=bytes(10_000_000)).exit == 5


def test_big_outputs_on_both_streams_neither_fills(host):
    size = 6_000_000
    both = f"head -c {size} /dev/zero | tr '\\0' e >&2; head -c {size} /dev/zero | tr '\\0' o; head -c {size} /dev/zero | tr '\\0' e >&2"
    result = host.run(both, limit=60)
    assert (len(result.out), len(result.err)) == (size, 2 * size)


def test_a_command_that_exceeds_its_limit_is_ended_and_quoted(host):
    with pytest.raises(DeadlineExceeded, match=r"longer than 0.6 s.*half way") as caught:
        host.run("echo half way; exec sleep 47.11", limit=0.6)
    assert caught.value.out == "half way\n"
    gone = lambda: host.run("pgrep -fx 'sleep 47.11'").exit == 1  # noqa: E731
    Deadline(10).wait_for(gone, what="the command ended on the host", every=0.2)


def test_a_daemon_left_behind_does_not_hold_the_result_back(host):
    result = host.run("sleep 5 & echo $!", limit=4)
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
    threads = [threading.Thread(target=lambda: results.append(host.run("sleep 0.1; echo x", limit=30).out)) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["x\n"] * 24
    assert len(server.connections()) <= before + 1


def test_busy_sessions_do_not_make_a_host_look_dead_but_say_so_to_the_ninth(host):
    streams = [host.start("cat") for _ in range(8)]
    assert host.alive(limit=10)
    with pytest.raises(DeadlineExceeded, match="all 8 sessions stayed busy"):
        host.run("true", limit=0.5)
    for stream in streams:
        stream.close()
    assert host.run("true").ok


def test_a_stream_closed_while_it_is_read_takes_nothing_from_another_connection(host, server):
    """What reads one stream must never touch the descriptor that another connection got when the stream was closed."""

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
    beside = [threading.Thread(target=open_and_close_descriptors, args=(over,)) for _ in range(3)]
    workers = [threading.Thread(target=read_while_it_is_closed, args=(15,)) for _ in range(4)]
    for thread in (*beside, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    for thread in beside:
        thread.join()
    assert set(taken) == {64}
    assert host.check("echo alive") == "alive\n"
    assert host._timeline is not None
    assert [event.text for event in host._timeline.events if event.kind in ("connected", "reconnected")] == ["lknode01: SSH connection up"]


def test_it_reconnects_at_the_next_use_after_the_connection_was_killed(serve):
    server = serve()
    host = SshHost(server.machine(), timeline=Timeline())
    assert host.check("echo one") == "one\n"
    stream = host.start("cat")
    (child,) = server.connections()
    os.kill(child, signal.SIGKILL)
    assert list(stream.lines()) == []
    assert host.check("echo two") == "two\n"
    assert [e.kind for e in host._timeline.events if e.kind.endswith("connected")] == ["connected", "reconnected"]
    host.close()


def test_a_command_whose_connection_is_lost_is_not_repeated(serve, tmp_path):
    server = serve()
    host = SshHost(server.machine())
    host.check("true")
    (child,) = server.connections()
    trace = tmp_path / "trace"
    with pytest.raises(HostUnreachable, match="whether it finished is unknown"):
        host.run(f"echo ran >> {trace}; kill -9 {child}; sleep 3", limit=8)
    assert trace.read_text() == "ran\n"
    host.close()


def test_a_frozen_host_is_not_alive_though_its_connection_stands(serve):
    server = serve()
    host = SshHost(server.machine(connect_limit_s=0.5))
    assert host.alive(limit=10)
    children = server.connections()
    for pid in [*children, server.process.pid]:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert not host.alive(limit=0.5)
        with pytest.raises(HostUnreachable, match=r"greeting within 0\.\d+ s"):
            host.run("true", limit=2)
    finally:
        for pid in [*children, server.process.pid]:
            os.kill(pid, signal.SIGCONT)
    Deadline(10).wait_for(lambda: host.alive(limit=5), what="the host answers again")
    host.close()


def test_a_host_that_boots_is_tried_again_and_the_timeline_says_so(serve):
    server = serve()
    server.process.terminate()
    server.process.wait(10)
    timeline = Timeline()
    host = SshHost(server.machine(connect_limit_s=20), timeline=timeline)
    restarted = []

    def boot():
        noted = lambda: [e for e in timeline.events if e.kind == "retry"]  # noqa: E731
        Deadline(10).wait_for(noted, what="a retry is in the timeline", every=0.02)
        restarted.append(subprocess.Popen(server.process.args, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    booting = threading.Thread(target=boot)
    booting.start()
    try:
        assert host.check("echo up", limit=20) == "up\n"
    finally:
        booting.join()
        server.process = restarted[0]
        host.close()
    assert "refused the connection" in next(e.text for e in timeline.events if e.kind == "retry")


def test_a_wrong_host_key_is_refused_at_once(serve):
    server = serve()
    other = make_key(server.folder / "other_key").with_suffix(".pub").read_text().split()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {other[0]} {other[1]}\n")
    timeline = Timeline()
    host = SshHost(server.machine(), timeline=timeline)
    with pytest.raises(WrongHostKey, match=r"shows the key ssh-ed25519 SHA256:.*`ssh-keygen -R"):
        host.run("true")
    with pytest.raises(WrongHostKey):
        host.alive()
    assert timeline.events == []


@pytest.mark.parametrize("port_of", [lambda p: p + 1, lambda p: 22])
def test_a_missing_entry_is_named_with_how_to_get_it(server, tmp_path, port_of):
    path = tmp_path / "known"
    path.write_text(server.known_hosts.read_text().replace(f"[127.0.0.1]:{server.port}", f"[127.0.0.1]:{port_of(server.port)}"))
    with pytest.raises(WrongHostKey, match=rf"no entry for \[127.0.0.1\]:{server.port}; .*ssh-keyscan -p {server.port} 127.0.0.1"):
        SshHost(server.machine(known_hosts=path)).run("true")


def test_a_missing_known_hosts_file_is_named(server, tmp_path):
    with pytest.raises(WrongHostKey, match="nowhere cannot be read"):
        SshHost(server.machine(known_hosts=tmp_path / "nowhere")).run("true")


def test_a_hashed_entry_is_understood(server, tmp_path):
    path = tmp_path / "known"
    shutil.copy(server.known_hosts, path)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
    assert "127.0.0.1" not in path.read_text()
    host = SshHost(server.machine(known_hosts=path))
    assert host.check("echo in") == "in\n"
    host.close()


def test_a_revoked_key_is_refused(server, tmp_path):
    path = tmp_path / "known"
    line = server.known_hosts.read_text()
    path.write_text(line + "@revoked * " + line.split(" ", 1)[1])
    with pytest.raises(WrongHostKey, match="revokes the key"):
        SshHost(server.machine(known_hosts=path)).run("true")


def test_a_key_that_is_not_admitted_is_said(server, tmp_path):
    with pytest.raises(HostUnreachable, match=r"does not let root in with the key .*authorized_keys"):
        SshHost(server.machine(key=make_key(tmp_path / "stranger"))).run("true")
    with pytest.raises(HostUnreachable, match="cannot be read"):
        SshHost(server.machine(key=tmp_path / "nokey")).run("true")


def test_no_key_at_all_is_said(server, monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(HostUnreachable, match="no ssh-agent runs"):
        SshHost(server.machine(key=None)).run("true")


def test_a_refused_port_is_unreachable_after_retries(server):
    timeline = Timeline()
    host = SshHost(
        server.machine(port=free_port(), connect_limit_s=0.4, known_hosts=wildcard_of(server)),
        timeline=timeline,
    )
    with pytest.raises(HostUnreachable, match="refused the connection; does sshd run there"):
        host.run("true")
    assert {e.kind for e in timeline.events} == {"retry"}
    assert not host.alive(limit=0.5)


def test_a_port_that_accepts_and_says_nothing_is_unreachable(server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        host = SshHost(server.machine(port=port, connect_limit_s=0.4, known_hosts=wildcard_of(server)))
        with pytest.raises(HostUnreachable, match=r"did not complete SSH's greeting within 0.\d+ s"):
            host.run("true")


def test_a_port_that_speaks_something_else_is_unreachable(server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ended = threading.Event()

        def greet():
            while not ended.is_set():
                with silent.accept()[0] as sock:
                    sock.sendall(b"220 mail\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        port = silent.getsockname()[1]
        host = SshHost(server.machine(port=port, connect_limit_s=0.3, known_hosts=wildcard_of(server)))
        with pytest.raises(HostUnreachable, match="greeting"):
            host.run("true")
        ended.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()


def cluster_of(client: model.Machine, node: model.Machine, other: model.Machine) -> model.Cluster:
    return model.Cluster(
        name="c",
        client={"name": client.name, "address": "10.20.1.20", "ssh": client.ssh},
        nodes=[
            {"name": node.name, "address": "10.20.1.11", "second_address": "10.20.2.11", "ssh": node.ssh},
            {"name": other.name, "address": "10.20.1.12", "second_address": "10.20.2.12", "ssh": other.ssh},
        ],
        services=[{"name": "web", "kind": "http", "port": 80, "tag": "web"}],
    )


def test_a_host_behind_a_jump_host(server, serve):
    behind = serve("SetEnv WHERE=behind")
    nodes = behind.machine("lknode01", jump="lkclient"), behind.machine("lknode02", jump="lkclient", port=free_port(), connect_limit_s=0.5)
    behind.known_hosts.write_text(behind.known_hosts.read_text() + "[127.0.0.1]:* " + behind.known_hosts.read_text().split(" ", 1)[1])
    hosts = connect_all(cluster_of(server.machine("lkclient"), *nodes), Timeline())
    assert list(hosts) == ["lkclient", "lknode01", "lknode02"]
    assert hosts["lknode01"].check("echo $WHERE") == "behind\n"
    assert hosts["lknode01"].alive()
    with pytest.raises(HostUnreachable, match=r"lkclient, the jump host, could not connect to 127.0.0.1:\d+ \(.*Connection refused\)"):
        hosts["lknode02"].run("true")
    for host in hosts.values():
        host.close()


def test_jump_hosts_in_a_circle_are_bad_use(server):
    one, two = server.machine("lknode01", jump="lknode02"), server.machine("lknode02", jump="lknode01")
    with pytest.raises(BadUse, match="lknode01 → lknode02 → lknode01"):
        connect_all(cluster_of(server.machine("lkclient"), one, two), Timeline())


def test_missing_sudo_is_one_clear_sentence(serve, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "env", "timeout", "true"):
        (tools / name).symlink_to(shutil.which(name))
    server = serve(f"SetEnv PATH={tools}")
    host = SshHost(server.machine(sudo=True))
    with pytest.raises(Unusable, match=r"lknode01: .*sudo.*not found"):
        Witness(host).start()
    with pytest.raises(Unusable, match=r"`sudo -n` does not work for root .*not found.*NOPASSWD"):
        host.run("true")
    (tools / "sudo").write_text('#!/bin/sh\n[ "$1" = -n ] && shift\nAS=sudo exec "$@"\n')
    (tools / "sudo").chmod(0o755)
    # the shell must not remember that it found none: every command has a shell of its own
    assert host.run("echo as root").out == "as root\n"
    host.close()


def test_attempts_relays_and_witnesses_work_over_ssh_and_leave_nothing_running(host, server):
    with Witness(host) as witness:
        resident = Resident(host)
        (tried,) = attempt(resident, "127.0.0.1", server.port)
        with relay(resident, "127.0.0.1", server.port) as link, socket.create_connection((link.host, link.port), timeout=10) as sock:
            assert sock.recv(100).startswith(b"SSH-2.0-OpenSSH")
        witness.mark()
        syns = {p.sport for p in witness.packets() if p.is_syn}
    assert tried.answered and {tried.local_port, link.attempt.local_port} <= syns
    resident.close()
    gone = lambda: host.run(["pgrep", "-f", "^python3 -I -S -c import os.s=b"]).exit == 1  # noqa: E731
    Deadline(5).wait_for(gone, what="the scripts ended on the host")


def test_a_witness_whose_connection_dies_is_inconclusive(serve):
    server = serve()
    host = SshHost(server.machine())
    with Witness(host) as witness:
        witness.mark()
        (child,) = server.connections()
        os.kill(child, signal.SIGKILL)
        with pytest.raises(Inconclusive, match="the host or the connection to it was lost"):
            witness.mark()
    host.close()


def test_paramiko_s_log_stays_off_the_terminal(serve, capfd):
    server = serve()
    host = SshHost(server.machine())
    host.check("true")
    (child,) = server.connections()
    os.kill(child, signal.SIGKILL)
    assert host.alive(limit=5)
    host.close()
    assert capfd.readouterr() == ("", "")


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
