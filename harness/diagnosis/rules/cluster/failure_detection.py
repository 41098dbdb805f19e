"""How long the nodes wait before they give each other up: so long that nobody can mean it, so short that a frozen machine is given up, or
otherwise than the cluster file says. Where the nodes differ, that is told by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.host_config.lifekeeper_settings import heartbeat_silence

SLOW_S = 120.0  # four times the token that Azure's own recipes ask for (facts PCM-09)
SHORT_TOKEN_MS = 1000  # Corosync's own in older versions, and the least of any guide
CONSENSUS = 1.2  # how many tokens long Corosync waits for the rest to agree, where nothing is set (man 5 corosync.conf)
APART = 1.5  # how far from the cluster file's is told
SHORT = 3.0  # how many times shorter than the cluster file's nobody means

LIFEKEEPER, COROSYNC = "/etc/default/LifeKeeper", "/etc/corosync/corosync.conf"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    to, manager = evidence.standby, evidence.cluster.manager
    seen = [_silence(manager.kind, host.settings, host.corosync) for _, host in evidence.nodes]
    if to is None or evidence.moved or len(seen) < 2 or len(set(seen)) > 1 or seen[0] is None:
        return
    silence_s, token_ms, how, where = seen[0]
    file_s = manager.heartbeat_s * manager.heartbeats_missed
    file_says = f"the cluster file: heartbeat_s {manager.heartbeat_s:g} × heartbeats_missed {manager.heartbeats_missed} is {file_s:g} s"
    lines = (f"{where} on both nodes: {how}", file_says)
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


def _silence(kind: str, settings: Mapping[str, str], corosync: Mapping[str, str]) -> tuple[float, int | None, str, str] | None:
    """Seconds of silence, Corosync's token in milliseconds, what makes it so in words, and the file; None where that was not told."""
    if kind == "lifekeeper" and (silence := heartbeat_silence(settings)) is not None:
        beat, number = silence
        return beat * number, None, f"LCMHBEATTIME {beat:g} × LCMNUMHBEATS {number:g}", LIFEKEEPER
    token = corosync.get("totem.token", "")
    if kind != "pacemaker" or not (token.isascii() and token.isdigit() and len(token) < 10):
        return None
    text = corosync.get("totem.consensus", "")
    consensus = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else CONSENSUS * int(token)
    return (int(token) + consensus) / 1000, int(token), f"token {token} ms, and consensus {consensus:g} ms", COROSYNC
