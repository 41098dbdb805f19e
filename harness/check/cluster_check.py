"""A quick look at a cluster: every path, the placement and the probe, without disturbing anything and without pytest."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.check import evidence_gathering
from harness.check.check_result import OF_A_ROLE, WHEN_IT_RESTS, Findings, PathLine
from harness.check.findings import service_findings
from harness.check.findings.firewall_findings import evaluate_firewalls
from harness.check.findings.node_findings import judge, of_pages
from harness.check.host_survey import Survey, survey, unreachable
from harness.check.manager_survey import ask_manager
from harness.check.unreachable_node import second_way
from harness.cluster import probe_question
from harness.cluster.cluster_under_test import CaptureWindow, ClusterUnderTest
from harness.cluster.connection_tolerance import unbearable
from harness.cluster.invariants import by_identity, nothing_left, placed, probe_answered, sent_to
from harness.cluster.path_check import PathCheck, check_path, unchecked
from harness.config import trust
from harness.config.cluster_config import Cluster, Service
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, HarnessError, Inconclusive, Unusable
from harness.core.finding import Finding, Weight
from harness.core.timeline import Timeline
from harness.core.verdict import Verdict, all_of, failed, inconclusive, passed
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.observation import as_data
from harness.expectations.connectivity_matrix import Origin
from harness.hosts.host import Host
from harness.managers.manager import ClusterState
from harness.services import service_registry

MAX_LOOKS_WHILE_ROLES_MOVE = 3  # looks at a cluster whose roles move meanwhile, before it is told as that


def look(cluster: Cluster, *, run_command: bool = False, file: Path | str = "FILE") -> Findings:
    """Look at everything, and again where a role moved meanwhile. What cannot be reached is a finding, and the rest is judged without it;
    with `run_command`, a node that SSH does not reach is read by Azure's; `file` is the cluster's, for what a person is told to do with it.

    Raises Unusable when no node can be reached.
    """
    in_azure = _in_azure(cluster)
    left_out = not_agreed_to(cluster, file)
    subject = ClusterUnderTest(cluster, Timeline())
    try:
        found = [*left_out, *unreachable(subject)]
        with second_way(subject, chosen=run_command) as (instead, notes):
            found += notes
            if all(n.name in subject.absent for n in cluster.nodes) and not instead:
                if cluster.azure is None:
                    raise Unusable(found[len(left_out)].says)
                return Findings(None, inconclusive("no node lets anybody log in"), [], [*found, *in_azure(None)])
            aside = unbearable(subject)
            if len(aside) == len(cluster.services):
                raise next(iter(aside.values()))  # no path would be left
            found += service_findings.set_aside(subject.cluster, aside)
            seen = _at_rest(subject, instead, aside)
        return _judged(seen, found, in_azure)
    finally:
        subject.close()


def not_agreed_to(cluster: Cluster, file: Path | str) -> list[Finding]:
    """What was left out of the cluster file, each with the command by which a person agrees to it."""
    says = "{}; nobody has agreed to that, and it was left out"
    return [Finding(Weight.UNKNOWN, cluster.name, "cluster file", says.format(ask), trust.what_to_do(file)) for ask in cluster.left_out]


class _Seen:
    """One look, before it is judged."""

    def __init__(self, evidence: Evidence, cluster_verdict: Verdict, checks: list[PathCheck], of_services: list[Finding]) -> None:
        self.evidence, self.cluster_verdict, self.checks, self.of_services = evidence, cluster_verdict, checks, of_services


def _at_rest(subject: ClusterUnderTest, instead: Mapping[str, Host], aside: Container[str] = ()) -> _Seen:
    """Look until no role moves meanwhile, and a few times at most; the services `aside`, by their names, are not connected to."""
    for last in (*[False] * (MAX_LOOKS_WHILE_ROLES_MOVE - 1), True):
        seen, moved = _once(subject, instead, aside)
        if not moved or last:
            break
    return seen


def _once(subject: ClusterUnderTest, instead: Mapping[str, Host], aside: Container[str]) -> tuple[_Seen, bool]:
    """Look once; and whether a role moved between its beginning and its end."""
    cluster = subject.cluster
    with ExitStack() as stack, ThreadPoolExecutor(max_workers=1) as beside:
        left_of_us = beside.submit(lambda: None if subject.absent else _guarded(lambda: nothing_left(subject)))
        # The hosts tell of their sockets before there are attempts, which could fill a listener's queue.
        sight, word, surveyed, _ = subject.together(
            lambda: _watching(subject, stack),
            lambda: ask_manager(subject, instead),
            lambda: survey(subject, instead),
            lambda: _load(cluster),
        )
        since, state, active = Deadline(0.0), word.state, word.active
        subject.absent |= {f.host for f in surveyed.lost}
        evaluated = evaluate_firewalls(cluster, surveyed.facts, state)
        more = [*word.found, *surveyed.lost, *judge(cluster, state, surveyed.facts, evaluated)]
        checks, direct, of_services, probe = [], [], [], None
        if active is not None:
            origins = [o for o in Origin if subject.origin(o, active) not in subject.absent]
            tried = [s for s in cluster.services if s.name not in aside]
            pairs = [(o, s) for o in origins for s in tried]
            telling = [s for s in tried if cluster.client.name not in subject.absent and service_findings.tells(s, cluster)]
            direct, probe, of_services, *checks = subject.together(
                lambda: evidence_gathering.direct(subject, active, only_standby=True, aside=aside),
                lambda: None if subject.absent or not state.healthy else _guarded(lambda: probe_answered(subject, active)),
                lambda: [f for s in telling for f in service_findings.of_service(subject, s)],
                *(lambda o=o, s=s: _check(subject, o, s, active) for o, s in pairs),
            )
            more += of_services
            if any(p.broke for p in checks):
                more += unreachable(subject)  # a host that was there a moment ago: is it still?
        whole = _cluster_verdict(subject, state, surveyed, checks, probe, left_of_us.result())
        if active is not None and not all(c.verdict for c in checks):
            direct = evidence_gathering.direct(subject, active, only_standby=False, aside=aside)
        statuses = probe_question.ask(subject, (subject.standby_of(active), cluster.client.name)) if active else {}
        seen, packets = _seen_on_the_wire(sight, cluster, since)
        # One that is away would be waited for once more.
        after = state if instead or subject.absent else subject.manager.state().without(word.unrelated_resources)
    moved = _roles(state) != _roles(after)
    evidence = Evidence(
        cluster,
        state,
        active,
        surveyed.seen,
        evidence_gathering.paths(checks, packets, cluster),
        seen,
        direct,
        statuses,
        word.may_move,
        word.fencing,
        word.left_behind,
        word.unrelated_resources,
        evaluated,
        tuple(f for f in of_pages(more, active, statuses) if not moved or not f.what.startswith(OF_A_ROLE)),
        moved,
    )
    return _Seen(evidence, whole, checks, of_services), moved


def _judged(seen: _Seen, found: list[Finding], in_azure: Callable[[str | None], list[Finding]]) -> Findings:
    evidence = seen.evidence
    of_azure = in_azure(evidence.state.leading)
    all_found = [*found, *evidence.findings, *of_azure]
    if evidence.moved:
        says = f"they moved while it was looked, {MAX_LOOKS_WHILE_ROLES_MOVE} times; at last: {evidence.state}"
        all_found.append(Finding(Weight.UNKNOWN, evidence.cluster.name, "roles", says, WHEN_IT_RESTS))
    told = diagnose(replace(evidence, findings=tuple(all_found)))
    whole = seen.cluster_verdict
    if evidence.active is None:
        whole = inconclusive(f"{evidence.state.why_none_leads}: {evidence.state}")
    probe = evidence.cluster.load_balancer.probe
    return Findings(
        evidence.active,
        whole,
        [PathLine.of(check) for check in seen.checks],
        all_found,
        told,
        probe.path or "",
        evidence.asked_by_probe,
        evidence,
        (*seen.of_services, *of_azure),
    )


def _roles(state: ClusterState) -> dict[str, dict[str, bool]]:
    return {name: {tag: seen.active for tag, seen in node.resources.items()} for name, node in state.nodes.items()}


def observed(cluster: Cluster, file: Path | str) -> dict[str, Any]:
    """What a look tries and captures, as data for an archive (`harness.diagnosis.observation`). Raises as `look` does."""
    found = look(cluster, file=file)
    if found.evidence is None:
        raise Unusable("no node lets anybody log in")
    return _as_data(found, found.evidence)


def observed_in_run(subject: ClusterUnderTest) -> dict[str, Any]:
    """The same by the connections of a run, which has them already, without Azure. The run takes no host for lost because this look does.
    Raises HarnessError."""
    absent = set(subject.absent)
    try:
        found = _judged(_at_rest(subject, {}), [], lambda active: [])
    finally:
        subject.absent = absent
    assert found.evidence is not None
    return _as_data(found, found.evidence)


def _as_data(found: Findings, evidence: Evidence) -> dict[str, Any]:
    verdict = {"outcome": str(found.cluster_verdict.outcome), "reason": found.cluster_verdict.reason}
    lines = [asdict(line) for line in found.paths]
    return {**as_data(evidence, found.beyond_hosts), "lines": lines, "cluster": verdict}


def _watching(subject: ClusterUnderTest, stack: ExitStack) -> CaptureWindow | None:
    """Every host whose packets can be watched; None where none can."""
    try:
        return stack.enter_context(subject.watched())
    except (Unusable, Inconclusive):
        return None  # the paths say why nobody can watch there


def _load(cluster: Cluster) -> None:
    """What the services' dialogues need, while the hosts tell of themselves."""
    for kind in {s.kind for s in cluster.services}:
        with suppress(ImportError):  # whoever needs it tells
            service_registry.kind(kind).load()


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
    from harness.azure.lint.azure_check import Survey  # only a cluster with [azure] needs the Azure packages

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


def _guarded(judged: Callable[[], Verdict]) -> Verdict:
    """One of the questions of an audit."""
    try:
        return judged()
    except BadUse:
        raise
    except HarnessError as error:  # the survey, which looks at the same time, says which host it was
        return inconclusive(f"the cluster could not be audited: {error}")


def _cluster_verdict(
    subject: ClusterUnderTest, state: ClusterState, surveyed: Survey, checks: list[PathCheck], probe: Verdict | None, left: Verdict | None
) -> Verdict:
    """What an audit between two tests asks, answered by what this look has seen already. It needs every host; without one of them the
    manager's own word has to do."""
    if subject.absent or left is None:
        gone = " and ".join(sorted(subject.absent))
        return inconclusive(f"without {gone}, which cannot be reached: {state}")
    active = state.active
    if not state.healthy or active is None or probe is None:
        return failed(f"the cluster is not healthy: {state}")
    told = {n.name: surveyed.facts[n.name].addresses for n in subject.cluster.nodes}
    addresses = {name: those for name, those in told.items() if those is not None}
    silent = [name for name, those in told.items() if those is None]
    placement = (
        inconclusive(f"the cluster could not be audited: {' and '.join(silent)} did not tell the addresses there")
        if silent
        else placed(subject.cluster, active, addresses)
    )
    first = next(c for c in checks if c.origin is Origin.CLIENT)
    by_balancer = sent_to(first) if not first.broke else _guarded(lambda: by_identity(subject, active))
    return all_of([passed(f"{active} is active"), placement, probe, by_balancer, left])
