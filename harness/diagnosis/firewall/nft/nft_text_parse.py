"""`nft list ruleset` in its own words, as the items that `nft -j` would have printed. Pure.

For hosts whose nft knows no JSON, and for bundles that hold the text only.
"""

from __future__ import annotations

import re
from typing import Any

from harness.diagnosis.firewall.nft.nft_rule_parse import TokenStream, data, rule, value

TOKEN = re.compile(r'"[^"]*"|#[^\n]*|[{}();\n]|,(?=\s)|[^\s{}();"]+?(?=,\s|[\s{}();]|$)')
PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}


def items(text: str) -> list[dict[str, Any]]:
    """Tables, chains, sets, maps and rules. Raises ValueError where the text is no such listing."""
    words = TokenStream(TOKEN.findall(text + "\n"))
    listing: list[dict[str, Any]] = []
    while not words.at_end:
        word = words.next()
        if word == "\n" or word.startswith("#"):
            continue
        if word != "table":
            raise ValueError(f"`{word}` where a table should begin")
        family, name = words.next(), words.next()
        words.skip("#")
        words.expect("{")
        listing.append({"table": {"family": family, "name": name}})
        _table(words, family, name, listing)
    return listing


def _table(words: TokenStream, family: str, table: str, listing: list[dict[str, Any]]) -> None:
    while (word := words.next()) != "}":
        if word == "flags" and "dormant" in words.line():
            listing.append({"table": {"family": family, "name": table, "flags": "dormant"}})
        elif word == "chain":
            _chain(words, {"family": family, "table": table}, words.next(), listing)
        elif word in ("set", "map"):
            listing.append({word: {"family": family, "table": table, "name": words.next(), "elem": _elements(words)}})
        elif word not in ("\n", ";") and not word.startswith("#"):
            words.pass_over()  # an object, a flowtable, a comment


def _elements(words: TokenStream) -> list[Any]:
    words.skip("#")
    words.expect("{")
    elements: list[Any] = []
    while (word := words.next()) != "}":
        if word == "elements":
            words.expect("=")
            elements = data(words)["set"]
        elif word not in ("\n", ";"):
            words.line()
    return elements


def _chain(words: TokenStream, about: dict[str, Any], name: str, listing: list[dict[str, Any]]) -> None:
    words.skip("#")
    words.expect("{")
    chain = {**about, "name": name}
    listing.append({"chain": chain})
    while (word := words.peek()) != "}":
        if word in ("\n", ";") or word.startswith("#"):
            words.next()
        elif word == "type" and "hook" in words.rest_of_line():
            chain |= _base(words.line(statements=True))
        elif word == "policy":
            chain["policy"] = words.line()[1]
        elif word == "comment":
            words.line()
        else:
            handle, expressions, comment = rule(words)
            listing.append({"rule": {**about, "chain": name, "expr": expressions, **handle, **comment}})
    words.next()


def _base(line: list[str]) -> dict[str, Any]:
    """`type filter hook input priority filter + 10; policy accept;`"""
    about: dict[str, Any] = {"type": line[1], "hook": line[line.index("hook") + 1]}
    at = line.index("priority") + 1
    ends = [n for n in range(at, len(line)) if line[n] == ";"] or [len(line)]
    first, *more = line[at : ends[0]]
    about["prio"] = PRIORITIES[first] if first in PRIORITIES else int(first)
    if len(more) == 2:
        about["prio"] += int(more[1]) if more[0] == "+" else -int(more[1])
    if "policy" in line:
        about["policy"] = line[line.index("policy") + 1]
    if "device" in line:
        about["dev"] = value(line[line.index("device") + 1])
    if "devices" in line:
        about["dev"] = [value(word) for word in line[line.index("devices") + 1 : at] if word.startswith('"')]
    return about
