"""For how long the client's own kernel would have waited on a connection that has fallen silent: what an ordinary program gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.errors import HarnessError
from harness.hosts.linux.linux_host import LinuxHost

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest

SETTING = "net.ipv4.tcp_retries2"
FIRST_S, LONGEST_S = 0.2, 120.0  # Linux' TCP_RTO_MIN and TCP_RTO_MAX: each wait for an acknowledgement is twice the one before


def retransmission_time_s(retries: int) -> float:
    """What so many retransmissions take at least (Linux' documentation of tcp_retries2: 15 are 924.6 s)."""
    return sum(min(FIRST_S * 2**n, LONGEST_S) for n in range(min(retries, 1000) + 1))


def sentence(client: str, retries: int) -> str:
    """How long the client's own kernel would have waited, by its `tcp_retries2`."""
    waits = f"{retransmission_time_s(retries):.0f} s or more ({SETTING} = {retries})"
    return (
        f"{client}'s kernel itself gives up a connection on which what it sends is not acknowledged after {waits}; an ordinary client that "
        "sets no limit of its own waits as long, where nobody resets it"
    )


def describe(subject: ClusterUnderTest) -> str:
    """Asks the client's host; says what kept it from being told."""
    client = subject.cluster.client.name
    facts = subject.facts[client]
    if not isinstance(facts, LinuxHost):
        return f"how long {client}'s kernel waits on a silent connection is not read on such a host"
    try:
        retries = facts.sysctl(SETTING)
    except HarnessError as error:
        return f"how long {client}'s kernel waits on a silent connection was not told: {error}"
    return sentence(client, int(retries)) if retries.isdigit() else f"{client}'s {SETTING} reads {retries[:40]!r}, which is no number"
