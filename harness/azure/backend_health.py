"""The load balancer's own view of its members during a run, with Azure's reason codes, on the timeline (facts API-02 to API-05).

It may lag by minutes and misses machines that are stopped, so nothing is ever timed by it: it is evidence for people.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from harness.azure.backend_health_findings import UNLISTED, MemberHealth
from harness.azure.client.error_mapping import NotLoggedIn, translate_errors
from harness.azure.client.polling import result_of
from harness.azure.client.sdk_clients import Clients
from harness.azure.inventory import resource_parser, resource_reader
from harness.azure.inventory.resource_model import Balancer, Rule, part_of
from harness.config.cluster_config import Cluster
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.core.timeline import Timeline

KIND = "ilb-health"


def read_member_health(clients: Clients, balancer: Balancer, rule: Rule, deadline: Deadline) -> dict[str, MemberHealth]:
    """One rule's members by address. A POST that changes nothing: it may be retried. Raises HarnessError."""
    doing = f"reading the health of {rule.name} of {balancer.name}"
    group = part_of(balancer.id, "resourceGroups") or clients.azure.resource_group
    with translate_errors(doing):
        poller = clients.network.load_balancer_load_balancing_rules.begin_health(group, balancer.name, rule.name)
    return parse_member_health(resource_parser.payload(result_of(poller, deadline, doing)))


def parse_member_health(wire: Mapping[str, Any]) -> dict[str, MemberHealth]:
    """Azure's answer: every member that it lists."""
    addresses = wire.get("loadBalancerBackendAddresses") or []
    return {
        str(address.get("ipAddress")): MemberHealth(str(address.get("state") or "Unknown"), str(address.get("reason") or ""))
        for address in addresses
    }


def rules_to_ask(balancer: Balancer, frontend: IPv4Address) -> list[Rule]:
    """One rule for each pool and probe: the verdict is the probe's, and one call tells one rule. Those without a probe tell nothing."""
    rule_by_probe: dict[tuple[object, ...], Rule] = {}
    for own_frontend in balancer.frontends:
        for rule in balancer.rules_of(own_frontend) if own_frontend.address == str(frontend) else ():
            if rule.probe_id is not None:
                rule_by_probe.setdefault((rule.pool_ids, rule.probe_id), rule)
    return list(rule_by_probe.values())


def read_every_rule(clients: Clients, balancer: Balancer, frontend: IPv4Address, deadline: Deadline) -> dict[str, dict[str, MemberHealth]]:
    """Each such rule's members. Raises HarnessError."""
    return {rule.name: read_member_health(clients, balancer, rule, deadline) for rule in rules_to_ask(balancer, frontend)}


class HealthWatch:
    """Asks every `health_period_s` in a thread of its own, and notes every change, and every way in which asking fails, once."""

    def __init__(self, cluster: Cluster, clients: Clients, timeline: Timeline) -> None:
        self._cluster = cluster
        self._clients = clients
        self._timeline = timeline
        self._names = {str(n.address): n.name for n in cluster.nodes}
        self._health_by_rule_and_address: dict[tuple[str, str], MemberHealth] = {}
        self._trouble: str | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="azure-health")

    def start(self) -> None:
        """Begins to ask for the health at its interval, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Ends it; a request under way is not waited for longer than a moment."""
        self._end.set()
        self._thread.join(2.0)
        self._clients.close()

    def _run(self) -> None:
        balancer: Balancer | None = None
        period = self._clients.azure.health_period_s
        while not self._end.is_set():
            started_at = time.monotonic()
            try:
                balancer = balancer or resource_reader.balancer(self._clients, self._cluster.vip)
                self._read_health(balancer)
                self._trouble = None
            except NotLoggedIn as error:
                self._clients.renew()
                self._note_trouble(str(error))
            except HarnessError as error:
                self._note_trouble(str(error))
            except Exception as error:  # evidence that cannot be had must not end a run
                self._note_trouble(f"{type(error).__name__}: {error}")
            self._end.wait(max(0.1, period - (time.monotonic() - started_at)))

    def _read_health(self, balancer: Balancer) -> None:
        for rule in rules_to_ask(balancer, self._cluster.vip):
            asked_at = time.monotonic()
            health_by_address = read_member_health(self._clients, balancer, rule, Deadline(self._clients.azure.operation_limit_s))
            if self._end.is_set():
                return
            for address in self._names:
                self._note_change(rule, address, health_by_address.get(address, MemberHealth(UNLISTED, "")), asked_at)

    def _note_change(self, rule: Rule, address: str, health: MemberHealth, asked_at: float) -> None:
        previous = self._health_by_rule_and_address.get((rule.name, address))
        if previous == health:
            return
        self._health_by_rule_and_address[rule.name, address] = health
        node = self._names[address]
        change = f", was {previous}" if previous is not None else ""
        self._timeline.note(
            node,
            KIND,
            f"Azure's own view: {health}{change}",
            rule=rule.name,
            address=address,
            state=health.state,
            reason=health.reason,
            asked_s_ago=round(time.monotonic() - asked_at, 3),
        )

    def _note_trouble(self, text: str) -> None:
        if text != self._trouble and not self._end.is_set():
            self._trouble = text
            self._timeline.note("azure", KIND, f"the load balancer's own view could not be read: {text}")
