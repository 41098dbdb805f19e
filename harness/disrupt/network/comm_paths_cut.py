"""Communication paths between the nodes cut: one, all of them, and all in one direction only.

Always on the standby node and between the nodes' own addresses: its way through the balancer, to the VIP, is not cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.disrupt.bases.packet_drop_base import Blocks, Cut, Drops, drops_between
from harness.disrupt.disruption import BY_LOSS, Effect, both
from harness.expectations import outage_budget
from harness.managers.manager import ClusterState, CommPath, Question

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest


QUESTION_TIMEOUT_S = 2.0  # a node that has lost is halting, and must not keep the cut from ending in time


class _AtTheStandby(Cut):
    on_windows = ""

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._standby, self._peer = subject.cluster.peer_of(self._node), subject.cluster.node(self._node)

    def target(self) -> str:
        return self._standby.name

    def skip_reason(self) -> str | None:
        if self._standby.ssh.jump == self._peer.name or self._peer.ssh.jump == self._standby.name:
            return "one node is logged in to through the other, and the cut would cut that off"
        return super().skip_reason()

    def took_effect(self, deadline: Deadline) -> None:
        """Packets were dropped, and the manager of every node that can be asked calls the paths dead. Raises DeadlineExceeded."""
        super().took_effect(deadline)
        pairs = self.pairs()

        def are_dead() -> bool:
            return are_called_dead(self._subject.manager.state(limit=QUESTION_TIMEOUT_S), pairs)

        deadline.wait_for(are_dead, what=f"the cluster manager calling {' and '.join('/'.join(pair) for pair in pairs)} dead", every=0.2)

    def blocks(self) -> Blocks:
        """Everything between the addresses of these paths, on the standby alone: one side's rules end what either side opened."""
        own_addresses, peer_addresses = zip(*self.pairs(), strict=True)
        return Blocks(own_addresses, peer_addresses)

    def pairs(self) -> list[tuple[str, str]]:
        """The addresses between which paths are cut."""
        own_node, peer_node = self._standby, self._peer
        return [(str(own_node.address), str(peer_node.address)), (str(own_node.second_address), str(peer_node.second_address))]


def is_between(path: CommPath, pairs: Iterable[tuple[str, str]]) -> bool:
    """Is it a path between two of these addresses? What a manager prints between them is its own affair."""
    addresses = set(re.findall(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", path.addresses))
    return any(addresses == set(pair) for pair in pairs)


def are_called_dead(state: ClusterState, pairs: Sequence[tuple[str, str]]) -> bool:
    """Does every node that answers (one at least) name a path for each pair, and call them all dead? Pure."""
    running_nodes = [node for node in state.nodes.values() if node.running]
    return bool(running_nodes) and all(
        all(any(is_between(p, [pair]) for p in node.comm_paths) for pair in pairs)
        and not any(p.alive for p in node.comm_paths if is_between(p, pairs))
        for node in running_nodes
    )


def uncut_paths(state: ClusterState, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The communication paths that run between other addresses: a serial line, a third NIC. Pure."""
    return sorted({p.addresses for node in state.nodes.values() for p in node.comm_paths if not is_between(p, pairs)})


class OneCommPathCut(_AtTheStandby):
    """Heartbeats use every path, and a failover starts only when all are DEAD (facts LKL-36, LKL-37)."""

    name = "one comm path cut"
    sentence = "the nodes no longer reach each other in Subnet#2; the communication path in Subnet#1 stays"
    needs = frozenset({Question.TOLD})
    cuts = True
    moves = False
    expects = both(Effect.UNTOUCHED, Effect.UNTOUCHED, Effect.UNTOUCHED)
    runs_with = frozenset(
        {
            *("switchover", "failback", "service crash", "service hang", "manager crash", "probe responder crash", "probe blocked"),
            *("power loss", "node reboot", "node freeze", "IP resource lost"),
        }
    )

    @property
    def lasts_s(self) -> float:
        """Twice as long as the path needs to be called DEAD."""
        manager = self._subject.cluster.manager
        return 1.0 + 2 * manager.heartbeat_s * manager.heartbeats_missed

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.node_loss(self._subject.cluster)

    def drops(self) -> Drops:
        """Everything between the nodes in Subnet#2."""
        return drops_between(self._standby.second_address, self._peer.second_address)

    def pairs(self) -> list[tuple[str, str]]:
        return super().pairs()[1:]


class AllCommPathsCut(_AtTheStandby):
    """Split brain: each node starts what it does not run, and the shared disk's reservation decides (facts LKL-40). The loser halts
    and reboots; while the cut lasts it may win the disk back, so either node is right at the end, and the cut must end soon."""

    name = "all comm paths cut"
    sentence = "the nodes no longer reach each other at all, and each thinks that the other is dead; both still reach everybody else"
    needs = BY_LOSS
    splits = reboots = True
    both_may_answer = True
    expects = both(Effect.RECOVERS, Effect.RECOVERS, Effect.ANY)

    @property
    def lasts_s(self) -> float:
        """Until the peer has begun to take over, and the loser has looked at its disk. Not much longer: a loser that has booted again
        and still hears nobody takes the disk back."""
        manager = self._subject.cluster.manager
        return 0.5 + manager.heartbeat_s * manager.heartbeats_missed + manager.check_interval_s

    def skip_reason(self) -> str | None:
        if why := super().skip_reason():
            return why
        others = uncut_paths(self._subject.manager.state(), self.pairs())
        return f"the nodes also communicate over {' and '.join(others)}, which would not be cut" if others else None

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.split_brain(self._subject.cluster)

    def drops(self) -> Drops:
        """Everything between the nodes in both subnets."""
        return drops_between(self._standby.address, self._peer.address) + drops_between(
            self._standby.second_address, self._peer.second_address
        )


class OneWayCut(AllCommPathsCut):
    """Heartbeats are answered on the same connection, so one direction lost is both lost (facts LKL-35, as the stand-in has it)."""

    name = "one-way cut"
    on_windows = "a rule of Windows Firewall cuts both directions or none (facts WNET-21), and its filters below have no program here"
    sentence = "the standby no longer hears the active node on any communication path; the other direction is open"

    def drops(self) -> Drops:
        """What the peer sends to the node, in both subnets."""
        own_node, peer_node = self._standby, self._peer
        in_first_subnet = drops_between(own_node.address, peer_node.address, outbound=False)
        return in_first_subnet + drops_between(own_node.second_address, peer_node.second_address, outbound=False)
