"""LocalHost: processes of this machine as a host."""

from __future__ import annotations

import os
import sys

import pytest

from harness.core.errors import DeadlineExceeded
from harness.hosts.host import CommandFailed, HostUnreachable
from harness.hosts.linux.linux_host import LinuxHost
from harness.hosts.local_host import LocalHost


@pytest.fixture
def here():
    host = LocalHost("here")
    yield host
    host.close()


def test_a_command_gives_its_exit_both_streams_and_takes_input(here):
    result = here.run("cat; echo err >&2; exit 3", input=b"in")
    assert (result.exit, result.out, result.err) == (3, "in", "err\n")
    assert here.check("echo $LC_ALL") == "C\n"
    with pytest.raises(CommandFailed, match="exited 3"):
        here.check("exit 3")


def test_a_stream_ends_on_the_end_of_its_input(here):
    process = here.start("while read word; do echo got $word; done")
    lines = process.lines()
    process.send(b"one\n")
    assert next(lines) == "got one"
    process.close()
    assert list(lines) == [] and not process.running


def test_a_prefix_puts_commands_elsewhere():
    assert LocalHost("there", prefix=["env", "WHERE=there"]).check("echo $WHERE") == "there\n"


def test_linux_tells_about_itself(here):
    linux = LinuxHost(here)
    assert ("lo", "127.0.0.1", 8) in [(a.interface, a.address, a.prefix) for a in linux.addresses()]
    assert linux.route_to("127.0.0.1").kind == "local"
    assert linux.sysctl("net.ipv4.ip_forward") in ("0", "1")
    assert linux.hostname() == os.uname().nodename.partition(".")[0]
    assert len(linux.boot_id()) == 36
    offset, error = linux.offset()
    assert abs(offset) <= error
    assert linux.process_start(2**22) is None
    with pytest.raises(CommandFailed):
        linux.sysctl("net.no.such")


def test_a_listener_is_listed_with_its_process(here):
    script = "import socket, sys\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\nsys.stdin.read()"
    process = here.start([sys.executable, "-c", script])
    port = int(next(process.lines()))
    (found,) = [x for x in LinuxHost(here).listeners() if x.port == port]
    assert (found.address, found.protocol) == ("127.0.0.1", "tcp")
    assert found.pid in (None, process.pid)
    process.close()


def test_a_local_command_that_exceeds_its_limit_is_ended_with_its_children(here):
    with pytest.raises(DeadlineExceeded, match="half way"):
        here.run("echo half way; sleep 48.12 & sleep 48.13", limit=0.3)
    assert here.run(["pgrep", "-f", "^sleep 48[.]1[23]"]).exit == 1


def test_a_program_that_is_not_there_is_unreachable(here):
    with pytest.raises(HostUnreachable, match="is it installed"):
        here.run(["no-such-program"])
