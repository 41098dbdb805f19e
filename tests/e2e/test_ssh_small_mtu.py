"""SSH over a path that loses full-sized packets and does not say so: a router with a small MTU whose ICMP is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import REPOSITORY
from sshd_server import SSHD, Server, prepare_server

pytestmark = [
    pytest.mark.skipif(not SSHD.exists(), reason="needs a real sshd (Debian package openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes network namespaces"),
]
SILENT = "add table ip r; add chain ip r out { type filter hook output priority 0; }; add rule ip r out ip protocol icmp drop"
NODE, CLIENT = "10.20.9.2", "10.20.8.2"
EXCHANGE = """
import sys
from harness.config.cluster_config import Machine
from harness.hosts.ssh.ssh_host import SshHost
host = SshHost(Machine.model_validate_json(sys.argv[1]))
print(len(host.run("head -c 200000 /dev/zero | tr '\\\\0' x", limit=60).out), host.run("wc -c", limit=60, input=b"x" * 200000).out.strip())
host.close()
"""


@pytest.fixture
def hosts() -> Iterator[tuple[str, str, str]]:
    """The namespaces of a client, of a node, and of the router between them."""
    client, node, router = names = tuple(f"lkh-mtu-{os.getpid()}-{part}" for part in ("client", "node", "router"))
    lines = [
        *(f"netns add {name}" for name in names),
        f"-n {client} link add eth0 type veth peer name client netns {router}",
        f"-n {node} link add eth0 type veth peer name node netns {router}",
        *(f"-n {name} link set lo up" for name in names),
        f"-n {router} link set node mtu 1300",
        f"-n {router} addr add 10.20.8.1/24 dev client",
        f"-n {router} addr add 10.20.9.1/24 dev node",
        f"-n {client} addr add {CLIENT}/24 dev eth0",
        f"-n {node} addr add {NODE}/24 dev eth0",
        *(f"-n {where} link set {nic} up" for where, nic in ((router, "client"), (router, "node"), (client, "eth0"), (node, "eth0"))),
        f"-n {client} route add default via 10.20.8.1",
        f"-n {node} route add default via 10.20.9.1",
    ]
    try:
        for line in lines:
            subprocess.run(["ip", *line.split()], check=True)
        within(router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        within(router, "nft", SILENT)
        yield client, node, router
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def within(namespace: str, *words: str) -> None:
    subprocess.run(["ip", "netns", "exec", namespace, *words], check=True)


def start_within(namespace: str, folder: Path) -> Server:
    server, words = prepare_server(folder, address="0.0.0.0")
    with (folder / "log").open("wb") as log:
        server.process = subprocess.Popen(["ip", "netns", "exec", namespace, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    known = server.known_hosts
    known.write_text(known.read_text().replace("127.0.0.1", NODE))
    return server


def test_what_is_asked_and_answered_in_full_sized_packets_comes_through(hosts: tuple[str, str, str], tmp_path: Path) -> None:
    client, node, _ = hosts
    server = start_within(node, tmp_path / "sshd")
    try:
        machine = server.machine(host=NODE, connect_limit_s=60.0)
        words = ["ip", "netns", "exec", client, sys.executable, "-c", EXCHANGE, machine.model_dump_json()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
        assert done.stdout.split() == ["200000", "200000"], done.stdout + done.stderr
    finally:
        server.process.terminate()
        server.process.wait(60)
