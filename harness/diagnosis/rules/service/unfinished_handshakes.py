"""Handshakes that do not end: clients of other networks than the file's, whose SYNs arrive and whom no answer reaches (facts FAB-08)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from harness.config.cluster_config import Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen, Socket
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network.routes import way_of
from harness.hosts.linux.linux_parse import Route

SENT_AGAIN = re.compile(r"[^,]*,[^,]*,(\d{1,3})")  # ss's timer: its kind, when it ends, how many times it did
LONG = 2  # answers sent again, a second at least after the first
MANY = 3  # handshakes of one client at once
MAX_PEERS = 5  # named in one sentence


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports. Whom the rules on routes know of is passed over."""
    cluster, host = evidence.cluster, evidence.hosts.get(evidence.active or "")
    if host is None or evidence.moved:
        return
    node = cluster.node(host.name)
    first, asked = host.nic_of(node.address), {str(node.address), str(cluster.vip)}
    known = {str(m.address) for m in cluster.machines} | asked | {str(cluster.load_balancer.probe.source)}
    for service in cluster.services:
        stuck = [s for s in host.sockets if s.state == "SYN-RECV" and s.port == service.port and s.address in asked and _sent_again(s)]
        counts = Counter(s.peer for s in stuck if s.peer not in known)
        felt = [s for s in stuck if s.peer in counts and (counts[s.peer] >= MANY or _sent_again(s) >= LONG)]
        ways: dict[Route | None, list[Socket]] = {}
        for socket in felt:
            route = host.ways_back.get((socket.peer, socket.address))
            wrong = route is not None and first is not None and (route.kind != "unicast" or route.interface != first)
            ways.setdefault(route if wrong else None, []).append(socket)
        for route, sockets in ways.items():
            yield _cause(evidence, host, service, route, sockets)


def _cause(evidence: Evidence, host: HostSeen, service: Service, route: Route | None, sockets: list[Socket]) -> Cause:
    node = evidence.cluster.node(host.name)
    first, second = host.nic_of(node.address), host.nic_of(node.second_address)
    peers = list(dict.fromkeys(s.peer for s in sockets))
    named = join_names(peers[:MAX_PEERS]) + (f" and {len(peers) - MAX_PEERS} more" if len(peers) > MAX_PEERS else "")
    port = f"port {service.port} ({service.name})"
    lines = [f"`ss -tanop` on {host.name}: SYN-RECV {s.address}:{s.port} from {s.peer}, timer ({s.timer})" for s in sockets[:MAX_PEERS]]
    if route is None:
        return Cause(
            f"handshakes of {named} with {port} do not end: their SYNs arrive, and the answers are sent again and again",
            host.name,
            Certainty.POSSIBLE,
            "see whether these are clients; if they are, look at route tables and firewalls between them and the node, on the way back",
            tuple(lines),
            "a scan, or SYNs with a forged address, look the same",
        )
    lines.append(f"`ip route get {peers[0]} from {sockets[0].address}` on {host.name}: {route.kind} dev {route.interface}")
    # By another NIC than the cluster's two they may have come as well: a tunnel, a container that is gone.
    sure = route.kind != "unicast" or (second is not None and route.interface == second)
    return Cause(
        f"clients at {named} do not get through to {port}: their SYNs arrive, and what {host.name} answers is routed {way_of(route)}, not "
        f"by {first} where the balancer's packets come in",
        host.name,
        Certainty.LIKELY if sure else Certainty.POSSIBLE,
        f"let what goes to these networks leave by {first}: look at `ip route show table all` and `ip rule` on {host.name}, and on the "
        "other node too",
        tuple(lines),
    )


def _sent_again(socket: Socket) -> int:
    found = SENT_AGAIN.fullmatch(socket.timer)
    return int(found[1]) if found else 0
