"""A cause: what explains the findings, what proves it, and what a person does about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Certainty(StrEnum):
    """CERTAIN: what was seen proves it. LIKELY: nothing that was seen speaks against it. POSSIBLE: worth a look, and no fault by itself."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"

    @property
    def rank(self) -> int:
        """0 for the surest."""
        return list(Certainty).index(self)


@dataclass(frozen=True)
class Cause:
    """`says` is one sentence; `evidence` the lines that prove it, each with its source; `otherwise` what else it could be, and the one
    thing to look at that would decide.

    `explains` are patterns of the symptoms that follow from it: `client/web` (the path from there to that service), `lknode01:VIP` (what
    was found of that on that host). `general`: it is told only where it explains something that nothing more special does.
    """

    says: str
    host: str
    certainty: Certainty
    do: str
    evidence: tuple[str, ...] = ()
    otherwise: str = ""
    explains: tuple[str, ...] = ()
    general: bool = False

    @property
    def is_fault(self) -> bool:
        """Whether it is sure enough to make a check fail."""
        return self.certainty is not Certainty.POSSIBLE

    def as_data(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "says": self.says,
            "host": self.host,
            "certainty": str(self.certainty),
            "evidence": list(self.evidence),
            "do": self.do,
            "else": self.otherwise,
        }

    def as_text(self, symptoms: tuple[str, ...] = ()) -> str:
        """The cause for a terminal, with the symptoms that follow from it."""
        return "\n".join(self.as_lines(", ".join(symptoms)))

    def as_lines(self, symptoms: str, most: int | None = None) -> list[str]:
        """The same line by line, with so much of the evidence at most; `symptoms` in words, or empty."""
        lines = [f"{self.certainty:11} {self.host}: {self.says}"]
        lines += [f"{'':12}seen: {line}" for line in self.evidence[:most]]
        if most is not None and len(self.evidence) > most:
            lines.append(f"{'':12}… and {len(self.evidence) - most} more lines with --json")
        lines.append(f"{'':12}do: {self.do}")
        lines += [f"{'':12}otherwise: {self.otherwise}"] if self.otherwise else []
        lines += [f"{'':12}follows from it: {symptoms}"] if symptoms else []
        return lines
