"""docs/catches.md tells of every case what was said of it, and the judgement on an answer is what the page means by its words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.cases import catches
from tests.cases.case import Case, all_cases, differences, judge, judge_suite

CAUSE = {"says": "the filter of it drops 1521", "host": "lknode01", "certainty": "certain"}
CASE = Case("a", "family", "a fault", names=("lknode01", "1521", "drop"))


def test_the_page_is_what_the_results_say() -> None:
    assert catches.PAGE.read_text() == catches.page(), "run: python -m tests.cases --page"


@pytest.mark.parametrize("case", all_cases(), ids=lambda c: c.name)
def test_each_case_is_on_the_page_and_was_named(case: Case) -> None:
    assert f"(`{case.name}`)" in catches.PAGE.read_text()
    assert catches.results()[case.name].verdict == "NAMED", "run: python -m tests.cases NAME"
    assert case.quiet or case.names
    assert all(re.compile(pattern) for pattern in (*case.names, *case.never))


def test_no_two_cases_share_a_name_and_both_managers_and_designs_are_there() -> None:
    cases = all_cases()
    assert len({c.name for c in cases}) == len(cases)
    assert {m in c.lab for c in cases for m in ("pacemaker",)} == {d in c.lab for c in cases for d in ("floating",)} == {True, False}


@pytest.mark.parametrize(
    ("case", "answer", "code", "verdict"),
    [
        (CASE, {"causes": [CAUSE]}, 1, "NAMED"),
        (CASE, {"causes": [CAUSE]}, 0, "MISSED"),
        (CASE, {"causes": [CAUSE | {"host": "lknode02"}]}, 1, "SYMPTOM"),
        (CASE, {"causes": [CAUSE | {"says": "1521"}, CAUSE | {"says": "drop"}]}, 1, "SYMPTOM"),
        (CASE, {"causes": []}, 0, "MISSED"),
        (CASE, {"findings": [{"host": "lknode01", "what": "x", "says": "1521: a drop", "weight": "fault"}]}, 1, "NAMED"),
        (Case("a", "f", "", never=("ip addr del",), names=("x",)), {"causes": [CAUSE | {"do": "ip addr del"}]}, 1, "WRONG"),
        (Case("a", "f", "", quiet=True), {"causes": [CAUSE]}, 1, "WRONG"),
        (Case("a", "f", "", quiet=True), {"causes": [CAUSE | {"certainty": "possible"}]}, 0, "NAMED"),
        (Case("a", "f", "", quiet=True), {}, 3, "WRONG"),
        (Case("a", "f", "", names=("1521",), also=("1522",)), {"causes": [CAUSE]}, 1, "SYMPTOM"),
        (Case("a", "f", "", names=("1521",), also=("1522",)), {"causes": [CAUSE, CAUSE | {"says": "1522"}]}, 1, "NAMED"),
    ],
)
def test_the_judgement(case: Case, answer: dict[str, Any], code: int, verdict: str) -> None:
    assert judge(case, answer, code).verdict == verdict


def test_what_the_suite_made_of_it() -> None:
    def one(id: str, outcome: str) -> dict[str, Any]:
        return {"id": f"tests/acceptance/test_x.py::{id}", "name": id, "verdict": {"outcome": outcome, "reason": ""}}

    fails = [one("test_path[a]", "fail"), one("test_path[b]", "inconclusive"), one("test_other", "pass"), one("test_more", "skip")]
    run = {"exit_code": 1, "verdict": {"reason": "1 of 4 failed"}, "causes": [CAUSE], "tests": fails, "audits": [one("healthy", "fail")]}
    assert judge_suite(CASE, run) == ("NAMED", ("test_path × 2", "audit: healthy"))
    assert judge_suite(CASE, run | {"causes": []})[0] == "SYMPTOM"
    nothing_to_test = {"exit_code": 4, "verdict": {"reason": "lknode01 drops 1521"}, "causes": [], "tests": [], "audits": []}
    assert judge_suite(CASE, nothing_to_test) == ("NAMED", ())
    green = {"exit_code": 0, "verdict": {}, "causes": [], "tests": [], "audits": []}
    assert judge_suite(CASE, green) == ("MISSED", ()) and judge_suite(CASE, green | {"causes": [CAUSE]})[0] == "NAMED"
    control = Case("a", "f", "", quiet=True)
    assert judge_suite(control, green)[0] == "NAMED" and judge_suite(control, run)[0] == "WRONG"
    only_read = green | {"verdict": {"outcome": "pass", "reason": "2 tests passed; 1 was skipped: it would disturb the cluster"}}
    assert judge_suite(control, only_read)[0] == "NAMED"


def test_a_bundle_says_what_the_cluster_said() -> None:
    possible = CAUSE | {"certainty": "possible"}
    assert (
        differences({"causes": [CAUSE, possible]}, {"causes": [CAUSE]})
        == differences({"causes": [CAUSE]}, {"causes": [CAUSE, possible]})
        == []
    )
    assert differences({"causes": [CAUSE]}, {"causes": []}) == [f"only live: lknode01: {CAUSE['says']}"]
    twice = [{"causes": [CAUSE | {"says": f"recovered {n} times in the last 120 s"}]} for n in (9, 12)]
    assert differences(*twice) == []
    assert differences({"causes": []}, {"causes": [CAUSE]}) == [f"only offline: lknode01: {CAUSE['says']}"]
