"""A quick look at a cluster: every path, the placement and the probe, without disturbing anything and without pytest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from harness import trust
from harness.attach.second_way import second_way
from harness.attach.survey import survey, unreachable
from harness.audit import audit
from harness.checks import PathCheck, check_path, unchecked
from harness.errors import BadUse, ExitCode, HarnessError, Unusable
from harness.finding import Finding, Weight, verdicts
from harness.managers.base import ClusterState
from harness.model import Cluster, Service
from harness.paths import Origin
from harness.subject import Subject
from harness.timeline import Timeline
from harness.verdict import Outcome, Verdict, all_of, inconclusive


@dataclass(frozen=True)
class Findings:
    active: str | None
    whole: Verdict
    paths: list[PathCheck]
    found: list[Finding] = field(default_factory=list)  # what is not as the design demands, and what could not be looked at

    @property
    def verdict(self) -> Verdict:
        return all_of([self.whole, *(p.verdict for p in self.paths), *verdicts(self.found)])

    @property
    def exit_code(self) -> ExitCode:
        """A host that cannot be reached comes before everything else: what was judged without it is not the whole."""
        if any(f.weight is Weight.UNREACHABLE for f in self.found):
            return ExitCode.UNUSABLE
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
        return {
            "active": self.active,
            "outcome": str(self.verdict.outcome),
            "cluster": str(self.whole),
            "paths": paths,
            "findings": [asdict(f) for f in self.found],
        }

    def as_text(self) -> str:
        lines = [f"{self.whole.outcome:13} cluster            {self.whole.reason}"]
        lines += [f"{p.verdict.outcome:13} {p.origin:8} {p.service.name:9} {p.verdict.reason}" for p in self.paths]
        return "\n".join([*lines, *(str(f) for f in self.found)])


def look(cluster: Cluster, *, run_command: bool = False) -> Findings:
    """Look at everything once. What cannot be reached is a finding, and the rest is judged without it; with `run_command`, a node that SSH
    does not reach is read by Azure's.

    Raises Unusable when no node can be reached.
    """
    in_azure = _in_azure(cluster)
    left_out = [
        Finding(
            Weight.UNKNOWN, cluster.name, "cluster file", f"{ask}; nobody has agreed to that, and it was left out", trust.what_to_do("FILE")
        )
        for ask in cluster.left_out
    ]
    subject = Subject(cluster, Timeline())
    try:
        found = [*left_out, *unreachable(subject)]
        with second_way(subject, chosen=run_command) as (instead, notes):
            found += notes
            if all(n.name in subject.absent for n in cluster.nodes) and not instead:
                if cluster.azure is None:
                    raise Unusable(found[len(left_out)].says)
                return Findings(None, inconclusive("no node lets anybody log in"), [], [*found, *in_azure(None)])
            (state, more), audited = subject.together(
                lambda: survey(subject, instead), lambda: None if subject.absent else _audited(subject)
            )
        active = state.leading
        found += [*more, *in_azure(active)]
        if active is None:
            return Findings(None, inconclusive(f"no single node has anything in service: {state}"), [], found)
        origins = [o for o in Origin if subject.origin(o, active) not in subject.absent]
        pairs = [(o, s) for o in origins for s in cluster.services]
        paths = subject.together(*(lambda o=o, s=s: _check(subject, o, s, active) for o, s in pairs))
        if any(p.broke for p in paths):
            found += unreachable(subject)  # a host that was there a moment ago: is it still?
        return Findings(active, _whole(subject, state, audited), paths, found)
    finally:
        subject.close()


def _in_azure(cluster: Cluster) -> Callable[[str | None], list[Finding]]:
    """Begin to read what Azure has, beside the look at the hosts; its findings, once the active node is known. Raises BadUse.

    Without the Azure packages the rest is looked at all the same.
    """
    if cluster.azure is None:
        return lambda active: []
    from harness.azure.survey import Survey  # only a cluster with [azure] needs the Azure packages
    from harness.azure.trouble import NotInstalled

    try:
        return Survey(cluster, cluster.azure).findings
    except NotInstalled as error:
        what, _, do = str(error).partition("; ")
        missing = Finding(Weight.UNKNOWN, cluster.name, "Azure", f"what it has was not looked at: {what}", do)
        return lambda active: [missing]


def _check(subject: Subject, origin: Origin, service: Service, active: str) -> PathCheck:
    """A path whose checking breaks is told as that, besides what the others showed."""
    try:
        return check_path(subject, origin, service, active)
    except BadUse:
        raise
    except HarnessError as error:
        return unchecked(subject, origin, service, active, str(error))


def _audited(subject: Subject) -> Verdict:
    try:
        return audit(subject, patience_s=0.0)
    except BadUse:
        raise
    except HarnessError as error:  # the survey, which looks at the same time, says which host it was
        return inconclusive(f"the cluster could not be audited: {error}")


def _whole(subject: Subject, state: ClusterState, audited: Verdict | None) -> Verdict:
    """The audit needs every host; without one of them the manager's own word has to do."""
    if audited is not None and not subject.absent:
        return audited
    gone = " and ".join(sorted(subject.absent))
    return inconclusive(f"without {gone}, which cannot be reached: {state}")
