"""Windows Server Failover Cluster through PowerShell (facts, cluster managers, section 5). Shape only: never run on Windows.

`manager.resource` names the role (cluster group); services' tags and the IP resource's are names of its resources.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.hosts.windows.powershell import quoted
from harness.hosts.windows.script_protocol import MISSING, Row
from harness.hosts.windows.script_runner import advice, ask, rows_of
from harness.hosts.windows.windows_host import MAX_EVENTS, WindowsHost
from harness.hosts.windows.windows_parse import Event
from harness.managers.manager import Answer, ClusterState, NodeState, Question, SwitchRefused
from harness.managers.parse.wsfc_parse import Rows, allowed, node_state, read, same, word
from harness.managers.rules.wsfc_failover_rules import LOSSES_PERIOD_S, by_failures, by_losses, period_of
from harness.managers.rules.wsfc_quorum_rules import fenced_by
from harness.managers.rules.wsfc_role_rules import by_availability_group, by_copies
from harness.managers.switchover_readiness import Case, by_state
from harness.managers.windows_base import NOT_ASKED, OnWindows

SCRIPT, CHANGE = "wsfc-state", "wsfc-change"
NOT_REGISTERED = "ClusterEndpointNotRegistered"  # its service is not there to be asked: WCLU-60
ERROR_LOG = ("System",)  # of the cluster's errors (WCLU-91)
CLOCK_MARGIN_S = 3600.0  # by which a node's clock may be before ours


class Wsfc(OnWindows):
    """Reads each node over its own connection, because a node cut off from the other tells its own story."""

    name = "Windows Server Failover Cluster"
    peer_port = ("udp", 3343)  # WCLU-79
    misses_probes = False  # its IP resource listens, and asks for nobody (WCLU-98, inferred)
    source = "Microsoft-Windows-FailoverClustering"
    logs = ("System", "Microsoft-Windows-FailoverClustering/Operational")
    service = "ClusSvc"
    out_settings = None

    def state(self, *, limit: float = 20.0) -> ClusterState:
        return ClusterState(self._each(lambda node: self._node_state(node, limit)))

    def _node_state(self, node: str, limit: float) -> NodeState:
        node_answer = self._ask_state(node, limit)
        if isinstance(node_answer, NodeState):
            return node_answer
        return node_state(node, self._group, node_answer)

    def _ask_state(self, node: str, limit: float, **about: str) -> Sequence[Row] | NodeState:
        """The rows that a node answers with, or a NodeState that says why it did not. `about`: the script's Group and Resource."""
        try:
            answer = ask(self._hosts[node], SCRIPT, about, limit=limit)
        except NOT_ASKED as error:
            return NodeState(node, False, {}, (), str(error))
        if answer.error == MISSING:
            return NodeState(
                node, False, {}, (), f"there is no cluster service on {node}; is the feature Failover Clustering installed there?"
            )
        if answer.error.startswith(NOT_REGISTERED):
            return NodeState(
                node, False, {}, (), f"the cluster service of {node} has stopped or has not come up yet: {answer.why}", stopped=True
            )
        if not answer.ok:
            return NodeState(node, False, {}, (), f"the cluster could not be asked there: {answer.why}{advice(answer)}")
        return answer.rows

    def _rows(self, node: str, limit: float, **about: str) -> Rows:
        """As `_ask_state`, sorted; why a node did not answer is its `why`."""
        node_answer = self._ask_state(node, limit, **about)
        return Rows(why=node_answer.why, stopped=node_answer.stopped) if isinstance(node_answer, NodeState) else read(node_answer)

    def may_switch_over(self, to: str, question: Question = Question.TOLD, *, limit: float = 20.0) -> Answer:
        """From both nodes' states, and what the node that is to take over says of owners, maintenance, quorum and votes."""
        deadline = Deadline(limit)
        case = by_state(to, self.state(limit=limit), question)
        if to in self._names:
            rows = self._rows(to, max(0.1, deadline.remaining()), Group=self._group)
            case.add(allowed(to, self._group, to, rows, question)).add(by_availability_group(self._group, rows))
            if not rows.why:
                case.add(self._counted(to, rows, question, deadline))
        return case.answer

    def _counted(self, to: str, rows: Rows, question: Question, deadline: Deadline) -> Case:
        """What is counted within a time, and may be used up; a told move counts nothing."""

        def errors_of(period_s: float) -> dict[str, list[Event] | str]:
            since = time.time() - period_s
            return self._each(lambda node: self._errors_since(node, since, deadline))

        if question is Question.FAILED:
            return by_failures(self._group, rows, errors_of(period_of(self._group, rows)))
        return by_losses(to, rows, errors_of(LOSSES_PERIOD_S)) if question is Question.LOST else Case()

    def _errors_since(self, node: str, since: float, deadline: Deadline) -> list[Event] | str:
        """What the cluster has logged as an error there, or why that could not be read."""
        host = WindowsHost(self._hosts[node], limit=max(0.1, deadline.remaining()))
        try:
            return host.events(since, time.time() + CLOCK_MARGIN_S, source=self.source, logs=ERROR_LOG, most=MAX_EVENTS)
        except NOT_ASKED as error:
            return str(error)

    def fencing(self, *, limit: float = 20.0) -> Answer:
        """Quorum stops the side of a split that has no majority; both nodes are asked, by whose votes and witness it is proven or not."""
        return fenced_by(self._each(lambda node: self._rows(node, limit, Group=self._group)))

    def mirror(self, to: str, *, limit: float = 20.0) -> Answer:
        """By the cluster file's command; without one it is complete where nothing in the role copies data."""
        if self._cluster.manager.mirror_check:
            return super().mirror(to, limit=limit)
        return by_copies(to, self._group, self._rows(to, limit)).answer

    def unlisted_members(self, *, limit: float = 10.0) -> list[str]:
        """Nodes besides the file's; other roles are not moved with the file's."""
        rows = self._rows(self._names[0], limit)
        if rows.why:
            return [f"what else the cluster has besides what its file names could not be read: {rows.why}"]
        names = [word(row.get("Name")) for row in rows.of("node")]
        others = sorted({name for name in names if not any(same(name, own) for own in self._names)})
        return [f"the cluster has the node {name}, which the cluster file does not name" for name in others]

    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        """Told not to wait, and looked at until it is done (WSFC-04)."""
        before = self.state(limit=max(1.0, deadline.within(20.0)))  # what is offline by design is no part of it
        wanted = {tag for node in before.nodes.values() for tag, resource in node.resources.items() if resource.active}
        self._change(to, deadline, Action="move", Name=self._group, Node=to)
        try:
            deadline.wait_for(
                lambda: self._node_state(to, max(1.0, deadline.within(20.0))),
                until=lambda state: state.has_something and all(now.active for tag, now in state.resources.items() if tag in wanted),
                what=f"{self._group} being online on {to}",
                every=0.5,
            )
        except DeadlineExceeded as error:
            raise SwitchRefused(str(error)) from error

    def switch_over_lines(self, to: str) -> list[str]:
        return [f"Move-ClusterGroup -Name {quoted(self._group)} -Node {quoted(to)} -Wait 0"]

    def take_out_lines(self, tag: str, node: str) -> list[str]:
        return [f"Stop-ClusterResource -Name {quoted(tag)}"]

    def stays_in(self, tag: str, node: str, *, limit: float = 20.0) -> str:
        above = self._dependents(node, tag, Deadline(limit))
        return f"{node}: {', '.join(above)} depends on {tag} and would go offline with it" if above else ""

    def take_out(self, tag: str, node: str, *, deadline: Deadline) -> None:
        """Windows takes with a resource all that depends on it, so that is refused while anything does."""
        if why := self.stays_in(tag, node, limit=max(deadline.remaining(), 1.0)):
            raise SwitchRefused(f"{why}; nothing was done")
        self._drive(node, tag, "Stop", deadline)

    def put_back(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self._drive(node, tag, "Start", deadline)

    def clear_failure(self, tag: str, node: str, *, deadline: Deadline) -> None:
        """A failure is remembered where the role is; taken offline there, the resource is no longer failed."""
        if self._node_state(node, max(1.0, deadline.within(20.0))).resources.get(tag) is not None:
            self._drive(node, tag, "Stop", deadline)

    def _drive(self, node: str, tag: str, verb: str, deadline: Deadline) -> None:
        self._change(node, deadline, Action=verb.lower(), Name=tag)
        try:
            deadline.wait_for(
                lambda: self._node_state(node, max(1.0, deadline.within(20.0))).resources.get(tag),
                until=lambda resource: resource is not None and resource.active is (verb == "Start"),
                what=f"{tag} being {'online' if verb == 'Start' else 'offline'} on {node}",
                every=0.5,
            )
        except DeadlineExceeded as error:
            raise SwitchRefused(str(error)) from error

    def _change(self, node: str, deadline: Deadline, **change: str) -> None:
        """Raises SwitchRefused, nothing being done, where the role holds what the cluster must not move, or does not tell what it holds."""
        rows = self._rows(node, max(0.1, deadline.remaining()))
        if reasons := [rows.why] if rows.why else by_availability_group(self._group, rows).against:
            raise SwitchRefused(f"{node}: {'; '.join(reasons)}; nothing was done")
        answer = ask(self._hosts[node], CHANGE, change, limit=max(0.1, deadline.remaining()))
        if not answer.ok:
            raise SwitchRefused(f"{node}: the cluster did not {' '.join(change.values())}: {answer.why}{advice(answer)}")

    def _dependents(self, node: str, tag: str, deadline: Deadline) -> list[str]:
        """Resources, not offline, whose dependency expression names this one: `([ip-10.20.1.200]) and ([disk])`. Raises SwitchRefused with
        the reason when the cluster there does not tell."""
        rows = self._rows(node, max(0.1, deadline.remaining()), Resource=tag)
        if rows.why:
            raise SwitchRefused(f"{node}: {rows.why}")
        in_brackets = f"[{tag}]".lower()
        on_it = [row for row in rows.of("dependency") if in_brackets in word(row.get("On")).lower()]
        return [word(row.get("Name")) for row in on_it if not same(row.get("Name"), tag)]

    def address_of(self, tag: str, node: str) -> str | None:
        rows = rows_of(self._hosts[node], SCRIPT, {"Resource": tag}, limit=20.0)
        return next((word(row.get("Address")) or None for row in rows if row.get("K") == "address"), None)

    def has_in_service(self, tag: str, node: str, *, limit: float = 20.0) -> bool | None:
        rows = self._rows(node, limit)
        resources = [row for row in rows.of("resource") if same(row.get("Name"), tag)]
        own_names = [word(row.get("Node")) for row in rows.of("service")]
        if len(resources) != 1 or len(own_names) != 1:
            return None
        return word(resources[0].get("State")) == "Online" and same(resources[0].get("OwnerNode"), own_names[0])

    @property
    def _group(self) -> str:
        return self._cluster.manager.resource
