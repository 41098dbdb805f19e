"""The lease's script on PowerShell itself: who has it, for how long, whose folder it is in.

What makes the folder with its access list is Windows' own and is not run here: the folder is there already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from powershell_process import Loop

MINE, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def loop(environment: Callable[..., dict[str, str]], request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Loop]:
    folder = tmp_path / getattr(request, "param", "data")
    (folder / "lkharness").mkdir(parents=True)
    made = Loop(environment("many", ProgramData=str(folder)))
    assert made.line().ready
    made.place = folder / "lkharness"
    yield made
    made.end()


def asked(loop: Loop, verb: str, token: str = MINE, term: int = 60):
    given = {"Verb": verb, "Token": token, "Holder": "somebody \u201chere\u201d, run 1", "Term": term, "Longest": 3600}
    return loop.answer("lease", given)


def test_one_has_it_renews_it_and_gives_it_back(loop):
    assert asked(loop, "take").rows[0]["State"] == "mine"
    held = asked(loop, "take", OTHER).rows[0]
    assert held["State"] == "held" and 1 <= held["Left"] <= 60
    assert held["Holder"] == "somebody \u201chere\u201d, run 1" and held["Since"].startswith("20")
    assert asked(loop, "give", OTHER).rows[0]["State"] == "gone" and (loop.place / "lease").exists(), "it is not the other's to give"
    assert asked(loop, "renew").rows[0]["State"] == "mine"
    assert asked(loop, "give").rows[0]["State"] == "gone" and not loop.place.exists(), "with the last file the folder goes"
    assert asked(loop, "give").rows[0]["State"] == "gone"


def test_a_term_that_has_passed_and_one_beyond_the_longest_are_nobody_s(loop):
    assert asked(loop, "take", term=0).rows[0]["State"] == "mine"
    assert asked(loop, "take", OTHER, term=9000).rows[0]["State"] == "mine"
    assert asked(loop, "take").rows[0]["State"] == "mine"


@pytest.mark.parametrize("text", ["", "\0" * 4096, " \r\n"])
def test_an_empty_record_is_nobody_s(loop, text):
    (loop.place / "lease").write_text(text)
    assert asked(loop, "take").rows[0]["State"] == "mine"


@pytest.mark.parametrize("text", ["{", '{"token":"x"}', "nonsense", json.dumps({"token": MINE, "holder": "x"})])
def test_what_cannot_be_read_is_a_person_s_to_remove(loop, text):
    (loop.place / "lease").write_text(text)
    answer = asked(loop, "take")
    assert answer.error == "LeaseGarbled" and "remove it when no run" in answer.message


@pytest.mark.parametrize("loop", ["strangers", "somebody"], indirect=True)
def test_a_folder_that_is_not_ours_alone_is_refused(loop):
    """WHST-103, 104."""
    answer = asked(loop, "take")
    assert answer.error == "FolderNotOurs" and "remove it" in answer.message


def test_a_link_is_no_folder_of_ours(loop, tmp_path):
    loop.place.rmdir()
    loop.place.symlink_to(tmp_path)
    assert asked(loop, "take").error == "FolderNotOurs"


def test_a_count_goes_on(loop):
    first, second = (loop.answer("boot", {}).rows[0] for _ in range(2))
    assert first["Number"] is None and second["Ticks"] >= first["Ticks"] > 0
