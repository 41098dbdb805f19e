"""The balancer's health probes: always from the fabric to DIP : probe port, one independent clock per member (facts PRB-01 to PRB-17).

A probe that refuses fails at once; one that says nothing fails when the next falls due (PRB-10).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from harness.config.load_balancer_config import Probe
from harness.lab.lab_config import Unknowns
from harness.lab.network.balancer import Balancer, Member

FLAP_WINDOW = 20  # intervals within which going down again counts as fluctuating (PRB-18, OQ-05: amount undocumented)


@dataclass(frozen=True)
class Result:
    """What one probe found. `explicit` is an HTTP status, which decides at once (facts PRB-14)."""

    ok: bool
    reason: str
    explicit: bool = False


def timeout_of(probe: Probe) -> float:
    """Seconds that a probe may take: a TCP probe until the next falls due, an HTTP probe 30 s at most (facts PRB-10, PRB-11)."""
    return probe.interval_s if probe.protocol == "tcp" else min(probe.interval_s, 30.0)


class Judge:
    """Counts consecutive results into a verdict (facts PRB-07). Pure, so that it is tested without a network."""

    def __init__(self, probe: Probe, unknowns: Unknowns) -> None:
        self._probe = probe
        self._unknowns = unknowns
        self.up = False
        self.reason = "Down_Probe_TcpProbeTimeout" if probe.protocol == "tcp" else "Down_Probe_HttpNoResponse"
        self._run = 0
        self._since_down = FLAP_WINDOW
        self._ever_up = False

    def record(self, result: Result) -> bool:
        """Take in one result; True when the verdict changed."""
        self._since_down += 1
        self._run = self._run + 1 if result.ok != self.up else 0
        if self._run == 0:
            self.reason = "Up_Probe_Success" if self.up else result.reason
            return False
        if result.explicit or self._run >= self._results_needed(result.ok):
            self._flip(result)
            return True
        self.reason = "Up_Probe_ApproachingUnhealthyThreshold" if self.up else "Down_Probe_ApproachingHealthyThreshold"
        return False

    def _results_needed(self, ok: bool) -> int:
        if not ok:
            return self._probe.threshold
        if not self._ever_up and self._unknowns.first_success_after_boot == "one":  # OQ-19
            return 1
        penalty = self._unknowns.flap_penalty_intervals if self._ever_up and self._since_down < FLAP_WINDOW else 0
        return self._probe.threshold + penalty

    def _flip(self, result: Result) -> None:
        self.up = result.ok
        self.reason = "Up_Probe_Success" if result.ok else result.reason
        self._run = 0
        self._ever_up = self._ever_up or result.ok
        if not result.ok:
            self._since_down = 0

    def note_boot(self) -> None:
        """The VM was off and has been started: it must earn its first success again (facts PRB-17)."""
        self._ever_up = False


class Prober:
    """Probes one member for ever, healthy or not (facts LKL-57), and tells the balancer each change of verdict.

    `power_of` tells a host's power: a machine that is off is not probed (PRB-17), which counts as its silence; nor is one outside the pool.
    """

    def __init__(
        self,
        probe: Probe,
        unknowns: Unknowns,
        member: Member,
        balancer: Balancer,
        note: Callable[..., None],
        power_of: Callable[[str], str],
    ) -> None:
        self._probe = probe
        self._unknowns = unknowns
        self._member = member
        self._balancer = balancer
        self._note = note
        self._power_of = power_of
        self._held: asyncio.StreamWriter | None = None
        self._open_connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.judge = Judge(probe, unknowns)
        self.sent = 0

    async def run(self) -> None:
        """Probes the member every interval until it is cancelled."""
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        while True:
            due_at += self._probe.interval_s
            self._hear(await self._probe_once(timeout_of(self._probe)))
            await asyncio.sleep(max(0.0, due_at - loop.time()))

    def _hear(self, result: Result) -> None:
        changed = self.judge.record(result)
        self._member.probe_up, self._member.probe_reason = self.judge.up, self.judge.reason
        if changed:
            node, state = self._member.nic.host, "up" if self.judge.up else "down"
            self._note("balancer", "probe", f"{node} is probe-{state}: {self.judge.reason}", node=node, up=self.judge.up)
            self._balancer.apply()

    async def _probe_once(self, limit: float) -> Result:
        try:
            async with asyncio.timeout(limit):
                if self._power_of(self._member.nic.host) == "off" or not self._member.in_pool:
                    await asyncio.Event().wait()  # nobody to ask, or nobody who is asked: silence until the limit
                self.sent += 1
                return await (self._tcp() if self._probe.protocol == "tcp" else self._http())
        except TimeoutError:
            self._drop_connection()
            return Result(False, "Down_Probe_TcpProbeTimeout" if self._probe.protocol == "tcp" else "Down_Probe_HttpNoResponse")
        except OSError as error:
            self._drop_connection()
            if self._probe.protocol == "tcp":
                return Result(False, "Down_Probe_TcpProbeTimeout")  # no code of its own for a refusal (API-04)
            refused = isinstance(error, ConnectionRefusedError) and self._unknowns.http_probe_refused == "at-once"  # OQ-14
            return Result(False, "Down_Probe_HttpEndpointUnreachable", explicit=refused)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        source = (str(self._probe.source), 0)
        return await asyncio.open_connection(str(self._member.nic.address), self._probe.port, local_addr=source, family=socket.AF_INET)

    async def _tcp(self) -> Result:
        self._release_held()
        _, writer = await self._connect()
        if self._unknowns.probe_connection == "hold":  # OQ-06: only the next probe closes it (PRB-25)
            self._held = writer
        else:
            writer.close()
        return Result(True, "Up_Probe_Success")

    def _release_held(self) -> None:
        if self._held:
            self._held.close()
            self._held = None

    async def _http(self) -> Result:
        reader, writer = self._open_connection or await self._connect()
        keep = self._unknowns.probe_connection == "keep-alive"
        try:
            connection = "keep-alive" if keep else "close"
            host = f"{self._member.nic.address}:{self._probe.port}"
            headers = f"Host: {host}\r\nUser-Agent: Load Balancer Agent\r\nConnection: {connection}\r\n"
            writer.write(f"GET {self._probe.path} HTTP/1.1\r\n{headers}\r\n".encode())
            status_line = await reader.readline()
            status = status_line.split()[1].decode() if len(status_line.split()) > 1 else ""
            response_headers = await self._headers(reader)
            if keep and status.isdigit() and response_headers.get("connection", "").lower() != "close":
                await reader.readexactly(int(response_headers.get("content-length", "0")))
                self._open_connection = (reader, writer)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError from error
        finally:
            if self._open_connection is None or self._open_connection[1] is not writer:
                writer.close()
        if not status.isdigit():
            raise ConnectionResetError("no HTTP status")
        if status == "200":
            return Result(True, "Up_Probe_Success", explicit=True)
        return Result(False, "Down_Probe_HttpStatusCodeError", explicit=True)

    @staticmethod
    async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
        headers = {}
        while (line := await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _drop_connection(self) -> None:
        if self._open_connection:
            self._open_connection[1].close()
            self._open_connection = None
