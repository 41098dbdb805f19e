"""The diagnosis of a running server that may write no long file, or have little memory or few processes."""

from __future__ import annotations

import subprocess

import pytest
from diagnosis_sample import CLUSTER, WEB, listening, node, with_host

from harness.collect import linux_host_script
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")


def told(line: str, port: int = DATABASE.port, uid: int = 105) -> list[Cause]:
    seen = host("it", f"@@ descriptors\n77 9 Max open files 1024\n{line}\n")
    listeners = [listening(p, pid=77 if p == port else 5) for p in (12345, *(s.port for s in CLUSTER.services))]
    it = node("lknode01", listeners=listeners, process_limits=seen.process_limits, accounts={port: frozenset({uid})})
    return [c for c in diagnose(with_host(it)).causes if f"port {port}" in c.says]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("~limit 77 65536 file size", "no file longer than 65536 bytes"),
        ("~limit 77 200000000 address space", "200000000 bytes of memory"),
        ("~limit 77 20 processes", "once its account has 20"),
    ],
)
def test_limits_of_a_database(line: str, words: str) -> None:
    (cause,) = told(line)
    assert cause.host == "lknode01" and cause.certainty is Certainty.LIKELY and words in cause.says
    assert [c.certainty for c in told(line, WEB.port)] == [Certainty.POSSIBLE]


@pytest.mark.parametrize(
    "line", ["", "~limit 78 65536 file size", "~limit 77 99999999999 file size", "~limit 77 512 processes", "~limit 77 x file size"]
)
def test_what_is_usual_is_none(line: str) -> None:
    assert told(line) == []


def test_root_may_always_start_another_process() -> None:
    assert told("~limit 77 20 processes", uid=0) == []


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_how_a_host_tells_of_them(shell: str) -> None:
    with subprocess.Popen(
        ["prlimit", "--fsize=65536:65536", "--nproc=500:500", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b".")
        process.stdin.flush()
        process.stdout.read(1)  # it is cat by now
        words = [shell, "-c", linux_host_script._DESCRIPTORS, "it", str(process.pid), "1234567890"]
        done = subprocess.run(words, capture_output=True, text=True)
        process.communicate(b"")
    seen = host("it", f"@@ descriptors\n{done.stdout}")
    assert seen.process_limits == {process.pid: {"file size": 65536, "processes": 500}} and set(seen.descriptors) <= {process.pid}
    assert f"{process.pid} 3 Max open files" in done.stdout
