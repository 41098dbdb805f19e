"""The flight recorder as a real process: what it keeps, what it survives, how it ends, and that it leaves nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from agent_fixtures import EXPECT, LIMIT, SAY, nothing_of, processes_of, service

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.hosts.local_host import LocalHost
from harness.recorder.incident_files import HostIncident, incident
from harness.remote.agents.agent_launch import AgentSeries, AgentWatch
from harness.remote.agents.recorder_link import RecorderLink, RecorderOptions, RecorderPlan
from tests import deep_option

NAME = "lkharness-agent-recorder-test"
SLOW_S = 0.1  # from one attempt to the next while all is well
QUICK = RecorderOptions(before=4.0, after=1.0, calm=0.5, free=0)


@contextlib.contextmanager
def recording(folder: Path, port: int, *, lasts: float = 300.0, keep: float = 0.0, **more) -> Iterator[RecorderLink]:
    """A recorder of one service; after it nothing of it is left."""
    host = LocalHost("here")
    link = RecorderLink(host, sys.executable, NAME, (str(folder),))
    series = AgentSeries("t", "127.0.0.1", port, period_s=SLOW_S, say=SAY, expect=EXPECT)
    options = more.pop("options", QUICK)
    link.install(RecorderPlan([series], AgentWatch(every_s=0.25), {"t": 0.01}, time.time() + lasts, keep, again_s=0.1, options=options))
    try:
        yield link
    finally:
        link.remove()
        nothing_of(folder)
        host.close()


def kept(link: RecorderLink, many: int = 1) -> list[HostIncident]:
    """Its incidents, once so many are over."""

    def names() -> list[str]:
        return [one["name"] for one in (link.status() or {"incidents": []})["incidents"] if one["ended"] is not None]

    found = Deadline(LIMIT).wait_for(names, what="incidents that are over", every=1.0, until=lambda found: len(found) >= many)
    return [one for name in found if (one := incident("here", name, link.fetch(name))) is not None]


def running(link: RecorderLink, state: bool = True) -> None:
    Deadline(LIMIT).wait_for(lambda: (link.status() or {}).get("alive", False) is state, what=f"a recorder that runs: {state}", every=0.5)


@pytest.mark.timing
def test_a_cut_of_three_tenths_of_a_second_is_kept_at_ten_milliseconds_with_what_was_before(tmp_path) -> None:
    before = deep_option.number(2, 31, "RECORDER_BEFORE_S")
    with service() as it, recording(tmp_path, it.port, options=RecorderOptions(before=before + 1, after=1.0, calm=0.5, free=0)) as link:
        full = Deadline(before + 1.0)
        Deadline(LIMIT).wait_for(lambda: full.expired, what="memory that holds so much", every=0.2)
        it.mode, cut = "hang", time.time()
        Deadline(LIMIT).wait_for(lambda: time.time() >= cut + 0.3, what="the cut", every=0.01)
        it.mode = "answer"
        rows = next(one for one in kept(link) if one.triggered > cut).samples["t"]
    failed = [row.at for row in rows if row.outcome == "silent"]
    gaps = sorted(b - a for a, b in pairwise(failed))
    assert rows[0].at <= cut - before, "what was before it is lost"
    if any(b - a < SLOW_S / 2 for a, b in pairwise(row.at for row in rows if row.at < cut - SLOW_S)):
        # A busy machine was slow before, and for an attempt that waits the rate is raised once in 20 s: this cut came at the slow one.
        assert len(failed) >= 2, f"{len(failed)} attempts failed"
    else:
        assert len(failed) >= 8 and gaps[len(gaps) // 2] < 0.02, f"{len(failed)} attempts failed, {gaps} s apart"


def test_it_keeps_a_mark_and_refuses_a_second_one_of_its_kind(tmp_path) -> None:
    with service() as it, recording(tmp_path, it.port) as link:
        with pytest.raises(Inconclusive, match=r"there is a recorder in .* already"):
            link.install(RecorderPlan([], AgentWatch(), {}, time.time() + 5))
        assert link.mark("users complain")
        (one,) = kept(link)
        assert one.why == "mark users complain" and [e.text for e in one.events if e.kind == "mark"] == ["users complain"]
        link.forget([one.name])
        assert (link.status() or {})["incidents"] == []


@pytest.mark.deep
def test_what_goes_wrong_for_long_is_one_incident_and_its_end_another(tmp_path) -> None:
    options = RecorderOptions(before=1.0, after=1.0, calm=0.2, longest_fast=0.5, longest=2.0, free=0)
    with service("hang") as it, recording(tmp_path, it.port, options=options) as link:
        kept(link)
        it.mode = "answer"
        first, last = kept(link, 2)[:2]
    assert "failed: silent" in first.why and last.why == "t is answered again"


def replaced(folder: Path, worker: int) -> None:
    """The guard has another worker than this one."""
    Deadline(LIMIT).wait_for(
        lambda: len(found := sorted(processes_of(folder / NAME))) == 2 and found[1] != worker, what="a new worker", every=0.05
    )


@pytest.mark.deep
def test_a_worker_that_is_killed_is_replaced_and_one_that_went_down_with_its_host_starts_again(tmp_path) -> None:
    with service() as it, recording(tmp_path, it.port) as link:
        running(link)
        guard, worker = sorted(processes_of(tmp_path / NAME))
        os.kill(worker, signal.SIGKILL)
        replaced(tmp_path, worker)
        running(link)
        for pid in processes_of(tmp_path / NAME):  # as when the power fails: nobody is asked
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        running(link, state=False)
        link.start()
        running(link)
        assert link.fetch("journal").count('"it began"') == 3
        assert guard not in processes_of(tmp_path / NAME)


@pytest.mark.deep
def test_one_that_ended_by_itself_is_replaced_and_what_ends_its_node_waits_for_nobody(tmp_path) -> None:
    with service() as it, recording(tmp_path, it.port, keep=86400.0) as link:
        running(link)
        _, worker = sorted(processes_of(tmp_path / NAME))
        os.kill(worker, signal.SIGTERM)
        replaced(tmp_path, worker)
        running(link)
        for pid in reversed(sorted(processes_of(tmp_path / NAME))):  # as systemd ends all of a unit
            os.kill(pid, signal.SIGTERM)
        Deadline(LIMIT).wait_for(lambda: not processes_of(tmp_path / NAME), what="all of them to end", every=0.1)
        assert (tmp_path / NAME / "plan").exists() and not (tmp_path / NAME / "reserve").exists()
        link.start()
        running(link)


def test_it_ends_by_itself_and_leaves_nothing(tmp_path) -> None:
    with service() as it, recording(tmp_path, it.port, lasts=2.0):
        nothing_of(tmp_path)


@pytest.mark.deep
def test_what_it_keeps_has_a_bound_and_the_oldest_goes(tmp_path) -> None:
    options = RecorderOptions(before=1.0, after=0.0, calm=0.1, kept=20_000, journal=300, free=0, tell=0.1)
    with service() as it, recording(tmp_path, it.port, options=options) as link:
        for number in range(4):
            link.mark("x" * 150 + str(number))
            kept(link)
            Deadline(LIMIT).wait_for(lambda: not (tmp_path / NAME / "mark").exists(), what="a mark that was taken", every=0.1)
        sizes = {path.name: path.stat().st_size for path in (tmp_path / NAME).iterdir() if path.name.startswith(("incident", "journal"))}
    assert sum(size for name, size in sizes.items() if name.startswith("incident")) <= 40_000
    assert sum(size for name, size in sizes.items() if name.startswith("journal")) < 3_000


def test_a_disk_that_is_nearly_full_is_left_to_others(tmp_path) -> None:
    with service() as it, recording(tmp_path, it.port, options=RecorderOptions(before=1.0, after=0.0, free=1 << 60)) as link:
        link.mark("x")
        Deadline(LIMIT).wait_for(lambda: "bytes of an incident were not kept" in link.fetch("journal"), what="it being told", every=1.0)
        assert sum(p.stat().st_size for p in (tmp_path / NAME).glob("incident-*")) == 0
        running(link)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.deep
def test_a_disk_that_is_full_to_the_last_byte_is_outlived_and_what_comes_later_is_kept(small_disk) -> None:
    with service() as it, recording(small_disk, it.port, options=RecorderOptions(before=1.0, after=0.0, calm=0.1, free=0)) as link:
        running(link)
        _, worker = sorted(processes_of(small_disk / NAME))
        link.mark("y" * 100)  # a file that is there already can be read on a full disk
        filler = small_disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 512)
        full = Deadline(3.0)
        Deadline(LIMIT).wait_for(lambda: full.expired, what="some time without a free byte", every=0.2)
        assert sorted(processes_of(small_disk / NAME))[1] == worker, "it goes on, and is not begun anew"
        running(link)
        filler.unlink()
        before = {one["name"] for one in (link.status() or {"incidents": []})["incidents"]}
        Deadline(LIMIT).wait_for(lambda: not (small_disk / NAME / "mark").exists(), what="the first mark being taken", every=0.2)
        link.mark("room again")
        later = lambda: [one for one in kept(link) if one.why == "mark room again"]  # noqa: E731
        (one,) = Deadline(LIMIT).wait_for(later, what="an incident that is kept again", every=0.5)
        assert one.samples["t"] and one.name not in before
