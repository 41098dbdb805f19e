"""SshHost's connection to a real OpenSSH server on loopback: lost and made again, host keys, keys, ports, jump hosts."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sshd_server import SSHD, make_key, servers, wildcard_of

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, Inconclusive
from harness.core.timeline import Timeline
from harness.hosts.host import HostUnreachable, WrongHostKey
from harness.hosts.ssh.ssh_host import SshHost, connect_all, give_up
from harness.remote.captures.capture_session import PacketCapture
from tests.deep_option import is_deep
from tests.free_port import free_port

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
    host = SshHost(server.machine(connect_limit_s=2.0))  # half of it for the session on the standing connection
    assert host.alive(limit=120)
    children = server.connections()
    for pid in [*children, server.process.pid]:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert not host.alive(limit=0.5)
        with pytest.raises(HostUnreachable, match=r"greeting within \d"):
            host.run("true", limit=5)
    finally:
        for pid in [*children, server.process.pid]:
            os.kill(pid, signal.SIGCONT)
    Deadline(120).wait_for(lambda: host.alive(limit=5), what="the host answers again")
    host.close()


def test_a_host_that_boots_is_tried_again_and_the_timeline_says_so(serve):
    server = serve()
    server.process.terminate()
    server.process.wait(120)
    timeline = Timeline()
    host = SshHost(server.machine(connect_limit_s=20), timeline=timeline)
    restarted = []

    def boot():
        noted = lambda: [e for e in timeline.events if e.kind == "retry"]  # noqa: E731
        Deadline(120).wait_for(noted, what="a retry is in the timeline", every=0.02)
        restarted.append(subprocess.Popen(server.process.args, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    booting = threading.Thread(target=boot)
    booting.start()
    try:
        assert host.check("echo up", limit=120) == "up\n"
    finally:
        booting.join()
        server.process = restarted[0]
        host.close()
    first = next(e.text for e in timeline.events if e.kind == "retry")
    assert "refused the connection" in first or "broke off SSH's greeting" in first  # the second where the port is another's meanwhile


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


def test_one_that_a_look_gave_up_is_not_tried_until_it_is_over(server):
    timeline = Timeline()
    host = SshHost(server.machine(port=free_port(), connect_limit_s=0.4, known_hosts=wildcard_of(server)), timeline=timeline)
    with pytest.raises(HostUnreachable) as lost:
        host.run("true")
    tries = len(timeline.events)
    give_up(host, lost.value)
    for ask in (host.run, host.start):
        with pytest.raises(HostUnreachable) as again:
            ask("true")
        assert again.value is lost.value
    assert len(timeline.events) == tries > 0
    give_up(host, None)
    with pytest.raises(HostUnreachable):
        host.run("true")
    assert len(timeline.events) > tries


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


def cluster_of(client: cluster_config.Machine, node: cluster_config.Machine, other: cluster_config.Machine) -> cluster_config.Cluster:
    return cluster_config.Cluster(
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
    assert hosts["lknode01"].alive(limit=120)
    with pytest.raises(HostUnreachable, match=r"lkclient, the jump host, could not connect to 127.0.0.1:\d+ \(.*Connection refused\)"):
        hosts["lknode02"].run("true")
    for host in hosts.values():
        host.close()


def test_jump_hosts_in_a_circle_are_bad_use(server):
    one, two = server.machine("lknode01", jump="lknode02"), server.machine("lknode02", jump="lknode01")
    with pytest.raises(BadUse, match="lknode01 → lknode02 → lknode01"):
        connect_all(cluster_of(server.machine("lkclient"), one, two), Timeline())


def test_a_witness_whose_connection_dies_is_inconclusive(serve):
    server = serve()
    host = SshHost(server.machine())
    with PacketCapture(host) as witness:
        witness.mark()
        (child,) = server.connections()
        os.kill(child, signal.SIGKILL)
        with pytest.raises(Inconclusive, match="the host or the connection to it was lost"):
            witness.mark()
    host.close()


def test_paramiko_s_log_stays_off_the_terminal(serve, capfd, caplog):
    """Nor is it below a test that failed, where pytest shows what was logged, with its tracebacks."""
    server = serve()
    host = SshHost(server.machine())
    host.check("true")
    logging.getLogger(f"paramiko.transport.{server.machine().name}").error("Traceback (most recent call last):")
    (child,) = server.connections()
    os.kill(child, signal.SIGKILL)
    assert host.alive(limit=120)
    host.close()
    assert capfd.readouterr() == ("", "") and caplog.records == []


def test_new_keys_are_agreed_on_while_other_commands_end(serve):
    """Each 1 MiB here, 512 MiB as a rule: the close of one command that comes in meanwhile must not keep the others waiting."""
    host = SshHost(serve().machine())
    host.check("true")
    transport = host._connection.transport
    transport.packetizer.REKEY_BYTES = 1024 * 1024
    texts, commands, agreements = [], 30 if is_deep() else 12, 5

    def agreed():
        return sum("Switch to new keys" in text for text in texts)

    deadline = Deadline(300)
    transport.logger.addHandler(_Noted(texts))
    transport.logger.setLevel(logging.DEBUG)
    stream = host.start("exec yes 0123456789abcdef")
    try:
        with ThreadPoolExecutor(4) as pool:
            ends = [pool.submit(lambda: host.run("true", limit=120)) for _ in range(commands)]
            while agreed() < agreements or not all(end.done() for end in ends):
                deadline.require("new keys being agreed on while commands end")
                if all(end.done() for end in ends):  # quicker than the keys: there is always one more to end
                    ends.append(pool.submit(lambda: host.run("true", limit=120)))
                assert stream.recv(1 << 20), "the stream ended"
        assert len(ends) >= commands and {end.result().exit for end in ends} == {0}
    finally:
        transport.logger.setLevel(logging.NOTSET)
        stream.close()
        host.close()


class _Noted(logging.Handler):
    def __init__(self, texts):
        super().__init__(logging.DEBUG)
        self._texts = texts

    def emit(self, record):
        self._texts.append(record.getMessage())
