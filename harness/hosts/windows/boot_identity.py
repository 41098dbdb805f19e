"""Which boot a Windows host is in, by the kernel's own number and a count that begins with it: neither moves with the clock or a log."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.hosts.host import Host
from harness.hosts.windows.script_runner import rows_of


@dataclass(frozen=True, eq=False)
class Boot:
    """`number`: the kernel's own; None where it tells none (WHST-96). `ticks`: seconds of its count since the start (WHST-98).

    `at`: the harness's own monotonic time of the answer, which tells of two answers the later one. Two are equal when they are of one boot.
    """

    number: int | None
    ticks: float
    at: float

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Boot):
            return NotImplemented
        return not booted_between(*sorted((self, other), key=lambda boot: boot.at))

    __hash__ = None  # type: ignore[assignment]  # equal is a relation of two answers, and no property of one


def boot_of(host: Host, *, limit: float = 10.0) -> Boot:
    """Raises what `rows_of` raises."""
    row = rows_of(host, "boot", {}, limit=limit)[0]
    number = row["Number"]
    return Boot(None if number is None else int(number), float(row["Ticks"]), time.monotonic())


def booted_between(before: Boot, after: Boot) -> bool:
    """Did it start anew between these two answers? Another number, or a count that is behind where it was, cannot be else. Pure."""
    if before.number is not None and after.number is not None and before.number != after.number:
        return True
    return after.ticks < before.ticks
