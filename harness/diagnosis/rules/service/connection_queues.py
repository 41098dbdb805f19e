"""The kernel's queues for connections that nobody has accepted yet, where a node's setting leaves next to no room in them."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.host_config.kernel_limits import is_far_lower
from harness.diagnosis.required_flows import join_names

ACCEPTED, MIN_ACCEPTED = "net.core.somaxconn", 16  # connections; kernels have had 128, and 4096 since 5.4
MIN_HALF_OPEN = 64  # handshakes; kernels begin with 128 on the smallest machines


def causes(evidence: Evidence) -> Iterator[Cause]:
    """A queue is as long as a program asks for, and no longer than the setting was as it began to listen."""
    small = {node.name: int(most) for node, host in evidence.nodes if (most := host.limits.get(ACCEPTED, "")).isdigit()}
    small = {name: most for name, most in small.items() if most < MIN_ACCEPTED}
    if small and not _is_told_elsewhere(evidence, small):
        yield Cause(
            f"{ACCEPTED} is {join_names(f'{most} on {name}' for name, most in small.items())}: of what listens from its next start on, "
            "after a failover too, no more connections wait to be accepted, and of several that come at once some get no answer",
            evidence.active if evidence.active in small else next(iter(small)),
            Certainty.LIKELY,
            f"`sysctl -w {ACCEPTED}=4096`, and see which file in /etc/sysctl.d has it otherwise; what listens now keeps its queue until "
            "it is started again",
            tuple(f"/proc/sys/net/core/somaxconn on {name}: {most}" for name, most in small.items()),
        )
    for _, host in evidence.nodes:
        yield from _half_open(host)


def _is_told_elsewhere(evidence: Evidence, small: dict[str, int]) -> bool:
    """Of the standby alone: among the limits that are far lower there."""
    active, standby = (evidence.hosts[name].limits.get(ACCEPTED, "") if name in evidence.hosts else "" for name in _nodes(evidence))
    return set(small) == {evidence.standby} and is_far_lower(ACCEPTED, active, standby)


def _nodes(evidence: Evidence) -> tuple[str, str]:
    return evidence.active or "", evidence.standby or ""


def _half_open(host: HostSeen) -> Iterator[Cause]:
    most = host.sysctls.get("tcp_max_syn_backlog", "")
    if host.sysctls.get("tcp_syncookies") == "0" and most.isdigit() and int(most) < MIN_HALF_OPEN:
        yield Cause(
            f"net.ipv4.tcp_max_syn_backlog is {most} on {host.name}, and tcp_syncookies is off: of connections that begin at once the "
            "kernel drops those for which it has no room, and their clients wait for seconds",
            host.name,
            Certainty.POSSIBLE,
            "`sysctl -w net.ipv4.tcp_syncookies=1` (the kernel's own default), or a longer tcp_max_syn_backlog; `nstat -azs` tells what "
            "was dropped (TcpExtTCPReqQFullDrop)",
            (f"sysctl on {host.name}: net.ipv4.tcp_max_syn_backlog {most}, net.ipv4.tcp_syncookies 0",),
        )
