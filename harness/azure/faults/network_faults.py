"""What the network API can do to a node: deny it traffic, take it out of the pool, set its adminState; and what undoes each.

Every change is a PUT or DELETE of a state that is wanted, so sending it twice does no harm; and everything is read anew before it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from harness.azure.client import error_mapping
from harness.azure.client.operation_runner import OperationRunner
from harness.azure.faults.vm_power import name_of
from harness.azure.inventory.resource_model import Balancer, same
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Unusable

RULE = re.compile(r"lkharness-deny-[0-9a-f]{6}")  # how our security rules are called
DESCRIPTION = "made by lkharness for a test, which removes it"
NOWHERE = "192.0.2.1/32"  # of TEST-NET-1 (RFC 5737), which is nobody's
FIRST_PRIORITY, LAST_PRIORITY = 100, 4096  # of a group's own rules (facts NSG-02)


@dataclass(frozen=True)
class Nic:
    """A NIC with the ip configuration that has the address asked for, the pools that this is in, and the NSG that guards it."""

    id: str
    configuration: str
    configuration_id: str
    pools: tuple[str, ...]
    security_group: str | None


@dataclass(frozen=True)
class Member:
    """A member of a backend pool; `pool` is LB/POOL."""

    balancer_id: str
    pool: str
    name: str
    admin_state: str


def new_rule() -> str:
    """The name of a rule of ours."""
    return f"lkharness-deny-{secrets.token_hex(3)}"


class Network:
    """Raises what `translate_errors` makes of a refusal; every wait ends with its deadline."""

    def __init__(self, operations: OperationRunner) -> None:
        self._operations = operations
        self._network: Any = operations.clients.network  # whose types know no body that is JSON, as it came
        self._group = operations.azure.resource_group

    def nic_of(self, machine: str, address: str, deadline: Deadline) -> Nic:
        """The NIC of a virtual machine with a private address. Raises Unusable when it has none."""
        return self._operations.read(lambda: self._nic_of(machine, address), deadline, f"finding the NIC of {machine} with {address}")

    def _nic_of(self, machine: str, address: str) -> Nic:
        machines: Any = self._operations.clients.compute.virtual_machines
        profile = machines.get(self._group, machine).properties.network_profile
        for reference in (profile.network_interfaces if profile else None) or []:
            nic = self._network.network_interfaces.get(*_group_and_name(str(reference.id)))
            for configuration in nic.properties.ip_configurations or []:
                inner = configuration.properties
                if inner.private_ip_address == address:
                    pools = tuple(str(p.id) for p in inner.load_balancer_backend_address_pools or [])
                    security_group = nic.properties.network_security_group or self._subnet_security_group(str(inner.subnet.id))
                    return Nic(
                        str(nic.id),
                        str(configuration.name),
                        str(configuration.id),
                        pools,
                        str(security_group.id) if security_group else None,
                    )
        raise Unusable(f"no NIC of the virtual machine {machine} has {address}; see virtual_machines in [azure], and the node's address")

    def _subnet_security_group(self, subnet: str) -> Any:
        parts = subnet.split("/")
        return self._network.subnets.get(parts[4], parts[8], parts[10]).properties.network_security_group

    # --- NSG

    def deny(self, security_group: str, rule: str, to: Sequence[str], ports: Sequence[int], deadline: Deadline) -> None:
        """A rule before all others that drops new connections to these addresses and TCP ports, whoever they come from."""
        group_and_name = _group_and_name(security_group)
        rules = self._operations.read(
            lambda: list(self._network.security_rules.list(*group_and_name)), deadline, f"reading the rules of {group_and_name[1]}"
        )
        priority = priority_before([r for r in rules if r.name != rule], group_and_name[1])
        body = {
            "properties": {
                "description": DESCRIPTION,
                "priority": priority,
                "direction": "Inbound",
                "access": "Deny",
                "protocol": "Tcp",
                "sourceAddressPrefix": "*",
                "sourcePortRange": "*",
                "destinationAddressPrefixes": list(to),
                "destinationPortRanges": [str(port) for port in ports],
            }
        }
        self._operations.do(
            f"denying in {group_and_name[1]} what goes to {', '.join(to)}",
            lambda **options: self._network.security_rules.begin_create_or_update(*group_and_name, rule, body, **options),
            lambda: rule in self._rules(group_and_name),
            deadline,
        )

    def allow_again(self, security_group: str, rule: str, deadline: Deadline) -> None:
        """Delete the rule. Where that is refused, whatever the reason, it is made harmless, so that nobody stays shut out: the right for
        that has been used when it was made. Raises Locked or Unusable then."""
        group_and_name = _group_and_name(security_group)
        if rule not in self._operations.read(lambda: self._rules(group_and_name), deadline, f"reading the rules of {group_and_name[1]}"):
            return
        try:
            self._operations.do(
                f"deleting {rule} in {group_and_name[1]}",
                lambda **options: self._network.security_rules.begin_delete(*group_and_name, rule, **options),
                lambda: rule not in self._rules(group_and_name),
                deadline,
            )
        except HarnessError as error:
            is_locked = isinstance(error, error_mapping.Locked)
            kind, remedy = (error_mapping.Locked, "remove the lock") if is_locked else (Unusable, "see to it that it may be deleted")
            patience = Deadline(max(deadline.remaining(), self._operations.azure.operation_limit_s))
            try:
                self._make_harmless(group_and_name, rule, patience)
            except HarnessError as other_error:
                text = f"{error}; and the rule, which still denies, could not be made harmless: {other_error}"
                raise kind(text) from error
            raise kind(
                f"{error}; the rule denies nobody any more (it names {NOWHERE} alone), but it is still there: {remedy}, then run "
                "`lkharness azure heal` again"
            ) from error

    def _make_harmless(self, group_and_name: tuple[str, str], rule: str, deadline: Deadline) -> None:
        """Who may not delete it may still change it, as under a CanNotDelete lock. Still a Deny: one that allows could let in what others
        keep out."""

        def is_so() -> bool:
            rules = [r.as_dict()["properties"] for r in self._network.security_rules.list(*group_and_name) if r.name == rule]
            return not rules or rules[0].get("destinationAddressPrefix") == NOWHERE

        def send(**options: Any) -> Any:
            properties = next(r.as_dict()["properties"] for r in self._network.security_rules.list(*group_and_name) if r.name == rule)
            properties.pop("destinationAddressPrefixes", None)
            body = {"properties": {**properties, "destinationAddressPrefix": NOWHERE}}
            return self._network.security_rules.begin_create_or_update(*group_and_name, rule, body, **options)

        if not self._operations.read(is_so, deadline, f"reading the rules of {group_and_name[1]}"):
            self._operations.do(f"making {rule} in {group_and_name[1]} harmless", send, is_so, deadline)

    def rule(self, security_group: str, name: str, deadline: Deadline) -> dict[str, Any] | None:
        """A rule's properties as they are on the wire, None when there is no such rule."""
        group_and_name = _group_and_name(security_group)

        def find() -> dict[str, Any] | None:
            rules = (r.as_dict() for r in self._network.security_rules.list(*group_and_name))
            return next((r["properties"] for r in rules if str(r["name"]).lower() == name.lower()), None)

        return self._operations.read(find, deadline, f"reading the rules of {group_and_name[1]}")

    def _rules(self, group_and_name: tuple[str, str]) -> set[str]:
        return {str(r.name) for r in self._network.security_rules.list(*group_and_name)}

    # --- the pool

    def leave(self, nic: str, configuration: str, pool: str, deadline: Deadline) -> None:
        """Only after it is known that the NIC may be put back: a PUT of it as it is asks for every right that the way back needs.

        Who may take a NIC out of a pool need not have the right to join one (f5-cloud-failover-extension 42).
        """
        self._check_may_be_put(nic, deadline)
        self._set_membership(nic, configuration, pool, False, deadline)

    def join(self, nic: str, configuration: str, pool: str, deadline: Deadline) -> None:
        """Puts a NIC's configuration back into a backend pool and waits until it is a member; raises HarnessError or DeadlineExceeded."""
        self._set_membership(nic, configuration, pool, True, deadline)

    def _check_may_be_put(self, nic: str, deadline: Deadline) -> None:
        """Raises what a PUT of the NIC as it is was refused with."""
        accepted = False

        def send(**options: Any) -> Any:
            nonlocal accepted
            poller = self._put_nic(nic, self._nic_json(nic), options)
            accepted = True
            return poller

        self._operations.do(f"putting {name_of(nic)} as it is, to see that it may be put back", send, lambda: accepted, deadline)

    def _put_nic(self, nic: str, body: dict[str, Any], options: dict[str, Any]) -> Any:
        """Of the version that was read: where somebody else changed it since, Azure says 412, and it is read again."""
        match = {"headers": {"If-Match": body["etag"]}} if body.get("etag") else {}
        return self._network.network_interfaces.begin_create_or_update(*_group_and_name(nic), body, **match, **options)

    def _set_membership(self, nic: str, configuration: str, pool: str, member: bool, deadline: Deadline) -> None:
        group_and_name, target = _group_and_name(nic), self.pool_id(pool)
        doing = f"{'putting' if member else 'taking'} {group_and_name[1]} {'into' if member else 'out of'} {pool}"

        def is_so() -> bool:
            return (target.lower() in _pool_ids(self._nic_json(nic), configuration)) is member

        def send(**options: Any) -> Any:
            body = self._nic_json(nic)
            for ip_configuration in body["properties"]["ipConfigurations"]:
                if ip_configuration["name"] == configuration:
                    pools = ip_configuration["properties"].get("loadBalancerBackendAddressPools") or []
                    other_pools = [p for p in pools if p["id"].lower() != target.lower()]
                    ip_configuration["properties"]["loadBalancerBackendAddressPools"] = [
                        *other_pools,
                        *([{"id": target}] if member else []),
                    ]
            return self._put_nic(nic, body, options)

        if not self._operations.read(is_so, deadline, f"reading {group_and_name[1]}"):
            self._operations.do(doing, send, is_so, deadline)

    def machine_of(self, nic: str, deadline: Deadline) -> str:
        """The id of the virtual machine that a NIC is of, empty when it is of none."""
        nic_json = self._operations.read(lambda: self._nic_json(nic), deadline, f"reading {name_of(nic)}")
        return str(((nic_json.get("properties") or {}).get("virtualMachine") or {}).get("id", ""))

    def pool_id(self, pool: str) -> str:
        """Of LB/POOL in the resource group."""
        balancer, _, name = pool.partition("/")
        return f"{self._operations.arm.group}/providers/Microsoft.Network/loadBalancers/{balancer}/backendAddressPools/{name}"

    def _nic_json(self, nic: str) -> dict[str, Any]:
        """As it is on the wire, whole, so that a PUT of it changes nothing but what is meant to change."""
        return self._network.network_interfaces.get(*_group_and_name(nic)).as_dict()

    # --- adminState

    def member(self, pool: str, configuration_id: str, deadline: Deadline) -> Member:
        """The member of LB/POOL that an ip configuration is. Raises Unusable when it is none."""
        for address in self._operations.read(lambda: self._members(pool), deadline, f"reading {pool}"):
            inner = address["properties"]
            if str((inner.get("networkInterfaceIPConfiguration") or {}).get("id", "")).lower() == configuration_id.lower():
                balancer = self.pool_id(pool).rpartition("/backendAddressPools/")[0]
                return Member(balancer, pool, address["name"], inner.get("adminState") or "None")
        raise Unusable(f"{name_of(configuration_id)} is no member of {pool}, so its adminState cannot be set")

    def set_admin(self, pool: str, member: str, state: str, deadline: Deadline) -> None:
        """None, Up or Down for one member (facts FLOW-09 to FLOW-12)."""
        balancer, _, name = pool.partition("/")

        def is_so() -> bool:
            return all((m["properties"].get("adminState") or "None") == state for m in self._members(pool) if m["name"] == member)

        def send(**options: Any) -> Any:
            body = self._pool(pool)
            for address in body["properties"]["loadBalancerBackendAddresses"]:
                if address["name"] == member:
                    address["properties"]["adminState"] = state
            return self._network.load_balancer_backend_address_pools.begin_create_or_update(self._group, balancer, name, body, **options)

        if not self._operations.read(is_so, deadline, f"reading {pool}"):
            self._operations.do(f"setting the adminState of {pool}'s {member} to {state}", send, is_so, deadline)

    def _members(self, pool: str) -> list[dict[str, Any]]:
        return self._pool(pool)["properties"].get("loadBalancerBackendAddresses") or []

    def _pool(self, pool: str) -> dict[str, Any]:
        balancer, _, name = pool.partition("/")
        return self._network.load_balancer_backend_address_pools.get(self._group, balancer, name).as_dict()


def priority_before(rules: Iterable[Any], group: str) -> int:
    """For an inbound rule that comes before all of these, as the packages' models have them. Raises Unusable when none can."""
    priorities = [r.properties.priority for r in rules if r.properties.direction == "Inbound" and r.properties.priority is not None]
    first = min(priorities, default=LAST_PRIORITY)
    if first <= FIRST_PRIORITY:
        raise Unusable(f"{group} has a rule of priority {FIRST_PRIORITY}, and none can come before it; give that one a higher number")
    return first - 1


def pool_of_frontend(host: str, pools: Sequence[str], balancer: Balancer, vip: IPv4Address) -> str:
    """LB/POOL: of the pools (ids) that a host's NIC is in, the one that the rules of the cluster's frontend send to.

    A node may be in others, such as the pool of a public balancer beside it for what goes out. Raises Unusable when it is in none, or in
    several, because who leaves one is still sent the others' connections.
    """
    rule_pool_ids = {i.lower() for f in balancer.frontends if f.address == str(vip) for rule in balancer.rules_of(f) for i in rule.pool_ids}
    names = [p.name for p in balancer.pools if p.id.lower() in rule_pool_ids and any(same(p.id, i) for i in pools)]
    if not names:
        raise Unusable(f"{host} is in no backend pool that a rule of {balancer.name} for {vip} sends to; `lkharness check` says more")
    if len(names) > 1:
        raise Unusable(
            f"{host} is in several pools that rules of {balancer.name} for {vip} send to: {', '.join(names)}; "
            "give those rules one pool, or leave this out"
        )
    return f"{balancer.name}/{names[0]}"


def _group_and_name(resource_id: str) -> tuple[str, str]:
    """Resource group and name."""
    parts = resource_id.split("/")
    return parts[4], parts[-1]


def _pool_ids(nic: dict[str, Any], configuration: str) -> set[str]:
    return {
        str(pool["id"]).lower()
        for ip_configuration in nic["properties"]["ipConfigurations"]
        if ip_configuration["name"] == configuration
        for pool in ip_configuration["properties"].get("loadBalancerBackendAddressPools") or []
    }
