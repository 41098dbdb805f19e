"""Whether the subscription may make such machines there, and of that image: asked before anything is made.

Azure itself says so only when a network is there and costs.

Resource SKUs - List (restrictions, zones, vCPUs), Usage - List (quotas), Virtual Machine Images - Get (the plan of an image that is
bought), Marketplace Agreements - Get (whether its terms are accepted). What may not be asked is told, and is no fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.azure.client import error_mapping
from harness.azure.client.arm import Arm
from harness.azure.provision.deployment_request import DeploymentRequest
from harness.azure.provision.template import template
from harness.core.errors import BadUse, HarnessError

Say = Callable[[str], None]
SKUS, USAGES, TERMS = "2021-07-01", "2024-07-01", "2021-01-01"  # api-versions
MACHINES = "virtualMachines"


def check_availability(arm: Arm, request: DeploymentRequest, say: Say) -> DeploymentRequest:
    """The request, with the image's plan where it has one. Raises BadUse with every reason why Azure would not make it."""
    parameters = template.parameters_of(template.load(), request.parameters)
    compute_path = f"{arm.subscription}/providers/Microsoft.Compute"
    region = region_of(request.location)
    faults: list[str] = []
    try:
        query = {"filter": f"location eq '{region}'"}
        skus = list(arm.listed(f"{compute_path}/skus", f"reading which machines {region} has", api=SKUS, **query))
        usages = list(arm.listed(f"{compute_path}/locations/{region}/usages", f"reading the quotas in {region}", api=USAGES))
        faults += machine_faults(parameters, region, skus) or quota_faults(parameters, region, skus, usages)
    except HarnessError as error:
        say(f"{error}; whether {region} has room for these machines is not known before it is tried")
    try:
        plan = _plan_of(arm, region, parameters["image"])
        faults += _term_faults(arm, plan) if plan else []
    except error_mapping.NotThere as error:
        image = ":".join(parameters["image"][key] for key in ("publisher", "offer", "sku", "version"))
        raise BadUse("; ".join([*faults, f"--image {image}: {region} has no such image ({error})"])) from error
    except HarnessError as error:
        say(f"{error}; whether the image needs a plan is not known before it is tried")
        plan = {}
    if faults:
        raise BadUse("; ".join(faults))
    return replace(request, over={**request.over, "plan": plan}) if plan else request


def region_of(location: str) -> str:
    """A region's name as Azure writes it: "West Europe" is westeurope."""
    return location.replace(" ", "").lower()


def machine_faults(parameters: Mapping[str, Any], region: str, skus: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sizes that the region, its zones or the subscription do not have. `parameters`: the template's parameters."""
    zones = [str(zone) for zone in parameters["zones"]] if parameters["placement"] == "zones" else []
    return list(dict.fromkeys(fault for size in sorted(sizes(parameters)) for fault in _size_faults(size, region, zones, skus)))


def sizes(parameters: Mapping[str, Any]) -> Counter[str]:
    """How many machines of each size there will be."""
    return Counter([*(parameters["vmSize"] for _ in parameters["nodes"]), parameters["clientSize"]])


def _size_faults(size: str, region: str, zones: Sequence[str], skus: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    sku = _sku(size, skus)
    if sku is None:
        yield f"--size {size}: {region} has no such machines; choose another size or --location"
        return
    closed_zones = set()
    for restriction in sku.get("restrictions") or []:
        reason = restriction.get("reasonCode") or "no reason told"
        if restriction.get("type") == "Location":
            yield f"--size {size}: the subscription may not have it in {region} ({reason}); choose another size or --location"
            return
        closed_zones |= set((restriction.get("restrictionInfo") or {}).get("zones") or [])
    places = [place for place in sku.get("locationInfo") or [] if region_of(str(place.get("location"))) == region]
    offered_zones = {str(zone) for place in places for zone in place.get("zones") or []}
    if zones and not offered_zones:
        yield f"--size {size}: {region} has no zones for it; give --placement availability-set"
    elif missing := [zone for zone in zones if zone not in offered_zones - closed_zones]:
        free = ",".join(sorted(offered_zones - closed_zones)) or "none"
        yield (
            f"--size {size}: the subscription may not have it in zone {' and '.join(missing)} of {region} (zones that it may: {free}); "
            "see --zones"
        )


def quota_faults(
    parameters: Mapping[str, Any], region: str, skus: Sequence[Mapping[str, Any]], usages: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Quotas that these machines' vCPUs would exceed: the region's, and that of each family of sizes."""
    needed_vcpus: Counter[str] = Counter()
    for size, count in sizes(parameters).items():
        sku = _sku(size, skus) or {}
        cores = next((str(c.get("value")) for c in sku.get("capabilities") or [] if c.get("name") == "vCPUs"), "")
        if cores.isdigit():
            needed_vcpus.update({"cores": count * int(cores), str(sku.get("family")).lower(): count * int(cores)})
    faults = []
    for usage in usages:
        name = usage.get("name") or {}
        needed, limit, in_use = needed_vcpus.get(str(name.get("value")).lower(), 0), usage.get("limit"), usage.get("currentValue")
        if needed and isinstance(limit, int) and isinstance(in_use, int) and in_use + needed > limit:
            faults.append(
                f"the quota {name.get('localizedValue') or name.get('value')} in {region} is {limit} vCPUs, {in_use} are in use, and this "
                f"needs {needed}; have it raised, or choose another --size or --location"
            )
    return faults


def _sku(size: str, skus: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((sku for sku in skus if sku.get("resourceType") == MACHINES and str(sku.get("name")).lower() == size.lower()), None)


def _plan_of(arm: Arm, region: str, image: Mapping[str, str]) -> dict[str, str]:
    """The plan of an image that is bought, as a machine must name it; empty for a free one."""
    doing = f"looking for the image {image['offer']}"
    images: Any = arm.clients.compute.virtual_machine_images
    place = region, image["publisher"], image["offer"], image["sku"]
    with error_mapping.translate_errors(doing):
        version = image["version"]
        if version == "latest":
            newest = list(images.list(*place, top=1, orderby="name desc"))
            if not newest:
                return {}
            version = str(newest[0].name)
        plan = (images.get(*place, version).as_dict().get("properties") or {}).get("plan") or {}
    return {key: str(plan[key]) for key in ("publisher", "product", "name")} if plan else {}


def _term_faults(arm: Arm, plan: Mapping[str, str]) -> list[str]:
    """Terms that nobody has accepted yet in this subscription."""
    publisher_path = f"{arm.subscription}/providers/Microsoft.MarketplaceOrdering/offerTypes/virtualmachine/publishers/{plan['publisher']}"
    agreement = arm.get(
        f"{publisher_path}/offers/{plan['product']}/plans/{plan['name']}/agreements/current",
        "reading whether the image's terms are accepted",
        api=TERMS,
    )
    if (agreement.get("properties") or {}).get("accepted") is not False:
        return []
    return [
        f"the image's plan {plan['name']} has terms that nobody has accepted in this subscription: read them, then run az vm image terms "
        f"accept --publisher {plan['publisher']} --offer {plan['product']} --plan {plan['name']}"
    ]
