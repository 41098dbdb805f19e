"""How a connection attempt ends, and what the error codes mean with which it does."""

from __future__ import annotations

from enum import StrEnum

MEANING = {
    "ENETUNREACH": "the origin has no route to it",
    "ENETDOWN": "the origin's own NIC is down",
    "EHOSTUNREACH": "an ICMP error came back: a firewall that rejects it, a router, or no neighbour of that address",
    "EPERM": "a filter of the origin itself forbids it",
    "EACCES": "a filter or a route of the origin itself forbids it",
    "EADDRNOTAVAIL": "the origin has no such source address, or no port left",
    "EADDRINUSE": "the origin has no port left",
    "EMFILE": "the origin admits no more open files",
}


class AttemptOutcome(StrEnum):
    """How a connection ended. A refusal comes from a machine, silence from the fabric (facts ILB-03, ILB-04)."""

    ANSWERED = "answered"
    REFUSED = "refused"
    SILENT = "silent"
    RESET = "reset"
    UNREACHABLE = "unreachable"


OUTCOME_OF: dict[str | None, AttemptOutcome] = {
    None: AttemptOutcome.ANSWERED,
    "ECONNREFUSED": AttemptOutcome.REFUSED,
    "ECONNRESET": AttemptOutcome.RESET,
    "ETIMEDOUT": AttemptOutcome.SILENT,  # the kernel gave up before our limit
    **{code: AttemptOutcome.UNREACHABLE for code in ("ENETUNREACH", "EHOSTUNREACH", "EHOSTDOWN", "ENETDOWN", "EPERM", "EACCES")},
}
