"""The lease of a cluster, taken on this machine's own shell: one holder, named; renewed while it lives; ended by itself when it died."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.attach.lease import _SCRIPT, Lease, LeaseHeld
from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.hosts.local_host import LocalHost


def lease(folder: Path, run: str = "run-1", **about) -> Lease:
    return Lease({"lknode01": LocalHost("lknode01")}, run, folder=str(folder / "lease"), **about)


def test_the_second_is_refused_and_told_of_the_first(tmp_path: Path):
    first, second = lease(tmp_path, "run-1"), lease(tmp_path, "run-2")
    first.take()
    with pytest.raises(LeaseHeld, match=r"lknode01: another run has this cluster: .*, run run-1, since 20\d\d-.*for another \d+ s"):
        second.take()
    assert (tmp_path / "lease").exists(), "who was refused must not take it away"
    assert first.give_back() == [] and not (tmp_path / "lease").exists()
    second.take()
    assert not second.loss_reason
    second.give_back()


def test_it_outlives_its_term_while_it_is_renewed_and_ends_by_itself_otherwise(tmp_path: Path):
    held = lease(tmp_path, "run-1", term_s=2, renew_s=0.3)
    held.take()
    other = lease(tmp_path, "run-2", term_s=2, renew_s=60.0)
    past_its_term = Deadline(3.2)
    past_its_term.wait_for(lambda: past_its_term.remaining() < 0.1, what="the first term's end", every=0.2)
    with pytest.raises(LeaseHeld):
        other.take()
    held._ended.set()  # as if its process had been killed: nobody renews, nobody gives back
    held._thread.join()  # type: ignore[union-attr]

    def taken() -> bool:
        try:
            other.take()
        except LeaseHeld:
            return False
        return True

    Deadline(6.0).wait_for(taken, what="the dead run's lease to end", every=0.2)
    held.give_back()
    assert (tmp_path / "lease").exists(), "a run that lost its lease must not take away another's"
    other.give_back()


def test_a_lease_that_was_lost_says_so(tmp_path: Path):
    held = lease(tmp_path, "run-1", renew_s=0.05)
    held.take()
    record = tmp_path / "lease" / "lease"
    lines = record.read_text().splitlines()
    record.write_text("\n".join(["another", "somebody@elsewhere, run run-9", *lines[2:]]) + "\n")
    assert "somebody@elsewhere" in Deadline(5.0).wait_for(lambda: held.loss_reason, what="the loss being seen", every=0.05)
    held.give_back()
    assert record.exists()


def test_of_many_at_once_exactly_one_gets_an_old_one(tmp_path: Path):
    folder = tmp_path / "lease"
    folder.mkdir()
    (folder / "lease").write_text("old\nsomebody long gone\n2020-01-01T00:00:00Z\n1\n\n")
    leases = [lease(tmp_path, f"run-{i}", renew_s=60.0) for i in range(6)]

    def won(one: Lease) -> bool:
        try:
            one.take()
        except LeaseHeld:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(won, leases)) == 1
    for one in leases:
        one.give_back()


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence():
    with pytest.raises(Unusable, match=r"lknode01: the lease /proc/lease.*could not be had: .*log in as root"):
        Lease({"lknode01": LocalHost("lknode01")}, "run", folder="/proc/lease").take()


def test_all_or_none(tmp_path: Path):
    """When the second node is held by another, the first is given back."""
    (tmp_path / "a").mkdir()
    other = Lease({"b": LocalHost("b")}, "other", folder=str(tmp_path / "lease"))
    other.take()

    class Elsewhere(LocalHost):
        def run(self, command, *, input, **about):
            there = input.replace(str(tmp_path / "lease").encode(), str(tmp_path / "a" / "lease").encode())
            return super().run(command, input=there, **about)

    both = Lease({"a": Elsewhere("a"), "b": LocalHost("b")}, "run", folder=str(tmp_path / "lease"))
    with pytest.raises(LeaseHeld, match=r"^b: "):
        both.take()
    assert list((tmp_path / "a").iterdir()) == []
    other.give_back()


def test_nothing_but_the_lease_is_there_and_nothing_afterwards(tmp_path: Path):
    """For its owner alone; and arguments, which everybody may read, tell nothing of it."""
    held = lease(tmp_path, "run-1")
    seen: list[str] = []

    class Listening(LocalHost):
        def run(self, command, **about):
            seen.extend(command)
            return super().run(command, **about)

    held._nodes = {"lknode01": Listening("lknode01")}
    held.take()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lease", "lease.lock"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in [*tmp_path.iterdir(), tmp_path / "lease" / "lease"])
    assert not [word for word in seen if held.token in word or "run-1" in word]
    assert held.give_back() == [] and list(tmp_path.iterdir()) == []


def test_many_who_take_and_give_back_at_once_have_it_one_at_a_time(tmp_path: Path):
    """The lock's folder comes and goes with the lease."""
    inside, most = [0], [0]

    def one(number: int) -> int:
        had = 0
        for _ in range(4):
            mine = lease(tmp_path, f"run-{number}", renew_s=60.0)
            try:
                mine.take()
            except Unusable:
                continue
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            had += 1
            inside[0] -= 1
            assert mine.give_back() == []
        return had

    with ThreadPoolExecutor(4) as pool:
        had = sum(pool.map(one, range(4)))
    assert had and most[0] == 1 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("made", [lambda p: p.mkdir(mode=0o755), lambda p: p.symlink_to("/tmp"), lambda p: p.touch()])
def test_a_lock_that_others_may_hold_is_not_used(tmp_path: Path, made):
    made(tmp_path / "lease.lock")
    with pytest.raises(Unusable, match=r"lease.lock cannot be locked; it must be a folder of this account's own, with mode 700"):
        lease(tmp_path).take()
    assert not (tmp_path / "lease").exists()


def test_who_gives_back_while_another_takes_it_is_no_error(tmp_path: Path) -> None:
    """The lock's folder goes between its being made and its being looked at: it is made once more."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "stat").write_text(f'#!/bin/sh\n[ -e {tools}/once ] || {{ : >{tools}/once; rmdir "$3"; }}\nPATH=$WAS exec stat "$@"\n')
    (tools / "stat").chmod(0o755)
    environment = {**os.environ, "WAS": os.environ["PATH"], "PATH": f"{tools}:{os.environ['PATH']}"}
    given = f"take\n{tmp_path}/lease\ntoken\nholder\n60\n"
    done = subprocess.run(["sh", "-c", _SCRIPT], input=given, env=environment, capture_output=True, text=True, timeout=60)
    assert (tools / "once").exists() and (done.returncode, done.stdout, done.stderr) == (0, "mine\n", "")
