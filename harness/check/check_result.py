"""What a look found, as an answer: causes first, the symptoms under them, then what nobody explains. As text, as data, as exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.cluster.path_check import PathCheck
from harness.core.errors import ExitCode
from harness.core.finding import Finding, Weight, verdicts
from harness.core.verdict import Outcome, Verdict, all_of, failed
from harness.diagnosis.engine import Diagnosis
from harness.diagnosis.evidence import Evidence

WHEN_IT_RESTS = "ask again when the cluster rests; what depends on which node is active was not judged"
OF_A_ROLE = ("VIP", "route to the VIP", "probe port", "listener of ")  # findings that depend on which node is active


@dataclass(frozen=True)
class PathLine:
    """How one path was, in words: what is shown of it, live or from an archive."""

    path: str
    service: str
    origin: str
    expected: str
    observed: str
    wire: str
    identity: str
    outcome: str
    reason: str

    @classmethod
    def of(cls, check: PathCheck) -> PathLine:
        """Of one path's check."""
        expected, verdict = str(check.expected), check.verdict
        words = (expected, check.observed, check.codes, check.identity, str(verdict.outcome), verdict.reason)
        return cls(str(check.origin), check.service.name, check.origin_host, *words)

    @property
    def verdict(self) -> Verdict:
        """The verdict on the path."""
        return Verdict(Outcome(self.outcome), self.reason)


@dataclass(frozen=True)
class Findings:
    """Everything that one look found. `evidence` is what it was made of, and `beyond_hosts` those of `findings` that no host tells: what
    services and Azure say."""

    active: str | None
    cluster_verdict: Verdict
    paths: list[PathLine]
    findings: list[Finding] = field(default_factory=list)  # what is not as the design demands, and what could not be looked at
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    probe_path: str = ""  # what an HTTP probe asks for, and by node what that was answered, "" where nobody answered
    probe_answers: Mapping[str, str] = field(default_factory=dict)
    evidence: Evidence | None = None
    beyond_hosts: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict on the cluster: its invariants, causes, paths and findings together."""
        causes = [failed(f"{c.host}: {c.says}") for c in self.diagnosis.causes if c.is_fault]
        return all_of([self.cluster_verdict, *causes, *(p.verdict for p in self.paths), *verdicts(self.findings)])

    @property
    def exit_code(self) -> ExitCode:
        """A host that cannot be reached comes before everything else: what was judged without it is not the whole."""
        if any(f.weight is Weight.UNREACHABLE for f in self.findings):
            return ExitCode.UNUSABLE
        return {Outcome.PASS: ExitCode.PASSED, Outcome.FAIL: ExitCode.FAILED, Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE}[
            self.verdict.outcome
        ]

    def as_data(self) -> dict[str, Any]:
        """The look as `check --json` prints it."""
        return {
            "active": self.active,
            "causes": [
                {**cause.as_data(), "symptoms": list(under)}
                for cause, under in zip(self.diagnosis.causes, self.diagnosis.under, strict=True)
            ],
            "outcome": str(self.verdict.outcome),
            "cluster": str(self.cluster_verdict),
            "paths": [asdict(p) for p in self.paths],
            "probe": {"path": self.probe_path, "answers": dict(self.probe_answers)} if self.probe_answers else None,
            "findings": [asdict(f) for f in self.findings],
        }

    def as_text(self) -> str:
        """The look for a terminal, causes first."""
        causes = list(zip(self.diagnosis.causes, self.diagnosis.under, strict=True))
        lines = [cause.as_text(under) for cause, under in causes if cause.is_fault]
        lines += [""] if lines else []
        lines.append(f"{self.cluster_verdict.outcome:13} cluster            {self.cluster_verdict.reason}")
        if self.probe_answers:
            answers = "; ".join(f"{node}: {answer or 'no connection'}" for node, answer in self.probe_answers.items())
            lines.append(f"{'':13} probe              GET {self.probe_path} is answered {answers}")
        lines += [f"{p.outcome:13} {p.path:8} {p.service:9} {p.reason}" for p in self.paths]
        lines += [str(f) for f in self.findings]
        return "\n".join([*lines, *(cause.as_text(under) for cause, under in causes if not cause.is_fault)])
