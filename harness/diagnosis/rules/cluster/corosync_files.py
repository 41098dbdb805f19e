"""Corosync's key and its settings, on both nodes: what differs, and what one of them lacks."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.required_flows import join_names
from harness.managers.parse import corosync_parse

CONFIGURATION = "/etc/corosync/corosync.conf"
COROSYNC_KEY = "/etc/corosync/authkey"
REMOTE_KEY = "/etc/pacemaker/authkey"
ABSENT = "absent"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Corosync reads its key and its settings when it starts: until then nodes that differ go on together."""
    ours, theirs = (evidence.hosts.get(node.name) for node in evidence.cluster.nodes)
    if ours is None or theirs is None:
        return
    at = evidence.standby or theirs.name
    apart = [*corosync_parse.differences(ours.corosync, theirs.corosync)]
    yield from _absent_files(ours, theirs)
    yield from _nodes_at_other_addresses(ours, theirs)
    yield from _multicast(ours, theirs)
    yield from _not_read_again(evidence, ours, theirs)
    sealed = {corosync_parse.is_sealed(host.corosync) for host in (ours, theirs)}
    file = next((host.corosync["totem.keyfile"] for host in (ours, theirs) if "totem.keyfile" in host.corosync), COROSYNC_KEY)
    if sealed != {False} and _differ(ours.keys.get(file), theirs.keys.get(file)):
        yield Cause(
            f"the nodes have different keys of corosync ({file}): the one on {ours.name} is not the same as the one on {theirs.name}; a "
            f"node whose key is not the one that runs, {at} for instance, would be alone from its next start on",
            at,
            Certainty.LIKELY if True in sealed else Certainty.POSSIBLE,
            f"see which key the cluster runs with (which file is newer than corosync's start), copy that one to the other node, with mode "
            f"0400, before anything is restarted: `scp -p {file}`",
            tuple(f"the SHA-256 of {file} on {host.name} begins with {host.keys[file]}" for host in (ours, theirs)),
            explains=("*:communication path",),
        )
    if _differ(ours.keys.get(REMOTE_KEY), theirs.keys.get(REMOTE_KEY)):
        yield Cause(
            f"the nodes have different keys of Pacemaker for remote nodes ({REMOTE_KEY}), which only clusters with such nodes need",
            at,
            Certainty.POSSIBLE,
            "copy the right one to the other node, if there are remote nodes or bundles",
            tuple(f"the SHA-256 of {REMOTE_KEY} on {host.name} begins with {host.keys[REMOTE_KEY]}" for host in (ours, theirs)),
        )
    if apart:
        words = "; ".join(f"{name} is {here} on {ours.name} and {there} on {theirs.name}" for name, here, there in apart)
        does = "may be alone, or count votes otherwise, from its next start on"
        then = (
            "restart Corosync on one node after the other, with nothing in service there: a reload (`corosync-cfgtool -R`) is not enough "
            "for the transport, the cluster's name and the crypto settings"
        )
        if all(name in corosync_parse.WAITS for name, _, _ in apart):
            does = "would not wait as long as its peer before it gives the other up, from its next start on"
            then = "have it read again (`corosync-cfgtool -R`)"
        yield Cause(
            f"the nodes' settings of corosync differ: {words}; {at} {does}",
            at,
            Certainty.LIKELY,
            f"make /etc/corosync/corosync.conf the same on both nodes (`pcs cluster sync` or `csync2` does), then {then}",
            tuple(f"/etc/corosync/corosync.conf: {name}: {here} on {ours.name}, {there} on {theirs.name}" for name, here, there in apart),
            explains=("*:communication path",),
        )


def _nodes_at_other_addresses(ours: HostSeen, theirs: HostSeen) -> Iterator[Cause]:
    """An address of the list, alike in both files, that its node does not have: what runs there has read another list."""
    for host in (ours, theirs):
        own = {a.address for a in host.addresses or ()}
        known = {number for number, name in corosync_parse.node_names(ours.corosync).items() if name.partition(".")[0] == host.name}
        for key, address in ours.corosync.items():
            words = key.split()
            listed = len(words) == 3 and words[0] == "node" and words[1] in known and words[2].endswith("_addr")
            if not listed or not own or theirs.corosync.get(key) != address or not corosync_parse.is_address(address) or address in own:
                continue
            yield Cause(
                f"corosync.conf on both nodes has {address} for {host.name} ({words[2]}), and {host.name} has no such address: from their "
                "next start on the nodes would not find each other there",
                host.name,
                Certainty.LIKELY,
                f"write an address that {host.name} has into {CONFIGURATION} on both nodes, then have it read again "
                "(`corosync-cfgtool -R`)",
                (
                    f"{CONFIGURATION} on both nodes: {words[2]} of node {words[1]} is {address}",
                    f"`ip addr` on {host.name}: {', '.join(sorted(own))}",
                ),
                explains=("*:communication path",),
            )


def _multicast(ours: HostSeen, theirs: HostSeen) -> Iterator[Cause]:
    """Corosync's transport udp is multicast, unless it is told to broadcast; no virtual network of Azure carries either (facts FAB-01)."""
    if {host.corosync.get("totem.transport", "").lower() for host in (ours, theirs)} == {"udp"}:
        yield Cause(
            "the transport of corosync.conf on both nodes is udp, which is multicast, and Azure's networks carry none: from their next "
            "start on the nodes would not find each other",
            theirs.name,
            Certainty.LIKELY,
            f"set the transport to knet (or udpu) in {CONFIGURATION} on both nodes, before anything is restarted",
            tuple(f"{CONFIGURATION} on {host.name}: transport: {host.corosync['totem.transport']}" for host in (ours, theirs)),
            explains=("*:communication path",),
        )


def _not_read_again(evidence: Evidence, ours: HostSeen, theirs: HostSeen) -> Iterator[Cause]:
    """What both files say of how long a lost node is waited for, and Corosync does not run with. With a third node more is added to it."""
    if any(corosync_parse.has_three(host.corosync) for host in (ours, theirs)):
        return
    for name in ("totem.token", "totem.consensus"):
        written = {host.corosync.get(name, "") for host in (ours, theirs)}
        runs = {host.name: host.corosync_runs[name] for host in (ours, theirs) if name in host.corosync_runs}
        (value, *others), word = written, name.partition(".")[2]
        apart = [node for node, running in runs.items() if running != value]
        if others or not (value.isascii() and value.isdigit()) or not apart:
            continue
        silence = {corosync_parse.silence_s(host.corosync_runs) for host in (ours, theirs) if host.name in apart} - {None}
        then = f"; a lost node is given up after {silence.pop():.3g} s now" if len(silence) == 1 else ""
        yield Cause(
            f"corosync.conf has {word} {value} on both nodes, and Corosync runs with {join_names(runs[node] for node in apart)} on "
            f"{join_names(apart)}: it was not read again since it was written{then}",
            evidence.standby if evidence.standby in apart else apart[0],
            Certainty.LIKELY,
            "have it read again, once, on one of the nodes: `corosync-cfgtool -R`; where somebody has set the running value by hand "
            f"(`corosync-cmapctl -s`), write it into {CONFIGURATION} on both nodes instead",
            (
                f"{CONFIGURATION} on both nodes: {word}: {value}",
                *(f"`corosync-cmapctl` on {node}: runtime.config.{name} is {running}" for node, running in runs.items()),
            ),
        )
        return


def _differ(first: str | None, second: str | None) -> bool:
    return None not in (first, second) and ABSENT not in (first, second) and first != second


def _absent_files(ours: HostSeen, theirs: HostSeen) -> Iterator[Cause]:
    """A file that one node has and the other has not: what runs there has read it before."""
    for here, there in ((ours, theirs), (theirs, ours)):
        needs_key = corosync_parse.is_sealed(there.corosync) and "totem.keyfile" not in there.corosync
        lacks_key = there.keys.get(COROSYNC_KEY) == ABSENT and here.keys.get(COROSYNC_KEY, ABSENT) != ABSENT and needs_key
        lacks_settings = there.keys.get(CONFIGURATION) == ABSENT and bool(here.corosync)
        for file in [COROSYNC_KEY] * bool(lacks_key) + [CONFIGURATION] * lacks_settings:
            yield Cause(
                f"{file} is not there on {there.name}, and {here.name} has it: corosync would not start on {there.name} the next time, and "
                f"{here.name} would have nobody to fail over to",
                there.name,
                Certainty.LIKELY,
                f"copy it from {here.name}, with its owner and mode, before anything is restarted: `scp -p {file}`",
                (f"{there.name}: there is no {file}, in a folder that may be read", f"{here.name} has {file}"),
            )
