"""Three-valued verdicts, and the timeline that keeps every event of a run."""

from __future__ import annotations

import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.timeline import Timeline
from harness.core.verdict import Outcome, Verdict, all_of, failed, inconclusive, passed

VERDICTS = st.builds(Verdict, st.sampled_from(Outcome), st.text(min_size=1).filter(str.strip))


@pytest.mark.parametrize("make", [passed, failed, inconclusive])
@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_no_verdict_without_a_reason(make, reason):
    with pytest.raises(ValueError, match="reason"):
        make(reason)


def test_only_a_pass_is_true():
    assert passed("seen") and not failed("not seen") and not inconclusive("blind")


def test_nothing_checked_proves_nothing():
    assert all_of([]).outcome is Outcome.INCONCLUSIVE


@given(st.lists(VERDICTS, min_size=1))
def test_a_failure_outweighs_a_broken_measurement_which_outweighs_a_pass(verdicts):
    """And the reasons of exactly the weightiest kind are kept, each once."""
    whole = all_of(verdicts)
    kinds = {v.outcome for v in verdicts}
    assert whole.outcome is next(o for o in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS) if o in kinds)
    assert whole.reason == "; ".join(dict.fromkeys(v.reason for v in verdicts if v.outcome is whole.outcome))


def test_all_of_takes_any_iterable():
    assert all_of(v for v in [passed("a"), passed("b"), passed("a")]) == passed("a; b")


def test_an_event_is_on_disk_at_once(tmp_path):
    """A killed run stays readable: the line is there before anything is closed."""
    file = tmp_path / "timeline.jsonl"
    timeline = Timeline(file)
    timeline.note("lknode01", "check", "reached: «ü» \ud800", code="W1", path=tmp_path)
    (line,) = file.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    record = json.loads(line)
    assert (record["source"], record["kind"], record["data"]) == ("lknode01", "check", {"code": "W1", "path": str(tmp_path)})
    timeline.close()


def test_back_dating_moves_both_clocks():
    """`at` is the monotonic time of the event; the wall clock follows it."""
    before = time.time()
    event = Timeline().note("harness", "x", "it began a minute ago", at=time.monotonic() - 60)
    assert event.wall <= before - 59
    assert event.at <= time.monotonic() - 60


def test_it_appends_to_what_was_there(tmp_path):
    file = tmp_path / "timeline.jsonl"
    for text in ("first", "second"):
        timeline = Timeline(file)
        timeline.note("harness", "run", text)
        timeline.close()
    assert [json.loads(line)["text"] for line in file.read_text().splitlines()] == ["first", "second"]


def test_a_late_note_after_the_end_is_no_error(tmp_path):
    """A thread that ends late may still tell; it is kept in memory."""
    timeline = Timeline(tmp_path / "timeline.jsonl")
    timeline.close()
    timeline.close()
    timeline.note("witness", "end", "late")
    assert [e.text for e in timeline.events] == ["late"]


def test_many_threads_make_whole_lines(tmp_path):
    file = tmp_path / "timeline.jsonl"
    timeline = Timeline(file)
    threads = [threading.Thread(target=lambda n=n: [timeline.note(f"t{n}", "x", "y" * 500) for _ in range(50)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    timeline.close()
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 400 == len(timeline.events)
