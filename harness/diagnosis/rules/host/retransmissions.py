"""How often a host's kernel sends again what was not acknowledged before it gives a connection up."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

MAX_FEW_RETRIES = 2  # guides for databases go down to 3, about 3 s


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Fewer retries are wanted, and safe, down to some: below that each loss of a moment ends what is open."""
    for name, host in evidence.hosts.items():
        retries = host.sysctls.get("tcp_retries2", "").strip()
        if not retries.isdigit() or int(retries) > MAX_FEW_RETRIES:
            continue
        yield Cause(
            f"net.ipv4.tcp_retries2 is {retries} on {name}: its kernel gives an established connection up when a packet is not "
            "acknowledged within a second or so, and every short loss, a failover's too, ends what is open there",
            name,
            Certainty.POSSIBLE,
            f"set net.ipv4.tcp_retries2 on {name} to 5 or more (15 as it is delivered; 3 is the least that guides for databases name), and "
            "see below /etc/sysctl.d what sets it",
            (f"net.ipv4 on {name}: tcp_retries2 {retries}",),
        )
