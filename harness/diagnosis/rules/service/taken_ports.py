"""Ports that something else has, or may get, where the cluster's own listener would have to start; and a host without a port left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.config.cluster_config import Node
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import ANY, Evidence, HostSeen, Socket
from harness.diagnosis.required_flows import listed
from harness.diagnosis.rules.service.listeners import ports_of, what_follows

HELD = ("ESTAB", "SYN-SENT", "CLOSE-WAIT")  # states of a connection that some process has


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    ports = ports_of(evidence.cluster)
    for node, seen in evidence.nodes:
        for port, what in ports.items():
            yield from _port_taken(evidence, seen, port, what)
        if node.name != evidence.active:
            yield from _other_program(evidence, node, seen)
        yield from _may_be_taken(seen, ports)
    for name, seen in evidence.hosts.items():
        yield from _no_ports_left(evidence, name, seen)


def _port_taken(evidence: Evidence, seen: HostSeen, port: int, what: str) -> Iterator[Cause]:
    """A port that a connection has, so that its listener cannot start there. What a server that ended leaves half closed with its clients
    (FIN-WAIT, LAST-ACK) is in nobody's way: servers set SO_REUSEADDR. A connection that came in has an ephemeral port at its other end."""
    held = [s for s in seen.sockets if s.port == port and s.state in HELD]
    if not held or seen.listening(port):
        return
    low, high = _range(seen)
    one = min(held, key=lambda s: low <= s.peer_port <= high)  # an outgoing one, where there is one
    if low <= one.peer_port <= high:
        yield _left_by_a_server(evidence, seen, one, what)
        return
    reserved = _reserved(seen)
    inside = (
        f", which lies in the range of ephemeral ports {low}–{high} and is not reserved"
        if low <= port <= high and port not in reserved
        else ""
    )
    yield Cause(
        f"port {port} ({what}) is in use{inside}: an outgoing connection to {one.peer}:{one.peer_port}, held by {one.owner}, has it, "
        f"so {what} cannot start "
        f"on {seen.name}",
        seen.name,
        Certainty.CERTAIN,
        f"end that connection when it may end; then set net.ipv4.ip_local_reserved_ports={port} on both nodes, beside what is "
        f"reserved there already, or give it a port outside the range",
        (f"`ss -tanp` on {seen.name}: {one.state} {one.address}:{port} → {one.peer}:{one.peer_port}, {one.owner}",),
        explains=(*what_follows(evidence, seen.name, port), f"{seen.name}:resource"),
    )


def _left_by_a_server(evidence: Evidence, seen: HostSeen, one: Socket, what: str) -> Cause:
    return Cause(
        f"nobody listens on port {one.port} ({what}) of {seen.name}, and a connection with {one.peer}:{one.peer_port} lives on there, held "
        f"by {one.owner}: what is left of a server that ended may keep {what} from starting on {seen.name}",
        seen.name,
        Certainty.LIKELY,
        f"see what {one.owner} is (`ss -tanp`, `ps`), and end it when it may end",
        (f"`ss -tanp` on {seen.name}: {one.state} {one.address}:{one.port} → {one.peer}:{one.peer_port}, {one.owner}",),
        explains=(*what_follows(evidence, seen.name, one.port), f"{seen.name}:resource"),
    )


def _range(seen: HostSeen) -> tuple[int, int]:
    words = seen.sysctls.get("ip_local_port_range", "").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(w.isdigit() for w in words) else (32768, 60999)


def _reserved(seen: HostSeen) -> set[int]:
    found: set[int] = set()
    for part in seen.sysctls.get("ip_local_reserved_ports", "").strip().split(","):
        low, _, high = part.partition("-")
        if low.isdigit():
            found |= set(range(int(low), min(int(high if high.isdigit() else low), 65535) + 1))
    return found


def _other_program(evidence: Evidence, node: Node, seen: HostSeen) -> Iterator[Cause]:
    """The standby's ports, held by something else than on the active node. Of the probe's, what the balancer reaches is the matter of the
    rules about the probe."""
    active = evidence.hosts.get(evidence.active or "")
    if active is None or evidence.moved:
        return
    probe = evidence.cluster.load_balancer.probe.port
    for port, what in ports_of(evidence.cluster).items():
        there = seen.listening(port)
        if port == probe:
            there = [s for s in there if s.address not in {*ANY, str(node.address)}]
        apart = [s for s in there if port == probe or _is_loopback(s)]
        mine = [s for s in there if s not in apart] or [s for s in apart if _in_the_way(s, active.listening(port))]
        if not mine:
            continue
        one = mine[0]
        where = f"on {one.address} of {seen.name}" if one in apart else f"on {seen.name}"
        who = "what listens on any address" if one in apart else "the service"
        yield Cause(
            f"{one.owner} has port {port} ({what}) {where}, which is not active: {who} could not start there after a failover",
            seen.name,
            Certainty.CERTAIN,
            f"give {one.process or 'it'} another port"
            if one in apart
            else "see that only the cluster manager starts it; a second one that answers hides a failover that did not happen",
            (
                f"`ss -tlnp` on {seen.name}: {one.owner} listens on {one.address}:{port}",
                *(f"`ss -tlnp` on {active.name}: {s.owner} listens on {s.address}:{port}" for s in active.listening(port) if one in apart),
            ),
            explains=() if port == probe else (f"{seen.name}:listener of {what}",),
        )


def _is_loopback(one: Socket) -> bool:
    return one.address.startswith("127.") or one.address == "::1"


def _in_the_way(one: Socket, wanted: list[Socket]) -> bool:
    """Does it keep from starting what listens as these do? Only what listens on any address is sure to want its address as well."""
    return any(s.address in ("*", "::" if ":" in one.address else "0.0.0.0") for s in wanted)


def _may_be_taken(seen: HostSeen, ports: Mapping[int, str]) -> Iterator[Cause]:
    """Ports that the kernel may give to any outgoing connection."""
    low, high = _range(seen)
    reserved = _reserved(seen)
    inside = {port: what for port, what in ports.items() if low <= port <= high and port not in reserved}
    if not inside or "ip_local_port_range" not in seen.sysctls:
        return
    numbers = ",".join(map(str, sorted(inside)))
    those = listed(f"port {port} ({what})" for port, what in inside.items())
    yield Cause(
        f"{those} {'lie' if len(inside) > 1 else 'lies'} in the range of ephemeral ports {low}–{high} of {seen.name} and "
        f"{'are' if len(inside) > 1 else 'is'} not reserved: an outgoing connection may get it, and its listener could not start then",
        seen.name,
        Certainty.POSSIBLE,
        f"set net.ipv4.ip_local_reserved_ports={numbers} on both nodes, beside what is reserved there already",
        (f"net.ipv4 on {seen.name}: ip_local_port_range {low} {high}, ip_local_reserved_ports without {numbers}",),
    )


def _no_ports_left(evidence: Evidence, name: str, seen: HostSeen) -> Iterator[Cause]:
    """Each connection to one address and port takes an ephemeral port of its own."""
    low, high = _range(seen)
    room = high - low + 1 - len({p for p in _reserved(seen) if low <= p <= high})
    for service in evidence.cluster.services:
        mine = {
            s.port for s in seen.sockets if s.peer == str(evidence.cluster.vip) and s.peer_port == service.port and low <= s.port <= high
        }
        if len(mine) >= room and "ip_local_port_range" in seen.sysctls:
            yield Cause(
                f"{name} has no ephemeral port left for port {service.port} ({service.name}): {len(mine)} connections to it take all "
                f"{room} ports of ip_local_port_range, {low}–{high}",
                name,
                Certainty.CERTAIN,
                f"widen net.ipv4.ip_local_port_range on {name}, or see what opens so many connections and does not close them",
                (f"`ss -tan` on {name}: {len(mine)} sockets to {evidence.cluster.vip}:{service.port}",),
                explains=tuple(p.name for p in evidence.failed if p.origin == name),
            )
