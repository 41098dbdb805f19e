"""The rooms of `harness/`: few entries on each level, one order that is enforced and shown, and names that tell files apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests import rooms

MAX_ROOT_FILES = 6
MAX_ENTRIES = 15
# Where two rooms have a file of one name, the room says which is meant: the two ends of one protocol, the lab's side of a thing beside the
# harness's, a command beside what it runs, and a cluster manager beside the lab's installer for it.
SAME_NAMES = {
    "agent.py",
    "connection_worker.py",
    "doctor.py",
    "install.py",
    "manager.py",
    "packet_capture.py",
    "postgres.py",
    "trust.py",
}


def entries(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != "__pycache__" and not p.name.startswith("."))


def test_the_root_holds_rooms_and_few_files() -> None:
    assert len([p for p in rooms.HARNESS.iterdir() if p.is_file() and not p.name.startswith(".")]) <= MAX_ROOT_FILES


def test_no_level_has_more_than_one_reads_before_choosing() -> None:
    folders = [p for p in rooms.HARNESS.rglob("*") if p.is_dir() and p.name != "__pycache__"]
    assert {str(p): entries(p) for p in folders if len(entries(p)) > MAX_ENTRIES} == {}


def test_every_room_has_its_place_in_the_order() -> None:
    """The linter sees to the direction; it would not miss a room that nobody imports."""
    named = {name for row in rooms.layers() for name in row}
    assert {p.name for p in rooms.rooms()} <= named


def test_the_picture_in_the_docs_is_the_order_that_is_enforced() -> None:
    assert rooms.PAGE.read_text() == rooms.page(), "run: python -m tests.rooms"


def test_every_room_says_what_it_holds() -> None:
    assert [str(p) for p in rooms.HARNESS.rglob("__init__.py") if not rooms.summary(p.parent)] == []


def test_no_two_files_share_a_name_unless_their_rooms_tell_them_apart() -> None:
    names = Counter(p.name for p in rooms.HARNESS.rglob("*.py") if p.name not in ("__init__.py", "__main__.py"))
    assert {name for name, times in names.items() if times > 1} <= SAME_NAMES
