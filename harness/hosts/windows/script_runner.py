"""Asks a Windows host by its scripts: the PowerShell that stays there; where none does, a process for each question, which it says."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded, Unusable
from harness.core.text.host_text import cut_at_word
from harness.hosts.host import CommandFailed, CommandResult, Host, HostUnreachable, NotReadable
from harness.hosts.windows.powershell import EXE, Complete
from harness.hosts.windows.powershell_process import PowerShellEnded, constrained_error
from harness.hosts.windows.resident_powershell import ClockReading, NotResident, ResidentPowerShell
from harness.hosts.windows.script_contract import contract_of, refusal
from harness.hosts.windows.script_protocol import (
    CONSTRAINED,
    LIMIT,
    Row,
    ScriptAnswer,
    bootstrap,
    demand_row,
    first_line,
    question,
    read_line,
)

FIRST_RETRY_S, MAX_RETRY_S = 30.0, 600.0  # after a start that failed, how long none is tried; each further one doubles it
NO_RIGHTS = (
    "System Error 5,", "0x80070005", "UnauthorizedAccess", "PermissionDenied", "CouldNotGetService", "CouldNotStopService", "FolderNotMade",
    "InvalidOperationException,Microsoft.PowerShell.Commands.GetServiceCommand",  # the list of services, refused (WHST-117)
)  # fmt: skip
# The shell's word for a program that is not there, whatever its language and its quotes; what PowerShell itself says writes it otherwise.
_NOT_FOUND = re.compile(rf"(?<![\w./\\-]){EXE}(?![\w./\\-])")
NO_MODULE = ("CouldNotAutoloadMatchingModule", "CouldNotAutoLoadModule", "PSSecurityException")


class ScriptFailed(CommandFailed):
    """A script answered with an error; the message is one sentence, with the error's id, which is the same in every language."""

    def __init__(self, host: str, name: str, answer: ScriptAnswer) -> None:
        super().__init__(CommandResult(host, name, 1, "", answer.why, 0.0, 0.0))
        self.args = (f"{host}: the question {name} was answered with an error: {answer.why}{advice(answer)}",)
        self.answer = answer


def advice(answer: ScriptAnswer) -> str:
    """What the error's id tells to do, or nothing."""
    if any(part in answer.error for part in NO_RIGHTS):
        return "; is the account an administrator there?"
    if any(part in answer.error for part in NO_MODULE):
        return "; does its execution policy (group policy) bar Windows' own modules?"
    return ""


class ScriptRunner:
    """Asks one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._resident = ResidentPowerShell(host)
        self._lock = threading.Lock()
        self._pause_s = FIRST_RETRY_S
        self._pause: Deadline | None = None
        self.why_alone = ""  # why each question costs a process of its own; empty while it does not

    @property
    def starts(self) -> int:
        """How many processes that stay were started so far."""
        return self._resident.starts

    def ask(self, name: str, parameters: Mapping[str, object], *, limit: float) -> ScriptAnswer:
        """The answer, whether good or not. Raises BadUse, HostUnreachable, DeadlineExceeded, NotReadable and Unusable."""
        if why := refusal(name, parameters):
            raise BadUse(f"{self._host.name}: {why}")
        contract, deadline = contract_of(name), Deadline(limit)
        answer = None
        if self._may_try():
            try:
                answer = self._ask_resident(name, parameters, deadline, changes=contract.changes)
                self._note_resident()
            except NotResident as error:
                self._note_alone(str(error))
        if answer is None:
            answer = self._ask_alone(name, parameters, max(0.1, deadline.remaining()))
        if answer.error == LIMIT:
            raise DeadlineExceeded(f"{self._host.name}: the question {name} took longer than {limit:g} s there and was ended")
        return demand_row(contract, answer)

    def clock(self, *, limit: float) -> ClockReading:
        """The host's wall clock, by the PowerShell that stays. Raises as `ask` does."""
        if self._may_try():
            try:
                reading = self._resident.clock(limit=limit)
            except NotResident as error:
                self._note_alone(str(error))
            else:
                self._note_resident()
                return reading
        raise Unusable(f"{self._host.name}: its clock is not told: {self.why_alone}")

    def close(self) -> None:
        """End the PowerShell that stays; the next question starts another."""
        self._resident.close()

    def _may_try(self) -> bool:
        """Whether this question may go to the PowerShell that stays. After a start that failed one question tries again after a while; the
        others, meanwhile, do not wait for that."""
        with self._lock:
            if self._pause is None:
                return True
            if not self._pause.expired:
                return False
            self._pause = Deadline(self._pause_s)
            return True

    def _note_resident(self) -> None:
        with self._lock:
            self._pause, self._pause_s, self.why_alone = None, FIRST_RETRY_S, ""

    def _note_alone(self, why: str) -> None:
        with self._lock:
            self._pause, self.why_alone = Deadline(self._pause_s), why
            self._pause_s = min(2 * self._pause_s, MAX_RETRY_S)

    def _ask_resident(self, name: str, parameters: Mapping[str, object], deadline: Deadline, *, changes: bool) -> ScriptAnswer:
        """One that died is started again, and asked again what changes nothing."""
        try:
            return self._resident.ask(name, parameters, limit=max(0.1, deadline.remaining()))
        except PowerShellEnded as error:
            if changes:
                raise HostUnreachable(f"{error}; whether {name} was done is unknown") from error
        return self._resident.ask(name, parameters, limit=max(0.1, deadline.remaining()))

    def _ask_alone(self, name: str, parameters: Mapping[str, object], limit: float) -> ScriptAnswer:
        stdin = first_line(once=True) + question(1, name, parameters, limit)
        try:
            completed = self._host.run(Complete(bootstrap()), limit=limit, input=stdin)
        except HostUnreachable:
            self._note_resident()  # it is not PowerShell that was wanting
            raise
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"{self._host.name}: the question {name} took longer than {limit:.3g} s there and was ended") from error
        return self._read_result(completed)

    def _read_result(self, completed: CommandResult) -> ScriptAnswer:
        for text in completed.out.splitlines():
            line = read_line(text)
            if line is not None and line.answer is not None:
                return line.answer
            if line is not None and line.error == CONSTRAINED:
                raise constrained_error(self._host.name, line.about)
        if completed.exit in (127, 9009) or _NOT_FOUND.search(completed.err):
            raise no_powershell_error(self._host.name, completed.err)
        last_line = cut_at_word((completed.err.strip() or completed.out.strip() or "nothing").splitlines()[-1], 200)
        raise NotReadable(f"{self._host.name}: PowerShell gave no answer (exit {completed.exit}); it said: {last_line}")


def no_powershell_error(host: str, error_output: str) -> Unusable:
    """The sentence for a host that has none on its PATH."""
    quote = cut_at_word(" ".join(error_output.split()), 200)
    return Unusable(f"{host}: `{EXE}` does not start there ({quote}); is it Windows, and is PowerShell on its PATH?")


_LOCK = threading.Lock()
_ATTRIBUTE = "windows_script_runner"


def runner_of(host: Host) -> ScriptRunner:
    """The one runner of this host, which the host itself keeps: everybody who asks the host shares its PowerShell."""
    with _LOCK:
        runner: ScriptRunner | None = getattr(host, _ATTRIBUTE, None)
        if runner is None:
            runner = ScriptRunner(host)
            setattr(host, _ATTRIBUTE, runner)
        return runner


def ask(host: Host, name: str, parameters: Mapping[str, object] | None = None, *, limit: float = 20.0) -> ScriptAnswer:
    """Ask a host's script; the answer, whether good or not. Raises what `ScriptRunner.ask` does."""
    return runner_of(host).ask(name, parameters or {}, limit=limit)


def rows_of(host: Host, name: str, parameters: Mapping[str, object] | None = None, *, limit: float = 20.0) -> tuple[Row, ...]:
    """The rows of a good answer. Raises ScriptFailed for another, and what `ask` raises."""
    answer = ask(host, name, parameters, limit=limit)
    if not answer.ok:
        raise ScriptFailed(host.name, name, answer)
    return answer.rows
