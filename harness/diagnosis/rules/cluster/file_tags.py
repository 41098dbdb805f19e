"""Tags of the cluster file that the cluster manager does not have: what is asked of such a resource is never answered."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.required_flows import join_names
from harness.managers.manager_registry import manager_class

MAX_TAGS = 12  # in one sentence
MIN_LIKENESS = 0.6  # as difflib measures it: a letter too many, another number, a word left out


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    cluster, known = evidence.cluster, _known_tags(evidence)
    if evidence.moved or not known:
        return
    named = {
        cluster.manager.resource: ("manager.resource", ""),
        cluster.ip_resource.tag: ("ip_resource.tag", str(cluster.ip_resource.address)),
        **{s.tag: (f"services: {s.name}", str(s.port)) for s in cluster.services if s.runs_on == "active"},
    }
    name = manager_class(cluster).name
    free = sorted(known - set(named))
    for tag, (where, number) in named.items():
        if tag in known:
            continue
        meant = _meant(evidence, tag, number, free)
        yield Cause(
            f"the cluster file's tag {tag} ({where}) is no resource of {name} on either node, so nothing can be told of it, and a "
            f"switchover or a test that needs it fails; {name} has {_listed(known)}" + (f": {meant} may be meant" if meant else ""),
            cluster.nodes[0].name,
            Certainty.CERTAIN,
            f"write the tag that {name} has into the cluster file ({where})"
            + (f": {meant}, for instance" if meant else "")
            + "; or make the resource, if it is what is missing",
            (
                f"the cluster file: {where}: {tag}",
                *(f"the cluster manager on {n.node}: {_listed(set(n.resources))}" for n in evidence.state.nodes.values()),
            ),
        )


def _known_tags(evidence: Evidence) -> set[str]:
    """Every resource that the manager has on a node, and Pacemaker's groups and clones; nothing where a node did not tell all of them."""
    nodes = evidence.state.nodes.values()
    if evidence.cluster.manager.kind not in ("lifekeeper", "lifekeeper-windows", "pacemaker") or len(nodes) < 2:
        return set()
    if not all(node.running and node.resources for node in nodes):
        return set()
    configured = {
        tag for _, host in evidence.nodes for kind, _, tag in (name.partition(" ") for name in host.units) if kind in ("agent", "holder")
    }
    if evidence.cluster.manager.kind == "pacemaker" and not configured:  # its state has neither groups nor clones
        return set()
    return configured | {tag for node in nodes for tag in node.resources} | set(evidence.unrelated_resources)


def _meant(evidence: Evidence, tag: str, number: str, free: list[str]) -> str:
    """Of the tags that the file does not name the one that has the port or the address, by its configuration or its own words; else the
    one that is spelled most alike."""
    configured = [
        other
        for other in free
        for _, host in evidence.nodes
        if number and number in (host.units.get(f"port {other}"), host.units.get(f"address {other}"))
    ]
    by_number = [other for other in free if number and number in other]
    return next(iter([*configured, *get_close_matches(tag, by_number, 1, 0), *get_close_matches(tag, free, 1, MIN_LIKENESS)]), "")


def _listed(tags: set[str]) -> str:
    names = sorted(tags)
    return join_names(names[:MAX_TAGS]) + (f" (and {len(names) - MAX_TAGS} more)" if len(names) > MAX_TAGS else "")
