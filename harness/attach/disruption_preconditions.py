"""What a disruption demands of an attached cluster, and what speaks against it; only what is proven counts as yes.

One object is one look: whatever is asked twice of the cluster is asked once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.disrupt.disruption import Disruption
from harness.managers.manager import Answer, ClusterState, Question

UNPROVEN = "--allow-unproven"
MIN_COMM_PATHS = 2  # where one is cut the other must hold: with a single one, whatever cuts it is a split brain (facts LKL-36)
LOST_DATA = "data written meanwhile on the losing side is lost"
ORDER = (Question.TOLD, Question.LOST, Question.FAILED)


def reasons_against(state: ClusterState) -> list[str]:
    """What of a cluster's state speaks against disturbing it at all; sentences, none when it may be. Pure."""
    reasons = []
    for node in state.nodes.values():
        if not node.running:
            reasons.append(f"{node.node}: {node.why or 'its cluster manager could not be asked'}")
            continue
        dead_paths = [p.addresses for p in node.comm_paths if not p.alive]
        if dead_paths:
            reasons.append(f"{node.node}: communication path {' and '.join(dead_paths)} is dead")
        elif not node.comm_paths:
            reasons.append(f"{node.node} names 0 communication paths instead of 1")
    if state.active is None:
        reasons.append(f"not exactly one node has everything in service ({state})")
    elif not reasons:
        standby = next(s for n, s in state.nodes.items() if n != state.active)
        if not standby.stands_by:
            reasons.append(f"{standby.node} does not stand by ({state})")
    return reasons


def comm_path_reasons(state: ClusterState) -> list[str]:
    """Why cutting one communication path would cut the nodes off from each other altogether. Pure."""
    nodes = [node for node in state.nodes.values() if len(node.comm_paths) < MIN_COMM_PATHS]
    return [
        f"{node.node} names {len(node.comm_paths)} communication paths instead of {MIN_COMM_PATHS}, so the nodes would not reach each "
        "other at all, and one of them might be fenced"
        for node in nodes
    ]


def failure_limit_reasons(counts: Mapping[str, tuple[int, int]], failures: float) -> list[str]:
    """Why so many failures more would reach what the manager bears. Where nothing is counted yet, a run deletes its own before the next.
    Infinitely many are a soak's. Pure."""
    planned = "those of a soak" if math.isinf(failures) else f"{failures:.0f} more"
    return [
        f"{count} failures of {tag} are counted already, and {planned} would reach {threshold}, at which its node is banned "
        f"(crm_resource --cleanup -r {tag})"
        for tag, (count, threshold) in counts.items()
        if failures and count > 0 and count + failures >= threshold
    ]


class Preconditions:
    """`named_disruptions`: the disruptions that were named by an option; `allow_unproven`: "cannot tell" is no reason to leave it."""

    def __init__(self, subject: ClusterUnderTest, named_disruptions: frozenset[str] = frozenset(), *, allow_unproven: bool = False) -> None:
        self._subject = subject
        self._named_disruptions = named_disruptions
        self._allow_unproven = allow_unproven
        self._answers: dict[Question, Answer] = {}

    @cached_property
    def state(self) -> ClusterState:
        """The manager's word on the cluster, asked once."""
        return self._subject.state()

    @cached_property
    def _unlisted_members(self) -> list[str]:
        return self._subject.manager.unlisted_members()

    @cached_property
    def _boot_answer(self) -> Answer:
        return self._subject.manager.starts_at_boot()

    @cached_property
    def _fencing(self) -> Answer:
        return self._subject.manager.fencing()

    @cached_property
    def _mirror_answer(self) -> Answer:
        return self._subject.manager.mirror(self._standby)

    @cached_property
    def _failures(self) -> dict[str, tuple[int, int]]:
        return self._subject.manager.failures_left()

    @property
    def _standby(self) -> str:
        active = self.state.leading
        return self._subject.standby_of(active) if active is not None else ""

    def skip_reasons(self, kind: type[Disruption], failures: float = 0) -> list[str]:
        """What the cluster is, and will still be when it would be done; `failures`: how many all that is planned would have counted."""
        reasons = self.split_reasons(kind)
        if kind.cuts:
            reasons += comm_path_reasons(self.state)
        if kind.reboots:
            reasons += self._reasons_unless("the cluster manager starts at boot", self._boot_answer)
        if kind.needs:
            reasons += self._unlisted_members
        return reasons + (failure_limit_reasons(self._failures, failures) if kind.failures else [])

    def split_reasons(self, kind: type[Disruption]) -> list[str]:
        """What may put both nodes in service is done where it is named, and fencing is proven; nothing else will do."""
        if not kind.splits:
            return []
        if kind.name not in self._named_disruptions:
            return [f"it is done only where it is named by --disruption: {LOST_DATA}"]
        return [] if self._fencing.yes else [f"fencing is not proven: {reason}" for reason in self._fencing.because]

    def refusal_reasons(self, kind: type[Disruption]) -> list[str]:
        """What speaks against it as the cluster is now."""
        reasons = reasons_against(self.state)
        if reasons or not kind.needs:
            return reasons
        for question in (q for q in ORDER if q in kind.needs):
            reasons += self._reasons_unless(f"{question} to {self._standby} would be made", self._answer(question))
        return list(dict.fromkeys(reasons + self._reasons_unless("the copy of the data is complete", self._mirror_answer)))

    def unproven_points(self, kind: type[Disruption]) -> list[str]:
        """What the cluster did not tell, and is done all the same."""
        if not self._allow_unproven or reasons_against(self.state):
            return []
        answers = [self._answer(q) for q in ORDER if q in kind.needs]
        answers += ([self._mirror_answer] if kind.needs else []) + ([self._boot_answer] if kind.reboots else [])
        return list(dict.fromkeys(reason for answer in answers if not answer.yes and not answer.no for reason in answer.because))

    def _answer(self, question: Question) -> Answer:
        if question not in self._answers:
            self._answers[question] = self._subject.manager.may_switch_over(self._standby, question)
        return self._answers[question]

    def _reasons_unless(self, statement: str, answer: Answer) -> list[str]:
        """Nothing for yes."""
        if answer.no:
            return [f"it is not so that {statement}: {reason}" for reason in answer.because]
        if answer.yes or self._allow_unproven:
            return []
        return [f"it is not proven that {statement} ({UNPROVEN} does it all the same): {reason}" for reason in answer.because]
