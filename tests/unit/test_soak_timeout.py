"""Every round of a soak has a bound, though the undoing of the one before ended its test's timeout; and the soak's own bound counts."""

from __future__ import annotations

import copy
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest

from harness.measure.measured_disruption import Start
from harness.pytest_plugin import plugin, pytest_items, soak
from harness.pytest_plugin.measurement_plan import Planned
from harness.pytest_plugin.pytest_session import Session
from harness.pytest_plugin.soak import Soak

Settings = namedtuple("Settings", ["timeout", "method"])
HOURS = 8 * 3600.0


class Item:
    """As much of a test as a timer needs; what is asked of pytest-timeout is noted."""

    nodeid = "a test"

    def __init__(self) -> None:
        self.stash = pytest.Stash()
        self.said: list[float | str] = []
        self.config = SimpleNamespace(pluginmanager=SimpleNamespace(hasplugin=lambda _name: True))
        self.ihook = self

    def pytest_timeout_set_timer(self, item: Any, settings: Settings) -> None:
        plugin.pytest_timeout_set_timer(item, settings)
        self.said.append(settings.timeout)

    def pytest_timeout_cancel_timer(self, item: Any) -> None:
        self.said.append("ended")


def an_item(timeout: float, *, ago: float = 0.0) -> Any:
    item = Item()
    item.pytest_timeout_set_timer(item, Settings(timeout, "signal"))
    timer = item.stash[pytest_items.TIMER]
    item.stash[pytest_items.TIMER] = pytest_items.Timer(timer.settings, timer.began - ago)
    item.said.clear()
    return item


@pytest.mark.parametrize(("ago", "limit"), [(0.0, 1800.0), (HOURS - 60, 1800.0), (HOURS + 1700, 100.0), (HOURS + 9000, 1.0)])
def test_a_round_has_what_its_test_has_beyond_the_soaks_time_and_none_goes_past_the_whole(ago, limit):
    item = an_item(HOURS + 1800, ago=ago)
    pytest_items.renew_timeout(item, HOURS)
    assert item.said == ["ended", pytest.approx(limit, abs=30)]


def test_what_is_no_soak_or_has_no_timeout_keeps_what_it_has():
    item = an_item(300.0)
    pytest_items.renew_timeout(item, 0.0)
    without: Any = Item()
    pytest_items.renew_timeout(without, HOURS)
    assert item.said == without.said == []


def test_the_timer_is_set_before_each_round(monkeypatch):
    item, rounds = an_item(HOURS + 1800), 3
    session: Any = Session.__new__(Session)
    session._subject = session._report = object()
    session._lab, session._lab_data, session.view = None, {}, None
    session._plan, session._measuring = SimpleNamespace(soak=Soak(HOURS)), object()
    monkeypatch.setattr(soak, "keep_measuring", lambda _session, make, *_, **__: [make() for _ in range(rounds)])
    session._measure(item)(lambda: None, Start(lasts_s=HOURS))
    assert item.said.count("ended") == rounds and len(item.said) == 2 * rounds


@pytest.mark.parametrize(("name", "why"), [("none", "writes tokens to its databases"), ("switchover", "it would disturb")])
def test_what_is_skipped_on_an_attached_cluster_says_why(request, name: str, why: str):
    """Also where nothing would be done to it."""
    item = copy.copy(request.node)
    item.own_markers, item.callspec = [], SimpleNamespace(params={"disruption": Planned(name, Start(lasts_s=HOURS))})
    item.keywords = {}
    item.add_marker(pytest.mark.disruptive)
    session = SimpleNamespace(has_azure=True, may_disturb=False, cluster=SimpleNamespace(azure=None))
    config: Any = SimpleNamespace(stash={plugin.KEY: session}, option=SimpleNamespace(dry_run=False))
    plugin.pytest_collection_modifyitems(config, [item])
    (skip,) = [mark for mark in item.own_markers if mark.name == "skip"]
    assert why in skip.kwargs["reason"] and "allow that with --allow-disruption" in skip.kwargs["reason"]


def test_the_time_of_a_soak_counts_on_a_cluster_whose_azure_has_its_own(request):
    item = copy.copy(request.node)
    for usual, margin in ((900.0, 1800.0), (6300.0, 6300.0)):
        item.own_markers = [pytest.mark.timeout(usual).mark]
        item.callspec = SimpleNamespace(params={"disruption": Planned("none", Start(lasts_s=HOURS))})
        plugin._extend_for_soak([item])
        assert item.get_closest_marker("timeout").args == (HOURS + margin,)
