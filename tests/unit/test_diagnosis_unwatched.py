"""The diagnosis of resources that nobody looks at, or hardly ever; how responders are known; services that run on both nodes by design."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, IN, OUT, WEB, both, evidence, faults, listening, node, only, state, with_host

from harness.check.findings.node_findings import judge
from harness.check.node_facts import NodeFacts
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.host_config.manager_settings import seconds_of
from harness.diagnosis.host_config.pacemaker_resources import parse
from harness.managers.probe_responder_resources import has_responder_name, responders

MONITOR = '<operations><op id="m" name="monitor" interval="{}" {}/></operations>'
RESPONDER = '<primitive id="lbhc-12345" class="ocf" provider="heartbeat" type="azure-lb">{}</primitive>'
FENCE = '<primitive id="fence" class="stonith" type="fence_azure_arm">{}</primitive>'
EVERY_MINUTE = MONITOR.format("60s", "")
DISK = '<primitive id="disk" class="ocf" provider="heartbeat" type="Filesystem">{}</primitive>'


def units(*resources: str, options: str = "") -> dict[str, str]:
    options = f'<crm_config><cluster_property_set id="o">{options}</cluster_property_set></crm_config>'
    return parse(f"<cib><configuration>{options}<resources>{''.join(resources)}</resources></configuration></cib>", "ip-10.20.1.200")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20", 20), ("86400s", 86400), ("1440min", 86400), ("24h", 86400), ("500ms", 0.5), ("P1D", 86400), ("PT1H30M", 5400), ("PT5S", 5),
     ("P", None), ("PT", None), ("P1M", None), ("for ever", None), ("", None)],
)  # fmt: skip
def test_times_as_pacemaker_writes_them(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("interval", ["86400s", "1440m", "P1D", "3600"])
def test_a_monitor_that_runs_hardly_ever(interval: str) -> None:
    seen = with_host(node("lknode01", units=units(RESPONDER.format(MONITOR.format(interval, "")))))
    cause = only(seen, "lknode01", "the monitor of lbhc-12345 runs every", "what listens on port 12345 dies", "unnoticed")
    assert cause.certainty is Certainty.LIKELY


@pytest.mark.parametrize(
    "operations",
    [
        MONITOR.format("900s", ""),
        MONITOR.format("nonsense", ""),
        MONITOR.format("86400s", "") + MONITOR.format("10s", "").replace('"m"', '"n"'),  # the other one looks often enough
    ],
)
def test_a_monitor_that_runs_often_enough(operations: str) -> None:
    assert faults(diagnose(with_host(node("lknode01", units=units(RESPONDER.format(operations)))))) == []


@pytest.mark.parametrize(
    ("resources", "options", "told"),
    [
        (FENCE.format(""), "", True),
        (FENCE.format(MONITOR.format("60s", 'enabled="false"')), "", True),
        (FENCE.format(EVERY_MINUTE), "", False),
        (FENCE.format(MONITOR.format("3600s", "")), "", False),  # as guides for Azure have it
        (FENCE.replace("fence_azure_arm", "fence_sbd").format(""), "", False),  # which watches its disk itself
        (FENCE.format(""), '<nvpair id="s" name="stonith-enabled" value="false"/>', False),
        (FENCE.format('<meta_attributes id="x"><nvpair id="r" name="target-role" value="Stopped"/></meta_attributes>'), "", False),
    ],
)
def test_a_fence_device_that_nobody_asks(resources: str, options: str, told: bool) -> None:
    seen = with_host(node("lknode01", units=units(resources, options=options)))
    if told:
        only(seen, "lknode01", "the fence device fence has no monitor operation", "nobody notices")
    else:
        assert faults(diagnose(seen)) == []


def test_a_disk_of_a_services_that_nobody_looks_at() -> None:
    told = units(DISK.format("")) | {f"disk of {WEB.tag}": "disk"}
    seen = replace(with_host(node("lknode01", units=told)), state=state({"disk": IN}, {"disk": OUT}))
    only(seen, "lknode01", "disk, a file system that a service lies on, has no monitor operation")
    for harmless in ({**told, "monitor disk": "yes"}, {"monitor disk": "none"}):  # watched; another application's
        hosts = {**seen.hosts, "lknode01": node("lknode01", units=harmless)}
        assert faults(diagnose(replace(seen, hosts=hosts))) == []


@pytest.mark.parametrize(
    ("tag", "is_one"),
    [("nc_NW1_ASCS", True), ("rsc_nc_NW1", True), ("nc-hana", True), ("lbhc-1", True), ("g-health", True), ("rsync-web", False),
     ("sync_disk", False), ("vip", False)],
)  # fmt: skip
def test_what_a_responder_is_called(tag: str, is_one: bool) -> None:
    assert has_responder_name(tag) is is_one


def renamed(tags: dict[str, str]) -> Any:
    told = state()
    nodes = {
        name: replace(one, resources={tags.get(tag, tag): its for tag, its in one.resources.items()}) for name, one in told.nodes.items()
    }
    return replace(told, nodes=nodes)


@pytest.mark.parametrize(
    ("name", "given", "found"),
    [
        ("nc_NW1_ASCS", {}, ["nc_NW1_ASCS"]),
        ("listens", {"port listens": "12345"}, ["listens"]),
        ("listens", {"agent listens": "azure-lb"}, ["listens"]),
        ("listens", {"port listens": "12346"}, []),
        ("lbhc-12345", {"port lbhc-12345": "12346"}, ["lbhc-12345"]),  # it has the probe's port in its name, and listens on another
    ],
)
def test_a_responder_is_known_by_its_port_first(name: str, given: dict[str, str], found: list[str]) -> None:
    assert responders(CLUSTER, renamed({"lbhc-12345": name}), given) == found
    seen = evidence(state=renamed({"lbhc-12345": name}), hosts={n: node(n, units=given) for n in ("lknode01", "lknode02")})
    assert seen.responders == found


def test_what_is_wrong_with_a_responder_of_any_name_is_told() -> None:
    seen = with_host(node("lknode01", units={"port listens": "12345", "monitor listens": "none"}), state=renamed({"lbhc-12345": "listens"}))
    only(seen, "lknode01", "listens has no monitor operation", "12345")


CLONE = '<clone id="c">{}<primitive id="http-80" class="ocf" type="anything"/></clone>'
META = '<meta_attributes id="m"><nvpair id="n" name="{}" value="{}"/></meta_attributes>'


@pytest.mark.parametrize(
    ("resources", "by_design"),
    [
        (CLONE.format(""), True),
        (CLONE.format(META.format("promotable", "true")), True),
        (CLONE.replace("clone", "master").format(""), True),
        (CLONE.format(META.format("clone-max", "1")), False),
        (CLONE.replace("clone", "group").format(""), False),
    ],
)
def test_a_service_that_the_manager_runs_on_both_nodes(resources: str, by_design: bool) -> None:
    told = units(resources)
    listeners = [listening(WEB.port)]
    seen = both(units=(told, told), listeners=(evidence().hosts["lknode01"].listeners, listeners))
    found = [c for c in faults(diagnose(seen)) if "could not start there" in c.says]
    assert (found == []) is by_design
    standby = seen.hosts["lknode02"]
    facts = {"lknode02": NodeFacts("lknode02", listeners=list(standby.listeners or ()), seen=standby)}  # type: ignore[arg-type]
    named = [f for f in judge(CLUSTER, state(), facts, {}) if f.what == "listener of web"]
    assert (named == []) is by_design
