"""A quick look at a cluster: every path, the placement and the probe, without disturbing anything and without pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace

from harness.check import evidence_gathering
from harness.check.check_result import Findings
from harness.check.host_survey import survey, unreachable
from harness.check.unreachable_node import second_way
from harness.cluster.cluster_under_test import CaptureWindow, ClusterUnderTest
from harness.cluster.connection_tolerance import demand_bearable
from harness.cluster.invariants import audit
from harness.cluster.path_check import PathCheck, check_path, unchecked
from harness.config import trust
from harness.config.cluster_config import Cluster, Service
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, HarnessError, Inconclusive, Unusable
from harness.core.finding import Finding, Weight
from harness.core.timeline import Timeline
from harness.core.verdict import Verdict, failed, inconclusive
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, responders
from harness.expectations.connectivity_matrix import Origin
from harness.hosts.host import Host
from harness.managers.manager import ClusterState, Question
from harness.services.service_kind import TurnedAway

FAILOVERS = (Question.LOST, Question.FAILED)  # what forbids a told move forbids these as well
AGAIN = 3  # looks at a cluster whose roles move meanwhile, before it is told as that
OF_A_ROLE = ("VIP", "route to the VIP", "probe port", "listener of ")  # findings that depend on which node is active


def look(cluster: Cluster, *, run_command: bool = False) -> Findings:
    """Look at everything, and again where a role moved meanwhile. What cannot be reached is a finding, and the rest is judged without it;
    with `run_command`, a node that SSH does not reach is read by Azure's.

    Raises Unusable when no node can be reached.
    """
    in_azure = _in_azure(cluster)
    left_out = [
        Finding(
            Weight.UNKNOWN, cluster.name, "cluster file", f"{ask}; nobody has agreed to that, and it was left out", trust.what_to_do("FILE")
        )
        for ask in cluster.left_out
    ]
    subject = ClusterUnderTest(cluster, Timeline())
    try:
        found = [*left_out, *unreachable(subject)]
        with second_way(subject, chosen=run_command) as (instead, notes):
            found += notes
            if all(n.name in subject.absent for n in cluster.nodes) and not instead:
                if cluster.azure is None:
                    raise Unusable(found[len(left_out)].says)
                return Findings(None, inconclusive("no node lets anybody log in"), [], [*found, *in_azure(None)])
            demand_bearable(subject)
            for last in (*[False] * (AGAIN - 1), True):
                seen, moved = _once(subject, instead)
                if not moved or last:
                    break
        return _judged(seen, found, in_azure)
    finally:
        subject.close()


class _Seen:
    """One look, before it is judged."""

    def __init__(self, evidence: Evidence, whole: Verdict, checks: list[PathCheck], found: list[Finding]) -> None:
        self.evidence, self.whole, self.checks, self.found = evidence, whole, checks, found


def _once(subject: ClusterUnderTest, instead: Mapping[str, Host]) -> tuple[_Seen, bool]:
    """Look once; and whether a role moved between its beginning and its end."""
    cluster = subject.cluster
    with ExitStack() as stack:
        sight, since = _watching(subject, stack), Deadline(0.0)
        surveyed, audited, hosts = subject.together(
            lambda: survey(subject, instead),
            lambda: None if subject.absent else _audited(subject),
            lambda: evidence_gathering.hosts(subject),
        )
        state, more = surveyed.state, surveyed.found
        active = state.leading or favoured(cluster, state)
        checks, may_move, fencing, left = [], {}, None, []
        if active is not None:
            origins = [o for o in Origin if subject.origin(o, active) not in subject.absent]
            pairs = [(o, s) for o in origins for s in cluster.services]
            standby = subject.standby_of(active)
            asked = () if standby in subject.absent else FAILOVERS  # a node that is away takes nothing over, which is said already
            fencing, left, *told = subject.together(
                lambda: evidence_gathering.fencing(subject) if asked else None,
                lambda: evidence_gathering.left_behind(subject) if asked else [],
                *(lambda q=q: evidence_gathering.may_move(subject, standby, q) for q in asked),
                *(lambda o=o, s=s: _check(subject, o, s, active) for o, s in pairs),
            )
            may_move, checks = dict(zip(asked, told, strict=False)), told[len(asked) :]
            if any(p.broke for p in checks):
                more += unreachable(subject)  # a host that was there a moment ago: is it still?
        elif not subject.absent:  # what keeps it from being in service anywhere
            may_move = {Question.LOST: evidence_gathering.may_move(subject, cluster.nodes[0].name, Question.LOST)}
        broken = active is not None and any(not c.verdict for c in checks)
        direct = evidence_gathering.direct(subject, active, only_standby=not broken) if active else []
        statuses = evidence_gathering.http_probes(subject, subject.standby_of(active)) if active else {}
        seen, packets = _seen_on_the_wire(sight, cluster, since)
        after = state if instead or subject.absent else subject.manager.state()  # one that is away would be waited for once more
    moved = _roles(state) != _roles(after)
    evidence = Evidence(
        cluster,
        state,
        active,
        hosts,
        evidence_gathering.paths(checks, packets, cluster),
        seen,
        direct,
        statuses,
        may_move,
        fencing,
        left,
        surveyed.firewalls,
        tuple(f for f in more if not moved or not f.what.startswith(OF_A_ROLE)),
        moved,
    )
    return _Seen(evidence, _whole(subject, state, audited), checks, list(evidence.findings)), moved


def _judged(seen: _Seen, found: list[Finding], in_azure: Callable[[str | None], list[Finding]]) -> Findings:
    evidence = seen.evidence
    all_found = [*found, *seen.found, *in_azure(evidence.state.leading)]
    if evidence.moved:
        do = "ask again when the cluster rests; what depends on which node is active was not judged"
        says = f"they moved while it was looked, {AGAIN} times; at last: {evidence.state}"
        all_found.append(Finding(Weight.UNKNOWN, evidence.cluster.name, "roles", says, do))
    told = diagnose(replace(evidence, findings=tuple(all_found)))
    whole = seen.whole
    if evidence.active is None:
        whole = inconclusive(f"{evidence.state.why_none_leads}: {evidence.state}")
    return Findings(evidence.active, whole, seen.checks, all_found, told)


def favoured(cluster: Cluster, state: ClusterState) -> str | None:
    """Where services are apart: the node that the balancer sends clients to, because its health-check resource is in service."""
    tags = responders(cluster, state)
    nodes = [n for n, s in state.nodes.items() if any(s.resources.get(t) and s.resources[t].active for t in tags)]
    return nodes[0] if len(nodes) == 1 else None


def _roles(state: ClusterState) -> dict[str, dict[str, bool]]:
    return {name: {tag: seen.active for tag, seen in node.resources.items()} for name, node in state.nodes.items()}


def _watching(subject: ClusterUnderTest, stack: ExitStack) -> CaptureWindow | None:
    """Every host whose packets can be watched; None where none can."""
    try:
        return stack.enter_context(subject.watched())
    except (Unusable, Inconclusive):
        return None  # the paths say why nobody can watch there


def _seen_on_the_wire(sight: CaptureWindow | None, cluster: Cluster, since: Deadline) -> tuple[dict, dict[str, list]]:
    if sight is None:
        return {}, {}
    try:
        return evidence_gathering.probes(sight, cluster, sight.watching, since), sight.packets()
    except Inconclusive:
        return {}, {}


def _in_azure(cluster: Cluster) -> Callable[[str | None], list[Finding]]:
    """Begin to read what Azure has, beside the look at the hosts; its findings, once the active node is known. Raises BadUse.

    Without the Azure packages the rest is looked at all the same.
    """
    if cluster.azure is None:
        return lambda active: []
    from harness.azure.client.error_mapping import NotInstalled
    from harness.azure.lint.config_check import Survey  # only a cluster with [azure] needs the Azure packages

    try:
        return Survey(cluster, cluster.azure).findings
    except NotInstalled as error:
        what, _, do = str(error).partition("; ")
        missing = Finding(Weight.UNKNOWN, cluster.name, "Azure", f"what it has was not looked at: {what}", do)
        return lambda active: [missing]


def _check(subject: ClusterUnderTest, origin: Origin, service: Service, active: str) -> PathCheck:
    """A path whose checking breaks is told as that, besides what the others showed."""
    try:
        return check_path(subject, origin, service, active, in_full=True)
    except BadUse:
        raise
    except HarnessError as error:
        return unchecked(subject, origin, service, active, str(error))


def _audited(subject: ClusterUnderTest) -> Verdict:
    try:
        return audit(subject, patience_s=0.0)
    except TurnedAway as error:
        return failed(str(error))
    except BadUse:
        raise
    except HarnessError as error:  # the survey, which looks at the same time, says which host it was
        return inconclusive(f"the cluster could not be audited: {error}")


def _whole(subject: ClusterUnderTest, state: ClusterState, audited: Verdict | None) -> Verdict:
    """The audit needs every host; without one of them the manager's own word has to do."""
    if audited is not None and not subject.absent:
        return audited
    gone = " and ".join(sorted(subject.absent))
    return inconclusive(f"without {gone}, which cannot be reached: {state}")
