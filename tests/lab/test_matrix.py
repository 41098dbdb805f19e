"""The expectation matrix (facts azure-ilb, section 11), every row of it in a lab: so that the matrix, the lab and the harness's
eyes hold each other honest. Of each row all three paths are judged exactly as the acceptance suite judges them."""

from __future__ import annotations

import os

import pytest

from harness.cluster.path_check import check_path
from harness.config.cluster_config import Design
from harness.expectations.connectivity_matrix import MATRIX, Origin, Situation
from harness.lab.lifecycle import default_cluster, launch
from tests.lab.situations import Stage, placement, stages

ROWS = [pytest.param(d, s, id=f"{d}: {s}") for d, rows in MATRIX.items() for s in rows]

NAT_ONLY = {  # what the catalogue says of `nat` alone
    Situation.BOUND_TO_PRIVATE_NO_VIP,
    Situation.BOTH_UP_NO_VIP,
    Situation.SERVICE_DOWN_NO_VIP,
    Situation.ALL_PROBED_UP,
}


@pytest.fixture(scope="module")
def stage_of(tmp_path_factory: pytest.TempPathFactory):
    """The stage of a design. Where the probe is the application's own port it is a lab of its own, without a cluster manager."""

    def bring_up(design: Design, probed_itself: bool) -> launch.RunningLab:
        probe = {"load_balancer": {"probe": {"port": 1521}}} if probed_itself else {}
        one = {"services": [s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["kind"] == "oracle"]}  # no row is about another
        name = f"matrix-{os.getpid()}-{design}{'-probed' if probed_itself else ''}"
        data = default_cluster.cluster_data(overrides={"design": str(design), **probe, **one})
        return launch.up(data, name=name, persistent=False, network_only=probed_itself)

    yield from stages(bring_up)


@pytest.fixture
def stage(stage_of, design: Design, situation: Situation):
    """A stage in the situation, wherever the row before it has left everything."""
    one: Stage = stage_of(design, situation is Situation.BOUND_TO_VIP_AND_PROBED)
    one.bring_about(placement(situation, design))
    return one


@pytest.mark.parametrize(("design", "situation"), ROWS)
def test_row(stage: Stage, design: Design, situation: Situation):
    """Every path does what its cell says, by the wire codes of the cell, and the right node says who it is. What the fabric sees of the
    same attempts gives the same code for each, with the hosts' loopback interfaces and without."""
    with stage.fabric.sights() as sights:
        checks = stage.subject.together(
            *(lambda o=o: check_path(stage.subject, o, stage.listener, stage.active, situation) for o in Origin)
        )
        ways = {sight.place: [sight.ways(check.attempts) for check in checks] for sight in sights}
    for i, check in enumerate(checks):
        assert check.verdict, f"{check.origin}: {check.verdict}"
        assert {w.code for w in check.ways} == {e.way for e in check.expected.ways}, check.codes
        assert {place: [w.code for w in seen[i]] for place, seen in ways.items()} == {place: [w.code for w in check.ways] for place in ways}
        answerer = {e.by for e in check.expected.ways}
        assert bool(check.identity) == (not check.expected.mixed and answerer != {None}), f"{check.origin}: identity {check.identity!r}"


def test_no_situation_is_forgotten():
    """Every situation that has a name is a row of both designs, but for those that the catalogue tells of `nat` alone."""
    assert set(MATRIX[Design.NAT]) == set(Situation)
    assert set(MATRIX[Design.FLOATING]) == set(Situation) - NAT_ONLY
