"""An ssh-agent with many keys: no more failed log-ins than few, one sentence, and never again."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sshd_server import Server, start_server

from harness.core.deadline import Deadline
from harness.core.timeline import Timeline
from harness.hosts.host import HostUnreachable
from harness.hosts.ssh import ssh_connection
from harness.hosts.ssh.ssh_host import SshHost

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ssh-agent"), reason="needs root, for an sshd, and ssh-agent")


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    made = start_server(tmp_path / "sshd")
    yield made
    made.process.terminate()
    made.process.wait(120)


@pytest.fixture
def load(tmp_path: Path, monkeypatch, server: Server) -> Iterator:
    """A real ssh-agent; loads so many keys that nobody knows, and after `before` of them the right one."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    monkeypatch.setattr(ssh_connection, "_good_keys", {})
    # Its socket is there before it takes connections (bind comes before listen): 1 is "no key", 2 is "no agent".
    Deadline(120).wait_for(
        lambda: subprocess.run(["ssh-add", "-l"], capture_output=True).returncode == 1, what="ssh-agent answers", every=0.05
    )

    def add(strangers: int, *, before: int | None = None) -> None:
        for number in range(strangers + 1):
            if number == before:
                subprocess.run(["ssh-add", "-q", server.machine().ssh.key], check=True, capture_output=True)
            if number < strangers:
                key = tmp_path / f"stranger{number}"
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
                subprocess.run(["ssh-add", "-q", key], check=True, capture_output=True)

    yield add
    process.terminate()
    process.wait(120)


def host_of(server: Server, key: Path | None, timeline: Timeline | None = None) -> SshHost:
    machine = server.machine()
    return SshHost(machine.model_copy(update={"ssh": machine.ssh.model_copy(update={"key": key})}), timeline=timeline)


def test_more_keys_than_are_tried_are_told_before_any_is(load, server: Server) -> None:
    load(9)
    timeline = Timeline()
    with pytest.raises(HostUnreachable, match=r"ssh-agent holds 9 keys, .*name the one that is meant with ssh\.key"):
        host_of(server, None, timeline).run(["true"])
    assert [e for e in timeline.events if e.kind == "retry"] == []


def test_an_sshd_that_hangs_up_over_the_keys_is_told_and_not_asked_again(load, server: Server, monkeypatch) -> None:
    load(9)
    monkeypatch.setattr(ssh_connection, "MAX_KEYS_TRIED", 100)
    timeline = Timeline()
    with pytest.raises(HostUnreachable, match=r"sshd hung up after \d of the 9 keys in ssh-agent .*MaxAuthTries.*ssh\.key"):
        host_of(server, None, timeline).run(["true"])
    assert [e for e in timeline.events if e.kind == "retry"] == []


def test_a_public_key_chooses_one_of_the_agents(load, server: Server, tmp_path) -> None:
    load(9, before=9)
    public = server.machine().ssh.key.with_suffix(".pub")
    if not public.exists():
        public = tmp_path / "right.pub"
        public.write_text(
            subprocess.run(["ssh-keygen", "-y", "-f", server.machine().ssh.key], check=True, capture_output=True, text=True).stdout
        )
    host = host_of(server, public)
    assert host.run(["true"]).ok
    host.close()
    for name, said in {"stranger.pub": "does not hold the key", "none.pub": "cannot be read", "bad.pub": "is not a public key"}.items():
        place = tmp_path / name
        if name == "stranger.pub":
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place.with_suffix("")], check=True)
        elif name == "bad.pub":
            place.write_text("no key\n")
        with pytest.raises(HostUnreachable, match=said):
            host_of(server, place).run(["true"])


def test_the_key_that_was_right_is_tried_first_the_next_time(load, server: Server) -> None:
    load(3, before=3)
    host = host_of(server, None)
    assert host.run(["true"]).ok
    first = next(iter(ssh_connection._good_keys.values()))
    host.close()
    machine = host.machine
    with contextlib.ExitStack() as stack:
        assert ssh_connection._usable_keys(machine, stack)[0].asbytes() == first
