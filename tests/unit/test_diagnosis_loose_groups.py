"""Groups whose members need not be together, or start in any order."""

from __future__ import annotations

import pytest
from test_diagnosis_settings import meta

from harness.diagnosis.host_config.cib_settings import all_settings
from harness.diagnosis.host_config.cib_settings.loose_groups import of_pacemaker

CIB = """<cib><configuration><resources><group id="cluster-services">{meta}<primitive id="disk"/><primitive id="db"/><primitive id="web"/>
</group></resources><constraints>{constraints}</constraints></configuration></cib>"""
PAIR = '<rsc_colocation id="{0}-{1}" rsc="{0}" with-rsc="{1}" score="{2}"/>'
SET = '<rsc_colocation id="s" score="INFINITY"><resource_set id="t">{}</resource_set></rsc_colocation>'


def cib(name: str, value: str, *constraints: str) -> str:
    return CIB.format(meta=meta(name, value), constraints="".join(constraints))


@pytest.mark.parametrize(
    ("text", "words", "mild"),
    [
        (cib("collocated", "false"), ("cluster-services has collocated=false", "disk, db, web", "moves"), False),
        (cib("collocated", "0", PAIR.format("db", "disk", "INFINITY")), ("collocated=false",), False),
        (cib("collocated", "no", PAIR.format("db", "disk", "100"), PAIR.format("web", "db", "100")), ("collocated=false",), False),
        (cib("ordered", "false"), ("cluster-services has ordered=false",), True),
    ],
)
def test_a_loose_group_is_told(text: str, words: tuple[str, ...], mild: bool) -> None:
    (one,) = of_pacemaker(text)
    assert not [w for w in words if w not in one.says] and (one.mild, one.tag) == (mild, "disk")
    assert one in all_settings.of_pacemaker(text)


@pytest.mark.parametrize(
    "text",
    [
        cib("collocated", "true"),
        cib("ordered", "true"),
        cib("priority", "10"),
        cib("collocated", "false", PAIR.format("db", "disk", "INFINITY"), PAIR.format("web", "db", "+INFINITY")),
        cib("collocated", "false", SET.format("".join(f'<resource_ref id="{one}"/>' for one in ("disk", "db", "web")))),
        cib("collocated", "false").replace('<primitive id="db"/><primitive id="web"/>', ""),
        "no XML",
    ],
)
def test_what_is_tied_is_not_told(text: str) -> None:
    assert of_pacemaker(text) == ()
