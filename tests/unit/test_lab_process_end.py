"""The lab's first process ends when its work does, though a part of it never would."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
from harness.lab.process.lab_process import end_with

async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue

async def live():
    kept = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    {}

asyncio.run(end_with(live(), int(sys.argv[1])))
"""


@pytest.mark.parametrize(("how", "code"), [("return", 0), ("raise BrokenPipeError('whoever held it is gone')", 1)])
@pytest.mark.parametrize("gone", [False, True])
def test_it_ends_whatever_its_parts_do(how: str, code: int, gone: bool) -> None:
    hear, said = os.pipe()
    if gone:
        os.close(hear)
    words = [sys.executable, "-c", PROGRAM.format(how), str(said)]
    done = subprocess.run(words, pass_fds=[said], capture_output=True, text=True, timeout=120)
    os.close(said)
    assert done.returncode == code, done.stderr
    if not gone:
        with os.fdopen(hear) as told:
            assert [json.loads(line)["failed"] for line in told] == ["whoever held it is gone"] * code
