"""The load balancer's own view of its members against the roles: one is up, and it is the active node. Pure.

Its view may lag by minutes (facts API-05), so every finding says to look again before anything is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.config.cluster_config import Cluster
from harness.core.finding import Finding, Weight

UNLISTED = "not listed"  # what Azure does with a machine that is stopped
LOOK_AGAIN = "; this view may lag by minutes, so look again before you change anything"


@dataclass(frozen=True)
class MemberHealth:
    """What Azure says of one member: its state ("Up", "Down") and the reason code."""

    state: str
    reason: str

    def __str__(self) -> str:
        return f"{self.state} ({self.reason})" if self.reason else self.state


def member_findings(cluster: Cluster, health_by_rule: Mapping[str, Mapping[str, MemberHealth]], active: str | None = None) -> list[Finding]:
    """`health_by_rule` is by rule, then by the member's address; `active` is the active node by its manager's word, where that is known."""
    return [
        finding
        for rule, health_by_address in health_by_rule.items()
        for finding in _rule_findings(cluster, rule, health_by_address, active)
    ]


def _rule_findings(cluster: Cluster, rule: str, health_by_address: Mapping[str, MemberHealth], active: str | None) -> Iterator[Finding]:
    health_by_node = {node.name: health_by_address.get(str(node.address), MemberHealth(UNLISTED, "")) for node in cluster.nodes}
    subject, up = f"health of {rule}", [name for name, health in health_by_node.items() if health.state == "Up"]
    says = ", ".join(f"{name} {health}" for name, health in health_by_node.items())
    for name, health in health_by_node.items():
        if health.reason.endswith(("_Admin", "_Platform", "_AllDownIsUp")):
            do = "see the member's adminState, Azure's service health and noHealthyBackendsBehavior: it is not the probe that decides"
            yield Finding(
                Weight.FAULT,
                name,
                subject,
                f"the balancer has it as {health}, whatever its probe says",
                do + LOOK_AGAIN,
                ("API-03", "API-04"),
            )
    if not up:
        do = "see that the active node is in the pool, answers the probe port, and lets 168.63.129.16 in"
        yield Finding(Weight.FAULT, "azure", subject, f"the balancer has no node up: {says}", do + LOOK_AGAIN, ("API-04", "FLOW-13"))
    elif len(up) == len(health_by_node):
        do = "let the probe be answered by the active node alone: clients are sent to both"
        yield Finding(Weight.FAULT, "azure", subject, f"the balancer has both nodes up: {says}", do + LOOK_AGAIN, ("API-07", "PRB-22"))
    elif active is not None and up != [active]:
        do = "see why the probe is answered where the service is not"
        yield Finding(
            Weight.FAULT, "azure", subject, f"the balancer has {up[0]} up, and {active} is active: {says}", do + LOOK_AGAIN, ("PRB-22",)
        )
