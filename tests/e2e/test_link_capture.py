"""The capture at the network's end of a link, in network namespaces of our own: each packet as the host at the other end sees it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from harness.hosts.local_host import LocalHost, LocalProcess
from harness.remote import script_transport
from harness.remote.captures.capture_session import DEFAULT_PLAN
from harness.remote.recording.packets import Packet, decode

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip"))), reason="needs root, util-linux and iproute2"
)
HOST, FABRIC = "10.20.1.11", "10.20.1.1"


class Wire:
    """A fabric with `leg1`, whose other end is eth0 of `lknode01`, and a capture in the fabric."""

    def __init__(self) -> None:
        self._holders = [subprocess.Popen(["unshare", "-n", "sh", "-c", "echo up; exec cat"], stdin=-1, stdout=-1) for _ in range(2)]
        for holder in self._holders:
            assert holder.stdout is not None and holder.stdout.readline() == b"up\n"
        self.fabric, self.node = (LocalHost(str(h.pid), prefix=["nsenter", "-t", str(h.pid), "-n"]) for h in self._holders)
        self.fabric.check("ip link set lo up; ip link add other type veth peer name end; ip link set other up; ip link set end up")
        self.plug()
        plan = {**DEFAULT_PLAN, "links": {"leg1": ["lknode01", "eth0"]}}
        self.capture: LocalProcess = script_transport.start(self.fabric, sys.executable, "link_capture", plan)  # type: ignore[assignment]
        self._lines = self.capture.lines()
        assert "ready" in json.loads(next(self._lines))
        self._mark = 0

    def plug(self) -> None:
        self.fabric.check(f"ip link add leg1 type veth peer name eth0 netns {self._holders[1].pid}")
        self.fabric.check(f"ip addr add {FABRIC}/24 dev leg1; ip link set leg1 up")
        self.node.check(f"ip link set lo up; ip addr add {HOST}/24 dev eth0; ip link set eth0 up")

    def try_once(self, origin: LocalHost, destination: str) -> None:
        """An attempt that is refused."""
        script = f"import socket; s = socket.socket(); s.settimeout(20); print(s.connect_ex(('{destination}', 999)))"
        assert origin.check([sys.executable, "-S", "-c", script]).strip() == "111"

    def seen(self) -> tuple[list[Packet], dict[str, Any]]:
        """What was captured since it was asked last, and the mark behind it."""
        self._mark += 1
        self.capture.send(b"mark %d\n" % self._mark)
        packets = []
        for line in self._lines:
            name, _, rest = line.partition(" ")
            if name == "lknode01":
                record = json.loads(rest)
                packets.append(decode(record["t"], record["if"], record["k"], bytes.fromhex(record["raw"])))
            elif "mark" in (record := json.loads(line)):
                assert record["mark"] == self._mark
                return packets, record
        raise AssertionError("the capture has ended")

    def close(self) -> None:
        self.capture.close()
        for host in (self.fabric, self.node):
            host.close()
        for holder in self._holders:
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait(120)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def test_a_packet_is_seen_as_the_host_sees_it(wire: Wire) -> None:
    """What goes out at the leg comes in at the host; a link of nobody and the fabric's own loopback interface are nobody's."""
    wire.try_once(wire.node, FABRIC)
    wire.try_once(wire.fabric, HOST)
    wire.try_once(wire.fabric, "127.0.0.1")
    packets, mark = wire.seen()
    assert [(p.interface, p.kind, p.src, set(p.flags)) for p in packets] == [
        ("eth0", "outgoing", HOST, {"S"}),
        ("eth0", "host", FABRIC, {"R", "A"}),
        ("eth0", "host", FABRIC, {"S"}),
        ("eth0", "outgoing", HOST, {"R", "A"}),
    ]
    assert mark["dropped"] == 0


def test_the_last_packets_of_a_link_that_is_gone_are_its_host_s(wire: Wire) -> None:
    """A host that loses its power takes its link with it, before what it carried last is read."""
    os.killpg(wire.capture.pid, signal.SIGSTOP)
    try:
        wire.try_once(wire.node, FABRIC)
        wire.fabric.check("ip link del leg1")
    finally:
        os.killpg(wire.capture.pid, signal.SIGCONT)
    packets, mark = wire.seen()
    assert len(packets) == 2 and mark["dropped"] == 0


def test_a_link_that_comes_back_is_known_again(wire: Wire) -> None:
    wire.fabric.check("ip link del leg1")
    wire.plug()
    wire.try_once(wire.node, FABRIC)
    assert len(wire.seen()[0]) == 2


def test_packets_of_a_link_that_nobody_knows_are_told_as_lost(wire: Wire) -> None:
    """One that came and went between two looks: whose it was is not known any more, so that absence proves nothing."""
    os.killpg(wire.capture.pid, signal.SIGSTOP)
    try:
        wire.fabric.check("ip link del leg1")
        wire.plug()
        wire.try_once(wire.node, FABRIC)
        wire.fabric.check("ip link del leg1")
    finally:
        os.killpg(wire.capture.pid, signal.SIGCONT)
    packets, mark = wire.seen()
    assert packets == [] and mark["dropped"] == 2
