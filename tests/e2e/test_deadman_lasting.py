"""The host's own undoing goes on until it succeeded, says so, and outlives the log-in that armed it."""

from __future__ import annotations

from pathlib import Path

import pytest
from namespaced_host import own_machine, with_programs

from harness.core.deadline import Deadline
from harness.hosts.deadman import deadman_scripts
from harness.hosts.deadman.deadman_switch import FOLDER, Deadman, Script, remains
from harness.hosts.host import CommandFailed
from harness.hosts.local_host import LocalHost

LONGEST_S = 1.5
LATE_S = 30.0  # a busy machine's allowance; every wait ends as soon as what it waits for is there


@pytest.fixture
def here():
    with own_machine() as host:
        yield host


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Stand-ins, found before the machine's own programs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def script(thing: Path, undo: str = "") -> Script:
    return Script(f"touch {thing}", f"echo try >>{thing}.tries; {undo} rm -f {thing}", f"[ ! -e {thing} ]")


def test_it_goes_on_until_it_succeeded(here, tmp_path, programs):
    """Refused more often than five times: it is tried again, slower and slower, and the system's log says why, and that it was done."""
    thing, log = tmp_path / "done", tmp_path / "log"
    told = with_programs(
        here, programs, logger=f'echo "$@" >>{log}', sleep='case $1 in 1.*|0.*) exec /bin/sleep "$1" ;; *) exec /bin/sleep 0.05 ;; esac'
    )
    refused = f"[ $(wc -l <{thing}.tries) -gt 9 ] || {{ echo it is locked; exit 1; }};"
    Deadman(told, "a thing", longest=LONGEST_S).do(script(thing, refused), limit=10)
    Deadline(LATE_S).wait_for(lambda: not remains(here), what="the host undoing it in the end")
    assert not thing.exists()
    lines = log.read_text().splitlines()
    failures = [line for line in lines if "could not be undone, try" in line]
    assert len(failures) == 9 and all("it is locked" in line and "-t lkharness -p daemon.err" in line for line in failures), lines
    pauses = [int(line.split("again in ")[1].split()[0]) for line in failures]
    assert pauses[:4] == [1, 2, 4, 7] and pauses == sorted(pauses) and max(pauses) == 60
    assert lines[-1].endswith("a-thing: undone by this host itself")


@pytest.mark.parametrize("by", ["the harness", "the host"])
def test_an_undoing_that_hangs_once_is_tried_again(here, tmp_path, monkeypatch, by):
    """What it asks does not answer, and would a minute later; meanwhile nobody else could undo it."""
    for name in ("_UNDOING", "_DEADMAN"):
        text = getattr(deadman_scripts, name)
        limit = f"timeout -k 5 {deadman_scripts.UNDO_TIMEOUT_S} "
        assert limit in text
        monkeypatch.setattr(deadman_scripts, name, text.replace(limit, "timeout -k 5 5 "))
    thing = tmp_path / "done"
    hangs_once = f"[ $(wc -l <{thing}.tries) -gt 1 ] || exec sleep 1000;"
    deadman = Deadman(here, "a thing", longest=LONGEST_S if by == "the host" else 600.0)
    deadman.do(script(thing, hangs_once), limit=10)
    if by == "the harness":
        assert deadman.undo(Deadline(LATE_S))
    Deadline(LATE_S).wait_for(lambda: not remains(here), what="it being undone in the end")
    assert not thing.exists() and len(Path(f"{thing}.tries").read_text().splitlines()) == 2


@pytest.mark.parametrize("full", ["of files", "for writing"])
def test_it_is_undone_though_nothing_can_be_written(here, tmp_path, full):
    """/run without a free inode, or read-only: undone all the same, and once."""
    thing = tmp_path / "done"
    here.check("mount -o remount,nr_inodes=100 /run")
    fill = "n=0; while : >/run/fill$n; do n=$((n + 1)); done 2>/dev/null; true" if full == "of files" else "mount -o remount,ro /run"
    Deadman(here, "a thing", longest=LONGEST_S).do(script(thing), limit=10)
    here.check(["bash", "-c", fill])
    Deadline(LATE_S).wait_for(lambda: not thing.exists(), what="it being undone")
    if full == "for writing":
        tries = thing.with_name("done.tries")
        here.check("mount -o remount,rw /run")
        Deadline(LATE_S).wait_for(lambda: not remains(here), what="its folder being removed")
        assert tries.read_text().split() == ["try"], "what was undone is not undone again"


SYSTEMD_RUN = """
echo "$*" >>{log}
while case $1 in --*) true ;; *) false ;; esac; do shift; done
env -i PATH="$PATH" setsid "$@" </dev/null >/dev/null 2>&1 &
"""


def systemd(here: LocalHost) -> None:
    here.check("mkdir -p /run/systemd/system")


def test_systemd_starts_it_where_there_is_one(here, tmp_path, programs):
    """As a unit, which belongs to no log-in; nothing that everybody may read of a unit tells what it is for."""
    thing, log = tmp_path / "done", tmp_path / "log"
    host = with_programs(here, programs, systemd_run=SYSTEMD_RUN.format(log=log))
    systemd(here)
    deadman = Deadman(host, "a thing", longest=LONGEST_S)
    deadman.do(script(thing), limit=20)
    (line,) = log.read_text().splitlines()
    assert f"--unit=lkharness-undo-{deadman.token} " in line and "a-thing" not in line and str(thing) not in line
    assert thing.exists() and any("process" in x for x in remains(here)), remains(here)
    Deadline(LATE_S).wait_for(lambda: not remains(here), what="the unit undoing it")
    assert not thing.exists()
    again = Deadman(host, "a thing", longest=60)
    again.do(script(thing), limit=20)
    assert again.undo(Deadline(10)) is True and remains(here) == []
    Deadline(LATE_S).wait_for(lambda: not here.run("pgrep -f '[.]/deadman'").ok, what="its unit's end")


@pytest.mark.parametrize(("setting", "armed"), [("b false", True), ("b true", False), ("", False)])
def test_without_systemd_run_it_is_armed_only_where_it_survives_the_log_in(here, tmp_path, programs, setting, armed):
    """logind's own setting decides; where it cannot be read, nothing is done."""
    thing = tmp_path / "done"
    busctl = f'case "$*" in *KillUserProcesses) echo "{setting}" ;; *) exit 1 ;; esac' if setting else "echo no bus >&2; exit 1"
    slow_rm = 'sleep 1; exec /bin/rm "$@"'  # what is refused leaves nothing, also while its folder goes
    host = with_programs(here, programs, systemd_run="echo no bus >&2; exit 1", busctl=busctl, **({} if armed else {"rm": slow_rm}))
    systemd(here)
    deadman = Deadman(host, "a thing", longest=60)
    if armed:
        deadman.do(script(thing), limit=20)
        assert deadman.undo(Deadline(10)) is True
    else:
        with pytest.raises(CommandFailed, match=r"could not be armed: .*(KillUserProcesses=yes|is not known).*no bus"):
            deadman.do(script(thing), limit=20)
    assert not thing.exists() and remains(here) == []
    assert not here.run(f"[ -e {FOLDER} ] && ls {FOLDER} | grep -q .").ok


def test_the_configuration_of_pacemaker_is_searched_where_it_runs_and_nobody_is_asked_where_it_does_not(here, tmp_path, programs):
    asked = tmp_path / "asked"
    told = with_programs(here, programs, cibadmin=f"""touch {asked}; echo ' <rsc_location id="lkharness-x1" />'""")
    assert remains(told) == [] and not asked.exists()
    listens = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(chr(0) + 'cib_ro'); s.listen(); print(); sys.stdin.read()"
    pacemaker = here.start(["python3", "-uc", listens])
    try:
        next(iter(pacemaker.lines()))
        assert remains(told) == ["lkharness-x1 in the cluster's configuration (CIB)"]
    finally:
        pacemaker.close()
