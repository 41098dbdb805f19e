"""LifeKeeper's flags on the node that is active now: they hold nothing up before a failover, and then the way back (facts LKL-22, LKL-23).
What they say of the way to the standby, the manager's own rules tell."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.managers.parse.lifekeeper_parse import WAY_FLAGS


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    active, to = evidence.active, evidence.standby
    host, there = evidence.hosts.get(active or ""), evidence.state.nodes.get(to or "")
    if evidence.moved or host is None or to is None or there is None or not there.running:
        return  # LifeKeeper sets the flag itself while it is stopped there, and takes it away when they are in contact
    for kind in WAY_FLAGS:
        flag = next((f for f in (f"{kind}{to}", f"{kind}{to.lower()}") if host.units.get(f"flag {f}") == "set"), None)
        if flag is None or flag in evidence.cluster.manager.harmless_flags:
            continue
        confirms = kind.startswith("confirm")
        why = f"a failover from {to} waits for a person's word" if confirms else f"no failover from {to} is allowed"
        yield Cause(
            f"after a failover to {to} nothing would come back by itself: on {host.name} {why} (flag {flag})",
            host.name,
            Certainty.POSSIBLE if confirms else Certainty.LIKELY,
            f"see who set it, and take it away on {host.name}, unless it is meant: `flg_remove -f '{flag}'`",
            (f"`flg_list` on {host.name}: {flag}", f"LifeKeeper runs on {to}"),
        )
