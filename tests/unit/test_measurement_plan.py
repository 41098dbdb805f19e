"""From the command line's wishes to the list of measurements: what is wrong is told in a sentence, and a seed gives the same list again."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.disrupt import disruption
from harness.lab.lifecycle import default_cluster
from harness.pytest_plugin.measurement_plan import Plan

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("the figure"))
PROBE_S = CLUSTER.load_balancer.probe.interval_s
LONGEST_S = max(PROBE_S, CLUSTER.manager.heartbeat_s)


def plan(**given: object) -> Plan:
    usual = {"disruption": None, "period": 10, "repeat": 1, "sweep": 0, "seed": None, "allow_unproven": False}
    options = {**usual, "soak_for": None, "availability": None, **given}
    return Plan.of_options(Namespace(**options))


def offsets(**given: object) -> list[float]:
    return [p.start.offset_s for p in plan(**given).measurements(CLUSTER)]


def test_every_disruption_once_when_nothing_is_asked_for():
    planned = plan().measurements(CLUSTER, azure=True)
    assert [p.name for p in planned] == [name for name, kind in disruption.all_of().items() if not kind.destroys and not kind.splits]
    assert all(p.start.repeat == 0 and p.start.after_probe_s is None and 0 <= p.start.offset_s <= LONGEST_S for p in planned)
    assert plan().options.period_s == 0.01


def test_what_azure_does_is_planned_where_azure_can_be_asked_or_when_it_is_named():
    assert not any(p.name.startswith("azure ") for p in plan().measurements(CLUSTER))
    assert [p.name for p in plan(disruption=["azure pool left"]).measurements(CLUSTER)] == ["azure pool left"]


def test_what_may_put_both_nodes_in_service_is_planned_where_it_is_named_or_on_the_runs_own_lab():
    split = {"all comm paths cut", "one-way cut", "node freeze"}
    assert {name for name, kind in disruption.all_of().items() if kind.splits} == split
    assert not {p.name for p in plan().measurements(CLUSTER)} & split
    assert {p.name for p in plan().measurements(CLUSTER, own_lab=True)} >= split
    assert {p.name for p in plan(disruption=sorted(split)).measurements(CLUSTER)} == split


def test_only_the_named_ones_in_their_order():
    planned = plan(disruption=["switchover", "none"], repeat=2).measurements(CLUSTER)
    assert [str(p) for p in planned] == ["switchover", "switchover 2", "none", "none 2"]
    assert [p.start.repeat for p in planned] == [0, 1, 0, 1]


def test_a_seed_gives_the_same_offsets_again():
    asked = {"disruption": ["switchover", "none"], "repeat": 3, "seed": 7}
    first = offsets(**asked)
    assert first == offsets(**asked)
    assert len(set(first)) == 6, "every start has an offset of its own"
    assert first != offsets(**{**asked, "seed": 8})
    # what else is measured does not change a disruption's own starts, so that one of them can be done again alone
    assert offsets(disruption=["none"], repeat=3, seed=7) == first[3:]
    assert offsets(disruption=["switchover"], repeat=1, seed=7) == first[:1]
    assert all(p.start.seed == 7 for p in plan(**asked).measurements(CLUSTER))


def test_without_a_seed_one_is_drawn_and_told():
    planned = [plan(disruption=["switchover"], repeat=2).measurements(CLUSTER) for _ in range(2)]
    seeds = [{p.start.seed for p in one} for one in planned]
    assert all(len(s) == 1 and None not in s for s in seeds) and seeds[0] != seeds[1]
    (told,) = seeds[0]
    assert offsets(disruption=["switchover"], repeat=2, seed=told) == [p.start.offset_s for p in planned[0]]


def test_offsets_fall_everywhere_in_the_longest_period():
    found = offsets(disruption=["none"], repeat=200, seed=1)
    assert 0 <= min(found) < 0.1 * LONGEST_S and 0.9 * LONGEST_S < max(found) <= LONGEST_S


def test_a_sweep_steps_through_the_probes_period():
    planned = plan(disruption=["switchover"], sweep=4).measurements(CLUSTER)
    assert [p.start.after_probe_s for p in planned] == pytest.approx([0.0, PROBE_S / 4, PROBE_S / 2, PROBE_S * 3 / 4])
    assert [p.start.repeat for p in planned] == [0, 1, 2, 3]
    names = [str(p) for p in planned]
    assert len(set(names)) == 4 and names[1] == f"switchover {PROBE_S * 1000 / 4:.0f} ms after a probe"


def test_ids_of_a_fine_sweep_are_apart():
    """pytest takes the ids as names; two tests of one name could not be told apart."""
    names = [str(p) for p in plan(disruption=["switchover"], sweep=250).measurements(CLUSTER)]
    assert len(set(names)) == 250


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"disruption": ["earthquake"]}, "there is no disruption 'earthquake'; there are"),
        ({"disruption": ["switchover", ""]}, "there is no disruption ''"),
        ({"disruption": ["Switchover"]}, "switchover"),
        ({"period": 7}, "--period 7: the meter knows 1, 10, 50, 100, 250 ms"),
        ({"period": 0}, "--period 0"),
        ({"period": -10}, "--period -10"),
        ({"repeat": 0}, "--repeat must be 1 or more"),
        ({"repeat": -1}, "--repeat must be 1 or more"),
        ({"sweep": -1}, "--sweep"),
        ({"repeat": 2, "sweep": 3}, "--repeat and --sweep do not go together"),
    ],
    ids=str,
)
def test_what_cannot_be_planned_is_told(given, says):
    with pytest.raises(BadUse) as told:
        plan(**given)
    assert says in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("period", [1, 10, 50, 100, 250])
def test_every_period_that_the_meter_knows(period):
    assert plan(period=period).options.period_s == pytest.approx(period / 1000)


def test_a_soak_shares_its_time_and_is_the_control_alone_unless_something_is_named() -> None:
    (alone,) = plan(soak_for="2h").measurements(CLUSTER)
    assert (alone.name, alone.start.lasts_s, str(alone)) == ("none", 7200.0, "none")
    assert [(p.name, p.start.lasts_s) for p in plan(soak_for="1h", disruption=["switchover", "failback"]).measurements(CLUSTER)] == [
        ("switchover", 1800.0),
        ("failback", 1800.0),
    ]
    for more in ({"repeat": 2}, {"sweep": 4}):
        with pytest.raises(BadUse, match="--for does not go with"):
            plan(soak_for="1h", **more)
