"""Would the next failover work? What the cluster manager's own rules say against it, each a cause by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.manager_settings import hc_timeout, lifekeeper_heartbeats
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
            f"the next failover to {to} would not work{_if(against[why])}: {why}",
            to,
            Certainty.CERTAIN,
            _remedy(why, to),
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
    yield from _settings(evidence, to)
    yield from _fencing_levels(evidence, to)
    if evidence.fencing is not None and evidence.fencing.no:
        yield Cause(
            f"fencing is off or does not work: {'; '.join(evidence.fencing.because)}; if the nodes lost each other, both could have "
            f"everything in service, or neither",
            to,
            Certainty.CERTAIN,
            "give the cluster a fence device that works for both nodes, and switch fencing on (stonith-enabled)"
            if any("not in use" in why for why in evidence.fencing.because)
            else "see what the fence device failed of (`crm_mon -1rf`, its log), put that right, and try it: it must work for both nodes",
            ("the cluster manager, asked about its fence devices",),
        )


def _if(questions: list[Question]) -> str:
    """Where the loss of the node is covered, and a failure on it is not."""
    return " when a resource fails" if questions == [Question.FAILED] else ""


def _remedy(why: str, to: str) -> str:
    if "(crm_simulate)" in why:
        return "see what makes it so: `crm_simulate -sL`, failures (`crm_mon -1rf`) and the constraints of what it names"
    if "fence" in why:
        return "see why no fence device works (`crm_mon -1rf`, its log), and put that right"
    if "took longer than" in why or "could not be" in why:
        return f"see why {to} does not answer: whether the cluster manager's processes run there (`ps -eo pid,stat,comm`)"
    if "unprotected" in why:
        return "have the cluster manager bring it in service itself, so that it is protected (ISP)"
    return f"take that away, so that the cluster manager may bring everything to {to}; what was set by hand is cleared by hand"


def _settings(evidence: Evidence, to: str) -> Iterator[Cause]:
    """What an administrator may have set on purpose, and what a failover makes of it."""
    of_nodes = {name: seen for name, seen in evidence.hosts.items() if name in evidence.state.nodes}
    doubtful = dict.fromkeys(one for seen in of_nodes.values() for one in seen.doubtful if one.tag not in evidence.unrelated_resources)
    for one in doubtful:
        yield Cause(one.says, to, Certainty.LIKELY, one.do, (one.seen,))
    files = {name: seen.settings for name, seen in of_nodes.items() if seen.settings}
    where = "/etc/default/LifeKeeper"
    for node, says in lifekeeper_heartbeats(files) if len(files) == len(of_nodes) else ():
        yield Cause(says, node, Certainty.LIKELY, f"give it the same value in {where} on every node, then restart LifeKeeper", (where,))
    interval_s = evidence.cluster.load_balancer.probe.interval_s
    for node, own in files.items():
        patience = hc_timeout(own)
        if patience is not None and patience <= interval_s:
            yield Cause(
                f"HC_TIMEOUT is {patience:g} s, and the balancer probes every {interval_s:g} s: in service on {node}, the health-check "
                "resource hears no probe in time, and fails again and again",
                node,
                Certainty.LIKELY,
                f"raise HC_TIMEOUT in {where} on {node} well above twice the probe's interval",
                (f"{where} on {node}: HC_TIMEOUT={own['HC_TIMEOUT']}", f"the cluster file: interval_s {interval_s:g}"),
            )
    yield from _single_path(evidence, to)


def _single_path(evidence: Evidence, to: str) -> Iterator[Cause]:
    """LifeKeeper wants two; Corosync's one ring is usual on Azure, where fencing decides."""
    paths = {name: node.comm_paths for name, node in evidence.state.nodes.items()}
    if evidence.cluster.manager.kind != "lifekeeper" or any(len(those) != 1 for those in paths.values()):
        return
    if to not in paths or not all(n.second_address for n in evidence.cluster.nodes):
        return
    (path,) = paths[to]
    yield Cause(
        f"the nodes have one communication path only ({path.addresses}), though each has two NICs: when it is lost, each thinks that the "
        "other is dead, and both have everything in service",
        to,
        Certainty.LIKELY,
        "make a second communication path over the other subnet",
        tuple(f"the cluster manager on {name}: {those[0].addresses} is its only path" for name, those in paths.items()),
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
