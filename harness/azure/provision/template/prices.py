"""What a plan costs an hour, as far as it is known: by itself not at all, from Azure's public price list (machines) where that is asked for
and can be reached, from the rough table in rough_list_prices.json where that is asked for."""

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

TABLE = Path(__file__).with_name("rough_list_prices.json")
RETAIL = "https://prices.azure.com/api/retail/prices"
ANSWER_TIMEOUT_S = 15.0

OfSize = Callable[[str], float | None]


@dataclass(frozen=True)
class Prices:
    """Where prices come from: what a machine of a size costs, whether the rough table is asked for everything else, and in words."""

    of_size: OfSize
    source: str
    rough: bool
    note: str

    def of(self, *keys: str) -> float | None:
        """What the table has at these keys; None where it is not asked."""
        value: Any = table()
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value if self.rough else None


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
        filter_expression = (
            f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}' and armSkuName eq '{size}' and priceType eq 'Consumption'"
        )
        query = urllib.parse.urlencode({"$filter": filter_expression})
        try:
            with urllib.request.urlopen(f"{url}?{query}", timeout=limit) as response:
                items = json.load(response)["Items"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = getattr(error, "reason", error)
            raise Unusable(f"Azure's price list cannot be asked ({reason}); leave --prices retail out") from error
        return min((i["retailPrice"] for i in items if _is_plain_linux(i)), default=None)

    return price


def _is_plain_linux(item: dict[str, Any]) -> bool:
    description = f"{item.get('productName', '')} {item.get('meterName', '')} {item.get('skuName', '')}"
    return not any(variant in description for variant in ("Windows", "Spot", "Low Priority", "CloudServices"))


def prices_of(source: str, region: str) -> Prices:
    """`none`, `rough` or `retail`."""
    rough = f"list price of {table()['as_of']}, not checked"
    if source == "rough":
        return Prices(of_table, rough, True, table()["note"])
    if source == "retail":
        return Prices(of_retail(region), "retail", False, "virtual machines by Azure's price list; what the rest costs is not known")
    advice = "--prices retail asks Azure's price list for the machines, --prices rough takes a table that nobody has checked"
    return Prices(lambda size: None, "not known", False, f"what an hour of it costs is not known: {advice}")


def cost(resource: Resource, prices: Prices) -> Cost:
    """What one resource costs while it is there; a machine without its OS disk (`disk_cost`). What is free costs 0."""
    kind = resource.type.split("/")[-1]
    if kind == "virtualMachines":
        return _cost(prices.of_size(resource.body["properties"]["hardwareProfile"]["vmSize"]), prices)
    return _cost(prices.of(kind), prices) if kind in table() else Cost(0.0, "free")


def rule_cost(count: int, prices: Prices) -> Cost:
    """Load-balancing rules beyond those that the balancer's own price holds."""
    rule_price = prices.of("furtherRule")
    return _cost(None if rule_price is None else count * rule_price, prices)


def disk_cost(kind: str, prices: Prices) -> Cost:
    """An OS disk of a storage account type, as small as the template's images have it. What is read and written costs extra."""
    cost = _cost(prices.of("disks", kind), prices)
    return cost if cost.hour is None else Cost(cost.hour, f"{cost.source}, without transactions")


def _cost(hour: float | None, prices: Prices) -> Cost:
    return Cost(hour, "not known" if hour is None else prices.source)


def total(costs: Sequence[Cost]) -> tuple[float | None, int]:
    """The sum of what is known, None where nothing that costs is, and how many are not."""
    known_prices = [c.hour for c in costs if c.hour is not None]
    unknown = len(costs) - len(known_prices)
    return (None if unknown and not any(known_prices) else sum(known_prices)), unknown
