"""A lab that stays: what brought it up can take it down again, and closes nothing that is not its own."""

from __future__ import annotations

import os

from harness.lab.lifecycle import default_cluster, launch


def test_what_brought_up_a_lab_that_stays_can_take_it_down() -> None:
    made = launch.up(default_cluster.cluster_data(), name=f"test-stays-{os.getpid()}", persistent=True, network_only=True)
    reader, writer = os.pipe()  # takes the numbers that are free by now
    try:
        assert made.record.alive
        made.down()
        assert not made.record.alive
        os.write(writer, b"open still")
        assert os.read(reader, 10) == b"open still"
    finally:
        os.close(reader)
        os.close(writer)
        made.down()
