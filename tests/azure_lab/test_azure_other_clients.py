"""What clients other than ours ask of the stand-in, each as Microsoft's specification has it: nothing is taken that is not done."""

from __future__ import annotations

import email.message
import http.client
import io
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from harness.lab.azure import url_routing
from harness.lab.azure.resources import nics, resource_filter, resource_groups
from harness.lab.azure.state import request_body, resource_ids
from harness.lab.azure.state.http_types import Problem, Request
from harness.lab.azure.state.long_running_operations import PACE, Operation, Operations
from harness.lab.azure.state.oauth_tokens import Tokens

NICS = "Microsoft.Network/networkInterfaces"
NIC_CHANGES: dict[str, Any] = {
    "no security group": lambda p: p.pop("networkSecurityGroup"),
    "another security group": lambda p: p["networkSecurityGroup"].update(id="/subscriptions/x/nsg"),
    "accelerated networking": lambda p: p.update(enableAcceleratedNetworking=True),
    "DNS servers": lambda p: p.update(dnsSettings={"dnsServers": ["10.0.0.4"]}),
    "dynamic": lambda p: p["ipConfigurations"][0]["properties"].update(privateIPAllocationMethod="Dynamic"),
    "no allocation": lambda p: p["ipConfigurations"][0]["properties"].pop("privateIPAllocationMethod"),
    "a public address": lambda p: p["ipConfigurations"][0]["properties"].update(publicIPAddress={"id": "/p"}),
    "a group of applications": lambda p: p["ipConfigurations"][0]["properties"].update(applicationSecurityGroups=[{"id": "/a"}]),
    "an auxiliary mode": lambda p: p.update(auxiliaryMode="MaxConnections"),
    "another subnet": lambda p: p["ipConfigurations"][0]["properties"]["subnet"].update(id="/other"),
}
BALANCER_CHANGES: dict[str, Any] = {
    "no probe": lambda b: b["properties"]["loadBalancingRules"][0]["properties"].pop("probe"),
    "no floating IP told": lambda b: b["properties"]["loadBalancingRules"][0]["properties"].update(enableFloatingIP=True),
    "idle timeout left out": lambda b: b["properties"]["loadBalancingRules"][0]["properties"].pop("idleTimeoutInMinutes"),
    "Basic": lambda b: b["sku"].update(name="Basic"),
    "no SKU": lambda b: b.pop("sku"),
    "a NAT rule": lambda b: b["properties"].update(inboundNatRules=[{"name": "n", "properties": {"frontendPort": 99}}]),
    "an outbound rule": lambda b: b["properties"].update(outboundRules=[{"name": "o", "properties": {"protocol": "All"}}]),
    "a global tier": lambda b: b["sku"].update(tier="Global"),
    "a drain period": lambda b: b["properties"]["backendAddressPools"][0]["properties"].update(drainPeriodInSeconds=60),
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


def test_a_pools_change_that_is_not_made_is_refused(lab) -> None:
    pools = lab.network.load_balancer_backend_address_pools
    body = pools.get(lab.group, "ilb", "pool").as_dict()
    body["properties"]["drainPeriodInSeconds"] = 60
    with pytest.raises(HttpResponseError, match="LabCannot"):
        pools.begin_create_or_update(lab.group, "ilb", "pool", body)


@pytest.mark.parametrize("place", ["lknode01-nic1", "ilb"])
def test_what_a_put_leaves_out_is_taken_away_and_no_resource_moves(lab, place) -> None:
    """PUT replaces: the tags with the rest."""
    operations = lab.network.load_balancers if place == "ilb" else lab.network.network_interfaces
    put = lambda body: operations.begin_create_or_update(lab.group, place, body).result(30)  # noqa: E731
    body = operations.get(lab.group, place).as_dict()
    assert put({**body, "tags": {"owner": "me"}, "location": "West Europe"}).tags == {"owner": "me"}
    assert not put({key: value for key, value in body.items() if key != "tags"}).tags
    for wrong, code in (({"tags": {"a": 1}}, "InvalidTagNameOrValue"), ({"location": "northeurope"}, "InvalidResourceLocation")):
        with pytest.raises(HttpResponseError, match=code):
            put({**body, **wrong})


MALFORMED = [
    ("networkInterfaces/lknode01-nic1", {"properties": ["x"]}),
    ("networkInterfaces/lknode01-nic1", {"properties": {"ipConfigurations": ["x"]}}),
    ("loadBalancers/ilb", {"sku": "Standard"}),
    ("loadBalancers/ilb/backendAddressPools/pool", ["a"]),
    ("loadBalancers/ilb/backendAddressPools/pool", {"properties": {"loadBalancerBackendAddresses": [5]}}),
    ("networkSecurityGroups/lknode01-nic1-nsg/securityRules/r", {"properties": {"sourceAddressPrefix": 5}}),
    ("networkSecurityGroups/lknode01-nic1-nsg/securityRules/r", {"properties": {"destinationPortRanges": "80"}}),
]


@pytest.mark.parametrize(("path", "body"), MALFORMED)
def test_a_body_of_another_form_is_the_callers_fault(lab, path: str, body: Any) -> None:
    token = lab.credential().get_token(f"{lab.azure.resource_manager}/.default").token
    group = f"/subscriptions/{lab.azure.subscription}/resourceGroups/{lab.group}/providers/Microsoft.Network"
    status, said = asked(lab, "PUT", f"{group}/{path}?api-version=2024-05-01", token, body)
    assert (status, said["error"]["code"]) == (400, "InvalidRequestContent")


def asked(lab, method: str, path: str, token: str = "", body: Any = None) -> tuple[int, Any]:
    tls = ssl.create_default_context(cafile=str(lab.azure.ca_file))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{lab.azure.resource_manager}{path}", method=method, headers=headers, data=data)
    try:
        with urllib.request.urlopen(request, timeout=60, context=tls) as answer:
            said = answer.read()
            return answer.status, json.loads(said) if said else None
    except urllib.error.HTTPError as error:
        said = error.read()
        return error.code, json.loads(said) if said else None


def test_what_clients_ask_before_and_besides(lab) -> None:
    assert asked(lab, "GET", "/metadata/endpoints?api-version=2015-01-01")[1]["authentication"]["audiences"]
    assert asked(lab, "GET", "/metadata/endpoints?api-version=2022-09-01")[1]["authentication"]["loginEndpoint"]
    assert asked(lab, "GET", "/metadata/endpoints?api-version=2019-05-01")[1][0]["authentication"]["loginEndpoint"]
    keys = asked(lab, "GET", f"/{lab.azure.tenant}/v2.0/.well-known/openid-configuration")[1]["jwks_uri"]
    assert asked(lab, "GET", keys.removeprefix(lab.azure.resource_manager))[1] == {"keys": []}
    token = lab.credential().get_token("https://management.core.windows.net/.default").token
    token = lab.credential().get_token(f"{lab.azure.resource_manager}/.default").token or token
    group = f"/subscriptions/{lab.azure.subscription}/resourceGroups/{lab.group}"
    assert asked(lab, "HEAD", f"{group}?API-Version=2021-04-01", token) == (204, None)
    assert asked(lab, "HEAD", f"{group}x?api-version=2021-04-01", token) == (404, None)
    assert asked(lab, "GET", f"{group}?api-version=newest", token)[1]["error"]["code"] == "InvalidApiVersionParameter"
    for version in ("9999-99-99", "9999-01-01", "1999-01-01"):
        assert asked(lab, "GET", f"{group}?api-version={version}", token)[1]["error"]["code"] == "InvalidApiVersionParameter"
    assert lab.hand.requests("HEAD", f"/{lab.group}$")[-1]["status"] in (200, 204)
    rows = {
        "": f"{group}/resources?$filter=resourceGroup eq '{lab.group}' and resourceType eq '{NICS}'&$top=2",
        "empty": f"{group}/providers/Microsoft.Compute/disks?",
        "endpoints": f"{group}/providers/Microsoft.Network/privateEndpoints?",
        "configurations": f"{group}/providers/{NICS}/lknode01-nic1/ipConfigurations?",
        "members": f"{group}/providers/Microsoft.Network/loadBalancers/ilb/networkInterfaces?",
        "providers": f"/subscriptions/{lab.azure.subscription}/providers?",
    }
    said = {
        what: asked(lab, "GET", f"{urllib.parse.quote(path, safe='/?&=$')}&api-version=2024-05-01", token)[1]["value"]
        for what, path in rows.items()
    }
    assert {what: len(found) for what, found in said.items()} == {
        "": 2,
        "empty": 0,
        "endpoints": 0,
        "configurations": 1,
        "members": 2,
        "providers": 3,
    }
    assert (
        asked(lab, "POST", "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01", token)[1]["error"]["code"] == "LabCannot"
    )
    bad = {"properties": {"access": "Deny", "priority": 100, "direction": "Inbound", "protocol": "*"}}
    with pytest.raises(HttpResponseError, match="InvalidResourceName"):
        lab.network.security_rules.begin_create_or_update(lab.group, "lknode01-nic1-nsg", "bad+name", bad)


@pytest.mark.parametrize(
    ("address", "available", "reserved", "offered"),
    [
        ("10.20.1.77", True, False, []),
        ("10.20.1.11", False, False, ["10.20.1.4", "10.20.1.5", "10.20.1.6", "10.20.1.7", "10.20.1.8"]),
        ("10.20.1.200", False, False, None),
        ("10.20.2.3", False, True, None),
        ("10.20.2.255", False, True, None),
        ("192.0.2.1", False, None, []),
    ],
)
def test_whether_an_address_is_free(lab, address, available, reserved, offered) -> None:
    """A node's, the frontend's and what Azure keeps of a subnet are not; another of the same subnet is offered."""
    said = lab.network.virtual_networks.check_ip_address_availability(lab.group, "vnet", ip_address=address)
    free = said.available_ip_addresses or []
    assert (said.available, said.is_platform_reserved) == (available, reserved)
    assert free == offered if offered is not None else len(free) == 5 and address not in free


def test_what_is_no_address_is_refused(lab) -> None:
    with pytest.raises(HttpResponseError, match="InvalidIPAddressFormat"):
        lab.network.virtual_networks.check_ip_address_availability(lab.group, "vnet", ip_address="here")


def test_timers_are_whole_numbers_on_the_wire(lab) -> None:
    """int32 in the specification: `az network lb` dies of a fraction. A fast lab's true ones are in its cluster file."""
    group = f"/subscriptions/{lab.azure.subscription}/resourceGroups/{lab.group}"
    token = lab.credential().get_token(f"{lab.azure.resource_manager}/.default").token
    said = asked(lab, "GET", f"{group}/providers/Microsoft.Network/loadBalancers/ilb?api-version=2024-05-01", token)[1]["properties"]
    found = [rule["properties"]["idleTimeoutInMinutes"] for rule in said["loadBalancingRules"]]
    found += [said["probes"][0]["properties"][key] for key in ("intervalInSeconds", "probeThreshold", "numberOfProbes", "port")]
    assert all(type(number) is int and number >= 1 for number in found)
    assert lab.cluster.load_balancer.probe.interval_s < 1 and lab.cluster.load_balancer.idle_timeout_s < 60


@pytest.mark.parametrize("profile", PACE)
def test_when_to_ask_again_is_said_in_seconds_that_every_client_takes(profile) -> None:
    """0 reads as "none was said": Microsoft's own clients then wait their 30 s."""
    operations = Operations(*PACE[profile])
    running, request = Operation("Microsoft.Compute", "lknode01", "start"), Request("POST", "/", {}, {}, None, "https://127.0.0.1:1")
    answers = [operations.accepted_answer(running, request), operations.put(running, request, {}, new=True)]
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)


def test_a_power_operation_ends_with_200(lab) -> None:
    seen: list[int] = []
    client = lab.new_client("compute", raw_response_hook=lambda answer: seen.append(answer.http_response.status_code))
    client.virtual_machines.begin_start(lab.group, "lknode01").result(60)
    assert seen[0] == 202 and seen[-1] == 200


# Without a lab


@pytest.mark.parametrize(("length", "taken"), [("3", b"abc"), (None, b""), ("-1", None), ("x", None), ("99", None), ("²", None)])
def test_a_body_is_read_to_its_length_or_not_at_all(length: str | None, taken: bytes | None) -> None:
    """What is cut would leave its rest to be taken for the next request."""
    headers = email.message.Message()
    if length is not None:
        headers["Content-Length"] = length
    if taken is None:
        with pytest.raises(ValueError):
            request_body.read(headers, io.BytesIO(b"abcdef"), 10)
    else:
        assert request_body.read(headers, io.BytesIO(b"abcdef"), 10) == taken


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
    assert resource_groups._apply_filter(request, rows) == rows[:1]


ROW = {"name": "vm-1", "type": "Microsoft.Compute/virtualMachines", "location": "westeurope", "id": "/subscriptions/S/resourceGroups/lk/x"}


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ("resourceGroup eq 'LK'", True),
        ("resourceGroup eq 'other'", False),
        ("name eq 'vm-1' and location eq 'WestEurope'", True),
        ("name ne 'vm-1' or resourceType eq 'microsoft.compute/virtualmachines'", True),
        ("name eq 'x' or name eq 'y' and location eq 'westeurope'", False),
        ("name eq 'vm-1' or name eq 'y' and location eq 'elsewhere'", True),  # and binds closer
        ("(name eq 'vm-1' or name eq 'y') and location eq 'elsewhere'", False),
        ("substringof('M-', name)", True),
        ("tagName eq 'OWNER' and tagValue eq 'it''s me'", True),
        ("tagName eq 'owner' and tagValue ne 'it''s me'", False),
        ("tagName eq 'and'", False),
    ],
)
def test_a_filter_lets_through_what_it_says(asked: str, holds: bool) -> None:
    assert resource_filter.matches_filter(asked, {**ROW, "tags": {"owner": "it's me"}}) is holds


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("plan/name eq 'x'", "LabCannot"),
        ("name gt 'a'", "LabCannot"),
        ("name eq 'a' name eq 'b'", "LabCannot"),
        ("name eq", "InvalidFilterInQueryString"),
        ("name eq 'a' and", "InvalidFilterInQueryString"),
        ("name eq 'a", "InvalidFilterInQueryString"),
        ("(" * 9999, "InvalidFilterInQueryString"),
        ("(name eq 'a'", "InvalidFilterInQueryString"),
    ],
)
def test_a_filter_that_is_not_known_is_refused_and_never_passed_over(asked: str, code: str) -> None:
    with pytest.raises(Problem) as problem:
        resource_filter.matches_filter(asked, ROW)
    assert problem.value.code == code


def test_a_list_is_no_longer_than_was_asked_for() -> None:
    rows = [{"type": "a"}, {"type": "b"}, {"type": "c"}]
    two, none = (Request("GET", "/", {"$top": top}, {}, None, "") for top in ("2", "0"))
    assert resource_groups._apply_filter(two, rows) == rows[:2]
    with pytest.raises(Problem, match=r"\$top"):
        resource_groups._apply_filter(none, rows)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/resources?$top=1&$expand=createdTime,changedTime,provisioningState", 200),
        ("/resources?$expand=owner", 400),
        ("/providers/Microsoft.Compute/virtualMachines?$expand=instanceView", 200),
        ("/providers/Microsoft.Compute/virtualMachines?$filter='x' eq 1", 400),
        ("/providers/Microsoft.Compute/virtualMachines/lknode01?$expand=userData", 400),
        ("/providers/Microsoft.Network/loadBalancers?$top=1", 400),
    ],
)
def test_nothing_that_was_asked_for_is_passed_over(lab, path: str, status: int) -> None:
    token = lab.credential().get_token(f"{lab.azure.resource_manager}/.default").token
    group = f"/subscriptions/{lab.azure.subscription}/resourceGroups/{lab.group}"
    got, said = asked(lab, "GET", f"{group}{urllib.parse.quote(path, safe='/?$=&,')}&api-version=2024-07-01", token)
    assert got == status
    if "createdTime" in path:
        assert said["value"][0]["createdTime"] <= datetime.now(UTC).isoformat() and said["value"][0]["provisioningState"] == "Succeeded"


def chunks(*parts: bytes) -> bytes:
    """A body in chunks, with an extension and a trailer, which mean nothing."""
    return b"".join(b"%x;x=y\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nLast: one\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (chunks(b'{"op', b'eration":"Merge","properties":{"tags"', b':{"k":"long"}}', b"}"), 200),
        (b"zz\r\n", 400),
        (b"7fffffffff\r\nx", 400),
        (b"-4\r\n", 400),
    ],
)
def test_a_body_in_chunks_is_read(lab, body: bytes, status: int) -> None:
    token = lab.credential().get_token(f"{lab.azure.resource_manager}/.default").token
    group = f"/subscriptions/{lab.azure.subscription}/resourceGroups/{lab.group}"
    tags = f"{group}/providers/Microsoft.Compute/virtualMachines/lknode01/providers/Microsoft.Resources/tags/default?api-version=2021-04-01"
    place = urllib.parse.urlsplit(lab.azure.resource_manager)
    tls = ssl.create_default_context(cafile=str(lab.azure.ca_file))
    connection = http.client.HTTPSConnection(place.hostname, place.port, context=tls, timeout=60)
    connection.putrequest("PATCH", tags)
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(body)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    assert answer.status == status
    if status == 200:
        assert said["properties"]["tags"]["k"] == "long"
        connection.request("DELETE", tags, headers={"Authorization": f"Bearer {token}"})  # of the same connection
        assert connection.getresponse().status < 300
    connection.close()


def test_what_the_lab_cannot_be_told_is_said_by_its_own_code() -> None:
    """404 and 405 would say that Azure has no such thing."""
    with pytest.raises(Problem) as problem:
        url_routing.ROUTES.answer(None, SimpleNamespace(method="DELETE", path="/subscriptions/x/resourceGroups/y"))  # type: ignore[arg-type]
    assert problem.value.code == "LabCannot"


FORM = "grant_type=client_credentials&client_secret=secret&client_id=" + resource_ids.CLIENT_ID


@pytest.mark.parametrize(
    ("more", "taken"),
    [
        ("&resource=https%3A%2F%2Fmanagement.azure.com%2F", True),  # version 1 of the protocol
        ("&scope=https%3A%2F%2Fmanagement.azure.com%2F.default", True),
        ("&resource=https%3A%2F%2Fvault.azure.net", False),
        ("", False),
    ],
)
def test_both_versions_of_the_token_protocol(more: str, taken: bool) -> None:
    assert ("access_token" in Tokens("secret").hand_out((FORM + more).encode()).body) is taken


def test_an_authority_that_ends_in_adfs_is_asked_by_nobody_else() -> None:
    assert Tokens("secret").discovery("https://lab", "adfs").body["token_endpoint"] == "https://lab/adfs/oauth2/token"


@pytest.mark.parametrize("body", [["a"], "a", None, {"properties": None}, {"properties": {"tags": []}}])
def test_a_body_that_is_no_tags_is_a_refusal(body) -> None:
    with pytest.raises(Problem) as problem:
        resource_groups._tags_of(SimpleNamespace(body=body))  # type: ignore[arg-type]
    assert problem.value.status == 400


def test_what_a_put_leaves_out_is_what_azure_takes() -> None:
    assert nics._normalised_values({}, nics.OF_CONFIGURATIONS)["privateIPAllocationMethod"] == "Dynamic"
    assert resource_ids.AUDIENCE.startswith("https://")
