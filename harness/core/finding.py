"""One thing that is not as it should be: what was seen, which facts it follows from, and what a person does about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.core.verdict import Verdict, failed, inconclusive


class Weight(StrEnum):
    """FAULT: it breaks, or will. UNKNOWN: it could not be looked at. NOTE: worth knowing, and no fault by itself."""

    FAULT = "fault"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """`says` is what was seen, `facts` the ids that it follows from, `do` what a person does about it."""

    weight: Weight
    host: str
    what: str
    says: str
    do: str
    facts: tuple[str, ...] = ()

    def __str__(self) -> str:
        facts = f" ({', '.join(self.facts)})" if self.facts else ""
        return f"{self.weight:11} {self.host}: {self.what}: {self.says}{facts}\n{'':12}do: {self.do}"


def verdicts(findings: Iterable[Finding]) -> list[Verdict]:
    """A fault fails, and what could not be looked at leaves it open; a note is neither."""
    kinds = {Weight.FAULT: failed, Weight.UNKNOWN: inconclusive, Weight.UNREACHABLE: inconclusive}
    return [kinds[finding.weight](f"{finding.host}: {finding.what}: {finding.says}") for finding in findings if finding.weight in kinds]
