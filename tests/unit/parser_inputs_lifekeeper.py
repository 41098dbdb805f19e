"""Pictures of `lcdstatus -q`, on Linux and as PowerShell brings it from Windows (facts LKL-05 to LKL-16, LKW-03)."""

from __future__ import annotations

import json
import random

from parser_inputs import BANNERS, FAILED, IN, NODES, OUT, TAGS, UNKNOWN, UNPROTECTED, Truth

STOPPED = "LifeKeeper does not appear to be running."
WORDS = {"ISP": IN, "ISU": UNPROTECTED, "OSU": OUT, "OSF": FAILED, "ILLSTATE": UNKNOWN}
ACTIVE, STANDBY = ("ISP", "ISP", "ISP", "ISP", "ISU"), ("OSU", "OSU", "OSU", "OSU", "OSF")
IDS = (
    "listener-1521",
    "IP-10.20.1.200",
    "",
    "my data ISP 1 base",
    "/very/l...path",
    "12345",
    "E:",
    "OSU",
    "oracle ISP",
    "データ",
    "a|b",
    "1",
)
INDENT = ("", " ", "  ", "   ")


def picture(rng: random.Random, *, windows: bool = False) -> tuple[dict[str, str], dict[str, Truth]]:
    """What lcdstatus prints on both nodes, and what is so."""
    known = [tag for tag in TAGS if tag[0] != "-"] if windows else TAGS  # after a drawn dash nobody could tell where such a tag begins
    tags = rng.sample(known, rng.choice((1, 2, 3, 3, 4, 6)))
    tree = [(rng.choice(tags), rng.randrange(4)) for _ in range(rng.randrange(2))]  # a child that stands under a second parent
    tree = [(tag, depth) for depth, tag in enumerate(tags)] + tree
    ids = {tag: rng.choice(IDS) for tag in tags}
    texts, truths = {}, {}
    for i, node in enumerate(NODES):
        texts[node], truths[node] = _of_node(rng, node, NODES[1 - i], tree, ids, windows)
    return texts, truths


def _of_node(
    rng: random.Random, node: str, peer: str, tree: list[tuple[str, int]], ids: dict[str, str], windows: bool
) -> tuple[str, Truth]:
    kind = rng.random()
    end = "\r\n" if windows and rng.random() < 0.3 else "\n"
    before = rng.choice(BANNERS) + end if rng.random() < 0.2 else ""
    if kind < 0.03:
        return f"{before}{STOPPED}{end}", Truth(None, running=False)
    if kind < 0.05:
        return before or rng.choice(BANNERS), Truth(None, running=False)
    header = f"LOCAL{' ' * rng.randint(1, 9)}TAG{' ' * rng.randint(1, 20)}ID{' ' * rng.randint(1, 20)}STATE  PRIO  PRIMARY"
    if kind < 0.08:
        return f"{before}{header}{end}", Truth({}, paths=())
    stranger = kind < 0.11
    speaker = rng.choice((peer, "other.example.net") if stranger else (node, node, node, node.upper(), f"{node}.example.net"))
    choices = ACTIVE if rng.random() < 0.5 else STANDBY if rng.random() < 0.6 else tuple(WORDS)
    words = {tag: rng.choice(choices) for tag, _ in tree}
    shown = {tag: WORDS[word] for tag, word in words.items()}
    widths = [max(len(speaker), len(peer)) + 2, max(len(t) + d for t, d in tree) + 2, max(map(len, ids.values())) + rng.choice((2, 2, 9))]
    lines = [header]
    seen: set[str] = set()
    for tag, depth in tree:
        word = words[tag]
        if tag in seen and rng.random() < 0.2:  # read while it changed: the table contradicts itself
            word = rng.choice([w for w in WORDS if w != word])
            shown[tag] = UNKNOWN
        seen.add(tag)
        mark = _marks(rng, depth) if windows else INDENT[min(depth, 3)]
        lines.append(
            f"{speaker:<{widths[0]}}{mark + tag:<{widths[1]}} {ids[tag]:<{widths[2]}}{word:<8}  {rng.choice((1, 10, 999)):>4}  "
            f"{rng.choice((node, peer))}{rng.choice(('', '', '  '))}"
        )
    paths = tuple(rng.random() < 0.8 for _ in range(rng.choice((0, 1, 2, 2, 3))))
    if paths:
        lines += ["", f"MACHINE   {'TYPE' if windows else 'NETWORK'}  {'ADDRESSES/DISK' if windows else 'ADDRESSES/DEVICE'}  STATE  PRIO"]
    for number, alive in enumerate(paths):
        place, prio = rng.choice((("TCP", f"10.20.{number}.11/10.20.{number}.12"), ("TTY", "/dev/ttyS0"), ("DISK", "E:"))), "--"
        prio = f"{number + 1:>4}" if place[0] == "TCP" else "--"
        lines.append(f"{peer:<{widths[0]}}{place[0]:<8}{place[1]}  {'ALIVE' if alive else 'DEAD':<9}{prio}")
    after = rng.choice(BANNERS) + end if rng.random() < 0.1 else ""
    text = before + end.join(lines) + end + after
    return text, Truth(None, running=False) if stranger else Truth(shown, paths=paths)


def _marks(rng: random.Random, depth: int) -> str:
    dash = rng.choice(("---", "---", "\u2014\u2014\u2014", "\u2013"))
    return "" if not depth else "|   " * (min(depth, 3) - 1) + "|" + dash


def wrapped(rng: random.Random, text: str) -> tuple[str, bool | None]:
    """As the script of the Windows adapter prints it; and whether the service's state alone says that nothing runs (None: it does not)."""
    service = rng.choice(("Running",) * 8 + ("", "Stopped", "StopPending", "StartPending"))
    row = {"Text": text, "Errors": rng.choice(("", "warning")), "Exit": rng.choice((0, 1, 7)), "Service": service}
    rows = row if rng.random() < 0.5 else [row]
    answer = {"ok": True, "error": None, "message": None, "missing": [], "warnings": [], "rows": rows}
    said = json.dumps(answer, ensure_ascii=rng.random() < 0.5)
    before = "\ufeff" * rng.randrange(2) + (rng.choice(BANNERS) + "\r\n" if rng.random() < 0.2 else "")
    return f"{before}{said}\r\n", None if service in ("Running", "") else False


def supported(node: str, text: str) -> set[str]:
    """Every word that a line of this node's could be understood to call in service: read another way than the parser does."""
    found: set[str] = set()
    for line in text.splitlines():
        words = line.split()
        # dashes stand for the local node where no other is behind it (LKL-05)
        own = len(words) > 4 and (words[0].lower().split(".")[0] == node or not words[0].strip("-"))
        if own and words[-3] in ("ISP", "ISU") and words[-2].isdigit():
            found.update(word.lstrip("|-\u2013\u2014") or word for word in words[1:-3])
            found.update(words[1:-3])
    return found


def supported_wrapped(node: str, printed: str) -> set[str]:
    found: set[str] = set()
    for line in printed.splitlines():
        try:
            said = json.loads(line.lstrip("\ufeff"))
        except (ValueError, RecursionError):
            continue
        rows = said.get("rows") if isinstance(said, dict) else None
        for row in rows if isinstance(rows, list) else [rows]:
            if isinstance(row, dict):
                found |= supported(node, str(row.get("Text")))
    return found
