"""Idle connections: the balancer forgets them in silence, and keepalive is what prevents that (facts IDLE-01)."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, Socket


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    limit = evidence.cluster.load_balancer.idle_timeout_s
    late: dict[str, int] = {}
    for name, seen in evidence.hosts.items():
        told = seen.sysctls.get("tcp_keepalive_time", "").strip()
        if not told.isdigit() or int(told) < limit:
            continue
        late[name] = int(told)
        held = [
            s for s in seen.sockets if s.state == "ESTAB" and s.peer == str(evidence.cluster.vip) and name == evidence.cluster.client.name
        ]
        idle = [s for s in held if (s.idle_s or 0) >= limit and "keepalive" not in s.timer]
        if idle:
            yield _dead_connections(name, idle, int(told), limit)
    if late:
        yield _late_keepalive(late, limit)


def _dead_connections(name: str, idle: list[Socket], told: int, limit: float) -> Cause:
    one = idle[0]
    return Cause(
        f"{len(idle)} connections of {name} to {one.peer}:{one.peer_port} are idle for longer than the balancer's idle timeout of "
        f"{limit:g} s and send no keepalive: they are "
        f"dead, and {name} does not know it (tcp_keepalive_time is {told} s, and only counts where a program asks for it)",
        name,
        Certainty.LIKELY,
        f"let the programs on {name} set SO_KEEPALIVE and begin before {limit:g} s (net.ipv4.tcp_keepalive_time), or turn TCP reset "
        f"on idle on in the rule",
        tuple(f"`ss -tanopi` on {name}: {s.owner}, port {s.port}, silent for {s.idle_s or 0:.0f} s, no keepalive timer" for s in idle[:3]),
    )


def _late_keepalive(late: dict[str, int], limit: float) -> Cause:
    times = ", ".join(dict.fromkeys(str(t) for t in late.values()))
    return Cause(
        f"keepalive begins only after {times} s on {', '.join(late)}, and the balancer forgets an idle connection after {limit:g} s: "
        "what is idle for longer is lost in silence",
        next(iter(late)),
        Certainty.POSSIBLE,
        f"set net.ipv4.tcp_keepalive_time below {limit:g} where connections are held open, and let programs ask for keepalive",
        (*(f"net.ipv4.tcp_keepalive_time on {name}: {told}" for name, told in late.items()), f"the cluster file: idle_timeout_s {limit:g}"),
    )
