"""What the watchdog waits for before it moves anything back: for what was armed and for the nodes, and not for a client that is off."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.attach import pending_host_undos, watchdog
from harness.attach.pending_host_undos import HostUndoings
from harness.cluster import cluster_audit
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.hosts.deadman.deadman_switch import ArmedUndo
from harness.hosts.host import HostUnreachable

NODES = ("lknode01", "lknode02")


class Cluster:
    """`off`: who cannot be reached; `left`: what of ours is on a host; `running`: what still runs on a node."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.off, self.left, self.running = set[str](), dict[str, list[str]](), dict[str, list[str]]()
        self.asked: list[str] = []
        self.said: list[str] = []
        self.sent: list[str] = []
        monkeypatch.setattr(cluster_audit, "remains", lambda host: self._look(host, self.left))
        monkeypatch.setattr(cluster_audit, "unfinished_commands", lambda host: self._look(host, self.running))
        monkeypatch.setattr(pending_host_undos, "send_undoing", self._send)
        monkeypatch.setattr(pending_host_undos, "RETRY_INTERVAL_S", 0.01)

    def _look(self, host: Any, found: dict[str, list[str]]) -> list[str]:
        self.asked.append(host.name)
        self._reach(host.name)
        return found.get(host.name, [])

    def _reach(self, name: str) -> None:
        if name in self.off:
            raise HostUnreachable(f"{name} does not answer")

    def _send(self, host: Any, undo: ArmedUndo, *, limit: float) -> bool:
        self._reach(host.name)
        self.sent.append(host.name)
        return False

    def wait(self, armed: list[ArmedUndo], *, since_killed_s: float, limit_s: float = 0.4) -> None:
        hosts = {n: SimpleNamespace(name=n, alive=lambda n=n: n not in self.off) for n in (*NODES, "lkclient")}
        machines = [SimpleNamespace(name=n, platform="linux") for n in hosts]
        subject: Any = SimpleNamespace(
            cluster=SimpleNamespace(nodes=machines[:2], machines=machines), hosts=hosts, together=lambda *work: [one() for one in work]
        )
        killed = Deadline(0.0, anchor=Deadline(0.0).anchor - since_killed_s)
        undoings = HostUndoings(armed, subject.hosts, killed, self.said.append, waited_for=NODES)
        watchdog._wait_for_the_hosts(subject, Deadline(limit_s), lambda: None, undoings, self.said.append)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def undo(host: str, longest_s: float = 60.0) -> ArmedUndo:
    return ArmedUndo(host, f"token-{host}", "NIC down", "undo", "check", longest_s)


def test_a_client_that_is_off_and_was_not_armed_is_not_asked(cluster: Cluster) -> None:
    """A colleague's virtual machine, switched off at night: both nodes are fine, and everything would stay on the wrong one."""
    cluster.off = {"lkclient"}
    cluster.wait([undo("lknode01")], since_killed_s=0.0)
    assert "lkclient" not in cluster.asked and cluster.sent == ["lknode01"]


def test_what_is_left_holds_it_up_until_the_armed_terms_are_over(cluster: Cluster) -> None:
    """Another run's file, or a table that no deadman removes any more: it is said, and looked at again by the audit."""
    cluster.left = {"lknode02": ["file /shared/.lkharness-x"]}
    with pytest.raises(DeadlineExceeded, match=r"not seen undone|left behind"):
        cluster.wait([undo("lknode01")], since_killed_s=0.0)
    cluster.wait([undo("lknode01")], since_killed_s=61.0)
    assert "every armed term is over: left behind: lknode02: file /shared/.lkharness-x" in cluster.said[-1]


def test_a_client_that_was_armed_is_waited_for_until_its_own_term_is_over(cluster: Cluster) -> None:
    cluster.off = {"lkclient"}
    with pytest.raises(DeadlineExceeded):
        cluster.wait([undo("lkclient"), undo("lknode01")], since_killed_s=0.0)
    cluster.wait([undo("lkclient"), undo("lknode01")], since_killed_s=61.0)
    assert any("NIC down on lkclient was not seen undone" in text for text in cluster.said)


def test_a_node_is_waited_for_whatever_its_term(cluster: Cluster) -> None:
    cluster.off = {"lknode02"}
    with pytest.raises(DeadlineExceeded):
        cluster.wait([], since_killed_s=61.0)


def test_nothing_is_moved_while_a_command_that_changes_the_cluster_runs(cluster: Cluster) -> None:
    cluster.running = {"lknode01": ["perform_action -t ip -a restore"]}
    with pytest.raises(DeadlineExceeded, match="perform_action"):
        cluster.wait([], since_killed_s=61.0)
