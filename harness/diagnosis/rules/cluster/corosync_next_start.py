"""What Corosync's next start makes of its files: a corosync.conf that it refuses, no word that there are two nodes, keys that it does not
know where they stand, no folder for its log, a key that is too short. Until then it runs with what it read before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.required_flows import join_names
from harness.managers.parse import corosync_parse
from harness.managers.parse.corosync_keys import unknown_keys
from harness.managers.parse.corosync_refusals import Refusal

CONFIGURATION = "/etc/corosync/corosync.conf"
TWO_NODE = "quorum.two_node"
NO_VOTES = "votes, and quorum needs"  # in the words of the adapter
# What a cluster of two does otherwise without.
MATTERS = (TWO_NODE, "quorum.provider", "quorum.wait_for_all", "totem.token", "totem.consensus", "totem.transport")
# By which one of two nodes has quorum in another way, or may have more votes (man 5 votequorum).
OTHER_WAYS = ("quorum.auto_tie_breaker", "quorum.last_man_standing", "quorum.allow_downscale", "quorum.expected_votes_tracking")
MIN_KEY_BYTES = 128  # "Could only read … bits of minimum 1024 bits"; versions of before want twice as many
READ_AGAIN = "in {0} on both nodes, then have it read again, once, on one of the nodes (`corosync-cfgtool -R`)"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    nodes = [host for _, host in evidence.nodes]
    if nodes and not evidence.moved:
        at_first = evidence.standby or nodes[-1].name
        yield from _refused(nodes, at_first)
        yield from _log_folders(nodes, at_first)
        yield from _short_key(nodes, at_first)
        yield from _tie_breaker(evidence, nodes)
    hosts = [host for host in nodes if host.corosync]
    if evidence.moved or len(hosts) != len(evidence.cluster.nodes):
        return
    at = evidence.standby or hosts[-1].name
    meant = {key for host in hosts for _, _, key in unknown_keys(host.corosync)}
    yield from _unknown_keys(hosts, at)
    if not _runs_without(evidence) and TWO_NODE not in meant and all(_is_plain(host) for host in hosts):
        yield from _votes(hosts, at)


def _refused(nodes: Sequence[HostSeen], at: str) -> Iterator[Cause]:
    """What both files have is told once, for the node that is to take over: it is the next one that is restarted, or found wanting."""
    refused: dict[Refusal, list[HostSeen]] = {}
    for host in nodes:
        for refusal in host.corosync_refusals:
            refused.setdefault(refusal, []).append(host)
    for refusal, hosts in refused.items():
        names = join_names(host.name for host in hosts)
        yield Cause(
            f"corosync.conf on {names} is refused by Corosync ({refusal.says}): it goes on with what it read before, and does not start "
            "with that file the next time",
            at if len(hosts) > 1 else hosts[0].name,
            Certainty.CERTAIN if refusal.of_all_versions else Certainty.LIKELY,
            f"mend {CONFIGURATION} {'on both nodes' if len(hosts) > 1 else 'there, from the copy on the other node'}, and try it before "
            "anything is restarted: `corosync -t` says what it does not take",
            tuple(f"{CONFIGURATION} on {host.name}: {refusal.says}" for host in hosts),
        )


def _log_folders(nodes: Sequence[HostSeen], at: str) -> Iterator[Cause]:
    lacking: dict[str, list[str]] = {}
    for host in nodes:
        for folder in host.log_folders_lacking:
            lacking.setdefault(folder, []).append(host.name)
    for folder, names in lacking.items():
        yield Cause(
            f"{folder}, where Corosync of {join_names(names)} is to write its log (logging.logfile), is no folder there: what runs has its "
            "file open, and Corosync does not start the next time",
            at if len(names) > 1 else names[0],
            Certainty.LIKELY,
            f"make it again (`mkdir -p {folder}`), or write another place into the section logging of {CONFIGURATION}; see what cleans "
            "it away, as a file system that is made anew at each boot",
            tuple(f"{name}: there is no folder {folder}" for name in names),
        )


def _short_key(nodes: Sequence[HostSeen], at: str) -> Iterator[Cause]:
    short = [
        (host.name, file, size)
        for host in nodes
        for file, size in host.key_sizes.items()
        if size < MIN_KEY_BYTES and corosync_parse.is_sealed(host.corosync) and "totem.keyfile" not in host.corosync
    ]
    if short:
        _, file, size = short[0]
        names = [name for name, _, _ in short]
        yield Cause(
            f"{file} on {join_names(names)} has {size} bytes, and Corosync takes no key of less than {MIN_KEY_BYTES}: it goes on with what "
            "it read before, and does not start the next time",
            at if len(names) > 1 else names[0],
            Certainty.LIKELY,
            "copy the whole key from where it was made (a backup; the other node, if it is whole there), or make a new one "
            "(`corosync-keygen`) and restart Corosync on both nodes with nothing in service",
            tuple(f"`stat` on {name}: {file} has {size} bytes" for name, file, size in short),
        )


def _tie_breaker(evidence: Evidence, nodes: Sequence[HostSeen]) -> Iterator[Cause]:
    """Of the two Corosync takes auto_tie_breaker, and says so in its log: the lowest id has quorum, unless another one is set."""
    for host in nodes:
        settings = host.corosync
        if settings.get(TWO_NODE) != "1" or settings.get("quorum.auto_tie_breaker", "0") != "1" or any("device" in key for key in settings):
            continue
        names = {number: name for number, name in corosync_parse.node_names(settings).items() if number.isdigit()}
        word = settings.get("quorum.auto_tie_breaker_node", "lowest").lower()
        keeps = (
            names.get(max(names, key=int) if word == "highest" else min(names, key=int))
            if names and word in ("lowest", "highest")
            else None
        )
        loses = next((name for name in names.values() if name != keeps), None) if keeps else None
        stops = (
            f"only {keeps} has quorum when it is left alone, and {loses} stops everything then" if loses else "one of them has none alone"
        )
        yield Cause(
            f"corosync.conf on {host.name} has both two_node and auto_tie_breaker, of which Corosync takes auto_tie_breaker alone: of two "
            f"nodes {stops}",
            evidence.standby or host.name,
            Certainty.LIKELY,
            f"take auto_tie_breaker out of the section quorum of {CONFIGURATION} on both nodes, and restart Corosync on one node after the "
            "other, with nothing in service there",
            (f"{CONFIGURATION} on {host.name}: quorum.two_node 1, quorum.auto_tie_breaker 1",),
        )
        return


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
