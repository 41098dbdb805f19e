"""`lcdstatus -q` of LifeKeeper, on Linux and Windows. Pure; no text makes it raise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.text.host_text import cut_at_word
from harness.managers.manager import CommPath, NodeState, ResourceState
from harness.managers.switchover_readiness import last_words

TREE = "|-\u2013\u2014 \t"  # on Windows children are marked `|---`, at times with long dashes (LKW-03)
NETWORKS = ("TCP", "TTY", "DISK")
NOT_RUNNING = "LifeKeeper does not appear to be running"

STATES = {  # LKL-14 to LKL-16
    "ISP": ResourceState.IN_SERVICE,
    "ISU": ResourceState.UNPROTECTED,
    "OSU": ResourceState.STANDBY,
    "OSF": ResourceState.FAILED,
    "ILLSTATE": ResourceState.UNKNOWN,
}


@dataclass(frozen=True)
class Row:
    """A row of the resources' table: whose word it is, and what it says."""

    speaker: str
    tag: str
    state: ResourceState


def parse(node: str, text: str) -> NodeState:
    """What `lcdstatus -q` printed on `node`. The exit code is not known to mean anything, so the text decides (LKL-10).

    Column 1 names the local node (LKL-05). A table of another node's is not this one's word, whatever brought it here.
    """
    if NOT_RUNNING in text:
        return NodeState(node, False, {}, (), "LifeKeeper is not running", stopped=True)
    lines = text.splitlines()
    rows = [row for line in lines if (row := _row(line))]
    paths = () if any(map(_is_spoilt_path, lines)) else tuple(path for line in lines if (path := _path(line)))
    strangers = dict.fromkeys(row.speaker for row in rows if not _is_same_host(node, row.speaker))
    if strangers:
        names = cut_at_word(", ".join(strangers), 200)
        why = f"lcdstatus there speaks of {names}, not of {node}; is it the right host, and {node} its name in LifeKeeper?"
        return NodeState(node, False, {}, paths, why)
    if not rows and not any(_is_header(line.split()) for line in lines):
        return NodeState(node, False, {}, paths, f"lcdstatus printed no table; it said: {last_words(text)}")
    return NodeState(node, True, _states([*rows, *_spoilt_rows(node, lines)]), paths)


def rows_with_depth(text: str) -> Iterator[tuple[str, int]]:
    """Every tag in its order, and how far its row is indented under the title TAG: 0 for a root (LKL-06, LKL-11)."""
    title = 0
    for line in text.splitlines():
        if _is_header(line.split()):
            title = line.index("TAG")
        elif row := _row(line):
            speaker = len(line) - len(line.lstrip()) + len(row.speaker)
            yield row.tag, max(0, speaker + len(line[speaker:]) - len(line[speaker:].lstrip(TREE)) - title)


def _row(line: str) -> Row | None:
    """Node, tag, id, state, priority, primary. Widths vary per host and an id may hold blanks or be missing, so words count from both ends
    and no offset does (LKL-06, LKL-09, LKL-11). By words and not by a pattern, whose time would grow with the cube of a long line."""
    words = line.split()
    if len(words) < 5 or line[0].isspace() or words[-3] not in STATES or not _is_number(words[-2]):
        return None
    tag = _tag(line)
    return Row(words[0], tag[0], STATES[words[-3]]) if len(tag) >= 4 else None


def _tag(line: str) -> list[str]:
    """The words of a row from its tag on, without the tree that is drawn before it."""
    rest = line.split(None, 1)[1:]
    return (rest[0].lstrip(TREE) if rest[0].startswith("|") else rest[0]).split() if rest else []


def _path(line: str) -> CommPath | None:
    """Peer, network, addresses, state, priority (LKL-08); a DISK may name no address."""
    words = line.split()
    if len(words) == 4 and words[1] == "DISK":
        words.insert(2, words[1])
    if len(words) != 5 or line[0].isspace() or words[1] not in NETWORKS or words[3] not in ("ALIVE", "DEAD"):
        return None
    return CommPath(words[0], words[2], words[3] == "ALIVE") if words[4] == "--" or _is_number(words[4]) else None


def _is_spoilt_path(line: str) -> bool:
    """A row of the paths' table that is none: left out, the rest would look like every path."""
    words = line.split()
    return len(words) > 2 and not line[0].isspace() and words[1] in NETWORKS and _path(line) is None and _row(line) is None


def _spoilt_rows(node: str, lines: list[str]) -> Iterator[Row]:
    """Lines of the table that begin as this node's row and are none: cut off, or in no state that is known. Such a resource's state is not
    known; left out, the rest would look like everything."""
    inside = False
    for line in lines:
        words = line.split()
        if not words or words[0] == "MACHINE":
            inside = False
        elif _is_header(words):
            inside = True
        elif inside and not _row(line) and (_is_same_host(node, words[0]) or node.lower().startswith(words[0].lower())):
            yield Row(node, (_tag(line) or ["?"])[0], ResourceState.UNKNOWN)


def _states(rows: list[Row]) -> dict[str, ResourceState]:
    """A shared child stands under each of its parents, always in the same state; a table that contradicts itself is not believed."""
    states: dict[str, ResourceState] = {}
    for row in rows:
        states[row.tag] = row.state if states.get(row.tag, row.state) is row.state else ResourceState.UNKNOWN
    return states


def _is_header(words: list[str]) -> bool:
    return words[:2] in (["LOCAL", "TAG"], ["BACKUP", "TAG"])


def _is_same_host(node: str, name: str) -> bool:
    """Names of hosts do not know case, and may have their domain or not. Dashes are nobody's name (LKL-05)."""
    expected, actual = node.lower(), name.lower()
    return (
        expected == actual
        or not actual.strip("-")
        or (("." in expected) is not ("." in actual) and expected.partition(".")[0] == actual.partition(".")[0])
    )


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()
