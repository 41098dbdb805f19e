"""One PowerShell per host that stays: questions and answers as JSON lines over one channel, many at once, each within its limit.

It is started with the first question, ends with its input, and is started again when it has died. Where a question does not stop at its
limit its runspace stays taken (WHST-31): a process with several such is given up for a new one, and closed when its last answer has come.
One that takes no more lines, or does not come up, is given up as well. Unasked for five minutes it ends by itself, so that none is left
where the connection was cut in silence; one that may be about to is not asked any more, but another one started.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable
from harness.hosts.host import Host, NotReadable
from harness.hosts.windows.powershell_process import PowerShellEnded, PowerShellLife
from harness.hosts.windows.script_protocol import IDLE_S, Line, ScriptAnswer, clock_question, question

MAX_STUCK = 4  # questions that did not stop though they were told to, until the process is replaced
ANSWER_MARGIN_S = 2.0  # for the answer that a limit has passed to come back
START_TIMEOUT_S = 60.0  # until one that has not greeted is given up
SEND_TIMEOUT_S = 10.0  # until one that takes no more lines is given up
MAX_UNASKED_S = IDLE_S - 60.0  # after that it may end by itself before a line on a slow way has come; what changes something is asked once


class NotResident(Unusable):
    """No PowerShell that stays could be started there; another way may go."""


@dataclass(frozen=True)
class ClockReading:
    """The host's wall clock, the step in which it moves, and the moments before and after, all in seconds; those two of our clock."""

    clock: float
    step: float
    asked: float
    answered: float


class ResidentPowerShell:
    """Asks one host. Safe for many threads; its lock is held for no sending and no starting."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._life: PowerShellLife | None = None
        self.starts = 0  # how many processes there were so far

    def ask(self, name: str, parameters: Mapping[str, object], *, limit: float) -> ScriptAnswer:
        """Ask a script. Raises NotResident, PowerShellEnded, HostUnreachable, DeadlineExceeded (`limit` seconds in all) and Unusable."""
        deadline = Deadline(limit)
        life = self._ready_life(deadline)
        number, remaining = next(self._numbers), max(0.1, deadline.remaining())
        late_message = f"{name} took longer than {limit:.3g} s there"
        line = self._wait_for_answer(
            life,
            number,
            name,
            lambda fresh: question(number, name, parameters, remaining, with_text=fresh),
            remaining + ANSWER_MARGIN_S,
            late_message,
        )
        if line.stuck >= MAX_STUCK:
            self._give_up(life).retire()
        if line.answer is None:
            raise NotReadable(f"{self._host.name}: {name} was answered with something else")
        return line.answer

    def clock(self, *, limit: float) -> ClockReading:
        """The host's wall clock. Raises as `ask` does."""
        deadline = Deadline(limit)
        life = self._ready_life(deadline)
        number, asked_at = next(self._numbers), time.time()
        late_message = f"its clock was not told within {limit:.3g} s"
        line = self._wait_for_answer(life, number, "", lambda fresh: clock_question(number), max(0.1, deadline.remaining()), late_message)
        answered_at = time.time()
        if line.clock is None:
            raise NotReadable(f"{self._host.name}: its clock was answered with something else")
        return ClockReading(line.clock, line.step, asked_at, answered_at)

    def close(self) -> None:
        """End it; the next question starts another."""
        with self._lock:
            life, self._life = self._life, None
        if life is not None:
            life.close()

    def _wait_for_answer(
        self, life: PowerShellLife, number: int, name: str, line_of: Callable[[bool], bytes], seconds: float, late_message: str
    ) -> Line:
        future = life.ask(number, name, line_of)
        try:
            return future.result(timeout=seconds)
        except NotInTime as error:
            life.forget(number)
            raise DeadlineExceeded(f"{self._host.name}: {late_message}") from error

    def _ready_life(self, deadline: Deadline) -> PowerShellLife:
        given_up: PowerShellLife | None = None
        with self._lock:
            life = self._life
            if life is not None and (life.blocked_s > SEND_TIMEOUT_S or (life.idle and life.unasked_s > MAX_UNASKED_S)):
                life, given_up = None, life
            if life is None or life.over or life.retired:
                life = self._life = PowerShellLife(self._host)
                self.starts += 1
        if given_up is not None:
            given_up.close()
        try:
            life.ready.result(timeout=max(0.1, deadline.remaining()))
        except NotInTime as error:
            if life.age_s > START_TIMEOUT_S:
                self._give_up(life).close()
                raise NotResident(f"{self._host.name}: PowerShell was started and not ready within {START_TIMEOUT_S:g} s") from error
            raise DeadlineExceeded(f"{self._host.name}: PowerShell was not ready within {deadline.seconds:.3g} s") from error
        except PowerShellEnded as error:
            raise NotResident(str(error)) from error
        return life

    def _give_up(self, life: PowerShellLife) -> PowerShellLife:
        """The next question starts another."""
        with self._lock:
            if self._life is life:
                self._life = None
        return life
