"""A terminal that is closed ends a run as Ctrl-C does, and what is still written to it breaks nothing."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.deadline import Deadline

ROOT = Path(__file__).parents[2]
RUN = """
import signal, sys, threading
from pathlib import Path
from harness.core.signals import handle_termination_signals
ignored = sys.argv[2] == "ignored"
if ignored:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
handle_termination_signals()
try:
    print("ready", flush=True)
    threading.Event().wait(20 if not ignored else 1.0)
    Path(sys.argv[1]).write_text("went on")
except KeyboardInterrupt:
    for number in range(100):
        print("undoing", flush=True)
        print("undoing", file=sys.stderr, flush=True)
    Path(sys.argv[1]).write_text("undone")
"""


@pytest.mark.parametrize(("how", "becomes"), [("usual", "undone"), ("ignored", "went on")])
def test_a_closed_terminal_is_a_ctrl_c(tmp_path: Path, how: str, becomes: str) -> None:
    (tmp_path / "run.py").write_text(RUN)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "became"), how])
    try:
        heard = b""
        while b"\n" not in heard:
            heard += os.read(terminal, 1000)
        os.close(terminal)
        became = tmp_path / "became"
        Deadline(60.0).wait_for(lambda: became.exists() and became.read_text(), until=lambda said: said == becomes, what=becomes)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_sigterm_too(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(RUN)
    words = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "became"), "usual"]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert run.stdout is not None and run.stdout.readline() == b"ready\n"
    run.terminate()
    run.communicate(timeout=60)
    assert (tmp_path / "became").read_text() == "undone"
