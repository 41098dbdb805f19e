"""What root in a lab's host is kept from, what not, and that the documents say so: where root started the lab, from accidents only.

Without a lab: the limits are put on a process of its own, and what it may do after them is the kernel's word.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.lab.guests import namespace
from harness.lab.lifecycle import launch
from tests.e2e import forked_labs

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"
SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_BOOT, SYS_TIME, MKNOD, DAC_OVERRIDE = 16, 17, 19, 21, 22, 25, 27, 1
LIMITED = "import os, sys; from harness.lab.guests import namespace; namespace.kernel_limits(); os.execvp(sys.argv[1], sys.argv[1:])"
FREE = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has what is taken away")


@cache
def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)


def capabilities(code: str, kind: str) -> set[int]:
    said = run(code, "cat", "/proc/self/status").stdout
    found = re.search(rf"^{kind}:\s*([0-9a-f]+)$", said, re.MULTILINE)
    assert found, said
    return {number for number in range(64) if int(found[1], 16) >> number & 1}


@needs_root
def test_no_program_of_a_host_can_do_what_would_harm_the_machine_by_accident(tmp_path: Path) -> None:
    before, after = (capabilities(code, "CapEff") for code in (FREE, LIMITED))
    assert before - after == before & {SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME, MKNOD}
    assert not {SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME, MKNOD} & capabilities(LIMITED, "CapBnd"), "nothing brings them back"
    if MKNOD in before:
        device = tmp_path / "disk"
        done = run(LIMITED, "mknod", str(device), "b", "8", "0")
        assert done.returncode != 0 and "not permitted" in done.stderr and not device.exists()


@needs_root
def test_what_stays_is_said(tmp_path: Path) -> None:
    """Were it taken away one day, the words would have to go, too."""
    stays = {SYS_ADMIN: "SYS_ADMIN", SYS_PTRACE: "SYS_PTRACE", DAC_OVERRIDE: "DAC_OVERRIDE"}
    said = namespace.kernel_limits.__doc__ or ""
    before, after = (capabilities(code, "CapEff") for code in (FREE, LIMITED))
    assert all(number in after and name in said for number, name in stays.items() if number in before)


def test_the_documents_say_that_a_lab_is_no_sandbox() -> None:
    text = " ".join(ARCHITECTURE.read_text(encoding="utf-8").split())
    assert "A lab is no sandbox. When root starts it, root in one of its hosts is root of this machine" in text
    assert "whose root is nobody outside" in text and "It is no sandbox" in (namespace.kernel_limits.__doc__ or "")


@pytest.mark.parametrize(("uid", "own_users"), [(0, False), (1000, True)])
def test_root_of_an_ordinary_users_lab_is_nobody_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid: int, own_users: bool
) -> None:
    begun: list[list[str]] = []

    def popen(words: list[str], **_: Any) -> None:
        begun.append(words)

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(launch.subprocess, "Popen", popen)
    forked_labs.new_interpreter({}, tmp_path, [])
    ((program, *words),) = begun
    assert program == "unshare" and {"--mount", "--pid", "--net"} <= set(words)
    assert ({"--user", "--map-root-user"} <= set(words)) is own_users
