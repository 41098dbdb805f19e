"""What every disruption says of itself, as data: complete, consistent, and true to the design."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.config import cluster_config
from harness.config.cluster_config import Design
from harness.core.errors import BadUse
from harness.disrupt import disruption
from harness.disrupt.bases.packet_drop_base import Drops, ruleset
from harness.disrupt.disruption import Effect
from harness.disrupt.network.probe_blocked import lacks_hc_timeout
from harness.expectations import outage_budget
from harness.expectations.connectivity_matrix import Origin, Situation, expectation
from harness.lab import lab_config, lifekeeper_config
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.lifekeeper import LifeKeeper

WANTED = {
    *("switchover", "failback", "service crash", "service hang", "manager crash", "power loss", "node reboot", "node freeze"),
    *("one comm path cut", "all comm paths cut", "one-way cut", "probe responder crash", "probe blocked", "responder up on both nodes"),
    *("IP resource lost", "IP resource out", "NIC down Subnet#1", "NIC down Subnet#2", "shared disk full"),
    *("idle beyond the balancer's timeout", "none"),
    *("azure VM power off", "azure VM restart", "azure VM redeploy", "azure NSG deny", "azure pool left"),
    *("azure adminState down", "azure adminState up on the standby"),
}
BY_AZURE = {name for name in WANTED if name.startswith("azure ")}
ALL = disruption.all_of()
POWER = {to: ["power", to, "{node}", "{seconds}"] for to in ("off", "freeze")} | {to: ["power", to] for to in ("on", "reboot", "thaw")}


def cluster(profile: str = "fast", **over) -> cluster_config.Cluster:
    data = default_cluster.cluster_data(profile, default_cluster.merge_tables({"power": POWER}, over))  # type: ignore[arg-type]
    parsed = cluster_config.parse(data, Path("a test's"))
    known = lifekeeper_config.known_of_manager(parsed, lab_config.make_lab_config(parsed, Path("a test's")))
    return cluster_config.parse({**data, "manager": {**known, **data["manager"]}}, Path("a test's"))


def made(name: str, of: cluster_config.Cluster) -> disruption.Disruption:
    """One for a cluster whose first node is active; nobody is asked anything."""
    subject = SimpleNamespace(cluster=of, active=of.nodes[0].name, standby_of=lambda a: of.peer_of(a).name, manager=LifeKeeper(of, {}))
    return disruption.get_disruption(name)(subject)  # type: ignore[arg-type]


def test_every_disruption_is_there():
    assert set(ALL) == WANTED
    with pytest.raises(BadUse, match=r"no disruption 'earthquake'; there are .*, none,"):
        disruption.get_disruption("earthquake")


@pytest.mark.parametrize("name", sorted(WANTED))
def test_it_says_what_happens_to_every_path(name):
    kind = ALL[name]
    assert set(kind.expects) == set(Design)
    for row in kind.expects.values():
        assert set(row) == set(Origin) and all(isinstance(e, Effect) for e in row.values())
    assert kind.sentence and kind.sentence[0].islower() and not kind.sentence.endswith(".")
    assert kind.__doc__, "what it follows from"


@pytest.mark.parametrize("name", sorted(WANTED))
def test_what_moves_and_what_is_untouched_fit_together(name):
    """Nothing moves without the client noticing; what is untouched stays."""
    kind = ALL[name]
    for row in kind.expects.values():
        if Effect.UNTOUCHED in row.values():
            assert kind.moves is False
        if kind.moves:
            assert row[Origin.CLIENT] is row[Origin.INSIDE] is Effect.RECOVERS


def test_combinations_are_mutual():
    for name, kind in ALL.items():
        for other in kind.runs_with:
            assert name in ALL[other].runs_with, f"{name} may run with {other}, but not the other way round"


@pytest.mark.parametrize("profile", ["fast", "azure"])
@pytest.mark.parametrize("name", sorted(WANTED))
def test_durations(name, profile):
    """A harness that lives undoes before the host does; a budget is never shorter than what a host's own undoing would hide."""
    one = made(name, cluster(profile))
    allowance = one.allowance()
    assert allowance.seconds > 0 and allowance.because.endswith(" s")
    if name in BY_AZURE:  # undone by whoever reads its tag
        assert math.isinf(one.longest_s) and "lkharness azure heal" in one.undoing
        return
    assert math.isfinite(one.longest_s)
    if one.longest_s and name != "node reboot":  # that one comes back by itself
        assert one.longest_s >= max(allowance.seconds, one.lasts_s) + disruption.UNDO_MARGIN_S - 5.0
    if Effect.RECOVERS in {e for row in one.expects.values() for e in row.values()}:
        assert one.lasts_s < allowance.seconds


def test_power_that_nobody_gives_back_lasts_for_ever():
    bare = cluster(power={"off": ["off", "{node}"], "freeze": ["freeze"], "reboot": None})
    assert made("power loss", bare).longest_s == math.inf
    assert "no [power] reboot command" in (made("node reboot", cluster_config.parse(_without_reboot(), Path("x"))).skip_reason() or "")


def _without_reboot() -> dict:
    return default_cluster.cluster_data(overrides={"power": {"off": ["off"], "on": ["on"]}})


def test_freeze_needs_thaw():
    with pytest.raises(BadUse, match="power: freeze and thaw come together"):
        cluster_config.parse(default_cluster.cluster_data(overrides={"power": {"off": ["a"], "on": ["b"], "freeze": ["c"]}}), Path("x"))


def test_what_a_cluster_lacks_is_said():
    attached = cluster_config.parse(default_cluster.cluster_data("azure", {"load_balancer": {"distribution": "SourceIP"}}), Path("x"))
    for name, why in {
        "power loss": "no [power] off command",
        "node freeze": "no [power] freeze command",
        "probe blocked": "manager.hc_timeout_s",
        "NIC down Subnet#1": "manager.hc_timeout_s",
        "idle beyond the balancer's timeout": "idle timeout is 240 s",
        "responder up on both nodes": "distribution is SourceIP",
    }.items():
        assert why in (made(name, attached).skip_reason() or ""), name


@pytest.mark.parametrize("name", sorted(BY_AZURE))
def test_azure_needs_its_table(name):
    assert "no [azure] table" in (made(name, cluster()).skip_reason() or "")
    azure = {"subscription": "s", "resource_group": "g"}
    assert made(name, cluster(azure=azure)).skip_reason() is None
    (do, undo) = made(name, cluster(azure=azure)).steps()
    assert do.phase == "do" and "harness.azure.faults.undo_leftovers" in undo.command and undo.phase == "undo"


def test_azure_denies_no_probe():
    azure = {"subscription": "s", "resource_group": "g"}
    asked = cluster(azure=azure, load_balancer={"probe": {"port": 5432, "interval_s": 0.25}})
    assert "NSG-12" in (made("azure NSG deny", asked).skip_reason() or "")


@pytest.mark.parametrize("name", ["azure pool left", "azure adminState down"])
def test_azure_without_probes_may_move(name):
    """A health-check resource that hears no probe moves everything, and whether Azure goes on probing no fact tells."""
    azure = {"subscription": "s", "resource_group": "g"}
    deaf = made(
        name, cluster_config.parse(default_cluster.cluster_data(overrides={"manager": {"kind": "pacemaker"}, "azure": azure}), Path("x"))
    )
    assert deaf.moves is False and deaf.expects[Design.NAT][Origin.INSIDE] is Effect.UNTOUCHED
    told = made(
        name, cluster_config.parse(default_cluster.cluster_data(overrides={"manager": {"hc_timeout_s": 5.0}, "azure": azure}), Path("x"))
    )
    assert told.moves is None and told.expects[Design.NAT][Origin.INSIDE] is Effect.ANY


@pytest.mark.parametrize("name", ["probe blocked", "NIC down Subnet#1"])
def test_who_never_misses_a_probe_moves_nothing(name):
    """azure-lb only looks whether its process is there (PCM-08): clients stay out, unless somebody says that something does notice."""
    deaf = made(name, cluster_config.parse(default_cluster.cluster_data(overrides={"manager": {"kind": "pacemaker"}}), Path("x")))
    assert lacks_hc_timeout(deaf._subject.cluster) is None and deaf.moves is False
    assert [deaf.expects[Design.NAT][o] for o in Origin] == [Effect.OUT, Effect.UNTOUCHED, Effect.OUT]
    told = made(
        name,
        cluster_config.parse(default_cluster.cluster_data(overrides={"manager": {"kind": "pacemaker", "hc_timeout_s": 5.0}}), Path("x")),
    )
    assert told.moves is True and told.expects == disruption.get_disruption(name).expects


@pytest.mark.parametrize("name", ["probe blocked", "NIC down Subnet#1"])
def test_the_ip_resource_of_windows_cluster_never_misses_a_probe(name):
    """It listens, and that is all (WCLU-98, inferred)."""
    data = default_cluster.cluster_data("fast", default_cluster.with_platform({}, "windows", "wsfc"))
    deaf = made(name, cluster_config.parse(data, Path("x")))
    assert lacks_hc_timeout(deaf._subject.cluster) is None and deaf.moves is False


@pytest.mark.parametrize("design", Design)
def test_true_to_the_matrix(design):
    """What is out without the IP resource, or without it being told, is what the expectation matrix says (N2, F2)."""
    for origin in Origin:
        silent = all(way.outcome == "silent" for way in expectation(design, origin, Situation.IP_RESOURCE_OUT).ways)
        assert ALL["IP resource out"].expects[design][origin] is (Effect.OUT if silent else Effect.UNTOUCHED)
        assert ALL["IP resource lost"].expects[design][origin] is (Effect.RECOVERS if silent else Effect.UNTOUCHED)
        mixed = expectation(design, origin, Situation.BOTH_UP).mixed
        assert ALL["responder up on both nodes"].expects[design][origin] is (Effect.OUT if mixed else Effect.UNTOUCHED)


def test_cuts_are_where_they_belong():
    """Between the nodes' own addresses, at the standby; the probe's at the active node, and only what comes in."""
    of = cluster()
    one, every, way = (made(n, of) for n in ("one comm path cut", "all comm paths cut", "one-way cut"))
    assert one.target() == every.target() == way.target() == "lknode02"
    assert one.drops() == Drops(("ip saddr 10.20.2.11 ip daddr 10.20.2.12",), ("ip saddr 10.20.2.12 ip daddr 10.20.2.11",))
    assert len(every.drops().inbound) == len(every.drops().outbound) == 2
    assert len(way.drops().inbound) == 2 and not way.drops().outbound
    blocked = made("probe blocked", of)
    assert blocked.target() == "lknode01" and blocked.drops() == Drops(("ip saddr 168.63.129.16 tcp dport 12345",))
    assert "ip saddr 168.63.129.16 tcp dport 12345 counter drop" in ruleset("lkharness_x", blocked.drops())


def test_no_cut_through_which_a_node_is_reached():
    nodes = [{**n} for n in default_cluster.DEFAULT_CLUSTER["nodes"]]
    nodes[1]["ssh"] = {"jump": "lknode01"}
    of = cluster_config.parse(default_cluster.cluster_data(overrides={"nodes": nodes}), Path("x"))
    assert "logged in to through the other" in (made("all comm paths cut", of).skip_reason() or "")


def test_budgets_of_what_takes_longer():
    """Added up by hand, on top of all that a switchover takes."""
    of = cluster(manager={"check_interval_s": 1.5, "heartbeat_s": 0.2, "heartbeats_missed": 3, "hc_timeout_s": 5.0})
    base_s = outage_budget.switchover(of).seconds
    assert outage_budget.service_hang(of).seconds == pytest.approx(1.5 + 2 * 1.5 + base_s)  # a check waits as long as checks are apart
    assert outage_budget.probe_lost(of).seconds == pytest.approx(5 + 1.5 + base_s)
    assert outage_budget.split_brain(of).seconds == pytest.approx(3 * 0.2 + 1.5 + 2 * 0.25 + base_s)
    assert outage_budget.balancer_alone(of).seconds == pytest.approx(2 * 0.25 + 3)


def test_failback_goes_home():
    assert made("failback", cluster())._to == "lknode01"
    assert made("switchover", cluster())._to == "lknode02"


@pytest.mark.parametrize(
    ("power", "wish", "way"),
    [
        (True, None, "power loss"),
        (False, None, "azure VM power off"),
        (True, True, "azure VM power off"),
        (False, False, "power loss"),
    ],
)
def test_a_power_loss_is_done_azures_way_where_the_file_prefers_it(power, wish, way):
    azure = {"subscription": "s", "resource_group": "g"} | ({} if wish is None else {"power": wish})
    data = default_cluster.cluster_data(overrides={"azure": azure} | ({"power": {"off": ["off"], "on": ["on"]}} if power else {}))
    of = cluster_config.parse(data, Path("x"))
    assert disruption.resolve_disruption("power loss", of).name == way
    assert disruption.resolve_disruption("switchover", of).name == "switchover"
