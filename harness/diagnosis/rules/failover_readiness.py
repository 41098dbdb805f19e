"""Would the next failover work? What the cluster manager's own rules say against it, each a cause by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.required_flows import listed
from harness.managers.manager import Question


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    to = evidence.standby
    if to is None or evidence.moved:
        return
    against: dict[str, list[Question]] = {}
    for question, answer in evidence.may_move.items():
        for why in answer.because if answer.no else ():
            against.setdefault(why, []).append(question)
    reasons, foretold = _reasons_and_consequences(evidence, to, list(against))
    for why in reasons:
        yield Cause(
            f"the next failover to {to} would not work: {why}",
            to,
            Certainty.CERTAIN,
            f"take that away, so that the cluster manager may bring everything to {to}; what was set by hand is cleared by hand",
            (
                *(f"the cluster manager, asked about {question} to {to}: no" for question in against[why]),
                *(foretold if why == reasons[0] else ()),
            ),
        )
    cluster = evidence.cluster
    tags = [cluster.ip_resource.tag, *evidence.responders, *(s.tag for s in cluster.services)]
    disks = [disk for _, seen in evidence.nodes for tag in tags for disk in seen.units.get(f"disk of {tag}", "").split()]
    loose = _loose_disks(evidence)
    yield from _disk_elsewhere(evidence, to, loose)
    ours = dict.fromkeys((*tags, *disks, *(tag for tag, (_, used) in loose.items() if used)))
    for sentence in evidence.left_behind:
        if named := [tag for tag in ours if re.search(rf"(?<![\w.-]){re.escape(tag)}(?![\w-])", sentence)]:
            yield Cause(
                f"{', '.join(named)} would not follow a move to {to}: {sentence}",
                to,
                Certainty.LIKELY,
                "tie them together in the cluster manager: a group, a colocation with an order, or a dependency",
                (f"the cluster manager's own rules: {sentence}",),
            )
    yield from _fencing_levels(evidence, to)
    if evidence.fencing is not None and evidence.fencing.no:
        yield Cause(
            f"fencing is off or does not work: {'; '.join(evidence.fencing.because)}; if the nodes lost each other, both could have "
            f"everything in service, or neither",
            to,
            Certainty.CERTAIN,
            "give the cluster a fence device that works for both nodes, and switch fencing on (stonith-enabled)",
            ("the cluster manager, asked about its fence devices",),
        )


def _loose_disks(evidence: Evidence) -> dict[str, tuple[str, tuple[str, ...]]]:
    """File systems that nothing ties to what the file names, and that are its own all the same: a service works in them, or there is
    nothing else besides that could be what they are for. By tag, with the place and the services that work there."""
    places = {
        name.removeprefix("place "): place for _, seen in evidence.nodes for name, place in seen.units.items() if name.startswith("place ")
    }
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for tag in sorted(evidence.unrelated_resources & set(places)):
        place = places[tag]
        used = tuple(
            service.name
            for service in evidence.cluster.services
            if any(
                f"{seen.folders.get(s.pid or 0, '')}/".startswith(f"{place}/")
                for _, seen in evidence.nodes
                for s in seen.listening(service.port)
            )
        )
        if used or evidence.unrelated_resources <= set(places):
            found[tag] = (place, used)
    return found


def _disk_elsewhere(evidence: Evidence, to: str, loose: Mapping[str, tuple[str, tuple[str, ...]]]) -> Iterator[Cause]:
    for tag, (place, used) in loose.items():
        there = [node.name for node, seen in evidence.nodes if seen.units.get(f"state {tag}") in ("ISP", "ISU")]
        if there != [to]:
            continue
        works = f"{listed(used)} works in {place} on {evidence.active}, which is not that file system" if used else f"{place} is not there"
        yield Cause(
            f"the file system {tag} ({place}) is in service on {to}, while the services are on {evidence.active}, and nothing ties them "
            f"together in the cluster manager: {works}",
            to,
            Certainty.LIKELY,
            f"see where the data are before anything is moved; then make {tag} a child of what works in {place}, on both nodes, and bring "
            "all into service on one node",
            (
                f"`ins_list` on {to}: {tag}, {place}, is in service there",
                *(f"/proc on {evidence.active}: what serves {name} works below {place}" for name in used),
            ),
        )


def _fencing_levels(evidence: Evidence, to: str) -> Iterator[Cause]:
    """Pacemaker asks no other device than those of the topology, once a node is in it."""
    levels = {name: told for _, seen in evidence.nodes for name, told in seen.units.items() if name.startswith("fencing level ")}
    for name, told in levels.items():
        target, _, devices = told.partition(" ")
        yield Cause(
            f"the {name} of the fencing topology, for {target}, names a fence device that is not there: {devices}; {target} could not be "
            "fenced by that level, and without another one nothing would be recovered from it",
            target if target in evidence.state.nodes else to,
            Certainty.CERTAIN,
            f"give the level a device that is there, or take it out: `cibadmin -Q -o fencing-topology`, level {name.split()[-1]}",
            (f"the cluster's configuration: {name}, target {target}, devices {devices}",),
        )


def _reasons_and_consequences(evidence: Evidence, to: str, against: list[str]) -> tuple[list[str], list[str]]:
    """The reasons, and what only follows from them: what the scheduler would do, and what could not be asked of a manager that is away."""
    there = evidence.state.nodes.get(to)
    if there is not None and not there.running and there.stopped:
        own = [why for why in against if there.why and there.why in why][:1]
        return own, [why for why in against if why not in own]
    foretold = [why for why in against if why.endswith("(crm_simulate)")]
    reasons = [why for why in against if why not in foretold] or foretold[:1]
    return reasons, [why for why in foretold if why not in reasons]
