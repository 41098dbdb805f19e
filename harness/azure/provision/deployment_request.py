"""What somebody wants made: the template's parameters, the tags that say whose it is, and the plan that is shown first."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from harness.azure.provision.creation_record import EXPIRES, OWNER, RUN, Ledger, with_disks
from harness.azure.provision.template import prices, template
from harness.config.cluster_config import Azure
from harness.core.errors import BadUse
from harness.core.files import expand_user
from harness.core.time_span import DAY_S, parse_time_span

OWN_TAGS = (RUN, OWNER, EXPIRES)
MIN_RSA_KEY_LENGTH = 360  # base64 characters: a key of 2048 bits has 372, one of 1024 has 204
MAX_CLUSTER_LIFETIME_S = 30 * DAY_S  # a cluster that somebody forgot costs until then
FREE_PUBLISHERS = ("debian", "canonical")  # whose images in the marketplace cost no more than the machine
INCLUDED_BALANCER_RULES = 5  # of a load balancer; each further one costs extra
GROUPS = "Microsoft.Resources/resourceGroups"
FREE = prices.Cost(0.0, "free")
Keep = Literal["never", "failed", "always"]


@dataclass(frozen=True)
class DeploymentRequest:
    """`expires` is seconds since the epoch. `over` are template parameters that differ from their defaults."""

    location: str
    owner: str
    expires: float
    over: dict[str, Any]
    more_tags: dict[str, str] = field(default_factory=dict)  # what policies of the subscription demand
    run: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def tags(self) -> dict[str, str]:
        """The tags of everything that is made: the user's, and whose run it is and until when."""
        return {
            **self.more_tags,
            RUN: self.run,
            OWNER: self.owner,
            EXPIRES: f"{datetime.fromtimestamp(self.expires, UTC):%Y-%m-%dT%H:%M:%SZ}",
        }

    @property
    def parameters(self) -> dict[str, Any]:
        """The template's parameters."""
        return {"location": self.location, "tags": self.tags, **self.over}

    def resources(self, azure: Azure) -> list[template.Resource]:
        """Raises BadUse for parameters that the template does not take."""
        return template.resources(template.load(), self.parameters, subscription=azure.subscription, group=azure.resource_group)

    def ledger(self, azure: Azure, *, made_group: bool) -> Ledger:
        """What is to be written down before anything is made."""
        ids = with_disks(r.id for r in self.resources(azure))
        return Ledger(self.run, azure.subscription, azure.resource_group, self.owner, self.tags[EXPIRES], made_group, ids)


TAG = re.compile(r"([^<>%&\\?/=]{1,128})=(.{0,256})")
MAX_TAGS = 15  # that all types of the template take, ours included


def tags_of(pairs: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE, several times. Raises BadUse for what Azure takes for no tag, and for the harness's own."""
    tags: dict[str, str] = {}
    for text in pairs:
        match = TAG.fullmatch(text)
        if not match or not match[1].isprintable() or not match[2].isprintable():
            raise BadUse(f"--tag {text!r}: is no tag; write KEY=VALUE, the key without <>%&\\?/")
        if match[1].lower().startswith("lkharness"):
            raise BadUse(f"--tag {text}: tags that begin with lkharness are the harness's own; write another key")
        tags[match[1]] = match[2]
    if len(tags) + len(OWN_TAGS) > MAX_TAGS:
        raise BadUse(f"--tag: {len(tags)} are too many; some resources take {MAX_TAGS} tags, and {len(OWN_TAGS)} are the harness's own")
    return tags


def public_key(file: Path) -> str:
    """Raises BadUse for what is no public key: a private one must never get into a template. And for one that Azure would not take."""
    try:
        line = expand_user(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadUse(f"--ssh-key {file}: cannot be read ({getattr(error, 'strerror', 'no text')}); name a public key file") from error
    if not re.match(r"^(ssh-|ecdsa-|sk-)\S+ \S+", line) or "\n" in line:
        raise BadUse(f"--ssh-key {file}: is no public key; name the file that ends in .pub")
    kind = line.split()[0]
    if kind not in ("ssh-rsa", "ssh-ed25519") or (kind == "ssh-rsa" and len(line.split()[1]) < MIN_RSA_KEY_LENGTH):
        raise BadUse(
            f"--ssh-key {file}: Azure takes RSA keys of 2048 bits or more and Ed25519 ones (SshPublicKey.keyData), no {kind} such as this"
        )
    return line


def plan(request: DeploymentRequest, azure: Azure, price_list: prices.Prices) -> dict[str, Any]:
    """Everything that would be made, with what it costs where that is known, as data.

    Nobody is asked, so a group that is there already is a row, too.
    """
    rows, costs = [_plan_row(GROUPS, azure.resource_group, "made if there is none", FREE)], [FREE]
    for resource in request.resources(azure):
        costs.append(prices.cost(resource, price_list))
        rows.append(_plan_row(resource.type, resource.name, _describe(resource), costs[-1]))
        if image := _paid_image(resource):
            costs.append(prices.Cost(None, "on top; see the image's plan"))
            rows.append(_plan_row("software", f"{resource.name}-image", f"what {image} costs per vCPU and hour", costs[-1]))
        if more := max(0, len(resource.body["properties"].get("loadBalancingRules", [])) - INCLUDED_BALANCER_RULES):
            costs.append(prices.rule_cost(more, price_list))
            rows.append(_plan_row("rules", f"{resource.name}-rules", f"{more} beyond {INCLUDED_BALANCER_RULES}", costs[-1]))
        if disk := _disk_of(resource):
            kind = disk["managedDisk"]["storageAccountType"]
            costs.append(prices.disk_cost(kind, price_list))
            rows.append(_plan_row("Microsoft.Compute/disks", disk["name"], f"{kind}, an OS disk", costs[-1]))
    hour, unknown = prices.total(costs)
    return {
        "run": request.run,
        "tags": request.tags,
        "subscription": azure.subscription,
        "resource_group": azure.resource_group,
        "location": request.location,
        "resources": rows,
        "usd_per_hour": None if hour is None else round(hour, 4),
        "without_a_price": unknown,
        "price_note": price_list.note,
        "public_addresses": [r.name for r in request.resources(azure) if r.type.endswith("publicIPAddresses")],
    }


def _plan_row(kind: str, name: str, description: str, cost: prices.Cost) -> dict[str, Any]:
    return {"type": kind, "name": name, "what": description, "usd_per_hour": cost.hour, "price": cost.source}


def _paid_image(resource: template.Resource) -> str:
    """The publisher of a machine's image that may cost extra (RHEL, SLES, most of the marketplace), empty for one that does not."""
    image = resource.body["properties"].get("storageProfile", {}).get("imageReference", {})
    publisher = str(image.get("publisher", ""))
    return publisher if publisher and publisher.lower() not in FREE_PUBLISHERS else ""


def _disk_of(resource: template.Resource) -> dict[str, Any] | None:
    """A machine's OS disk, which comes into being with it."""
    return resource.body["properties"].get("storageProfile", {}).get("osDisk")


def _describe(resource: template.Resource) -> str:
    properties = resource.body["properties"]
    kind = resource.type.split("/")[-1]
    if kind == "virtualMachines":
        placement = (
            f"zone {resource.body['zones'][0]}"
            if "zones" in resource.body
            else "availability set"
            if "availabilitySet" in properties
            else ""
        )
        return ", ".join(filter(None, [properties["hardwareProfile"]["vmSize"], placement]))
    if kind == "networkInterfaces":
        return properties["ipConfigurations"][0]["properties"]["privateIPAddress"]
    if kind == "loadBalancers":
        rules = properties["loadBalancingRules"]
        floating = "on" if rules[0]["properties"]["enableFloatingIP"] else "off"
        frontend = properties["frontendIPConfigurations"][0]["properties"]["privateIPAddress"]
        return f"internal, {frontend}, floating IP {floating}, {', '.join(r['name'] for r in rules)}"
    if kind == "virtualNetworks":
        return ", ".join(s["properties"]["addressPrefix"] for s in properties["subnets"])
    return ""


def as_text(data: dict[str, Any]) -> str:
    """A plan as a table for a person."""
    rows: Sequence[dict[str, Any]] = data["resources"]
    width = max(len(r["name"]) for r in rows)
    lines = [
        f"run {data['run']} makes in {data['resource_group']} ({data['location']}), subscription {data['subscription']}:",
        *(f"  {r['name']:<{width}}  {_price(r['usd_per_hour'])}  {r['type'].split('/')[-1]}  {r['what']}".rstrip() for r in rows),
        f"  {'all of it':<{width}}  {_price(data['usd_per_hour'])}  an hour, while it is there"
        + (f"; {data['without_a_price']} without a known price" if data["without_a_price"] else ""),
        f"  prices: {data['price_note']}",
        f"  tags: {', '.join(f'{k} = {v}' for k, v in data['tags'].items())}",
        f"  public addresses: {', '.join(data['public_addresses']) or 'none'}",
    ]
    return "\n".join(lines)


def _price(hour: float | None) -> str:
    return "   $ ?   " if hour is None else f"$ {hour:7.4f}"


def expires_in(text: str) -> float:
    """When a cluster ends that lasts for a span such as `4h`, in seconds since 1970; the tag can be set to a later time. Raises BadUse."""
    return time.time() + parse_time_span("--expires", text, at_most_s=MAX_CLUSTER_LIFETIME_S)
