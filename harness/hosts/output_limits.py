"""How much a host may say: nothing of a host's is kept without a bound, and what is beyond it is told in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.hosts.host import NotReadable
from harness.hosts.shell_command import text

MIB = 1024 * 1024
MAX_OUTPUT_BYTES = 5 * MIB // 2  # bytes of each of a command's two streams; cut into short lines they take some 30 times as much memory
MAX_LINE_BYTES = MIB  # bytes of a line of a stream


class TooMuchOutput(NotReadable):
    """A command printed more than was to be kept, so that what was kept is not its answer; `exit` is how it ended."""

    def __init__(self, host: str, command: str, exit: int, printed: int, most: int) -> None:
        super().__init__(
            f"{host}: `{command}` exited {exit} and printed {printed / MIB:.1f} MiB, of which {most / MIB:g} MiB at most are read; "
            "is that host in order?"
        )
        self.exit = exit


class BoundedOutput:
    """The first bytes of a stream, at most so many; the rest is counted and dropped, so that whoever prints it is not held up."""

    def __init__(self, most: int = MAX_OUTPUT_BYTES) -> None:
        self.data = bytearray()
        self.size = 0
        self._most = most

    def add(self, data: bytes) -> None:
        """Counts these bytes, and keeps what still fits."""
        self.size += len(data)
        if (room := self._most - len(self.data)) > 0:
            self.data += data[:room]

    @property
    def is_complete(self) -> bool:
        """Whether everything was kept."""
        return self.size <= self._most


class LineSplitter:
    """Cuts a stream into lines, each looked at once however it arrives. Raises NotReadable for a line without an end."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` has completed, without their ends."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > MAX_LINE_BYTES:
            size = len(self._rest)
            self._rest.clear()
            raise NotReadable(f"a line of more than {MAX_LINE_BYTES / MIB:g} MiB came, which is no answer ({size} bytes so far)")
        return lines

    def unfinished_line(self) -> bytes:
        """What came after the last end of a line."""
        return bytes(self._rest)


def text_lines(read: Callable[[], bytes]) -> Iterator[str]:
    """The lines of a stream as text, until `read` returns no more bytes; the last one without its end as well."""
    lines = LineSplitter()
    while data := read():
        yield from map(text, lines.feed(data))
    if unfinished := lines.unfinished_line():
        yield text(unfinished)
