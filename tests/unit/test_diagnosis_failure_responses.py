"""Settings of Pacemaker's by which a failed start or stop moves nothing, and fence devices that are asked for the wrong node."""

from __future__ import annotations

import pytest
from test_diagnosis_settings import CIB, NAMES, STOP, meta, pair

from harness.diagnosis.host_config.cib_settings import all_settings, failure_responses, fencing_targets

NOT_FATAL = pair("start-failure-is-fatal", "false")
START = '<op id="b" name="start" interval="0" on-fail="{}"/>'
NODES = '<nodes><node id="1" uname="lknode01"/><node id="2" uname="lknode02"/></nodes>'
DEVICE = '<primitive id="{0}" class="stonith" type="fence_x"><instance_attributes id="i-{0}">{1}</instance_attributes></primitive>'
LEVEL = '<fencing-level id="l{0}" target="lknode01" index="{0}" devices="{1}"/>'


def text(**given: str) -> str:
    return CIB.format(**{**NAMES, **given})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"options": NOT_FATAL}, "pgsql-5432 has no migration-threshold"),
        ({"options": NOT_FATAL, "meta": meta("migration-threshold", "0")}, "no migration-threshold"),
        ({"options": NOT_FATAL, "meta": meta("migration-threshold", "INFINITY")}, "no migration-threshold"),
        ({"operations": STOP.format("block")}, "a failed stop of pgsql-5432 is left as it is"),
        ({"operations": START.format("block")}, "a failed start of pgsql-5432 is left as it is"),
        ({"operations": START.format("ignore")}, "is taken for a success"),
        ({"operations": START.format("stop")}, "stops it everywhere"),
    ],
)
def test_what_it_does_is_told(given: dict[str, str], words: str) -> None:
    (one,) = failure_responses.of_pacemaker(text(**given))
    assert words in one.says and not one.mild and one in all_settings.of_pacemaker(text(**given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"options": NOT_FATAL, "meta": meta("migration-threshold", "3")},
        {"options": NOT_FATAL, "defaults": f"<rsc_defaults>{meta('migration-threshold', '1')}</rsc_defaults>"},
        {"options": pair("start-failure-is-fatal", "true")},
        {"operations": STOP.format("fence") + START.format("restart")},
        {"operations": STOP.format("block"), "options": pair("stonith-enabled", "false")},  # as it is without fencing anyhow
    ],
)
def test_what_is_usual_is_not_told(given: dict[str, str]) -> None:
    assert failure_responses.of_pacemaker(text(**given)) == ()


def test_the_defaults_of_all_operations() -> None:
    found = failure_responses.of_pacemaker(text(defaults=f"<op_defaults>{meta('on-fail', 'block')}</op_defaults>"))
    assert [one.says.partition(" of ")[0] for one in found] == ["a failed start", "a failed stop"] and "(op_defaults)" in found[0].seen


def test_of_what_is_promoted_it_may_be_meant() -> None:
    cloned = (
        text(operations=STOP.format("block")).replace('<group id="cluster-services">', '<clone id="c">').replace("</group>", "</clone>")
    )
    (one,) = failure_responses.of_pacemaker(cloned)
    assert one.usual and one.cloned


def fencing(*devices: tuple[str, str], levels: str = "", options: str = "") -> list[str]:
    those = "".join(DEVICE.format(tag, parameters) for tag, parameters in devices)
    topology = f"<fencing-topology>{levels}</fencing-topology>" if levels else ""
    cib = f"<cib><configuration><crm_config><cluster_property_set id='o'>{options}</cluster_property_set></crm_config>{NODES}"
    return [one.says for one in fencing_targets.of_pacemaker(f"{cib}<resources>{those}</resources>{topology}</configuration></cib>")]


OF_2, OF_1 = pair("pcmk_host_list", "lknode02"), pair("pcmk_host_map", "lknode01:vm-1")


def test_a_level_that_asks_a_device_of_the_other_node() -> None:
    (one,) = fencing(("f2", OF_2), levels=LEVEL.format(1, "f2"))
    assert "the fencing level l1 for lknode01 asks f2, which is told to fence lknode02 only" in one
    (both,) = fencing(("f1", OF_1), ("f2", OF_2), levels=LEVEL.format(1, "f1,f2"))
    assert "asks f2" in both


@pytest.mark.parametrize(
    ("devices", "levels"),
    [
        ([("f1", OF_1)], LEVEL.format(1, "f1")),
        ([("f1", OF_1), ("f2", OF_2)], LEVEL.format(1, "f2") + LEVEL.format(2, "f1")),  # another level can
        ([("f", "")], LEVEL.format(1, "f")),
        ([("f", OF_2 + pair("pcmk_host_check", "dynamic-list"))], LEVEL.format(1, "f")),
        ([("f2", OF_2)], LEVEL.format(1, "gone")),  # which is told as that
        ([("f2", OF_2)], '<fencing-level id="l" target-pattern="lk.*" index="1" devices="f2"/>'),
        ([("f2", OF_2)], ""),
    ],
)
def test_levels_that_can(devices: list[tuple[str, str]], levels: str) -> None:
    assert fencing(*devices, levels=levels) == []


def delay(value: str) -> str:
    return pair("pcmk_delay_base", value)


@pytest.mark.parametrize(
    "devices",
    [
        [("f1", OF_1 + delay("15s")), ("f2", OF_2 + delay("15s"))],
        [("f", delay("15s"))],
        [("f", delay("lknode01:15;lknode02:15"))],
    ],
)
def test_both_nodes_are_fenced_after_the_same_time(devices: list[tuple[str, str]]) -> None:
    (one,) = fencing(*devices)
    assert "after the same 15 s" in one
    assert fencing(*devices, options=pair("priority-fencing-delay", "15s")) == []
    assert fencing(*devices, options=pair("stonith-enabled", "false")) == []


@pytest.mark.parametrize(
    "devices",
    [
        [],
        [("f", "")],
        [("f1", OF_1 + delay("15s")), ("f2", OF_2)],
        [("f1", OF_1 + delay("15s")), ("f2", OF_2 + delay("30s"))],
        [("f", delay("lknode01:15;lknode02:0"))],
        [("f", delay("15s") + pair("pcmk_delay_max", "30s"))],
        [("f", delay("0"))],
        [("f", delay("15s")), ("g", delay("15s"))],  # which of the two is asked is not known
    ],
)
def test_one_of_them_is_faster_or_none_has_a_delay(devices: list[tuple[str, str]]) -> None:
    assert fencing(*devices) == []
