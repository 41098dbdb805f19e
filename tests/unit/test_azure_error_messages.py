"""What Azure refuses, in its own words (as others have published them), and what a person is told: what is missing, where, and for whom."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from harness.azure.client import error_mapping
from harness.azure.client.operation_runner import _may_pass
from harness.azure.provision.deletion_retry import may_pass

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
    said = error_mapping.to_harness_error(error, "taking nic1 out of ilb/pool")
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
    assert "give it a role" not in str(said) and not _may_pass(said) and not may_pass(said)


def test_who_was_refused_is_told():
    said = refusal(403, "AuthorizationFailed", PLAIN)
    assert "11111111-aaaa (object id 22222222-bbbb) may not Microsoft.Compute/virtualMachines/powerOff/action on /s/vm" in str(said)
    assert "role-disturb.json" in str(said) and "takes minutes" in str(said)


def test_a_lock_is_no_missing_role_and_does_not_pass():
    said = refusal(409, "ScopeLocked", "The scope '/x' cannot perform delete operation because following scope(s) are locked: '/g'.")
    assert isinstance(said, error_mapping.Locked) and "a management lock forbids it" in str(said)
    assert not _may_pass(said) and not may_pass(said)


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


def test_a_policy_or_a_linked_scope_inside_a_templates_preflight_is_told_as_itself():
    target = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/lknode01"
    policy = refusal(
        400, "InvalidTemplateDeployment", "policy violation", [{"code": "RequestDisallowedByPolicy", "target": target, "message": POLICY}]
    )
    assert isinstance(policy, error_mapping.RefusedByPolicy) and "lknode01 (virtualMachines)" in str(policy)
    assert "Require a tag" in str(policy) and "no role helps" in str(policy) and "Policy identifiers" not in str(policy)
    linked = refusal(400, "InvalidTemplateDeployment", "denied", [{"code": "LinkedAuthorizationFailed", "message": LINKED}])
    assert isinstance(linked, error_mapping.NotAllowed) and f"may not {linked.action} on {SUBNET}" in str(linked)


def test_a_policy_in_a_deployments_own_words_is_one_sentence():
    from harness.azure.client.arm_error_details import innermost_errors

    said = innermost_errors({"error": {"code": "RequestDisallowedByPolicy", "message": POLICY}})
    assert said == (
        "RequestDisallowedByPolicy: Resource 'lk-test' was disallowed by policy. Reasons: 'A cost center is mandatory.'. "
        "(policy: Require a tag, deny-untagged)"
    )


def test_power_that_is_refused_while_a_run_command_runs_is_told_and_may_pass():
    said = refusal(
        409, "Conflict", "Run command extension execution is in progress. Please wait for completion before invoking a run command."
    )
    assert isinstance(said, error_mapping.Busy) and "something else is in progress there (Conflict)" in str(said)
    assert "run-command may take 90 minutes" in str(said) and _may_pass(said) and may_pass(said)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "NoRegisteredProviderFound"), (400, "InvalidApiVersionParameter"), (404, "InvalidResourceType")]
)
def test_an_azure_that_is_too_old_is_no_wrong_name(status: int, code: str):
    words = (
        "No registered resource provider found for location 'local' and API version '2024-05-01'. The supported versions are '2018-11-01'."
    )
    said = refusal(status, code, words)
    assert not isinstance(said, error_mapping.NotThere) and "see the names" not in str(said)
    assert "Azure Stack Hub is not supported" in str(said) and "2018-11-01" in str(said)
