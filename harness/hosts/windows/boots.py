"""Which boot a Windows host is in, by the kernel's own number and a count that begins with it: neither moves with the clock or a log."""

from __future__ import annotations

from dataclasses import dataclass

from harness.hosts.host import Host
from harness.hosts.windows.script_runner import rows_of


@dataclass(frozen=True)
class Boot:
    """`number`: the kernel's own; None where it tells none (WHST-96). `ticks`: seconds of its count since the start (WHST-98)."""

    number: int | None
    ticks: float


def boot_of(host: Host, *, limit: float = 10.0) -> Boot:
    """Raises what `rows_of` raises."""
    row = rows_of(host, "boot", {}, limit=limit)[0]
    number = row["Number"]
    return Boot(None if number is None else int(number), float(row["Ticks"]))


def booted_between(before: Boot, after: Boot) -> bool:
    """Did it start anew between these two answers? Another number, or a count that is behind where it was, cannot be else. Pure."""
    if before.number is not None and after.number is not None and before.number != after.number:
        return True
    return after.ticks < before.ticks
