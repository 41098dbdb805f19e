"""An explanation: causes, those of what failed first, each with what follows from it. As text and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.text.host_text import one_line
from harness.diagnosis.cause import Cause

MAX_LINES = 12  # of evidence under one cause on a terminal; --json has them all


@dataclass(frozen=True)
class LocatedCause:
    """One cause of something in a run or a capture: `of` is the measurement, the test or the file that it is of."""

    cause: Cause
    of: str = ""
    symptoms: tuple[str, ...] = ()
    failed: bool = False  # does it explain something that failed, or something that took its time and passed?
    tests: tuple[str, ...] = ()  # ids of the tests that failed by it

    def as_data(self) -> dict[str, Any]:
        """The cause as `explain --json` prints it."""
        return {**self.cause.as_data(), "symptoms": list(self.symptoms), "of": self.of, "failed": self.failed}

    def as_text(self) -> str:
        """The cause for a terminal, with what follows from it."""
        return "\n".join(_clean_line(line) for line in self.cause.as_lines("; ".join(self.symptoms), MAX_LINES))


def failures_first(causes: Sequence[LocatedCause]) -> list[LocatedCause]:
    """Those of what failed before all others, else in their order."""
    return sorted(causes, key=lambda cause: not cause.failed)


def _clean_line(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] + one_line(line)
