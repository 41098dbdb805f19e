"""What a plan costs an hour: from the table in prices.json, or from Azure's public price list where that can be reached."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.azure.provision.template.template import Resource
from harness.core.errors import Unusable

TABLE = Path(__file__).with_name("prices.json")
RETAIL = "https://prices.azure.com/api/retail/prices"
ANSWER_TIMEOUT_S = 15.0

OfSize = Callable[[str], float | None]


@dataclass(frozen=True)
class Cost:
    """`hour`: US dollars, None where no price is known. `source` says where it comes from and how far to trust it."""

    hour: float | None
    source: str


def table() -> dict[str, Any]:
    """The dated table of prices that comes with the product."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def of_table(size: str) -> float | None:
    """What a machine of that size costs an hour; None where the table does not say."""
    return table()["virtualMachines"].get(size)


def of_retail(region: str, *, url: str = RETAIL, limit: float = ANSWER_TIMEOUT_S) -> OfSize:
    """Asks Azure's price list, which wants no log-in, for a size in a region. Raises Unusable when it cannot be asked."""

    region = region.replace(" ", "").lower()  # "West Europe" is westeurope there

    def price(size: str) -> float | None:
        wanted = (
            f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}' and armSkuName eq '{size}' and priceType eq 'Consumption'"
        )
        query = urllib.parse.urlencode({"$filter": wanted})
        try:
            with urllib.request.urlopen(f"{url}?{query}", timeout=limit) as answer:
                items = json.load(answer)["Items"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = getattr(error, "reason", error)
            raise Unusable(f"Azure's price list cannot be asked ({reason}); leave --prices retail out and take the table's") from error
        return min((i["retailPrice"] for i in items if _is_plain_linux(i)), default=None)

    return price


def _is_plain_linux(item: dict[str, Any]) -> bool:
    words = f"{item.get('productName', '')} {item.get('meterName', '')} {item.get('skuName', '')}"
    return not any(other in words for other in ("Windows", "Spot", "Low Priority", "CloudServices"))


def cost(resource: Resource, of_size: OfSize, source: str) -> Cost:
    """What one resource costs while it is there; a machine without its OS disk (`disk_cost`). What is free costs 0."""
    known, kind = table(), resource.type.split("/")[-1]
    if kind == "virtualMachines":
        return Cost(of_size(resource.body["properties"]["hardwareProfile"]["vmSize"]), source)
    return Cost(known.get(kind, 0.0), _by_the_table() if kind in known else "free")


def rule_cost(count: int) -> Cost:
    """Load-balancing rules beyond those that the balancer's own price holds."""
    return Cost(count * table()["furtherRule"], _by_the_table())


def disk_cost(kind: str) -> Cost:
    """An OS disk of a storage account type, as small as the template's images have it. What is read and written costs extra."""
    return Cost(table()["disks"].get(kind), f"{_by_the_table()}, without transactions")


def _by_the_table() -> str:
    return f"list price of {table()['as_of']}, not checked"


def total(costs: Sequence[Cost]) -> tuple[float, int]:
    """The sum of what is known, and how many are not."""
    return sum(c.hour or 0.0 for c in costs), sum(c.hour is None for c in costs)
