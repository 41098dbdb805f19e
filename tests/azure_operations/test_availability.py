"""What a region does not have, a subscription may not have, or has no quota for, is told before anything is made; so is an image's plan."""

from __future__ import annotations

from typing import Any

import pytest
from arm_answers import vm_size
from azure_up import up

from harness.azure.provision import sku_availability
from harness.azure.provision.template import template

GIVEN = {"location": "West Europe", "tags": {}, "design": "nat", "sshPublicKey": "ssh-ed25519 AAAA me"}
HERE = {"location": "WestEurope", "zones": ["1", "2", "3"]}


def wished(**over: Any) -> dict[str, Any]:
    return template.parameters_of(template.load(), {**GIVEN, **over})


def restricted(kind: str, *zones: str) -> dict[str, Any]:
    return {"type": kind, "reasonCode": "NotAvailableForSubscription", "restrictionInfo": {"zones": list(zones)}}


def usage(name: str, now: int, limit: int) -> dict[str, Any]:
    return {"limit": limit, "currentValue": now, "name": {"value": name, "localizedValue": name}}


SIZES = [
    (vm_size("Standard_D2s_v5"), {}, ""),
    (vm_size("Standard_D2s_v5", locationInfo=[HERE]), {"vmSize": "standard_d2S_v5"}, ""),
    (vm_size("Standard_D4s_v5"), {}, "has no such machines"),
    (vm_size("Standard_D2s_v5", resourceType="disks"), {}, "has no such machines"),
    (vm_size("Standard_D2s_v5", restrictions=[restricted("Location")]), {}, "may not have it in westeurope (NotAvailableForSubscription)"),
    (
        vm_size("Standard_D2s_v5", restrictions=[restricted("Zone", "1")]),
        {},
        "may not have it in zone 1 of westeurope (zones that it may: 2,3)",
    ),
    (vm_size("Standard_D2s_v5", restrictions=[restricted("Zone", "1")]), {"zones": ["2", "3"]}, ""),
    (vm_size("Standard_D2s_v5", restrictions=[restricted("Zone", "1", "2", "3")]), {"placement": "availability-set"}, ""),
    (vm_size("Standard_D2s_v5", locationInfo=[{"location": "westeurope", "zones": []}]), {}, "give --placement availability-set"),
    (vm_size("Standard_D2s_v5", locationInfo=[{"location": "westeurope"}]), {"placement": "availability-set"}, ""),
]


@pytest.mark.parametrize(("sku", "over", "says"), SIZES)
def test_sizes(sku, over, says):
    faults = sku_availability.machine_faults(wished(**over), "westeurope", [sku])
    assert (len(faults) == 1 and says in faults[0]) if says else faults == []


QUOTAS = [
    ([usage("cores", 4, 10), usage("standardDSv5Family", 0, 6)], []),
    ([usage("cores", 5, 10), usage("StandardDSv5Family", 1, 6), usage("virtualMachines", 3, 3)], ["cores", "StandardDSv5Family"]),
    ([usage("cores", 0, 4), usage("standardBSFamily", 9, 9)], ["cores"]),
    ([{"name": None}, {"limit": "?", "currentValue": 1, "name": {"value": "cores"}}], []),
]


@pytest.mark.parametrize(("usages", "over"), QUOTAS)
def test_quotas(usages, over):
    faults = sku_availability.quota_faults(wished(), "westeurope", [vm_size("Standard_D2s_v5")], usages)
    assert [next(name for name in over if name in fault) for fault in faults] == over
    assert all("this needs 6" in fault for fault in faults)


@pytest.mark.parametrize(
    ("set_up", "says"),
    [
        ({"skus": []}, "--size Standard_D2s_v5: westeurope has no such machines"),
        ({"usages": [usage("cores", 0, 4)]}, "the quota cores in westeurope is 4 vCPUs, 0 are in use, and this needs 6"),
        (
            {"image_plan": {"publisher": "p", "product": "o", "name": "s"}, "terms_accepted": False},
            "az vm image terms accept --publisher p --offer o --plan s",
        ),
    ],
)
def test_it_is_told_before_the_first_change(arm, capsys, set_up, says):
    for name, value in set_up.items():
        setattr(arm, name, value)
    assert up("--image", "p:o:s:latest") == 2
    assert says in capsys.readouterr().err
    assert {method for method, _ in arm.asked} == {"GET"} and arm.groups == arm.resources == {}


def test_an_image_that_is_bought_has_its_plan_in_every_machine(arm):
    arm.image_plan = {"publisher": "p", "product": "o", "name": "s"}
    assert up("--image", "p:o:s:latest", "--zones", "1,3") == 0
    (deployment,) = arm.deployments.values()
    machines = [r.body for r in deployment["wanted"] if r.type.endswith("/virtualMachines")]
    assert [m["plan"] for m in machines] == [arm.image_plan] * 3
    assert sorted(m["zones"][0] for m in machines if "zones" in m) == ["1", "3"]


def test_what_may_not_be_asked_is_told_and_no_fault(arm, capsys, monkeypatch):
    refused = (
        403,
        {"error": {"code": "AuthorizationFailed", "message": "may not perform action 'Microsoft.Compute/skus/read' over scope 's'"}},
    )
    monkeypatch.setattr(
        arm,
        "besides",
        lambda method, path, body: (
            refused if "microsoft.compute/" in path.lower() and method == "GET" and ("/skus" in path.lower()) else None
        ),
    )
    assert up() == 0
    said = capsys.readouterr().err
    assert "has room for these machines is not known before it is tried" in said and "Microsoft.Compute/skus/read" in said


@pytest.mark.parametrize("words", [("--zones", "1"), ("--zones", "1,4"), ("--zones", "1,2", "--placement", "availability-set")])
def test_wrong_zones(arm, capsys, words):
    assert up(*words, "--plan") == 2 and arm.asked == []
    assert capsys.readouterr().err.startswith("lkharness: --zones")
