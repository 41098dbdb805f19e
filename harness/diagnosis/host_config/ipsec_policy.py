"""IPsec policies (`ip xfrm policy`) and which of them stops a packet: the kernel asks them after the firewall, and says nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from harness.diagnosis.firewall import Packet

HEAD = re.compile(r"src (\S+) dst (\S+)(.*)")
SELECTOR = re.compile(r"\b(proto|sport|dport) (\S+)")
DIRECTION = re.compile(r"\s+dir (in|out|fwd)\b(.*)")


@dataclass(frozen=True)
class Policy:
    """For packets of one direction between two networks; `action` is allow or block. `seals`: what it allows must come, or leaves,
    encrypted. An empty protocol and a None for a port are any."""

    direction: str
    source: str
    destination: str
    action: str
    protocol: str = ""
    source_port: int | None = None
    destination_port: int | None = None
    seals: bool = False
    priority: int = 0  # the lowest decides

    @property
    def stops(self) -> bool:
        """Whether a plain packet that it is for does not pass."""
        return self.action == "block" or self.seals

    def is_for(self, packet: Packet) -> bool:
        """Is the packet, which this host receives or sends, one of those that it is for?"""
        if self.direction != ("in" if packet.hook == "input" else "out") or self.protocol not in ("", packet.protocol):
            return False
        ports = ((self.source_port, packet.source_port), (self.destination_port, packet.destination_port))
        return (
            all(wanted is None or wanted == actual for wanted, actual in ports)
            and is_within(packet.source, self.source)
            and is_within(packet.destination, self.destination)
        )

    def __str__(self) -> str:
        ports = [f"{word} {port}" for word, port in (("sport", self.source_port), ("dport", self.destination_port)) if port is not None]
        words = [f"src {self.source} dst {self.destination}", f"proto {self.protocol}" if self.protocol else "", *ports]
        return " ".join(filter(None, [*words, f"dir {self.direction} action {self.action}"]))


def parse(text: str) -> tuple[Policy, ...]:
    """`ip xfrm policy`; what is not of that form is left out. A policy of a socket's own, which has no direction, is the key daemon's."""
    return tuple(_policies(text))


def deciding(policies: tuple[Policy, ...], packet: Packet) -> Policy | None:
    """The policy that stops the packet or, of this connection, what answers it. Of those that are for a packet the one with the lowest
    priority decides; of equal ones the oldest, which `ip` lists last."""
    for exchanged in (packet, packet.answer()):
        policy = min((p for p in reversed(policies) if p.is_for(exchanged)), key=lambda p: p.priority, default=None)
        if policy is not None and policy.stops:
            return policy
    return None


def _policies(text: str) -> Iterator[Policy]:
    for block in re.split(r"(?m)^(?=src )", text):
        head, _, rest = block.partition("\n")
        ends, how = HEAD.match(head), DIRECTION.match(rest.partition("\n")[0])
        if ends is None or how is None or not (_is_network(ends[1]) and _is_network(ends[2])):
            continue
        selectors = {match[1]: match[2] for match in SELECTOR.finditer(ends[3])}
        action = "block" if " action block" in how[2] else "allow"
        seals = re.search(r"(?m)^\s+tmpl ", rest) is not None and "level use" not in rest
        ports = [int(selectors[word]) if selectors.get(word, "").isdigit() else None for word in ("sport", "dport")]
        priority = re.search(r"\bpriority (\d+)", how[2])
        yield Policy(
            how[1], ends[1], ends[2], action, selectors.get("proto", ""), ports[0], ports[1], seals, int(priority[1]) if priority else 0
        )


def _is_network(text: str) -> bool:
    try:
        return ip_network(text, strict=False) is not None
    except ValueError:
        return False


def is_within(address: str, network: str) -> bool:
    """Is the address in that network? Not where either is none."""
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except (ValueError, TypeError):
        return False
