"""Windows Server Failover Cluster through PowerShell (facts, cluster managers, section 5). Shape only: never run on Windows.

`manager.resource` names the role (cluster group); services' tags and the IP resource's are names of its resources.
"""

from __future__ import annotations

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.hosts.host import CommandFailed, NotReadable
from harness.hosts.windows.powershell import quoted
from harness.hosts.windows.windows_parse import rows
from harness.managers.manager import Answer, ClusterState, NodeState, Question, SwitchRefused
from harness.managers.parse.wsfc_parse import Rows, allowed, node_state, read, same, word
from harness.managers.switchover_readiness import by_state, last_words
from harness.managers.windows_base import NOT_ASKED, NOT_THERE, OnWindows

START = """$s=Get-Service|?{$_.Name -eq 'ClusSvc'};if(!$s){exit 44}
$t="$($s.Status)";if($t -ne 'Running'){J @{K='service';State=$t};exit 0}
$n=@(Get-ClusterNode|%{@{K='node';Name=$_.Name;State="$($_.State)";Drain="$($_.DrainStatus)";Vote=$_.DynamicWeight}})
$g=@(Get-ClusterGroup|%{@{K='group';Name=$_.Name;OwnerNode=$_.OwnerNode.Name;State="$($_.State)";Threshold=$_.FailoverThreshold}})
$e=@(Get-ClusterResource)
$r=@($e|%{@{K='resource';Name=$_.Name;OwnerGroup=$_.OwnerGroup.Name;OwnerNode=$_.OwnerNode.Name;State="$($_.State)";
Maintenance=$_.MaintenanceMode}})
"""
STATE = (
    START
    + """$w=@(Get-ClusterNetwork|%{@{K='network';Name=$_.Name;Role="$($_.Role)"}})
$i=@(Get-ClusterNetworkInterface|%{@{K='nic';Node="$($_.Node)";Network="$($_.Network)";State="$($_.State)";Address="$($_.Address)"}})
J ($n+$g+$r+$w+$i)"""
)
ALLOWED = (
    START
    + """$o=@($e|?{$_.OwnerGroup.Name -eq GROUP}|%{@{K='owners';Name=$_.Name;
Nodes=@((Get-ClusterOwnerNode -Resource $_.Name).OwnerNodes|%{$_.Name})}})
$c=Get-ClusterQuorum;$q=@{K='quorum';Witness="$($c.QuorumResource.Name)";State="$($c.QuorumResource.State)"}
J ($n+$g+$r+$o+@($q))"""
)
DEPENDENTS = """J @(Get-ClusterResource|?{"$($_.State)" -ne 'Offline'}|%{$d=Get-ClusterResourceDependency -Resource $_.Name
@{Name=$_.Name;On="$($d.DependencyExpression)"}})"""
ADDRESS = """J @{Address="$((Get-ClusterResource -Name TAG|Get-ClusterParameter -Name Address).Value)"}"""
IN_SERVICE = """$r=Get-ClusterResource -Name TAG
if("$($r.State)" -eq 'Online' -and $r.OwnerNode.Name -eq [Environment]::MachineName){exit 0};exit 1"""


class Wsfc(OnWindows):
    """Reads each node over its own connection, because a node cut off from the other tells its own story."""

    name = "Windows Server Failover Cluster"
    source = "Microsoft-Windows-FailoverClustering"
    logs = ("System", "Microsoft-Windows-FailoverClustering/Operational")
    out_settings = None

    def state(self, *, limit: float = 20.0) -> ClusterState:
        return ClusterState(self._each(lambda node: self._node_state(node, limit)))

    def _node_state(self, node: str, limit: float) -> NodeState:
        told = self._say(node, STATE, limit)
        if isinstance(told, NodeState):
            return told
        return node_state(node, self._group, told)

    def _say(self, node: str, script: str, limit: float) -> str | NodeState:
        """What a script printed, or a NodeState that says why it did not."""
        try:
            done = self._hosts[node].run(script, limit=limit)
        except NOT_ASKED as error:
            return NodeState(node, False, {}, (), str(error))
        if done.exit == NOT_THERE:
            return NodeState(
                node, False, {}, (), f"there is no cluster service on {node}; is the feature Failover Clustering installed there?"
            )
        if not done.ok:
            return NodeState(
                node, False, {}, (), f"the cluster could not be asked there (exit {done.exit}): {last_words(done.err, done.out)}"
            )
        return done.out

    def may_switch_over(self, to: str, question: Question = Question.TOLD, *, limit: float = 20.0) -> Answer:
        """From both nodes' states, and what the node that is to take over says of owners, maintenance, quorum and votes."""
        deadline = Deadline(limit)
        case = by_state(to, self.state(limit=limit), question)
        if to in self._names:
            told = self._say(to, ALLOWED.replace("GROUP", quoted(self._group), 1), max(0.1, deadline.remaining()))
            found = Rows(why=told.why) if isinstance(told, NodeState) else read(told)
            case.add(allowed(to, self._group, to, found))
        return case.answer

    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        """Told not to wait, and looked at until it is done (WSFC-04)."""
        before = self.state(limit=max(1.0, deadline.within(20.0)))  # what is offline by design is no part of it
        wanted = {tag for node in before.nodes.values() for tag, seen in node.resources.items() if seen.active}
        self._told(to, f"Move-ClusterGroup -Name {quoted(self._group)} -Node {quoted(to)} -Wait 0", deadline)
        try:
            deadline.wait_for(
                lambda: self._node_state(to, max(1.0, deadline.within(20.0))),
                until=lambda seen: seen.has_something and all(s.active for tag, s in seen.resources.items() if tag in wanted),
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
        self._told(node, f"[void]({verb}-ClusterResource -Name {quoted(tag)} -Wait 0)", deadline)
        try:
            deadline.wait_for(
                lambda: self._node_state(node, max(1.0, deadline.within(20.0))).resources.get(tag),
                until=lambda seen: seen is not None and seen.active is (verb == "Start"),
                what=f"{tag} being {'online' if verb == 'Start' else 'offline'} on {node}",
                every=0.5,
            )
        except DeadlineExceeded as error:
            raise SwitchRefused(str(error)) from error

    def _told(self, node: str, script: str, deadline: Deadline) -> str:
        done = self._hosts[node].run(script, limit=max(0.1, deadline.remaining()))
        if not done.ok:
            raise SwitchRefused(f"{node}: `{script}` failed (exit {done.exit}); it said: {last_words(done.err, done.out)}")
        return done.out

    def _dependents(self, node: str, tag: str, deadline: Deadline) -> list[str]:
        """Resources, not offline, whose dependency expression names this one: `([ip-10.20.1.200]) and ([disk])`."""
        found = rows(self._told(node, DEPENDENTS, deadline))
        named = f"[{tag}]".lower()
        return [word(row.get("Name")) for row in found if named in word(row.get("On")).lower() and not same(row.get("Name"), tag)]

    def address_of(self, tag: str, node: str) -> str | None:
        done = self._hosts[node].run(ADDRESS.replace("TAG", quoted(tag), 1), limit=20.0)
        if not done.ok:
            raise CommandFailed(done)
        try:
            return next((word(row.get("Address")) or None for row in rows(done.out)), None)
        except NotReadable:
            return None

    def in_service_test(self, tag: str) -> str:
        return IN_SERVICE.replace("TAG", quoted(tag), 1)

    def put_back_line(self, tag: str) -> str:
        return f"[void](Start-ClusterResource -Name {quoted(tag)} -Wait 0)"

    def daemon_pids_line(self) -> str:
        return "Get-CimInstance Win32_Service|?{$_.Name -eq 'ClusSvc' -and $_.ProcessId}|%{\"$($_.ProcessId)\"}"

    @property
    def _group(self) -> str:
        return self._cluster.manager.resource
