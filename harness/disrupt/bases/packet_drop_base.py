"""Packets dropped in silence on a node, in an nft table of its own whose counters show that it was effective."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Unusable
from harness.disrupt.bases.block_rule_effect import no_effect
from harness.disrupt.bases.host_fault_base import SBIN, OnHost
from harness.disrupt.disruption import EffectLost
from harness.hosts.deadman.deadman_switch import Script, quoted
from harness.hosts.root_rights import as_root
from harness.hosts.windows.scheduled_undo import Deed, WindowsChange, effect_in_force, rule_name
from harness.hosts.windows.windows_host import WindowsHost


@dataclass(frozen=True)
class Drops:
    """What is dropped, as nft matches: of what comes in, and of what goes out."""

    inbound: tuple[str, ...] = ()
    outbound: tuple[str, ...] = ()

    def __add__(self, other: Drops) -> Drops:
        return Drops(self.inbound + other.inbound, self.outbound + other.outbound)


@dataclass(frozen=True)
class Blocks:
    """The same for Windows Firewall: between which addresses, in both directions; with a `port`, TCP that comes in to it alone."""

    local: tuple[str, ...]
    remote: tuple[str, ...]
    port: int = 0


class Cut(OnHost):
    """Says what to drop on which node."""

    _table = ""
    _change: WindowsChange | None = None
    _at_effect: Counters | None = None  # when the effect was seen

    @abstractmethod
    def drops(self) -> Drops:
        """Which packets are dropped."""

    def blocks(self) -> Blocks:
        """The same by Windows' means, which know no direction (WNET-21). Raises Unusable where it is not done there."""
        raise Unusable(f"{self.name}: {self.target()} is a Windows node, and what a rule of its firewall would block is not told")

    def skip_reason(self) -> str | None:
        if not self.by_script:
            return self._needs("nft", "nftables")
        if why := self.cannot_undo():
            return why
        facts = self._subject.facts[self.target()]
        assert isinstance(facts, WindowsHost)
        why = no_effect(facts.addresses(), facts.firewall(), self.blocks().local)
        return f"{self.target()}: {why}" if why else None

    def deed(self, token: str) -> tuple[WindowsChange, Deed]:
        blocks = self.blocks()
        self._change = WindowsChange("firewall", rule=rule_name(token))
        parameters: dict[str, object] = {"Rule": self._change.rule, "Local": list(blocks.local), "Remote": list(blocks.remote)}
        return self._change, Deed("cut", parameters | ({"Port": blocks.port} if blocks.port else {}))

    def script(self, id: str) -> Script:
        self._table = f"inet {id}"
        return cut_script(id, self.drops())

    def took_effect(self, deadline: Deadline) -> None:
        """By evidence: packets were dropped by every rule. What the counters say then is compared with what they say at the undoing.

        Windows counts none: there the firewall's own word counts that it enforces the rules (WNET-34).
        """
        if self.by_script:
            self._wait_until_enforced(deadline)
            return
        drops = self.drops()
        rules = len(drops.inbound) + len(drops.outbound)

        def read_counters() -> Counters | None:
            listing = (
                self._subject.hosts[self.target()].run(as_root(f"{SBIN}nft -a list table {self._table}"), limit=deadline.within(10.0)).out
            )
            current = counters(listing)
            return current if len(current.packets) == rules and all(current.packets) else None

        self._at_effect = deadline.wait_for(read_counters, what=f"packets being dropped by each of {rules} rules on {self.target()}")

    def undo(self, deadline: Deadline) -> None:
        """Raises EffectLost, all being undone, when the rules had been removed or made again by somebody meanwhile."""
        if self.by_script:
            self._lift(deadline)
            return
        super().undo(deadline)
        last = last_counters(self._undo_lines)
        self._undo_lines.clear()
        if last is None and self._at_effect is not None:  # undone by an earlier try whose answer was lost, or by the host itself
            raise EffectLost(f"{self.target()}: it is undone, and whether it was in effect until then was not told")
        if last is not None and (reason := not_throughout(self._at_effect, last)):
            raise EffectLost(f"{self.target()}: {reason}; it is not known since when, or for how long, nothing was cut")

    def _wait_until_enforced(self, deadline: Deadline) -> None:
        change, host = self._change, self._subject.hosts[self.target()]
        assert change is not None  # it was begun

        def is_in_force() -> bool:
            return effect_in_force(host, change, limit=max(deadline.remaining(), 1.0))[0]

        deadline.wait_for(is_in_force, what=f"Windows Firewall enforcing the rules of {change.rule} on {self.target()}", every=0.2)
        self._at_effect = Counters(change.rule)

    def _lift(self, deadline: Deadline) -> None:
        """A last look, and the undoing whatever that says; a host that cannot be asked says nothing of its rules."""
        reason = ""
        if self._at_effect is not None and self._change is not None and self._tasks:
            try:
                still_in_force, why = effect_in_force(
                    self._subject.hosts[self.target()], self._change, limit=max(deadline.within(30.0), 1.0)
                )
                reason = "" if still_in_force else f"the block rules were not in force any more{': ' + why if why else ''}"
            except HarnessError as error:
                self._subject.timeline.note(
                    self.target(), "unseen", f"{self.name}: whether it was in force to its end was not told: {error}"
                )
        super().undo(deadline)
        self._at_effect = None
        if reason:
            raise EffectLost(f"{self.target()}: {reason}; it is not known since when, or for how long, nothing was cut")


@dataclass(frozen=True)
class Counters:
    """What nft says of the table of a cut: its handle, which no other table ever gets, and each rule's packets. No packets: no table."""

    handle: str = ""
    packets: tuple[int, ...] = ()


VANISHED = "the rules of the cut were no longer there: something removed them (a reload of the firewall?)"
MADE_AGAIN = "the rules of the cut were not the same any more: something removed them and made them again"
COUNTED = "counted "  # begins the line in which the undoing tells what the counters said last


def counters(listing: str) -> Counters:
    """Of `nft -a list table`. An nft that prints no table's handle leaves it empty. Pure."""
    handle = re.search(r"^table [^\n]*# handle (\d+)", listing, re.MULTILINE)
    return Counters(handle[1] if handle else "", tuple(int(n) for n in re.findall(r"counter packets (\d+)", listing)))


def last_counters(lines: Sequence[str]) -> Counters | None:
    """What the undoing's lines tell of the counters; None when it was not this run that undid it. Pure."""
    counted = [line.removeprefix(COUNTED).split() for line in lines if line.startswith(COUNTED)]
    if not counted:
        return None
    handle, *packets = counted[-1]
    return Counters("" if handle == "-" else handle, tuple(int(n) for n in packets))


def not_throughout(first: Counters | None, last: Counters) -> str:
    """Why the cut cannot have been in force from when its effect was seen until it was undone; empty when it can. Pure.

    `first`: None where the effect was never seen; then only that the table is there says anything.
    """
    if not last.packets:
        return VANISHED
    if first is None:
        return ""
    if first.handle != last.handle:
        return MADE_AGAIN
    if len(first.packets) != len(last.packets) or any(now < then for then, now in zip(first.packets, last.packets, strict=True)):
        words = (" ".join(str(n) for n in reading.packets) for reading in (first, last))
        return f"{MADE_AGAIN} (packets by rule, then and now: {'; '.join(words)})"
    return ""


# Where nft cannot be asked nothing is known, and nothing is undone: a package that is being replaced, a kernel without memory, a firewall
# that is loading its rules. Only where the host wrote down that it never began is there nothing to ask.
_ASK = r"""
[ ! -d "$d" ] || [ -e "$d/begun" ] || exit 0
tables=$(nft list tables) ||
  { echo "nft cannot be asked which tables there are, so whether the cut is still in force is not known" >&2; exit 1; }
case "$tables " in *" ID"[!A-Za-z0-9_]*) there=yes ;; *) there= ;; esac
"""
# Its undoing tells each rule's packets, once: when it has removed the table, a second try has nothing to tell.
_UNDO = r"""
if [ -n "$there" ]; then
  listed=$(nft -a list table inet ID) || exit 1
  handle=$(printf '%s\n' "$listed" | sed -n 's/^table .*# handle \([0-9]*\).*/\1/p')
  packets=$(printf '%s\n' "$listed" | sed -n 's/.*counter packets \([0-9]*\).*/\1/p' | tr '\n' ' ')
  nft delete table inet ID || exit 1
  rm -f "$d/cut"
  echo "note: $(( $(echo $packets | tr ' ' '+') + 0 )) packets were dropped"
  echo "COUNTED${handle:--} $packets"
elif [ -e "$d/cut" ]; then
  echo "note: VANISHED"; echo "COUNTED-"
fi
"""


_CUT = r"""
: >"$d/begun" || exit 1
printf '%s\n' RULES | nft -f - && : >"$d/cut"
"""
_UNCUT = '[ -z "$there" ] || { echo "the table ID is still there" >&2; exit 1; }'


def cut_script(id: str, drops: Drops) -> Script:
    """A table of that name; its undoing tells how many packets it dropped, or that somebody else has removed it."""
    undo = (_ASK + _UNDO).replace(" ID", f" {id}").replace("COUNTED", COUNTED).replace("VANISHED", VANISHED)
    return Script(_CUT.replace("RULES", quoted(ruleset(id, drops))), undo, (_ASK + _UNCUT).replace(" ID", f" {id}"))


def ruleset(table: str, drops: Drops) -> str:
    """One table; before connection tracking's own filters have a say, after the capture has seen what came in."""

    def chain(name: str, hook: str, matches: tuple[str, ...]) -> str:
        rules = "".join(f"    {match} counter drop\n" for match in matches)
        return f"  chain {name} {{\n    type filter hook {hook} priority -10; policy accept;\n{rules}  }}\n"

    return f"table inet {table} {{\n{chain('inbound', 'input', drops.inbound)}{chain('outbound', 'output', drops.outbound)}}}\n"


def drops_between(own_address: object, peer_address: object, *, outbound: bool = True) -> Drops:
    """Everything between two addresses; of what goes out nothing, if so wanted."""
    return Drops(
        (f"ip saddr {peer_address} ip daddr {own_address}",), (f"ip saddr {own_address} ip daddr {peer_address}",) if outbound else ()
    )
