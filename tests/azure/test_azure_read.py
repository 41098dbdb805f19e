"""Reading through the real packages over real HTTPS: everything is read, and each failure is one sentence that says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import azure_payloads
import pytest
from arm_server import ArmServer

from harness.azure.client import error_mapping, sdk_clients
from harness.azure.client.sdk_clients import Call
from harness.azure.inventory import resource_reader
from harness.azure.inventory.resource_model import AzureResources
from harness.azure.lint.lint_load_balancer import judge
from harness.config import azure_config, cluster_config
from harness.core.errors import BadUse, DeadlineExceeded, HarnessError, Unusable

ROLES = Path(__file__).parents[2] / "docs" / "azure"
HOSTS = {h: h for h in azure_payloads.HOSTS}


def looked(server: ArmServer, heard: list[Call] | None = None, limit_s: float = 30.0, **over: Any) -> AzureResources:
    there = sdk_clients.make_clients(cluster_config.Azure(**server.table(**over)), heard.append if heard is not None else None)
    try:
        return resource_reader.look(there, HOSTS, azure_payloads.cluster().vip, limit_s)
    finally:
        there.close()


def test_everything_is_read_as_it_is_on_the_wire(server: ArmServer) -> None:
    seen = looked(server)
    wanted = server.wire.seen()
    assert seen == wanted and seen.read_errors == ()
    assert judge(azure_payloads.cluster(), seen) == []


def test_a_spoiled_payload_is_found_through_the_packages(server: ArmServer) -> None:
    server.wire.balancer["sku"] = {"name": "Basic"}
    server.wire.pool["loadBalancerBackendAddresses"][0]["properties"]["adminState"] = "Down"
    server.wire.probe["noHealthyBackendsBehavior"] = "AllProbedUp"
    assert {f.facts[0] for f in judge(azure_payloads.cluster(), looked(server))} == {"ILB-26", "FLOW-11", "FLOW-08"}


def test_every_request_is_heard_with_its_id(server: ArmServer) -> None:
    heard: list[Call] = []
    looked(server, heard)
    asked = [r for r in server.requests if "/oauth2/" not in r and ".well-known" not in r]
    assert sorted(f"{c.method} {c.path}" for c in heard) == sorted(asked)
    started = [c for c in heard if c.operation]
    assert started and all(c.request_id == "r-1" and "operation" in str(c) for c in started if c.method == "POST")


def failure(server: ArmServer, **over: Any) -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        looked(server, **over)
    said = str(caught.value)
    assert "\n" not in said and "Traceback" not in said and len(said) < 700
    return caught.value


def refused(status: int, code: str, message: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    return status, headers, {"error": {"code": code, "message": message}}


def test_a_missing_permission_is_named(server: ArmServer) -> None:
    says = (
        "The client 'x' with object id 'y' does not have authorization to perform action 'Microsoft.Network/loadBalancers/read' "
        "over scope '/subscriptions/s/resourceGroups/customer' or the scope is invalid."
    )
    server.spoiled["/loadBalancers"] = refused(403, "AuthorizationFailed", says)
    error = failure(server)
    assert isinstance(error, error_mapping.NotAllowed) and error.action == "Microsoft.Network/loadBalancers/read"
    assert "docs/azure/role-read.json" in str(error) and "resourceGroups/customer" in str(error)


def test_what_may_not_be_read_is_left_out_and_said(server: ArmServer) -> None:
    """A permission that only a part needs takes that part away, and not the rest."""
    says = "does not have authorization to perform action 'Microsoft.Network/networkInterfaces/effectiveRouteTable/action' over scope '/x'"
    server.spoiled["effectiveRouteTable"] = refused(403, "AuthorizationFailed", says)
    seen = looked(server)
    assert not seen.routes and seen.filters and len(seen.read_errors) == 5
    assert all("effectiveRouteTable/action on /x" in sentence for sentence in seen.read_errors)


def test_an_unknown_group_is_bad_use(server: ArmServer) -> None:
    server.spoiled["/loadBalancers"] = refused(404, "ResourceGroupNotFound", "Resource group 'customer' could not be found.")
    error = failure(server)
    assert isinstance(error, BadUse) and "ResourceGroupNotFound" in str(error)


def test_an_unknown_machine_is_said_and_the_rest_is_read(server: ArmServer) -> None:
    del server.wire.machines["lknode02"]
    seen = looked(server)
    assert set(seen.machines) == {"lkclient", "lknode01"}
    [said] = seen.read_errors
    assert "virtual machine lknode02" in said and "ResourceNotFound" in said


def test_a_refused_login_is_said(server: ArmServer) -> None:
    says = "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"
    server.spoiled["/oauth2/v2.0/token"] = (401, {}, {"error": "invalid_client", "error_description": says})
    error = failure(server)
    assert isinstance(error, error_mapping.NotLoggedIn) and "AADSTS7000215" in str(error)


def test_a_token_that_azure_does_not_take_is_said(server: ArmServer) -> None:
    server.spoiled["/loadBalancers"] = refused(401, "InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer.")
    error = failure(server)
    assert isinstance(error, error_mapping.NotLoggedIn) and "InvalidAuthenticationTokenTenant" in str(error)


def test_minutes_of_silence_are_not_waited_out_in_secret(server: ArmServer) -> None:
    server.spoiled["/loadBalancers"] = refused(429, "TooManyRequests", "slow down", **{"Retry-After": "600"})
    error = failure(server)
    assert isinstance(error, error_mapping.Throttled) and "600 s" in str(error)
    assert sum("/loadBalancers" in r for r in server.requests) == 1


def test_a_moment_of_throttling_is_waited_out(server: ArmServer) -> None:
    """Once: the second answer is Azure's own."""
    heard: list[Call] = []
    answered, own = [], server.answer

    def once(method: str, path: str) -> Any:
        if "/loadBalancers" in path and not answered:
            answered.append(path)
            return refused(429, "TooManyRequests", "slow down", **{"Retry-After": "1"})
        return own(method, path)

    server.answer = once  # type: ignore[method-assign]
    assert looked(server, heard).read_errors == ()
    assert [c.status for c in heard if c.path.endswith("/loadBalancers")] == [429, 200]


def test_a_failing_azure_is_said(server: ArmServer) -> None:
    server.spoiled["/loadBalancers"] = refused(503, "ServiceUnavailable", "try later")
    error = failure(server)
    assert isinstance(error, error_mapping.Unanswered) and "503" in str(error)


def test_a_certificate_nobody_signed_is_said(server: ArmServer, tmp_path: Path) -> None:
    import trustme

    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    assert "ca_file" in str(failure(server, ca_file=other))


def test_nobody_there_is_said(server: ArmServer) -> None:
    error = failure(server, resource_manager="https://127.0.0.1:9")
    assert isinstance(error, Unusable) and "resource_manager" in str(error)


@pytest.mark.parametrize("body", [b"<html>a proxy's own page</html>", {"value": "no list"}, {"value": [{"properties": 3}]}])
def test_what_is_not_azures_answer_is_said(server: ArmServer, body: Any) -> None:
    server.spoiled["/loadBalancers"] = (200, {}, body)
    assert "cannot be read" in str(failure(server))


def test_an_operation_without_end_is_given_up(server: ArmServer) -> None:
    server.never_ends = True
    seen = looked(server, limit_s=2.0)
    assert not seen.filters and any("longer than" in s or "within 2 s" in s for s in seen.read_errors)


def test_several_load_balancers_need_a_name(server: ArmServer) -> None:
    other = json.loads(json.dumps(azure_payloads.balancer()).replace("/ilb", "/other")) | {"name": "other"}
    server.spoiled["GET " + azure_payloads.IN_GROUP + "/Microsoft.Network/loadBalancers"] = (
        200,
        {},
        {"value": [server.wire.balancer, other]},
    )
    assert "name one with load_balancer" in str(failure(server))


def test_files_that_are_not_there(server: ArmServer, tmp_path: Path) -> None:
    assert "there is no file" in str(failure(server, ca_file=tmp_path / "nothing"))
    assert "client_secret_file in [azure]" in str(failure(server, client_secret_file=tmp_path / "nothing"))
    assert "NOT_SET is empty" in str(failure(server, client_secret_file=None, client_secret_variable="NOT_SET"))


@pytest.mark.parametrize("kind", ["default", "environment"])
def test_a_login_from_the_environment(server: ArmServer, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server stands in for Azure itself here: nobody else gets a token of this machine's own log-in."""
    table = server.table()
    for ends in ("OWN_LOGINS", "OWN_MANAGERS"):
        monkeypatch.setattr(azure_config, ends, {server.url.removeprefix("https://")})
    for name, key in (("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "client_id")):
        monkeypatch.setenv(name, table[key])
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "shh")
    assert looked(server, credential=kind, tenant=None, client_id=None, client_secret_file=None).read_errors == ()


def test_no_login_at_all_says_what_was_tried(server: ArmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    for ends in ("OWN_LOGINS", "OWN_MANAGERS"):
        monkeypatch.setattr(azure_config, ends, {server.url.removeprefix("https://")})
    error = failure(server, credential="environment", tenant=None, client_id=None, client_secret_file=None)
    assert isinstance(error, error_mapping.NotLoggedIn) and "az login" in str(error)


def test_the_clouds_have_ends_of_their_own() -> None:
    two = {"subscription": "s", "resource_group": "g"}
    ends = {c: sdk_clients.make_clients(cluster_config.Azure(**two, cloud=c)).endpoint for c in ("public", "china", "government")}  # type: ignore[arg-type]
    assert ends["public"] == ("https://management.azure.com", "https://management.azure.com/.default")
    assert ends["china"][0] == "https://management.chinacloudapi.cn" and "usgovcloudapi" in ends["government"][0]


# What each request needs of a role: its method, a part of its path, the action.
NEEDS = (
    ("POST", "/health", "Microsoft.Network/loadBalancers/loadBalancingRules/health/action"),
    ("POST", "/effectiveNetworkSecurityGroups", "Microsoft.Network/networkInterfaces/effectiveNetworkSecurityGroups/action"),
    ("POST", "/effectiveRouteTable", "Microsoft.Network/networkInterfaces/effectiveRouteTable/action"),
    ("GET", "/backendAddressPools/", "Microsoft.Network/loadBalancers/backendAddressPools/read"),
    ("GET", "/loadBalancers", "Microsoft.Network/loadBalancers/read"),
    ("GET", "/networkInterfaces", "Microsoft.Network/networkInterfaces/read"),
    ("GET", "/subnets/", "Microsoft.Network/virtualNetworks/subnets/read"),
    ("GET", "/virtualMachines", "Microsoft.Compute/virtualMachines/read"),
    ("GET", "/results/", "Microsoft.Network/locations/operationResults/read"),
)


def test_the_reading_role_is_the_smallest(server: ArmServer) -> None:
    """Every request has its action in the role, and every action of the role is used."""
    heard: list[Call] = []
    there = sdk_clients.make_clients(cluster_config.Azure(**server.table()), heard.append)
    resource_reader.look(there, HOSTS)
    resource_reader.group(there)
    there.network.load_balancer_load_balancing_rules.begin_health(azure_payloads.GROUP, "ilb", "rule-1521").result(5)
    there.close()
    needed = {next(action for m, part, action in NEEDS if m == c.method and part in c.path) for c in heard}
    role = json.loads((ROLES / "role-read.json").read_text())
    # Where the operation's URL lies is Azure's choice; both kinds of it belong to waiting for an answer.
    needed.add("Microsoft.Network/locations/operations/read")
    needed.add("Microsoft.Compute/virtualMachines/instanceView/read")  # asked for by $expand
    assert set(role["Actions"]) == needed and role["IsCustom"] is True and not role["NotActions"] and not role["DataActions"]


def test_who_may_disturb_may_read() -> None:
    """Whoever has the second role needs not the first as well; and it can do nothing else that is named here."""
    reads, disturbs = (json.loads((ROLES / f"role-{which}.json").read_text()) for which in ("read", "disturb"))
    assert set(reads["Actions"]) < set(disturbs["Actions"]) and len(disturbs["Actions"]) == len(set(disturbs["Actions"]))
    assert not any("*" in action or action.endswith(("virtualMachines/write", "virtualMachines/delete")) for action in disturbs["Actions"])
    assert len(disturbs["Name"]) <= 512 and len(disturbs["Description"]) <= 1024


def test_a_deadline_is_an_error_of_its_own() -> None:
    from harness.azure.client.concurrent_requests import run_concurrently
    from harness.core.deadline import Deadline

    results = run_concurrently(Deadline(0.0), {"x": lambda: 1})
    assert isinstance(results["x"], DeadlineExceeded)
