"""The comparison catches: a change of each kind is planted at the nodes of a lab, and every one is named, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from harness.core.deadline import Deadline
from harness.lab.control import nsenter
from harness.lab.control.lab_registry import LabRecord
from harness.lab.lifecycle import default_cluster, launch
from tests.harm.lab_snapshot import LabLook
from tests.harm.planted_changes import ON_A_NODE, ON_LIFEKEEPER, ON_PACEMAKER, WORKS, Planted

NODE = "lknode01"


@contextmanager
def lab_of(manager: str) -> Iterator[LabRecord]:
    data = default_cluster.cluster_data(
        overrides={"manager": {"kind": manager, "check_interval_s": 5.0, "heartbeat_s": 1.0}}
    )  # it never acts
    running = launch.up(data, name=f"planted-{os.getpid()}", persistent=False)
    try:
        yield running.record
    finally:
        running.down()


def run(lab: LabRecord, lines: Sequence[str]) -> None:
    done = nsenter.run(lab, NODE, ["bash", "-ex"], limit=120.0, input="\n".join(lines))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("manager", "plants"),
    [
        pytest.param("lifekeeper", (*ON_A_NODE, *ON_LIFEKEEPER), id="lifekeeper", marks=pytest.mark.heavy),
        pytest.param("pacemaker", (*ON_A_NODE, *ON_PACEMAKER), id="pacemaker", marks=pytest.mark.deep),
    ],
)
def test_each_kind_of_change_is_named(manager: str, plants: Sequence[Planted]) -> None:
    with lab_of(manager) as lab:
        run(lab, [WORKS, *(p.before for p in plants)])
        look = LabLook(lab, "customer-works")
        before = look.baseline()
        run(lab, [p.act for p in plants])
        said = look.left(before, Deadline(0.0))
        print(*said, sep="\n")
        assert [p.names for p in plants if not any(p.names in one for one in said)] == []
        run(lab, [p.undo for p in plants])
        assert look.left(before, Deadline(120.0)) == []
        run(lab, ["pkill -f '[c]ustomer-works'", WORKS])
        lab.ask("power", node="lkclient", to="off")
        restarted, dark = sorted(look.left(before, Deadline(0.0)), reverse=True)
        assert "life of process customer-works 611 of root" in restarted and "it was began at" in restarted
        assert "lkclient: host as a whole is new (cannot be looked at" in dark
