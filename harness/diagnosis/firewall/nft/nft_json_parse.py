"""What `nft -j list ruleset` printed, as chains of rules that a packet can be walked through. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.diagnosis.firewall.chain_evaluation import Chain, Choice, Rule, Step, Verdict
from harness.diagnosis.firewall.nft import nft_json_to_text
from harness.diagnosis.firewall.nft.nft_expressions import Read, Sets, depends, kinds_of, lookup, value, value_fits
from harness.diagnosis.firewall.packet_state import Flow, handed_to_proxy, redirect
from harness.diagnosis.firewall.partial_values import Missing, Span, Truth, Value, exactly, no, unknown, within

PLAIN = ("accept", "drop", "return", "continue")
NOTHING = {
    "counter", "log", "comment", "ct helper", "ct timeout", "ct expectation", "secmark", "last", "flow", "dup", "reset", "optstrip",
    "nftrace", "ct event",
}  # fmt: skip
ELSEWHERE = {
    "queue": "the program that decides about it (queue)",
    "synproxy": "the proxy that answers it (synproxy)",
    "fwd": "the interface that it is sent on by (fwd)",
}
ORDERS = {">": (1, None), ">=": (0, None), "<": (None, -1), "<=": (None, 0)}
NIC_NOT_TOLD = "whether its chain is on that NIC, which this version of nft does not tell as JSON"
FAMILIES = ("ip", "ip6", "inet", "netdev", "arp")


def chains(items: list[Any]) -> list[Chain]:
    """The chains of every table that packets of this host pass, in the listing's order. Raises ValueError where it is no such listing."""
    chains_by_name: dict[tuple[str, str], Chain] = {}
    sets: dict[str, dict[str, list[Any] | None]] = {}
    asleep: set[str] = set()
    for item in items:
        for kind, about in item.items() if isinstance(item, dict) else ():
            if not isinstance(about, dict) or about.get("family") not in FAMILIES:
                continue
            table = f"table {about['family']} {about.get('table', about.get('name'))}"
            if kind == "table" and "dormant" in str(about.get("flags", "")):
                asleep.add(table)
            elif kind == "chain":
                chains_by_name[table, str(about.get("name"))] = _chain(table, about)
            elif kind in ("set", "map"):
                elements = about.get("elem", [])
                sets.setdefault(table, {})[str(about.get("name"))] = list(elements) if isinstance(elements, list) else None
    for item in items:
        about = item.get("rule") if isinstance(item, dict) else None
        if not isinstance(about, dict) or about.get("family") not in FAMILIES:
            continue
        table = f"table {about['family']} {about.get('table')}"
        chain = chains_by_name.get((table, str(about.get("chain"))))
        if chain is None:
            raise ValueError(f"a rule of {table} belongs to no chain that was listed")
        chain.rules.append(_rule(chain, about, Sets(sets.get(table, {}))))
    for chain in chains_by_name.values():
        chain.hook = None if chain.table in asleep else chain.hook
    return list(chains_by_name.values())


def _chain(table: str, about: dict[str, Any]) -> Chain:
    devices = about.get("dev", ())
    return Chain(
        table,
        str(about.get("name")),
        hook=about.get("hook"),
        priority=int(about.get("prio", 0)),
        policy=str(about.get("policy", "accept")),
        kind=str(about.get("type", "filter")),
        devices=tuple(devices) if isinstance(devices, list) else (str(devices),) if devices else (),
    )


def _rule(chain: Chain, about: dict[str, Any], sets: Sets) -> Rule:
    text = nft_json_to_text.rule(about)
    handle = f", handle {about['handle']}" if "handle" in about else ""
    parts = about.get("expr", [])
    on_a_nic = chain.hook in ("ingress", "egress") and not chain.devices
    doubt: list[Step] = [lambda flow: NIC_NOT_TOLD] if on_a_nic else []
    steps = doubt + [step for at, part in enumerate(parts) for step in _steps(part, sets, chain.table, at == len(parts) - 1)]
    return Rule(f"{chain.where}{handle}", text, steps)


def _steps(part: Any, sets: Sets, table: str, last: bool) -> list[Step]:
    if not isinstance(part, dict) or not part:
        return [_not_known(str(part))]
    name, about = next(iter(part.items()))
    if name == "match" and isinstance(about, dict):
        return [_match(about, sets)]
    if name in PLAIN:
        return [lambda flow: Verdict(name)]
    if name in ("jump", "goto") and isinstance(about, dict):
        return [lambda flow: Verdict(name, f"{table} {about.get('target')}")]
    if name == "reject":
        return [_for_its_protocol(about), lambda flow: Verdict("reject", reject_reply(about))]
    if name == "vmap" and isinstance(about, dict):
        return [_vmap(about, sets, table)]
    if name == "mangle" and isinstance(about, dict):
        return [_mangle(about, sets)]
    if name == "notrack":
        return [lambda flow: flow.having(notrack=exactly(1))]
    if name == "snat":
        return _from_elsewhere(about if isinstance(about, dict) else {})
    if name == "masquerade":
        return [lambda flow: Verdict("accept")]
    if name in ("dnat", "redirect"):
        return _elsewhere(name, about if isinstance(about, dict) else {}, sets)
    if name in ("limit", "quota", "ct count", "meter"):
        return [lambda flow: f"whether the packets before this one leave room for it ({nft_json_to_text.statement(part)})"]
    if name in ("set", "map") and isinstance(about, dict):
        return _remember(about, sets)
    if name == "tproxy":
        return [_tproxy_step(about if isinstance(about, dict) else {})]
    if name in ELSEWHERE:
        return [lambda flow: Verdict("unsure", ELSEWHERE[name])]
    if name == "xt":
        why = "what this extension of iptables does, which nft does not show"
        return [lambda flow: Choice((None, Verdict("unsure", why)), why) if last else why]
    return [] if name in NOTHING else [_not_known(nft_json_to_text.statement(part))]


def _not_known(text: str) -> Step:
    return lambda flow: Choice((None, Verdict("unsure", f"what `{text}` does")), f"what `{text}` does")


def reject_reply(about: Any) -> str:
    """What a reject sends: `tcp reset`, `icmp port-unreachable`, …"""
    if not isinstance(about, dict):
        return "icmp port-unreachable"
    kind = str(about.get("type") or "icmp").removeprefix("icmpx").removeprefix("icmpv6").removeprefix("icmp")
    code = str(about.get("expr") or "port-unreachable")
    return kind if "reset" in kind else f"icmp {'net-unreachable' if code == 'no-route' else code}"  # no-route: IPv6's name for it


def _for_its_protocol(about: Any) -> Step:
    """A reject by TCP's reset holds for TCP only, one by ICMP for IPv4: the listing leaves out the match that says so."""
    kind = str(about.get("type")) if isinstance(about, dict) else ""
    field, wanted = {"tcp reset": ("l4proto", 6), "icmp": ("family", 2), "icmpv6": ("family", 10)}.get(kind, ("", 0))
    return lambda flow: flow.known_number(field) == wanted if field else True


def _match(about: dict[str, Any], sets: Sets) -> Step:
    left, right, op = about.get("left"), about.get("right"), str(about.get("op", "=="))
    read, kinds = value(left, sets), kinds_of(left)
    if op in ORDERS:
        return _compare_order(read, op, nft_json_to_text.number(right, kinds[0]), nft_json_to_text.expression(right))
    is_set = (isinstance(right, dict) and "set" in right) or (isinstance(right, str) and right.startswith("@"))
    bits = kinds[0] in nft_json_to_text.BITS and op in ("in", "!") and not is_set
    if isinstance(right, dict) and not is_set and next(iter(right), "") in ("payload", "meta", "ct", "fib", "map", "&"):
        return _compare(read, value(right, sets), op)
    fits = value_fits(right, kinds, sets, bits)

    def test(flow: Flow) -> Truth:
        actual = read(flow)
        if isinstance(actual, Missing):
            return False
        truth = fits(actual, flow)
        return no(truth) if op in ("!=", "!") else truth

    return test


def _compare_order(read: Read, op: str, bound: int | None, text: str) -> Step:
    below, above = ORDERS[op]

    def test(flow: Flow) -> Truth:
        actual = read(flow)
        if isinstance(actual, Missing):
            return False
        if bound is None:
            return f"what {text} means"
        return within(actual, bound + below if below is not None else 0, bound + above if above is not None else 1 << 130)

    return test


def _compare(read: Read, other: Read, op: str) -> Step:
    def test(flow: Flow) -> Truth:
        actual, against = read(flow), other(flow)
        if isinstance(actual, Missing) or isinstance(against, Missing):
            return False
        if isinstance(against, Span) and against.exact:
            truth = within(actual, against.low, against.high)
            return no(truth) if op == "!=" else truth
        return "what the two sides of a comparison are"

    return test


def _vmap(about: dict[str, Any], sets: Sets, table: str) -> Step:
    find = lookup(about, sets)

    def choose(flow: Flow) -> Truth | Verdict | Choice:
        results = find(flow)
        if not results:
            return False
        verdicts: list[Verdict | None] = [_verdict(result, table) for result, _ in results]
        doubts = [why for _, why in results if why]
        if len(doubts) == len(results):
            verdicts.append(None)  # it may be none of them
        return Choice(tuple(verdicts), doubts[0] if doubts else "")

    return choose


def _verdict(what: Any, table: str) -> Verdict:
    name, about = next(iter(what.items()), ("", None)) if isinstance(what, dict) else (what, None)
    if name in ("jump", "goto") and isinstance(about, dict):
        return Verdict(name, f"{table} {about.get('target')}")
    return Verdict(name) if name in PLAIN else Verdict("unsure", f"what the map gives ({nft_json_to_text.expression(what)})")


def _mangle(about: dict[str, Any], sets: Sets) -> Step:
    key, read_value = about.get("key"), value(about.get("value"), sets)
    target: Any = next(iter(key.values()), {}) if isinstance(key, dict) else {}
    name = nft_json_to_text.expression(key)
    constant = nft_json_to_text.number(about.get("value"), nft_json_to_text.kind(key))
    changes: dict[str, str] = {"meta mark": "mark", "ct mark": "ct mark", "tcp dport": "dport", "tcp sport": "sport"}
    changes |= {"ip saddr": "saddr", "ip daddr": "daddr", "ip6 saddr": "saddr", "ip6 daddr": "daddr", "th dport": "dport", "ip ttl": "ttl"}
    field = changes.get(name)
    if field is None and isinstance(key, dict) and "payload" in key and "base" in target:
        why = f"what the change of {name} does"
        return lambda flow: Choice((None, Verdict("unsure", why)), why)

    def change(flow: Flow) -> Truth | Flow:
        new: Value = exactly(constant) if constant is not None else read_value(flow)
        if isinstance(new, Missing):
            return False
        if field is None or (field == "ct mark" and isinstance(flow.get("ct direction"), Missing)):
            return flow
        return flow.having(**{field: new})

    return change


def _elsewhere(name: str, about: dict[str, Any], sets: Sets) -> list[Step]:
    port, where = about.get("port"), about.get("addr")
    text = nft_json_to_text.verdict({name: about})

    def change(flow: Flow) -> Flow:
        changes: dict[str, Value] = {}
        if name == "redirect":
            changes["daddr"] = unknown("which address of the NIC it is redirected to")
        if port is not None:
            changes["dport"] = exactly(port) if isinstance(port, int) else unknown(f"which port `{text}` gives")
        return redirect(flow, changes, text)

    def end(flow: Flow) -> Verdict:
        if name == "dnat" and nft_json_to_text.number(where, "address") != flow.known_number("daddr") and where is not None:
            return Verdict("unsure", f"another address that it is sent to ({text})")
        return Verdict("accept")

    return [change, end]


def _tproxy_step(about: dict[str, Any]) -> Step:
    """Where nobody listens on the proxy's port the rule does not match (nft_tproxy)."""
    port, unsure = about.get("port", 0), Verdict("unsure", "the proxy that takes it (tproxy)")
    return lambda flow: False if isinstance(port, int) and handed_to_proxy(flow, port) is False else unsure


def _from_elsewhere(about: dict[str, Any]) -> list[Step]:
    """Another source address than it has; with masquerading it is the NIC's own, which it mostly has already."""
    where, text = about.get("addr"), nft_json_to_text.verdict({"snat": about})
    source = nft_json_to_text.number(where, "address") if isinstance(where, str) else None

    def change(flow: Flow) -> Flow:
        return flow if source is None or source == flow.known_number("saddr") else redirect(flow, {"saddr": exactly(source)}, text)

    return [change, lambda flow: Verdict("accept")]


def _remember(about: dict[str, Any], sets: Sets) -> list[Step]:
    name = str(about.get("set", about.get("map", "")))
    elem = about.get("elem")
    elem = elem["elem"].get("val") if isinstance(elem, dict) and isinstance(elem.get("elem"), dict) else elem
    read, unsure = value(elem, sets), depends(about)

    def remember(flow: Flow) -> Truth | Flow:
        return False if isinstance(read(flow), Missing) else flow.touching(name)

    doubt: Callable[[Flow], Truth] = lambda flow: f"whether the packets before this one leave room for it in {name}"  # noqa: E731
    return [remember, doubt] if unsure else [remember]
