"""What hosts' own firewalls do to the packets that this cluster lives by, as findings. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.finding import Finding, Weight
from harness.diagnosis.required_flows import FirewallVerdict, listed


def findings(host: str, firewall: FirewallVerdict) -> Iterator[Finding]:
    """One for each rule that decides, with all that it stops; and one for what cannot be told."""
    for (rule, does), fates in firewall.stopped.items():
        says = f"the firewall of the host itself {does} {listed(f.lost for f in fates)}: {rule}"
        do = "let these pass by a rule before it, or take it away; where the firewall is configured, so that it lasts"
        yield Finding(Weight.FAULT, host, "firewall", says, do, ("TRP-07",))
    if firewall.not_told:
        yield Finding(Weight.UNKNOWN, host, "firewall", f"cannot tell: {firewall.not_told}", "look yourself what it does to these ports")
        return
    for why, fates in firewall.unsure.items():
        says = f"cannot tell what becomes of {listed(f.lost for f in fates)}: {why}"
        yield Finding(Weight.NOTE, host, "firewall", says, "see that this rule lets them pass")
