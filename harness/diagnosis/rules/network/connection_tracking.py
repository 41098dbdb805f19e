"""Connection tracking: a table that is full, connections that are forgotten, and what rules exempt from it (notrack)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.firewall import Ruleset, evaluate
from harness.diagnosis.firewall.tracking_exemptions import opening_if_tracked
from harness.diagnosis.required_flows import FlowVerdict, join_names

MAX_CONNTRACK_SHARE = 0.95  # of the table of tracked connections: a burst fills the rest


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    yield from _full_table(evidence)
    yield from _forgotten(evidence)
    yield from _untranslated(evidence)


def _full_table(evidence: Evidence) -> Iterator[Cause]:
    """The kernel's table of tracked connections: when it is full, what is new is dropped without a word to either end."""
    for name, host in evidence.hosts.items():
        number, most = (host.sysctls.get(f"nf_conntrack_{what}", "").strip() for what in ("count", "max"))
        if not number.isdigit() or not most.isdigit() or not int(most) or int(number) < MAX_CONNTRACK_SHARE * int(most):
            continue
        full = int(number) >= int(most)
        here = ("*/*",) if full and name == evidence.active else tuple(p.name for p in evidence.failed if full and p.origin == name)
        yield Cause(
            f"the connection-tracking table of {name} is {'full' if full else 'nearly full'}, {number} of {most} entries: its kernel drops "
            f"{'what' if full else 'soon what'} is new, probes and clients alike",
            name,
            Certainty.CERTAIN if full else Certainty.LIKELY,
            f"raise net.netfilter.nf_conntrack_max on {name}, and see what fills it (`conntrack -S`, `ss -s`)",
            (f"net.netfilter on {name}: nf_conntrack_count {number}, nf_conntrack_max {most}",),
            explains=here,
        )


def _forgotten(evidence: Evidence) -> Iterator[Cause]:
    """A stateful ruleset whose connection tracking forgets an idle connection before the balancer does: what comes over it next is no
    packet that opens a connection, and is dropped without a word."""
    limit = evidence.cluster.load_balancer.idle_timeout_s
    for name, host in evidence.hosts.items():
        timeout = host.sysctls.get("nf_conntrack_tcp_timeout_established", "").strip()
        dropped_flows = _lost_when_forgotten(evidence, name, host) if timeout.isdigit() and int(timeout) < limit else []
        if not dropped_flows:
            continue
        client = evidence.hosts.get(evidence.cluster.client.name) if name != evidence.standby else None
        ports = {f.needed.first.destination_port for f in dropped_flows}
        established = [s for s in (client.sockets if client else ()) if s.state == "ESTAB" and s.peer == str(evidence.cluster.vip)]
        quiet = [
            (s, for_s)
            for s in established
            if s.peer_port in ports and (for_s := (s.unheard_s if "keepalive" in s.timer else s.idle_s) or 0.0) >= int(timeout)
        ]
        seen_idle = f"; {len(quiet)} of the client's are idle for longer now" if quiet else ""
        yield Cause(
            f"its own firewall forgets a connection that is idle for {timeout} s, before the balancer's idle timeout of {limit:g} s, and "
            f"drops what comes after that, as it opens no connection: {join_names(f.needed.question for f in dropped_flows)}{seen_idle}",
            name,
            Certainty.LIKELY if quiet else Certainty.POSSIBLE,
            f"raise net.netfilter.nf_conntrack_tcp_timeout_established on {name} above {limit:g} (Linux's own value is 432000), or "
            f"let programs send keepalive more often than every {timeout} s",
            (
                f"net.netfilter on {name}: nf_conntrack_tcp_timeout_established {timeout}",
                f"{name}'s ruleset, evaluated for a packet in the middle of a connection that is not tracked: dropped",
                *(f"`ss -tanopi` on the client: {s.owner}, to port {s.peer_port}, silent for {t:.0f} s" for s, t in quiet[:3]),
            ),
        )


def _lost_when_forgotten(evidence: Evidence, host: str, host_seen: HostSeen) -> list[FlowVerdict]:
    """What the client sends in the middle of a connection that this host, a node or the client itself, tracks no more, and is dropped, or
    what answers it there. The kernel takes such a packet for a new connection, unless it was told not to be loose."""
    loose = host_seen.sysctls.get("nf_conntrack_tcp_loose", "1").strip() != "0"
    ports = {s.port for s in evidence.cluster.services}
    dropped_flows = []
    for fate in evidence.firewalls[host].fates if host in evidence.firewalls and host_seen.firewall is not None else ():
        first = fate.needed.first
        if fate.opening.passes and first.source == str(evidence.cluster.client.address) and first.destination_port in ports:
            later = replace(first, state="new" if loose else "invalid", flags=("ack", "psh"))
            answer = replace(later.answer(), state="established" if loose else "invalid", flags=("ack", "psh"))
            exchanged = [later, answer] if first.hook == "output" else [later]
            if host_seen.firewall is not None and any(evaluate(host_seen.firewall, p).passes is False for p in exchanged):
                dropped_flows.append(fate)
    return dropped_flows


def exempting_rules(evidence: Evidence, host: str, fates: Sequence[FlowVerdict]) -> str:
    """The rules (notrack) without which one of these would pass, or nothing."""
    host_seen = evidence.hosts.get(host)
    if host_seen is None or not isinstance(host_seen.firewall, Ruleset):
        return ""
    for fate in fates:
        tracked = (
            opening_if_tracked(host_seen.firewall, fate.needed.first, back=fate.needed.back)
            if fate.needed.first.protocol == "tcp"
            else None
        )
        if tracked is not None and tracked[0].passes:
            return tracked[1]
    return ""


def leads_to(evidence: Evidence, host: str, port: int) -> tuple[int, str] | None:
    """The other port of that host, with somebody listening on it, that its own rules redirect a client's connections to, and the rules
    (notrack) that keep these from it, or nothing where they are redirected. None where nobody listens on another port for it."""
    host_seen, firewall = evidence.hosts.get(host), evidence.firewalls.get(host)
    for fate in firewall.fates if host_seen is not None and firewall is not None else ():
        first, now = fate.needed.first, fate.opening.port
        if host_seen is None or first.hook != "input" or first.in_nic == "lo" or first.destination_port != port:
            continue
        if now not in (None, port) and host_seen.listening(now):
            return now, ""
        tracked = opening_if_tracked(host_seen.firewall, first, back=fate.needed.back) if host_seen.firewall is not None else None
        if tracked is not None and tracked[0].port not in (None, port) and host_seen.listening(tracked[0].port):
            return tracked[0].port, tracked[1]
    return None


def _untranslated(evidence: Evidence) -> Iterator[Cause]:
    """A service that listens on another port, which a rule of kind nat leads to: it is not asked of what is not tracked."""
    name = evidence.active or ""
    for service in evidence.cluster.services:
        other = leads_to(evidence, name, service.port)
        if other is None or not other[1] or evidence.hosts[name].listening(service.port):
            continue
        yield Cause(
            f"connections to port {service.port} ({service.name}) are to be redirected to port {other[0]}, where it listens, and "
            f"{other[1]} "
            "exempts them from connection tracking: no rule of kind nat is asked about what is not tracked, so they arrive at a port that "
            "nobody listens on",
            name,
            Certainty.CERTAIN,
            f"take the exemption away, or let it leave out port {service.port}",
            (
                f"{name}'s ruleset, evaluated without the exemption: redirected to port {other[0]}",
                f"`ss -tlnp` on {name}: port {other[0]} is listened on, port {service.port} is not",
            ),
            explains=(f"*/{service.name}", f"{name}:listener of {service.name}"),
        )
