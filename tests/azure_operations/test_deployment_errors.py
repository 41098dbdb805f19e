"""Why Azure refuses or fails, whatever shape it says it in: which resource, and the innermost words.

The shapes are those of ARM's common error format (code, message, target, details within details) and what comes instead of it.
"""

from __future__ import annotations

from typing import Any

import pytest
from azure_up import up
from deployments import Answer

from harness.azure.client.arm_error_details import innermost_errors

NODE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/lknode02"
QUOTA = "Operation could not be completed as it results in exceeding approved standardDSv5Family Cores quota."
PREFLIGHT: dict[str, Any] = {
    "code": "InvalidTemplateDeployment",
    "message": "The template deployment is not valid. The tracking id is '5'. See inner errors for details.",
}


def refused(**more: Any) -> Answer:
    return Answer(400, {"error": {**PREFLIGHT, **more}})


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ([{"code": "QuotaExceeded", "message": QUOTA}], f"QuotaExceeded: {QUOTA}"),
        (
            [{"code": "ValidationFailed", "target": NODE, "message": "m", "details": [{"code": "QuotaExceeded", "message": QUOTA}]}],
            f"lknode02 (virtualMachines): QuotaExceeded: {QUOTA}",
        ),
        (
            [
                {"code": "SkuNotAvailable", "target": NODE, "message": "not in zone '2'"},
                {"code": "InvalidParameter", "target": "osProfile.adminUsername", "message": "not allowed\r\nat all"},
            ],
            "lknode02 (virtualMachines): SkuNotAvailable: not in zone '2'; osProfile.adminUsername: InvalidParameter: not allowed at all",
        ),
        ([{"code": "QuotaExceeded", "message": QUOTA}] * 3, f"QuotaExceeded: {QUOTA}"),
    ],
    ids=["quota", "within within", "two", "thrice the same"],
)
def test_a_preflight_failure_says_which_resource_and_why(arm, capsys, details, says):
    arm.on_put = lambda puts: refused(details=details)
    assert up() == 4
    first = capsys.readouterr().err.splitlines()[-1]
    assert f"Azure refuses (400 InvalidTemplateDeployment): {PREFLIGHT['message'].rstrip('.')}: {says}" in first
    assert first.count("QuotaExceeded") <= 1 and arm.puts == 1 and arm.groups == {}


def test_a_refusal_without_details_is_as_short_as_it_was(arm, capsys):
    arm.on_put = lambda puts: refused()
    assert up() == 4
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("The tracking id is '5'. See inner errors for details")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "Azure does not say why"),
        ("", "Azure does not say why"),
        ("a text", "a text"),
        ({"error": None}, "Azure does not say why"),
        ({"error": "a text"}, "a text"),
        ({"error": []}, "Azure does not say why"),
        ({"error": {}}, "Azure does not say why"),
        ({}, "Azure does not say why"),
        ({"code": "C", "message": None}, "C: no words"),
        ({"message": "m"}, "no code: m"),
        ({"code": "C", "message": "m", "details": None}, "C: m"),
        ({"code": "C", "message": "m", "details": "text"}, "C: m"),
        ({"code": "C", "message": "m", "details": {"code": "D", "message": "n"}}, "D: n"),
        ({"code": "C", "message": "m", "details": ["text", None, {"code": "D", "message": "n"}]}, "D: n"),
        ({"code": "C", "message": "m", "details": [{}]}, "C: m"),
        ({"code": "C", "message": '{"error": {"code": "D", "message": "n"}}'}, "D: n"),
        ({"code": "C", "message": "{ no JSON"}, "C: { no JSON"),
        ({"code": "C", "message": 5, "target": 7}, "7: C: 5"),
        ('{"error": {"code": "D", "message": "n"}}', "D: n"),
        ([{"code": "D", "message": "n"}], "D: n"),
    ],
)
def test_whatever_it_is_there_are_words_for_it(said, words):
    assert innermost_errors(said) == words


@pytest.mark.parametrize(("said", "words"), [(None, "Azure does not say why"), ("a text", "a text")])
def test_a_failed_operation_with_an_odd_message(arm, capsys, said, words):
    """Until the end of `up`, which a traceback would keep from removing anything."""
    arm.status_message = {"error": said}
    arm.fails["lknode02"] = {}
    assert up() == 4
    assert f"lknode02 (virtualMachines): {words}" in capsys.readouterr().err and arm.resources == {}


def test_a_resource_is_not_named_twice(arm, capsys):
    arm.fails["lknode02"] = {"code": "SkuNotAvailable", "message": "not here", "target": NODE}
    assert up() == 4
    assert "failed: lknode02 (virtualMachines): SkuNotAvailable: not here" in capsys.readouterr().err
