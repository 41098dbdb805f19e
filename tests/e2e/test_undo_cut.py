"""A cut, as text on a machine of its own, and what the managers must say of it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from namespaced_host import own_machine, path

from harness.core.deadline import Deadline
from harness.disrupt import disruption, undo
from harness.disrupt.bases.packet_drop_base import MADE_AGAIN, VANISHED, Counters, Cut, Drops, cut_script, not_throughout
from harness.disrupt.disruption import EffectLost
from harness.disrupt.network.comm_paths_cut import are_called_dead, uncut_paths
from harness.hosts.deadman.deadman_switch import Deadman, Script, UndoFailed, remains
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
    deadman.do(cut_script(deadman.id, DROPS), limit=120)
    here.run(["python3", "-c", "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.9', 9))"])
    assert deadman.undo(Deadline(120)) is True
    assert deadman.undo_output.splitlines()[0] == "note: 1 packets were dropped" and remains(here) == []


def test_rules_that_a_reload_removed_are_told(here):
    """`undone` alone would say that all was cut until then."""
    deadman = Deadman(here, "cut", longest=60)
    deadman.do(cut_script(deadman.id, DROPS), limit=120)
    here.check("nft flush ruleset")
    assert deadman.undo(Deadline(120)) is True
    assert VANISHED in deadman.undo_output
    # what slept until the cut's own end may be seen for a moment after it was ended
    Deadline(120).wait_for(lambda: remains(here) == [], what="nothing of the cut being left", every=0.1)


def without_nft(here, tmp_path, line: str) -> LocalHost:
    """The same machine, whose nft is being replaced, or is out of memory."""
    (tmp_path / "nft").write_text(f"#!/bin/sh\n{line}\n")
    (tmp_path / "nft").chmod(0o755)
    return LocalHost("here", prefix=[*here._prefix, "env", f"PATH={tmp_path}:{path()}"])


@pytest.mark.parametrize("line", ["echo 'netlink: out of memory' >&2; exit 1", "exit 127"])
def test_an_nft_that_fails_is_no_cut_that_is_gone(here, tmp_path, line):
    """The table is in force all the while: it is not undone, and is undone when nft can be asked again."""
    deadman = Deadman(here, "cut", longest=60)
    deadman.do(cut_script(deadman.id, DROPS), limit=120)
    deadman.host = without_nft(here, tmp_path, line)
    with pytest.raises(UndoFailed, match="nft cannot be asked"):
        deadman.undo(Deadline(0.3))
    assert deadman.id in here.check("nft list tables")
    assert any(left.startswith("perhaps an nft table of ours") for left in remains(deadman.host))
    deadman.host = here
    assert deadman.undo(Deadline(120)) is True and "nft" not in here.check("nft list ruleset")
    Deadline(120).wait_for(lambda: remains(here) == [], what="nothing of the cut being left", every=0.1)


def test_where_it_was_not_begun_nft_need_not_be_asked(here, tmp_path):
    deadman = Deadman(here, "cut", longest=60)
    script = cut_script(deadman.id, DROPS)
    deadman.do(Script(":", script.undo, script.check), limit=120)
    deadman.host = without_nft(here, tmp_path, "exit 127")
    assert deadman.undo(Deadline(120)) is True


SEND = "for a in 127.0.0.9 127.0.0.8; do echo x >/dev/udp/$a/9; done 2>/dev/null; true"
# What a firewall does that saves its rules and loads them again, with the counters' values and without.
RESTORED = "nft list ruleset >/run/saved; nft flush ruleset; nft -f /run/saved"
RELOADED = "nft -s list ruleset >/run/saved; nft flush ruleset; nft -f /run/saved"


class CutHere(Cut):
    """Between two loopback addresses; nobody is asked for permission in a namespace of one's own."""

    name, sentence, cuts, moves, lasts_s, longest_s = "a cut here", "", True, False, 1.0, 60.0
    expects, allowance = None, None

    def drops(self):
        return Drops(outbound=("ip daddr 127.0.0.9", "ip daddr 127.0.0.8"))

    def target(self):
        return "here"

    def begin(self, deadline):
        deadman = self._arm("here")
        deadman.do(self.script(deadman.id), limit=120)


CutHere.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        ("true", ""),
        ("nft flush ruleset", VANISHED),
        (RELOADED, MADE_AGAIN),
        (RESTORED, MADE_AGAIN),
        (f"{RELOADED}; {SEND}; {SEND}", MADE_AGAIN),
    ],
)
def test_a_cut_that_was_not_in_force_all_the_while_is_inconclusive(here, monkeypatch, meanwhile, why):
    """Real rules, removed and made again between the effect being seen and the undoing. It is undone all the same."""
    noted = []
    monkeypatch.setattr(disruption, "clear_failures", lambda subject, deadline: None)  # there is no manager here
    timeline = SimpleNamespace(note=lambda *words: noted.append(words))
    subject = SimpleNamespace(
        cluster=SimpleNamespace(machines=[]),
        hosts={"here": here},
        active="here",
        standing=[],
        lost=lambda: "",
        before_undoing=lambda: None,
        timeline=timeline,
    )
    subject.arming, subject.disarmed = lambda armed: None, lambda token: None
    cut = CutHere(subject)
    undo.begin(subject, cut, Deadline(60))
    here.check(["bash", "-c", SEND])
    cut.took_effect(Deadline(60))
    here.check(["bash", "-c", meanwhile])
    if why:
        with pytest.raises(EffectLost, match=re.escape(why)):
            undo.undo(subject, cut, Deadline(60))
    else:
        undo.undo(subject, cut, Deadline(60))
    assert remains(here) == [] and subject.standing == [] and undo.undo_what_stands(subject) == []
    assert "nft" not in here.check("nft list ruleset")


@pytest.mark.parametrize(
    ("seen", "last", "throughout"),
    [
        (Counters("7", (1, 1)), Counters("7", (1, 1)), True),
        (Counters("7", (1, 1)), Counters("7", (5, 9)), True),
        (Counters("7", (1, 1)), Counters("8", (5, 9)), False),
        (Counters("7", (3, 1)), Counters("7", (2, 9)), False),  # somebody set them back
        (Counters("", (3, 1)), Counters("", (9, 0)), False),  # an nft that prints no table's handle
        (Counters("7", (3, 1)), Counters("7", (9,)), False),
        (Counters("7", (3, 1)), Counters(), False),
        (None, Counters("7", (0, 0)), True),
        (None, Counters(), False),
    ],
)
def test_what_the_counters_prove(seen, last, throughout):
    assert (not_throughout(seen, last) == "") is throughout


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
    assert are_called_dead(ClusterState({str(i): n for i, n in enumerate(nodes)}), [ONE, TWO]) is dead


def test_a_third_path_is_named():
    state = ClusterState({"a": node("a", ("10.20.1.11/10.20.1.12", True), ("/dev/ttyS0", True), ("10.20.3.11/10.20.3.12", True))})
    assert uncut_paths(state, [ONE, TWO]) == ["/dev/ttyS0", "10.20.3.11/10.20.3.12"]
