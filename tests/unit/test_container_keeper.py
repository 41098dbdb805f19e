"""The keeper of a lab's containers, with an engine that is a script: its containers are folders with a process each."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.deadline import Deadline
from harness.lab.guests.container_keeper import keeper_lives, leftovers, own_label
from harness.lab.guests.images.container_engine import Engine

# create, cp, start, inspect, wait, pause, unpause, ps, rm: as much of an engine as the keeper uses.
ENGINE = r"""#!/bin/sh
set -e
state="$FAKE_STATE"; verb="$1"; shift
case "$verb" in
  create)
    while [ $# -gt 0 ]; do
      case "$1" in --name) name="$2"; shift ;; --label) label="$2"; shift ;; esac
      shift
    done
    mkdir "$state/$name"; echo "$label" > "$state/$name/label" ;;
  cp) test -d "${1%/.}" ;;
  start) setsid sleep 1000 <&- >&- 2>&- & echo $! > "$state/$1/pid" ;;
  inspect)
    case "$2" in *Running*) echo false ;; *Pid*) cat "$state/$3/pid" ;; *Labels*) sed 's/^[^=]*=//' "$state/$3/label" ;; esac ;;
  ps)
    for one in "$state"/*/; do
      [ -d "$one" ] || continue
      case "$*" in *"label=$(cat "$one/label")"* | *"label=lkharness.lab") basename "$one" ;; esac
    done ;;
  rm)
    for name in "$@"; do
      case "$name" in --*) continue ;; esac
      [ ! -e "$state/$name/pid" ] || kill -9 "$(cat "$state/$name/pid")" 2>/dev/null || true
      rm -r "$state/$name"
    done ;;
  logs) echo "the last words of $3" ;;
esac
"""


@pytest.fixture
def state(tmp_path, monkeypatch):
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("FAKE_STATE", str(folder))
    return folder


@pytest.fixture
def fake_engine(tmp_path, state):
    script = tmp_path / "fake-engine"
    script.write_text(ENGINE)
    script.chmod(0o755)
    return Engine((str(script),))


class Lab:
    """The lab's end of the line."""

    def __init__(self, engine: Engine, shared: Path) -> None:
        shared.mkdir()
        self.shared = shared
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-m", "harness.lab.guests.container_keeper", str(theirs.fileno()), str(shared), *engine.words]
        with theirs:
            self.keeper = subprocess.Popen(words, pass_fds=[theirs.fileno()], start_new_session=True)
        self.line.settimeout(120)

    def send(self, operation: str, **arguments) -> None:
        self.line.send(json.dumps({"id": 1, "op": operation, **arguments}).encode())

    def ask(self, operation: str, **arguments):
        self.send(operation, **arguments)
        message, fds, _, _ = socket.recv_fds(self.line, 65536, 4)
        said = json.loads(message)
        if "error" in said:
            raise OSError(said["error"])
        return said["result"], fds

    def create(self, name: str, seed: Path) -> None:
        self.send("create", **self.how(name, seed))

    def how(self, name: str, seed: Path) -> dict:
        return {"name": name, "seed": str(seed), "image": "i", "hostname": name, "hosts": {}, "binds": {}}


@pytest.fixture
def lab(fake_engine, tmp_path):
    made = Lab(fake_engine, tmp_path / "shared")
    yield made
    made.line.close()
    assert made.keeper.wait(120) == 0


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()


def test_a_container_is_started_killed_and_started_again(lab, tmp_path):
    lab.ask("create", **lab.how("one", tmp_path))
    pid, (netns, process) = lab.ask("start", name="one")
    assert os.fstat(netns).st_ino == Path(f"/proc/{pid}/ns/net").stat().st_ino
    lab.ask("kill", name="one", frozen=False)
    assert select.select([process], [], [], 0)[0]  # the handle says that it has ended
    again, _ = lab.ask("start", name="one")
    assert alive(again) and again != pid
    assert lab.ask("console", name="one")[0] == "the last words of one"
    with pytest.raises(OSError, match="fake-engine create failed"):
        lab.ask("create", **lab.how("one", tmp_path))


def test_when_the_lab_ends_nothing_of_its_containers_is_left(lab, tmp_path, state):
    lab.ask("create", **lab.how("one", tmp_path))
    pid, _ = lab.ask("start", name="one")
    lab.create("two", tmp_path)  # it ends while one is made
    lab.line.close()
    assert lab.keeper.wait(120) == 0
    assert list(state.iterdir()) == [] and not alive(pid)
    assert not lab.shared.exists()


def test_another_lab_s_containers_are_not_touched(fake_engine, lab, tmp_path, state):
    other = Lab(fake_engine, tmp_path / "other")
    other.ask("create", **other.how("theirs", tmp_path))
    (state / "customers").mkdir()
    (state / "customers" / "label").write_text("somebody=else\n")
    lab.ask("create", **lab.how("ours", tmp_path))
    lab.line.close()
    assert lab.keeper.wait(120) == 0
    assert sorted(p.name for p in state.iterdir()) == ["customers", "theirs"]
    other.line.close()
    assert other.keeper.wait(120) == 0


def test_what_a_killed_keeper_left_is_found_and_what_lives_is_not(fake_engine, lab, tmp_path, state):
    dead = Lab(fake_engine, tmp_path / "dead")
    dead.ask("create", **dead.how("orphan", tmp_path))
    lab.ask("create", **lab.how("ours", tmp_path))
    assert leftovers(fake_engine) == []
    dead.keeper.send_signal(signal.SIGKILL)
    dead.keeper.wait(120)
    Deadline(60).wait_for(lambda: leftovers(fake_engine), until=lambda found: found == ["orphan"], what="the orphan", every=0.01)
    fake_engine.remove(leftovers(fake_engine))
    assert [p.name for p in state.iterdir()] == ["ours"]


@pytest.mark.parametrize("known", ["", "1", "x-y", "999999999-1", "1-1"])
def test_a_label_that_is_no_living_keeper(known):
    scope = own_label().split("-", 2)[2]
    assert not keeper_lives(f"{known}-{scope}" if known.count("-") else f"{known}--{scope}")


@pytest.mark.parametrize("label", ["", "999999999-1", "999999999-1-another-machine"])
def test_what_an_engine_has_of_another_machine_is_not_judged(label):
    """An engine's socket may be shared: a keeper that cannot be seen from here may live all the same."""
    assert keeper_lives(label)
