"""Expressions of nftables' JSON as functions of a packet: fields, bits, concatenations, sets, maps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.diagnosis.firewall.nft import nft_json_to_text
from harness.diagnosis.firewall.packet_state import RTN_LOCAL, RTN_UNICAST, Flow
from harness.diagnosis.firewall.partial_values import MISSING, Missing, Span, Truth, Value, either, exactly, no, unknown, within

Read = Callable[[Flow], Value]
Fits = Callable[[Value, Flow], Truth]
L4 = {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33, "udplite": 136, "icmp": 1, "icmpv6": 58, "igmp": 2, "ah": 51, "esp": 50, "comp": 108}
NEVER_OF_OURS = {"gre", "vxlan", "geneve", "gretap", "hbh", "frag", "dst", "srh", "rt", "mh"}
CALCULATED = ("&", "|", "^", "<<", ">>")
UNSURE = ("limit", "quota", "ct count", "connlimit")  # what depends on what came before this packet


@dataclass(frozen=True)
class Sets:
    """The named sets and maps of one table, by name: their elements, or None where they were not listed."""

    elements: Mapping[str, list[Any] | None] = field(default_factory=dict)


def depends(what: Any) -> bool:
    """Does an expression hold a statement that depends on packets before this one?"""
    if isinstance(what, dict):
        return any(key in UNSURE or depends(value) for key, value in what.items())
    return isinstance(what, list) and any(depends(part) for part in what)


def value(what: Any, sets: Sets) -> Read:
    """Reads what an expression stands for out of a packet."""
    if isinstance(what, int):
        return lambda flow: exactly(what)
    if isinstance(what, dict) and what:
        name, about = next(iter(what.items()))
        if name == "concat" and isinstance(about, list):
            parts = [value(part, sets) for part in about]
            return lambda flow: _together([part(flow) for part in parts])
        if name in CALCULATED and isinstance(about, list):
            return _read_calculation(name, about, sets)
        if name == "map" and isinstance(about, dict):
            return _read_map(about, sets)
        if name in ("payload", "meta", "ct", "fib") and isinstance(about, dict):
            return _field(name, about)
        if name == "numgen" and isinstance(about, dict):  # how a rule takes some packets of many
            draws = "whose turn it is" if about.get("mode") == "inc" else "what it draws by lot"
            return lambda flow: unknown(f"{draws} (`numgen`)")
    why = nft_json_to_text.expression(what)
    return lambda flow: unknown(f"what `{why}` is")


def _together(parts: list[Value]) -> Value:
    return MISSING if any(isinstance(part, Missing) for part in parts) else tuple(parts)


def _field(name: str, about: dict[str, Any]) -> Read:
    text = nft_json_to_text.expression({name: about})
    if name == "payload":
        return _payload(about, text)
    key = str(about.get("key", ""))
    if name == "meta":
        plain = {"l4proto": "l4proto", "mark": "mark", "skuid": "uid", "nfproto": "family"}
        if key in plain:
            return lambda flow: flow.get(plain[key])
        if key in nft_json_to_text.QUOTED:  # a NIC that there is none of at this hook has the empty name
            return lambda flow: flow.values.get(f"{key[0]}ifname", "")
        if key == "pkttype":
            broadcast = unknown("whether it was asked of all")  # of ARP; else it is for this host, as it was sent to its address
            return lambda flow: broadcast if "arp operation" in flow.values else exactly(0)
        if key == "protocol":
            return lambda flow: exactly(
                0x0806 if "arp operation" in flow.values else 0x0800 if flow.known_number("family") == 2 else 0x86DD
            )
    if name == "ct":
        return _read_conntrack(key.removeprefix("original ").removeprefix("reply "), str(about.get("dir", "")), text)
    if name == "fib":
        flags = about.get("flags")
        flags = flags if isinstance(flags, list) else [flags]
        if about.get("result") == "type":
            return _type_of_address([str(flag) for flag in flags])
        if set(flags) in ({"saddr", "iif"}, {"saddr", "iif", "mark"}) and about.get("result") in ("oif", "oifname"):
            return lambda flow: _way_back(flow, "mark" in flags)
    return lambda flow: unknown(f"what `{text}` is")


def _type_of_address(flags: list[str]) -> Read:
    """`fib daddr . iif type` and the like: with a NIC, an address that another NIC of the host has is unicast (nft_fib_ipv4)."""
    field = next((flag for flag in flags if flag in ("saddr", "daddr")), "")
    nic = next((f"{flag}name" for flag in flags if flag in ("iif", "oif")), "")

    def read(flow: Flow) -> Value:
        kind, at = flow.get(f"{field} type"), flow.values.get(nic)
        if at is None or kind != exactly(RTN_LOCAL):
            return kind
        own_nic = flow.get("own nic")
        both_own = flow.get("saddr type") == flow.get("daddr type") and flow.get("saddr") != flow.get("daddr")
        if both_own or not isinstance(own_nic, str) or not isinstance(at, str):
            return unknown(next((value.why for value in (own_nic, at) if isinstance(value, Span)), "which NIC has that address"))
        return exactly(RTN_LOCAL if own_nic == at else RTN_UNICAST)

    return read


def _way_back(flow: Flow, by_mark: bool) -> Value:
    """`fib saddr . iif oif`: the NIC that it came in by, where the host routes to its source by that one; else there is none, or the
    route has several ways, of which one is told."""
    far_nic, in_nic = flow.get("far nic"), flow.values.get("iifname")
    if isinstance(far_nic, str) and far_nic == in_nic and (not by_mark or flow.known_number("mark") == 0):
        return far_nic
    return unknown("whether the host routes to its source by the NIC that it came in by")


def _payload(about: dict[str, Any], text: str) -> Read:
    protocol, key = str(about.get("protocol", "")), str(about.get("field", ""))
    if protocol in ("ip", "ip6"):
        family = 2 if protocol == "ip" else 10
        plain = {"saddr": "saddr", "daddr": "daddr", "protocol": "l4proto", "nexthdr": "l4proto"}
        fixed = {"version": 4 if family == 2 else 6, "hdrlength": 5}

        def read(flow: Flow) -> Value:
            if flow.known_number("family") != family:
                return MISSING
            if key in plain:
                return flow.get(plain[key])
            return exactly(fixed[key]) if key in fixed else unknown(f"what `{text}` is")

        return read
    if protocol in L4 or protocol == "th":
        plain = {"sport": "sport", "dport": "dport"}
        plain |= {"tcp": {"flags": "flags"}, "icmp": {"type": "icmp type", "code": "icmp code"}}.get(protocol, {})

        def read_l4(flow: Flow) -> Value:
            if protocol != "th" and flow.known_number("l4proto") != L4[protocol]:
                return MISSING
            return flow.get(plain[key]) if key in plain else unknown(f"what `{text}` is")

        return read_l4
    if protocol == "arp":  # no other packet has such a field
        return lambda flow: flow.get(f"arp {key}")
    if protocol in NEVER_OF_OURS:
        return lambda flow: MISSING
    raw = {("transport", 0, 16): "sport", ("transport", 16, 16): "dport", ("network", 96, 32): "saddr", ("network", 128, 32): "daddr"}
    name = raw.get((str(about.get("base")), about.get("offset"), about.get("len")), "")  # type: ignore[arg-type]

    def read_raw(flow: Flow) -> Value:
        fits = name in ("sport", "dport") or (bool(name) and flow.known_number("family") == 2)
        return flow.get(name) if fits and not isinstance(flow.get(name), Missing) else unknown(f"what `{text}` is")

    return read_raw


def _read_conntrack(key: str, way: str, text: str) -> Read:
    ends = {"saddr": "saddr", "daddr": "daddr", "proto-src": "sport", "proto-dst": "dport"}

    def read(flow: Flow) -> Value:
        if key in ("state", "status", "direction", "mark"):
            return flow.get(f"ct {key}")
        if isinstance(flow.get("ct direction"), Missing):
            return MISSING
        if key in ("protocol", "l3proto") and flow.known_number("ct state") in (2, 8):
            return flow.get("l4proto" if key == "protocol" else "family")
        if key.split(" ")[-1] in ends and way == "original" and flow.known_number("ct state") == 8 and not flow.changed:
            return flow.get(ends[key.split(" ")[-1]])
        return unknown(f"what `{text}` is")

    return read


def _read_calculation(op: str, about: list[Any], sets: Sets) -> Read:
    kind = nft_json_to_text.kind(about[0])
    first = value(about[0], sets)
    rest: list[Read] = []
    for part in about[1:]:
        constant = nft_json_to_text.number(part, kind)
        rest.append(value(part, sets) if constant is None else (lambda flow, constant=constant: exactly(constant)))  # type: ignore[misc]
    text = nft_json_to_text.expression({op: about})
    fragment_bits = op == "&" and "frag-off" in nft_json_to_text.expression(about[0])

    def read(flow: Flow) -> Value:
        result: Value = first(flow)
        for part in rest:
            result = _combine(op, result, part(flow), text, fragment_bits)
        return result

    return read


def _combine(op: str, left: Value, right: Value, text: str, fragment_bits: bool) -> Value:
    if isinstance(left, Missing) or isinstance(right, Missing):
        return MISSING
    if not isinstance(left, Span) or not isinstance(right, Span) or not right.exact:
        return unknown(f"what `{text}` is")
    if fragment_bits and right.low <= 0x3FFF:  # a TCP segment that opens or answers is not a fragment
        return exactly(0)
    if not left.exact:
        return Span(0, right.low, left.why) if op == "&" else unknown(left.why)
    a, b = left.low, right.low
    return exactly({"&": a & b, "|": a | b, "^": a ^ b, "<<": a << min(b, 128), ">>": a >> min(b, 128)}[op])


def elements(data: Any, sets: Sets) -> list[Any] | None:
    """The elements of a set or map, anonymous or named; None when they are not known."""
    if isinstance(data, str) and data.startswith("@"):
        return sets.elements.get(data[1:])
    if isinstance(data, dict) and isinstance(data.get("set"), list):
        return list(data["set"])
    return list(data) if isinstance(data, list) else None


def lookup(about: dict[str, Any], sets: Sets) -> Callable[[Flow], list[tuple[Any, str]]]:
    """What a map may give for a packet: its values, each with why it is only possible ("" for the one that is sure); empty for none."""
    read, kinds = value(about.get("key"), sets), kinds_of(about.get("key"))
    data = about.get("data")
    pairs = elements(data, sets)
    text = nft_json_to_text.expression(data)
    fits = [
        (value_fits(pair[0], kinds, sets), pair[1], pair[0] == "*") for pair in pairs or () if isinstance(pair, list) and len(pair) == 2
    ]

    def find(flow: Flow) -> list[tuple[Any, str]]:
        key = read(flow)
        if isinstance(key, Missing):
            return []
        if pairs is None or text in flow.touched:
            return [(None, f"what the map {text} holds")]
        results: list[tuple[Any, str]] = []
        for fits_key, result, catches_all in fits:
            truth = fits_key(key, flow) if not catches_all else False
            if truth is True:
                return [*results, (result, "")]
            if isinstance(truth, str):
                results.append((result, truth))
        results += [(result, "") for _, result, catches_all in fits if catches_all]
        return results

    return find


def _read_map(about: dict[str, Any], sets: Sets) -> Read:
    find = lookup(about, sets)

    def read(flow: Flow) -> Value:
        results = find(flow)
        if not results:
            return MISSING
        if len(results) == 1 and not results[0][1]:
            constant = nft_json_to_text.number(results[0][0], "number")
            constant = nft_json_to_text.number(results[0][0], "address") if constant is None else constant
            return exactly(constant) if constant is not None else str(results[0][0])
        return unknown(results[0][1])

    return read


def kinds_of(left: Any) -> list[str]:
    """The kinds of an expression's parts: one, or as many as are joined."""
    if isinstance(left, dict) and isinstance(left.get("concat"), list):
        return [nft_json_to_text.kind(part) for part in left["concat"]]
    return [nft_json_to_text.kind(left)]


def value_fits(right: Any, kinds: list[str], sets: Sets, bits: bool = False) -> Fits:
    """Does a value fit the right side of a match? `bits`: one bit of those named is enough."""
    kind = kinds[0]
    if isinstance(right, str) and right.startswith("@"):
        return _in_set(right, kinds, sets)
    if isinstance(right, dict) and right:
        name, about = next(iter(right.items()))
        if name == "set" and isinstance(about, list):
            parts = [value_fits(part, kinds, sets) for part in about]
            return lambda actual, flow: either(part(actual, flow) for part in parts)
        if name == "elem" and isinstance(about, dict):
            inner = value_fits(about.get("val"), kinds, sets, bits)
            if depends(about):
                return lambda actual, flow: "how often packets came" if inner(actual, flow) is not False else False
            return inner
        if name == "concat" and isinstance(about, list):
            singles = [value_fits(part, [of], sets) for part, of in zip(about, kinds, strict=False)]
            return lambda actual, flow: _each(singles, actual, flow)
    return _single(right, kind, bits)


def _each(singles: list[Fits], actual: Value, flow: Flow) -> Truth:
    if not isinstance(actual, tuple) or len(actual) != len(singles):
        return False
    truths: Iterator[Truth] = (single(part, flow) for single, part in zip(singles, actual, strict=True))
    return no(either(no(truth) for truth in truths))


def _in_set(name: str, kinds: list[str], sets: Sets) -> Fits:
    elements_of_set = sets.elements.get(name[1:])
    parts = [value_fits(part, kinds, sets) for part in elements_of_set or ()]

    def test(actual: Value, flow: Flow) -> Truth:
        if elements_of_set is None or name in flow.touched:
            return f"what the set {name} holds"
        return either(part(actual, flow) for part in parts)

    return test


def _single(right: Any, kind: str, bits: bool) -> Fits:
    text = nft_json_to_text.expression(right)
    if kind == "name" and (isinstance(right, bool) or right in (0, "0")):  # whether there is one
        return lambda actual, flow: actual.why if isinstance(actual, Span) else bool(actual) is (right is True)
    if kind == "name" and isinstance(right, str):
        return lambda actual, flow: _matches_name(actual, right)
    if right == "*":
        return lambda actual, flow: True
    low: int | None
    high: int | None
    if isinstance(right, dict) and isinstance(right.get("prefix"), dict):
        base, length = nft_json_to_text.number(right["prefix"].get("addr"), "address"), right["prefix"].get("len")
        width = 128 if ":" in str(right["prefix"].get("addr")) else 32
        size = (1 << (width - length)) if isinstance(length, int) and 0 <= length <= width else None
        low = None if base is None or size is None else base // size * size
        high = None if low is None or size is None else low + size - 1
    elif isinstance(right, dict) and isinstance(right.get("range"), list) and len(right["range"]) == 2:
        low, high = (nft_json_to_text.number(end, kind) for end in right["range"])
    else:
        low = high = nft_json_to_text.number(right, kind)
    if low is None or high is None:
        return lambda actual, flow: False if isinstance(actual, Missing) else f"what {text} means"
    if bits:
        mask = low
        return lambda actual, flow: bool(actual.low & mask) if isinstance(actual, Span) and actual.exact else _why(actual)
    return lambda actual, flow: within(actual, low, high)


def _matches_name(actual: Value, pattern: str) -> Truth:
    if isinstance(actual, Span):
        return actual.why
    return isinstance(actual, str) and (actual.startswith(pattern[:-1]) if pattern.endswith("*") else actual == pattern)


def _why(actual: Value) -> Truth:
    return actual.why if isinstance(actual, Span) else False
