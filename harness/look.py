"""A quick look at a cluster: every path, the placement and the probe, without disturbing anything and without pytest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.audit import audit
from harness.checks import PathCheck, check_path
from harness.errors import ExitCode, Inconclusive
from harness.model import Cluster
from harness.paths import Origin
from harness.subject import Subject
from harness.timeline import Timeline
from harness.verdict import Outcome, Verdict, all_of, inconclusive


@dataclass(frozen=True)
class Findings:
    active: str | None
    whole: Verdict
    paths: list[PathCheck]

    @property
    def verdict(self) -> Verdict:
        return all_of([self.whole, *(p.verdict for p in self.paths)])

    @property
    def exit_code(self) -> ExitCode:
        return {Outcome.PASS: ExitCode.PASSED, Outcome.FAIL: ExitCode.FAILED, Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE}[
            self.verdict.outcome
        ]

    def as_data(self) -> dict[str, Any]:
        paths = [
            {
                "path": str(p.origin),
                "service": p.service.name,
                "origin": p.origin_host,
                "expected": str(p.expected),
                "observed": p.observed,
                "wire": p.codes,
                "identity": p.identity,
                "outcome": str(p.verdict.outcome),
                "reason": p.verdict.reason,
            }
            for p in self.paths
        ]
        return {"active": self.active, "outcome": str(self.verdict.outcome), "cluster": str(self.whole), "paths": paths}

    def as_text(self) -> str:
        lines = [f"{self.whole.outcome:13} cluster            {self.whole.reason}"]
        lines += [f"{p.verdict.outcome:13} {p.origin:8} {p.service.name:9} {p.verdict.reason}" for p in self.paths]
        return "\n".join(lines)


def look(cluster: Cluster) -> Findings:
    """Look at everything once. Raises Unusable when a host cannot be reached."""
    subject = Subject(cluster, Timeline())
    try:
        subject.reach()
        try:
            active = subject.active
        except Inconclusive as error:
            return Findings(None, inconclusive(str(error)), [])
        pairs = [(o, s) for o in Origin for s in cluster.services]
        paths = subject.together(*(lambda o=o, s=s: check_path(subject, o, s, active) for o, s in pairs))
        return Findings(active, audit(subject, patience_s=0.0), paths)
    finally:
        subject.close()
