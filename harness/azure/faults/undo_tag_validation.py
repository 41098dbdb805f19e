"""Whether what a tag wants undone can be the work of a harness at all.

Whoever may write tags may write one of ours, and who undoes has far more rights than that: so a tag is obeyed only where what it names is
what a harness does, on what belongs to the cluster.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from harness.azure.client.operation_runner import OperationRunner
from harness.azure.faults.network_faults import DESCRIPTION, RULE, Network
from harness.azure.faults.undo_tag import KEY, Undo
from harness.azure.faults.vm_power import name_of
from harness.azure.inventory import resource_parser
from harness.azure.inventory.resource_model import same
from harness.config.cluster_config import Cluster
from harness.core.deadline import Deadline
from harness.core.errors import Unusable


class NotOurs(Unusable):
    """What a tag wants undone was done by no harness, or to nothing of this cluster."""


@dataclass(frozen=True)
class Ours:
    """The cluster's frontend and its virtual machines' names; where nothing is said, any internal frontend and any machine of the group."""

    frontend: str = ""
    machines: tuple[str, ...] = ()

    @classmethod
    def of(cls, cluster: Cluster) -> Ours:
        """What belongs to this cluster: its frontend's address and its machines' names."""
        assert cluster.azure is not None
        return cls(str(cluster.vip), tuple(cluster.azure.machine(machine.name) for machine in cluster.machines))

    def text(self) -> str:
        """The same as one JSON argument for another process."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Ours:
        """Reads `text` back; raises ValueError or KeyError for anything else."""
        parsed = json.loads(text)
        return cls(str(parsed["frontend"]), tuple(map(str, parsed["machines"])))

    def check(self, operations: OperationRunner, resource: str, pending: Undo, deadline: Deadline) -> None:
        """Raises NotOurs with what a person should look at."""
        if pending.undo in ("start", "restart"):
            self._machine(resource)
        elif pending.undo == "rule":
            _check_rule(operations, resource, pending, deadline)
        else:
            if pending.undo == "admin" and pending.was != "None":
                raise _not_obeyed(
                    f"it wants the adminState set to {pending.was!r}, and a harness disturbs only members whose adminState is None"
                )
            if pending.undo == "pool":
                self._machine(Network(operations).machine_of(resource, deadline))
            self._pool(operations, pending.pool, deadline)

    def _machine(self, resource_id: str) -> None:
        if self.machines and name_of(resource_id).lower() not in (m.lower() for m in self.machines):
            raise _not_obeyed(
                f"{name_of(resource_id) or 'nothing'} is no virtual machine of the cluster file; heal it with the file of the cluster "
                "that it is of"
            )

    def _pool(self, operations: OperationRunner, pool: str, deadline: Deadline) -> None:
        """One that a rule of the cluster's frontend sends to."""
        name, _, _ = pool.partition("/")
        cluster_balancer = operations.azure.load_balancer
        if cluster_balancer and cluster_balancer.lower() != name.lower():
            raise _not_obeyed(f"the pool {pool} is not of the cluster's load balancer {cluster_balancer}")
        get = operations.clients.network.load_balancers.get
        doing = f"reading the load balancer {name}"
        balancer = operations.read(
            lambda: resource_parser.balancer(resource_parser.payload(get(operations.azure.resource_group, name))), deadline, doing
        )
        frontends = [f for f in balancer.frontends if (f.address == self.frontend if self.frontend else not f.public)]
        if not any(same(Network(operations).pool_id(pool), i) for f in frontends for rule in balancer.rules_of(f) for i in rule.pool_ids):
            raise _not_obeyed(f"no rule of {self.frontend or 'an internal frontend'} sends to the pool {pool}")


def _check_rule(operations: OperationRunner, group: str, pending: Undo, deadline: Deadline) -> None:
    if not RULE.fullmatch(pending.name):
        raise _not_obeyed(f"no harness makes a security rule {pending.name!r}")
    rule = Network(operations).rule(group, pending.name, deadline)
    if rule and (str(rule.get("access")) != "Deny" or rule.get("description") != DESCRIPTION):
        raise _not_obeyed(f"the rule {pending.name} of {name_of(group)} is not as a harness makes them")


def _not_obeyed(reason: str) -> NotOurs:
    return NotOurs(f"its tag {KEY} was not obeyed: {reason}; see who wrote it, and remove the tag by hand")
