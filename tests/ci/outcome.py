"""What one part found and took, read from what it printed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from tests.ci.parts import Part

SUMMARY = re.compile(r"^=* ?(?P<counts>\d+ [a-z]+(?:, \d+ [a-z]+)*) in [\d.]+s\b")
NAMED = re.compile(r"^(?:FAILED|ERROR) (?P<test>\S.*)$")
RAN = ("passed", "failed", "xfailed", "xpassed", "error", "errors")


@dataclass
class Outcome:
    """A part's end. Times in seconds: `wall_s` on the clock, `processor_s` of its processes (those that it waited for)."""

    part: Part
    exit_code: int | None = None  # None: it was not begun, or it is not over
    wall_s: float = 0.0
    processor_s: float = 0.0
    summaries: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    report: str = ""  # the run's report, relative to the reports' folder

    def hear(self, line: str) -> bool:
        """Take one printed line in; true for a summary of pytest's."""
        if named := NAMED.match(line):
            self.failures.append(named["test"])
        if found := SUMMARY.match(line):
            self.summaries.append(found["counts"])
        if "report.html" in line and (path := re.search(r"(\S+/)?(?P<run>[^\s/]+)/report\.html", line)):
            self.report = f"{path['run']}/report.html"
        return bool(found)

    @property
    def counts(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for summary in self.summaries:
            for one in summary.split(", "):
                number, word = one.split()
                found[word] += int(number)
        return found

    @property
    def trouble(self) -> str:
        """Why this is no pass, in a few words; empty for a pass. What did not run is no pass."""
        if self.exit_code is None:
            return "did not run"
        if self.exit_code != 0:
            return f"failed (exit {self.exit_code})"
        if self.part.has_tests and not sum(self.counts[word] for word in RAN):
            return "ran no test"
        return ""
