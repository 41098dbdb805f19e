"""A lab that stays: what brought it up can take it down again, and closes nothing that is not its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator

from harness.config import cluster_config
from harness.lab.lifecycle import default_cluster, launch


@contextlib.contextmanager
def captured(lab: launch.RunningLab) -> Iterator[subprocess.Popen[bytes]]:
    """The capture of its fabric, as its cluster file says, seen to end with its input and begun again."""
    table = cluster_config.load(lab.cluster_file, trusted=True).network_capture
    assert table is not None and table.hosts == []
    for ends_by_itself in (True, False):
        capture = subprocess.Popen(table.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert capture.stdin is not None and capture.stdout is not None
        try:
            assert "ready" in json.loads(capture.stdout.readline())
            capture.stdin.write(b"mark 7\n")
            capture.stdin.flush()
            answer = next(line for line in capture.stdout if line.startswith(b"{"))  # probes come before it, maybe
            assert json.loads(answer) == {"mark": 7, "dropped": 0}
            if ends_by_itself:
                capture.stdin.close()
                assert capture.wait(60) == 0
            else:
                yield capture
        finally:
            capture.kill()
            capture.wait()


def test_what_brought_up_a_lab_that_stays_can_take_it_down() -> None:
    made = launch.up(default_cluster.cluster_data(), name=f"test-stays-{os.getpid()}", persistent=True, network_only=True)
    reader, writer = os.pipe()  # takes the numbers that are free by now
    try:
        assert made.record.alive
        with captured(made) as capture:
            made.down()
            assert capture.wait(60) != 0, "what watches its fabric ends with it"
        assert not made.record.alive
        os.write(writer, b"open still")
        assert os.read(reader, 10) == b"open still"
    finally:
        os.close(reader)
        os.close(writer)
        made.down()
