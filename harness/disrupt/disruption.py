"""What a disruption is: one thing done to the cluster, how it is known to have taken effect, and its undoing."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from harness.config.cluster_config import Design
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, Inconclusive, Unusable
from harness.disrupt.move_permission import demand_lease
from harness.expectations.connectivity_matrix import Origin
from harness.expectations.outage_budget import Allowance
from harness.managers.manager import Question, ResourceState
from harness.plugins.extension_points import DISRUPTIONS

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.config.cluster_config import Cluster

UNDO_MARGIN_S = 10.0  # what an undoing may take on a host, and what a harness may be late with it, before the host does it itself

POWER_COMMAND_TIMEOUT_S = 600.0  # for one of the cluster file's power commands


class Effect(StrEnum):
    """What must happen to a path (to new connections on it) while a disruption lasts.

    RECOVERS  may be out; recovered within the budget, counted from the disruption
    UNTOUCHED no failed attempt at all
    OUT       attempts must fail while it lasts, from the balancer's probe verdict until the undoing (all, or, where its hash decides,
              about half); recovered within the budget, counted from the undoing
    ANY       nothing is demanded while it lasts: its origin may be gone, or the facts do not tell
    """

    RECOVERS = "recovers"
    UNTOUCHED = "untouched"
    OUT = "out"
    ANY = "any"


Expects = Mapping[Design, Mapping[Origin, Effect]]


def paths(client: Effect, inside: Effect, standby: Effect) -> dict[Origin, Effect]:
    """What happens to each path. `inside` is the node that is active when all is over, `standby` the other one."""
    return {Origin.CLIENT: client, Origin.INSIDE: inside, Origin.STANDBY: standby}


def both(client: Effect, inside: Effect, standby: Effect) -> Expects:
    """The same in either design."""
    return {design: paths(client, inside, standby) for design in Design}


def by_design(nat: Mapping[Origin, Effect], floating: Mapping[Origin, Effect]) -> Expects:
    """What each path may see, for each design."""
    return {Design.NAT: nat, Design.FLOATING: floating}


HARNESS = ""  # for a Moment: told by a command on the harness's own machine


class Moment(NamedTuple):
    """When it was done, on the wall clock of the host that did it (or HARNESS): right before and right after."""

    host: str
    before: float
    after: float


class Step(NamedTuple):
    """A command that would run on a host (HARNESS: on the harness's own machine); `phase` is prepare, do or undo."""

    host: str
    phase: str
    command: str


class EffectLost(Inconclusive):
    """It is undone; but it was not in force all the while, so that what was measured meanwhile says nothing."""


class Disruption(ABC):
    """Made for one subject. In this order: `skip_reason`, `prepare`, `begin`, `took_effect`, `undo`; `undo` once, whatever happened
    between."""

    name: ClassVar[str]
    sentence: ClassVar[str]  # what it does to the cluster, for the report
    self_stabilizes: ClassVar[bool] = True  # does the cluster come to rest by itself, so that the manager's word on who is active counts?
    moves: bool | None = None  # True: everything must be on the other node afterwards; False: must stay; None: either is right
    expects: Expects
    figures_only: bool = False  # is an outage in it a figure of a whole, so that all must be measured where nothing is demanded?
    takes_away: ClassVar[bool] = False  # may its target be gone for a time? Elsewhere a node that is lost is a failure
    shares: ClassVar[bool] = False  # does the balancer's hash decide while it lasts, so that of what must be out only some fails?
    both_may_answer: ClassVar[bool] = False  # does an isolated node go on answering itself for a moment, until it is fenced?
    by_azure: ClassVar[bool] = False  # is it done through Azure's management API? Then it is planned only for a cluster that has one
    destroys: ClassVar[str] = ""  # what of the customer's it may destroy for good: then it is planned only where it is named
    instead_of: ClassVar[str] = ""  # the disruption that this is another way to do, for a suite that only wants it done
    undo_blindly: ClassVar[bool] = False  # may every host answer while it lasts? Then a watchdog undoes it without looking at them first
    # What the manager must be known to do for it, so that nothing is left half way; and what else the cluster must be proven to do.
    needs: ClassVar[frozenset[Question]] = frozenset(Question)
    splits: ClassVar[bool] = (
        False  # may both nodes have everything in service? Then fencing must be proven, and it is done only where named
    )
    cuts: ClassVar[bool] = False  # cuts one communication path, and means another to live
    reboots: ClassVar[bool] = False  # does a node boot because of it, by itself or by the other's fencing?
    failures: ClassVar[int] = 0  # how many failures of a resource the manager counts for it
    # Why it is not done to a Windows node, in words that end a sentence; empty where it is. What says nothing is not done there.
    on_windows: ClassVar[str] = "it is done by a Linux host's own tools, and there is no way of Windows' own to do and undo it yet"
    runs_with: ClassVar[frozenset[str]] = frozenset()  # disruptions that it may be combined with; says the same of them
    takes_nic: ClassVar[str] = ""  # a node's own address ("address", "second_address") whose NIC on the active node it takes away

    def __init__(self, subject: ClusterUnderTest) -> None:
        self._subject = subject
        self._node = subject.active
        self.moment: Moment | None = None  # set by `begin` where a host can tell it more exactly than the harness
        self.refused = False  # did the host refuse it by its lease or its role, so that nothing was done?

    @abstractmethod
    def allowance(self) -> Allowance:
        """How long the paths may be out, from when `begin` is called (RECOVERS) or from the undoing (OUT). Asked again after `begin`, it
        knows what that took."""

    def counted_allowance(self) -> Allowance:
        """The same for whoever judges: asked after `begin`, and counted from `moment`, where that is known."""
        return self.allowance()

    @property
    def lasts_s(self) -> float:
        """For how many seconds it must last, before anybody asks whether all has recovered and undoes it: from its moment (not known: from
        `begin`), or where paths must be out, from when its effect was seen.

        Until then it may not have shown what it must show: a balancer needs this long to notice that a member is gone.
        """
        probe = self._subject.cluster.load_balancer.probe
        return 0.5 + (probe.threshold + 1) * probe.interval_s

    @property
    def longest_s(self) -> float:
        """After this many seconds from `begin` the host itself (or what powers it) has undone it, whatever became of the harness.

        0 where nothing lasts: there is nothing to undo. Infinite where the cluster file's power commands take no {seconds}.
        """
        return 0.0

    @property
    def command_s(self) -> float:
        """How long a command that undoes it on the harness's own machine may take, where a watchdog has to give it."""
        return POWER_COMMAND_TIMEOUT_S

    @property
    def undoing(self) -> str:
        """How it is undone, in words that end a sentence; for the plan that a person sees first."""
        return "nothing of it lasts"

    def steps(self) -> list[Step]:
        """Every command that it would run, as the cluster is now. May read on the hosts, and changes nothing."""
        return []

    def why_skipped(self) -> str | None:
        """Why it is not done at all: its target is a Windows node that it has no way for, or the cluster lacks something for it."""
        return self.not_done_there() or self.skip_reason()

    def not_done_there(self) -> str:
        """Why it is not done to a host of its target's kind; empty where it may be."""
        target = self.target()
        if self.on_windows and any(m.name == target and m.platform == "windows" for m in self._subject.cluster.machines):
            return f"{target} is a Windows node: {self.on_windows}"
        return ""

    def skip_reason(self) -> str | None:
        """What the cluster lacks for it, as a reason to skip; None when it can be done."""
        return None

    def prepare(self, deadline: Deadline) -> None:  # noqa: B027 - most have nothing to prepare
        """Bring the cluster into the state that it starts from; not measured. Usually nothing."""

    @property
    def chosen_as_active(self) -> str:
        """The node that was active when this was made."""
        return self._node

    def target(self) -> str:
        """The node (or client) it is done to."""
        return self._node

    @abstractmethod
    def begin(self, deadline: Deadline) -> None:
        """Do it."""

    def observations(self) -> list[str]:
        """What it showed beside the paths' outages, in sentences for the report; asked when all is over. May read on the hosts."""
        return []

    @abstractmethod
    def took_effect(self, deadline: Deadline) -> None:
        """Return when it is seen to have taken effect; raises DeadlineExceeded otherwise, and the test is then not run."""

    def undo(self, deadline: Deadline) -> None:
        """Put back what was done; called on success, on failure and on Ctrl-C. Raises what kept it from being undone.

        A resource whose failure was the reason to move is left marked as failed on the node that it left (facts LKL-14), which
        is then no standby: that is cleared, too, unless nothing was done.
        """
        if not self.refused:
            clear_failures(self._subject, deadline)

    def _outlasting(self) -> float:
        """A longest duration that leaves a harness that lives the time for everything it does before it undoes."""
        cluster = self._subject.cluster
        return math.ceil(max(self.allowance().seconds, self.lasts_s) + cluster.manager.takeover_s + UNDO_MARGIN_S)


def clear_failures(subject: ClusterUnderTest, deadline: Deadline) -> None:
    """Clear the marks of failure on a node that has nothing in service: with them it would not stand by (facts LKL-14).

    Raises LeaseLost where there are any and the cluster is another run's by now, whose disruption may have made them.
    """
    manager = subject.manager
    for node, state in subject.state(limit=max(deadline.within(10.0), 1.0)).nodes.items():
        if not state.has_something:
            for tag in [t for t, r in state.resources.items() if r is ResourceState.FAILED]:
                demand_lease(subject, deadline)
                manager.clear_failure(tag, node, deadline=deadline)


NOTHING: frozenset[Question] = frozenset()  # for `needs`: the manager need not move anything
BY_LOSS = frozenset({Question.LOST, Question.TOLD})  # and back at the end of the run
BY_FAILURE = frozenset({Question.FAILED, Question.TOLD})


def all_of() -> dict[str, type[Disruption]]:
    """Every disruption that can be used, by its name. What cannot be, `faults` tells."""
    disruptions: dict[str, type[Disruption]] = {}
    for kinds in DISRUPTIONS.usable().values():
        for kind in kinds:
            disruptions.setdefault(kind.name, kind)  # this product's own come first
    return dict(sorted(disruptions.items()))


def faults() -> list[str]:
    """Why disruptions of plug-ins cannot be used, a sentence each; for whoever wants all there are."""
    disruptions, built_in = all_of(), DISRUPTIONS.built_in()
    return DISRUPTIONS.faults() + [
        DISRUPTIONS.unusable(label, f"there is another disruption {kind.name!r}, so give it a name of its own")
        for label, kinds in DISRUPTIONS.usable().items()
        for kind in kinds
        if label not in built_in and disruptions[kind.name] is not kind
    ]


def resolve_disruption(name: str, cluster: Cluster) -> type[Disruption]:
    """What does that to such a cluster: the disruption of that name, or Azure's way to the same where the file prefers it."""
    azure = cluster.azure
    if azure is not None and (cluster.power is None if azure.power is None else azure.power):
        return next((kind for kind in all_of().values() if kind.instead_of == name), get_disruption(name))
    return get_disruption(name)


def get_disruption(name: str) -> type[Disruption]:
    """The disruption of that name. Raises BadUse with the names there are, Unusable where plug-ins cannot be used that may have it."""
    own_disruptions = {kind.name: kind for kinds in DISRUPTIONS.built_in_classes().values() for kind in kinds}
    if name in own_disruptions:
        return own_disruptions[name]
    disruptions = all_of()
    if name not in disruptions:
        error = f"there is no disruption {name!r}; there are {', '.join(disruptions)}"
        raise Unusable("; ".join([error, *broken])) if (broken := faults()) else BadUse(error)
    return disruptions[name]
