"""All the chains of one host, in the order in which its kernel asks them, and the decision about one packet. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from harness.diagnosis.firewall import packet_state as flows
from harness.diagnosis.firewall.chain_evaluation import Chain, End, Walk
from harness.diagnosis.firewall.packet import ArpPacket, Decision, Outcome, Packet
from harness.diagnosis.firewall.packet_state import Flow, merge_flows
from harness.diagnosis.firewall.partial_values import MISSING, Value, exactly, join_values

HOOKS = {"input": ("ingress", "prerouting", "input"), "output": ("output", "postrouting", "egress")}
TRACKED = ("ct state", "ct status", "ct direction", "ct mark")
CONNTRACK_PRIORITY = -200  # the priority from which on the kernel knows a packet's connection
EXEMPTS = re.compile(r"\bnotrack\b|-j NOTRACK\b", re.IGNORECASE)
NAT = {"prerouting": -100, "output": -100, "input": 100, "postrouting": 100}  # where chains of kind nat really stand


@dataclass(frozen=True)
class Ruleset:
    """`not_told`: why some of the host's rules could not be read, in which case nothing is sure to pass."""

    chains: tuple[Chain, ...]
    not_told: str = ""

    def at(self, hook: str, packet: Packet, old_first: bool) -> Iterator[Chain]:
        """The chains that this packet passes at a hook. Of equal priority, the kernel asks the one that came last first; whether that
        was the old iptables' or nft's is told by no listing."""
        nic = packet.in_nic if packet.hook == "input" else packet.out_nic
        family = "ip6" if ":" in packet.source else "ip"
        there = [
            (
                NAT.get(hook, chain.priority) if chain.kind == "nat" else chain.priority,
                chain.priority,
                chain.old is not old_first,
                -order,
                chain,
            )
            for order, chain in enumerate(self.chains)
            if chain.hook == hook and chain.table.split()[1] in (family, "inet", "netdev") and (not chain.devices or nic in chain.devices)
        ]
        yield from (chain for *_, chain in sorted(there, key=lambda entry: entry[:4]))


def evaluate(ruleset: Ruleset, packet: Packet) -> Decision:
    """What the host's kernel would do with one packet, by which rule. Raises ValueError when the packet itself makes no sense."""
    return decide(ruleset, packet)[0]


def evaluate_arp(ruleset: Ruleset, packet: ArpPacket) -> Decision:
    """What the tables of the family arp would do with one packet, by which rule. Raises ValueError when an address is none."""
    walk = Walk({f"{chain.table} {chain.name}": chain for chain in ruleset.chains})
    there = [(c.priority, -at, c) for at, c in enumerate(ruleset.chains) if c.hook == packet.hook and c.table.split()[1] == "arp"]
    current: Flow | None = flows.of_arp(packet)
    blocked: list[End] = []
    for *_, chain in sorted(there, key=lambda entry: entry[:2]):
        if current is None:
            break
        ends = walk.base(chain, current)
        blocked += [end for end in ends if end.verdict.kind != "accept"]
        current = merge_flows([end.flow for end in ends if end.verdict.kind == "accept"])
    rules = " or ".join(dict.fromkeys(end.rule for end in blocked))
    if current is None and all(end.verdict.kind == "drop" for end in blocked):
        return Decision(Outcome.DROP, rules, f"{packet}: dropped", False)
    if blocked or ruleset.not_told:
        why = "; ".join(list(dict.fromkeys(walk.doubts))[:3]) or ruleset.not_told
        return Decision(Outcome.CANNOT_TELL, rules, why, None)
    return Decision(Outcome.ACCEPT, "no rule stops it", f"{packet}: let through", True)


def decide(ruleset: Ruleset, packet: Packet, carried: Mapping[str, Value] | None = None) -> tuple[Decision, Flow | None]:
    """The decision, and what had become of the packet then. `carried` has what earlier packets left on its connection."""
    first, after = _decide_in_order(ruleset, packet, carried or {}, old_first=True)
    if len({chain.old for chain in ruleset.chains}) < 2:
        return first, after
    second, after_second = _decide_in_order(ruleset, packet, carried or {}, old_first=False)
    if (first.outcome, first.reply) != (second.outcome, second.reply):
        why = "whether nft's chain or the old iptables' comes first, which have the same priority"
        passes = first.passes if first.passes is second.passes else None
        return Decision(Outcome.CANNOT_TELL, f"{first.rule} or {second.rule}", why, passes), merge_flows([after, after_second])
    if first.rule != second.rule:
        first = replace(first, rule=f"{first.rule} or {second.rule}")
    return first, merge_flows([after, after_second])


def exemptions(ruleset: Ruleset, direction: str | None = None) -> list[str]:
    """The rules that exempt packets from connection tracking (notrack), as a Decision names them: all, or of those that come (`input`) or
    leave (`output`)."""
    chains = [chain for chain in ruleset.chains if direction is None or chain.hook is None or chain.hook in HOOKS[direction]]
    return [str(rule) for chain in chains for rule in chain.rules if EXEMPTS.search(rule.text)]


def _decide_in_order(ruleset: Ruleset, packet: Packet, carried: Mapping[str, Value], old_first: bool) -> tuple[Decision, Flow | None]:
    walk = Walk({f"{chain.table} {chain.name}": chain for chain in ruleset.chains})
    start = flows.of(packet)
    start = start.having(**carried) if packet.state != "invalid" else start
    is_tracked = packet.in_nic == "lo" or packet.state == "related"  # its connection came with it
    current: Flow | None = start.having(notrack=exactly(0)) if is_tracked else _untrack(start)
    blocked: list[End] = []
    accepted: list[End] = []
    for hook in HOOKS[packet.hook]:
        for chain in ruleset.at(hook, packet, old_first):
            if current is None:
                break
            if not is_tracked and hook != "ingress" and (chain.priority >= CONNTRACK_PRIORITY or chain.kind == "nat"):
                current, is_tracked = _track(current, start), True
            if chain.kind == "nat" and current.known_number("ct state") in (1, 2, 4, 64):
                continue  # only what opens a connection is asked about
            ends = walk.base(chain, current)
            passing = [end for end in ends if end.verdict.kind == "accept"]
            blocked += [end for end in ends if end.verdict.kind != "accept"]
            accepted += [end for end in passing if not end.by_policy]
            current = merge_flows([end.flow for end in passing])
        if current is not None and hook in ("prerouting", "output") and not is_tracked:
            current, is_tracked = _track(current, start), True
    after = current if current is not None else merge_flows([end.flow for end in blocked])
    return _decision(ruleset, packet, blocked, accepted, current, walk.doubts), after


def _untrack(flow: Flow) -> Flow:
    """Before connection tracking has seen it: its state reads as invalid, and nothing else of a connection is there."""
    return flow.having(**{name: MISSING for name in TRACKED} | {"ct state": exactly(1), "notrack": exactly(0)})


def _track(flow: Flow, start: Flow) -> Flow:
    with_it = flow.having(**{name: start.get(name) for name in TRACKED})
    without = flow.having(**{name: MISSING for name in TRACKED} | {"ct state": exactly(64)})
    notrack = flow.known_number("notrack")
    if notrack is None:
        return with_it.having(**{name: _join_values(with_it, without, name) for name in TRACKED})
    return without if notrack else with_it


def _join_values(tracked: Flow, untracked: Flow, name: str) -> Value:
    first, second = tracked.get(name), untracked.get(name)
    return join_values(first, second)


def _decision(
    ruleset: Ruleset, packet: Packet, blocked: list[End], accepted: list[End], current: Flow | None, doubts: Iterable[str]
) -> Decision:
    kinds = {(end.verdict.kind, end.verdict.target if end.verdict.kind == "reject" else "") for end in blocked}
    rules = " or ".join(dict.fromkeys(end.rule for end in blocked))
    lets_in = accepted[-1].rule if accepted else "no rule stops it"
    why = "; ".join(list(dict.fromkeys(doubts))[:3])
    if ruleset.not_told and current is not None:
        return Decision(Outcome.CANNOT_TELL, rules or lets_in, ruleset.not_told, None)
    if current is not None and not blocked:
        changed = " and ".join(current.changed)
        return Decision(Outcome.ACCEPT, lets_in, f"{packet}: let through", True, changed=changed)
    if current is None and len(kinds) == 1 and blocked[0].verdict.kind != "unsure":
        end = blocked[0]
        policy = "what no rule of that chain lets through is dropped" if end.by_policy else ""
        reply = end.verdict.target if end.verdict.kind == "reject" else ""
        does = f"rejected with {reply}" if reply else "dropped"
        return Decision(Outcome(end.verdict.kind), rules, f"{packet}: {does}{'; ' + policy if policy else ''}", False, reply)
    passes = False if current is None and all(end.verdict.kind != "unsure" for end in blocked) else None
    return Decision(Outcome.CANNOT_TELL, rules, why or "rules that may match or not end differently", passes)
