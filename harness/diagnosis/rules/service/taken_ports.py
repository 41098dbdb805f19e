"""Ports that something else has, or may get, where the cluster's own listener would have to start; and a host without a port left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.config.cluster_config import Node
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import ANY, Evidence, HostSeen, Socket
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.service.listeners import ports_of, what_follows

NO_PORT = re.compile(r"\b(?:EADDRNOTAVAIL|EADDRINUSE)\b")  # in what an attempt says that could not be made
HELD = ("ESTAB", "SYN-SENT", "CLOSE-WAIT")  # states of a connection that some process has


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    ports = ports_of(evidence.cluster)
    for node, host in evidence.nodes:
        for port, what in ports.items():
            yield from _port_taken(evidence, host, port, what)
        if node.name != evidence.active:
            yield from _other_program(evidence, node, host)
        yield from _may_be_taken(host, ports)
        yield from _kept_until_the_next_boot(host, ports)
    for name, host in evidence.hosts.items():
        yield from _no_ports_left(evidence, name, host)


def _port_taken(evidence: Evidence, host: HostSeen, port: int, what: str) -> Iterator[Cause]:
    """A port that a connection has, so that its listener cannot start there. What a server that ended leaves half closed with its clients
    (FIN-WAIT, LAST-ACK) is in nobody's way: servers set SO_REUSEADDR. A connection that came in has an ephemeral port at its other end."""
    sockets = [s for s in host.sockets if s.port == port and s.state in HELD]
    if not sockets or host.listening(port):
        return
    low, high = _range(host)
    socket = min(sockets, key=lambda s: low <= s.peer_port <= high)  # an outgoing one, where there is one
    if low <= socket.peer_port <= high:
        yield _left_by_a_server(evidence, host, socket, what)
        return
    reserved = _reserved(host)
    inside = (
        f", which lies in the range of ephemeral ports {low}–{high} and is not reserved"
        if low <= port <= high and port not in reserved
        else ""
    )
    yield Cause(
        f"port {port} ({what}) is in use{inside}: an outgoing connection to {socket.peer}:{socket.peer_port}, held by {socket.owner}, "
        "has it, "
        f"so {what} cannot start "
        f"on {host.name}",
        host.name,
        Certainty.CERTAIN,
        f"end that connection when it may end; then set net.ipv4.ip_local_reserved_ports={port} on both nodes, beside what is "
        f"reserved there already, or give it a port outside the range",
        (f"`ss -tanp` on {host.name}: {socket.state} {socket.address}:{port} → {socket.peer}:{socket.peer_port}, {socket.owner}",),
        explains=(*what_follows(evidence, host.name, port), f"{host.name}:resource"),
    )


def _left_by_a_server(evidence: Evidence, host: HostSeen, socket: Socket, what: str) -> Cause:
    return Cause(
        f"nobody listens on port {socket.port} ({what}) of {host.name}, and a connection with {socket.peer}:{socket.peer_port} lives on "
        "there, held "
        f"by {socket.owner}: what is left of a server that ended may keep {what} from starting on {host.name}",
        host.name,
        Certainty.LIKELY,
        f"see what {socket.owner} is (`ss -tanp`, `ps`), and end it when it may end",
        (f"`ss -tanp` on {host.name}: {socket.state} {socket.address}:{socket.port} → {socket.peer}:{socket.peer_port}, {socket.owner}",),
        explains=(*what_follows(evidence, host.name, socket.port), f"{host.name}:resource"),
    )


def _range(host: HostSeen) -> tuple[int, int]:
    words = host.sysctls.get("ip_local_port_range", "").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(w.isdigit() for w in words) else (32768, 60999)


def _reserved(host: HostSeen) -> set[int]:
    return _ports_in(host.sysctls.get("ip_local_reserved_ports", ""))


def _ports_in(text: str) -> set[int]:
    ports: set[int] = set()
    for part in text.replace(" ", "").split(","):
        low, _, high = part.partition("-")
        if low.isdigit():
            ports |= set(range(int(low), min(int(high if high.isdigit() else low), 65535) + 1))
    return ports


def _other_program(evidence: Evidence, node: Node, host: HostSeen) -> Iterator[Cause]:
    """The standby's ports, held by something else than on the active node. Of the probe's, what the balancer reaches is the matter of the
    rules about the probe."""
    active = evidence.hosts.get(evidence.active or "")
    if active is None or evidence.moved:
        return
    probe = evidence.cluster.load_balancer.probe.port
    services = evidence.cluster.services
    on_all = {s.port for s in services if s.runs_on == "both" or f"instances of {s.tag}" in host.units}  # whose own instance has it
    for port, what in ports_of(evidence.cluster).items():
        there = host.listening(port) if port not in on_all else []
        if port == probe:
            there = [s for s in there if s.address not in {*ANY, str(node.address)}]
        apart = [s for s in there if port == probe or _is_loopback(s)]
        in_the_way = [s for s in there if s not in apart] or [s for s in apart if _is_in_the_way(s, active.listening(port))]
        if not in_the_way:
            continue
        socket = in_the_way[0]
        where = f"on {socket.address} of {host.name}" if socket in apart else f"on {host.name}"
        who = "what listens on any address" if socket in apart else "the service"
        yield Cause(
            f"{socket.owner} has port {port} ({what}) {where}, which is not active: {who} could not start there after a failover",
            host.name,
            Certainty.CERTAIN,
            f"give {socket.process or 'it'} another port"
            if socket in apart
            else "see that only the cluster manager starts it; a second one that answers hides a failover that did not happen; "
            + 'where every host runs it by design, let the cluster file say runs_on = "both" of the service',
            (
                f"`ss -tlnp` on {host.name}: {socket.owner} listens on {socket.address}:{port}",
                *(
                    f"`ss -tlnp` on {active.name}: {s.owner} listens on {s.address}:{port}"
                    for s in active.listening(port)
                    if socket in apart
                ),
            ),
            explains=() if port == probe else (f"{host.name}:listener of {what}",),
        )


def _is_loopback(socket: Socket) -> bool:
    return socket.address.startswith("127.") or socket.address == "::1"


def _is_in_the_way(socket: Socket, wanted: list[Socket]) -> bool:
    """Does it keep from starting what listens as these do? Only what listens on any address is sure to want its address as well."""
    return any(s.address in ("*", "::" if ":" in socket.address else "0.0.0.0") for s in wanted)


def _may_be_taken(host: HostSeen, ports: Mapping[int, str]) -> Iterator[Cause]:
    """Ports that the kernel may give to any outgoing connection."""
    low, high = _range(host)
    reserved = _reserved(host)
    inside = {port: what for port, what in ports.items() if low <= port <= high and port not in reserved}
    if not inside or "ip_local_port_range" not in host.sysctls:
        return
    numbers = ",".join(map(str, sorted(inside)))
    port_names = join_names(f"port {port} ({what})" for port, what in inside.items())
    yield Cause(
        f"{port_names} {'lie' if len(inside) > 1 else 'lies'} in the range of ephemeral ports {low}–{high} of {host.name} and "
        f"{'are' if len(inside) > 1 else 'is'} not reserved: an outgoing connection may get it, and its listener could not start then",
        host.name,
        Certainty.POSSIBLE,
        f"set net.ipv4.ip_local_reserved_ports={numbers} on both nodes, beside what is reserved there already",
        (f"net.ipv4 on {host.name}: ip_local_port_range {low} {high}, ip_local_reserved_ports without {numbers}",),
    )


def _kept_until_the_next_boot(host: HostSeen, ports: Mapping[int, str]) -> Iterator[Cause]:
    """Ports that are reserved now, and that no file has which is read at boot."""
    low, high = _range(host)
    files = host.next_boot.kept_ports
    if files is None:
        return
    lasting = {port for text in files for port in _ports_in(text)}
    passing = {port: what for port, what in ports.items() if low <= port <= high and port in _reserved(host) - lasting}
    if not passing:
        return
    port_names = join_names(f"port {port} ({what})" for port, what in passing.items())
    yield Cause(
        f"{port_names} {'are' if len(passing) > 1 else 'is'} reserved on {host.name} now (net.ipv4.ip_local_reserved_ports), and no file "
        "of sysctl's says so: after its next boot an outgoing connection may get it, and its listener could not start then",
        host.name,
        Certainty.POSSIBLE,
        f"write net.ipv4.ip_local_reserved_ports = {host.sysctls['ip_local_reserved_ports'].strip()} into a file below /etc/sysctl.d on "
        "both nodes, unless some program sets it at each boot",
        (f"/etc/sysctl.d and the like on {host.name}: ip_local_reserved_ports without {','.join(map(str, passing))}",),
    )


def _no_ports_left(evidence: Evidence, name: str, host: HostSeen) -> Iterator[Cause]:
    """Each connection to one address and port takes an ephemeral port of its own, and keeps it for a minute after its end (TIME-WAIT)."""
    low, high = _range(host)
    room, vip = high - low + 1 - len({p for p in _reserved(host) if low <= p <= high}), str(evidence.cluster.vip)
    told = False
    for service in evidence.cluster.services:
        taken_ports = {s.port for s in host.sockets if s.peer == vip and s.peer_port == service.port and low <= s.port <= high}
        ended = host.time_wait.get((vip, service.port), 0)
        if len(taken_ports) + ended < room or "ip_local_port_range" not in host.sysctls:
            continue
        told = True
        waits = f", of which {ended} have ended and keep theirs for a minute (TIME-WAIT)," if ended else ""
        yield Cause(
            f"{name} has no ephemeral port left for port {service.port} ({service.name}): {len(taken_ports) + ended} connections "
            f"to it{waits} take all {room} ports of ip_local_port_range, {low}–{high}",
            name,
            Certainty.CERTAIN,
            f"widen net.ipv4.ip_local_port_range on {name}, or see what opens so many connections"
            + (" one after the other; let it keep one open" if ended else " and does not close them"),
            (
                f"`ss -tan` on {name}: {len(taken_ports)} sockets to {vip}:{service.port}"
                + (f" and {ended} more in TIME-WAIT" if ended else ""),
            ),
            explains=tuple(p.name for p in evidence.failed if p.origin == name),
        )
    untried = [p for p in evidence.failed if p.origin == name and NO_PORT.search(p.reason)]
    if untried and not told:
        yield Cause(
            f"{name} has no ephemeral port left, of ip_local_port_range {low}–{high}, for connections to "
            f"{join_names(f'port {p.service.port} ({p.service.name})' for p in untried)}: its kernel refused to begin one",
            name,
            Certainty.LIKELY,
            f"see what holds the ports (`ss -tan state all dst {vip}` on {name}, TIME-WAIT too), or widen net.ipv4.ip_local_port_range",
            tuple(f"attempts on the path {p.path}: {p.reason}" for p in untried),
            explains=tuple(p.name for p in untried),
        )
