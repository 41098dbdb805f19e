"""A node of Pacemaker's that is alone and has no quorum: why, and what that does to everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.required_flows import join_names

CONFIGURATION = "/etc/corosync/corosync.conf"
DOES = {
    "freeze": "it keeps what it has in service, and recovers and takes over nothing",
    "demote": "it demotes what is promoted, stops what needs that, and takes over nothing",
    "suicide": "it fences itself",
    "ignore": "",
}


def causes(evidence: Evidence) -> Iterator[Cause]:
    """By Pacemaker's own word on each node (`crm_mon`: with_quorum)."""
    for name, node in evidence.state.nodes.items():
        host = evidence.hosts.get(name)
        policy = host.units.get("option no-quorum-policy", "stop").lower() if host is not None else "stop"
        does = DOES.get(policy, "it stops everything, and starts nothing")
        if node.quorum is not False or not (node.running or node.stopped) or not does:
            continue
        peer = evidence.cluster.peer_of(name).name
        follows = ("*/*", "*:probe port", "*:VIP", "*:listener of *") if evidence.active in (None, name) else ()
        votes = missing_votes(evidence)
        waits = votes is not None and votes.two_node
        why = (
            f": it started without {peer}, and waits until it has once seen that (wait_for_all, which two_node switches on)"
            if waits
            else f" without {peer}{votes.says if votes else ''}"
        )
        do = (
            f"start {peer}; where it cannot be started, make sure that it is off, and let {name} go on without it (`pcs quorum unblock`, "
            "or `corosync-cmapctl -s quorum.cancel_wait_for_all u8 1`)"
            if waits
            else f"start {peer}, and see that the nodes hear each other; then {votes.do if votes else 'see `corosync-quorumtool -s`'}"
        )
        yield Cause(
            f"{name} has no quorum{why}; so by its policy without quorum ({policy}) {does}",
            name,
            Certainty.CERTAIN,
            do,
            (f"crm_mon on {name}: partition without quorum", *(votes.seen if votes else ())),
            explains=("*:communication path", "*:roles", *follows),
        )


@dataclass(frozen=True)
class MissingVotes:
    """Why one node of two has no quorum: what follows "… votes are needed", what to do, and the lines that show it."""

    says: str
    do: str
    seen: tuple[str, ...]
    two_node: bool = False  # set in every file that was read


def missing_votes(evidence: Evidence) -> MissingVotes | None:
    """By what the files say of two_node, without which a node needs the other one's vote; None where no file was read."""
    settings = {host.name: host.corosync for _, host in evidence.nodes if host.corosync}
    if not settings:
        return None
    two_node = {name: its.get("quorum.two_node", "not set") for name, its in settings.items()}
    seen = tuple(f"{CONFIGURATION} on {name}: quorum.two_node {value}" for name, value in two_node.items())
    unset = [name for name, value in two_node.items() if value != "1"]
    device = next((its for its in settings.values() if any(key.startswith("quorum.device") for key in its)), None)
    if device is not None:
        server = device.get("quorum.device.net.host", "")
        return MissingVotes(
            f": the quorum device of {CONFIGURATION} ({device.get('quorum.device.model', 'net')}{f', {server}' if server else ''}) "
            "does not "
            "vote now",
            "see `corosync-qdevice-tool -s` and the row Qdevice of `corosync-quorumtool -s`, start corosync-qdevice on both nodes, and see "
            f"that its server{f' {server}' if server else ''} answers (corosync-qnetd, TCP port 5403); do not set two_node beside it, with "
            "which Corosync does not start",
            (*seen, *(f"{CONFIGURATION} on {name} has a quorum device" for name in settings)),
        )
    if any(its.get("quorum.auto_tie_breaker", "0") == "1" for its in settings.values()):
        return MissingVotes(
            f", because auto_tie_breaker is set in {CONFIGURATION}: with it one node of the two alone has quorum, whatever two_node says",
            f"take auto_tie_breaker out of the section quorum of {CONFIGURATION} on both nodes, let two_node be 1, and restart Corosync on "
            "one node after the other, with nothing in service there",
            seen,
        )
    if unset:
        return MissingVotes(
            f", because two_node is not set in {CONFIGURATION} on {join_names(unset)}: without it one of two nodes never has quorum",
            f"set two_node: 1 in the section quorum of {CONFIGURATION} on both nodes, and have it read again (`corosync-cfgtool -R`)",
            seen,
        )
    more = {name: its["quorum.expected_votes"] for name, its in settings.items() if its.get("quorum.expected_votes", "2") != "2"}
    return MissingVotes(
        f", though two_node is set in {CONFIGURATION}: Corosync runs with more expected votes than two nodes have",
        "see what Corosync counts (`corosync-quorumtool -s`) and who changed it: `corosync-quorumtool -e 2` puts the expected votes back, "
        "and so does a restart of Corosync, one node after the other, unless corosync.conf has more (a device, a third node)",
        (*seen, *(f"{CONFIGURATION} on {name}: quorum.expected_votes {value}" for name, value in more.items())),
        two_node=True,
    )
