"""A packet on its way through the chains: what is known of it, and what rules have changed so far. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from harness.diagnosis.firewall.packet import ArpPacket, Packet
from harness.diagnosis.firewall.partial_values import MISSING, Span, Value, exactly, join_values, unknown

PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58,
    "ospf": 89, "vrrp": 112, "comp": 108, "dccp": 33, "sctp": 132, "udplite": 136, "all": 0, "ip": 0,
}  # fmt: skip
STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
STATUSES = {"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32, "dying": 512}
FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}
RTN_UNICAST, RTN_LOCAL = 1, 2


@dataclass(frozen=True)
class Flow:
    """`values` by name: family, l4proto, saddr, daddr, sport, dport, flags, iifname, oifname, mark, ct state, …"""

    values: Mapping[str, Value]
    touched: frozenset[str] = frozenset()  # sets that rules may have added this packet to, or taken it from
    changed: tuple[str, ...] = ()  # the rules that gave it another destination

    def get(self, name: str) -> Value:
        """What is known of one property of the packet; MISSING where nothing is."""
        return self.values.get(name, MISSING)

    def known_number(self, name: str) -> int | None:
        """A number that is known exactly, else None."""
        value = self.get(name)
        return value.low if isinstance(value, Span) and value.exact else None

    def having(self, **changes: Value) -> Flow:
        """The same packet with these properties."""
        return replace(self, values={**self.values, **changes})

    def touching(self, name: str) -> Flow:
        """The same packet, with the note that rules may have changed this property."""
        return replace(self, touched=self.touched | {name})


def redirect(flow: Flow, changes: Mapping[str, Value], rule: str) -> Flow:
    """The packet given another destination by `rule`; its connection is marked as translated if that is another than it had."""
    before, port = flow.known_number("ct status"), changes.get("dport")
    changes = {**changes, "own nic": unknown("which NIC has the address that it is sent to")} if "daddr" in changes else changes
    moved = isinstance(port, Span) and port.exact and flow.known_number("dport") not in (None, port.low)
    status = exactly(before | STATUSES["dnat"]) if moved and before is not None else unknown("whether its connection is translated")
    values = {**flow.values, **changes, "ct status": status}
    return Flow(values, flow.touched, (*flow.changed, rule))


def handed_to_proxy(flow: Flow, port: int | None) -> bool | None:
    """Whether somebody listens on the TCP port that a rule (TPROXY) hands the packet to, its own where that says none; None: not known."""
    there, port = flow.get("listened"), port or flow.known_number("dport")
    return (
        None if port is None or not isinstance(there, tuple) or flow.known_number("l4proto") != PROTOCOLS["tcp"] else exactly(port) in there
    )


def merge_flows(flows: Collection[Flow | None]) -> Flow | None:
    """What is known where any of these ways may have been taken; None where there is none."""
    ways = [flow for flow in flows if flow is not None]
    if not ways:
        return None
    result = ways[0]
    for other in ways[1:]:
        if other is result or other == result:
            continue
        values = {name: join_values(result.get(name), other.get(name)) for name in {**result.values, **other.values}}
        result = Flow(values, result.touched | other.touched, tuple(dict.fromkeys([*result.changed, *other.changed])))
    return result


def of(packet: Packet) -> Flow:
    """Raises ValueError when an address or the protocol is none."""
    source, destination = ip_address(packet.source), ip_address(packet.destination)
    if source.version != destination.version:
        raise ValueError(f"{source} and {destination} are not of one version of IP")
    protocol = PROTOCOLS[packet.protocol]
    loops = "lo" in (packet.in_nic, packet.out_nic)
    flags = packet.flags if packet.flags is not None else {"new": ("syn",), "established": ("syn", "ack")}.get(packet.state, ("rst", "ack"))
    values: dict[str, Value] = {
        "family": exactly(2 if source.version == 4 else 10),
        "l4proto": exactly(protocol),
        "saddr": exactly(int(source)),
        "daddr": exactly(int(destination)),
        "mark": exactly(0),
        "ct state": exactly(STATES[packet.state]),
        "ct status": _status(packet),
        "ct direction": exactly(int(packet.is_reply)),
        "ct mark": exactly(0) if packet.state == "new" else unknown("the connection's mark"),
        "uid": _sender(packet),
        "own nic": packet.own_nic or unknown("which NIC has its own address"),
        "far nic": packet.far_nic or unknown("by which NIC it routes to that address"),
    }
    if packet.listened is not None:
        values["listened"] = tuple(exactly(port) for port in sorted(packet.listened))
    if packet.state == "invalid":  # there is no connection
        values |= {"ct status": MISSING, "ct direction": MISSING, "ct mark": MISSING}
    if protocol in (6, 17):
        values |= {"sport": _port(packet.source_port), "dport": _port(packet.destination_port)}
    if protocol == 6:
        values["flags"] = exactly(sum(FLAGS[flag] for flag in flags))
    if protocol == 1 and packet.icmp is not None:
        values |= {"icmp type": exactly(packet.icmp[0]), "icmp code": exactly(packet.icmp[1])}
    if packet.hook == "input":
        values["iifname"] = packet.in_nic or unknown("by which NIC it comes in")
        values |= {"saddr type": exactly(RTN_LOCAL if loops else RTN_UNICAST), "daddr type": exactly(RTN_LOCAL)}
    else:
        values["oifname"] = packet.out_nic or unknown("by which NIC it leaves")
        values |= {"saddr type": exactly(RTN_LOCAL), "daddr type": exactly(RTN_LOCAL if loops else RTN_UNICAST)}
    return Flow(values)


def of_arp(packet: ArpPacket) -> Flow:
    """Raises ValueError when an address is none."""

    def address(text: str | None) -> Value:
        return exactly(int(ip_address(text))) if text else unknown("whose address is in it")

    hardware = unknown("which hardware address is in it")
    values: dict[str, Value] = {
        "arp operation": exactly(1 if packet.asks else 2),
        "arp saddr ip": address(packet.sender),
        "arp daddr ip": address(packet.target),
        "arp saddr ether": hardware,
        "arp daddr ether": hardware,
        "arp htype": exactly(1),
        "arp ptype": exactly(0x0800),
        "arp hlen": exactly(6),
        "arp plen": exactly(4),
        "mark": exactly(0),
        f"{packet.hook[0]}ifname": packet.nic,
    }
    return Flow(values)


def _sender(packet: Packet) -> Value:
    """What the kernel itself sends about a packet (a rejection) belongs to nobody."""
    if packet.hook == "input" or packet.rejects:
        return MISSING
    return unknown("whose socket sends it") if packet.uid is None else exactly(packet.uid)


def _port(port: int | tuple[int, int]) -> Span:
    return Span(*port, why="which port its sender chose") if isinstance(port, tuple) else exactly(port)


def _status(packet: Packet) -> Span:
    """A SYN's connection is not confirmed yet; a SYN-ACK's is, and has seen a reply; it is assured from the next packet on."""
    if packet.state == "new":
        return exactly(0)
    if packet.state == "established" and packet.flags is None:
        return exactly(STATUSES["seen-reply"] | STATUSES["confirmed"])
    return unknown("the connection's status")
