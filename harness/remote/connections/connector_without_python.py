"""Attempts and relays from a host without Python: through its shell or PowerShell, else through its sshd's forwarding."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Inconclusive, Unusable
from harness.hosts.host import Host, HostUnreachable, Process
from harness.hosts.output_limits import LineSplitter
from harness.hosts.ssh.forwarding import ChannelOpening, Forwarding
from harness.remote.agents import shell_agent
from harness.remote.agents.agent_launch import AgentSeries
from harness.remote.agents.direct_tcpip_attempt import speak
from harness.remote.agents.spool_reader import OUTCOMES
from harness.remote.connections.attempt import Attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.connections.connector_base import ConnectorBase
from harness.remote.connections.single_use_port import admit, open_listener
from harness.remote.connections.tcp_tunnel import CHUNK, Link
from harness.remote.connections.windows_attempts import attempts_from
from harness.remote.host_capabilities import FORWARDED, Capabilities, Kind, forwarding_of

START_TIMEOUT_S = 15.0
TOO_BUSY = b"its host was too busy to begin it in time"  # as agent.sh says it


class FallbackConnector(ConnectorBase):
    """By `capabilities`, which are not a Python's. Relays need forwarding, whatever the means are."""

    def __init__(self, host: Host, capabilities: Capabilities) -> None:
        self.name = host.name
        self._host = host
        self._capabilities = capabilities
        self._forwarding: Forwarding | None = None
        self._connecting = threading.Lock()

    def attempts(self, destination: str, port: int, *, count: int, limit: float, spacing: float, source: str | None) -> list[Attempt]:
        if source is not None:
            raise Unusable(f"{self.name}: without Python no connection can be made from a chosen address ({source})")
        if self._capabilities.kind is Kind.FORWARDING:
            return self._attempts_by_sshd(destination, port, count, limit, spacing)
        if self._capabilities.kind in (Kind.POWERSHELL, Kind.COMPILED):
            return attempts_from(self._host, destination, port, count=count, limit=limit, spacing=spacing)
        return self._attempts_by_script(destination, port, count, limit, spacing)

    # --- by its shell

    def _attempts_by_script(self, destination: str, port: int, count: int, limit: float, spacing: float) -> list[Attempt]:
        """The measuring agent, for so many ticks; anew for those that a busy host could not begin, because here no moment is measured."""
        period = next(p for p in (0.1, 0.25) if p >= min(spacing, 0.25))
        series = AgentSeries("attempt", destination, port, period_s=period, limit_s=limit)
        deadline = Deadline(START_TIMEOUT_S + (count + 1) * period + 2 * limit)  # until nothing that began before the last can be under way
        attempts: list[Attempt] = []
        while len(attempts) < count:
            attempts += self._run_script(series, count - len(attempts), deadline)
        return attempts

    def _run_script(self, series: AgentSeries, count: int, deadline: Deadline) -> list[Attempt]:
        """Of `count` attempts those that began. Raises DeadlineExceeded, HostUnreachable, Inconclusive."""
        what = f"attempts to {series.destination}:{series.port}"
        process = self._start(series, deadline.seconds, count)
        timer = threading.Timer(max(0.0, deadline.remaining()), process.close)
        timer.daemon = True
        timer.start()
        try:
            lines = self._read(process, count)
        finally:
            timer.cancel()
            process.close()
        if len(lines) == count:
            usable_lines = lines if deadline.expired else [line for line in lines if not line.endswith(TOO_BUSY)]
            return [self._parse_attempt(line, series, process) for line in usable_lines]
        if deadline.expired:
            raise DeadlineExceeded(f"{self.name}: of {count} {what} {len(lines)} ended in {deadline.seconds:g} s")
        raise HostUnreachable(f"{self.name}: the connection was lost during {count} {what}")

    def _start(self, series: AgentSeries, lifetime_s: float, count: int) -> Process:
        return shell_agent.start(self._host, [series], lifetime_s=lifetime_s, attempts=count)

    def _read(self, process: Process, count: int) -> list[bytes]:
        """The lines of all `count` attempts by their beginnings, or fewer where the stream ends before: the script makes no more."""
        lines_by_start: dict[int, bytes] = {}
        splitter = LineSplitter()
        while len(lines_by_start) < count and (data := process.recv(CHUNK)):
            lines_by_start |= {int(line.split(b" ", 3)[2]): line for line in splitter.feed(data) if line.startswith(b"s ")}
        return [lines_by_start[at] for at in sorted(lines_by_start)]

    def _parse_attempt(self, line: bytes, series: AgentSeries, process: Process) -> Attempt:
        _, number, at, took, letter, port, detail = line.decode("utf-8", "replace").rstrip("\r").split(" ", 6)
        address = process.addresses.get(number, at) if isinstance(process, shell_agent.JudgedStream) else None
        seconds = int(took) / 1e6
        return self._make_attempt(
            series.destination, series.port, OUTCOMES[letter], seconds, detail, address=address, local=int(port) or None
        )

    # --- by sshd

    def _attempts_by_sshd(self, destination: str, port: int, count: int, limit: float, spacing: float) -> list[Attempt]:
        forwarding, openings = self._usable_forwarding(), []
        for number in range(count):
            if number and spacing:
                gap = Deadline(spacing)
                gap.wait_for(lambda gap=gap: gap.expired, what="the time between two attempts", every=spacing)  # type: ignore[misc]
            openings.append(forwarding.begin(destination, port))
        return [self._try_connection(forwarding, opening, destination, port, limit) for opening in openings]

    def _try_connection(
        self, forwarding: Forwarding, opening: ChannelOpening, destination: str, port: int, limit: float, *, keep: bool = False
    ) -> Attempt:
        result = speak(forwarding, opening, b"", b"", Deadline(limit, anchor=opening.asked_at), keep=keep)
        if not forwarding.usable:
            raise forwarding.lost_error()
        return self._make_attempt(destination, port, result.outcome, result.ended - opening.asked_at, result.detail)

    def _make_attempt(
        self,
        destination: str,
        port: int,
        outcome: str,
        seconds: float,
        detail: str,
        *,
        address: str | None = None,
        local: int | None = None,
    ) -> Attempt:
        if outcome == "skipped":
            raise Inconclusive(f"{self.name}: no connection to {destination}:{port} could be tried: {detail}")
        started, wall = time.monotonic() - seconds, time.time() - seconds
        return Attempt(self.name, destination, port, AttemptOutcome(outcome), address, local, started, wall, seconds, detail)

    def _usable_forwarding(self) -> Forwarding:
        """The SSH connection for forwarding; another one where it was lost or is worn."""
        with self._connecting:
            if self._forwarding is None or not self._forwarding.usable or self._forwarding.worn:
                if self._forwarding is not None:
                    self._forwarding.close()
                self._forwarding = forwarding_of(self._host, checked=True)
            return self._forwarding

    # --- relays

    @contextlib.contextmanager
    def relay(self, destination: str, port: int, *, limit: float, lifetime: float) -> Iterator[Link]:
        try:
            forwarding = self._usable_forwarding()
        except Unusable as error:
            if isinstance(error, HostUnreachable) or self._capabilities is FORWARDED:
                raise
            raise Unusable(f"{error}; without Python and without forwarding nobody can speak over a connection from there") from error
        opening = forwarding.begin(destination, port)
        attempt = self._try_connection(forwarding, opening, destination, port, limit, keep=True)
        if not attempt.answered:
            yield Link(attempt)
            return
        with contextlib.closing(opening.channel), open_listener() as listener:
            timer = threading.Timer(lifetime, opening.channel.close)
            timer.daemon = True
            timer.start()
            thread = threading.Thread(target=_carry, args=(listener, opening, lifetime), name="relay-forwarded", daemon=True)
            thread.start()
            try:
                yield Link(attempt, port=listener.getsockname()[1])
            finally:
                timer.cancel()
                opening.channel.close()
                with contextlib.suppress(OSError):  # nobody waits there any more
                    listener.shutdown(socket.SHUT_RDWR)
                thread.join(5)

    def close(self) -> None:
        """Closes the SSH connection that its attempts go through."""
        with self._connecting:
            if self._forwarding is not None:
                self._forwarding.close()
                self._forwarding = None


def _carry(listener: socket.socket, opening: ChannelOpening, lifetime: float) -> None:
    """Carry one client's bytes to the channel and back; the end of either side's stream reaches the other."""
    client = admit(listener, Deadline(lifetime))
    if client is None:
        return
    with client:
        client.settimeout(lifetime)
        back = threading.Thread(target=_bring_back, args=(opening, client, lifetime), name="relay-back", daemon=True)
        back.start()
        with contextlib.suppress(OSError, EOFError):
            while data := client.recv(CHUNK):
                opening.channel.sendall(data)
            opening.channel.shutdown_write()
        back.join(lifetime)


def _bring_back(opening: ChannelOpening, client: socket.socket, lifetime: float) -> None:
    opening.channel.settimeout(lifetime)
    with contextlib.suppress(OSError, EOFError):
        while data := opening.channel.recv(CHUNK):
            client.sendall(data)
    with contextlib.suppress(OSError):  # whichever end went first
        client.shutdown(socket.SHUT_WR if opening.channel.eof_received else socket.SHUT_RDWR)
