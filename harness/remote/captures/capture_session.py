"""A packet capture (*witness* in event kinds): what one host's interfaces saw, gathered while a test runs.

The program on the host (root) reports every TCP packet with SYN, RST or FIN. `mark` says when all that was captured so far
has arrived here, so that nobody needs to wait for a guess.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Inconclusive, Unusable
from harness.core.text.host_text import cut_at_word
from harness.hosts.host import Host, Process
from harness.hosts.root_rights import sudo_refusal
from harness.remote import script_transport
from harness.remote.recording import pcapng_writer
from harness.remote.recording.packets import Packet, decode

START_TIMEOUT_S = 20.0
MARK_TIMEOUT_S = 5.0
CONTROL_TIMEOUT_S = 5.0  # a node sends and receives something within that: heartbeats, probes, our own session
REASON_TIMEOUT_S = 5.0  # its reader hears why it ended a moment after nothing can be sent to it any more
SNAP_LENGTH = 96
BUFFER_BYTES = 8 * 1024 * 1024  # facts: with 8 MB nothing was lost at 20,000 packets a second
MAX_PACKETS_KEPT = 500_000
MAX_NEWEST_PACKETS = 50_000
MAX_NOTES = 1000
MAX_COMPLAINT_LENGTH = 600  # characters of a complaint
SYN, FIN_SYN_RST = 0x02, 0x07
DEFAULT_PLAN = {"ports": [], "flags": FIN_SYN_RST, "snap": SNAP_LENGTH, "buffer": BUFFER_BYTES}


@dataclass(frozen=True)
class CaptureProgram:
    """What captures on a host, in the place of the script in Python. `loopback`: does it see what stays inside the host?"""

    runs_in: str
    start: Callable[[dict[str, Any]], Process]
    loopback: bool = True


class PacketCapture:
    """Watches `host`; a context manager. `ports` adds every TCP and UDP packet from or to these.

    `newest`: only the newest packets stay readable, and what comes while somebody is `holding` them, and it goes on for ever; else, and
    while it is held, it ends when more came than are kept.
    `flags` says which TCP packets are seen anyway. `tell` hears of each packet as it comes in, on the capture's own thread.
    """

    def __init__(
        self,
        host: Host,
        python: str = "python3",
        *,
        ports: Sequence[int] = (),
        flags: int = FIN_SYN_RST,
        tell: Callable[[Packet], None] | None = None,
        newest: bool = False,
        program: CaptureProgram | None = None,
    ) -> None:
        self.name = host.name
        self.loopback = program is None or program.loopback
        """Whether what stays inside the host is seen, on its loopback interface."""
        self.dropped = 0
        """Packets that were dropped before they could be read, or how often some were, as of the last mark. Not 0: do not trust absence."""
        self.drop_reason = ""
        self.notes: deque[str] = deque(maxlen=MAX_NOTES)
        self.left_out = 0
        """Packets that are no longer kept here; `tell` has heard of them."""
        self._program = program or CaptureProgram(f"`{python}`", lambda plan: script_transport.start(host, python, "packet_capture", plan))
        self._tell = tell
        self._plan = {**DEFAULT_PLAN, "ports": list(ports), "flags": flags}
        self._newest = newest
        self._holders = 0
        self._packets: list[Packet] = []
        self._marks: dict[int, int] = {}
        self._marks_asked = 0
        self._counts: tuple[int, int] | None = None  # packets of any kind that it saw leave and come in, where it tells
        self._ready = False
        self._ended: str | None = None
        self._changed = threading.Condition()
        self._process: Process | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> PacketCapture:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, limit: float = START_TIMEOUT_S) -> None:
        """Begin; on return every further packet will be seen. Raises HostUnreachable, Unusable, or Inconclusive with the reason."""
        self._process = self._program.start(self._plan)
        self._thread = threading.Thread(target=self._read, args=(self._process,), name=f"capture-{self.name}", daemon=True)
        self._thread.start()
        try:
            self._wait(lambda: self._ready, Deadline(limit), "begin")
            self._see_both_ways()
        except Inconclusive as error:
            ended = self._ended
            self.stop()
            if ended is None:
                raise
            raise Unusable(f"{self.name}: the packets there cannot be watched: {ended}") from error
        except BaseException:
            self.stop()
            raise

    @property
    def unproven(self) -> str:
        """Why nothing follows from what it did not see; "" where something does. One that tells how much it saw of everything, as of the
        last mark, must have seen packets go and come."""
        if self._counts is None or all(self._counts):
            return ""
        sent, received = self._counts
        sentence = (
            f"the capture has seen {sent} packets leave and {received} come in, of any kind, so that what it did not see proves nothing"
        )
        return f"{sentence}; does the firewall there keep them from it?" if sent else sentence

    def mark(self, limit: float = MARK_TIMEOUT_S) -> int:
        """Wait until everything captured before this call has arrived; returns the position after it, for `packets`.

        Raises Inconclusive when the capture has died or does not answer.
        """
        return self.answer(self.ask(), Deadline(limit))

    def packets(self, since: int = 0, until: int | None = None) -> list[Packet]:
        """What was seen, in order, from one position to another, as far as it is kept."""
        with self._changed:
            end = None if until is None else max(until - self.left_out, 0)
            return self._packets[max(since - self.left_out, 0) : end]

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """What comes while the block runs stays readable, however much it is."""
        with self._changed:
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1

    def write_pcap(self, path: Path) -> None:
        """The packets that are kept (all but the first `left_out`), headers only, as pcap-ng with an interface block for each interface."""
        pcapng_writer.write(path, [packet.headers for packet in self.packets()], host=self.name)

    def stop(self) -> None:
        """End the capture; what was seen stays readable. Stopping twice is fine."""
        with self._changed:
            self._ended = self._ended or "it was stopped"
            self._changed.notify_all()
        if self._process is not None:
            self._process.close()
        if self._thread is not None:
            self._thread.join(5)

    def ask(self) -> int:
        """Ask for a mark, and do not wait; returns its number, for `answer`. Raises Inconclusive when it has died."""
        with self._changed:
            self._marks_asked += 1
            mark = self._marks_asked
        if self._process is None:
            raise Inconclusive(f"{self.name}: the packet capture was never started")
        try:
            self._process.send(b"mark %d\n" % mark)
        except (OSError, ValueError) as error:  # ValueError: its input was closed by stop
            deadline = Deadline(REASON_TIMEOUT_S)
            with self._changed:
                while self._ended is None and not deadline.expired:
                    self._changed.wait(deadline.remaining())
            raise self._ended_error(str(error)) from error
        return mark

    def answer(self, mark: int, deadline: Deadline) -> int:
        """The position of a mark that was asked for. Raises as `mark` does."""
        self._wait(lambda: mark in self._marks, deadline, "answer a mark")
        with self._changed:
            return self._marks.pop(mark)

    def _see_both_ways(self) -> None:
        """Give one that tells how much it sees the time to see something; what it then has not seen, `unproven` says. Raises as `mark`."""
        if not self.loopback:
            with contextlib.suppress(DeadlineExceeded):
                Deadline(CONTROL_TIMEOUT_S).wait_for(self.mark, until=lambda _: not self.unproven, what="packets", every=0.1)

    def _wait(self, is_done: Callable[[], bool], deadline: Deadline, what: str) -> None:
        with self._changed:
            while not is_done():
                if self._ended is not None:
                    raise self._ended_error()
                if deadline.expired:
                    raise Inconclusive(
                        f"{self.name}: the packet capture did not {what} within {deadline.seconds:g} s; what was sent there is unknown"
                    )
                self._changed.wait(deadline.remaining())

    def _ended_error(self, otherwise: str = "its stream ended") -> Inconclusive:
        return Inconclusive(f"{self.name}: the packet capture has ended: {self._ended or otherwise}; what was sent there is unknown")

    def _read(self, process: Process) -> None:
        reason = "its stream ended: the host or the connection to it was lost"
        foreign_line = ""
        try:
            for line in process.lines():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    foreign_line = cut_at_word(line.strip(), MAX_COMPLAINT_LENGTH)  # not ours: a shell's or an interpreter's complaint
                    continue
                self._take(record)
                if "error" in record:
                    reason = record["error"]
        except Exception as error:
            reason = f"its stream broke: {error}"
        finally:
            if complaint := script_transport.complaint(process):
                reason = f"the host said: {complaint}"
            elif foreign_line:
                reason = f"{self._program.runs_in} on the host said: {foreign_line}"
            if refused := sudo_refusal(complaint or foreign_line):
                line = f"{script_transport.INSTALLABLE['packet_capture']}"
                reason = f"sudo does not allow it ({refused}); its sudoers lacks the line for `{line}` (`lkharness sudoers` prints it)"
            with self._changed:
                self._ended = self._ended or reason
                self._changed.notify_all()

    def _take(self, record: dict[str, Any]) -> None:
        with self._changed:
            if "raw" in record:
                if self._newest and not self._holders and len(self._packets) >= MAX_NEWEST_PACKETS:
                    surplus = len(self._packets) - MAX_NEWEST_PACKETS // 2
                    self.left_out += surplus
                    del self._packets[:surplus]
                if len(self._packets) >= MAX_PACKETS_KEPT:
                    raise Inconclusive(f"more than {MAX_PACKETS_KEPT} packets came, so that the host's own traffic drowns the test's")
                packet = decode(record["t"], record["if"], record["k"], bytes.fromhex(record["raw"]))
                self._packets.append(packet)
                if self._tell is not None:
                    self._tell(packet)
                return
            if "mark" in record:
                if len(self._marks) < MAX_NOTES:
                    self._marks[record["mark"]] = self.left_out + len(self._packets)
                self.dropped, self.drop_reason = record["dropped"], record.get("why", "")
                if "received" in record:
                    self._counts = record["sent"], record["received"]
            elif "note" in record:
                self.notes.append(record["note"])
            elif "ready" in record:
                self._ready = True
            self._changed.notify_all()


def mark_all(captures: Mapping[str, PacketCapture]) -> tuple[dict[str, int], dict[str, Inconclusive]]:
    """A mark of each, asked for at once: the positions, and why there is none of those that have died or do not answer."""
    marks: dict[str, int] = {}
    positions: dict[str, int] = {}
    errors: dict[str, Inconclusive] = {}
    for name, capture in captures.items():
        try:
            marks[name] = capture.ask()
        except Inconclusive as error:
            errors[name] = error
    deadline = Deadline(MARK_TIMEOUT_S)
    for name, number in marks.items():
        try:
            positions[name] = captures[name].answer(number, deadline)
        except Inconclusive as error:
            errors[name] = error
    return positions, errors
