"""Packets as hosts see them, captured at the network's end of their links: by one process for all hosts, and nothing runs on a host for it.

What a host says to itself never crosses a link; of a host that can be captured itself, its own loopback interface is captured beside.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

from harness.core.text.host_text import cut_at_word
from harness.hosts.host import Host, Process
from harness.hosts.local_host import LocalHost
from harness.remote import script_transport
from harness.remote.captures.capture_session import MAX_COMPLAINT_LENGTH, MAX_PACKETS_KEPT, CaptureProgram
from harness.remote.recording.packets import LOOPBACK

Start = Callable[[dict[str, Any]], Process]


class NetworkCapture:
    """The command that captures at the network, and the processes of it that run: one for each plan, whatever the number of hosts. One that
    runs goes on until `close`, so that the next capture of that plan begins at once.

    `hosts` are captured there although they might be captured themselves; any other where it cannot be.
    """

    def __init__(self, command: Sequence[str], hosts: Collection[str] = ()) -> None:
        self.hosts = frozenset(hosts)
        self._command = list(command)
        self._machine = LocalHost("network capture")
        self._shared: dict[str, _SharedProcess] = {}
        self._lock = threading.Lock()

    def program(self, host: Host, *, own_loopback: Start | None = None) -> CaptureProgram:
        """What captures the packets of `host`; with `own_loopback`, which captures on the host, those of its loopback interface as well."""
        name = host.name

        def start(plan: dict[str, Any]) -> Process:
            links = self._listen(name, plan)
            if own_loopback is None:
                return links
            try:
                return _Joined(links, own_loopback({**plan, "interface": LOOPBACK}))
            except BaseException:
                links.close()
                raise

        return CaptureProgram(f"`{self._command[0]}`", start, loopback=own_loopback is not None)

    def close(self) -> None:
        """End every process."""
        with self._lock:
            shared, self._shared = list(self._shared.values()), {}
        for process in shared:
            process.close()

    def _listen(self, name: str, plan: dict[str, Any]) -> _Listener:
        """Raises HostUnreachable when the command cannot be started."""
        key = json.dumps(plan, sort_keys=True)
        with self._lock:
            shared = self._shared.get(key)
            listener = shared.listen(name) if shared is not None else None
            if listener is None:
                command = ["sh", "-c", 'exec "$@" 2>&1', "sh", *self._command, json.dumps(plan)]
                shared = self._shared[key] = _SharedProcess(self._machine.start(command))
                listener = shared.listen(name)
                shared.begin()
        assert listener is not None, "nothing ends a process that nobody has read from"
        return listener


def own_loopback(host: Host, python: str) -> Start:
    """The capture of a host's loopback interface, on the host."""
    return lambda plan: script_transport.start(host, python, "packet_capture", plan)


class _SharedProcess:
    """The process of one plan: its lines go to whose they are; what nobody listens for is left out."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._listeners: list[_Listener] = []
        self._questions: dict[int, tuple[_Listener, int]] = {}  # a mark's number here: who asked, and the number that it has there
        self._number = 0
        self._dropped = 0  # packets that it had lost in all, by its last mark
        self._ready: str | None = None
        self._ended = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="network-capture", daemon=True)

    def begin(self) -> None:
        """Read from now on; whoever listens already hears all of it."""
        self._thread.start()

    def listen(self, name: str) -> _Listener | None:
        """A new listener for one host's packets; None when it has ended, or ends."""
        with self._lock:
            if self._ended:
                return None
            listener = _Listener(self, name, self._dropped)
            self._listeners.append(listener)
            if self._ready is not None:
                listener.put(self._ready)
            return listener

    def ask(self, listener: _Listener, number: int) -> None:
        """Ask for a mark of that listener's number. Raises OSError when it has ended."""
        with self._lock:
            self._number += 1
            self._questions[self._number] = listener, number
            self._process.send(b"mark %d\n" % self._number)  # short, and the process reads: it does not wait under the lock

    def leave(self, listener: _Listener) -> None:
        """That one listens no more."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
            self._questions = {number: question for number, question in self._questions.items() if question[0] is not listener}

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._ended = True
        self._process.close()

    def _read(self) -> None:
        last_word = "it ended"
        try:
            for line in self._process.lines():
                last_word = self._take(line) or last_word
        except Exception as error:
            last_word = f"its stream broke: {error}"
        finally:
            with self._lock:
                self._ended = True
                listeners = list(self._listeners)
            self._process.close()
            for listener in listeners:
                listener.end(f"the capture at the network has ended; it said: {last_word}")

    def _take(self, line: str) -> str:
        """Give a line to whom it is for; returns what is none of the program's lines, a complaint."""
        name, _, rest = line.partition(" ")
        if rest and not name.startswith("{"):
            with self._lock:
                listeners = [x for x in self._listeners if x.name == name]
                is_packet = bool(listeners) or rest.startswith("{")
            for listener in listeners:
                listener.put(rest)
            return "" if is_packet else cut_at_word(line.strip(), MAX_COMPLAINT_LENGTH)
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return cut_at_word(line.strip(), MAX_COMPLAINT_LENGTH)
        if "mark" in record:
            with self._lock:
                question = self._questions.pop(record["mark"], None)
                self._dropped = record["dropped"]
            if question is not None:
                listener, number = question
                listener.put_mark(number, record)
            return ""
        with self._lock:
            if "ready" in record:
                self._ready = line
            listeners = list(self._listeners)
        for listener in listeners:
            listener.put(line)
        return str(record.get("error", ""))


class _Lines:
    """Lines that come from somewhere, until their end."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._over = False
        self._changed = threading.Condition()

    def put(self, line: str) -> None:
        """One more line. Who does not read them gets their end."""
        with self._changed:
            if len(self._waiting) >= MAX_PACKETS_KEPT:
                self._over = True
            if not self._over:
                self._waiting.append(line)
            self._changed.notify_all()

    def put_over(self) -> None:
        """There will be none any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def lines(self) -> Iterator[str]:
        """Each, as it comes, until their end."""
        while True:
            with self._changed:
                while not self._waiting and not self._over:
                    self._changed.wait()
                if not self._waiting:
                    return
                batch = list(self._waiting)
                self._waiting.clear()
            yield from batch

    def recv(self, size: int) -> bytes:
        """Nobody reads it as bytes."""
        raise NotImplementedError("a capture is read by its lines")


class _Listener(_Lines):
    """One host's part of a shared process, as the process of a capture on that host would be."""

    def __init__(self, shared: _SharedProcess, name: str, dropped_before: int) -> None:
        super().__init__()
        self.name = name
        self._shared = shared
        self._dropped_before = dropped_before

    def put_mark(self, number: int, record: dict[str, Any]) -> None:
        """The answer to a mark that it asked for."""
        self.put(json.dumps({**record, "mark": number, "dropped": record["dropped"] - self._dropped_before}))

    def end(self, reason: str) -> None:
        """The shared process has ended, for this reason."""
        self.put(json.dumps({"error": reason}))
        self.put_over()

    def send(self, data: bytes) -> None:
        """Its marks. Raises OSError when the shared process has ended."""
        for line in data.splitlines():
            self._shared.ask(self, int(line.split()[1]))

    def close(self) -> None:
        """Listen no more."""
        self._shared.leave(self)
        self.put_over()


class _Joined(_Lines):
    """A host's links and its own loopback interface as one capture: begun when both have, ended when either has."""

    def __init__(self, links: Process, loopback: Process) -> None:
        super().__init__()
        self._processes = {"links": links, "loopback": loopback}
        self._ready: set[str] = set()
        self._marks: dict[int, dict[str, dict[str, Any]]] = {}
        self._state = threading.Lock()
        for part, process in self._processes.items():
            threading.Thread(target=self._read, args=(part, process), name=f"capture-{part}", daemon=True).start()

    @property
    def errors(self) -> str:
        """What the host said on its standard error."""
        return str(getattr(self._processes["loopback"], "errors", ""))

    def send(self, data: bytes) -> None:
        """The same to both."""
        for process in self._processes.values():
            process.send(data)

    def close(self) -> None:
        """End both."""
        for process in self._processes.values():
            process.close()
        self.put_over()

    def _read(self, part: str, process: Process) -> None:
        with suppress(OSError, ValueError):
            for line in process.lines():
                self._take(part, line)
        self.put_over()

    def _take(self, part: str, line: str) -> None:
        """A packet, a note or a complaint goes on as it is; ready and marks when both have said so."""
        if '"raw"' in line:
            return self.put(line)
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return self.put(line)
        with self._state:
            if "ready" in record:
                self._ready.add(part)
                if len(self._ready) < len(self._processes):
                    return
            elif "mark" in record:
                answers = self._marks.setdefault(record["mark"], {})
                answers[part] = record
                if len(answers) < len(self._processes):
                    return
                del self._marks[record["mark"]]
                record = {"mark": record["mark"], "dropped": sum(answer["dropped"] for answer in answers.values())}
                line = json.dumps(record)
        self.put(line)
