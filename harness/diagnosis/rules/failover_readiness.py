"""Would the next failover work? What the cluster manager's own rules say against it, each a cause by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
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
    reasons, foretold = _told(evidence, to, list(against))
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
    ours = dict.fromkeys((*tags, *disks))
    for sentence in evidence.left_behind:
        if named := [tag for tag in ours if re.search(rf"(?<![\w.-]){re.escape(tag)}(?![\w-])", sentence)]:
            yield Cause(
                f"{', '.join(named)} would not follow a move to {to}: {sentence}",
                to,
                Certainty.LIKELY,
                "tie them together in the cluster manager: a group, a colocation with an order, or a dependency",
                (f"the cluster manager's own rules: {sentence}",),
            )
    if evidence.fencing is not None and evidence.fencing.no:
        yield Cause(
            f"fencing is off or does not work: {'; '.join(evidence.fencing.because)}; if the nodes lost each other, both could have "
            f"everything in service, or neither",
            to,
            Certainty.CERTAIN,
            "give the cluster a fence device that works for both nodes, and switch fencing on (stonith-enabled)",
            ("the cluster manager, asked about its fence devices",),
        )


def _told(evidence: Evidence, to: str, against: list[str]) -> tuple[list[str], list[str]]:
    """The reasons, and what only follows from them: what the scheduler would do, and what could not be asked of a manager that is away."""
    there = evidence.state.nodes.get(to)
    if there is not None and not there.running and there.stopped:
        own = [why for why in against if there.why and there.why in why][:1]
        return own, [why for why in against if why not in own]
    foretold = [why for why in against if why.endswith("(crm_simulate)")]
    reasons = [why for why in against if why not in foretold] or foretold[:1]
    return reasons, [why for why in foretold if why not in reasons]
