"""Packets dropped in silence on a node, in an nft table of its own whose counters show that it was effective."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from harness.deadline import Deadline
from harness.disrupt.deadman import Script, quoted
from harness.disrupt.on_host import OnHost


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

    def lacks(self) -> str | None:
        return self._needs("nft", "nftables")

    def script(self, id: str) -> Script:
        self._table = f"inet {id}"
        listed = f"nft list table {self._table} >/dev/null 2>&1"
        return Script(
            f"printf '%s\\n' {quoted(ruleset(id, self.drops()))} | nft -f -",
            f"if {listed}; then nft delete table {self._table}; fi",
            f"! {listed}",
        )

    def took_effect(self, deadline: Deadline) -> None:
        """By evidence: packets were dropped in every direction that is cut."""
        drops = self.drops()
        chains = [chain for chain, matches in (("inbound", drops.inbound), ("outbound", drops.outbound)) if matches]
        seen = " && ".join(f"nft list chain {self._table} {chain} | grep -Eq 'counter packets [1-9]'" for chain in chains)
        deadline.wait_for(lambda: self._there(seen, deadline), what=f"packets being dropped ({' and '.join(chains)}) on {self.target()}")


def ruleset(table: str, drops: Drops) -> str:
    """One table; before connection tracking's own filters have a say, after the capture has seen what came in."""

    def chain(name: str, hook: str, matches: tuple[str, ...]) -> str:
        rules = "".join(f"    {match} counter drop\n" for match in matches)
        return f"  chain {name} {{\n    type filter hook {hook} priority -10; policy accept;\n{rules}  }}\n"

    return f"table inet {table} {{\n{chain('inbound', 'input', drops.inbound)}{chain('outbound', 'output', drops.outbound)}}}\n"


def between(own: object, peer: object, *, outbound: bool = True) -> Drops:
    """Everything between two addresses; of what goes out nothing, if so wanted."""
    return Drops((f"ip saddr {peer} ip daddr {own}",), (f"ip saddr {own} ip daddr {peer}",) if outbound else ())
