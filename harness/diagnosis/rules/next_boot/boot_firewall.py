"""Rules that are loaded at a node's next boot and stop what passes now: somebody let it pass by hand, and nobody saved that."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.host_config.next_boot import LOADERS
from harness.diagnosis.required_flows import evaluate_again, join_names


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports. Both have to be sure: that it passes now, and that it does not then."""
    for node, host in evidence.nodes:
        now, saved, file = evidence.firewalls.get(node.name), host.next_boot.firewall, host.next_boot.firewall_file
        if now is None or saved is None or now.not_told:
            continue
        passing = [fate for fate in now.fates if fate.opening.passes and not fate.opening.decision.changed]
        stopped = [fate for fate in (evaluate_again(saved, fate.needed) for fate in passing) if fate.opening.passes is False]
        if not stopped:
            continue
        yield Cause(
            f"{file} of {node.name}, which {LOADERS[file]} loads at boot, stops {join_names(fate.lost for fate in stopped)}; "
            "now that passes, and after its next boot it does not",
            node.name,
            Certainty.LIKELY,
            f"have {file} say what is loaded now, where that is meant (see both first: `iptables-save`, `nft list ruleset`)",
            tuple(dict.fromkeys(f"{file} on {node.name}, evaluated: {fate.opening.decision.why}" for fate in stopped)),
            "some other program may let it pass then as well",
        )
