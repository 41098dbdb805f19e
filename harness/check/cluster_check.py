"""A quick look at a cluster: every path, the placement and the probe, without disturbing anything and without pytest."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.check import captured_evidence, evidence_gathering
from harness.check.check_result import OF_A_ROLE, WHEN_IT_RESTS, Findings, PathLine
from harness.check.findings import service_findings
from harness.check.findings.firewall_findings import evaluate_firewalls
from harness.check.findings.node_findings import judge, of_containers, of_pages
from harness.check.host_survey import Survey, survey, unreachable
from harness.check.manager_survey import ManagerSurvey, ask_manager
from harness.check.unreachable_node import run_command_fallback
from harness.cluster import http_probe_request
from harness.cluster.cluster_audit import by_identity, judge_balancer, judge_vip_place, nothing_left, probe_answered
from harness.cluster.cluster_under_test import CaptureWindow, ClusterUnderTest
from harness.cluster.connection_sensitive_services import find_unbearable
from harness.cluster.path_check import PathCheck, check_path, unchecked_path
from harness.config import trust
from harness.config.cluster_config import Cluster, Service
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, HarnessError, Inconclusive, Unusable
from harness.core.finding import Finding, Weight
from harness.core.timeline import Timeline
from harness.core.verdict import Verdict, all_of, failed, inconclusive, passed
from harness.diagnosis.bundle_observations import as_data
from harness.diagnosis.engine import all_rules, diagnose
from harness.diagnosis.evidence import Evidence
from harness.expectations.connectivity_matrix import Origin
from harness.hosts.host import Host
from harness.managers.manager import ClusterState
from harness.remote.connections.worker_session import ConnectionWorker
from harness.services import service_registry

MAX_LOOKS_WHILE_ROLES_MOVE = 3  # looks at a cluster whose roles move meanwhile, before it is told as that


def look(subject: ClusterUnderTest, *, run_command: bool = False, file: Path | str = "FILE") -> Findings:
    """Look at everything, and again where a role moved meanwhile. What cannot be reached is a finding, and the rest is judged without it;
    with `run_command`, a node that SSH does not reach is read by Azure's; `file` is the cluster's, for what a person is told to do with it.

    Raises Unusable when no node can be reached.
    """
    cluster = subject.cluster
    in_azure = _in_azure(cluster)
    left_out = not_agreed_to(cluster, file)
    findings = [*left_out, *unreachable(subject)]
    with run_command_fallback(subject, chosen=run_command) as (instead, notes):
        findings += notes
        if all(n.name in subject.absent for n in cluster.nodes) and not instead:
            if cluster.azure is None:
                raise Unusable(findings[len(left_out)].says)
            return Findings(None, inconclusive("no node lets anybody log in"), [], [*findings, *in_azure(None)])
        aside = find_unbearable(subject)
        if len(aside) == len(cluster.services):
            raise next(iter(aside.values()))  # no path would be left
        findings += service_findings.set_aside(subject.cluster, aside)
        result = _look_until_at_rest(subject, instead, aside)
    return _judge(result, findings, in_azure)


def not_agreed_to(cluster: Cluster, file: Path | str) -> list[Finding]:
    """What was left out of the cluster file, each with the command by which a person agrees to it."""
    says = "{}; nobody has agreed to that, and it was left out"
    return [Finding(Weight.UNKNOWN, cluster.name, "cluster file", says.format(ask), trust.what_to_do(file)) for ask in cluster.left_out]


class _LookResult:
    """One look, before it is judged."""

    def __init__(self, evidence: Evidence, cluster_verdict: Verdict, checks: list[PathCheck], of_services: list[Finding]) -> None:
        self.evidence, self.cluster_verdict, self.checks, self.of_services = evidence, cluster_verdict, checks, of_services


def _look_until_at_rest(subject: ClusterUnderTest, instead: Mapping[str, Host], aside: Container[str] = ()) -> _LookResult:
    """Look until no role moves meanwhile, and a few times at most; the services `aside`, by their names, are not connected to."""
    for last in (*[False] * (MAX_LOOKS_WHILE_ROLES_MOVE - 1), True):
        result, moved = _look_once(subject, instead, aside)
        if not moved or last:
            break
    return result


def _look_once(subject: ClusterUnderTest, instead: Mapping[str, Host], aside: Container[str]) -> tuple[_LookResult, bool]:
    """Look once; and whether a role moved between its beginning and its end."""
    cluster = subject.cluster
    with ExitStack() as stack, ThreadPoolExecutor(max_workers=1) as background:
        left_of_us = background.submit(lambda: None if subject.absent else _judge_guarded(lambda: nothing_left(subject)))
        # The hosts tell of their sockets before there are attempts, which could fill a listener's queue.
        manager_answers: ManagerSurvey
        surveyed: Survey
        sight, manager_answers, surveyed, *_ = subject.together(
            lambda: _open_capture(subject, stack),
            lambda: ask_manager(subject, instead),
            lambda: survey(subject, instead),
            lambda: _load(cluster),
            lambda: _begin_workers(subject),
        )
        since, state, active = Deadline(0.0), manager_answers.state, manager_answers.active
        subject.absent |= {f.host for f in surveyed.lost_hosts}
        evaluated = evaluate_firewalls(cluster, surveyed.facts, state)
        more = [*manager_answers.findings, *surveyed.lost_hosts, *judge(cluster, state, surveyed.facts, evaluated)]
        checks: list[PathCheck] = []
        direct, of_services, probe = [], [], None
        if active is not None:
            origins = [o for o in Origin if subject.origin(o, active) not in subject.absent]
            services = [s for s in cluster.services if s.name not in aside]
            pairs = [(o, s) for o in origins for s in services]
            telling = [s for s in services if cluster.client.name not in subject.absent and service_findings.tells(s, cluster)]
            direct, probe, of_services, *checks = subject.together(
                lambda: evidence_gathering.direct(subject, active, only_standby=True, aside=aside),
                lambda: None if subject.absent or not state.healthy else _judge_guarded(lambda: probe_answered(subject, active)),
                lambda: [f for s in telling for f in service_findings.of_service(subject, s)],
                *(lambda o=o, s=s: _check(subject, o, s, active) for o, s in pairs),
            )
            more += of_services
            if any(p.broke for p in checks):
                more += unreachable(subject)  # a host that was there a moment ago: is it still?
        cluster_verdict = _cluster_verdict(subject, state, surveyed, checks, probe, left_of_us.result())
        if active is not None and not all(c.verdict for c in checks):
            refused = evidence_gathering.refused_ports(checks)
            direct = evidence_gathering.direct(subject, active, only_standby=False, aside=aside, refused=refused)
        sent = any(c.origin is not Origin.INSIDE and _connected(c) for c in checks)
        statuses = _ask_probe_port(subject, active, sent=sent) if active else {}
        # One that is away would be waited for once more.
        (probes_by_node, packets), after = subject.together(
            lambda: _seen_on_the_wire(sight, cluster, since, sent=sent),
            lambda: state if instead or subject.absent else subject.manager.state().without(manager_answers.unrelated_resources),
        )
    moved = _roles(state) != _roles(after)
    paths = evidence_gathering.paths(checks, packets, cluster)
    pages = statuses if cluster.load_balancer.probe.protocol == "http" else {}
    found = of_containers(of_pages(more, active, pages), cluster, active, paths, evaluated)
    evidence = Evidence(
        cluster,
        state,
        active,
        surveyed.hosts_seen,
        paths,
        probes_by_node,
        captured_evidence.direct(direct, packets, cluster),
        statuses,
        manager_answers.may_move,
        manager_answers.fencing,
        manager_answers.left_behind,
        manager_answers.unrelated_resources,
        evaluated,
        tuple(f for f in found if not moved or not f.what.startswith(OF_A_ROLE)),
        moved,
    )
    return _LookResult(evidence, cluster_verdict, checks, of_services), moved


def _judge(result: _LookResult, findings: list[Finding], in_azure: Callable[[str | None], list[Finding]]) -> Findings:
    evidence = result.evidence
    of_azure = in_azure(evidence.state.leading)
    all_found = [*findings, *evidence.findings, *of_azure]
    if evidence.moved:
        says = f"they moved while it was looked, {MAX_LOOKS_WHILE_ROLES_MOVE} times; at last: {evidence.state}"
        all_found.append(Finding(Weight.UNKNOWN, evidence.cluster.name, "roles", says, WHEN_IT_RESTS))
    diagnosis = diagnose(replace(evidence, findings=tuple(all_found)))
    cluster_verdict = result.cluster_verdict
    if evidence.active is None:
        cluster_verdict = inconclusive(f"{evidence.state.why_none_leads}: {evidence.state}")
    probe = evidence.cluster.load_balancer.probe
    return Findings(
        evidence.active,
        cluster_verdict,
        [PathLine.of(check) for check in result.checks],
        all_found,
        diagnosis,
        probe.path or "",
        evidence.asked_by_probe if probe.protocol == "http" else {},
        evidence,
        (*result.of_services, *of_azure),
    )


def _roles(state: ClusterState) -> dict[str, dict[str, bool]]:
    return {name: {tag: resource_state.active for tag, resource_state in node.resources.items()} for name, node in state.nodes.items()}


def observed(cluster: Cluster, file: Path | str) -> dict[str, Any]:
    """What a look tries and captures, as data for an archive (`harness.diagnosis.bundle_observations`). Raises as `look` does."""
    with closing(ClusterUnderTest(cluster, Timeline())) as subject:
        findings = look(subject, file=file)
    if findings.evidence is None:
        raise Unusable("no node lets anybody log in")
    return _as_data(findings, findings.evidence)


def observed_in_run(subject: ClusterUnderTest) -> dict[str, Any]:
    """The same by the connections of a run, which has them already, without Azure. The run takes no host for lost because this look does.
    Raises HarnessError."""
    absent = set(subject.absent)
    try:
        findings = _judge(_look_until_at_rest(subject, {}), [], lambda active: [])
    finally:
        subject.absent = absent
    assert findings.evidence is not None
    return _as_data(findings, findings.evidence)


def _as_data(findings: Findings, evidence: Evidence) -> dict[str, Any]:
    verdict = {"outcome": str(findings.cluster_verdict.outcome), "reason": findings.cluster_verdict.reason}
    lines = [asdict(line) for line in findings.paths]
    return {**as_data(evidence, findings.beyond_hosts), "lines": lines, "cluster": verdict}


def _open_capture(subject: ClusterUnderTest, stack: ExitStack) -> CaptureWindow | None:
    """Every host whose packets can be watched; None where none can."""
    try:
        return stack.enter_context(subject.watched())
    except (Unusable, Inconclusive):
        return None  # the paths say why nobody can watch there


def _load(cluster: Cluster) -> None:
    """What the services' dialogues and the diagnosis need, while the hosts tell of themselves."""
    for kind in {s.kind for s in cluster.services}:
        with suppress(ImportError):  # whoever needs it tells
            service_registry.kind(kind).load()
    all_rules()


def _begin_workers(subject: ClusterUnderTest) -> None:
    """What makes connections on each host, while the hosts tell of themselves."""

    def begin(name: str) -> None:
        with suppress(HarnessError):  # it is tried again by the paths that begin there, which say it
            resident = subject.connection_workers[name]
            if isinstance(resident, ConnectionWorker):
                resident.begin()

    subject.together(*(lambda n=n: begin(n) for n in subject.hosts if n not in subject.absent))


def _ask_probe_port(subject: ClusterUnderTest, active: str, *, sent: bool) -> dict[str, str]:
    """The HTTP probe's own question to every node; where the file's is a TCP one and nobody is sent to the active node, one to that."""
    origins = (subject.standby_of(active), subject.cluster.client.name)
    statuses = http_probe_request.ask(subject, origins)
    return statuses if statuses or sent else http_probe_request.ask_in_doubt(subject, origins, active)


def _connected(check: PathCheck) -> bool:
    return any(attempt.answered for attempt in check.attempts)


def _seen_on_the_wire(sight: CaptureWindow | None, cluster: Cluster, since: Deadline, *, sent: bool) -> tuple[dict, dict[str, list]]:
    if sight is None:
        return {}, {}
    try:
        return evidence_gathering.probes(sight, cluster, sight.watching, since, sent=sent), sight.packets()
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
        return unchecked_path(subject, origin, service, active, str(error))


def _judge_guarded(judge_it: Callable[[], Verdict]) -> Verdict:
    """One of the questions of an audit."""
    try:
        return judge_it()
    except BadUse:
        raise
    except HarnessError as error:  # the survey, which looks at the same time, says which host it was
        return inconclusive(f"the cluster could not be audited: {error}")


def _cluster_verdict(
    subject: ClusterUnderTest,
    state: ClusterState,
    surveyed: Survey,
    checks: list[PathCheck],
    probe: Verdict | None,
    leftovers: Verdict | None,
) -> Verdict:
    """What an audit between two tests asks, answered by what this look has seen already. It needs every host; without one of them the
    manager's own word has to do."""
    if subject.absent or leftovers is None:
        absent_names = " and ".join(sorted(subject.absent))
        return inconclusive(f"without {absent_names}, which cannot be reached: {state}")
    active = state.active
    if not state.healthy or active is None or probe is None:
        return failed(f"the cluster is not healthy: {state}")
    told_addresses = {n.name: surveyed.facts[n.name].addresses for n in subject.cluster.nodes}
    addresses = {name: nic_addresses for name, nic_addresses in told_addresses.items() if nic_addresses is not None}
    silent = [name for name, nic_addresses in told_addresses.items() if nic_addresses is None]
    placement = (
        inconclusive(f"the cluster could not be audited: {' and '.join(silent)} did not tell the addresses there")
        if silent
        else judge_vip_place(subject.cluster, active, addresses)
    )
    first = next(c for c in checks if c.origin is Origin.CLIENT)
    by_balancer = judge_balancer(first) if not first.broke else _judge_guarded(lambda: by_identity(subject, active))
    return all_of([passed(f"{active} is active"), placement, probe, by_balancer, leftovers])
