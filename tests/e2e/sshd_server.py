"""A real OpenSSH server on loopback, with keys made for one test; used by the tests of SSH."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.config import cluster_config
from harness.core.deadline import Deadline
from tests.free_port import free_port

SSHD = Path("/usr/sbin/sshd")


@dataclass
class Server:
    port: int
    folder: Path
    key: Path
    host_key: Path
    process: subprocess.Popen = field(init=False)

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def connections(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(c) for c in children]

    def machine(self, name="lknode01", **ssh) -> cluster_config.Machine:
        given = {"host": "127.0.0.1", "port": self.port, "user": getpass.getuser(), "key": self.key, "known_hosts": self.known_hosts}
        return cluster_config.Machine(name=name, address="127.0.0.1", ssh=cluster_config.SshAccess(**{**given, **ssh}))


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def start_server(folder: Path, *more: str) -> Server:
    server, words = prepare_server(folder, *more)
    with (folder / "log").open("wb") as log:
        server.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    Deadline(120).wait_for(lambda: answers(server.port), what="sshd listens", every=0.02)
    return server


def prepare_server(folder: Path, *more: str, address: str = "127.0.0.1") -> tuple[Server, list[str]]:
    """The files of a server, and the command that starts it."""
    folder.mkdir()
    Path("/run/sshd").mkdir(exist_ok=True)
    host_key, key, port = make_key(folder / "host_key"), make_key(folder / "user_key"), free_port()
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    config = folder / "sshd_config"
    # One line, for sshd reads the first of its kind alone. Bash reads its start-up file from HOME before each command: an account's own may
    # do much (pyenv's takes more than everything else here), and it is no test's subject.
    environment = [f"HOME={folder}", *(line.removeprefix("SetEnv ") for line in more if line.startswith("SetEnv "))]
    lines = [
        f"ListenAddress {address}:{port}",
        f"HostKey {host_key}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "PermitRootLogin yes",
        f"SetEnv {' '.join(environment)}",
        *(line for line in more if not line.startswith("SetEnv ")),
    ]
    config.write_text("\n".join(lines) + "\n")
    words = host_key.with_suffix(".pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(words)}\n")
    return Server(port, folder, key, host_key), [str(SSHD), "-D", "-e", "-f", str(config)]


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def stop_server(server: Server) -> None:
    children = server.connections()
    server.process.terminate()
    server.process.wait(120)
    for child in children:
        try:
            os.kill(child, signal.SIGTERM)
        except ProcessLookupError:
            continue


@contextmanager
def servers(folder: Path) -> Iterator[Callable[..., Server]]:
    """A function that starts a server with more lines of configuration, as often as it is called; all stop at the end."""
    started: list[Server] = []

    def serve(*more: str) -> Server:
        started.append(start_server(folder / f"sshd{len(started)}", *more))
        return started[-1]

    try:
        yield serve
    finally:
        for server in started:
            stop_server(server)


def wildcard_of(server) -> Path:
    path = server.folder / "wildcard"
    path.write_text("[127.0.0.1]:* " + server.known_hosts.read_text().split(" ", 1)[1])
    return path
