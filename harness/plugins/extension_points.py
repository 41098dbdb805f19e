"""What can be plugged in. The implementations lie in rooms above this one, and are imported only when they are asked for."""

from __future__ import annotations

from harness.plugins.registry import Registry

SERVICES = Registry(
    "service kind", "lkharness.services", "harness.services.kinds", "harness.services.service_kind:ServiceKind", demands=("kind",)
)
MANAGERS = Registry(
    "cluster manager", "lkharness.managers", "harness.managers.kinds", "harness.managers.manager:Manager", demands=("name",)
)
DISRUPTIONS = Registry(
    "disruption",
    "lkharness.disruptions",
    "harness.disrupt",
    "harness.disrupt.disruption:Disruption",
    demands=("name", "sentence", "expects"),
    many=True,
)
COLLECTORS = Registry(
    "table of collectors",
    "lkharness.collectors",
    "harness.collect.tables",
    "harness.collect.collectors:CollectorTable",
    demands=("rows",),
)
