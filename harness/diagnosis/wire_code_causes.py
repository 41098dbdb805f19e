"""What a wire code alone says of a path that did not do what it had to. Pure.

It stands where no rule knows more: of a run whose hosts told nothing, of a capture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.diagnosis.cause import Cause, Certainty

CODES = re.compile(r"\bW\d{1,2}\b")
CHECK = "`lkharness check`"


@dataclass(frozen=True)
class RouteTaken:
    """One way that attempts of a path took: `node` is where they arrived or were refused, `origin` the host that they left."""

    code: str
    path: str
    service: str
    port: int | None
    origin: str
    node: str = ""
    vip: str = "the VIP"

    @property
    def to(self) -> str:
        """What the path leads to, for a sentence."""
        return f"{self.vip}:{self.port}" if self.port else f"{self.service} on {self.vip}"


def codes(wire: str) -> list[str]:
    """The codes in a check's `wire`, such as `W5 × 3, W1`."""
    return list(dict.fromkeys(CODES.findall(wire)))


def cause(way: RouteTaken, evidence: tuple[str, ...] = ()) -> Cause | None:
    """None of a code that is no fault by itself (W1, W2, W3) or that is not known."""
    explanation = _explain_code(way)
    if explanation is None:
        return None
    says, host, certainty, do, otherwise = explanation
    return Cause(f"{says} ({way.code})", host, certainty, do, evidence, otherwise, explains=(f"{way.path}/{way.service}",))


def _explain_code(way: RouteTaken) -> tuple[str, str, Certainty, str, str] | None:
    node, origin = way.node or "the node", way.origin or "the origin"
    match way.code:
        case "W4" | "W9":
            says = f"{origin} does not hold {way.vip} itself: its own connection went to the balancer, came back to it and died (hairpin)"
            do = f"bring the IP resource into service on {origin}, if {origin} is to be active"
            otherwise = f"if {origin} is the standby, the balancer has it up: see who answers the probe there"
            return says, origin, Certainty.CERTAIN, do, otherwise
        case "W5":
            says = f"{node} itself refused {way.service}: its kernel has nobody listening there"
            do = f"see on {node} whether {way.service} is in service, and on which address it listens (`ss -tlnp`)"
            otherwise = f"if {node} is the standby, the balancer sends connections to the wrong node: see who answers the probe there"
            return says, node, Certainty.CERTAIN, do, otherwise
        case "W6":
            says = f"{origin} holds {way.vip} itself, and nobody listens for {way.service} on that address there"
            do = f"see on {origin} whether {way.service} is in service, and let it listen on any address"
            otherwise = f"if {origin} is the standby, both nodes hold {way.vip}: see where the IP resource is in service"
            return says, origin, Certainty.CERTAIN, do, otherwise
        case "W7":
            says = f"connections to {way.to} reach {node}, which does not answer: it does not hold {way.vip}, or its firewall drops them"
            do = f"see on {node} whether it has {way.vip} (`ip addr`), then its firewall; {CHECK} evaluates it"
            return says, node, Certainty.LIKELY, do, "a node that is frozen looks the same: nothing else of it answers then"
        case "W10":
            says = f"connections to {way.to} reach {node}, a Windows node that keeps silent: nobody listens there (stealth mode), or its "
            says += "firewall drops them"
            do = f"see on {node} whether {way.service} is in service and where it listens (`Get-NetTCPConnection -State Listen`); {CHECK} "
            do += "evaluates its firewall"
            otherwise = f"if {node} is the standby, the balancer sends connections to the wrong node: see who answers the probe there"
            return says, node, Certainty.LIKELY, do, otherwise
        case "W8":
            says = f"connections from {origin} to {way.to} leave it and reach no node: the balancer or the network drops them"
            do = (
                "look at whether a member of the pool answers the probe, then whether the balancer has a rule for the port, then at the "
                f"network security groups; {CHECK} takes them apart by the probes that arrive"
            )
            return (
                says,
                origin,
                Certainty.LIKELY,
                do,
                "a path of another port or another origin that is answered tells which of these it is",
            )
    return None
