"""What a refused log-in is advised: the role that holds what it lacks, and which log-ins were tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from arm_server import ArmServer
from test_azure_read import failure, refused

from harness.azure.client import error_mapping, roles

DOCS = Path(__file__).parents[2] / "docs"


def held(file: str) -> list[str]:
    return json.loads((DOCS.parent / file).read_text())["Actions"]


def test_what_is_known_of_the_roles_is_what_they_hold() -> None:
    assert sorted(roles.READS) == sorted(held(roles.READ_ROLE))
    assert sorted(roles.READS | roles.DISTURBS) == sorted(held(roles.DISTURB_ROLE)) and not roles.READS & roles.DISTURBS


@pytest.mark.parametrize(
    ("action", "advice"),
    [
        ("Microsoft.Network/loadBalancers/read", roles.READ_ROLE),
        ("microsoft.network/LOADBALANCERS/read", roles.READ_ROLE),
        ("Microsoft.Compute/virtualMachines/powerOff/action", roles.DISTURB_ROLE),
        ("Microsoft.Resources/tags/write", roles.DISTURB_ROLE),
        ("Microsoft.Resources/deployments/write", roles.SECTION),
        (None, roles.SECTION),
    ],
)
def test_a_refusal_names_the_role_that_holds_the_action(action: str | None, advice: str, server: ArmServer) -> None:
    what = f"perform action '{action}' over scope '/subscriptions/s'" if action else "do this"
    server.spoiled["/loadBalancers"] = refused(403, "AuthorizationFailed", f"The client 'x' does not have authorization to {what}.")
    error = failure(server)
    assert isinstance(error, error_mapping.NotAllowed) and str(error).endswith(advice)


def test_the_section_is_there() -> None:
    assert "\n## Roles\n" in (DOCS / "azure.md").read_text() and "docs/azure.md" in roles.SECTION


def test_a_failed_default_log_in_says_what_was_tried() -> None:
    core = pytest.importorskip("azure.core.exceptions", reason="the Azure packages are not installed")
    said = (
        "DefaultAzureCredential failed to retrieve a token from the included credentials.\nAttempted credentials:\n"
        "\tEnvironmentCredential: EnvironmentCredential authentication unavailable. Environment variables are not fully configured.\n"
        "\tAzureCliCredential: Please run 'az login' to set up an account\nTo mitigate this issue, please refer to the guidelines."
    )
    error = error_mapping.to_harness_error(core.ClientAuthenticationError(message=said), "reading the load balancer ilb")
    assert "tried: Environment, AzureCli" in str(error) and "\n" not in str(error) and "az login" in str(error)
