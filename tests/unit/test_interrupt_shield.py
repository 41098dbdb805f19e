"""An interrupt ends a wait of the main thread, wherever in the process the signal arrives."""

from __future__ import annotations

import subprocess
import sys

# The signal is taken by the thread that works, so nothing wakes the main thread's wait; the work itself would go on for a minute.
PROGRAM = """
import signal, sys, threading, traceback
from harness.hosts.interrupt_shield import run_uninterrupted

over, abandoned = threading.Event(), []

def main_thread_waits():
    names = [frame.name for frame in traceback.extract_stack(sys._current_frames()[threading.main_thread().ident])]
    return names[-1] == "wait" and "start" not in names

def work():
    while not main_thread_waits():
        over.wait(0.01)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    over.wait(60)

def abandon():
    abandoned.append(not over.is_set())
    over.set()

try:
    run_uninterrupted(work, abandon=abandon)
except KeyboardInterrupt:
    print("interrupted", abandoned)
"""


def test_an_interrupt_that_arrives_in_another_thread_ends_the_wait():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("interrupted [True]\n", "")
