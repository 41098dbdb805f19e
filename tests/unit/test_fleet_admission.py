"""Which cluster of a fleet begins next: what speaks against it, for how long at most, and that it is told; one busy machine for real."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from harness import cli
from harness.commands.fleet import admission, fleet
from harness.commands.fleet.admission import MAX_HELD_ALONE_S, MAX_HELD_S, Admission, Decision, busy_reason, decide
from harness.commands.fleet.fleet_clusters import is_here
from harness.commands.fleet.local_cpu_load import PRESSURE, WINDOW_S, LoadReader, MachineLoad
from harness.commands.fleet.process_pool import Job, Pool

QUIET, BUSY = MachineLoad(10.0, 5.0), MachineLoad(99.0, 5.0)


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (MachineLoad(), ""),
        (MachineLoad(50.0, 9.0), ""),  # what waits decides: a load counts what waits for a disk as well
        (MachineLoad(51.0, 0.1), "in 51 % of the last seconds something waited for a processor"),
        (MachineLoad(None, 1.5), ""),
        (MachineLoad(None, 1.6), "its load is 1.6 for each processor"),
    ],
)
def test_a_busy_machine_is_told_by_what_waits_else_by_its_load(load, words):
    assert busy_reason(load).startswith(words) and bool(busy_reason(load)) == bool(words)


@pytest.mark.parametrize(
    ("load", "just_begun", "held_s", "alone_s", "processors", "begins"),
    [
        (QUIET, 0, 0.0, 0.0, 2, True),
        (QUIET, 1, 0.0, 0.0, 2, False),  # it does not show in the load yet
        (QUIET, 1, 0.0, 0.0, 4, True),
        (QUIET, 2, 0.0, 0.0, 4, False),
        (QUIET, 1, 0.0, 0.0, 1, False),
        (BUSY, 0, 0.0, 0.0, 64, False),
        (BUSY, 0, MAX_HELD_S - 1, 0.0, 2, False),
        (BUSY, 0, MAX_HELD_S, 0.0, 2, True),
        (BUSY, 0, 99.0, MAX_HELD_ALONE_S - 1, 2, False),  # what others do here may end …
        (BUSY, 0, 99.0, MAX_HELD_ALONE_S, 2, True),  # … or not
        (MachineLoad(), 7, 0.0, 0.0, 2, True),  # where nothing is known the number alone limits
    ],
)
def test_when_one_of_this_machine_begins(load, just_begun, held_s, alone_s, processors, begins):
    decision = decide(load, recent_starts=just_begun, held_s=held_s, alone_s=alone_s, processors=processors)
    assert decision == Decision(begins, busy_reason(load))


class Rehearsal:
    """An admission of four clusters, of which some are on this machine, at times and loads that the test sets."""

    def __init__(self, here: list[int]) -> None:
        self.now, self.load, self.said = 100.0, QUIET, list[str]()
        self.admission = Admission(["a", "b", "c", "d"], here, lambda: self.load, self.said.append, processors=2, clock=lambda: self.now)

    def asked(self, waiting: list[int], running: list[int], *, later: float = 0.0) -> int | None:
        self.now += later
        return self.admission(waiting, running)


def test_clusters_elsewhere_begin_at_once_however_busy_this_machine_is():
    fleet = Rehearsal([])
    fleet.load = BUSY
    assert [fleet.asked([0, 1, 2, 3], []), fleet.asked([1, 2, 3], [0])] == [0, 1] and fleet.said == [] == fleet.admission.notes()


def test_one_that_is_held_back_lets_those_pass_that_are_elsewhere_and_is_told_once():
    fleet = Rehearsal([0, 1])
    assert fleet.asked([0, 1, 2, 3], []) == 0
    assert fleet.asked([1, 2, 3], [0]) == 2 and fleet.said == []  # what has just begun is nothing to tell a person
    fleet.load = BUSY
    assert fleet.asked([1, 3], [0, 2], later=WINDOW_S) == 3
    assert fleet.asked([1], [0, 2, 3], later=1) is None and len(fleet.said) == 1
    assert fleet.said[0].startswith(
        "b: held back, as those behind it will be, while this machine is busy, for 10 min at most, 30.0 s where"
    )
    fleet.load = QUIET
    assert fleet.asked([1], [0], later=7) == 1 and len(fleet.said) == 1
    assert fleet.admission.notes() == [
        "1 cluster of this machine waited to begin, 12.0 s in all: this machine was busy "
        "(in 99 % of the last seconds something waited for a processor, 50 % are allowed)"
    ]


def test_nothing_is_held_for_ever_and_the_page_names_what_began_on_a_busy_machine():
    fleet = Rehearsal([0, 1])
    fleet.load = BUSY
    assert fleet.asked([0, 1], []) is None
    assert fleet.asked([0, 1], [], later=MAX_HELD_ALONE_S - 1) is None
    assert fleet.asked([0, 1], [], later=1) == 0
    assert fleet.said[1].startswith("a: begins although this machine is still busy, after it was held back for 30.0 s: in 99 %")
    assert fleet.asked([1], [0], later=MAX_HELD_ALONE_S) is None  # another's time is its own, and longer while the first one runs
    assert fleet.asked([1], [0], later=MAX_HELD_S - 1) is None
    assert fleet.asked([1], [0], later=1) == 1
    assert len(fleet.said) == 3 and fleet.said[1:] == fleet.admission.notes()[1:]
    assert fleet.admission.notes()[0].startswith("2 clusters of this machine waited to begin, 10 min 30 s in all")


def test_a_run_that_ended_leaves_the_machine_time_to_become_quiet_however_long_it_took():
    fleet = Rehearsal([0, 1])
    assert fleet.asked([0, 1], []) == 0
    fleet.load = BUSY
    assert fleet.asked([1], [0], later=WINDOW_S) is None
    assert fleet.asked([1], [], later=MAX_HELD_ALONE_S * 3) is None
    assert fleet.asked([1], [], later=MAX_HELD_ALONE_S - 1) is None
    assert fleet.asked([1], [], later=1) == 1


def test_the_waiting_is_of_the_last_seconds_and_not_of_a_run_that_has_ended(tmp_path):
    file, now = tmp_path / "cpu", [0.0]
    read = LoadReader(file, clock=lambda: now[0])

    def looked(at: float, waited_s: float) -> float | None:
        now[0] = at
        file.write_text(
            f"some avg10=77.50 avg60=1.00 avg300=1.00 total={waited_s * 1e6:.0f}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
        )
        return read().waiting

    assert looked(0, 5) == looked(1, 6) == 77.5  # too short a time: the kernel's own average
    assert looked(4, 8) == 75.0
    assert [looked(5, 8), looked(6, 8), looked(7, 8), looked(8, 8)] == [50.0, 40.0, pytest.approx(100 * 2 / 6), 0.0]
    file.write_text("some avg10=full of words total=x\n")
    assert read().waiting is None
    file.unlink()
    assert read().waiting is None


NODE = '[[nodes]]\nname = "{1}"\nssh = {{ host = "{0}"{2} }}\n'


def lab(host: str, more: str = "") -> str:
    """A cluster file whose nodes are reached there."""
    return "".join(NODE.format(host, name, more) for name in ("a", "b"))


@pytest.mark.parametrize(
    ("text", "here"),
    [
        (lab("127.0.0.1"), True),
        (lab("::1"), True),
        (lab("localhost"), True),
        (lab("10.20.1.11"), False),
        (lab("node.example"), False),
        (lab("127.0.0.1", ', jump = "c"'), False),  # the jump host's own loopback
        ('[[nodes]]\nname = "a"\nssh = { user = "root" }\n', False),
        ("nodes = 3", False),
        ("nodes = [", False),
        ("", False),
    ],
)
def test_which_clusters_are_on_this_machine(tmp_path, text, here):
    (tmp_path / "cluster.toml").write_text(text)
    assert is_here(tmp_path / "cluster.toml") is here
    assert not is_here(tmp_path / "absent.toml")


def test_a_fleet_says_on_its_page_and_in_json_that_it_held_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fleet, "PROGRAM", (sys.executable, "-S", "-c", "print('looked')"))
    monkeypatch.setattr(admission, "MAX_HELD_ALONE_S", 0.5)
    monkeypatch.setattr("harness.commands.fleet.local_cpu_load.LoadReader.__call__", lambda self: BUSY)
    Path("one.toml").write_text(lab("127.0.0.1"))
    for words, told in (("acceptance", True), ("check", False)):  # what measures nothing asks for no quiet machine
        cli.main(["fleet", "one.toml", "--", words])
        assert ("one: begins although this machine is still busy" in capsys.readouterr().out) == told
        assert ("begins although" in Path("reports/fleet/fleet.html").read_text()) == told
    cli.main(["fleet", "one.toml", "--json", "--", "acceptance"])
    assert '"1 cluster of this machine waited to begin' in capsys.readouterr().out


@pytest.mark.skipif(not PRESSURE.exists(), reason="this kernel does not tell what waits for processors")
def test_on_a_machine_that_one_makes_busy_the_next_one_begins_after_it(tmp_path):
    """The kernel's own word: the first child keeps every processor busy until it has heard that the second is held back."""
    heard, ended = tmp_path / "heard", list[int]()
    burn = (
        "import pathlib, sys, time\n"
        "file, end = pathlib.Path(sys.argv[1]), time.monotonic() + 120\n"
        "while time.monotonic() < end and not file.exists(): sum(range(9999))"
    )
    crowd = (
        "import subprocess, sys\n"
        f"every = [subprocess.Popen([sys.executable, '-S', '-c', {burn!r}, sys.argv[1]]) for _ in range({3 * (os.cpu_count() or 1)})]\n"
        "sys.exit(max(one.wait() for one in every))"
    )
    jobs = [
        Job("busy", (sys.executable, "-S", "-c", crowd, str(heard)), tmp_path / "busy.log"),
        Job("next", (sys.executable, "-S", "-c", "pass"), tmp_path / "next.log"),
    ]
    began, loads, read = list[tuple[int, list[int]]](), list[MachineLoad](), LoadReader()

    def load() -> MachineLoad:
        loads.append(read())
        return loads[-1]

    def admits(waiting: Sequence[int], running: Collection[int]) -> int | None:
        chosen = one(waiting, running)
        if chosen is None and 0 in running and busy_reason(loads[-1]):
            heard.touch()
        return chosen

    one = Admission(["busy", "next"], [0, 1], load, lambda sentence: None, processors=1)
    pool = Pool(
        2,
        on_begin=lambda index: began.append((index, list(ended))),
        on_end=lambda index, end: ended.append(index),
        on_interrupt=lambda running: None,
        admits=admits,
    )
    assert [end.returned for end in pool.run(jobs)] == [0, 0]
    assert heard.exists() and began == [(0, []), (1, [0])]
    assert "of this machine waited to begin" in one.notes()[0] and "something waited for a processor" in one.notes()[0]
