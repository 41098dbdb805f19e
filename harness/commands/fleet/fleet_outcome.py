"""What became of each cluster of a fleet, and of the fleet. Pure."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import ExitCode
from harness.core.text.wording import count
from harness.report.record.run_record import Result

WORST_FIRST = (ExitCode.FAILED, ExitCode.BAD_USE, ExitCode.UNUSABLE, ExitCode.INCONCLUSIVE, ExitCode.PASSED)
"""A failure that was seen stands; what a person has to mend goes before what may mend itself; a pass is claimed only by all."""
WORDS = {
    ExitCode.PASSED: "passed",
    ExitCode.FAILED: "failed",
    ExitCode.BAD_USE: "could not begin",
    ExitCode.UNUSABLE: "not reachable or not usable",
    ExitCode.INCONCLUSIVE: "could not be judged",
}


@dataclass(frozen=True)
class Stored:
    """What the run.json of a run's folder says."""

    folder: Path
    code: ExitCode
    reason: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What became of one cluster."""

    name: str
    cluster: str
    code: ExitCode
    reason: str
    run: Path | None = None
    """Its run's folder."""
    seconds: float | None = None
    log: Path | None = None
    """What its process said."""

    @property
    def tone(self) -> Result:
        """For its colour and mark."""
        return {ExitCode.PASSED: Result.PASS, ExitCode.FAILED: Result.FAIL}.get(self.code, Result.INCONCLUSIVE)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The code of all together; of nothing, nothing can be said."""
    return min(codes, key=WORST_FIRST.index, default=ExitCode.INCONCLUSIVE)


def fleet_code(outcomes: Iterable[Outcome]) -> ExitCode:
    """The exit code of the fleet."""
    return worst(outcome.code for outcome in outcomes)


def sorted_worst_first(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """For a reader; equal ones stay in their order."""
    return sorted(outcomes, key=lambda outcome: WORST_FIRST.index(outcome.code))


def summary(outcomes: Iterable[Outcome]) -> str:
    """`8 clusters: 1 failed, 7 passed`, the worst first."""
    codes = [outcome.code for outcome in outcomes]
    return f"{count(len(codes), 'cluster')}: " + ", ".join(f"{codes.count(c)} {WORDS[c]}" for c in WORST_FIRST if c in codes)


def of_process(returned: int, stored: Iterable[Stored], last_words: str, *, leaves_run: bool = True) -> tuple[ExitCode, str, Stored | None]:
    """The code and reason of a process that ended with `returned`, from the runs it left; with several, the worst of them counts.

    Where run.json and the process disagree (it was killed at its very end), the worse one counts. One that should leave a run and left
    none has looked at nothing (a suite whose tests were all skipped makes none), so that it may not claim a pass.
    """
    run = min(stored, key=lambda stored_run: WORST_FIRST.index(stored_run.code), default=None)
    is_exit_code = returned in {code.value for code in ExitCode}
    process_code = ExitCode(returned) if is_exit_code else ExitCode.INCONCLUSIVE
    ending = _end_in_words(returned)
    if run is None and leaves_run and process_code is ExitCode.PASSED:
        return ExitCode.INCONCLUSIVE, f"nothing was looked at, there is no run of it; it said: {last_words or 'nothing'}", None
    if run is None:
        quoted = f": {last_words}" if last_words else ""
        return process_code, f"it {ending}{quoted}" if not is_exit_code or not last_words else last_words, None
    code = worst((process_code, run.code))
    return code, run.reason if code is run.code else f"its process {ending}; its run says: {run.reason}", run


def _end_in_words(returned: int) -> str:
    if returned >= 0:
        return f"ended with exit code {returned}"
    try:
        return f"was ended by {signal.Signals(-returned).name}"
    except ValueError:
        return f"was ended by signal {-returned}"
