"""One rule of `nft list ruleset` in nft's own words, as the statements that its JSON would have. Pure."""

from __future__ import annotations

import re
from typing import Any

from harness.diagnosis.firewall.nft import nft_json_to_text

VERDICTS = ("accept", "drop", "return", "continue", "notrack")
META = {
    "iif", "iifname", "iiftype", "iifgroup", "oif", "oifname", "oiftype", "oifgroup", "mark", "skuid", "skgid", "l4proto", "nfproto",
    "protocol", "pkttype", "sdif", "cpu", "cgroup", "nftrace", "rtclassid", "length", "priority", "day", "hour", "time", "secpath",
}  # fmt: skip
HEADERS = {
    "ip",
    "ip6",
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "th",
    "icmp",
    "icmpv6",
    "igmp",
    "ether",
    "vlan",
    "arp",
    "ah",
    "esp",
    "comp",
}
BASES = {"ll": "link", "nh": "network", "th": "transport"}
OPERATORS = ("==", "!=", "<", ">", "<=", ">=", "!")
CALCULATED = ("&", "|", "^", "<<", ">>")
LOG_WORDS = ("prefix", "level", "group", "snaplen", "queue-threshold", "flags")
RANGE = re.compile(r"[0-9][0-9a-fA-F.:x]*-[0-9][0-9a-fA-F.:x]*")
ADDRESSES = re.compile(r"[0-9a-fA-F.:]+/\d+")


class TokenStream:
    """The words of a listing, read from the front. Raises ValueError where one is missing."""

    def __init__(self, words: list[str]) -> None:
        self._words, self._at = words, 0

    @property
    def at_end(self) -> bool:
        """Whether every word was read."""
        return self._at >= len(self._words)

    def peek(self, ahead: int = 0) -> str:
        """The next word, or one further ahead, without reading it; raises ValueError at the end."""
        if self._at + ahead >= len(self._words):
            raise ValueError("the listing ends in the middle")
        return self._words[self._at + ahead]

    def next(self) -> str:
        """Reads one word; raises ValueError at the end."""
        word = self.peek()
        self._at += 1
        return word

    def skip(self, beginning: str) -> None:
        """Reads the next word if it begins so."""
        if not self.at_end and self.peek().startswith(beginning):
            self.next()

    def expect(self, wanted: str) -> None:
        """Reads one word, which must be this one; raises ValueError."""
        if (word := self.next()) != wanted:
            raise ValueError(f"`{word}` where `{wanted}` should stand")

    def rest_of_line(self) -> list[str]:
        """Up to the line's end or the bracket that closes what it is in; nothing is taken."""
        depth, at = 0, self._at
        while at < len(self._words):
            word = self._words[at]
            depth += (word in ("{", "(")) - (word in ("}", ")"))
            if depth < 0 or (depth == 0 and word == "\n"):
                break
            at += 1
        return self._words[self._at : at]

    def line(self, statements: bool = False) -> list[str]:
        """Takes the rest of the line; up to a semicolon unless it has several `statements`."""
        words = self.rest_of_line()
        if not statements and ";" in words:
            words = words[: words.index(";")]
        self._at += len(words)
        return words

    def pass_over(self) -> None:
        """Takes the rest of the line, and the block that begins on it."""
        self.line(statements=True)


def rule(words: TokenStream) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Its handle where it is told, its statements, its comment."""
    line = [word for word in words.line() if word != "\n"]
    handle: dict[str, Any] = {}
    if line and line[-1].startswith("#"):
        handle_words = line.pop().split()
        handle = (
            {"handle": int(handle_words[2])} if handle_words[1:2] == ["handle"] and handle_words[2:3] and handle_words[2].isdigit() else {}
        )
    comment: dict[str, Any] = {}
    if len(line) > 2 and line[-2] == "comment":
        comment = {"comment": line[-1].strip('"')}
        line = line[:-2]
    statements: list[dict[str, Any]] = []
    inner = TokenStream([*line, "\n"])
    while inner.peek() != "\n":
        statements.append(_statement(inner))
    return handle, statements, comment


def _statement(words: TokenStream) -> dict[str, Any]:
    word = words.peek()
    if word in VERDICTS or word in ("jump", "goto", "reject"):
        return verdict(words)
    if word in ("masquerade", "snat", "dnat", "redirect"):
        return _parse_nat(words)
    if word == "tproxy":
        return _parse_tproxy(words)
    if word == "counter":
        words.next()
        for _ in range({"packets": 4, "name": 2}.get(words.peek(), 0)):
            words.next()
        return {"counter": None}
    if word == "log":
        words.next()
        about: dict[str, Any] = {}
        while words.peek() in LOG_WORDS:
            name = words.next()
            about[name] = value(words.next())
        return {"log": about or None}
    if word in ("limit", "quota") or (word == "ct" and words.peek(1) == "count"):
        return _parse_limit(words)
    if word in ("add", "update", "delete") and words.peek(1).startswith("@"):
        return _parse_set_change(words)
    left = _left_operand(words)
    if left is None:
        return {f"`{' '.join(words.line(statements=True))}`": None}
    if words.peek() == "vmap":
        words.next()
        return {"vmap": {"key": left, "data": data(words)}}
    if words.peek() == "set":
        words.next()
        return {"mangle": {"key": left, "value": _left_operand(words) or right(words)}}
    return _match(words, left)


def verdict(words: TokenStream) -> dict[str, Any]:
    """A verdict such as `drop`, `jump CHAIN` or `reject with …` as nft's JSON has it."""
    word = words.next()
    if word in ("jump", "goto"):
        return {word: {"target": words.next()}}
    if word != "reject":
        return {word: None}
    if words.peek() != "with":
        return {"reject": None}
    words.next()
    kind = words.next()
    if kind == "tcp":
        words.expect("reset")
        return {"reject": {"type": "tcp reset"}}
    if words.peek() == "type":  # as nft wrote it before 1.0
        words.next()
    return {"reject": {"type": kind, "expr": words.next()}}


def _parse_nat(words: TokenStream) -> dict[str, Any]:
    name, line = words.next(), words.line(statements=True)
    about: dict[str, Any] = {}
    if "to" in line[:2] and len(line) > line.index("to") + 1:
        address, colon, port = line[line.index("to") + 1].rpartition(":")
        if not colon:
            address, port = port, ""
        about |= {"addr": value(address)} if address else {}
        about |= {"port": value(port)} if port else {}
    return {name: about}


def _parse_tproxy(words: TokenStream) -> dict[str, Any]:
    """`tproxy ip to 127.0.0.1:15001`; other statements may follow."""
    words.next()
    about: dict[str, Any] = {"family": words.next()} if words.peek() in ("ip", "ip6") else {}
    words.expect("to")
    address, colon, port = words.next().rpartition(":")
    address, port = (address, port) if colon else (port, "")
    about |= {"addr": value(address)} if address else {}
    return {"tproxy": about | ({"port": value(port)} if port else {})}


def _parse_limit(words: TokenStream) -> dict[str, Any]:
    """`limit rate over 5/second burst 3 packets`, `quota over 10 mbytes`, `ct count over 3`."""
    name = words.next()
    if name == "ct":
        name += " " + words.next()
    about: dict[str, Any] = {}
    while words.peek() in ("rate", "over", "until", "burst", "used") or re.match(r"\d|[kmg]?bytes|packets", words.peek()):
        word = words.next()
        about |= {"inv": True} if word == "over" else {}
        if "/" in word and "rate" not in about:
            rate, _, per = word.partition("/")
            about |= {"rate": value(rate), "per": per}
    return {name: about}


def _parse_set_change(words: TokenStream) -> dict[str, Any]:
    op, name = words.next(), words.next()
    inner = _parse_braces(words)
    elem = _left_operand(inner)
    doubtful = any(word in ("limit", "quota", "count") for word in inner.rest_of_line())
    about: dict[str, Any] = {"op": op, "elem": elem, "set": name}
    return {"set": about | ({"stmt": [{"limit": None}]} if doubtful else {})}


def _parse_braces(words: TokenStream) -> TokenStream:
    words.expect("{")
    inner: list[str] = []
    depth = 1
    while depth:
        word = words.next()
        depth += (word == "{") - (word == "}")
        inner += [word] if depth and word != "\n" else []
    return TokenStream([*inner, "\n"])


def _left_operand(words: TokenStream) -> Any:
    """A field of the packet, several joined by a point, or something calculated from them; None where it is none that is known."""
    first = _field(words)
    if first is None:
        return None
    parts = [first]
    while words.peek() == ".":
        words.next()
        part = _field(words)
        if part is None:
            raise ValueError(f"`{words.peek()}` where a field should stand")
        parts.append(part)
    operand: Any = parts[0] if len(parts) == 1 else {"concat": parts}
    while words.peek() in CALCULATED:
        operand = {words.next(): [operand, _operand(words)]}
    if words.peek() == "map":
        words.next()
        return {"map": {"key": operand, "data": data(words)}}
    return operand


def _operand(words: TokenStream) -> Any:
    if words.peek() != "(":
        return value(words.next())
    words.next()
    parts: list[Any] = []
    while (word := words.next()) != ")":
        parts += [value(part) for part in word.split("|") if part]
    return parts


def _field(words: TokenStream) -> Any:
    word = words.peek()
    if word == "meta" or word in META:
        words.next()
        return {"meta": {"key": words.next() if word == "meta" else word}}
    if word == "ct":
        words.next()
        way = {"dir": words.next()} if words.peek() in ("original", "reply") else {}
        key = words.next()
        return {"ct": {"key": f"{key} {words.next()}" if key in ("ip", "ip6") else key, **way}}
    if word == "fib":
        words.next()
        flags = [words.next()]
        while words.peek() == ".":
            words.next()
            flags.append(words.next())
        return {"fib": {"result": words.next(), "flags": flags if len(flags) > 1 else flags[0]}}
    if word in HEADERS and words.peek(1) not in ("option", "\n"):
        return {"payload": {"protocol": words.next(), "field": words.next()}}
    if raw := re.fullmatch(r"@(ll|nh|th),(\d+),(\d+)", word):
        words.next()
        return {"payload": {"base": BASES[raw[1]], "offset": int(raw[2]), "len": int(raw[3])}}
    return None


def _match(words: TokenStream, left: Any) -> dict[str, Any]:
    op = words.next() if words.peek() in OPERATORS else ""
    against = right(words)
    if words.peek() == "/":  # tcp flags syn / fin,syn,rst,ack
        words.next()
        left, op = {"&": [left, value(words.next())]}, op or "=="
    bits = (
        nft_json_to_text.kind(left) in nft_json_to_text.BITS
        and not (isinstance(against, dict) and "set" in against)
        and not _is_set_name(against)
    )
    return {"match": {"op": op or ("in" if bits else "=="), "left": left, "right": against}}


def _is_set_name(what: Any) -> bool:
    return isinstance(what, str) and what.startswith("@")


def right(words: TokenStream) -> Any:
    """A value, a set in brackets or by name."""
    if words.peek() == "{":
        return data(words)
    parts = [value(words.next())]
    joint = words.peek()
    while words.peek() in ("|", "."):
        words.next()
        parts.append(value(words.next()))
    return parts[0] if len(parts) == 1 else {"concat" if joint == "." else "|": parts}


def data(words: TokenStream) -> Any:
    """The elements of a set or map, or its name."""
    if words.peek() != "{":
        return value(words.next())
    inner = _parse_braces(words)
    elements: list[Any] = []
    while inner.peek() != "\n":
        key = right(inner)
        unsure = False
        while inner.peek() not in (",", ":", "\n"):  # its timeout, its counter
            unsure |= inner.next() in ("limit", "quota", "count")
        key = {"elem": {"val": key, "limit": None}} if unsure else key
        if inner.peek() == ":":
            inner.next()
            elements.append([key, verdict(inner) if inner.peek() in (*VERDICTS, "jump", "goto") else right(inner)])
        else:
            elements.append(key)
        if inner.peek() == ",":
            inner.next()
    return {"set": elements}


def value(word: str) -> Any:
    """A number, a range, a network, a list of words, or a word."""
    if word.startswith('"'):
        return word.strip('"')
    if re.fullmatch(r"\d+|0x[0-9a-fA-F]+", word):
        return int(word, 0)
    if word in ("exists", "missing"):
        return word == "exists"
    if RANGE.fullmatch(word):
        return {"range": [value(end) for end in word.split("-")]}
    if ADDRESSES.fullmatch(word):
        address, _, length = word.partition("/")
        return {"prefix": {"addr": address, "len": int(length)}}
    if "|" in word:
        return {"|": [value(part) for part in word.split("|")]}
    return [value(part) for part in word.split(",") if part] if "," in word else word
