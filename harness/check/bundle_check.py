"""`lkharness check BUNDLE`: the diagnosis of what `lkharness collect` gathered, without the cluster.

A bundle is a stranger's: it is read within limits, nothing in it is executed, and no file that it names is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.check.check_result import OF_A_ROLE, WHEN_IT_RESTS, Findings, PathLine
from harness.check.findings.firewall_findings import evaluate_firewalls
from harness.check.findings.node_findings import judge, of_containers, of_pages
from harness.check.linux_node_facts import of_script
from harness.check.manager_survey import not_known
from harness.check.node_facts import NodeFacts
from harness.collect.bundle import read_with_texts
from harness.config import cluster_config
from harness.config.cluster_config import Cluster
from harness.core.errors import BadUse
from harness.core.finding import Finding, Weight
from harness.core.verdict import Outcome, Verdict, all_of, failed, inconclusive, passed
from harness.diagnosis import bundle_observations, bundle_parse, linux_host_script_parse
from harness.diagnosis.bundle_observations import Observation
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, HostSeen, PathSeen
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, Question, ResourceState, Says
from harness.managers.probe_responder_resources import favoured

LACKS = "paths were not tried, and neither the balancer's probes nor packets were watched{}: it holds what hosts say of themselves"
DO = "look at the cluster itself with `lkharness check` for what only packets show"
MOVED = "they moved while the bundle was made, so what was tried on paths is not judged"


Paths = Callable[[Cluster], Sequence[PathSeen]]


def look(path: Path, paths: Paths | None = None) -> Findings:
    """What the bundle shows. `paths`: what paths did at the time that it was made, where somebody else tried them, in the place of what the
    bundle has of them. Raises BadUse for what is no bundle, or one that was changed so that it cannot be read."""
    index, data, texts = read_with_texts(path, bundle_parse.WANTED)
    cluster = cluster_config.parse(data, path, only_looked_at=True)
    try:
        recorded = index.get("observed", {})
        if paths is not None:
            tried = Observation(paths=paths(cluster))
        else:
            tried = bundle_observations.parse(recorded, cluster) if "paths" in recorded else Observation()
        lines = [PathLine(**{name: str(line[name]) for name in PathLine.__annotations__}) for line in recorded.get("lines", ())]
        return _judge(cluster, index, texts, tried, lines)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        raise BadUse(f"{path}: its {type(error).__name__} {error}; was it changed by hand?") from error


def _judge(cluster: Cluster, index: Mapping[str, Any], texts: Mapping[str, str], tried: Observation, lines: list[PathLine]) -> Findings:
    state = _state(cluster, index["manager"])
    reports = {report["name"]: report for report in index["hosts"]}
    hosts: dict[str, HostSeen] = {}
    facts: dict[str, NodeFacts] = {}
    findings: list[Finding] = []
    for machine in cluster.machines:
        report = reports[machine.name]
        if not report["reached"]:
            do = "collect again when it can be reached; the rest is judged without it"
            findings.append(Finding(Weight.UNKNOWN, machine.name, "log-in", f"nothing of it is in the bundle: {report['why']}", do))
            continue
        if machine.platform != "linux":
            do = "look at the cluster itself with `lkharness check`"
            findings.append(Finding(Weight.UNKNOWN, machine.name, "not told", "what a Windows host says is not read from a bundle", do))
            continue
        host_texts = {name.split("/")[-1]: text for name, text in texts.items() if name.startswith(f"hosts/{machine.name}/")}
        text, is_complete = bundle_parse.of_host(host_texts)
        hosts[machine.name] = host = linux_host_script_parse.host(machine.name, text, cluster.ip_resource.tag)
        facts[machine.name] = node_facts = _facts(cluster, host, text, report["facts"])
        if not is_complete:
            facts[machine.name] = replace(node_facts, not_told=tuple(why for why in node_facts.not_told if not why.startswith("its route")))
            says = "the bundle is of a harness that gathered less: its routes by source, its queues and its names are not known"
            findings.append(Finding(Weight.UNKNOWN, machine.name, "not told", says, "collect again with this harness"))
    evaluated = evaluate_firewalls(cluster, facts, state)
    findings += judge(cluster, state, facts, evaluated)
    active = state.leading or favoured(cluster, state)
    manager = index["manager"]
    fencing = _answer(manager["fencing"]) if manager.get("fencing") else None
    may_move = {Question(question): _answer(data) for question, data in manager.get("may_move", {}).items()}
    left_behind = [str(line) for line in manager.get("left_behind", [])]
    if not all(reports[n.name]["reached"] for n in cluster.nodes if n.name != active):
        # A node that is away takes nothing over, which is said already: a look does not ask for it.
        fencing, may_move, left_behind = None, {}, []
    if active is not None:
        findings += not_known(state, cluster.peer_of(active).name, may_move)
    moved = tried.moved or (tried.active is not None and tried.active != active)
    if moved:
        findings = [f for f in findings if not f.what.startswith(OF_A_ROLE)]
        findings.append(Finding(Weight.UNKNOWN, cluster.name, "roles", MOVED, WHEN_IT_RESTS))
        tried, lines = Observation(findings=tried.findings), []
    statuses = tried.asked_by_probe if cluster.load_balancer.probe.protocol == "http" else {}
    findings = [*of_containers(of_pages(findings, active, statuses), cluster, active, tried.paths, evaluated), *tried.findings]
    evidence = Evidence(
        cluster,
        state,
        active,
        hosts,
        tried.paths,
        tried.probes,
        tried.direct,
        tried.asked_by_probe,
        may_move=may_move,
        fencing=fencing,
        left_behind=left_behind,
        unrelated_resources=frozenset(_unrelated_resources(manager)),
        firewalls=evaluated,
        findings=tuple(findings),
        moved=moved,
    )
    cluster_verdict = passed(str(state)) if state.healthy else failed(str(state))
    if not any(node.running for node in state.nodes.values()):
        cluster_verdict = inconclusive("the bundle does not hold what the cluster manager says")
    observed = index.get("observed", {})
    if lines:
        cluster_verdict = all_of([cluster_verdict, Verdict(Outcome(observed["cluster"]["outcome"]), str(observed["cluster"]["reason"]))])
    why = f", because {observed['why']}" if observed.get("why") else ""
    notes = [] if "paths" in observed else [Finding(Weight.NOTE, cluster.name, "not in a bundle", LACKS.format(why), DO)]
    probe = cluster.load_balancer.probe.path or ""
    return Findings(active, cluster_verdict, lines, [*findings, *notes], diagnose(evidence), probe, statuses)


def _unrelated_resources(manager: Mapping[str, Any]) -> list[str]:
    """Resources of other applications; `beside` is what bundles of before called them."""
    return [str(tag) for tag in manager.get("unrelated_resources", manager.get("beside", ()))]


def _state(cluster: Cluster, manager_data: Mapping[str, Any]) -> ClusterState:
    nodes = manager_data.get("nodes", {})
    state = ClusterState({n.name: _node(n.name, nodes.get(n.name)) for n in cluster.nodes})
    return state.without(_unrelated_resources(manager_data))


def _node(name: str, node_data: Mapping[str, Any] | None) -> NodeState:
    if node_data is None:
        return NodeState(name, False, {}, (), "its cluster manager's word is not in the bundle")
    resources = {str(tag): ResourceState(state) for tag, state in node_data["resources"].items()}
    paths = tuple(CommPath(str(p["peer"]), str(p["addresses"]), p["alive"] is True) for p in node_data["comm_paths"])
    return NodeState(name, node_data["running"] is True, resources, paths, str(node_data["why"]), node_data.get("stopped") is True)


def _answer(data: Mapping[str, Any]) -> Answer:
    return Answer(Says(data["says"]), tuple(str(line) for line in data["because"]))


def _facts(cluster: Cluster, host: HostSeen, text: str, facts: Mapping[str, Any]) -> NodeFacts:
    """As a live look has them. A bundle of before has the kernel's settings and the disks beside the text."""
    clock = facts.get("clock_offset")
    offset = (float(clock["ahead_s"]), float(clock["error_s"])) if clock else None
    settings = {re.sub(r"^net\.ipv4\.(conf\.)?", "", str(k)): str(v) for k, v in facts.get("sysctls", {}).items()}
    disks = [str(line) for line in facts.get("disks", [])]
    return of_script(cluster, host, text, offset=offset, settings=settings, disks=disks)
