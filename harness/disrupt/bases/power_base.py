"""Disruptions by the cluster file's power commands, which the harness's own machine runs."""

from __future__ import annotations

import math
import re
import shlex
import subprocess

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.core.redaction.command_secrets import secret_words
from harness.core.redaction.redactor import Redactor
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
        deadline.wait_for(lambda: not host.alive(limit=0.5), what=f"{self._node} falling silent")

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
        self._is_begun = True
        words = self._fill_in(to)
        try:  # in a session of its own: a Ctrl-C or a hang-up in the terminal is meant for the harness, which then undoes
            completed = subprocess.run(
                words,
                capture_output=True,
                text=True,
                timeout=max(deadline.remaining(), 1.0),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise NoSuchCommand(f"the cluster file's power.{to} command failed for {self._node}: `{words[0]}`: {error.strerror}") from None
        except subprocess.TimeoutExpired as error:
            raise Unusable(f"the cluster file's power.{to} command did not end within {error.timeout:.0f} s for {self._node}") from None
        if completed.returncode != 0:
            last_line = (completed.stderr.strip() or completed.stdout.strip() or "nothing").splitlines()[-1]
            last_line = Redactor(secret_words(words)).clean(last_line)
            raise Unusable(f"the cluster file's power.{to} command exited {completed.returncode} for {self._node}; it said: {last_line}")
        return completed.stdout
