"""If the nodes of a Windows Server Failover Cluster lost each other, would one of them surely be stopped? By its votes. Pure.

Under type Majority the side without more than half of all votes loses quorum, and its cluster service ends (WCLU-71, event 1177 of
WCLU-91), with what it has online. That is proof where two nodes and a witness have one vote each and the witness is online: either side
alone has one vote of three, and the witness votes for one side only. Whatever is told otherwise is no proof.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.hosts.windows.script_protocol import Row
from harness.managers.manager import Answer, answer
from harness.managers.parse.wsfc_parse import FORCED, PREVENTED, Rows, word

MAJORITY = "Majority"
NODES = 2


def fenced_by(rows_by_node: Mapping[str, Rows]) -> Answer:
    """From what each node answers to a question about the role (with the quorum): yes only where both tell the same and that is proof."""
    against: list[str] = []
    unknown: list[str] = []
    for node, rows in rows_by_node.items():
        if rows.why:
            unknown.append(f"{node}: {rows.why}")
            continue
        quorums = rows.of("quorum")
        if len(quorums) != 1:
            unknown.append(f"{node}: the quorum could not be read")
            continue
        if quorums[0].get(FORCED) == 1:
            against.append("the cluster was started by force (FixQuorum): the side that was forced goes on without a majority (WCLU-125)")
        unknown += _doubts_of_quorum(node, quorums[0]) + _doubts_of_nodes(node, quorums[0], rows.of("node"))
    return answer(list(dict.fromkeys(against)), list(dict.fromkeys(unknown)))


def _doubts_of_quorum(node: str, quorum: Row) -> list[str]:
    doubts = []
    if word(quorum.get("Type")) != MAJORITY:
        doubts.append(f"{node}: the quorum is of type {word(quorum.get('Type')) or 'unknown'} and not {MAJORITY} (WCLU-75)")
    doubts += [f"{node}: {name} is not told" for name in (FORCED, PREVENTED, "Dynamic") if not isinstance(quorum.get(name), int | float)]
    if quorum.get(PREVENTED) == 1:
        doubts.append(f"{node}: the cluster has PreventQuorum set: how it votes is not as configured (WCLU-125)")
    witness, state = word(quorum.get("Witness")), word(quorum.get("State"))
    if not witness:
        doubts.append(f"{node}: there is no witness, so that the votes of two nodes alone decide which one goes on (WCLU-71)")
    elif state != "Online":
        state = state or "in no known state"
        doubts.append(f"{node}: the quorum witness {witness} is {state}: neither node would have a majority, and both would stop")
    elif _witness_vote(quorum) != 1:
        doubts.append(f"{node}: the quorum witness {witness} has no vote now (WCLU-72)")
    return doubts


def _witness_vote(quorum: Row) -> object:
    """Without dynamic quorum a witness always votes (WCLU-74)."""
    return 1 if quorum.get("Dynamic") == 0 else quorum.get("WitnessVote")


def _doubts_of_nodes(node: str, quorum: Row, nodes: list[Row]) -> list[str]:
    vote = "Weight" if quorum.get("Dynamic") == 0 else "Vote"
    doubts = [] if len(nodes) == NODES else [f"{node}: the cluster has {len(nodes)} nodes and not {NODES}"]
    for row in nodes:
        name = word(row.get("Name")) or "a node without a name"
        if row.get(vote) != 1:
            doubts.append(f"{node}: {name} has {row.get(vote) if row.get(vote) is not None else 'no known number of'} votes and not 1")
        if word(row.get("State")) not in ("Up", "Paused"):
            doubts.append(f"{node}: {name} is {word(row.get('State')) or 'in no known state'}, so the votes will be others when it is back")
    return doubts
