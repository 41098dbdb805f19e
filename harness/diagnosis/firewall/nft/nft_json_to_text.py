"""nftables' JSON turned back into the words of `nft list ruleset`, and words into numbers. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from harness.diagnosis.firewall.packet_state import FLAGS, PROTOCOLS, STATES, STATUSES

UNQUALIFIED = {"iif", "iifname", "iiftype", "iifgroup", "oif", "oifname", "oiftype", "oifgroup"}
QUOTED = {"iif", "iifname", "oif", "oifname"}
WORDS: dict[str, dict[str, int]] = {
    "protocol": PROTOCOLS,
    "state": STATES,
    "status": STATUSES,
    "flags": FLAGS,
    "family": {"ipv4": 2, "ipv6": 10, "ip": 2, "ip6": 10},
    "ether": {"ip": 0x0800, "ip6": 0x86DD, "ipv4": 0x0800, "ipv6": 0x86DD, "arp": 0x0806, "vlan": 0x8100, "8021q": 0x8100},
    "fib": {
        "unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5,
        "blackhole": 6, "unreachable": 7, "prohibit": 8,
    },
    "pkttype": {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3},
    "direction": {"original": 0, "reply": 1},
    "user": {"root": 0},
    "arp": {"request": 1, "reply": 2},
    "presence": {"missing": 0, "exists": 1},
    "icmp": {
        "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8, "router-advertisement": 9,
        "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12, "timestamp-request": 13, "timestamp-reply": 14,
        "info-request": 15, "info-reply": 16, "address-mask-request": 17, "address-mask-reply": 18,
    },
}  # fmt: skip
BITS = {"state", "status", "flags"}  # kinds of values that are sets of bits


def number(word: Any, kind: str) -> int | None:
    """What the packet would hold there; None when the word is none that is known."""
    if isinstance(word, bool):
        return int(word)
    if isinstance(word, int):
        return word
    if isinstance(word, list):
        word = {"|": word}
    if isinstance(word, dict) and set(word) == {"|"}:
        parts = [number(part, kind) for part in word["|"]]
        total = 0
        for part in parts:
            if part is None:
                return None
            total |= part
        return total
    if not isinstance(word, str):
        return None
    if word in WORDS.get(kind, {}):
        return WORDS[kind][word]
    try:
        return int(ip_address(word)) if kind == "address" else int(word, 0)
    except ValueError:
        return None


def kind(left: Any) -> str:
    """What kind of value an expression gives, which says what its words mean."""
    if not isinstance(left, dict):
        return "number"
    name, about = next(iter(left.items()), ("", {}))
    if name in ("&", "|", "^", "<<", ">>") and isinstance(about, list):
        return kind(about[0])
    if not isinstance(about, dict):
        return "number"
    key = str(about.get("field", about.get("key", "")))
    if name == "payload":
        if about.get("protocol") == "ether" or (about.get("protocol") == "vlan" and key == "type"):
            return "ether" if key == "type" else "text"
        of_field = {"saddr": "address", "daddr": "address", "protocol": "protocol", "nexthdr": "protocol"}
        of_field |= {"saddr ip": "address", "daddr ip": "address", "operation": "arp"}
        of_field |= {"type": "icmp"} if about.get("protocol") == "icmp" else {}
        return "flags" if about.get("protocol") == "tcp" and key == "flags" else of_field.get(key, "number")
    if name == "meta":
        of_meta = {"l4proto": "protocol", "nfproto": "family", "protocol": "ether", "skuid": "user", "pkttype": "pkttype"}
        return "name" if key in QUOTED else of_meta.get(key, "number")
    if name == "ct":
        of_ct = {"state": "state", "status": "status", "direction": "direction", "protocol": "protocol", "l3proto": "family"}
        return of_ct.get(key, "address" if key.split(" ")[-1] in ("saddr", "daddr") else "number")
    if name == "fib":
        return {"type": "fib", "oif": "name", "oifname": "name"}.get(str(about.get("result")), "number")
    return "number"


def expression(what: Any, quoted: bool = False) -> str:
    """An expression as nft writes it."""
    if isinstance(what, str):
        return f'"{what}"' if quoted and not what.startswith(("@", "$")) else what
    if isinstance(what, list):
        return ",".join(expression(part, quoted) for part in what)
    if isinstance(what, bool):
        return "exists" if what else "missing"
    if not isinstance(what, dict) or not what:
        return str(what)
    name, about = next(iter(what.items()))
    if name in ("&", "|", "^", "<<", ">>"):
        return f" {name} ".join(_bits(part) if isinstance(part, list) else expression(part) for part in about)
    if name in ("set", "concat") and isinstance(about, list):
        parts = [_element(part, quoted) for part in about]
        return f"{{ {', '.join(parts)} }}" if name == "set" else " . ".join(parts)
    if name == "prefix":
        return f"{expression(about.get('addr'))}/{about.get('len')}"
    if name == "range" and isinstance(about, list):
        return "-".join(expression(part) for part in about)
    if name == "elem":
        return expression(about.get("val"), quoted)
    if name == "map":
        return f"{expression(about.get('key'))} map {expression(about.get('data'))}"
    return _field(name, about)


def _bits(parts: list[Any]) -> str:
    return f"({' | '.join(expression(part) for part in parts)})"


def _element(part: Any, quoted: bool) -> str:
    if isinstance(part, list) and len(part) == 2:
        value = part[1]
        return f"{expression(part[0], quoted)} : {verdict(value) if isinstance(value, dict) else expression(value)}"
    return expression(part, quoted)


def _field(name: str, about: Any) -> str:
    if not isinstance(about, dict):
        return f"{name} {expression(about)}"
    key = str(about.get("field", about.get("key", about.get("name", ""))))
    if name == "payload":
        return f"{about['protocol']} {key}" if "protocol" in about else f"@{about.get('base')},{about.get('offset')},{about.get('len')}"
    if name == "meta":
        return key if key in UNQUALIFIED else f"meta {key}"
    if name == "ct":
        return f"ct {about['dir']} {key}" if "dir" in about else f"ct {key}"
    if name == "fib":
        flags = about.get("flags", [])
        return f"fib {' . '.join(flags if isinstance(flags, list) else [flags])} {about.get('result')}"
    return f"{name} {key}".strip()


def verdict(what: dict[str, Any]) -> str:
    """`accept`, `jump CHAIN`, `reject with tcp reset`, …"""
    name, about = next(iter(what.items()), ("", None))
    if name in ("jump", "goto") and isinstance(about, dict):
        return f"{name} {about.get('target')}"
    if name == "reject" and isinstance(about, dict) and about:
        return f"reject with {about.get('type', 'icmp')}" + (f" {about['expr']}" if "expr" in about else "")
    if name == "tproxy" and isinstance(about, dict):
        family = f" {about['family']}" if "family" in about else ""
        return f"tproxy{family} to {expression(about.get('addr', ''))}" + (f":{expression(about['port'])}" if "port" in about else "")
    if name in ("dnat", "snat", "redirect", "masquerade") and isinstance(about, dict):
        to = expression(about["addr"]) if "addr" in about else ""
        port = f":{expression(about['port'])}" if "port" in about else ""
        return f"{name} to {to}{port}" if to or port else name
    return name


def statement(what: Any) -> str:
    """A statement of a rule as nft writes it, without what counters counted."""
    if not isinstance(what, dict) or not what:
        return str(what)
    name, about = next(iter(what.items()))
    if name == "match" and isinstance(about, dict):
        left, right, op = about.get("left"), about.get("right"), about.get("op")
        right_text = expression(right, kind(left) == "name")
        several = isinstance(right, dict) and "set" in right
        plain = op == "in" or (op == "==" and (several or kind(left) not in BITS) and not (isinstance(left, dict) and "&" in left))
        return f"{expression(left)} {right_text}" if plain else f"{expression(left)} {op} {right_text}"
    if name == "vmap" and isinstance(about, dict):
        return f"{expression(about.get('key'))} vmap {expression(about.get('data'), kind(about.get('key')) == 'name')}"
    if name == "mangle" and isinstance(about, dict):
        return f"{expression(about.get('key'))} set {expression(about.get('value'))}"
    if name == "log":
        return f'log prefix "{about["prefix"]}"' if isinstance(about, dict) and "prefix" in about else "log"
    if name == "limit" and isinstance(about, dict):
        over = "over " if about.get("inv") else ""
        return f"limit rate {over}{about.get('rate')}/{about.get('per', 'second')}"
    if name == "set" and isinstance(about, dict):
        return f"{about.get('op')} {about.get('set')} {{ {expression(about.get('elem'))} }}"
    if name == "xt":
        return f'xt {about.get("type", "match")} "{about.get("name", "?")}"' if isinstance(about, dict) else "xt"
    return verdict(what)


def rule(about: dict[str, Any]) -> str:
    """A rule's text, with its comment."""
    words = [statement(part) for part in about.get("expr", [])]
    comment = [f'comment "{about["comment"]}"'] if about.get("comment") else []
    return " ".join([*words, *comment])
