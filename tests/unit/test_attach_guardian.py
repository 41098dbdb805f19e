"""What the process beside a run understands of the run's last words, whatever cuts them short."""

from __future__ import annotations

import io
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import model
from harness.attach import guardian
from harness.attach.guardian import Brief, Word, watch, word_for
from harness.disrupt.base import HARNESS, Step
from harness.lab import seed

CLUSTER = model.parse(seed.cluster_data(), Path("x"))
BRIEF = Brief(cluster=CLUSTER, run="r", token="t", active="lknode01")


def heard(*words: Word, cut: int | None = None) -> tuple[Brief, list[Word]] | None:
    text = "".join(f"{what.model_dump_json()}\n" for what in (BRIEF, *words))
    return watch(io.StringIO(text[:cut]))


def test_a_farewell_leaves_everything_alone():
    assert heard(Word(longest_s=3.0), Word(farewell=True)) is None


def test_without_one_the_run_was_killed():
    assert heard() == (BRIEF, [])
    assert heard(Word(longest_s=3.0), Word(longest_s=1.0)) == (BRIEF, [Word(longest_s=3.0), Word(longest_s=1.0)])


def test_half_a_word_was_not_done_yet():
    assert heard(Word(longest_s=3.0), Word(longest_s=9.0), cut=-12) == (BRIEF, [Word(longest_s=3.0)])


@pytest.mark.parametrize("cut", [0, 10])
def test_half_a_brief_is_none(cut):
    assert heard(cut=cut) is None


def disruption(longest_s: float, unseen: bool = False) -> SimpleNamespace:
    steps = [Step(HARNESS, "do", "az vm stop"), Step(HARNESS, "undo", "az vm start -n 'a b'"), Step("lknode01", "undo", "nft …")]
    return SimpleNamespace(longest_s=longest_s, steps=lambda: steps, undone_unseen=unseen)


def test_only_what_nobody_else_undoes_is_the_guardians_to_undo():
    assert word_for(disruption(math.inf)) == Word(commands=[["az", "vm", "start", "-n", "a b"]])  # type: ignore[arg-type]
    assert word_for(disruption(20.0)) == Word(longest_s=20.0)  # type: ignore[arg-type]
    assert word_for(disruption(math.inf, unseen=True)).unseen  # type: ignore[arg-type]


def test_the_stated_time_follows_from_the_timers():
    """20 of the host, a boot of 15, two takeovers of 4, and a switchover's budget of 7.5."""
    assert guardian.longest_s(CLUSTER, 20.0) == 50.5


def test_a_power_command_s_words_are_not_told():
    assert guardian._run(["/nowhere/az", "--password", "canary"]) == "/nowhere/az could not be run: No such file or directory"
    assert guardian._run(["true", "canary"]) == "true exited 0"
