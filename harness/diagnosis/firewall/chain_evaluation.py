"""Chains of rules, and a packet's walk through them, as the kernel does it: what may come out, and by which rule. Pure.

Where a rule may match or not, both ways are followed; a verdict is told only where all ways end in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.diagnosis.firewall.packet_state import Flow, merge_flows
from harness.diagnosis.firewall.partial_values import Truth

MAX_JUMP_DEPTH = 64  # the kernel lets jumps go 16 deep; more is a listing that no kernel made


@dataclass(frozen=True)
class Verdict:
    """`kind`: accept, drop, reject, return, jump, goto, or `unsure` (it leaves to something that a listing does not show: a queue)."""

    kind: str
    target: str = ""  # a chain, what a reject tells, or why it is not known


@dataclass(frozen=True)
class Choice:
    """Of several verdicts, those that may be meant: a map's. None: no match."""

    verdicts: tuple[Verdict | None, ...]
    why: str = ""


# A step of a rule is a condition, a change of the packet, or a verdict.
Step = Callable[[Flow], Truth | Flow | Verdict | Choice]


@dataclass(frozen=True)
class Rule:
    """`text` as its own tool would show it; `where`: table and chain, and handle where there is one."""

    where: str
    text: str
    steps: Sequence[Step]

    def __str__(self) -> str:
        return f"`{self.text}` ({self.where})"


@dataclass
class Chain:
    """One chain. `hook` is None for one that is only jumped to; `kind` is filter, nat or route."""

    table: str
    name: str
    rules: list[Rule] = field(default_factory=list)
    hook: str | None = None
    priority: int = 0
    policy: str = "accept"
    kind: str = "filter"
    devices: tuple[str, ...] = ()
    old: bool = False  # of the old iptables, whose tables nft does not list

    @property
    def where(self) -> str:
        """The table and the chain, for a sentence."""
        return f"{self.table}, chain {self.name}"


@dataclass(frozen=True)
class End:
    """One way to end: `because` are the reasons why it is only possible; empty when nothing was in doubt on the way."""

    verdict: Verdict
    rule: str
    flow: Flow
    by_policy: bool = False


@dataclass
class Walk:
    """Walks packets through the chains of one ruleset. `doubts` collects why ways had to be parted."""

    chains: Mapping[str, Chain]
    doubts: list[str] = field(default_factory=list)

    def base(self, chain: Chain, flow: Flow) -> list[End]:
        """Every way that a packet may leave this base chain: accept, drop, reject, unsure."""
        ends, through = self._chain(chain, flow, 0)
        if through is not None:
            text = f"policy {chain.policy}" if chain.policy == "accept" else f"policy {chain.policy}: no rule lets it in"
            ends.append(End(Verdict(chain.policy), f"`{text}` ({chain.where})", through, by_policy=True))
        return ends

    def _chain(self, chain: Chain, flow: Flow, depth: int) -> tuple[list[End], Flow | None]:
        ends: list[End] = []
        returned: list[Flow] = []
        current: Flow | None = flow
        for rule in chain.rules:
            if current is None:
                break
            current = self._rule(rule, current, depth, ends, returned)
        return ends, merge_flows([*returned, current])

    def _rule(self, rule: Rule, flow: Flow, depth: int, ends: list[End], returned: list[Flow]) -> Flow | None:
        """What goes on to the next rule, or None."""
        on: list[Flow | None] = []
        current = flow
        for step in rule.steps:
            what = step(current)
            if isinstance(what, Flow):
                current = what
            elif what is False:
                on.append(current)
                break
            elif isinstance(what, str):
                self.doubts.append(f"{what}: {rule}")
                on.append(current)
            elif isinstance(what, Verdict | Choice):
                verdicts = what.verdicts if isinstance(what, Choice) else (what,)
                if len(verdicts) > 1 and isinstance(what, Choice):
                    self.doubts.append(f"{what.why}: {rule}")
                on += [self._verdict(rule, verdict, current, depth, ends, returned) for verdict in verdicts]
                break
        else:
            on.append(current)
        return merge_flows(on)

    def _verdict(self, rule: Rule, verdict: Verdict | None, flow: Flow, depth: int, ends: list[End], returned: list[Flow]) -> Flow | None:
        if verdict is None or verdict.kind == "continue":
            return flow
        if verdict.kind == "return":
            returned.append(flow)
            return None
        if verdict.kind not in ("jump", "goto"):
            ends.append(End(verdict, str(rule), flow))
            if verdict.kind == "unsure":
                self.doubts.append(f"{verdict.target}: {rule}")
            return None
        chain = self.chains.get(verdict.target)
        if chain is None or depth >= MAX_JUMP_DEPTH:
            why = f"the chain {verdict.target} is not in the listing" if chain is None else "chains jump too deep"
            self.doubts.append(f"{why}: {rule}")
            ends.append(End(Verdict("unsure", why), str(rule), flow))
            return None
        inner, through = self._chain(chain, flow, depth + 1)
        ends += inner
        if verdict.kind == "jump":
            return through
        if through is not None:
            returned.append(through)
        return None
