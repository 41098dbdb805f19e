"""The whole gate on figures that were measured on the lab: its false alarms, and whether it finds a slowdown of one probe interval."""

from __future__ import annotations

import random

import pytest
from gate_sample import FIGURES, share_failed, word_on_a_split

INTERVAL = {profile: figures["probe_interval_s"] for profile, figures in FIGURES.items()}
PROBE_LATER = [("fast", "balancer switched"), ("fast", "probe answered"), ("azure", "")]
"""What one more probe makes later; the figures of Azure's timers are whole paths."""


def test_a_slowdown_of_one_probe_interval_is_told_by_its_phase_where_the_whole_path_hides_it():
    word = word_on_a_split("fast", random.Random(3), INTERVAL["fast"], "balancer switched")
    outcomes = {one.about: one.outcome for one in word.findings}
    assert word.outcome == "fail" and outcomes["slowdown: switchover, phase balancer switched"] == "fail"
    same = word_on_a_split("fast", random.Random(3))
    assert same.outcome == "pass" and "in any one of its phases a shift of" in next(
        one.reason for one in same.findings if one.about == "slowdown: switchover, client path"
    )


@pytest.mark.deep
@pytest.mark.parametrize("profile", sorted(FIGURES))
def test_of_400_splits_of_a_clusters_own_figures_at_most_2_percent_fail(profile):
    alarms = share_failed(profile, 400)
    print(f"{profile}: {alarms:.2%} alarms in 400 splits")
    assert alarms <= 0.02


@pytest.mark.deep
@pytest.mark.parametrize(("profile", "boundary"), PROBE_LATER)
def test_a_slowdown_of_one_probe_interval_is_found(profile, boundary):
    power = share_failed(profile, 200, INTERVAL[profile], boundary)
    print(f"{profile}, {boundary or 'whole paths'}: found in {power:.1%}")
    assert power >= 0.95
