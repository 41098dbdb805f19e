"""`lkharness check` on a lab that is broken in each of the ways that it has to find. test_cli asks it about healthy ones.

Each fault has a lab of its own in the deep part; in the usual one, a few share one, and test_collect_bundle breaks a lab in most of these
ways at once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_clusters import FAULTS, NAMED, cut_a_comm_path
from command_shell import Shell, shell_in

from harness.lab.control import lab_registry

NOTE = "tcp_timestamps"  # Azure itself no longer says that timestamps are wrong (PRB-24): worth a word, and no failure
NOTES = (NOTE, "rp_filter strict")  # which drops nothing while routes are symmetric
TOGETHER = ("VIP on Subnet#1's NIC", "probe port is sshd's")  # neither gets into the other's way, nor does a dead communication path
ALONE = [pytest.param(fault, marks=pytest.mark.deep) for fault in FAULTS]


@contextlib.contextmanager
def a_lab(folder: Path) -> Iterator[Shell]:
    with shell_in(folder / "state") as one:
        one.up("--file", one.asleep("listener"))
        yield one


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with a_lab(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def seen_of_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """What is said of one lab with what is only a note, and then with the other faults of the usual part as well."""
    with a_lab(tmp_path_factory.mktemp("one")) as one:
        break_it(one, NOTE)
        break_it(one, NOTES[1])
        noted = check(one)
        for fault in TOGETHER:
            break_it(one, fault)
        cut_a_comm_path(lab_registry.read(one.labs / "lab"))
        return noted, check(one)


def break_it(shell: Shell, fault: str) -> None:
    host, line = FAULTS[fault]
    assert shell.lkharness("lab", "exec", host, "--", "sh", "-c", line).returncode == 0


def check(shell: Shell) -> dict:
    done = shell.lkharness("check", "--json", "--cluster", shell.labs / "lab" / "cluster.toml")
    found = json.loads(done.stdout)
    return {"code": done.returncode, **found}


def is_named(seen: dict, fault: str) -> dict:
    """The finding that names the fault."""
    (node, what, says) = NAMED[fault]
    named = [f for f in seen["findings"] if (f["host"], f["what"]) == (node, what) and says in f["says"]]
    assert named, seen["findings"]
    assert all(f["do"] for f in seen["findings"])
    return named[0]


def is_named_on_both_nodes(seen: dict) -> None:
    """The dead communication path."""
    named = [f for f in seen["findings"] if f["what"] == "communication path" and "10.20.2.1" in f["says"] and "is dead" in f["says"]]
    assert seen["code"] == 1 and {f["host"] for f in named} == {"lknode01", "lknode02"}


@pytest.mark.parametrize("fault", ALONE)
def test_a_fault_is_found_and_named(shell: Shell, fault: str) -> None:
    break_it(shell, fault)
    seen = check(shell)
    assert (seen["code"], is_named(seen, fault)["weight"]) == ((0, "note") if fault in NOTES else (1, "fault"))


@pytest.mark.deep
def test_a_dead_comm_path_is_found_and_named(shell: Shell) -> None:
    cut_a_comm_path(lab_registry.read(shell.labs / "lab"))
    is_named_on_both_nodes(check(shell))


@pytest.mark.heavy
def test_a_note_is_named_and_no_failure(seen_of_one: tuple[dict, dict]) -> None:
    noted, _ = seen_of_one
    assert (noted["code"], *(is_named(noted, one)["weight"] for one in NOTES)) == (0, "note", "note")
    assert {f["what"] for f in noted["findings"]} == {"tcp_timestamps", "rp_filter"}


@pytest.mark.parametrize("fault", TOGETHER)
def test_a_fault_beside_others_is_found_and_named(seen_of_one: tuple[dict, dict], fault: str) -> None:
    _, seen = seen_of_one
    assert (seen["code"], is_named(seen, fault)["weight"]) == (1, "fault")


def test_a_dead_comm_path_beside_others_is_found_and_named(seen_of_one: tuple[dict, dict]) -> None:
    _, seen = seen_of_one
    is_named_on_both_nodes(seen)
