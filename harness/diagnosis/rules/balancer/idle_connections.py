"""Idle connections: the balancer forgets them in silence, and keepalive is what prevents that (facts IDLE-01)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, Socket
from harness.diagnosis.required_flows import join_names

# As ss writes it: 119min, 1min53sec, 9sec, 9.980ms (which are seconds), 980ms.
KEEPALIVE = re.compile(r"keepalive,(?:(\d{1,6})min)?(?:(\d{1,2})sec)?(?:(?:(\d)\.)?(\d{3})ms)?")


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    limit = evidence.cluster.load_balancer.idle_timeout_s
    yield from _forgotten(evidence, limit)
    times = {name: host.sysctls.get("tcp_keepalive_time", "").strip() for name, host in evidence.hosts.items()}
    late = {name: int(seconds) for name, seconds in times.items() if seconds.isdigit() and int(seconds) >= limit}
    if late:
        yield _late_keepalive(late, limit)


def _forgotten(evidence: Evidence, limit: float) -> Iterator[Cause]:
    """The client's connections that are idle for longer than the balancer remembers them. The kernel's time to the first keepalive counts
    only for a program that asks for keepalive at all, and that may ask for another time: what the sockets themselves do decides."""
    client = evidence.hosts.get(evidence.cluster.client.name)
    established = [s for s in (client.sockets if client else ()) if s.state == "ESTAB" and s.peer == str(evidence.cluster.vip)]
    idle = [s for s in established if (s.idle_s or 0) >= limit and not _is_kept_alive(s, limit) and not _is_kept_alive_there(evidence, s)]
    if client is not None and idle:
        yield _dead_connections(client.name, idle, client.sysctls.get("tcp_keepalive_time", "").strip(), limit)


def _is_kept_alive(socket: Socket, limit: float) -> bool:
    """Does this end send keepalive before the balancer forgets the connection? Each answer to one begins the time anew."""
    match = KEEPALIVE.match(socket.timer)
    if match is None:
        return False
    minutes, seconds, whole_seconds, thousandths = (int(part or 0) for part in match.groups())
    return (socket.unheard_s or 0.0) + 60 * minutes + seconds + whole_seconds + thousandths / 1000 < limit


def _is_kept_alive_there(evidence: Evidence, socket: Socket) -> bool:
    """The server's keepalive feeds the balancer's timer as well (facts SQL-83)."""
    active = evidence.hosts.get(evidence.active or "")
    ends = (socket.peer_port, socket.address, socket.port)
    there = [s for s in (active.sockets if active else ()) if (s.port, s.peer, s.peer_port) == ends and s.state == "ESTAB"]
    return any(_is_kept_alive(s, evidence.cluster.load_balancer.idle_timeout_s) for s in there)


def _dead_connections(name: str, idle: list[Socket], keepalive_time: str, limit: float) -> Cause:
    socket = idle[0]
    without = [s.owner for s in idle if KEEPALIVE.match(s.timer) is None]
    asks = "and only counts where a program asks for it"
    if without and keepalive_time.isdigit() and int(keepalive_time) < limit:
        asks = f"which only counts where a program asks for keepalive (SO_KEEPALIVE), as {join_names(without)} does not"
    return Cause(
        f"{len(idle)} connections of {name} to {socket.peer}:{socket.peer_port} are idle for longer than the balancer's idle timeout of "
        f"{limit:g} s, and neither end sends keepalive before that: they are "
        f"dead, and {name} does not know it (tcp_keepalive_time is {keepalive_time or 'not told'}{' s' if keepalive_time else ''}, {asks})",
        name,
        Certainty.LIKELY,
        f"let the programs on {name} set SO_KEEPALIVE and begin before {limit:g} s (net.ipv4.tcp_keepalive_time), or turn TCP reset "
        f"on idle on in the rule",
        tuple(f"`ss -tanopi` on {name}: {s.owner}, port {s.port}, silent for {s.idle_s or 0:.0f} s, {_timer(s)}" for s in idle[:3]),
    )


def _timer(socket: Socket) -> str:
    match = KEEPALIVE.match(socket.timer)
    return f"keepalive only in {match[0].partition(',')[2]}" if match else "no keepalive timer"


def _late_keepalive(late: dict[str, int], limit: float) -> Cause:
    times = ", ".join(dict.fromkeys(str(t) for t in late.values()))
    return Cause(
        f"keepalive begins only after {times} s on {', '.join(late)}, and the balancer forgets an idle connection after {limit:g} s: "
        "what is idle for longer is lost in silence",
        next(iter(late)),
        Certainty.POSSIBLE,
        f"set net.ipv4.tcp_keepalive_time below {limit:g} where connections are held open, and let programs ask for keepalive",
        (
            *(f"net.ipv4.tcp_keepalive_time on {name}: {seconds}" for name, seconds in late.items()),
            f"the cluster file: idle_timeout_s {limit:g}",
        ),
    )
