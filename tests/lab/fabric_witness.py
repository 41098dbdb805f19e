"""The packets of a lab's hosts as its fabric sees them, to be held against what the hosts' own captures saw."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.cluster.cluster_under_test import CaptureWindow, ClusterUnderTest
from harness.remote.captures.capture_session import PacketCapture, mark_all
from harness.remote.captures.network_capture import NetworkCapture, own_loopback
from harness.remote.captures.wire_code_classifier import Way, classify_all
from harness.remote.connections.attempt import Attempt


@dataclass(frozen=True)
class Sight:
    """What was seen in a window, by `place`."""

    place: str
    window: CaptureWindow
    subject: ClusterUnderTest

    def ways(self, attempts: Sequence[Attempt]) -> list[Way]:
        """How the attempts travelled, by the packets of this place."""
        return classify_all(attempts, self.window.packets(), self.subject.cluster, without_loopback=self.window.without_loopback)


class FabricWitness:
    """Captures every host at the fabric, twice: with each host's own loopback interface beside, and without anything on the hosts."""

    def __init__(self, subject: ClusterUnderTest) -> None:
        table = subject.cluster.network_capture
        assert table is not None, "a lab writes how its fabric is asked into its cluster file"
        self._subject = subject
        self.network = NetworkCapture(table.command)
        self._captures: dict[str, dict[str, PacketCapture]] = {"fabric and loopback": {}, "fabric alone": {}}
        for name, host in subject.hosts.items():
            beside = own_loopback(host, subject.python(name))
            programs = {
                "fabric and loopback": self.network.program(host, own_loopback=beside),
                "fabric alone": self.network.program(host),
            }
            for place, program in programs.items():
                self._captures[place][name] = PacketCapture(host, program=program)
        subject.together(*(capture.start for captures in self._captures.values() for capture in captures.values()))

    @contextlib.contextmanager
    def sights(self) -> Iterator[list[Sight]]:
        """What is seen while the block runs, and until it is asked."""
        found = []
        for place, captures in self._captures.items():
            positions, lost = mark_all(captures)
            assert not lost, lost
            found.append(Sight(place, CaptureWindow(captures, positions), self._subject))
        yield found

    def stop(self) -> None:
        for captures in self._captures.values():
            for capture in captures.values():
                capture.stop()
        self.network.close()
