"""A service on a host's loopback that can be taken away for a known time, on a host without Python: its sshd listens there for us."""

from __future__ import annotations

import contextlib
import time

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.hosts.host import Host
from harness.hosts.ssh.ssh_library import paramiko
from harness.remote.agents.agent_launch import AgentSeries
from harness.remote.host_capabilities import forwarding_of
from harness.remote.recording.recording import NEW

GREETING = b"here\n"
LOOPBACK = "127.0.0.1"


class ForwardedService:
    """Listens as long as the block lasts. Raises Inconclusive where sshd listens for nobody."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __enter__(self) -> ForwardedService:
        self._forwarding = forwarding_of(self._host)
        try:
            self._port = self._listen(0)
        except BaseException:
            self._forwarding.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._forwarding.close()

    def series(self, period_s: float, limit_s: float) -> AgentSeries:
        """The series that measures the service; times in seconds."""
        return AgentSeries(f"{self._host.name}/loopback/calibration", LOOPBACK, self._port, NEW, period_s, limit_s, b"", b"^here")

    def cut(self, host: str, seconds: float) -> tuple[float, float]:
        """Begin and end, on the harness's monotonic clock."""
        self._forwarding.transport.cancel_port_forward(LOOPBACK, self._port)
        cut_start = time.monotonic()
        deadline = Deadline(seconds, anchor=cut_start)
        deadline.wait_for(lambda: deadline.expired, what="the known cut's end", every=seconds)
        cut_end = time.monotonic()
        self._listen(self._port)
        return cut_start, cut_end

    def _listen(self, port: int) -> int:
        try:
            return self._forwarding.transport.request_port_forward(LOOPBACK, port, _greet)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Inconclusive(
                f"{self._host.name}: its sshd listens nowhere for us ({error}); set AllowTcpForwarding to yes there"
            ) from error


def _greet(channel: paramiko.Channel, origin: object, server: object) -> None:
    with contextlib.suppress(OSError, EOFError):  # it left before it was greeted
        channel.sendall(GREETING)
    channel.close()
