"""What clients other than ours ask of the stand-in, each as Microsoft's specification has it: nothing is taken that is not done."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from harness.lab.azure.resources import nics, resource_groups
from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.http_types import Problem
from harness.lab.azure.state.oauth_tokens import Tokens

NIC_CHANGES: dict[str, Any] = {
    "no security group": lambda p: p.pop("networkSecurityGroup"),
    "another security group": lambda p: p["networkSecurityGroup"].update(id="/subscriptions/x/nsg"),
    "accelerated networking": lambda p: p.update(enableAcceleratedNetworking=True),
    "DNS servers": lambda p: p.update(dnsSettings={"dnsServers": ["10.0.0.4"]}),
    "dynamic": lambda p: p["ipConfigurations"][0]["properties"].update(privateIPAllocationMethod="Dynamic"),
    "no allocation": lambda p: p["ipConfigurations"][0]["properties"].pop("privateIPAllocationMethod"),
    "another subnet": lambda p: p["ipConfigurations"][0]["properties"]["subnet"].update(id="/other"),
}
BALANCER_CHANGES: dict[str, Any] = {
    "no probe": lambda b: b["properties"]["loadBalancingRules"][0]["properties"].pop("probe"),
    "no floating IP told": lambda b: b["properties"]["loadBalancingRules"][0]["properties"].update(enableFloatingIP=True),
    "idle timeout left out": lambda b: b["properties"]["loadBalancingRules"][0]["properties"].pop("idleTimeoutInMinutes"),
    "Basic": lambda b: b["sku"].update(name="Basic"),
    "no SKU": lambda b: b.pop("sku"),
    "other zones": lambda b: b["properties"]["frontendIPConfigurations"][0].update(zones=["1"]),
}


@pytest.mark.parametrize("what", NIC_CHANGES)
def test_a_nics_change_that_is_not_made_is_refused(lab, what) -> None:
    body = lab.network.network_interfaces.get(lab.group, "lknode01-nic1").as_dict()
    NIC_CHANGES[what](body["properties"])
    with pytest.raises(HttpResponseError, match="LabCannot"):
        lab.network.network_interfaces.begin_create_or_update(lab.group, "lknode01-nic1", body)


@pytest.mark.parametrize("what", BALANCER_CHANGES)
def test_a_balancers_change_that_is_not_made_is_refused(lab, what) -> None:
    body = lab.network.load_balancers.get(lab.group, "ilb").as_dict()
    lab.network.load_balancers.begin_create_or_update(lab.group, "ilb", body).result(30)  # as it is
    BALANCER_CHANGES[what](body)
    with pytest.raises(HttpResponseError, match="LabCannot"):
        lab.network.load_balancers.begin_create_or_update(lab.group, "ilb", body)


def asked(lab, method: str, path: str, token: str = "") -> tuple[int, Any]:
    import ssl

    tls = ssl.create_default_context(cafile=str(lab.azure.ca_file))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{lab.azure.resource_manager}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60, context=tls) as answer:
            said = answer.read()
            return answer.status, json.loads(said) if said else None
    except urllib.error.HTTPError as error:
        said = error.read()
        return error.code, json.loads(said) if said else None


def test_what_clients_ask_before_and_besides(lab) -> None:
    assert asked(lab, "GET", "/metadata/endpoints?api-version=2015-01-01")[1]["authentication"]["audiences"]
    assert asked(lab, "GET", "/metadata/endpoints?api-version=2022-09-01")[1][0]["authentication"]["loginEndpoint"]
    keys = asked(lab, "GET", f"/{lab.azure.tenant}/v2.0/.well-known/openid-configuration")[1]["jwks_uri"]
    assert asked(lab, "GET", keys.removeprefix(lab.azure.resource_manager))[1] == {"keys": []}
    token = lab.credential().get_token("https://management.core.windows.net/.default").token
    token = lab.credential().get_token(f"{lab.azure.resource_manager}/.default").token or token
    group = f"/subscriptions/{lab.azure.subscription}/resourceGroups/{lab.group}"
    assert asked(lab, "HEAD", f"{group}?API-Version=2021-04-01", token) == (204, None)
    assert asked(lab, "HEAD", f"{group}x?api-version=2021-04-01", token) == (404, None)
    assert asked(lab, "GET", f"{group}?api-version=newest", token)[1]["error"]["code"] == "InvalidApiVersionParameter"
    assert lab.hand.requests("HEAD", f"/{lab.group}$")[-1]["status"] in (200, 204)
    bad = {"properties": {"access": "Deny", "priority": 100, "direction": "Inbound", "protocol": "*"}}
    with pytest.raises(HttpResponseError, match="InvalidResourceName"):
        lab.network.security_rules.begin_create_or_update(lab.group, "lknode01-nic1-nsg", "bad+name", bad)


def test_a_power_operation_ends_with_200(lab) -> None:
    seen: list[int] = []
    client = lab.new_client("compute", raw_response_hook=lambda answer: seen.append(answer.http_response.status_code))
    client.virtual_machines.begin_start(lab.group, "lknode01").result(60)
    assert seen[0] == 202 and seen[-1] == 200


# Without a lab


def test_a_revoked_token_is_challenged_each_time() -> None:
    tokens = Tokens("secret")
    token = tokens._new()["access_token"]
    request: Any = SimpleNamespace(headers={"authorization": f"Bearer {token}"}, base="https://lab")
    tokens.check(request)
    tokens.revoke_all()
    for _ in range(3):
        with pytest.raises(Problem) as problem:
            tokens.check(request)
        assert "insufficient_claims" in problem.value.headers["WWW-Authenticate"]


def test_a_token_is_refused_with_what_clients_read() -> None:
    said = Tokens("secret").hand_out(b"grant_type=password").body
    assert said["error_codes"] == [70003] and said["timestamp"] and said["trace_id"]


def test_tags_names_are_without_case() -> None:
    rows = [{"type": "a", "tags": {"Owner": "me"}}, {"type": "b"}]
    request: Any = SimpleNamespace(query={"$filter": "tagName eq 'OWNER' and tagValue eq 'me'"})
    assert resource_groups._filtered(request, rows) == rows[:1]


@pytest.mark.parametrize("body", [["a"], "a", None, {"properties": None}, {"properties": {"tags": []}}])
def test_a_body_that_is_no_tags_is_a_refusal(body) -> None:
    with pytest.raises(Problem) as problem:
        resource_groups._given(SimpleNamespace(body=body))  # type: ignore[arg-type]
    assert problem.value.status == 400


def test_what_a_put_leaves_out_is_what_azure_takes() -> None:
    assert nics._as_put({}, nics.OF_CONFIGURATIONS)["privateIPAllocationMethod"] == "Dynamic"
    assert resource_ids.AUDIENCE.startswith("https://")
