"""`azure up` when the answer to the one request that starts the deployment gets lost: it is sent once, and what came of it is found out.

Against the stand-in for deployments, with the real Azure packages; no Azure is behind it.
"""

from __future__ import annotations

from typing import Any

import pytest
from azure_up import up
from deployments import Answer

from harness.azure.provision import template_deployment

BUSY = {"error": {"code": "ServiceUnavailable", "message": "the test says so"}}
ACTIVE = {"error": {"code": "DeploymentActive", "message": "the previous deployment is still active"}}
THROTTLED = {"error": {"code": "TooManyRequests", "message": "the test says so"}}


def at_first(answer: Answer) -> Any:
    return lambda puts: answer if puts == 1 else None


@pytest.mark.parametrize("answer", [Answer(503, BUSY, accepted=True), Answer(None, accepted=True)], ids=["503", "dropped"])
def test_a_deployment_that_was_accepted_and_not_answered_is_watched(arm, capsys, answer):
    arm.on_put = at_first(answer)
    assert up("--cluster-file", "made.toml") == 0
    said = capsys.readouterr().err
    assert arm.puts == 1 and "ilb" in arm.names()
    assert "starting the deployment: its fate is not known" in said and "it was accepted" in said


def test_an_active_deployment_of_this_name_is_ours(arm, capsys):
    """Something between us and Azure repeated the request: the second is refused, the first goes on."""
    arm.on_put = at_first(Answer(409, ACTIVE, accepted=True))
    assert up("--cluster-file", "made.toml") == 0
    said = capsys.readouterr().err
    assert arm.puts == 1 and "ilb" in arm.names()
    assert "goes on already" in said and "watching it" in said


def test_one_that_was_accepted_and_shows_late_is_cancelled_and_removed(arm, capsys):
    """No sign of it is seen for so long that `up` gives up; what it makes is removed all the same."""
    arm.on_put = at_first(Answer(None, accepted=True))
    arm.on_look = lambda looks: (404, {"error": {"code": "DeploymentNotFound", "message": "not yet"}}) if not cancelling(arm) else None

    def cancelling(arm: Any) -> bool:
        return "cancelling the deployment" in seen()

    heard: list[str] = []

    def seen() -> str:
        heard.append(capsys.readouterr().err)
        return "".join(heard)

    assert up() == 4
    said = seen()
    assert arm.puts == 1 and "it was not sent again" in said and "cancelling the deployment" in said
    assert any(path.endswith("/cancel") for _, path in arm.asked)
    assert (arm.resources, arm.groups) == ({}, {})


def test_one_that_was_never_accepted_ends_in_bounded_time(arm, capsys, monkeypatch):
    monkeypatch.setattr(template_deployment, "DEPLOYMENT_VISIBLE_TIMEOUT_S", 0.2)
    arm.on_put = at_first(Answer(None))
    assert up() == 4
    said = capsys.readouterr().err
    assert arm.puts == 1 and "it was not sent again" in said and "there is no deployment to stop" in said
    assert (arm.resources, arm.groups) == ({}, {})


def test_not_now_is_no_acceptance(arm, capsys):
    """Azure asked for silence, so nothing was started: the request is repeated, and that is told."""
    arm.on_put = at_first(Answer(429, THROTTLED))
    assert up("--cluster-file", "made.toml") == 0
    assert arm.puts == 2 and "sending again" in capsys.readouterr().err


def test_a_plain_refusal_is_the_end(arm, capsys):
    arm.on_put = at_first(Answer(400, {"error": {"code": "InvalidTemplate", "message": "the test says so"}}))
    assert up() == 4
    said = capsys.readouterr().err
    assert arm.puts == 1 and "cancelling" not in said and "InvalidTemplate" in said and arm.groups == {}
