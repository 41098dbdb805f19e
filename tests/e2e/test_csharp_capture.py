"""The packet capture in C#, compiled and run for real by Mono. Receive-all is Windows' own: in its place stands the lab's packet socket."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_fixtures import LIMIT, namespace, needs_namespaces

from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.hosts.host import Process
from harness.hosts.local_host import LocalHost
from harness.lab.guests.windows import install
from harness.remote.captures.capture_factory import capture_of
from harness.remote.captures.capture_session import PacketCapture
from harness.remote.csharp import csharp_program
from harness.remote.host_capabilities import COMPILED

pytestmark = pytest.mark.skipif(
    not (shutil.which("mcs") and shutil.which("mono")), reason="Mono is not installed (Debian packages mono-mcs and mono-runtime)"
)
PARTS = [str(csharp_program.FOLDER / f"{part}.cs") for part in csharp_program.PARTS[csharp_program.CAPTURE]]
OWN = str(install.OWN_PARTS[csharp_program.CAPTURE][0])
# Ethernet, IPv4 and UDP from 10.20.1.12 to port 9 of 10.20.1.11.
FRAME = "02000000000a02000000000108004500001c00010000401100000a14010c0a14010b0007000900080000"
SEND = "import socket, sys\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\ns.bind(('other', 0))\ns.send(bytes.fromhex(sys.argv[1]))"
HERE, PEER = "10.20.1.11", "10.20.1.12"
WIRE = (
    "ip link set lo up; ip link add eth1 address 02:00:00:00:00:0a type veth peer name other; ip addr add 10.20.1.11/24 dev eth1; "
    "ip link set eth1 up; ip link set other up; ip neigh replace 10.20.1.12 lladdr 02:00:00:00:00:01 dev eth1"
)
TRY = "import socket, sys\ns = socket.socket()\ns.settimeout(0.2)\nprint(s.connect_ex((sys.argv[1], int(sys.argv[2]))))"


def compiled(to: Path, *words: str) -> Path:
    """By Mono, as Windows PowerShell 5.1 would: C# 5, and no library but System.dll."""
    line = ["mcs", "-langversion:5", "-warn:4", "-warnaserror", "-r:System.dll", f"-out:{to}", *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return to


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """As it is for Windows, and with the lab's packet socket."""
    folder = tmp_path_factory.mktemp("capture")
    return {
        "windows": compiled(folder / "windows.exe", *PARTS),
        "linux": compiled(folder / "linux.exe", "-main:LkHarness.OnLinux", *PARTS, OWN),
        "rules": compiled(folder / "rules.exe", "-main:Rules", *PARTS, str(Path(__file__).with_name("capture_rules.cs"))),
    }


class Compiling(LocalHost):
    """Takes the loader as PowerShell would, and then the program's source from its input; Mono runs what was compiled of it."""

    def __init__(self, name: str, program: Path, *nics: str, prefix: list[str] | None = None) -> None:
        super().__init__(name, prefix=prefix or [])
        self._line = ["mono", str(program), *nics]
        self.loaded: list[object] = []

    def start(self, command: object) -> Process:
        self.loaded.append(command)
        source = csharp_program.loader_input(csharp_program.CAPTURE, b"")
        takes = f"import os, sys\nn = {len(source)}\nwhile n:\n n -= len(os.read(0, n))\nos.execvp(sys.argv[1], sys.argv[1:])"
        return super().start([sys.executable, "-c", takes, *self._line])


@pytest.fixture
def node(programs: dict[str, Path]) -> Iterator[Compiling]:
    with namespace("-n", setup=WIRE) as inside:
        host = Compiling("lknode01", programs["linux"], "eth1=Ethernet 2", prefix=inside)
        yield host
        host.close()


def connect(host: LocalHost, address: str, port: int) -> None:
    LocalHost.check(host, [sys.executable, "-c", TRY, address, str(port)])


def marked(capture: PacketCapture) -> list[tuple[str, str, str, int, str]]:
    end = capture.mark(LIMIT)
    return [(p.interface, p.kind, p.dst, p.dport, p.flags) for p in capture.packets(0, end) if p.interface != "other"]


@needs_namespaces
def test_what_a_nic_sees_is_told_and_what_stays_inside_is_not(node: Compiling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.remote.captures.capture_session.CONTROL_TIMEOUT_S", 0.0)  # nobody answers on this wire
    with capture_of(node, COMPILED, "") as capture:
        assert node.loaded == [csharp_program.loader()] and not capture.loopback
        connect(node, HERE, 1521)
        connect(node, PEER, 1521)
        assert marked(capture) == [("Ethernet 2", "outgoing", PEER, 1521, "S")]
        assert capture.dropped == 0
        assert "has seen 1 packets leave and 0 come in" in capture.unproven and "firewall" in capture.unproven


@needs_namespaces
def test_a_packet_that_came_in_proves_that_it_sees(node: Compiling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.remote.captures.capture_session.CONTROL_TIMEOUT_S", 0.0)
    with capture_of(node, COMPILED, "", ports=[9]) as capture:
        connect(node, PEER, 1521)
        LocalHost.check(node, [sys.executable, "-c", SEND, FRAME])
        Deadline(LIMIT).wait_for(lambda: marked(capture), until=lambda seen: len(seen) > 1, what="the packet", every=0.05)
        assert marked(capture)[1] == ("Ethernet 2", "host", HERE, 9, "")
        assert capture.unproven == ""


def test_receive_all_is_windows_own(programs: dict[str, Path]) -> None:
    host = Compiling("lknode01", programs["windows"])
    with pytest.raises(Unusable, match="cannot capture packets: receive-all is Windows' own"):
        capture_of(host, COMPILED, "").start(LIMIT)
    host.close()


def test_which_way_a_packet_of_receive_all_went(programs: dict[str, Path]) -> None:
    done = subprocess.run(["mono", str(programs["rules"])], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert done.stdout.splitlines() == [
        "sent: outgoing",
        "came back unchanged: host",
        "sent again: outgoing",
        "its number used again: outgoing",
        "data twice: outgoing",
        "data twice: outgoing",
        "came back rewritten: host",
        "received: host",
        "a stranger's: otherhost",
        "for the VIP that it holds now: host",
        "answered from the VIP: outgoing",
    ]


@needs_namespaces
def test_a_mark_comes_after_all_that_was_captured_before_it(node: Compiling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.remote.captures.capture_session.CONTROL_TIMEOUT_S", 0.0)
    many = "import socket\nfor n in range(2000):\n s = socket.socket()\n s.setblocking(False)\n s.connect_ex(('10.20.1.12', 1521))"
    with capture_of(node, COMPILED, "") as capture:
        for number in range(1, 4):
            LocalHost.check(node, [sys.executable, "-c", many])
            assert len(marked(capture)) == 2000 * number
        assert capture.dropped == 0
