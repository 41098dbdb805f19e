"""What a host's script prints, on this machine, is what its reader reads; and no part of it needs a place to write to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cluster import linux_disk_space
from harness.collect import linux_host_script, node_sections
from harness.diagnosis.linux_host_script_parse import host
from harness.hosts.deadman import deadman_scripts
from harness.managers.manager_registry import manager_of
from tests.unit.diagnosis_sample import CLUSTER

SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir() or not SHELLS, reason="needs Linux and a shell of it")


def printed(shell: str, text: str, *words: str) -> str:
    done = subprocess.run([shell, "-c", text, "test", *words], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "", done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_descriptors_and_working_folders_of_a_process(shell: str) -> None:
    me, gone = str(os.getpid()), "4194303"
    told = f"@@ descriptors\n{printed(shell, linux_host_script._DESCRIPTORS, me, gone)}"
    told += f"@@ working folders\n{printed(shell, linux_host_script._FOLDERS, me, gone)}"
    seen = host("lknode01", told)
    assert set(seen.descriptors) == {os.getpid()} and 0 < seen.descriptors[os.getpid()][0] < seen.descriptors[os.getpid()][1]
    assert seen.folders == {os.getpid(): str(Path.cwd())}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_name_is_told_with_its_addresses_and_one_without_is_told_too(shell: str) -> None:
    told = r"""getent() { [ "$2" != two ] || printf '10.0.0.1      STREAM two\n10.0.0.1      DGRAM\nfe80::1  RAW\n'; }"""
    said = printed(shell, f"{linux_host_script._NAMES}; {told}; bound=; resolve two; resolve none; resolve two")
    lines = [line for line in said.splitlines() if not line.startswith("# ")]
    assert lines == ["two 10.0.0.1 10.0.0.1 fe80::1", "none", "two 10.0.0.1 10.0.0.1 fe80::1"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_place_that_is_written_to_is_told(shell: str) -> None:
    lines = printed(shell, linux_disk_space.LOOK).splitlines()
    told = {words[0]: words[1:] for line in lines if (words := line.split()) and words[0] in linux_disk_space.PLACES}
    assert set(told) == set(linux_disk_space.PLACES) and all(len(words) >= 6 and words[3].isdigit() for words in told.values()), told


def test_nothing_of_it_needs_a_place_to_write_to() -> None:
    """bash before 5.1 writes a here-document to a file: where /tmp is full or read-only, which is looked for, it prints nothing."""
    texts = [linux_host_script.script(CLUSTER, machine, manager_of(CLUSTER, {})) for machine in CLUSTER.machines]
    for text in (*texts, linux_disk_space.LOOK, deadman_scripts.REMAINS):
        assert "<<" not in text


@pytest.mark.parametrize("shell", SHELLS)
def test_programs_and_control_groups_of_a_process(shell: str) -> None:
    me, gone = str(os.getpid()), "4194303"
    told = printed(shell, node_sections.by_root(("nobody-of-that-name",)), me, gone)
    seen = host("lknode01", f"@@ working folders\n{told}")
    assert seen.executables == {os.getpid(): str(Path("/proc/self/exe").readlink())}
    assert set(seen.control_groups) <= {os.getpid()} and all(group.startswith("/") for group in seen.control_groups.values())
    assert printed(shell, node_sections.by_root(("nobody-of-that-name",))) == ""
