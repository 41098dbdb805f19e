"""The diagnosis of a listener that somebody started by hand from a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, evidence, listening, node

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.host_config import host_processes
from harness.diagnosis.linux_host_script_parse import host

STAT = "5 (n c) (x)) S 1 5 5 34817 5 4194304 0\n"
PACEMAKER = CLUSTER.model_copy(update={"manager": CLUSTER.manager.model_copy(update={"kind": "pacemaker"})})


def told(name: str = "lknode01", stat: str = STAT, groups: str = "", cluster: Any = PACEMAKER, **more: Any) -> list[Cause]:
    seen = host(name, f"@@ processes\n{stat}@@ working folders\n{groups}")
    listeners = more.pop("listeners", [listening(12345, process="nc", pid=5)])
    base = evidence(cluster=cluster, **more)
    it = node(name, listeners=listeners, terminals=seen.terminals, control_groups=seen.control_groups)
    found = diagnose(replace(base, hosts={**base.hosts, name: it})).causes
    return [c for c in found if "from a terminal" in c.says]


def test_a_responder_that_was_started_from_a_terminal() -> None:
    (cause,) = told()
    assert cause.host == "lknode01" and cause.certainty is Certainty.LIKELY
    assert "nc (pid 5)" in cause.says and "pts/1" in cause.says and "12345" in cause.says


@pytest.mark.parametrize(
    "more",
    [
        {"stat": "5 (nc) S 1 5 5 0 -1 4194304 0\n"},  # what a manager starts
        {"stat": "6 (vim) S 1 5 5 34817 5 4194304 0\n"},
        {"stat": ""},
        {"listeners": [listening(22, process="sshd", pid=5)]},  # no port of the cluster's
        {"listeners": [listening(12345, pid=5), listening(12345, "::", pid=7)]},
        {"listeners": [listening(12345, process=None, pid=None)]},
    ],
)
def test_what_a_manager_started_is_none(more: dict[str, Any]) -> None:
    assert told(**more) == []


def test_what_may_be_meant_is_possible_only() -> None:
    docker = "~group 5 /system.slice/docker-0123.scope\n"
    assert [c.certainty for c in told(groups=docker)] == [Certainty.POSSIBLE]
    assert [c.certainty for c in told(groups="~group 5 /user.slice/user-0.slice/session-3.scope\n")] == [Certainty.LIKELY]
    assert [c.certainty for c in told(cluster=CLUSTER)] == [Certainty.POSSIBLE]  # perform_action, given by hand
    assert [c.certainty for c in told("lknode02", cluster=CLUSTER)] == [Certainty.LIKELY]  # where nothing is in service


@pytest.mark.parametrize(
    ("number", "name"), [(0, ""), (-1, ""), (34816, "pts/0"), (34816 + (1 << 20), "pts/256"), (1025, "tty1"), (1089, "a terminal")]
)
def test_the_name_of_a_terminal(number: int, name: str) -> None:
    assert dict(host_processes.terminals(f"9 (a) S 1 1 1 {number} 1 0\n")) == ({9: name} if name else {})


def test_this_kernel_tells_a_terminal() -> None:
    master, slave = pty.openpty()
    name = Path(f"/proc/self/fd/{slave}").readlink()
    line = ["setsid", "-c", "cat", "/proc/self/stat"]
    with os.fdopen(slave, "rb") as terminal:
        text = subprocess.run(line, stdin=terminal, capture_output=True, text=True, check=True, timeout=60).stdout
    assert list(dict(host_processes.terminals(text)).values()) == [str(name).removeprefix("/dev/")]
    os.close(master)
