"""What a disruption demands of an attached cluster, and what speaks against it; only what is proven counts as yes.

One object is one look: whatever is asked twice of the cluster is asked once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from functools import cached_property

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import HarnessError
from harness.disrupt.disruption import BY_LOSS, Disruption
from harness.managers.manager import Answer, ClusterState, CommPath, Question
from harness.managers.parse.corosync_parse import is_address

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


def surviving_paths(state: ClusterState, node: str, lost: Collection[str]) -> list[str]:
    """The communication paths that `node` calls alive and that none of the `lost` addresses is an end of. One that names no address is none
    of them, unless it is a serial line. Pure."""
    paths = state.nodes[node].comm_paths if node in state.nodes else ()
    return [p.addresses for p in paths if p.alive and (p.addresses.startswith("/dev/") or _is_elsewhere(p, lost))]


def _is_elsewhere(path: CommPath, lost: Collection[str]) -> bool:
    named = {word for word in re.split(r"[^0-9A-Fa-f.:]+", path.addresses) if is_address(word)}
    return bool(named) and not named & set(lost)


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
        self.allow_unproven = allow_unproven
        self._answers: dict[Question, Answer] = {}
        self._severed_by_nic: dict[str, str] = {}

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

    def severing_reason(self, kind: type[Disruption]) -> str:
        """Why taking that NIC away would cut the nodes off from each other, which is a split; empty where a path holds, and where no NIC is
        taken. Where the cluster's paths run, its manager and the node say; the cluster file does not."""
        node = self.state.leading
        if not kind.takes_nic or node is None:
            return ""
        if kind.takes_nic not in self._severed_by_nic:
            self._severed_by_nic[kind.takes_nic] = self._severs(node, str(getattr(self._subject.cluster.node(node), kind.takes_nic)))
        return self._severed_by_nic[kind.takes_nic]

    def _severs(self, node: str, address: str) -> str:
        try:
            addresses = self._subject.facts[node].addresses()
        except HarnessError as error:
            return f"which communication paths run over the NIC with {address} on {node} could not be read ({error})"
        nics = {a.interface for a in addresses if a.address == address}
        # A VLAN's device is above its NIC's.
        lost = {a.address for a in addresses if a.interface.split(".")[0] in nics or a.interface in nics}
        if surviving_paths(self.state, node, {address, *lost}):
            return ""
        paths = " and ".join(p.addresses for p in self.state.nodes[node].comm_paths) or "none"
        return (
            f"no communication path ({paths}) is known to hold when the NIC with {address} on {node} is down: both nodes may become active"
        )

    def splits(self, kind: type[Disruption]) -> bool:
        """May it put both nodes in service, on this cluster?"""
        return kind.splits or bool(self.severing_reason(kind))

    def _needs(self, kind: type[Disruption]) -> frozenset[Question]:
        return kind.needs | BY_LOSS if self.severing_reason(kind) else kind.needs

    def _reboots(self, kind: type[Disruption]) -> bool:
        return kind.reboots or bool(self.severing_reason(kind))

    @property
    def _standby(self) -> str:
        active = self.state.leading
        return self._subject.standby_of(active) if active is not None else ""

    def skip_reasons(self, kind: type[Disruption], failures: float = 0) -> list[str]:
        """What the cluster is, and will still be when it would be done; `failures`: how many all that is planned would have counted."""
        reasons = self.split_reasons(kind)
        if kind.cuts:
            reasons += comm_path_reasons(self.state)
        if self._reboots(kind):
            reasons += self._reasons_unless("the cluster manager starts at boot", self._boot_answer)
        if kind.needs:
            reasons += self._unlisted_members
        return reasons + (failure_limit_reasons(self._failures, failures) if kind.failures else [])

    def split_reasons(self, kind: type[Disruption]) -> list[str]:
        """What may put both nodes in service is done where it is named, and fencing is proven; nothing else will do."""
        if not self.splits(kind):
            return []
        if kind.name not in self._named_disruptions:
            severing = f"{why}; " if (why := self.severing_reason(kind)) else ""
            return [f"{severing}it is done only where it is named by --disruption: {LOST_DATA}"]
        return [] if self._fencing.yes else [f"fencing is not proven: {reason}" for reason in self._fencing.because]

    def refusal_reasons(self, kind: type[Disruption]) -> list[str]:
        """What speaks against it as the cluster is now."""
        reasons = reasons_against(self.state)
        if reasons or not kind.needs:
            return reasons
        for question in (q for q in ORDER if q in self._needs(kind)):
            reasons += self._reasons_unless(f"{question} to {self._standby} would be made", self._answer(question))
        return list(dict.fromkeys(reasons + self._reasons_unless("the copy of the data is complete", self._mirror_answer)))

    def unproven_points(self, kind: type[Disruption]) -> list[str]:
        """What the cluster did not tell, and is done all the same."""
        if not self.allow_unproven or reasons_against(self.state):
            return []
        answers = [self._answer(q) for q in ORDER if q in self._needs(kind)]
        answers += ([self._mirror_answer] if kind.needs else []) + ([self._boot_answer] if self._reboots(kind) else [])
        return list(dict.fromkeys(reason for answer in answers if not answer.yes and not answer.no for reason in answer.because))

    def _answer(self, question: Question) -> Answer:
        if question not in self._answers:
            self._answers[question] = self._subject.manager.may_switch_over(self._standby, question)
        return self._answers[question]

    def _reasons_unless(self, statement: str, answer: Answer) -> list[str]:
        """Nothing for yes."""
        if answer.no:
            return [f"it is not so that {statement}: {reason}" for reason in answer.because]
        if answer.yes or self.allow_unproven:
            return []
        return [f"it is not proven that {statement} ({UNPROVEN} does it all the same): {reason}" for reason in answer.because]
