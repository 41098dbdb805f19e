"""What Corosync refuses in a corosync.conf, so that it does not start with it, or does not read it again. Pure; no text makes it raise.

Corosync's own parser stops at the first line that it does not take; what the settings say together it looks at when it starts. Found out
with 3.1.7 (`corosync -t`, and its messages); older versions leave lines out that this one refuses, but for braces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

END = "# all of corosync.conf was read"  # what a survey prints behind the file
MAX_LINE_LENGTH = 510
NAME = re.compile(r"[A-Za-z0-9._/:-]+")
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
WHOLE_NUMBERS = {
    "totem": "token token_coefficient token_retransmits_before_loss_const consensus join send_join merge downcheck window_size",
    "quorum": "expected_votes two_node wait_for_all last_man_standing auto_tie_breaker allow_downscale",
    "nodelist.node": "nodeid quorum_votes",
}
NUMBERED = {f"{section}.{key}" for section, keys in WHOLE_NUMBERS.items() for key in keys.split()}
TRANSPORTS = ("knet", "udpu", "udp", "iba")
NOT_WITH_A_DEVICE = ("two_node", "auto_tie_breaker", "last_man_standing", "allow_downscale")  # "… cannot be configured at the same time"


@dataclass(frozen=True)
class Refusal:
    """Why, in words that follow "corosync.conf … is refused by Corosync (". `of_all_versions`: whatever its version."""

    says: str
    of_all_versions: bool = False


@dataclass
class _Read:
    settings: dict[str, str] = field(default_factory=dict)
    nodes: list[dict[str, str]] = field(default_factory=list)


def refusals(text: str) -> tuple[Refusal, ...]:
    """The first line that its parser does not take, else what it does not take together; none of a file that may not be whole."""
    lines = text.split("\n")
    if END not in lines:
        return ()
    read = _Read()
    by_line = _first_refused_line(lines[: lines.index(END)], read)
    return (by_line,) if by_line is not None else tuple(_refused_together(read))


def _first_refused_line(lines: Collection[str], read: _Read) -> Refusal | None:
    within: list[str] = []
    for number, whole in enumerate(lines, 1):
        line = whole.removesuffix("\r").strip(" \t")
        if len(whole.encode("utf-8", "replace")) > MAX_LINE_LENGTH:
            return Refusal(f"line {number} is too long")
        if not line or line.startswith("#"):
            continue
        name, opens, rest = line.partition("{")
        key, assigns, value = (part.strip(" \t") for part in line.partition(":"))
        if opens:
            if rest or not name.strip(" \t"):
                return Refusal(f"line {number}: {'something follows the brace that opens a section' if rest else 'a section has no name'}")
            within.append(name.strip(" \t"))
            if within == ["nodelist", "node"]:
                read.nodes.append({})
        elif assigns:
            path = ".".join([*within, key])
            if not NAME.fullmatch(key):
                return Refusal(f"line {number}: {_printable(key)} is no name of a setting: it has a blank in it, or what looks like one")
            if path in NUMBERED and not WHOLE_NUMBER.fullmatch(value):
                return Refusal(f"line {number}: {path} is {_printable(value) if value else 'empty'}, and has to be a whole number")
            read.settings[path] = value
            if within == ["nodelist", "node"]:
                read.nodes[-1][key] = value
        elif "}" in line:
            if not within or line != "}":
                return Refusal(
                    f"line {number}: {'a brace closes nothing' if line == '}' else 'something stands beside a closing brace'}", line == "}"
                )
            within.pop()
        else:
            return Refusal(
                f"line {number}, {_printable(line)}, neither opens nor closes a section, and sets nothing: has it lost its colon?"
            )
    return Refusal(f"the section {_printable(within[-1])} is not closed: a brace is missing", True) if within else None


def _refused_together(read: _Read) -> Iterator[Refusal]:
    settings = read.settings
    numbers = Counter(node["nodeid"] for node in read.nodes if "nodeid" in node)
    for number, times in numbers.items():
        if times > 1:
            yield Refusal(f"the nodeid {number} appears {'twice' if times == 2 else f'{times} times'}", True)
    knet = settings.get("totem.transport", "knet").lower() == "knet" and "totem.rrp_mode" not in settings
    if knet and any(node.get("nodeid", "0") == "0" for node in read.nodes):
        yield Refusal("a node has no nodeid, or 0, and knet needs one")
    if settings.get("totem.version") != "2":
        yield Refusal("totem.version is not 2", True)
    if settings.get("totem.transport", "knet").lower() not in TRANSPORTS:
        yield Refusal(f"totem.transport is {_printable(settings['totem.transport'])}, which is none")
    if any(name.startswith("quorum.device.") for name in settings):
        for name in NOT_WITH_A_DEVICE:
            if settings.get(f"quorum.{name}", "0") not in ("0", ""):
                yield Refusal(f"{name} and a quorum device are configured together")


def _printable(text: str) -> str:
    """A stranger's word, bounded, with what cannot be seen written out."""
    return "`" + "".join(c if c.isascii() and c.isprintable() else f"\\u{ord(c):04x}" for c in text[:40]) + "`"
