"""Disruptions by the cluster file's power commands, which the harness's own machine runs."""

from __future__ import annotations

import math
import re
import shlex

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.core.redaction.redactor import Redactor
from harness.core.redaction.secrets_in_commands import secret_words
from harness.disrupt.bases.host_silence import MIN_LOOK_S, is_silent, look_limit_s
from harness.disrupt.bases.power_command import PowerCommand
from harness.disrupt.disruption import BY_LOSS, HARNESS, Disruption, Moment, Step
from harness.expectations import outage_budget

RETRY_INTERVAL_S = 2.0  # between two tries of a command that brings a node back
MOMENT = re.compile(r"^moment (\d+\.?\d*) (\d+\.?\d*)$", re.MULTILINE)  # seconds since the epoch on this machine: before and after


class NoSuchCommand(Unusable):
    """The program cannot be started, which another try does not mend."""


class ByPower(Disruption):
    """`away` is the command that takes the node away, `back` the one that brings it back."""

    takes_away = True
    on_windows = ""  # the node has no part in it
    needs = BY_LOSS
    reboots = True
    away: str
    back: str
    _is_begun = False
    _took_s: float | None = None  # the command that took the node away
    _running: PowerCommand | None = None  # what was begun and has not been seen to end, …
    _look_s = MIN_LOOK_S
    _running_to = ""  # … and which of the commands it is

    @property
    def longest_s(self) -> float:
        words = self._words(self.away)
        return self._outlasting() if any("{seconds}" in word for word in words) else math.inf

    @property
    def undoing(self) -> str:
        by_command = f"by the cluster file's power.{self.back} command"
        if math.isinf(self.longest_s):
            return f"{by_command}, which the watchdog process runs if the harness is killed; by nobody if this machine dies"
        return f"{by_command}; if the harness dies, by what powers the node, {self.longest_s:g} s after it began at the latest"

    def steps(self) -> list[Step]:
        return [Step(HARNESS, phase, shlex.join(self._fill_in(to))) for phase, to in (("do", self.away), ("undo", self.back))]

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.node_loss(self._subject.cluster)

    def skip_reason(self) -> str | None:
        return None if self._words(self.away) else f"the cluster file has no [power] {self.away} command for it"

    def begin(self, deadline: Deadline) -> None:
        self._look_s = look_limit_s(self._subject.hosts[self._node])
        self._subject.absent.add(self._node)
        began = Deadline(0.0)
        output = self._run_command(self.away, deadline)
        self._took_s = began.elapsed()
        if moment := MOMENT.search(output):  # a command that knows when the node fell silent may say so
            self.moment = Moment(HARNESS, float(moment[1]), float(moment[2]))

    def observations(self) -> list[str]:
        """Where the outages count from, when the command did not say when the node fell silent."""
        if self.moment is not None or self._took_s is None:
            return []
        return [
            f"the cluster file's power.{self.away} command said no moment, so the outages count from before it began: up to "
            f"{self._took_s:.1f} s of them are its own time, and they compare only with those of the same command (a line `moment BEFORE "
            "AFTER` ends that)"
        ]

    def took_effect(self, deadline: Deadline) -> None:
        host = self._subject.hosts[self._node]
        deadline.wait_for(lambda: is_silent(host, self._look_s), what=f"{self._node} falling silent")

    def undo(self, deadline: Deadline) -> None:
        """What dies in `_run_command` may have done it all the same, so whatever was begun is undone."""
        if self._is_begun:
            self._bring_back(deadline)

    def _bring_back(self, deadline: Deadline) -> None:
        """Tried until it succeeds: a cloud that throttles, or a login that has just ended, refuses once and no more. Raises the last
        refusal."""
        last_error: HarnessError | None = None

        def try_once() -> bool:
            nonlocal last_error
            try:
                self._run_command(self.back, deadline)
            except NoSuchCommand:
                raise
            except HarnessError as error:
                last_error = error
                return False
            return True

        try:
            deadline.wait_for(try_once, what=f"power.{self.back} for {self._node}", every=RETRY_INTERVAL_S)
        except DeadlineExceeded as deadline_error:
            raise last_error or deadline_error from None
        self._is_begun = False
        self._subject.absent.discard(self._node)

    def _words(self, to: str) -> list[str]:
        return getattr(self._subject.cluster.power, to, None) or []

    def _fill_in(self, to: str) -> list[str]:
        seconds = "0" if math.isinf(self.longest_s) else str(int(self.longest_s))
        return [word.replace("{node}", self._node).replace("{seconds}", seconds) for word in self._words(to)]

    def _run_command(self, to: str, deadline: Deadline) -> str:
        """Run it, or go on waiting for it where it was begun before. Raises Unusable when it fails, or still goes on; it is not ended."""
        self._is_begun = True
        words = self._fill_in(to)
        command = self._still_running(to, deadline) or self._start_command(to, words)
        patience_s = max(deadline.remaining(), 1.0)
        result = command.result_within(patience_s)
        if result is None:
            raise Unusable(
                f"the cluster file's power.{to} command did not end within {patience_s:.0f} s for {self._node}; it was not ended, "
                "and goes on"
            )
        self._running = None
        if result.exit != 0:
            last_line = (result.err.strip() or result.out.strip() or "nothing").splitlines()[-1]
            last_line = Redactor(secret_words(words)).clean(last_line)
            raise Unusable(f"the cluster file's power.{to} command exited {result.exit} for {self._node}; it said: {last_line}")
        return result.out

    def _start_command(self, to: str, words: list[str]) -> PowerCommand:
        try:
            self._running, self._running_to = PowerCommand(words), to
        except OSError as error:
            raise NoSuchCommand(f"the cluster file's power.{to} command failed for {self._node}: `{words[0]}`: {error.strerror}") from None
        self._subject.power_command(self._running.process)
        return self._running

    def _still_running(self, to: str, deadline: Deadline) -> PowerCommand | None:
        """The same command, if it still goes on. Its opposite is waited for, and ended where it would keep this one from ever beginning."""
        if self._running is None or self._running_to == to:
            return self._running
        if self._running.result_within(deadline.remaining() / 2) is None:
            self._subject.timeline.note(
                "harness", "power", f"power.{self._running_to} for {self._node} does not end, and power.{to} must begin: it is ended"
            )
            self._running.end()
        self._running = None
        return None
