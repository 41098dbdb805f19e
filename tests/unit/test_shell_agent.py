"""The agent of hosts that have a shell and no Python: its clock."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from harness.remote import script_transport

# bash's clock, for a test: every use of it is the next of these readings
CLOCK = "readings=(0 5.999999 6.000001) use=0; unset EPOCHREALTIME; declare -n EPOCHREALTIME='readings[use++]'\n"


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash, in which the agent is written")
def test_a_moment_is_one_reading_of_the_clock() -> None:
    agent = (script_transport.FOLDER / "agent.sh").read_text("utf-8")
    done = subprocess.run(["bash", "-c", f"{CLOCK}{agent}\nnow; echo $now"], capture_output=True, text=True, check=True)
    assert done.stdout == "5999999\n"
