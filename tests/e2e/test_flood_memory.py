"""A host that floods: the memory that it takes, a lease on the same host renewed meanwhile, and one sentence; every kind of flood."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import REPOSITORY
from flooded_harness import FLOODS, MIB
from sshd_server import SSHD, start_server

from harness.attach.lease import LEASE_DURATION_S

MAX_GROWTH = 100 * MIB
HERE = ["output without end", "JSON, as much as is read"]  # these in every run, the others in the deep one
OVER_SSH = ["output without end"]
WHOLE = ("1 MiB of CLIXML", "CLIXML, as much as is read", "JSON, as much as is read", "short lines, as many as are read")  # as any answer
FLOODED = str(Path(__file__).with_name("flooded_harness.py"))


def of(usual: list[str]) -> list[object]:
    return [pytest.param(how, marks=[] if how in usual else [pytest.mark.deep]) for how in FLOODS]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start_server(tmp_path_factory.mktemp("sshd") / "sshd")
    yield server.machine().model_dump_json()
    server.process.terminate()
    server.process.wait(60)


def flood(how: str, folder: Path, *machine: str) -> None:
    words = [sys.executable, FLOODED, how, str(folder / "lease"), *machine]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    told = json.loads(process.communicate(timeout=600)[0])
    assert told["more"] <= MAX_GROWTH, told
    assert not told["lost"] and told["longest"] < LEASE_DURATION_S, told
    assert "\n" not in told["said"] and (": " in told["said"] or how in WHOLE) and len(told["said"]) < 1000, told


@pytest.mark.parametrize("how", of(HERE))
def test_by_commands_on_this_machine(how: str, tmp_path: Path) -> None:
    flood(how, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0 or not SSHD.exists(), reason="needs root and a real sshd")
@pytest.mark.parametrize("how", of(OVER_SSH))
def test_over_ssh(how: str, tmp_path: Path, machine: str) -> None:
    flood(how, tmp_path, machine)
