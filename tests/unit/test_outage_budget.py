"""How long a path may be out, from the timers alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import cluster_config
from harness.expectations import outage_budget
from harness.lab.lifecycle import default_cluster

KINDS = [outage_budget.switchover, outage_budget.service_crash, outage_budget.node_loss]


def cluster(profile: str | None = None, **over) -> cluster_config.Cluster:
    return cluster_config.parse(default_cluster.cluster_data(profile, over), Path("a test's"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("profile", "switchover", "crash", "loss"),
    [
        ("azure", 30 + 5 + 5 + 5, 120 + 45, 3 * 5 + 45),  # takeover, first probe, probe-up, margin; then what detects it
        ("fast", 4 + 0.25 + 0.25 + 3, 0.5 + 7.5, 3 * 0.2 + 7.5),
    ],
)
def test_profiles(profile, switchover, crash, loss):
    """The two profiles' budgets, added up by hand."""
    made = cluster(profile)
    assert [kind(made).seconds for kind in KINDS] == pytest.approx([switchover, crash, loss])


@given(
    interval=st.floats(0.01, 60),
    threshold=st.integers(1, 100),
    takeover=st.floats(0.01, 300),
    heartbeat=st.floats(0.01, 60),
    missed=st.integers(2, 50),
    check=st.floats(0.01, 600),
    margin=st.floats(0.01, 60),
)
def test_never_tighter_than_the_timers(interval, threshold, takeover, heartbeat, missed, check, margin):
    """Whatever the timers: longer than the probe needs in either direction (facts TIME-07), and detection comes on top."""
    made = cluster(
        load_balancer={"probe": {"interval_s": interval, "threshold": threshold}},
        manager={"takeover_s": takeover, "heartbeat_s": heartbeat, "heartbeats_missed": missed, "check_interval_s": check},
        budget={"margin_s": margin},
    )
    orderly, crash, loss = (kind(made).seconds for kind in KINDS)
    assert orderly >= (threshold + 1) * interval + margin
    assert orderly >= takeover + margin
    assert crash == pytest.approx(orderly + check)
    assert loss == pytest.approx(orderly + heartbeat * missed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("profile", ["fast", "azure"])
def test_the_reason_adds_up(kind, profile):
    """The sum that a person reads is the budget: every term is there."""
    allowance = kind(cluster(profile))
    terms = re.findall(r"([\d.]+)(?: \u00d7 ([\d.]+))?(?= \+| s$)", allowance.because)
    assert sum(float(a) * float(b or 1) for a, b in terms) == pytest.approx(allowance.seconds), allowance.because
