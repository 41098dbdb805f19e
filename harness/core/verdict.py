"""Three-valued verdicts, always with the reason a person can act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.core.text.host_text import visible


class Outcome(StrEnum):
    """What a verdict says."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """A judgement and its reason; an empty reason is not allowed, not even for a pass."""

    outcome: Outcome
    reason: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("a verdict needs a reason")
        object.__setattr__(self, "reason", visible(self.reason))  # it quotes hosts

    def __bool__(self) -> bool:
        return self.outcome is Outcome.PASS

    def __str__(self) -> str:
        return f"{self.outcome}: {self.reason}"


def passed(reason: str) -> Verdict:
    """A pass, and why."""
    return Verdict(Outcome.PASS, reason)


def failed(reason: str) -> Verdict:
    """A failure, and why."""
    return Verdict(Outcome.FAIL, reason)


def inconclusive(reason: str) -> Verdict:
    """That it cannot be told, and why."""
    return Verdict(Outcome.INCONCLUSIVE, reason)


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on several: a failure outweighs a broken measurement, which outweighs a pass.

    No verdict at all is inconclusive: a check that looked at nothing proves nothing.
    """
    verdicts = list(verdicts)
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS):
        reasons = [v.reason for v in verdicts if v.outcome is outcome]
        if reasons:
            return Verdict(outcome, "; ".join(dict.fromkeys(reasons)))
    return inconclusive("nothing was checked")
