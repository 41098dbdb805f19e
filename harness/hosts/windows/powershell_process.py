"""One PowerShell that answers questions as JSON lines, from its start to its end. Who asks waits for nothing but an answer within a limit.

A thread starts it and reads what it says, another sends what it is asked: a channel that is full, or a connection that is being made, holds
up nobody who has a limit. Whatever ends it, those who wait hear of it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from harness.core.errors import HarnessError, Unusable
from harness.core.text.host_text import cut_at_word
from harness.hosts.host import Host, HostUnreachable, NotReadable, Process
from harness.hosts.windows.powershell import Complete
from harness.hosts.windows.script_protocol import CONSTRAINED, Line, bootstrap, first_line, read_line

MAX_NOISE_LINES = 5  # of what was printed besides answers, for messages
LAST_WORDS_TIMEOUT_S = 5.0  # how long one that takes no more questions is listened to for its reason


class PowerShellEnded(HostUnreachable):
    """It ended while a question was under way."""


class PowerShellLife:
    """Starts at once; `ready` tells when it answers, or why it does not."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.ready: Future[None] = Future()
        self.over = False
        self.retired = False
        self._began = self._asked = time.monotonic()
        self._sending_since: float | None = None
        self._process: Process | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._pending: dict[int, Future[Line]] = {}
        self._known_scripts: set[str] = set()
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._read_all = threading.Event()
        self._noise: list[str] = []
        self._start_thread(self._run)

    @property
    def age_s(self) -> float:
        """Seconds since it was asked to start."""
        return time.monotonic() - self._began

    @property
    def blocked_s(self) -> float:
        """For how many seconds the other end has not taken the line that is being sent; 0 while nothing is."""
        since = self._sending_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def unasked_s(self) -> float:
        """Seconds since it was last asked something, or started."""
        return time.monotonic() - self._asked

    @property
    def idle(self) -> bool:
        """Is no question under way?"""
        return not self._pending

    def ask(self, number: int, name: str, line_of: Callable[[bool], bytes]) -> Future[Line]:
        """Have one line sent; its answer comes in the future. `line_of` makes the line, told whether `name` was never asked before.

        Raises PowerShellEnded.
        """
        future: Future[Line] = Future()
        with self._lock:
            if self.over:
                raise self._ended_error()
            self._pending[number] = future
            self._asked = time.monotonic()
            self._queue.put(line_of(name not in self._known_scripts))
            self._known_scripts.add(name)
        return future

    def forget(self, number: int) -> None:
        """Nobody waits for that answer any longer."""
        with self._lock:
            self._pending.pop(number, None)
        self._close_if_idle()

    def retire(self) -> None:
        """No further questions: it ends when the last answer has come."""
        self.retired = True
        self._close_if_idle()

    def close(self) -> None:
        """End it: its input ends."""
        with self._lock:
            self._closed, process = True, self._process
        if process is not None:
            process.close()

    def _close_if_idle(self) -> None:
        with self._lock:
            idle = self.retired and not self._pending
        if idle:
            self.close()

    def _start_thread(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=f"powershell-{self._host.name}", daemon=True).start()

    def _run(self) -> None:
        """Starts it and reads to its end. Whatever goes wrong here, a fault of the harness included, is told to all who wait."""
        why: Exception | None = None
        try:
            process = self._host.start(Complete(bootstrap()))
            with self._lock:
                self._process, closed = process, self._closed
            if closed:
                process.close()
            self._start_thread(lambda: self._send(process))
            for text in process.lines():
                self._take_line(text)
        except Exception as error:
            why = error
        self._read_all.set()
        self._end(why)

    def _send(self, process: Process) -> None:
        """Sends what is asked, one line after the other. When that ends, its last words are waited for: they tell more."""
        why: Exception | None = None
        line: bytes | None = first_line(once=False)
        try:
            while line is not None:
                self._sending_since = time.monotonic()
                process.send(line)
                self._sending_since = None
                line = self._queue.get()
        except Exception as error:
            why = error
            with self._lock:
                self.over = True
        if why is not None and not self._read_all.wait(LAST_WORDS_TIMEOUT_S):
            self._end(why)

    def _end(self, why: Exception | None) -> None:
        with self._lock:
            self.over = True
            pending, self._pending = list(self._pending.values()), {}
            process = self._process
        self._queue.put(None)
        error = why if process is None and isinstance(why, HarnessError) else self._ended_error(why)
        for future in pending:
            future.set_exception(error)
        with self._lock:
            is_settled = self.ready.done()
            if not is_settled:
                self.ready.set_exception(error)
        if process is not None:
            process.close()

    def _take_line(self, text: str) -> None:
        try:
            line = read_line(text)
        except NotReadable as error:
            self._noise = [*self._noise, cut_at_word(str(error), 200)][-MAX_NOISE_LINES:]
            return
        if line is None:
            if text.strip():
                self._noise = [*self._noise, cut_at_word(text.strip(), 200)][-MAX_NOISE_LINES:]
            return
        if line.id is None:
            self._take_greeting(line)
            return
        with self._lock:
            future = self._pending.pop(line.id, None)
            self._asked = time.monotonic()  # it counts from the end of a question as well
        if future is not None:
            future.set_result(line)
        self._close_if_idle()

    def _take_greeting(self, line: Line) -> None:
        with self._lock:
            if self.ready.done():
                return
            if line.ready:
                self.ready.set_result(None)
            elif line.error == CONSTRAINED:
                self.ready.set_exception(constrained_error(self._host.name, line.about))

    def _ended_error(self, why: Exception | None = None) -> PowerShellEnded:
        fault = "" if why is None or isinstance(why, OSError | HarnessError) else f"{type(why).__name__}: {why}"
        last_words = fault or getattr(self._process, "errors", "").strip() or " / ".join(self._noise) or (str(why) if why else "nothing")
        return PowerShellEnded(f"{self._host.name}: its PowerShell ended; it said: {cut_at_word(' '.join(last_words.split()), 300)}")


def constrained_error(host: str, mode: str) -> Unusable:
    """The sentence for a host whose PowerShell does not let scripts do what they must."""
    return Unusable(
        f"{host}: PowerShell runs in {mode} mode there, so nothing can be asked; "
        "AppLocker or App Control must let the account's scripts run, and TEMP must have room"
    )
