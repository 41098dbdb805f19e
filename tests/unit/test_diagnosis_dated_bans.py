"""Constraints that keep something off a node from a date on; what is over, holds now, or only prefers is not told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from harness.diagnosis.host_config.cib_settings import all_settings
from harness.diagnosis.host_config.cib_settings.dated_bans import of_pacemaker

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
CIB = """<cib><configuration><nodes><node id="1" uname="lknode01"/><node id="2" uname="lknode02"/></nodes><resources>
<group id="cluster-services"><primitive id="pgsql-5432"/></group><primitive id="fence" class="stonith"/></resources><constraints>
<rsc_location id="window" rsc="{rsc}"><rule id="r" score="{score}" boolean-op="{op}">{inside}</rule></rsc_location></constraints>
</configuration></cib>"""
ON_B = '<expression id="e" attribute="#uname" operation="eq" value="lknode02"/>'
TOMORROW = '<date_expression id="d" operation="gt" start="2026-12-02"/>'
HOURS = '<date_expression id="d" operation="date_spec"><date_spec id="s" hours="22-5"/></date_expression>'


def cib(inside: str, rsc: str = "cluster-services", score: str = "-INFINITY", op: str = "and") -> str:
    return CIB.format(rsc=rsc, score=score, op=op, inside=inside)


@pytest.mark.parametrize(
    ("inside", "words", "mild"),
    [
        (ON_B + TOMORROW, ("window keeps cluster-services off lknode02 from 2026-12-02 on", "failover to lknode02"), False),
        (ON_B + TOMORROW.replace("2026-12-02", "2027-03-01 22:00:00Z"), ("from 2027-03-01 22:00:00Z on",), True),
        (ON_B.replace("eq", "ne").replace("02", "01") + TOMORROW, ("off lknode02",), False),
        (ON_B + TOMORROW.replace('"gt"', '"in_range" end="2026-12-04"'), ("off lknode02 from 2026-12-02 on",), False),
        (ON_B + HOURS, ("off lknode02 at certain times (hours 22-5)",), True),
        (TOMORROW, ("off every node from", "is stopped"), False),
    ],
)
def test_what_will_come_into_force_is_told(inside: str, words: tuple[str, ...], mild: bool) -> None:
    (one,) = of_pacemaker(cib(inside), NOW)
    assert not [w for w in words if w not in one.says] and one.mild is mild, one
    assert one.node == ("" if "every" in one.says else "lknode02") and one in all_settings.of_pacemaker(cib(inside), NOW)


@pytest.mark.parametrize(
    "text",
    [
        cib(ON_B + TOMORROW.replace("2026-12-02", "2020-01-01")),  # Pacemaker's scheduler tells of it
        cib(ON_B + '<date_expression id="d" operation="lt" end="2027-01-01"/>'),
        cib(ON_B + '<date_expression id="d" operation="in_range" start="2020-01-01" end="2020-02-01"/>'),
        cib(ON_B + TOMORROW, score="100"),
        cib(ON_B + TOMORROW, score="-100"),
        cib(ON_B + TOMORROW, op="or"),
        cib(ON_B + TOMORROW, rsc="fence"),
        cib('<expression id="e" attribute="load" operation="gt" value="5"/>' + TOMORROW),
        cib(ON_B.replace("lknode02", "lknode09") + TOMORROW),
        cib(ON_B + TOMORROW.replace("2026-12-02", "some day")),
        cib(ON_B),
        "no XML",
    ],
)
def test_what_holds_now_or_never_or_is_no_ban_is_not_told(text: str) -> None:
    assert of_pacemaker(text, NOW) == ()


def test_a_date_without_a_zone_is_the_host_s_own_time() -> None:
    text = cib(ON_B + TOMORROW.replace("2026-12-02", "2026-12-01 13:00:00"))
    assert of_pacemaker(text, NOW) and not of_pacemaker(text, NOW, timezone(timedelta(hours=2))) and not of_pacemaker(text)
