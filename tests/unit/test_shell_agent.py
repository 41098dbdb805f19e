"""The agent of hosts that have a shell and no Python: its clock, and how it reads an answer."""

from __future__ import annotations

import shutil
import socket
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


# A host so busy that every other read of one more byte is over before bash had its turn, though the byte is there.
LATE = """turn=0
read() { case "$*" in *0.01*) turn=$((turn + 1)); [ $((turn % 2)) = 0 ] || return 142 ;; esac; builtin read "$@"; }
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash, in which the agent is written")
def test_an_answer_is_read_whole_by_a_shell_that_is_kept_waiting() -> None:
    agent = (script_transport.FOLDER / "agent.sh").read_text("utf-8")
    answer = b"HTTP/1.1 200 OK\r\n\r\nlknode01\n"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(answer)
        ask = f"exec 3<&{theirs.fileno()} 5>&1; {LATE}{agent}\nlimit=1000000 t0=0; series - 0 GET 1; now; talk 0 $now"
        done = subprocess.run(["bash", "-c", ask], pass_fds=[theirs.fileno()], capture_output=True, text=True, check=False)
    told = [line.split() for line in done.stdout.splitlines() if line.startswith("s ")]
    assert [(words[4], bytes.fromhex(words[6])) for words in told] == [("h", answer)], done
