"""What Azure's network does to the active node: an NSG that denies, a pool that is left, an adminState that is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive, Unusable
from harness.disrupt.azure.azure_base import ByAzure
from harness.disrupt.disruption import BY_FAILURE, NOTHING, Effect, both
from harness.expectations import outage_budget
from harness.expectations.outage_budget import Allowance

if TYPE_CHECKING:
    from harness.azure.faults.network_faults import Member, Network, Nic
    from harness.azure.faults.undo_tag import Undo
    from harness.cluster.cluster_under_test import ClusterUnderTest

MANAGEMENT_OPERATION_S = 30.0  # most management operations are done within it (facts API-14)
STAYS_OUT = both(Effect.OUT, Effect.UNTOUCHED, Effect.OUT)  # the balancer sends nobody there, and nobody moves anything
# A health-check resource that hears no probe moves everything after a while (facts LKL-59); whether Azure goes on probing a member that
# was taken out, or whose adminState is Down, no fact tells.
EITHER = both(Effect.OUT, Effect.ANY, Effect.OUT)


class ByAzureNetwork(ByAzure):
    """What Azure's network does to a node."""

    needs = NOTHING

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._cached_nic: Nic | None = None

    def allowance(self) -> Allowance:
        """Counted from the undoing's beginning, so with the time that Azure takes for an operation."""
        balancer_allowance = outage_budget.balancer_alone(self._subject.cluster)
        return Allowance(
            MANAGEMENT_OPERATION_S + balancer_allowance.seconds,
            f"an operation of Azure's {MANAGEMENT_OPERATION_S:g} (API-14) + {balancer_allowance.because}",
        )

    @property
    def _network(self) -> Network:
        from harness.azure.faults.network_faults import Network

        return Network(self._runner)

    @property
    def _nic(self) -> Nic:
        """The target's first NIC, the one in the pool (facts ILB-13)."""
        if self._cached_nic is None:
            host = self.target()
            address = str(self._subject.cluster.node(host).address)
            self._cached_nic = self._network.nic_of(self._azure.machine(host), address, self._operation())
        return self._cached_nic

    def _pool(self) -> str:
        """LB/POOL that the NIC is in and the cluster's rules send to. Raises Unusable when there is none, or no telling which."""
        from harness.azure.faults.network_faults import pool_of_frontend
        from harness.azure.inventory import resource_reader

        balancers = ["/".join(id.split("/")[:9]) for id in self._nic.pools]
        if balancers and not any(self._is_ours(id) for id in balancers):
            self._demand_healable(balancers[0])
        vip, clients = self._subject.cluster.vip, self._runner.clients
        balancer = self._runner.read(
            lambda: resource_reader.balancer(clients, vip), self._operation(), f"finding the load balancer of {vip}"
        )
        return pool_of_frontend(self.target(), self._nic.pools, balancer, vip)

    def took_effect(self, deadline: Deadline) -> None:
        """`begin` has read in Azure that it is so."""


class AzureDeny(ByAzureNetwork):
    """For new connections only (facts NSG-03), matched by the node's own address and port (NSG-04; the frontend is named, too, for OQ-15).
    Never for the probe: current docs call that unsupported (NSG-12)."""

    name = "azure NSG deny"
    sentence = "a rule of the active node's network security group denies every new connection to the services' ports"
    call = "PUT securityRules"
    moves = False
    expects = STAYS_OUT

    def skip_reason(self) -> str | None:
        cluster = self._subject.cluster
        if cluster.load_balancer.probe.port in self._ports():
            return "the probe asks a service's port, and probes must not be denied by an NSG (NSG-12)"
        return super().skip_reason()

    def _ports(self) -> list[int]:
        return [service.port for service in self._subject.cluster.services]

    def _undoing(self) -> tuple[str, Undo]:
        from harness.azure.faults.management_locks import must_be_unlocked
        from harness.azure.faults.network_faults import new_rule
        from harness.azure.faults.undo_tag import Undo

        group = self._nic.security_group
        if group is None:
            raise Unusable(f"neither {self.target()}'s first NIC nor its subnet has a network security group; make one, or leave this out")
        must_be_unlocked(self._runner, self._demand_healable(group), self._operation())
        return group, Undo.now("rule", self._undone_within_s, name=new_rule())

    def _do(self, deadline: Deadline) -> None:
        assert self._tagged is not None
        group, undo = self._tagged
        cluster = self._subject.cluster
        to = [str(cluster.node(self.target()).address), str(cluster.vip)]
        self._network.deny(group, undo.name, to, self._ports(), deadline)


class OutOfService(ByAzureNetwork):
    """The balancer sends nobody to the active node any more."""

    needs = BY_FAILURE
    moves: bool | None = False
    expects = STAYS_OUT

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        if subject.cluster.manager.hc_timeout_s is not None:
            self.moves, self.expects = None, EITHER


class AzurePoolLeft(OutOfService):
    """New flows stop; established ones go on until the machine stops (facts FLOW-13)."""

    name = "azure pool left"
    sentence = "the active node's NIC is taken out of the load balancer's backend pool, and put back at the end"
    call = "PUT networkInterfaces"

    def _undoing(self) -> tuple[str, Undo]:
        from harness.azure.faults.undo_tag import Undo

        return self._demand_healable(self._nic.id), Undo.now("pool", self._undone_within_s, name=self._nic.configuration, pool=self._pool())

    def _do(self, deadline: Deadline) -> None:
        assert self._tagged is not None
        nic, undo = self._tagged
        self._network.leave(nic, undo.name, undo.pool, deadline)


class ByAdminState(ByAzureNetwork):
    """What the balancer's administrative state does to a node."""

    state = ""
    call = "PUT backendAddressPools"

    def _member(self) -> Member:
        return self._network.member(self._pool(), self._nic.configuration_id, self._operation())

    def _undoing(self) -> tuple[str, Undo]:
        from harness.azure.faults.undo_tag import Undo

        member = self._member()
        if member.admin_state != "None":
            raise Unusable(
                f"{self.target()}'s adminState is {member.admin_state} already (FLOW-11); set it to None, it falsifies every failover"
            )
        return member.balancer_id, Undo.now("admin", self._undone_within_s, name=member.name, pool=member.pool, was=member.admin_state)

    def _do(self, deadline: Deadline) -> None:
        from harness.azure.client import error_mapping

        assert self._tagged is not None
        _, undo = self._tagged
        try:
            self._network.set_admin(undo.pool, undo.name, self.state, deadline)
        except HarnessError as error:
            if error_mapping.status_of(error) != 400:
                raise
            raise Inconclusive(
                f"{self.name} was not done: Azure does not take a PUT of a pool whose members are NICs, which it was asked by ({error})"
            ) from error


class AzureAdminDown(ByAdminState, OutOfService):
    """No new flows; what becomes of established ones is open (facts FLOW-10, OQ-04)."""

    name = "azure adminState down"
    sentence = "the active node's adminState in the load balancer's pool is set to Down, and to None at the end"
    state = "Down"


class AzureAdminUp(ByAdminState):
    """The standby is eligible whatever its probe says (facts FLOW-09), so connections are shared out by the hash, and half of them reach a
    node without the service or the VIP (N6, F6)."""

    name = "azure adminState up on the standby"
    sentence = "the standby's adminState in the load balancer's pool is set to Up, and the balancer sends it every other connection"
    state = "Up"
    moves = False
    shares = True
    expects = STAYS_OUT

    def target(self) -> str:
        return self._subject.standby_of(self._node)

    @property
    def lasts_s(self) -> float:
        return super().lasts_s + 1.5

    def skip_reason(self) -> str | None:
        kind = self._subject.cluster.load_balancer.distribution
        if kind != "Default":
            return f"the balancer's distribution is {kind}: a client's connections are not shared out (FLOW-04)"
        return super().skip_reason()
