"""What LifeKeeper prints, read: on the facts' own samples, and on texts that nobody expects."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.config import cluster_config
from harness.hosts.host import Command, CommandResult, HostUnreachable
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.lifekeeper import LifeKeeper, address_in, notices, parse
from harness.managers.manager import ClusterState, CommPath, NodeState, Question, ResourceState
from harness.managers.switchover_readiness import by_state

HEADER = "LOCAL     TAG              ID              STATE     PRIO  PRIMARY\n"
ACTIVE = (  # LKL-09
    HEADER
    + """\
lknode01  listener-1521    listener-1521   ISP          1  lknode01
lknode01   ip-10.20.1.200  IP-10.20.1.200  ISP          1  lknode01
lknode01   lbhc-12345      lbhc-12345      ISP          1  lknode01

MACHINE   NETWORK ADDRESSES/DEVICE       STATE     PRIO
lknode02  TCP     10.20.1.11/10.20.1.12  ALIVE        1
lknode02  TCP     10.20.2.11/10.20.2.12  ALIVE        2
"""
)
STANDBY = """\
BACKUP    TAG              ID              STATE     PRIO  PRIMARY
------    listener-1521    listener-1521   OSU         10  lknode01
------     ip-10.20.1.200  IP-10.20.1.200  OSU         10  lknode01
------     lbhc-12345      lbhc-12345      OSU         10  lknode01

MACHINE   NETWORK ADDRESSES/DEVICE       STATE     PRIO
lknode01  TCP     10.20.1.12/10.20.1.11  ALIVE        1
lknode01  TCP     10.20.2.12/10.20.2.11  DEAD         2
"""
SECOND = "lknode01  pgsql            pgsql           OSF          1  lknode01\n"
BESIDE = ACTIVE.replace("\nMACHINE", f"{SECOND}\nMACHINE")
STOPPED = "LifeKeeper does not appear to be running.\n"  # LKL-10
IN, OUT = ResourceState.IN_SERVICE, ResourceState.STANDBY


def test_the_active_node():
    state = parse("lknode01", ACTIVE)
    assert state.resources == {"listener-1521": IN, "ip-10.20.1.200": IN, "lbhc-12345": IN}
    assert state.running and state.has_everything and not state.stands_by
    assert state.comm_paths == (
        CommPath("lknode02", "10.20.1.11/10.20.1.12", True),
        CommPath("lknode02", "10.20.2.11/10.20.2.12", True),
    )


def test_the_standby_node_with_a_dead_path():
    state = parse("lknode02", STANDBY)
    assert state.stands_by and not state.has_something
    assert set(state.resources) == {"listener-1521", "ip-10.20.1.200", "lbhc-12345"}
    assert [p.alive for p in state.comm_paths] == [True, False]


def test_running_but_empty():
    """Only the header line, and no path table (LKL-10): running, and in charge of nothing."""
    state = parse("lknode01", HEADER)
    assert state.running and not state.resources and not state.has_everything and not state.stands_by and not state.comm_paths


@pytest.mark.parametrize("text", [STOPPED, STOPPED.upper().lower().replace("lifekeeper", "LifeKeeper"), f"\n{STOPPED}\n"])
def test_not_running(text):
    state = parse("lknode01", text)
    assert not state.running and state.why == "LifeKeeper is not running" and not state.has_something


@pytest.mark.parametrize("text", ["", "\n \n", "sh: 1: lcdstatus: Permission denied\n", "LCD is initialising, try again\n"])
def test_whatever_else_it_says_is_quoted(text):
    """A transient or broken answer is nobody to ask, and the person reads what it said."""
    state = parse("lknode01", text)
    assert not state.running and not state.has_something
    assert state.why.endswith(text.strip() or "nothing")


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("ISP", IN),
        ("ISU", ResourceState.UNPROTECTED),
        ("OSU", OUT),
        ("OSF", ResourceState.FAILED),
        ("ILLSTATE", ResourceState.UNKNOWN),
    ],
)
def test_states(word, state):
    """LKL-14 to LKL-16; ISU is active, unprotected."""
    seen = parse("n", f"{HEADER}n  ip-1  IP-1  {word}  1  n\n")
    assert seen.resources == {"ip-1": state}
    assert seen.has_something is word.startswith("IS")


def test_a_transient_state_is_neither_active_nor_standby():
    """While the tables are updated a tag is ILLSTATE: the node does not have everything, and does not stand by either."""
    state = parse("lknode01", ACTIVE.replace("lbhc-12345      ISP", "lbhc-12345      ILLSTATE"))
    assert not state.has_everything and not state.stands_by and state.has_something


def test_a_table_cut_off_in_a_row_does_not_look_whole():
    """A row that is cut off is not believed, and neither is it forgotten: the node would seem to have everything."""
    cut = ACTIVE[: ACTIVE.index("lbhc-12345      ISP") + len("lbhc-12345      I")]
    state = parse("lknode01", cut)
    assert state.resources == {"listener-1521": IN, "ip-10.20.1.200": IN, "lbhc-12345": ResourceState.UNKNOWN}


def test_ids_with_blanks_and_shortened_ids():
    """An ID may hold blanks or be shortened in the middle (LKL-06); the columns after it are still found."""
    state = parse("n", f"{HEADER}n  app  my data ISP base  OSU  10  m\nn   fs  /very/l...path  ISP  1  n\n")
    assert state.resources == {"app": OUT, "fs": IN}


def test_a_serial_path_has_no_priority():
    state = parse("n", f"{HEADER}\nMACHINE  NETWORK  ADDRESSES/DEVICE  STATE  PRIO\nm  TTY  /dev/ttyS0  ALIVE  --\n")
    assert state.comm_paths == (CommPath("m", "/dev/ttyS0", True),)


def test_a_path_that_cannot_be_read_is_not_left_out():
    """The rest would look like every path. A DISK may name no address."""
    table = f"{HEADER}\nMACHINE  TYPE  ADDRESSES/DISK  STATE  PRIO\nm  TCP  a/b  ALIVE  1\n"
    assert parse("n", f"{table}m  DISK  DEAD  --\n").comm_paths == (CommPath("m", "a/b", True), CommPath("m", "DISK", False))
    for row in ("m  TCP  a/b  ALI", "m  TCP  a/b  DEAD", "m  DISK  ALIVE  of X:  --"):
        assert parse("n", f"{table}{row}\n").comm_paths == ()


def test_a_shared_child_under_two_parents_is_one_resource():
    twice = ACTIVE.replace("\n\n", "\nlknode01   ip-10.20.1.200  IP-10.20.1.200  ISP          1  lknode01\n\n")
    assert len(parse("lknode01", twice).resources) == 3


words = st.sampled_from(
    ["LOCAL", "TAG", "ISP", "ISU", "OSU", "OSF", "ILLSTATE", "1", "--", "n", "tag", "ID", "\n", " ", "  ", "TCP", "ALIVE", "running"]
)
texts = st.one_of(st.text(), st.lists(words).map(" ".join), st.lists(words).map("".join))


@given(texts)
@example(ACTIVE.replace("ISP", "OSU"))
@example(ACTIVE.replace(" ISP ", " XISP "))
@example(STOPPED + ACTIVE)
@example("ISP ISP ISP ISP ISP\n")
def test_no_text_makes_it_raise_or_call_a_node_active_without_a_row(text):
    """Whatever is printed is read without an error, and nobody is active of whom no row says ISP or ISU."""
    state = parse("n", text)
    assert state.running or state.why
    if not re.search(r"\s(ISP|ISU)\s+\d+\s", text):
        assert not state.has_something and not state.has_everything


def node(name: str, *states: ResourceState, paths: tuple[bool, ...] = (True, True)) -> NodeState:
    resources = {f"r{i}": s for i, s in enumerate(states)}
    return NodeState(name, True, resources, tuple(CommPath("peer", f"a{i}/b{i}", alive) for i, alive in enumerate(paths)))


def both(a: NodeState, b: NodeState) -> ClusterState:
    return ClusterState({a.node: a, b.node: b})


GONE = NodeState("b", False, {}, (), "b: no answer")


@pytest.mark.parametrize(
    ("state", "active", "whole"),
    [
        (both(node("a", IN, IN), node("b", OUT, OUT)), "a", True),
        (both(node("a", OUT, OUT), node("b", IN, ResourceState.UNPROTECTED)), "b", True),
        (both(node("a", IN, IN), node("b", IN, IN)), None, False),  # split brain (LKL-17)
        (both(node("a", OUT, OUT), node("b", OUT, OUT)), None, False),  # an outage
        (both(node("a", IN, OUT), node("b", OUT, OUT)), None, False),  # partial
        (both(node("a", IN, IN), node("b", OUT, IN)), None, False),  # a part of it twice
        (both(node("a", IN, IN), GONE), "a", False),  # the survivor
        (both(node("a", IN, IN), node("b", OUT, ResourceState.FAILED)), "a", False),
        (both(node("a", IN, IN, paths=(True, False)), node("b", OUT, OUT)), "a", False),
        (both(node("a", IN, IN), node("b", OUT, OUT, paths=(False, True))), "a", False),
        (both(node("a", IN, paths=()), node("b", OUT, paths=())), "a", False),  # no path at all is no whole cluster
        (both(node("a"), node("b")), None, False),  # running but empty
    ],
)
def test_the_cluster(state, active, whole):
    """Who is active, and whether nothing is amiss."""
    assert (state.active, state.healthy) == (active, whole)


@given(*[st.lists(st.sampled_from(ResourceState), max_size=4) for _ in range(2)])
def test_never_two_active_nodes(a, b):
    """An active node has everything, and then the other has nothing; without one nothing is whole."""
    state = both(node("a", *a), node("b", *b))
    if state.active is None:
        assert not state.healthy
    else:
        mine, others = (a, b) if state.active == "a" else (b, a)
        assert mine and all(s.active for s in mine) and not any(s.active for s in others)


def test_it_prints_what_each_node_says():
    said = str(both(node("a", IN, paths=(True, False)), GONE))
    assert "a: r0 in service" in said and "communication path a1/b1 dead" in said and "b: no answer" in said


@pytest.mark.parametrize("inner", [" ", "\x02", ":", "/"])
def test_the_address_of_an_ip_resource_is_found_whatever_separates_its_info(inner: str) -> None:
    info = inner.join(["lknode01", "eth1", "10.20.1.200", "ffffffff"])
    row = "\x01".join(["lknode01", "comm", "ip", "ip-10.20.1.9", "IP-10.20.1.9", info, "ISP"])
    assert address_in(row + "\n") == "10.20.1.200"


@pytest.mark.parametrize("row", ["", "lknode01", "\x01" * 6, "lknode01\x01gen\x01app\x01t\x01t\x01no address\x01ISP"])
def test_no_address_is_made_up(row: str) -> None:
    assert address_in(row) is None


@pytest.mark.parametrize(
    ("line", "means"),
    [
        ("Nov 22 14:03:07 lknode01 quickCheck[4211]: ERROR:gen:quickCheck:listener-1521:990200:it does not answer", True),
        ("Nov  2 14:03:07 lknode02 lcm[1]: ERROR::::990303:lknode01 is silent", True),
        ("Nov 22 14:03:07 lknode01 perform_action[4]: NOTIFY::restore:listener-1521:990101:restore begins", True),
        ("Nov 22 14:03:07 lknode01 lcm[4]: NOTIFY:::x:990300:path ALIVE", False),
        ("Nov 22 14:03:07 lknode01 lcdinit[4]: INFO::::990002:settings used: ERROR=1", False),
        ("ERROR", False),
        ("", False),
    ],
)
def test_notices_are_told_by_the_form_of_the_line(line: str, means: bool) -> None:
    """LKL-62."""
    assert notices(line) is means


class Node:
    """A host that keeps what it was asked. `status` is what lcdstatus prints there; None: it cannot be reached."""

    def __init__(self, name: str, status: str | None, exit: int = 0) -> None:
        self.name, self.status, self.exit = name, status, exit
        self.asked: list[str] = []

    def run(self, command: Command, *, limit: float = 10.0) -> CommandResult:
        words = command if isinstance(command, str) else " ".join(command)
        self.asked.append(words)
        if self.status is None:
            raise HostUnreachable(f"{self.name} does not answer")
        is_status = "lcdstatus" in words
        return CommandResult(self.name, words, self.exit if is_status else 0, self.status if is_status else "", "", 0.0, 0.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Node("lknode01", ACTIVE), Node("lknode02", STANDBY)),
        (Node("lknode01", ACTIVE), Node("lknode02", None)),
        (Node("lknode01", ACTIVE), Node("lknode02", "", 127)),
        (Node("lknode01", BESIDE), Node("lknode02", STANDBY)),
        (Node("lknode01", BESIDE, 1), Node("lknode02", STANDBY)),  # what another application has is read of a good exit alone
    ],
)
def test_whether_a_switchover_is_allowed_is_read_from_one_look_at_each_node(first: Node, second: Node) -> None:
    """It is what the state and another application's resources say, each asked by itself."""
    cluster = cluster_config.parse(default_cluster.cluster_data(), Path("x"))
    manager = LifeKeeper(cluster, {"lknode01": first, "lknode02": second})  # type: ignore[dict-item]
    unrelated, state = manager.unrelated_resources(), manager.state()
    for node in (first, second):
        node.asked.clear()
    answer = manager.may_switch_over("lknode02")
    assert [sum("lcdstatus" in words for words in node.asked) for node in (first, second)] == [1, 1]
    alone = by_state("lknode02", state.without(unrelated), Question.TOLD).answer
    assert set(alone.because) <= set(answer.because) and answer.no >= alone.no, (alone, answer)
    assert ("pgsql" in " ".join(answer.because)) is ("pgsql" in " ".join(alone.because)), (alone, answer)
