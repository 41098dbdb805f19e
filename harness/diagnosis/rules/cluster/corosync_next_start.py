"""What Corosync's next start makes of a corosync.conf that both nodes have alike: no word that there are two nodes, and keys that
Corosync does not know where they stand. Until then it runs with what it read before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.required_flows import join_names
from harness.managers.parse.corosync_keys import unknown_keys

CONFIGURATION = "/etc/corosync/corosync.conf"
TWO_NODE = "quorum.two_node"
NO_VOTES = "votes, and quorum needs"  # in the words of the adapter
# What a cluster of two does otherwise without.
MATTERS = (TWO_NODE, "quorum.provider", "quorum.wait_for_all", "totem.token", "totem.consensus", "totem.transport")
# By which one of two nodes has quorum in another way, or may have more votes (man 5 votequorum).
OTHER_WAYS = ("quorum.auto_tie_breaker", "quorum.last_man_standing", "quorum.allow_downscale", "quorum.expected_votes_tracking")
READ_AGAIN = "in {0} on both nodes, then have it read again, once, on one of the nodes (`corosync-cfgtool -R`)"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    hosts = [host for _, host in evidence.nodes if host.corosync]
    if evidence.moved or len(hosts) != len(evidence.cluster.nodes):
        return
    at = evidence.standby or hosts[-1].name
    meant = {key for host in hosts for _, _, key in unknown_keys(host.corosync)}
    yield from _unknown_keys(hosts, at)
    if not _runs_without(evidence) and TWO_NODE not in meant and all(_is_plain(host) for host in hosts):
        yield from _votes(hosts, at)


def _unknown_keys(hosts: list[HostSeen], at: str) -> Iterator[Cause]:
    has: dict[tuple[str, str, str], list[HostSeen]] = {}
    for host in hosts:
        for found in unknown_keys(host.corosync):
            has.setdefault(found, []).append(host)
    for (section, key, meant), those in has.items():
        where, right = meant.split(".", 1)
        word = f"it belongs into {where}" if right == key else f"{right} is meant"
        counts = meant not in those[0].corosync and meant in MATTERS
        then = ": from its next start on one of two nodes that is left has no quorum, and stops everything" if meant == TWO_NODE else ""
        yield Cause(
            f"corosync.conf on {join_names(host.name for host in those)} has {key} in the section {section}, which Corosync does not know "
            f"there ({word}): it counts as not set" + (then if counts else ""),
            at if len(those) > 1 else those[0].name,
            Certainty.LIKELY if counts else Certainty.POSSIBLE,
            f"write {right} into the section {where} " + READ_AGAIN.format(CONFIGURATION),
            tuple(f"{CONFIGURATION} on {host.name}: {section}.{key}: {host.corosync[f'{section}.{key}']}" for host in those),
        )


def _votes(hosts: list[HostSeen], at: str) -> Iterator[Cause]:
    """With two_node the number of expected votes does not matter (seen with 3.1.7: quorum is 1 with four expected)."""
    two_node = {host.name: host.corosync.get(TWO_NODE, "not set") for host in hosts}
    if all(value != "1" for value in two_node.values()):
        yield Cause(
            f"corosync.conf has no two_node on {join_names(two_node)}, and two nodes are all there are: from Corosync's next start on, "
            "or once it has read the file again, a node that is left has no quorum, and stops everything",
            at,
            Certainty.LIKELY,
            f"write two_node: 1 into the section quorum {READ_AGAIN.format(CONFIGURATION)}; see `corosync-quorumtool -s` (Flags: 2Node)",
            tuple(f"{CONFIGURATION} on {name}: {TWO_NODE} {value}" for name, value in two_node.items()),
        )


def _runs_without(evidence: Evidence) -> bool:
    """It counts so already, which is told by what it says itself, or nobody asks it for quorum."""
    lost = any(NO_VOTES in why for answer in evidence.may_move.values() for why in answer.because)
    policies = {host.units.get("option no-quorum-policy", "").lower() for _, host in evidence.nodes}
    return lost or "ignore" in policies or any(node.quorum is False for node in evidence.state.nodes.values())


def _is_plain(host: HostSeen) -> bool:
    """Two nodes with a vote each, quorum by votes, and neither a quorum device nor another way to have quorum alone."""
    settings: Mapping[str, str] = host.corosync
    nodes = {key.split()[1] for key in settings if key.startswith("node ")}
    votes = {value for key, value in settings.items() if key.endswith(" quorum_votes")} | {settings.get("quorum.votes", "1")}
    return (
        len(nodes) == 2
        and settings.get("quorum.provider") == "corosync_votequorum"
        and votes == {"1"}
        and not any(key.startswith("quorum.device") for key in settings)
        and all(settings.get(name, "0") == "0" for name in OTHER_WAYS)
    )
