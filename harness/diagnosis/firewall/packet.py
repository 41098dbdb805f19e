"""The packet that a firewall is asked about, and the answer. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

EPHEMERAL = (32768, 65535)  # a port that the sender's kernel chooses: any of these, as Linux and Windows are delivered


class Outcome(StrEnum):
    """REJECT: dropped, and the sender is told. CANNOT_TELL: `why` says what would have to be known."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Packet:
    """One packet at this host: `hook` is input (it came by `in_nic` and is for this host) or output (it leaves by `out_nic`).

    `state` is what connection tracking calls it: `new` (the SYN), `established` (what answers it, or follows), `related` (an ICMP
    error about it), `invalid`. A None is not known, and what depends on it cannot be told. `source_port` may be a range, from and to.
    `flags` are TCP's; not given they are a SYN's for what is new and a SYN-ACK's for what is established. `uid` is the owner of the
    socket that sends. `icmp` is the type and code of an ICMP packet. `rejects`: it is the kernel's own word on a packet that it rejected.
    `own_nic` is the NIC that has this host's own address of the two, `far_nic` the one by which the host routes from it to the other.
    `listened` are the TCP ports that somebody listens on at this host.
    """

    source: str
    destination: str
    destination_port: int | tuple[int, int]
    source_port: int | tuple[int, int] = EPHEMERAL
    protocol: str = "tcp"
    hook: str = "input"
    in_nic: str | None = None
    out_nic: str | None = None
    state: str = "new"
    flags: Collection[str] | None = None
    uid: int | None = None
    reply: bool | None = None
    icmp: tuple[int, int] | None = None
    rejects: bool = False
    own_nic: str | None = None
    far_nic: str | None = None
    listened: frozenset[int] | None = None

    def answer(self, nic: str | None = None, uid: int | None = None) -> Packet:
        """What answers this SYN: the SYN-ACK, by the NIC it came in by unless another is given."""
        there = self.hook == "input"
        return replace(
            self,
            source=self.destination,
            destination=self.source,
            source_port=self.destination_port,
            destination_port=self.source_port,
            hook="output" if there else "input",
            in_nic=None if there else nic or self.out_nic,
            out_nic=nic or self.in_nic if there else None,
            state="established",
            flags=None,
            reply=True,
            uid=uid,
        )

    @property
    def is_reply(self) -> bool:
        """Does it go against the way the connection was opened? A SYN-ACK does."""
        return self.state == "established" if self.reply is None else self.reply

    def __str__(self) -> str:
        way = f"in by {self.in_nic or 'some NIC'}" if self.hook == "input" else f"out by {self.out_nic or 'some NIC'}"
        source = "" if isinstance(self.source_port, tuple) else f":{self.source_port}"
        to = "" if isinstance(self.destination_port, tuple) else f":{self.destination_port}"
        return f"{self.protocol} {self.source}{source} to {self.destination}{to}, {way}"


@dataclass(frozen=True)
class ArpPacket:
    """A question for a hardware address, or the answer to one, at this host: `hook` is input or output, by `nic`. `sender` and `target` are
    IPv4 addresses; a None is not known, and what depends on it cannot be told.
    """

    hook: str
    nic: str
    asks: bool
    sender: str | None
    target: str | None

    def __str__(self) -> str:
        way = "in" if self.hook == "input" else "out"
        what = "question" if self.asks else "answer"
        return f"ARP {what} of {self.sender or 'somebody'} to {self.target or 'somebody'}, {way} by {self.nic}"


@dataclass(frozen=True)
class Decision:
    """What the kernel would do, `rule` that decides it (table, chain, its own text), and `why` in words.

    `passes` is True or False also where only the kind of refusal cannot be told. `reply` is what a reject sends: `tcp reset`,
    `icmp port-unreachable`, …
    """

    outcome: Outcome
    rule: str
    why: str
    passes: bool | None
    reply: str = ""
    changed: str = ""

    def __str__(self) -> str:
        if self.outcome is Outcome.CANNOT_TELL:
            return f"cannot tell: {self.why}"
        return f"{self.outcome}: {self.rule}"
