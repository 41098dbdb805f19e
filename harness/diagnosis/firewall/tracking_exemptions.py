"""Rules that exempt packets from connection tracking (notrack): what a ruleset would do without them. Pure.

What is not tracked has the state `untracked`: for a stateful rule it is no answer to anything, and chains of kind nat are not asked of it.
"""

from __future__ import annotations

from dataclasses import replace

from harness.diagnosis.firewall.packet import Packet
from harness.diagnosis.firewall.ruleset_evaluation import Ruleset, exemptions
from harness.diagnosis.firewall.tcp_handshake import Opening, opening


def opening_if_tracked(ruleset: Ruleset, syn: Packet, *, back: str | None = None) -> tuple[Opening, str] | None:
    """What would become of the connection if nothing of it were exempt, and the rules whose absence makes that difference; None where there
    is no such rule."""
    rules = exemptions(ruleset)
    if not rules:
        return None
    end = opening(_without(ruleset, rules), syn, back=back)
    deciding = [rule for rule in rules if _differs(end, opening(_without(ruleset, [rule]), syn, back=back)) is False]
    return end, " and ".join(deciding or rules)


def _differs(first: Opening, second: Opening) -> bool:
    return (first.passes, first.port) != (second.passes, second.port)


def _without(ruleset: Ruleset, rules: list[str]) -> Ruleset:
    chains = (replace(chain, rules=[rule for rule in chain.rules if str(rule) not in rules]) for chain in ruleset.chains)
    return replace(ruleset, chains=tuple(chains))
