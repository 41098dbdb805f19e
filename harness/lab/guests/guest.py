"""What a lab's host is made of, as the lab drives it: power, NICs, a way in. One driver a file: `namespace.py`, and others beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Guest(Protocol):
    """One host of the lab, from the outside. Whoever takes its power darkens the fabric's legs to it first."""

    kind: str  # as [lab.guests] names it
    name: str
    pid: int | None  # of its first process, None without power; as the lab sees it, or the machine for what runs beside the lab
    boot_timeout_s: float  # how long a boot of this kind may take on a busy machine
    cannot: Mapping[str, str]  # what this kind cannot do, with the reason, by the name that `lab power` uses

    @property
    def power(self) -> str:
        """`on`, `off` or `frozen`."""

    async def power_on(self) -> str:
        """Give it power and return the network namespace that its NICs go into, as `ip` takes it; it then waits for them (`connect`).

        Nothing where the fabric's legs are there already, as its NICs' other ends.
        Raises OSError with what went wrong.
        """

    def connect(self) -> None:
        """Its NICs are there: go on booting."""

    async def wait_until_booted(self) -> None:
        """Wait until it has booted. Raises OSError when it halted instead, or did not come up."""

    def end_fd(self) -> int:
        """A new file, the caller's to close, that becomes readable when its first process has ended by itself or was ended."""

    def own_netns(self) -> int | None:
        """An open file of its network namespace, for the way in (SSH); None without power."""

    def forget_network(self) -> None:
        """Close that file: the namespace ends with its last process."""

    async def power_loss(self) -> None:
        """End everything in it at once. Its legs must be dark already; its network namespace stays until `forget_network`."""

    async def shutdown(self) -> None:
        """Ask its init to stop everything in order and power off; returns at once, `end_fd` tells when. Raises ValueError if it cannot."""

    async def freeze(self) -> None:
        """Stop everything in it where it stands."""

    async def thaw(self) -> None:
        """Let everything that is frozen run on."""

    def processes(self) -> list[int]:
        """The pids of everything that runs in it, as far as the lab sees them."""
