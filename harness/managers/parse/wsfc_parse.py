"""What a node of a Windows Server Failover Cluster says, as rows with a kind `K` each. Pure; no row makes it raise.

Owners and states were made strings by the script that asked (WSFC-03). What is not a known word is unknown, never active.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.hosts.windows.script_protocol import Row
from harness.managers.manager import CommPath, NodeState, Question, ResourceState
from harness.managers.switchover_readiness import Case

STATES = {"Online": ResourceState.IN_SERVICE, "Offline": ResourceState.STANDBY, "Failed": ResourceState.FAILED}
MOVING = ("Pending", "OnlinePending", "OfflinePending")
FLAGS = {"Isolated": "isolated", "Quarantined": "quarantined", "AvoidPlacement": "marked as to be avoided (AvoidPlacement)"}
KEEPS = {1: "Locked", 4: "Queued", 16: "WaitingToStart", 4096: "WaitingForDependencies"}  # of a role's StatusInformation
NEVER_MOVES = (0, 1)  # of RestartAction
FORCED, PREVENTED = "Fixed", "Prevented"  # of the quorum: started by force, and kept from forming by itself
CLUSTERS_NETWORKS = ("Cluster", "ClusterAndClient")  # roles of networks that carry heartbeats


@dataclass(frozen=True)
class Rows:
    """The rows of one answer by kind; `why` when there are none that can be used, `stopped` when the service said so itself."""

    by_kind: dict[str, list[Row]] = field(default_factory=dict)
    why: str = ""
    stopped: bool = False

    def of(self, kind: str) -> list[Row]:
        """The rows of one kind; none where the node told none."""
        return self.by_kind.get(kind, [])


def read(answered: Sequence[Row]) -> Rows:
    """Sort the rows of an answer; a service that does not run, or an answer without nodes, is said in `why`."""
    by_kind: dict[str, list[Row]] = {}
    for row in answered:
        by_kind.setdefault(word(row.get("K")), []).append(row)
    for service in by_kind.get("service", []):
        if word(service.get("State")) != "Running":
            stopped = word(service.get("State")) == "Stopped"
            return Rows(why=f"the cluster service is {word(service.get('State')) or 'in no known state'}", stopped=stopped)
    if not by_kind.get("node"):
        return Rows(why="the cluster named no nodes")
    return Rows(by_kind)


def node_state(node: str, group: str, rows: Sequence[Row]) -> NodeState:
    """The resources of the role `group` on `node`, and its paths to the other, by `node`'s own word."""
    sorted_rows = read(rows)
    if sorted_rows.why:
        return NodeState(node, False, {}, (), sorted_rows.why, stopped=sorted_rows.stopped)
    roles = [row for row in sorted_rows.of("group") if same(row.get("Name"), group)]
    if len(roles) != 1:
        known = ", ".join(word(row.get("Name")) for row in sorted_rows.of("group")) or "none"
        return NodeState(node, True, {}, paths(node, sorted_rows), f"there is no role {group} in the cluster; its roles: {known}")
    owner = roles[0].get("OwnerNode")
    states: dict[str, ResourceState] = {}
    for row in sorted_rows.of("resource"):
        name = word(row.get("Name"))
        if name and same(row.get("OwnerGroup"), group):
            state = _state_on(node, row, owner, sorted_rows)
            states[name] = state if states.get(name, state) is state else ResourceState.UNKNOWN
    return NodeState(node, True, states, paths(node, sorted_rows))


def _state_on(node: str, row: Row, owner: object, rows: Rows) -> ResourceState:
    """A resource is where its role is; when the two do not agree it is on its way. A node that the cluster does not call Up or Paused
    neither has anything nor stands by, by any word that could be believed."""
    known = [other for other in rows.of("node") if same(other.get("Name"), owner)]
    mine = [word(other.get("State")) for other in rows.of("node") if same(other.get("Name"), node)]
    if not same(row.get("OwnerNode"), owner) or len(known) != 1 or mine not in (["Up"], ["Paused"]):
        return ResourceState.UNKNOWN
    return STATES.get(word(row.get("State")), ResourceState.UNKNOWN) if same(owner, node) else ResourceState.STANDBY


def paths(node: str, rows: Rows) -> tuple[CommPath, ...]:
    """One path per network of the cluster and other node: alive when both ends are Up."""
    roles = {word(row.get("Name")).lower(): word(row.get("Role")) for row in rows.of("network")}
    inside = [row for row in rows.of("nic") if roles.get(word(row.get("Network")).lower()) in CLUSTERS_NETWORKS]
    mine = [row for row in inside if same(row.get("Node"), node)]
    made = []
    for here in mine:
        for there in inside:
            if same(there.get("Network"), here.get("Network")) and not same(there.get("Node"), node):
                alive = word(here.get("State")) == word(there.get("State")) == "Up"
                made.append(CommPath(word(there.get("Node")), f"{word(here.get('Address'))}/{word(there.get('Address'))}", alive))
    return tuple(made)


def allowed(to: str, group: str, asked: str, rows: Rows, question: Question) -> Case:
    """What the cluster's own settings, as `asked` tells them, say about the role moving to `to` for that reason (WCLU-121 to WCLU-132)."""
    case = Case()
    if rows.why:
        case.unknown.append(f"{asked}: {rows.why}")
        return case
    _node(to, rows, case)
    _role(to, group, rows, case, question)
    if question is Question.LOST:  # a told move, and a failed resource, leave the votes as they are (WCLU-124)
        _quorum(to, rows, case)
    return case


def _node(to: str, rows: Rows, case: Case) -> None:
    target = [row for row in rows.of("node") if same(row.get("Name"), to)]
    if len(target) != 1:
        case.against.append(f"{to} is not a node of the Windows cluster ({', '.join(word(r.get('Name')) for r in rows.of('node'))})")
        return
    state, drain = word(target[0].get("State")), word(target[0].get("Drain"))
    if state == "Paused":
        case.against.append(f"{to} is paused for maintenance (Resume-ClusterNode {to})")
    elif state != "Up":
        words = f"the cluster calls {to} {state or 'nothing'}"
        (case.against if state in ("Down", "Joining") else case.unknown).append(words)
    if drain == "InProgress":
        case.against.append(f"{to} is being drained")
    for flag, says in FLAGS.items():  # the state has no word for these (WCLU-47)
        if flag.lower() in word(target[0].get("Status")).lower():
            case.against.append(f"the cluster has {to} {says}")


def _owner(to: str, owner: object, rows: Rows, case: Case) -> None:
    """A paused node brings nothing online that went offline on it, and takes nothing back (WCLU-66)."""
    paused = [row for row in rows.of("node") if same(row.get("Name"), owner) and word(row.get("State")) == "Paused"]
    if paused and not same(owner, to):
        name = word(owner)
        case.against.append(f"{name} is paused for maintenance, and what leaves it cannot come back (Resume-ClusterNode {name})")


def _role(to: str, group: str, rows: Rows, case: Case, question: Question) -> None:
    roles = [row for row in rows.of("group") if same(row.get("Name"), group)]
    if len(roles) != 1:
        case.against.append(f"there is no role {group} in the cluster; name one of its roles in manager.resource")
        return
    _owner(to, roles[0].get("OwnerNode"), rows, case)
    state = word(roles[0].get("State"))
    if state in MOVING:
        case.against.append(f"the role {group} is {state}: it is on its way already")
    elif state not in ("Online", "PartialOnline", "Offline", "Failed"):
        case.unknown.append(f"the role {group} is in no known state ({state or 'nothing'})")
    if roles[0].get("Threshold") == 0 and question is not Question.TOLD:  # whether the loss of a node counts is not known
        (case.against if question is Question.FAILED else case.unknown).append(
            f"the role {group} never fails over by itself (FailoverThreshold 0, WCLU-126)"
        )
    if _is_set(roles[0].get("Locked")):
        case.against.append(f"the role {group} is locked against being moved (LockedFromMoving)")
    if states := _status_words(word(roles[0].get("Status"))):
        case.unknown.append(
            f"the role {group} is {', '.join(states)} (StatusInformation, WCLU-128): whether it would move now is not known"
        )
    if question is Question.LOST and roles[0].get("Priority") == 0:
        case.against.append(f"the role {group} does not start by itself (Priority 0, WCLU-130)")
    if question is Question.FAILED:
        _restarts(group, rows, case)
    owners = rows.of("owners")
    if not owners:
        case.unknown.append(f"which nodes may own {group} could not be read")
    for row in owners:
        nodes = row.get("Nodes")
        listed = [word(name) for name in (nodes if isinstance(nodes, list) else [nodes]) if word(name)]
        if not listed:
            case.unknown.append(f"which nodes may own {word(row.get('Name')) or 'a resource'} was not told")
        elif not any(same(name, to) for name in listed):
            case.against.append(f"{to} is no possible owner of {word(row.get('Name'))} (only {', '.join(listed)})")
    for row in rows.of("resource"):
        if question is Question.FAILED and same(row.get("OwnerGroup"), group) and _is_set(row.get("Maintenance")):  # WCLU-68
            case.against.append(f"the resource {word(row.get('Name'))} is in maintenance mode")


def _restarts(group: str, rows: Rows, case: Case) -> None:
    """A resource that is not to take the role along when it fails leaves it where it is (WCLU-81, WCLU-127)."""
    own = [row for row in rows.of("resource") if same(row.get("OwnerGroup"), group)]
    stay = [word(row.get("Name")) for row in own if row.get("RestartAction") in NEVER_MOVES]
    if stay:
        (case.against if len(stay) == len(own) else case.unknown).append(
            f"the role {group} is not moved when {', '.join(stay)} fails (RestartAction 0 or 1, WCLU-127)"
        )


def _status_words(status: str) -> list[str]:
    """What keeps a role, of its StatusInformation: words, or a sum of numbers (WCLU-49)."""
    if status.isascii() and status.isdecimal():
        return [name for bit, name in KEEPS.items() if int(status) & bit]
    said = {part.strip().lower() for part in status.split(",")}
    return [name for name in KEEPS.values() if name.lower() in said]


def _is_set(value: object) -> bool:
    """A yes, as a boolean or as a number."""
    return isinstance(value, int | float) and value != 0


def _quorum(to: str, rows: Rows, case: Case) -> None:
    """Does the cluster live on with `to` when the other node is lost? By votes where they are told (WCLU-74), else by the witness alone.

    Without a witness one of two nodes has a vote, and the cluster ends when that one is lost (WCLU-71).
    """
    quorum = rows.of("quorum")
    if len(quorum) != 1:
        case.unknown.append("the quorum could not be read")
        return
    forced = (FORCED, case.against, "was started by force (FixQuorum)")
    for key, reasons, says in (forced, (PREVENTED, case.unknown, "has PreventQuorum set")):
        if quorum[0].get(key) == 1:
            reasons.append(f"the cluster {says}: how it votes is not as configured (WCLU-125)")
    if word(quorum[0].get("Type")) == "DiskOnly":
        case.unknown.append(f"only the disk votes (DiskOnly): whether it would come online on {to} cannot be told (WCLU-75)")
        return
    if isinstance(quorum[0].get("WitnessVote"), int | float) and isinstance(quorum[0].get("Dynamic"), int | float):
        _votes(to, quorum[0], rows, case)
        return
    witness, state = word(quorum[0].get("Witness")), word(quorum[0].get("State"))
    if witness and state != "Online":
        (case.against if state in ("Offline", "Failed") else case.unknown).append(
            f"the quorum witness {witness} is {state or 'in no known state'}"
        )
    votes = [row.get("Vote") for row in rows.of("node") if same(row.get("Name"), to)]
    if not witness and votes == [0]:
        case.against.append(f"{to} has no vote and there is no witness: were the other node lost, {to} would stop")
    elif not witness and votes != [1]:
        case.unknown.append(f"there is no witness, and whether {to} has a vote could not be read")


def _votes(to: str, quorum: Row, rows: Rows, case: Case) -> None:
    """More than half of all votes must be left (WCLU-74). A witness that is not online gives none."""
    dynamic = quorum["Dynamic"] != 0
    witness, state = word(quorum.get("Witness")), word(quorum.get("State"))
    weights = [(word(row.get("Name")), row.get("Vote" if dynamic else "Weight")) for row in rows.of("node")]
    votes = [(name, weight) for name, weight in weights if isinstance(weight, int | float)]
    if len(votes) < len(weights):
        case.unknown.append("how the nodes vote could not be read")
        return
    of_witness = (quorum["WitnessVote"] if dynamic else 1) if witness else 0
    total = sum(vote for _, vote in votes) + of_witness
    left = sum(vote for name, vote in votes if same(name, to)) + (of_witness if state == "Online" else 0)
    if left * 2 <= total:
        lacks = f", as the witness {witness} is {state or 'in no known state'}" if witness and state != "Online" else ""
        case.against.append(f"were the other node lost, {left:g} of {total:g} votes were left{lacks}: {to} would stop")
    elif witness and state not in ("Online", "Offline", "Failed"):
        case.unknown.append(f"the quorum witness {witness} is {state or 'in no known state'}")


def same(a: Any, b: Any) -> bool:
    """Names of Windows do not know case; nothing is the same as no name."""
    return bool(word(a)) and word(a).lower() == word(b).lower()


def word(value: object) -> str:
    """A value as text; empty for anything else."""
    return value.strip() if isinstance(value, str) else ""
