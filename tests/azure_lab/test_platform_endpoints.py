"""What a machine in the lab sees of the platform: the metadata service and, by its own identity, the resource manager."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from harness.azure.faults import scheduled_events
from harness.config.azure_config import METADATA_ADDRESS
from harness.lab import topology
from harness.lab.control import nsenter
from harness.lab.guests.host_provisioning import AZURE_CA

TOKEN = "/metadata/identity/oauth2/token?api-version=2018-02-01"
ASK = """
import json, sys, urllib.error, urllib.request
out = []
for method, url, headers, body in json.loads(sys.argv[1]):
    request = urllib.request.Request(url, body.encode() if body else None, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            out.append([answer.status, answer.read().decode()])
    except urllib.error.HTTPError as error:
        out.append([error.code, error.read().decode()])
print(json.dumps(out))
"""
# As a program on a machine does it that is told nothing but the group: no address, no secret, no authority.
BY_IDENTITY = f"""
import json, sys
from azure.identity import ManagedIdentityCredential
from azure.mgmt.compute import ComputeManagementClient
subscription, group, machine = sys.argv[1:4]
ca = "/{AZURE_CA}"
compute = ComputeManagementClient(ManagedIdentityCredential(), subscription, connection_verify=ca, polling_interval=0.05)
before = [one.name for one in compute.virtual_machines.list(group)]
compute.virtual_machines.begin_power_off(group, machine, skip_shutdown=True).result(60)
states = [one.code for one in compute.virtual_machines.instance_view(group, machine).statuses]
print(json.dumps([before, states]))
"""


def in_host(lab: Any, host: str, code: str, *words: str) -> Any:
    done = nsenter.run(lab.running.record, host, [sys.executable, "-c", code, *words], limit=90.0)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(lab: Any, host: str, path: str, *, method: str = "GET", body: str = "", **headers: str) -> tuple[int, str]:
    headers = {"Metadata": "true"} | {name.replace("_", "-"): value for name, value in headers.items()}
    question = [method, f"http://{METADATA_ADDRESS}{path}", {name: value for name, value in headers.items() if value}, body]
    ((status, said),) = in_host(lab, host, ASK, json.dumps([question]))
    return status, said


@pytest.mark.parametrize("host", ["lknode01", "lknode02", "lkclient"])
def test_a_machine_is_told_about_itself(lab: Any, host: str) -> None:
    status, said = ask(lab, host, "/metadata/instance?api-version=2021-02-01")
    whole = json.loads(said)
    assert status == 200 and whole["compute"]["name"] == host
    assert whole["compute"]["vmId"] == lab.compute.virtual_machines.get(lab.group, host).vm_id
    addresses = [one["ipv4"]["ipAddress"][0]["privateIpAddress"] for one in whole["network"]["interface"]]
    assert addresses == [str(n.address) for n in topology.make_topology(lab.cluster).of(host)]
    assert ask(lab, host, "/metadata/instance/compute/name?api-version=2021-02-01&format=text") == (200, host)
    assert ask(lab, host, "/metadata/instance/network/interface/0?api-version=2021-02-01&format=text")[1].split() == [
        "ipv4/",
        "ipv6/",
        "macAddress",
    ]


@pytest.mark.parametrize(
    ("path", "headers", "status", "words"),
    [
        ("/metadata/instance?api-version=2021-02-01", {"Metadata": ""}, 400, "Required metadata header"),
        ("/metadata/instance?api-version=2021-02-01", {"X_Forwarded_For": "10.20.1.20"}, 400, "forwarded"),
        ("/metadata/instance", {}, 400, "api-version was not specified"),
        ("/metadata/instance/compute/name?api-version=2021-02-01", {}, 400, "format=text"),
        ("/metadata/instance/nothing?api-version=2021-02-01", {}, 404, "Not found"),
        (TOKEN, {}, 400, "'resource' is missing"),
        (f"{TOKEN}&resource=https://vault.azure.net", {}, 400, "was not found in the tenant"),
        (f"{TOKEN}&resource=https://management.azure.com&client_id=x", {}, 400, "Identity not found"),
    ],
)
def test_what_is_not_answered_says_why(lab: Any, path: str, headers: dict[str, str], status: int, words: str) -> None:
    answer = ask(lab, "lknode01", path, **headers)
    assert answer[0] == status and words in answer[1], answer


def test_the_client_has_no_identity(lab: Any) -> None:
    path = f"{TOKEN}&resource=https://management.azure.com/"
    assert "Identity not found" in ask(lab, "lkclient", path)[1]
    status, said = ask(lab, "lknode01", path)
    assert status == 200 and json.loads(said)["token_type"] == "Bearer"


def test_a_node_takes_the_others_power_by_its_own_identity(lab: Any) -> None:
    """Nothing is told to it but which group and machine: the packages' own addresses lead to the lab."""
    machines, states = in_host(lab, "lknode01", BY_IDENTITY, lab.azure.subscription, lab.group, "lknode02")
    assert set(machines) == {machine.name for machine in lab.cluster.machines}
    assert "PowerState/stopped" in states and lab.power("lknode02") == "off"


def test_a_restart_waits_for_the_machines_consent(lab: Any) -> None:
    lab.hand.conditions(events_s=120.0)
    try:
        lab.compute.virtual_machines.begin_restart(lab.group, "lknode02")
        path = scheduled_events.WHERE.removeprefix(f"http://{METADATA_ADDRESS}")
        said = lab.wait_for(
            lambda: scheduled_events.pending(ask(lab, "lknode02", path)[1], "lknode02"), "the event being told to the machine"
        )
        # The machine itself may be gone before it is told that its consent was taken.
        answer = ask(lab, "lknode01", path, method="POST", body=json.dumps({"StartRequests": [{"EventId": said[0]["EventId"]}]}))
        assert answer == (200, "")
        lab.wait_for(lambda: lab.power("lknode02") == "off", "the restart that was consented to")
        lab.wait_for(lambda: lab.power("lknode02") == "on", "its end")
    finally:
        lab.hand.conditions(events_s=0.0)
