"""The measuring agent for Linux hosts without Python: one shell script, sent over one connection, alive only as long as that.

It tries new connections, at 100 ms or coarser. The shell cannot judge an answer: it sends on what it heard, and that is judged here.
"""

from __future__ import annotations

import binascii
import json
import re
import shlex
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache

from harness.core.errors import BadUse
from harness.hosts.host import Host, Process
from harness.hosts.output_limits import LineSplitter
from harness.remote import script_transport
from harness.remote.agents.agent_launch import AgentSeries
from harness.remote.recording.recording import NEW

MAX_REMEMBERED_ATTEMPTS = 4096  # attempts of which it is remembered that they were told already
# The script comes by the input, of which the loader takes so many bytes and no more; what follows is for the script.
LOADER = 'eval "$(dd bs=1 count="$0" 2>/dev/null)"'


@cache
def script() -> str:
    """The script's text."""
    text = (script_transport.FOLDER / "agent.sh").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def start(host: Host, all_series: Sequence[AgentSeries], *, lifetime_s: float, attempts: int = 0) -> Process:
    """Start it; it measures until it is sent `stop`, its input ends, its lifetime (s) is over, or each series had so many attempts (0: any
    number) and the last one ended. All series with the longest of their periods.

    Raises BadUse for a pinned series, and what `Host.start` raises.
    """
    pinned = [series.id for series in all_series if series.kind != NEW]
    if pinned:
        raise BadUse(f"{host.name}: without Python only new connections are measured; leave out {', '.join(pinned)}")
    task = "\n".join([*_settings(all_series, lifetime_s, attempts), script(), *map(_series_command, all_series), "measure"]).encode()
    process = host.start(["bash", "-c", LOADER, str(len(task))])
    try:
        process.send(task)
    except OSError:
        process.close()
        raise
    return JudgedStream(process, all_series)


def _settings(all_series: Sequence[AgentSeries], lifetime_s: float, attempts: int) -> Iterator[str]:
    yield f"period={_micros(max(series.period_s for series in all_series))}"
    yield f"limit={_micros(max(series.limit_s for series in all_series))}"
    yield f"lifetime={max(1, int(lifetime_s))}"
    yield f"attempts={attempts}"
    yield f"names={shlex.quote(json.dumps([series.id for series in all_series]))}"


def _series_command(series: AgentSeries) -> str:
    escaped = "".join(f"\\{byte:03o}" for byte in series.say)
    reads = "1" if series.expect else "0"
    return shlex.join(["series", str(series.destination), str(series.port), escaped, reads])


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


class Addresses:
    """The local addresses of answered attempts, by series and beginning; the newest only."""

    def __init__(self) -> None:
        self._addresses: dict[tuple[str, str], str] = {}

    def take(self, line: bytes) -> None:
        """Takes the script's line about one attempt's local address in."""
        _, series, at, address = line.decode().split(" ")
        if len(self._addresses) >= MAX_REMEMBERED_ATTEMPTS:
            self._addresses.clear()
        self._addresses[series, at] = socket.inet_ntoa(struct.pack("=I", int(address, 16)))

    def get(self, series: str, at: str) -> str | None:
        """The local address of an attempt; None where the script did not tell it."""
        return self._addresses.get((series, at))


class JudgedStream:
    """The script's stream with its answers judged: what `harness.remote.agents.spool_reader.Reader` reads."""

    def __init__(self, process: Process, series: Sequence[AgentSeries]) -> None:
        self._process = process
        self._series = series
        self._lines = LineSplitter()
        self._judged_attempts: deque[tuple[bytes, bytes]] = deque(maxlen=MAX_REMEMBERED_ATTEMPTS)
        self.addresses = Addresses()

    @property
    def errors(self) -> str:
        """The last of its standard error, where the transport keeps it."""
        return getattr(self._process, "errors", "")

    def recv(self, size: int) -> bytes:
        """Whole lines only: one that the connection's end cut off would be read as another."""
        while data := self._process.recv(size):
            if judged_lines := b"".join(line + b"\n" for line in map(self._judge_line, self._lines.feed(data)) if line):
                return judged_lines
        return b""

    def _judge_line(self, line: bytes) -> bytes:
        if line[:2] == b"l ":
            self.addresses.take(line)
            return b""
        if line[:2] != b"s ":
            return line
        words = line.split(b" ", 6)
        if len(words) != 7:
            return line
        _, series, at, took, outcome, port, detail = words
        if (series, at) in self._judged_attempts:
            return b""
        self._judged_attempts.append((series, at))
        if outcome in b"ah":
            outcome, detail = judge_answer(self._series[int(series)], int(took), detail if outcome == b"h" else None)
        return b" ".join([b"s", series, at, took, outcome, port, detail])

    def lines(self) -> Iterator[str]:
        """Raises NotImplementedError: the stream is read as bytes."""
        raise NotImplementedError("its stream is read as bytes")

    def send(self, data: bytes) -> None:
        """Sends bytes to the script."""
        self._process.send(data)

    def close(self) -> None:
        """Ends the script."""
        self._process.close()


def judge_answer(series: AgentSeries, took_us: int, answer_hex: bytes | None) -> tuple[bytes, bytes]:
    """The outcome's letter and a detail, for what was heard (in hexadecimal; None: the connect alone is the answer). Pure."""
    if took_us > _micros(series.limit_s):
        return b"s", b"answered after %d ms" % (took_us // 1000)
    if answer_hex is None:
        return b"a", b""
    answer = binascii.unhexlify(answer_hex)
    if not answer:
        return b"x", b"closed without a word"
    if re.search(series.expect, answer):
        return b"a", b""
    if series.again and re.search(series.again, answer):
        return b"k", b"it asked for the same words once more, which a shell's agent cannot say"
    return b"s", b"said " + ascii(answer[:40]).encode()
