"""What Azure refuses, in its own words (as others have published them), and what a person is told: what is missing, where, and for whom."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from harness.azure.client import error_mapping
from harness.azure.client.operation_runner import _passing
from harness.azure.provision.resource_removal import may_pass

core = pytest.importorskip("azure.core.exceptions")

CLIENT = "The client '11111111-aaaa' with object id '22222222-bbbb'"
SUBNET = "/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/v/subnets/a"
LINKED = (
    f"{CLIENT} has permission to perform action 'Microsoft.Network/networkInterfaces/write' on scope '/subscriptions/s/resourceGroups/g/"
    "providers/Microsoft.Network/networkInterfaces/n'; however, it does not have permission to perform action(s) "
    f"'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s) '{SUBNET}' (respectively) or the linked scope(s) are "
    "invalid."
)
POLICY = (
    "Resource 'lk-test' was disallowed by policy. Reasons: 'A cost center is mandatory.'. See error details for policy resource IDs. "
    'Policy identifiers: \'[{"policyAssignment":{"name":"Require a tag","id":"/providers/x"},'
    '"policyDefinition":{"name":"deny-untagged","id":"y"}}]\'.'
)
PLAIN = f"{CLIENT} does not have authorization to perform action 'Microsoft.Compute/virtualMachines/powerOff/action' over scope '/s/vm'."


def refusal(status: int, code: str, message: str, details: Any = ()) -> error_mapping.HarnessError:
    """As the packages raise it."""
    from azure.mgmt.core.exceptions import ARMErrorFormat

    body = json.dumps({"error": {"code": code, "message": message, "details": list(details)}})
    response = SimpleNamespace(
        status_code=status, reason="", headers={}, text=lambda *_: body, content_type="application/json", body=lambda: body.encode()
    )
    response.internal_response = response
    response.json = lambda: json.loads(body)
    error = core.HttpResponseError(response=response, error_format=ARMErrorFormat)
    said = error_mapping.sentence(error, "taking nic1 out of ilb/pool")
    assert said is not None
    said.__cause__ = error
    return said


def test_a_linked_scope_is_what_is_missing_and_not_the_action_that_one_has():
    said = refusal(403, "LinkedAuthorizationFailed", LINKED)
    assert isinstance(said, error_mapping.NotAllowed) and said.action == "Microsoft.Network/virtualNetworks/subnets/join/action"
    assert f"may not Microsoft.Network/virtualNetworks/subnets/join/action on {SUBNET}" in str(said)
    assert "networkInterfaces/write" not in str(said) and "another resource group" in str(said)


def test_a_policy_is_no_missing_role():
    said = refusal(403, "RequestDisallowedByPolicy", POLICY)
    assert isinstance(said, error_mapping.RefusedByPolicy) and not isinstance(said, error_mapping.NotAllowed)
    for part in ("Require a tag", "deny-untagged", "A cost center is mandatory", "--tag KEY=VALUE"):
        assert part in str(said)
    assert "give it a role" not in str(said) and not _passing(said) and not may_pass(said)


def test_who_was_refused_is_told():
    said = refusal(403, "AuthorizationFailed", PLAIN)
    assert "11111111-aaaa (object id 22222222-bbbb) may not Microsoft.Compute/virtualMachines/powerOff/action on /s/vm" in str(said)
    assert "role-disturb.json" in str(said) and "takes minutes" in str(said)


def test_a_lock_is_no_missing_role_and_does_not_pass():
    said = refusal(409, "ScopeLocked", "The scope '/x' cannot perform delete operation because following scope(s) are locked: '/g'.")
    assert isinstance(said, error_mapping.Locked) and "a management lock forbids it" in str(said)
    assert not _passing(said) and not may_pass(said)


@pytest.mark.parametrize(
    ("code", "details"),
    [
        ("RetryableErrorDueToAnotherOperation", ()),
        ("RetryableError", [{"code": "RetryableErrorDueToAnotherOperation", "message": "Operation PutNic on nic1 is in progress."}]),
    ],
)
def test_another_operation_is_no_asking_too_often(code: str, details: Any):
    said = refusal(429, code, "A retryable error occurred.", details)
    assert isinstance(said, error_mapping.Throttled) and "another operation of Azure's is under way" in str(said)
    assert "asked too often" not in str(said) and may_pass(said)


def test_asking_too_often_is_told_as_before():
    assert "asked too often" in str(refusal(429, "TooManyRequests", "slow down"))
