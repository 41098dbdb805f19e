"""The connection worker: one script on a host that makes every connection the harness asks for there, many requests at once.

A fresh interpreter over a fresh SSH session costs a host 50 ms of processor for every question, and a loaded host answers late.
The script begins when it is first needed, ends with its input, and a new one takes the place of one that has died.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from harness.core.errors import HarnessError, Inconclusive
from harness.core.text.host_text import cut_at_word
from harness.hosts.host import Host, HostUnreachable, NotReadable, Process
from harness.hosts.interrupt_shield import run_uninterrupted
from harness.remote import script_transport

SCRIPT = "connection_worker"
MAX_SOCKETS = 768  # the most that the script has open together; an ordinary limit is 1024 files for each process
WINDOW_BYTES = 256 * 1024  # bytes of one relayed connection that may be under way, each way
MAX_HELD_BYTES = 8 * 1024 * 1024  # bytes about one request that may wait to be read
START_TIMEOUT_S = 15.0  # for the interpreter to start; the log-in has its own limit
QUIET_TIMEOUT_S = 2.0  # a script that has said nothing for so long is asked whether it is still there
PING_TIMEOUT_S = 3.0

MAX_COMPLAINT_LENGTH = 600  # characters of a complaint

Line = dict[str, Any]


class ConnectionWorker:
    """The script of one host. Safe to use from several threads; an interrupt in any of them leaves it usable."""

    def __init__(self, host: Host, python: str = "python3") -> None:
        self.name = host.name
        self._host = host
        self._python = python
        self._life: _WorkerProcess | None = None
        self._starting = threading.Lock()
        self._failed: tuple[float, HarnessError] | None = None

    def ask(self, do: str, *, heed: Callable[[Line], bool] = lambda line: False, **plan: Any) -> Request:
        """Begin a request (`attempts` or `connect`, with what its plan holds), and end it with its block.

        `heed` gets every line first, in the reader's thread, and returns whether that line is dealt with; it must not block.
        Raises HostUnreachable, or Unusable when the host's Python cannot run the script.
        """
        request = Request(self.name, {"do": do, **plan}, heed)
        try:
            run_uninterrupted(lambda: self._begin(request))
        except BaseException:
            request.close()  # interrupted: it may have begun, or may still be about to
            raise
        return request

    def begin(self) -> None:
        """Start the script, so that the first request need not wait for it. Raises what `ask` does."""
        run_uninterrupted(lambda: self._living_process())

    def close(self) -> None:
        """End the script; requests under way are told. Asking again starts a new one."""
        run_uninterrupted(self._close)

    def _close(self) -> None:
        with self._starting:
            if self._life is not None:
                self._life.end("it was closed")
                self._life = None

    def _begin(self, request: Request) -> None:
        while not request.begin(self._living_process()):
            continue  # it ended in between, and nothing has run

    def _living_process(self) -> _WorkerProcess:
        came_at = time.monotonic()
        with self._starting:
            if self._failed is not None and self._failed[0] > came_at:
                raise self._failed[1]  # tried while we waited: the host need not be waited for once by every thread
            if self._life is None or not self._life.answers():
                try:
                    self._life = None
                    self._life = self._start()
                except HarnessError as error:
                    self._failed = (time.monotonic(), error)
                    raise
            return self._life

    def _start(self) -> _WorkerProcess:
        for last in (False, True):
            process = script_transport.start(self._host, self._python, SCRIPT, {"sockets": MAX_SOCKETS, "window": WINDOW_BYTES})
            life = _WorkerProcess(self.name, process)
            if life.ready.wait(START_TIMEOUT_S) and life.running:
                return life
            silent = life.running
            life.end("it did not start")
            if complaint := life.foreign_line:
                raise script_transport.no_python(self._host, self._python, SCRIPT, complaint)
            if silent:
                raise Inconclusive(
                    f"{self.name}: the script `{SCRIPT}` did not start within {START_TIMEOUT_S:g} s; is the host overloaded?"
                )
            if last:
                break
            # closed without a word: the transport's fault, and nothing has run yet
        raise HostUnreachable(f"{self.name}: the session of the script `{SCRIPT}` was closed twice without a word; is the host overloaded?")


class Request:
    """One request under way. A context manager: leaving the block ends it on the host as well."""

    def __init__(self, host: str, plan: Line, heed: Callable[[Line], bool]) -> None:
        self._host = host
        self._plan = plan
        self._heed = heed
        self._lines: SimpleQueue[tuple[Line | None, int]] = SimpleQueue()
        self._held_bytes = 0  # bytes that nobody has asked for yet
        self._life: _WorkerProcess | None = None
        self._number = 0
        self._closed = False
        self._lock = threading.Lock()
        self._counting = threading.Lock()

    def __enter__(self) -> Request:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        where = f" to {self._plan['destination']}:{self._plan['port']}" if "destination" in self._plan else ""
        return f"`{self._plan['do']}`{where}"

    def next(self, limit: float) -> Line | None:
        """The next line about it, with the monotonic time it `arrived`; None when none came within `limit` seconds.

        Raises HostUnreachable when the script or the connection to it was lost, Inconclusive when it broke or the request is closed.
        """
        try:
            line, size = self._lines.get(timeout=max(0.0, limit))
        except Empty:
            return None
        if line is None:
            self._lines.put((None, 0))  # for whoever asks again
            raise self._life.loss_error(str(self)) if self._life and not self._closed else Inconclusive(f"{self._host}: {self} was ended")
        with self._counting:
            self._held_bytes -= size
        return line

    def tell(self, do: str, **more: Any) -> None:
        """Say something more about it. When the script is lost, that is told by `next`."""
        run_uninterrupted(lambda: self._tell(do, more))

    def close(self) -> None:
        """End it, on the host too. Closing twice is fine."""
        run_uninterrupted(self._close)

    def begin(self, life: _WorkerProcess) -> bool:
        """Send it; False when that life of the script is over, so that nothing was sent."""
        with self._lock:  # held while sending, so that its end can never overtake it
            if self._closed:
                return True
            number = life.enter(self)
            if number is None:
                return False
            self._life, self._number = life, number
            life.send({**self._plan, "id": number})
            return True

    def take(self, line: Line | None, size: int = 0) -> None:
        """A line of so many bytes from the reader; None when there will be no more. Raises NotReadable when it sends more than anybody
        reads: an honest script waits for room (WINDOW)."""
        if line is not None and self._heed(line):
            return
        with self._counting:
            self._held_bytes += size
            if line is not None and self._held_bytes > MAX_HELD_BYTES:
                raise NotReadable(f"{self._host}: {MAX_HELD_BYTES >> 20} MiB came about {self} that nobody asked for")
        self._lines.put((line, size))

    def _tell(self, do: str, more: Line) -> None:
        with self._lock:
            if self._life is not None and not self._closed:
                self._life.send({**more, "do": do, "id": self._number})

    def _close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._life is not None and self._life.leave(self._number):
                self._life.send({"do": "close", "id": self._number})
        self._lines.put((None, 0))


class _WorkerProcess:
    """One run of the script, from its start to its end."""

    def __init__(self, host: str, process: Process) -> None:
        self.ready = threading.Event()
        """Set when the script is, and when it has ended."""
        self.running = True
        self.foreign_line = ""
        """What came that was not ours: a shell's, an interpreter's or a transport's last complaint."""
        self._host = host
        self._process = process
        self._requests: dict[int, Request] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._end_reason = ""
        self._heard_at = time.monotonic()
        self._reader = threading.Thread(target=self._read, name=f"resident-{host}", daemon=True)
        self._reader.start()

    def answers(self) -> bool:
        """Is it there? Asked of the script itself only when it has been quiet: a connection can be lost without anybody noticing."""
        if not self.running or time.monotonic() - self._heard_at < QUIET_TIMEOUT_S:
            return self.running
        with Request(self._host, {"do": "ping"}, lambda line: False) as ping:
            try:
                answered = ping.begin(self) and ping.next(PING_TIMEOUT_S) is not None
            except HarnessError:
                return False  # it died before it answered
        if not answered:
            self.end(f"it has not answered for {PING_TIMEOUT_S:g} s")
        return answered

    def enter(self, request: Request) -> int | None:
        """A number for the request, which hears what is said about it from now on; None when this life is over."""
        with self._lock:
            if not self.running:
                return None
            number = next(self._numbers)
            self._requests[number] = request
            return number

    def leave(self, number: int) -> bool:
        """Forget a request; does the script still know it?"""
        with self._lock:
            return self._requests.pop(number, None) is not None and self.running

    def send(self, order: Line) -> None:
        data = json.dumps(order, separators=(",", ":")).encode() + b"\n"
        try:
            with self._sending:
                self._process.send(data)
        except (OSError, ValueError) as error:  # ValueError: its input was closed meanwhile
            self.end(f"it takes no more input ({error})", wait=False)

    def end(self, why: str, *, wait: bool = True) -> None:
        self._end_reason = self._end_reason or why
        self._process.close()
        if wait:
            self._reader.join(5)

    def loss_error(self, what: str) -> HarnessError:
        """Why a request can hear no more."""
        if self.foreign_line:
            return Inconclusive(f"{self._host}: the script `{SCRIPT}` broke during {what}: {self.foreign_line}")
        why = f" ({self._end_reason})" if self._end_reason else ""
        return HostUnreachable(
            f"{self._host}: the connection was lost, or the script `{SCRIPT}` killed, during {what}{why}; whether it finished is unknown"
        )

    def _read(self) -> None:
        try:
            for text in self._process.lines():
                self._heard_at = time.monotonic()
                try:
                    line = json.loads(text)
                    number = line["id"]
                except (ValueError, TypeError, KeyError, RecursionError):
                    self.foreign_line = cut_at_word(text.strip(), MAX_COMPLAINT_LENGTH) or self.foreign_line
                    continue
                if number == 0:
                    self.foreign_line = ""  # a log-in's greeting, and no complaint
                    self.ready.set()
                    continue
                self._hand_over(number, {**line, "arrived": self._heard_at}, len(text))
        except Exception as error:
            self._end_reason = self._end_reason or f"its stream broke: {error}"
        finally:
            self.foreign_line = script_transport.complaint(self._process) or self.foreign_line
            with self._lock:
                self.running = False
                requests, self._requests = list(self._requests.values()), {}
            self.ready.set()
            for request in requests:
                request.take(None)
            self._process.close()  # what the transport holds for it

    def _hand_over(self, number: int, line: Line, size: int) -> None:
        with self._lock:
            request = self._requests.get(number)
            if "end" in line:
                self._requests.pop(number, None)  # so that closing it says nothing more to the host
        if request is not None:
            request.take(line, size)
