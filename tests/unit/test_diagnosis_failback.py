"""Preferences that are stronger than the stickiness, so that everything moves back by itself; and all that has another say in it."""

from __future__ import annotations

import pytest
from diagnosis_sample import CLUSTER, evidence, node

from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.host_config.cib_settings.pacemaker_failback import of_pacemaker

CIB = """<cib><configuration><crm_config><cluster_property_set id="o">{options}</cluster_property_set></crm_config>
<resources><group id="grp"><primitive id="db" class="ocf" type="pgsql">{of_db}</primitive>
<primitive id="web" class="ocf" type="a"/>{of_group}</group><primitive id="ip" class="ocf" type="IPaddr2"/>{resources}</resources>
<constraints><rsc_colocation id="c" rsc="ip" with-rsc="grp" score="{tie}"/>{constraints}</constraints>
<rsc_defaults><meta_attributes id="d">{defaults}</meta_attributes></rsc_defaults></configuration></cib>"""
NAMES = dict.fromkeys(("options", "of_db", "of_group", "resources", "constraints"), "") | {"tie": "INFINITY"}

IN_A_SET = '<rsc_colocation id="k"><resource_set id="z"><resource_ref id="db"/></resource_set></rsc_colocation>'


def prefers(tag: str, node: str, score: str, within: str = "", more: str = "") -> str:
    return f'<rsc_location id="{tag}-{node}" rsc="{tag}" node="{node}" score="{score}" {more}>{within}</rsc_location>'


def sticky(value: str, within: str = "") -> str:
    pair = f'<nvpair id="s" name="resource-stickiness" value="{value}"/>'
    return f'<meta_attributes id="m">{pair}{within}</meta_attributes>'


def told(constraints: str, stickiness: str = "1000", **more: str) -> list[tuple[str, str]]:
    default = f'<nvpair id="s" name="resource-stickiness" value="{stickiness}"/>' if stickiness else ""
    text = CIB.format(**{**NAMES, "constraints": constraints, "defaults": default, **more})
    assert all(one.mild for one in of_pacemaker(text))
    return [(one.node, one.says.partition(" prefers ")[2].partition(":")[0]) for one in of_pacemaker(text)]


@pytest.mark.parametrize(
    ("constraints", "more", "says"),
    [
        (prefers("grp", "a", "50000"), {}, "grp by 50000, and what keeps it where it is (resource-stickiness) is 3000 in all"),
        (prefers("grp", "a", "3000"), {}, ""),  # as strong, and stays where it is
        (prefers("grp", "a", "3001"), {}, "is 3000 in all"),
        (prefers("grp", "a", "3001") + prefers("grp", "b", "50"), {}, ""),
        (prefers("grp", "a", "2000") + prefers("ip", "a", "1500"), {}, "grp by 2000"),  # together
        (prefers("grp", "a", "2000") + prefers("grp", "b", "-1500"), {}, "grp by 2000"),
        (prefers("grp", "a", "2500"), {"tie": "-INFINITY"}, ""),
        (prefers("ip", "a", "1001"), {"tie": "10"}, ""),  # tied by a wish
        (prefers("grp", "a", "10"), {"stickiness": ""}, "is 0 in all"),
        (prefers("grp", "a", "100"), {"stickiness": "1"}, "is 3 in all"),
        (prefers("grp", "a", "50000"), {"of_db": sticky("100000")}, ""),
        (prefers("grp", "a", "50000"), {"of_group": sticky("INFINITY")}, ""),
        (prefers("grp", "a", "2500"), {"of_group": sticky("200")}, "is 1400 in all"),
        (prefers("grp", "a", "50000"), {"of_db": sticky("1", '<rule id="r"/>')}, ""),
        (prefers("grp", "a", "50000"), {"options": '<nvpair id="p" name="placement-strategy" value="balanced"/>'}, ""),
        (prefers("grp", "a", "50000"), {"options": '<nvpair id="p" name="placement-strategy" value="default"/>'}, "by 50000"),
        (prefers("grp", "a", "50000", '<rule id="r"/>'), {}, ""),
        (prefers("grp", "a", "50000") + prefers("ip", "b", "1", '<rule id="r"/>'), {}, ""),
        (prefers("grp", "a", "INFINITY"), {}, ""),  # told by itself
        (prefers("grp", "a", "50000") + prefers("grp", "b", "-INFINITY"), {}, ""),
        (prefers("grp", "a", "50000", more='role="Promoted"'), {}, ""),
        (prefers("grp", "a", "50000") + '<rsc_location id="p" rsc-pattern=".*" node="b" score="9"/>', {}, ""),
        (prefers("fence", "a", "50000"), {"resources": '<primitive id="fence" class="stonith" type="f"/>'}, ""),
        (prefers("cl", "a", "50000"), {"resources": '<clone id="cl"><primitive id="p"/></clone>'}, ""),
        (prefers("other", "a", "5000"), {"resources": '<primitive id="other" template="t"/>'}, ""),
        (
            prefers("grp", "a", "50000") + '<rsc_colocation id="k" rsc="grp" with-rsc="cl" score="INFINITY"/>',
            {"resources": '<clone id="cl"><primitive id="p"/></clone>'},
            "",
        ),
        (prefers("grp", "a", "50000") + IN_A_SET, {}, ""),
        (prefers("nobody", "a", "50000") + prefers("grp", "", "50000"), {}, ""),
    ],
)  # fmt: skip
def test_what_is_preferred_by_more_than_the_stickiness(constraints: str, more: dict[str, str], says: str) -> None:
    found = told(constraints, **more)
    assert [node for node, _ in found] == ["a"] * bool(says) and not [words for _, words in found if says not in words], found


def test_it_is_worth_a_look_only_and_no_text_ends_it() -> None:
    text = CIB.format(**{**NAMES, "constraints": prefers("grp", "lknode01", "50000"), "defaults": ""})
    seen = linux_host_script_parse.host("it", f"@@ configuration\n{text}\n")
    hosts = {name: node(name, doubtful=seen.doubtful) for name in ("lknode01", "lknode02")}
    (cause,) = diagnose(evidence(hosts=hosts, cluster=CLUSTER)).causes
    assert cause.certainty is Certainty.POSSIBLE and cause.host == "lknode01" and "second outage" in cause.says
    for odd in (
        "",
        "<cib/>",
        "no XML",
        '<cib><configuration><constraints><rsc_location/><rsc_colocation rsc="x"/></constraints></configuration></cib>',
    ):
        assert of_pacemaker(odd) == ()
