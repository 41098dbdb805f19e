"""Packets dropped in silence on a node, in an nft table of its own whose counters show that it was effective."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.disrupt.bases.host_fault_base import OnHost
from harness.hosts.deadman.deadman_switch import Script, quoted


@dataclass(frozen=True)
class Drops:
    """What is dropped, as nft matches: of what comes in, and of what goes out."""

    inbound: tuple[str, ...] = ()
    outbound: tuple[str, ...] = ()

    def __add__(self, other: Drops) -> Drops:
        return Drops(self.inbound + other.inbound, self.outbound + other.outbound)


class Cut(OnHost):
    """Says what to drop on which node."""

    _table = ""

    @abstractmethod
    def drops(self) -> Drops: ...

    def skip_reason(self) -> str | None:
        return self._needs("nft", "nftables")

    def script(self, id: str) -> Script:
        self._table = f"inet {id}"
        return cut_script(id, self.drops())

    def took_effect(self, deadline: Deadline) -> None:
        """By evidence: packets were dropped by every rule."""
        drops = self.drops()
        rules = len(drops.inbound) + len(drops.outbound)
        seen = f"[ $(nft list table {self._table} | grep -Ec 'counter packets [1-9]') = {rules} ]"
        deadline.wait_for(lambda: self._there(seen, deadline), what=f"packets being dropped by each of {rules} rules on {self.target()}")

    def undo(self, deadline: Deadline) -> None:
        """Raises Inconclusive, all being undone, when the rules had been removed by somebody meanwhile: then nothing was cut any more."""
        super().undo(deadline)
        if vanished := [note for note in self._notes if VANISHED in note]:
            raise Inconclusive(f"{self.target()}: {vanished[0]}; it is not known since when nothing was cut")


VANISHED = "the rules of the cut were no longer there"


def cut_script(id: str, drops: Drops) -> Script:
    """A table of that name; its undoing tells how many packets it dropped, or that somebody else has removed it."""
    listed = f"nft list table inet {id}"
    count = "awk '/counter packets/ { for (i = 1; i < NF; i++) if ($i == \"packets\") n += $(i + 1) } END { print n + 0 }'"
    return Script(
        f"printf '%s\\n' {quoted(ruleset(id, drops))} | nft -f - && : >\"$d/cut\"",
        f'if {listed} >/dev/null 2>&1; then echo "note: $({listed} | {count}) packets were dropped"; nft delete table inet {id}\n'
        f'elif [ -e "$d/cut" ]; then echo "note: {VANISHED}: something removed them (a reload of the firewall?)"; fi',
        f"! {listed} >/dev/null 2>&1",
    )


def ruleset(table: str, drops: Drops) -> str:
    """One table; before connection tracking's own filters have a say, after the capture has seen what came in."""

    def chain(name: str, hook: str, matches: tuple[str, ...]) -> str:
        rules = "".join(f"    {match} counter drop\n" for match in matches)
        return f"  chain {name} {{\n    type filter hook {hook} priority -10; policy accept;\n{rules}  }}\n"

    return f"table inet {table} {{\n{chain('inbound', 'input', drops.inbound)}{chain('outbound', 'output', drops.outbound)}}}\n"


def between(own: object, peer: object, *, outbound: bool = True) -> Drops:
    """Everything between two addresses; of what goes out nothing, if so wanted."""
    return Drops((f"ip saddr {peer} ip daddr {own}",), (f"ip saddr {own} ip daddr {peer}",) if outbound else ())
