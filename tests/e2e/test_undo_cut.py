"""A cut, as text on a machine of its own, and what the managers must say of it."""

from __future__ import annotations

import pytest
from own_machine import own_machine, path

from harness.core.deadline import Deadline
from harness.disrupt.bases.packet_drop_base import VANISHED, Drops, cut_script
from harness.disrupt.network.comm_paths_cut import called_dead, uncut
from harness.hosts.deadman.deadman_switch import Deadman, remains
from harness.hosts.local_host import LocalHost
from harness.managers.manager import ClusterState, CommPath, NodeState

DROPS = Drops(("ip daddr 127.0.0.9",), ("ip daddr 127.0.0.8",))
ONE, TWO = ("10.20.1.12", "10.20.1.11"), ("10.20.2.12", "10.20.2.11")


@pytest.fixture
def here():
    with own_machine() as host:
        yield LocalHost("here", prefix=[*host._prefix, "env", f"PATH={path()}"])


def test_it_tells_what_it_dropped(here):
    deadman = Deadman(here, "cut", longest=60)
    deadman.do(cut_script(deadman.id, DROPS), limit=20)
    here.run(["python3", "-c", "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.9', 9))"])
    assert deadman.undo(Deadline(20)) is True
    assert deadman.said == "note: 1 packets were dropped" and remains(here) == []


def test_rules_that_a_reload_removed_are_told(here):
    """`undone` alone would say that all was cut until then."""
    deadman = Deadman(here, "cut", longest=60)
    deadman.do(cut_script(deadman.id, DROPS), limit=20)
    here.check("nft flush ruleset")
    assert deadman.undo(Deadline(20)) is True
    assert VANISHED in deadman.said and remains(here) == []


def node(name: str, *paths: tuple[str, bool], running: bool = True) -> NodeState:
    return NodeState(name, running, {}, tuple(CommPath("x", addresses, alive) for addresses, alive in paths))


@pytest.mark.parametrize(
    ("nodes", "dead"),
    [
        ([node("a", ("10.20.1.11/10.20.1.12", False), ("10.20.2.11/10.20.2.12", False))] * 2, True),
        ([node("a", ("10.20.1.11/10.20.1.12", False), ("10.20.2.11/10.20.2.12", True))] * 2, False),
        # one of them does not know yet
        (
            [
                node("a", ("10.20.1.11/10.20.1.12", False), ("10.20.2.11/10.20.2.12", False)),
                node("b", ("10.20.1.12/10.20.1.11", True), ("10.20.2.12/10.20.2.11", False)),
            ],
            False,
        ),
        # one boots: it lost
        ([node("a", ("10.20.1.11/10.20.1.12", False), ("10.20.2.11/10.20.2.12", False)), node("b", running=False)], True),
        ([node("a", running=False)] * 2, False),  # nobody says anything
        ([node("a", ("10.20.2.11/10.20.2.12", False))] * 2, False),  # nobody speaks of the first path
    ],
)
def test_the_managers_must_call_every_path_dead(nodes, dead):
    assert called_dead(ClusterState({str(i): n for i, n in enumerate(nodes)}), [ONE, TWO]) is dead


def test_a_third_path_is_named():
    state = ClusterState({"a": node("a", ("10.20.1.11/10.20.1.12", True), ("/dev/ttyS0", True), ("10.20.3.11/10.20.3.12", True))})
    assert uncut(state, [ONE, TWO]) == ["/dev/ttyS0", "10.20.3.11/10.20.3.12"]
