"""A recording is read as far as it goes, however it was cut off or damaged, and never raises for what stands after its header."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from recordings import A, a_header

from harness.core.verdict import Outcome
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import CapturedPacket, Clock, Mark, NodeEvent, Noise, Recorder, Sample, Token, read

SERIES = "lkclient/listener/new"
GOOD = Sample(1.5, 0.0004, "answered", 40000, "")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """One of everything; `Mark` last, before the end."""
    path = tmp_path / "01-switchover" / "recording.jsonl"
    with Recorder(path, a_header()) as recorder:
        recorder.samples(SERIES, [GOOD, GOOD._replace(at=1.6, outcome="silent", detail="müde")])
        recorder.sightings([CapturedPacket(1.5, A, "eth0", "syn", "10.20.1.20", 40000, "10.20.1.11", 1521, False)])
        recorder.add(NodeEvent(1.7, A, "vip-up", "eth1", {"initial": True}))
        recorder.add(Clock(A, 1.0, 0.5, 0.001))
        recorder.add(Noise(2.0, A, 100, 0, 0.0, 0.0, 0.1))
        recorder.add(Token(1.5, A, "t-1", True, 0.01, by=A))
        recorder.read_back({"t-1": 1})
        recorder.add(Mark(1.4, "begin", "moved"))
    return path


def test_what_is_written_is_read(stored):
    found = read(stored)
    assert found.header == a_header() and found.complete
    assert found.samples == {SERIES: [GOOD, GOOD._replace(at=1.6, outcome="silent", detail="müde")]}
    assert found.sightings == [CapturedPacket(1.5, A, "eth0", "syn", "10.20.1.20", 40000, "10.20.1.11", 1521, False)]
    assert (len(found.events), len(found.clocks), len(found.noise), len(found.tokens)) == (1, 1, 1, 1)
    assert found.read_back == {"t-1": 1} and found.mark("begin") == 1.4 and found.mark("undone") is None


def test_cut_off_at_any_byte(stored):
    """Of the header at least the line must be whole; after it every prefix is read, and only the whole one is complete."""
    data = stored.read_bytes()
    first = data.index(b"\n")
    before = -1
    for length in [*range(0, len(data), 7), len(data) - 1, len(data)]:
        stored.write_bytes(data[:length])
        if length < first:
            with pytest.raises(ValueError, match=r"recording\.jsonl: is no recording"):
                read(stored)
            continue
        found = read(stored)
        assert found.complete == (length >= len(data) - 1)
        kept = sum(map(len, (found.samples, found.sightings, found.events, found.clocks, found.noise, found.tokens, found.marks)))
        assert kept >= before
        before = kept
    assert before == 7


@pytest.mark.parametrize(
    "damaged",
    [
        '{"is":"s"}',
        '{"is":"s","series":"lkclient/listener/new","rows":[[1.0,0.1]]}',
        '{"is":"s","series":"lkclient/listener/new","rows":7}',
        '{"is":"s","series":["no"],"rows":[]}',
        '{"is":"w","rows":[[1.0,"lknode01"]]}',
        '{"is":"e","at":1.0}',
        '{"is":"m","at":1.0,"kind":"begin","text":"","colour":"blue"}',
        '{"is":"c"}',
        '{"is":"n","host":"lknode01"}',
        '{"is":"t","value":"t-1"}',
        '{"is":"r"}',
        '{"is":"r","found":5}',
        '{"at":1.0}',
        "[1, 2]",
        "5",
        "null",
        "\x00\x00\x00",
        "",
    ],
)
def test_a_damaged_line_ends_it_there(stored, damaged):
    """Valid JSON with keys missing, too many or of another kind: what came before it counts, nothing after it, and it is not complete."""
    lines = stored.read_text().splitlines()
    stored.write_text("\n".join([*lines[:4], damaged, *lines[4:]]) + "\n")
    found = read(stored)
    assert (len(found.samples[SERIES]), len(found.sightings), len(found.events)) == (2, 1, 1)
    assert (found.clocks, found.noise, found.tokens, found.marks, found.read_back) == ([], [], [], [], None)
    assert not found.complete
    assert evaluate(found).verdict.outcome is Outcome.INCONCLUSIVE  # and it can be judged


def test_a_line_of_a_kind_from_later_is_passed_over(stored):
    """A newer harness may record more; what is known still counts."""
    lines = stored.read_text().splitlines()
    stored.write_text("\n".join([*lines[:4], '{"is":"z","what":1}', *lines[4:]]) + "\n")
    assert read(stored).complete and read(stored).mark("begin") == 1.4


@pytest.mark.parametrize("change", [{"series": 3}, {"series": [{}]}, {"colour": "blue"}, {"is": "s"}], ids=str)
def test_a_damaged_header_is_no_recording(stored, change):
    first, _, rest = stored.read_text().partition("\n")
    stored.write_text(json.dumps({**json.loads(first), **change}) + "\n" + rest)
    with pytest.raises(ValueError, match="is no recording of a measurement"):
        read(stored)


def test_what_comes_after_the_end_belongs_to_no_measurement(tmp_path):
    path = tmp_path / "recording.jsonl"
    with Recorder(path, a_header()) as recorder:
        pass
    recorder.add(Mark(9.0, "late"))
    recorder.close()
    assert read(path).marks == [] and read(path).complete


class FullDisk:
    """A file on a disk that is full by now."""

    name, closed = "recording.jsonl", False

    def write(self, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_nobody_and_leaves_a_recording_that_was_cut_off(tmp_path: Path) -> None:
    """Who records also undoes: what cannot be written is told at the end, and is no reason to stop before it is undone."""
    with Recorder(tmp_path / "recording.jsonl", a_header()) as recorder:
        recorder.samples(SERIES, [GOOD])
        disk, recorder._file = recorder._file, FullDisk()
        recorder.add(Mark(1.4, "begin", "moved"))
        assert recorder.broken == "recording.jsonl: No space left on device"
        recorder._file = disk  # there is room again: what was lost stays lost, and nothing is added that would hide that
        recorder.add(Mark(1.9, "undone"))
    found = read(tmp_path / "recording.jsonl")
    assert found.samples == {SERIES: [GOOD]} and found.marks == [] and not found.complete


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_disk_that_is_full_from_the_beginning_is_told() -> None:
    with Recorder(Path("/dev/full"), a_header()) as recorder:
        recorder.add(Mark(1.4, "begin", "moved"))
    assert recorder.broken == "/dev/full: No space left on device"
