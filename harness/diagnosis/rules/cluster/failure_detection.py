"""How long the nodes wait before they give each other up: so long that nobody can mean it, so short that a frozen machine is given up, or
otherwise than the cluster file says. Where the nodes differ, that is told by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.host_config.lifekeeper_settings import heartbeat_silence
from harness.managers.parse import corosync_parse

SLOW_S = 120.0  # four times the token that Azure's own recipes ask for (facts PCM-09)
SHORT_TOKEN_MS = 1000  # Corosync's own in older versions, and the least of any guide
APART = 1.5  # how far from the cluster file's is told
SHORT = 3.0  # how many times shorter than the cluster file's nobody means

LIFEKEEPER, COROSYNC = "/etc/default/LifeKeeper", "/etc/corosync/corosync.conf"
RUNNING = "what Corosync runs with (`corosync-cmapctl`)"


@dataclass(frozen=True)
class Silence:
    """How long one node waits: `how` that comes about, in words, where it is configured, and where it was read."""

    seconds: float
    token_ms: int | None
    how: str
    where: str
    read: str = field(compare=False)


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    to, manager = evidence.standby, evidence.cluster.manager
    if to is None or evidence.moved or len([*evidence.nodes]) < 2:
        return
    if manager.kind == "pacemaker" and (absent := [*_absent(evidence, to)]):
        yield from absent
        return
    seen = [_silence(manager.kind, host) for _, host in evidence.nodes]
    if len(set(seen)) > 1 or seen[0] is None:
        return
    silence_s, token_ms, how, where = seen[0].seconds, seen[0].token_ms, seen[0].how, seen[0].where
    file_s = manager.heartbeat_s * manager.heartbeats_missed
    file_says = f"the cluster file: heartbeat_s {manager.heartbeat_s:g} × heartbeats_missed {manager.heartbeats_missed} is {file_s:g} s"
    lines = (f"{seen[0].read} on both nodes: {how}", file_says)
    if silence_s >= SLOW_S:
        yield Cause(
            f"a lost node is given up after {silence_s:g} s only ({how}, on both nodes): until then nobody is served",
            to,
            Certainty.LIKELY if file_s < SLOW_S else Certainty.POSSIBLE,
            f"set it back in {where} on both nodes (LifeKeeper's own values are 5 and 3; guides for Azure have a token of 30000)",
            lines,
        )
    elif token_ms is not None and token_ms < SHORT_TOKEN_MS and silence_s * SHORT < file_s:
        yield Cause(
            f"a node is given up, and fenced, after {silence_s:g} s of silence ({how}, on both nodes): a virtual machine that its host "
            "freezes for a moment is lost each time",
            to,
            Certainty.LIKELY,
            f"give the token in {where} on both nodes a length that outlasts such a freeze (guides for Azure have 30000), then "
            "`corosync-cfgtool -R`",
            lines,
        )
    elif not file_s / APART <= silence_s <= file_s * APART:
        yield Cause(
            f"the nodes give each other up after {silence_s:g} s ({how}), and the cluster file says {file_s:g} s: every budget that "
            "follows from it is wrong",
            to,
            Certainty.POSSIBLE,
            "write the cluster's own times into the cluster file (manager.heartbeat_s, manager.heartbeats_missed)",
            lines,
        )


def _silence(kind: str, host: HostSeen) -> Silence | None:
    """None where that was not told. Corosync's is what it runs with, where that was told, whatever is in its file by now."""
    if kind == "lifekeeper" and (beats := heartbeat_silence(host.settings)) is not None:
        beat, number = beats
        return Silence(beat * number, None, f"LCMHBEATTIME {beat:g} × LCMNUMHBEATS {number:g}", LIFEKEEPER, LIFEKEEPER)
    settings, read = (host.corosync_runs, RUNNING) if "totem.token" in host.corosync_runs else (host.corosync, COROSYNC)
    seconds = corosync_parse.silence_s(settings)
    if kind != "pacemaker" or seconds is None:
        return None
    token = int(settings["totem.token"])
    return Silence(seconds, token, f"token {token} ms, and consensus {1000 * seconds - token:g} ms", COROSYNC, read)


def _absent(evidence: Evidence, to: str) -> Iterator[Cause]:
    """Two nodes whose whole files have no token, so that Corosync's own counts, which it runs with where that was told."""
    hosts, manager = [host for _, host in evidence.nodes], evidence.cluster.manager
    usual = [int(token) for token in corosync_parse.DEFAULTS["totem.token"]]
    tokens: set[str] = set()
    for host in hosts:
        known = corosync_parse.possible_values(host.corosync, "totem.token") if not host.corosync_refusals else ()
        if "totem.token" in host.corosync or not known or corosync_parse.has_three(host.corosync):
            return
        tokens |= {host.corosync_runs["totem.token"]} if "totem.token" in host.corosync_runs else {*known}
    if not tokens <= {str(token) for token in usual}:
        return
    counts = sorted(corosync_parse.silence_s({**hosts[0].corosync, "totem.token": token}) or 0.0 for token in tokens)
    file_s = manager.heartbeat_s * manager.heartbeats_missed
    if any(file_s <= silence_s * APART for silence_s in counts):
        return
    silences = " or ".join(f"{silence_s:g} s" for silence_s in counts)
    yield Cause(
        f"corosync.conf has no token, so that Corosync's own counts: a node is given up, and fenced, after {silences} of silence"
        f"{' (as its version has it)' if len(counts) > 1 else ''}; a virtual machine that its host freezes for so long is lost each time",
        to,
        Certainty.LIKELY if counts[-1] * SHORT < file_s else Certainty.POSSIBLE,
        f"give the token in {COROSYNC} on both nodes a length that outlasts such a freeze (guides for Azure have 30000), then "
        "`corosync-cfgtool -R`",
        (
            f"{COROSYNC} on both nodes: there is no token",
            *(f"{RUNNING} on {host.name}: token {token} ms" for host in hosts if (token := host.corosync_runs.get("totem.token"))),
            f"the cluster file: heartbeat_s {manager.heartbeat_s:g} × heartbeats_missed {manager.heartbeats_missed} is {file_s:g} s",
        ),
    )
