"""One PowerShell per host that stays: questions and answers as JSON lines over one channel, many at once, each within its limit.

It is started with the first question, ends with its input, and is started again when it has died. Where a question does not stop at its
limit its runspace stays taken (WHST-31): a process with several such is given up for a new one, and closed when its last answer has come.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.hosts.host import Host, HostUnreachable, NotReadable, Process
from harness.hosts.windows.powershell import Complete
from harness.hosts.windows.script_protocol import (
    CONSTRAINED,
    Line,
    ScriptAnswer,
    bootstrap,
    clock_question,
    first_line,
    question,
    read_line,
)

MAX_STUCK = 4  # questions that did not stop at their limit, until the process is replaced
ANSWER_MARGIN_S = 2.0  # for the answer that a limit has passed to come back
MAX_NOISE_LINES = 5  # of what was printed besides answers, for messages


class PowerShellEnded(HostUnreachable):
    """It ended while a question was under way."""


class NotResident(Unusable):
    """No PowerShell that stays could be started there; another way may go."""


@dataclass(frozen=True)
class ClockReading:
    """The host's wall clock, the step in which it moves, and the moments before and after, all in seconds; those two of our clock."""

    clock: float
    step: float
    asked: float
    answered: float


class _Life:
    """One process from its start to its end."""

    def __init__(self, name: str, process: Process) -> None:
        self._name = name
        self.process = process
        self.ready: Future[None] = Future()
        self.sent: set[str] = set()
        self.over = False
        self.retired = False
        self.stuck = 0
        self._lock = threading.Lock()
        self._pending: dict[int, Future[Line]] = {}
        self._noise: list[str] = []
        threading.Thread(target=self._read, name=f"powershell-{name}", daemon=True).start()

    def ask(self, number: int, line: bytes) -> Future[Line]:
        """Send one line; its answer comes in the future. Raises PowerShellEnded."""
        future: Future[Line] = Future()
        with self._lock:
            if self.over:
                raise self._ended()
            self._pending[number] = future
            try:
                self.process.send(line)
            except (OSError, HostUnreachable) as error:
                self.over = True  # whoever reads its answers may hear of its end later than the next question comes
                self._pending.pop(number, None)
                raise self._ended() from error
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
        self.process.close()

    def _close_if_idle(self) -> None:
        with self._lock:
            idle = self.retired and not self._pending
        if idle:
            self.close()

    def _read(self) -> None:
        why: Exception | None = None
        try:
            for text in self.process.lines():
                self._take(text)
        except (OSError, HarnessError) as error:
            why = error
        with self._lock:
            self.over = True
            left, self._pending = list(self._pending.values()), {}
            ended = self._ended(why)
        for future in left:
            future.set_exception(ended)
        if not self.ready.done():
            self.ready.set_exception(ended)

    def _take(self, text: str) -> None:
        try:
            line = read_line(text)
        except NotReadable as error:
            self._noise = [*self._noise, str(error)[:200]][-MAX_NOISE_LINES:]
            return
        if line is None:
            if text.strip():
                self._noise = [*self._noise, text.strip()[:200]][-MAX_NOISE_LINES:]
            return
        if line.id is None:
            self._greeted(line)
            return
        self.stuck = max(self.stuck, line.stuck)
        with self._lock:
            future = self._pending.pop(line.id, None)
        if future is not None:
            future.set_result(line)
        self._close_if_idle()

    def _greeted(self, line: Line) -> None:
        if self.ready.done():
            return
        if line.ready:
            self.ready.set_result(None)
        elif line.error == CONSTRAINED:
            self.ready.set_exception(constrained(self._name, line.about))

    def _ended(self, why: Exception | None = None) -> PowerShellEnded:
        said = getattr(self.process, "errors", "").strip() or " / ".join(self._noise) or (str(why) if why else "nothing")
        return PowerShellEnded(f"{self._name}: its PowerShell ended; it said: {' '.join(said.split())[:300]}")


def constrained(host: str, mode: str) -> Unusable:
    """The sentence for a host whose PowerShell does not let scripts do what they must."""
    return Unusable(
        f"{host}: PowerShell runs in {mode} mode there, so nothing can be asked; "
        "AppLocker or App Control must let the account's scripts run, and TEMP must have room"
    )


class ResidentPowerShell:
    """Asks one host. Safe for many threads."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._life: _Life | None = None
        self.starts = 0  # how many processes there were so far

    def ask(self, name: str, parameters: Mapping[str, object], *, limit: float) -> ScriptAnswer:
        """Ask a script. Raises NotResident, PowerShellEnded, HostUnreachable, DeadlineExceeded (`limit` seconds in all) and Unusable."""
        deadline = Deadline(limit)
        life = self._ready(deadline)
        number = next(self._numbers)
        with self._lock:
            fresh = name not in life.sent
            remaining = max(0.1, deadline.remaining())
            future = life.ask(number, question(number, name, parameters, remaining, with_text=fresh))
            life.sent.add(name)
        line = self._wait(life, number, future, remaining + ANSWER_MARGIN_S, f"{name} took longer than {limit:g} s there")
        if line.stuck >= MAX_STUCK:
            self._give_up(life)
        if line.answer is None:
            raise NotReadable(f"{self._host.name}: {name} was answered with something else")
        return line.answer

    def clock(self, *, limit: float) -> ClockReading:
        """The host's wall clock. Raises as `ask` does."""
        deadline = Deadline(limit)
        life = self._ready(deadline)
        number = next(self._numbers)
        asked = time.time()
        future = life.ask(number, clock_question(number))
        line = self._wait(life, number, future, max(0.1, deadline.remaining()), f"its clock was not told within {limit:g} s")
        answered = time.time()
        if line.clock is None:
            raise NotReadable(f"{self._host.name}: its clock was answered with something else")
        return ClockReading(line.clock, line.step, asked, answered)

    def close(self) -> None:
        """End it; the next question starts another."""
        with self._lock:
            life, self._life = self._life, None
        if life is not None:
            life.close()

    def _wait(self, life: _Life, number: int, future: Future[Line], seconds: float, late: str) -> Line:
        try:
            return future.result(timeout=seconds)
        except NotInTime as error:
            life.forget(number)
            raise DeadlineExceeded(f"{self._host.name}: {late}") from error

    def _ready(self, deadline: Deadline) -> _Life:
        with self._lock:
            if self._life is None or self._life.over or self._life.retired:
                self._life = self._started()
            life = self._life
        try:
            life.ready.result(timeout=max(0.1, deadline.remaining()))
        except NotInTime as error:
            raise DeadlineExceeded(f"{self._host.name}: PowerShell was not ready within {deadline.seconds:g} s") from error
        except PowerShellEnded as error:
            raise NotResident(str(error)) from error
        return life

    def _started(self) -> _Life:
        process = self._host.start(Complete(bootstrap()))
        self.starts += 1
        try:
            process.send(first_line(once=False))
        except OSError as error:
            process.close()
            raise NotResident(f"{self._host.name}: PowerShell takes no input: {error}") from error
        return _Life(self._host.name, process)

    def _give_up(self, life: _Life) -> None:
        with self._lock:
            if self._life is life:
                self._life = None
        life.retire()
