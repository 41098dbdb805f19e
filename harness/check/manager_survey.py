"""What the cluster manager says in one look: the state, and what would keep the next failover from working. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.check.command_cache import CachingHost
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config.cluster_config import Cluster
from harness.core.errors import HarnessError
from harness.core.finding import Finding, Weight
from harness.hosts.host import Host
from harness.managers.manager import NOT_ASKED, Answer, ClusterState, Manager, Question, Says, answer
from harness.managers.manager_registry import manager_of
from harness.managers.probe_responder_resources import favoured

FAILOVERS = (Question.LOST, Question.FAILED)  # what forbids a told move forbids these as well


@dataclass(frozen=True)
class ManagerSurvey:
    """`active` is the node that paths are held against; `findings` has what could not be asked the second way."""

    state: ClusterState
    active: str | None
    findings: tuple[Finding, ...] = ()
    may_move: Mapping[Question, Answer] = field(default_factory=dict)
    fencing: Answer | None = None
    left_behind: tuple[str, ...] = ()
    unrelated_resources: frozenset[str] = frozenset()  # resources of other applications, which are not in `state`


def ask_manager(subject: ClusterUnderTest, instead: Mapping[str, Host]) -> ManagerSurvey:
    """Everything that a look asks of it, each command once on each node, so that all answers rest on the same. `instead` has what else
    reads a node that is absent."""
    cluster = subject.cluster
    hosts: dict[str, Host] = {name: CachingHost(host) for name, host in subject.hosts.items()}
    manager = manager_of(cluster, hosts)
    (cluster_state, findings), unrelated = subject.together(lambda: _state(manager, cluster, hosts, instead), manager.unrelated_resources)
    state = cluster_state.without(unrelated)
    active = state.leading or favoured(cluster, state)
    if active is None:  # what keeps it from being in service anywhere
        lost_answers = {} if subject.absent else {Question.LOST: _may_move(manager, cluster.nodes[0].name, Question.LOST)}
        return ManagerSurvey(state, None, findings, lost_answers, unrelated_resources=unrelated)
    standby = subject.standby_of(active)
    if standby in subject.absent:  # a node that is away takes nothing over, which is said already
        return ManagerSurvey(state, active, findings, unrelated_resources=unrelated)
    fences: Callable[[], Answer | None] = manager.fencing if manager.needs_fencing else lambda: None  # others by other means
    fencing, left_behind, *answers = subject.together(
        fences, lambda: _left_behind(manager), *(lambda q=q: _may_move(manager, standby, q) for q in FAILOVERS)
    )
    may_move = dict(zip(FAILOVERS, answers, strict=True))
    return ManagerSurvey(state, active, (*findings, *not_known(state, standby, may_move)), may_move, fencing, left_behind, unrelated)


def not_known(state: ClusterState, standby: str, may_move: Mapping[Question, Answer]) -> Iterator[Finding]:
    """Whether the next failover would work, where nobody can tell: that must not look like a yes. Of a cluster that is not healthy it is
    said elsewhere why. Pure."""
    questions: dict[tuple[str, ...], list[str]] = {}
    for question, reply in may_move.items() if state.healthy else ():
        if reply.says is Says.CANNOT_TELL:
            questions.setdefault(reply.because, []).append(str(question))
    for because, asked_questions in questions.items():
        weight = Weight.NOTE if because == NOT_ASKED.because else Weight.UNKNOWN
        says = f"whether {' or '.join(asked_questions)} would bring everything to {standby} cannot be told: {'; '.join(because)}"
        do = "see to it that this can be read, or look for yourself, and say in the cluster file what is as it should be"
        yield Finding(weight, standby, "next failover", says, do)


def _state(
    manager: Manager, cluster: Cluster, hosts: Mapping[str, Host], instead: Mapping[str, Host]
) -> tuple[ClusterState, tuple[Finding, ...]]:
    if instead:
        try:
            return manager_of(cluster, {**hosts, **instead}).state(), ()
        except HarnessError as error:
            do = "reach the host by SSH; its manager's word is missing"
            return manager.state(), tuple(Finding(Weight.UNKNOWN, name, "the cluster manager", str(error), do) for name in instead)
    return manager.state(), ()


def _may_move(manager: Manager, to: str, question: Question) -> Answer:
    try:
        return manager.may_switch_over(to, question)
    except HarnessError as error:
        return answer([], [str(error)])


def _left_behind(manager: Manager) -> tuple[str, ...]:
    try:
        return tuple(manager.unlisted_members())
    except HarnessError:
        return ()  # the state is asked as well, and says why nothing is told
