"""Would a switchover be allowed, by LifeKeeper's states, flags, policies and settings; and a log cut to a span of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.config import cluster_config
from harness.config.cluster_config import Manager
from harness.hosts.root_rights import is_marked_for_root
from harness.lab.lifecycle import default_cluster
from harness.managers.data_mirror import check_mirror
from harness.managers.kinds.lifekeeper_windows import LifeKeeperWindows, machines_left, state_of
from harness.managers.log_window import MAX_READ_BYTES, time_of, window
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, Question, ResourceState, Says, answer
from harness.managers.rules.lifekeeper_disk_rules import fenced_by, mirrored_by
from harness.managers.rules.lifekeeper_switchover_rules import by_flags, by_policies, by_settings
from harness.managers.switchover_readiness import NodeOutput, by_state

IN, OUT, LOST = ResourceState.IN_SERVICE, ResourceState.STANDBY, ResourceState.UNKNOWN
ALIVE, DEAD = CommPath("x", "a/b", True), CommPath("x", "c/d", False)


def node(name: str, *states: ResourceState, paths: tuple[CommPath, ...] = (ALIVE, ALIVE)) -> NodeState:
    return NodeState(name, True, {f"r{i}": s for i, s in enumerate(states)}, paths)


def both(a: NodeState, b: NodeState) -> ClusterState:
    return ClusterState({"a": a, "b": b})


STOPPED, AWAY = NodeState("a", False, {}, (), "it is not running", stopped=True), NodeState("a", False, {}, (), "no answer")


@pytest.mark.parametrize(
    ("state", "says", "why"),
    [
        (both(node("a", IN, IN), node("b", OUT, OUT)), Says.YES, ""),
        (both(node("a", IN, OUT), node("b", OUT, OUT)), Says.YES, ""),  # a partial hierarchy may still be moved
        (both(node("a", IN, paths=(ALIVE, DEAD)), node("b", OUT)), Says.YES, ""),
        (both(node("a", IN, paths=(DEAD, DEAD)), node("b", OUT)), Says.NO, "every communication path is dead (c/d, c/d)"),
        (both(node("a", IN), node("b", OUT, paths=())), Says.CANNOT_TELL, "names no communication path"),
        (both(node("a", OUT), node("b", IN)), Says.NO, "b has everything in service already"),
        (both(node("a", OUT, OUT), node("b", IN, OUT)), Says.NO, "b has r0 in service already"),
        (both(node("a", IN), node("b", IN)), Says.NO, "both have resources in service"),
        (both(node("a", OUT), node("b", OUT)), Says.NO, "nothing to move"),
        (both(node("a", IN), node("b")), Says.NO, "knows no resource"),
        (both(node("a", IN), node("b", LOST)), Says.CANNOT_TELL, "the state of r0 is in transit"),
        (both(STOPPED, node("b", OUT)), Says.NO, "a: it is not running"),
        (both(AWAY, node("b", OUT)), Says.CANNOT_TELL, "a: no answer"),
    ],
)
def test_by_state(state, says, why):
    found = by_state("b", state).answer
    assert found.says is says and why in str(found)


def test_an_unknown_node_is_refused():
    assert by_state("c", both(node("a", IN), node("b", OUT))).answer.no


def test_an_answer_reads_as_a_sentence():
    assert str(answer([])) == "yes" and answer([]).yes
    assert str(answer(["x", "x"], ["y"])) == "no, because x; y"
    assert answer([], ["y"]) == Answer(Says.CANNOT_TELL, ("y",))


TOLD, NODE, FAILS = Question.TOLD, Question.LOST, Question.FAILED


@pytest.mark.parametrize(
    ("on_a", "on_b", "no", "unknown", "why"),
    [
        ("", "", "", "", ""),
        ("shutdown_switchover\nlbhc-12345-hc-ng\n", "shutdown_switchover\n", "", "", ""),
        ("", "!nofailover!a\n", "LF", "", "b: no failover from a is allowed"),  # a told move is none (WCLU-29)
        ("", "!nofailover!A\n", "LF", "", "no failover from a"),
        ("!nofailover!b\nconfirmso!b\n", "", "", "", ""),  # about the way back
        ("", "confirmso!a\n", "L", "", "waits for a person's word"),
        (
            "!action!04410!1795356427!a:Restore_hierarchy\n",
            "",
            "TLF",
            "",
            "a: an action holds a lock there: a:Restore_hierarchy, process 04410",
        ),
        ("", "!restore\n", "", "TLF", "what it holds up is not known"),
        ("", "block_resource_failover\n", "", "TLF", "what it holds up is not known"),  # WCLU-31: nobody knows the flag's name
        ("", "known_to_the_admin\n", "", "", ""),
        ("", "!nofailover!lknode09\n", "", "TLF", "not in the cluster file"),
        ("", "the database is busy\n", "", "TLF", "something that is no flag: the database is busy"),
    ],
)
def test_by_flags(on_a, on_b, no, unknown, why):
    for question, letter in ((TOLD, "T"), (NODE, "L"), (FAILS, "F")):
        found = by_flags("b", {"a": NodeOutput(on_a), "b": NodeOutput(on_b)}, question, ["known_to_the_admin"]).answer
        assert found.says is (Says.NO if letter in no else Says.CANNOT_TELL if letter in unknown else Says.YES), question
        assert found.yes or why in str(found)


@pytest.mark.parametrize(
    ("text", "says", "why"),
    [
        ("Failover: On\nLocalRecovery: On\n", Says.YES, ""),
        ("policy=LocalRecovery state=off\npolicy=Failover state=on\n", Says.YES, ""),
        ("tag listener-1521\n  Failover ... off\n", Says.NO, "the policy Failover is off"),
        ("Failover: on\nFailover: off (listener-1521)\n", Says.NO, "Failover is off"),
        ("Failover: on\nNotificationOnly: On\n", Says.NO, "NotificationOnly is on"),
        ("User Name:\n", Says.CANNOT_TELL, "it said: User Name:"),
        ("Failover: perhaps\n", Says.CANNOT_TELL, "names no Failover policy"),
    ],
)
def test_by_policies(text, says, why):
    found = by_policies({"a": NodeOutput(text)}).answer
    assert found.says is says and why in str(found)


def test_what_could_not_be_read_is_never_yes():
    told = {"a": NodeOutput(None, "there is no flg_list")}
    for found in (by_flags("a", told), by_policies(told), by_settings(told)):
        assert found.answer.says is Says.CANNOT_TELL and "there is no flg_list" in str(found.answer)


@pytest.mark.parametrize(
    ("settings", "quorum", "says", "why"),
    [
        ("QUORUM_MODE=none\nX=1\n", None, Says.YES, ""),
        ("#QUORUM_MODE=majority\n", None, Says.CANNOT_TELL, "majority where the quorum package is installed"),  # WCLU-28
        ("", "off", Says.YES, ""),
        ('export QUORUM_MODE="majority"\n', "off", Says.NO, "one of two nodes alone is none"),  # WCLU-27
        ("", "majority", Says.NO, "one of two nodes alone is none"),
        ("QUORUM_MODE=storage\n", "off", Says.CANNOT_TELL, "whether there is quorum now cannot be read"),
        ("CONFIRMSODEF=1\nCONFIRMSOTO=0\n", "off", Says.NO, "without a person's word"),  # WCLU-32
        ("CONFIRMSODEF=1\nCONFIRMSOTO=600\n", "off", Says.YES, ""),
    ],
)
def test_what_the_settings_demand_when_a_node_is_lost(settings, quorum, says, why):
    told = {"a": NodeOutput(settings), "b": NodeOutput(settings)}
    found = by_settings(told, Question.LOST, quorum).answer
    assert found.says is says and why in str(found)
    assert by_settings(told, Question.TOLD, quorum).answer.yes and by_settings(told, Question.FAILED, quorum).answer.yes


def test_checks_that_may_never_come_are_told_where_a_resource_fails():
    told = {"a": NodeOutput("LKCHECKINTERVAL=0.5\n"), "b": NodeOutput("LKCHECKINTERVAL=120\nLKCHECKINTERVAL=0\n")}
    found = by_settings(told, FAILS, "off").answer
    assert found.says is Says.CANNOT_TELL and "b: LKCHECKINTERVAL is 0" in str(found) and "a:" not in str(found)
    assert by_settings(told, NODE, "off").answer.yes and by_settings(told, TOLD, "off").answer.yes


def known(name: str, **resources: ResourceState) -> NodeState:
    return NodeState(name, True, resources, (ALIVE, ALIVE))


@pytest.mark.parametrize(
    ("a", "b", "no", "unknown", "why"),
    [
        ({"ip": IN, "db": IN}, {"ip": OUT}, "TLF", "", "b does not know db, which a has"),  # WCLU-35
        ({"ip": IN, "db": IN}, {"ip": OUT, "db2": OUT}, "", "TLF", "whether db2 is the same by another name is not known"),
        ({"ip": IN, "db": ResourceState.UNPROTECTED}, {"ip": OUT, "db": OUT}, "F", "", "db in service on a unprotected"),  # WCLU-34
        ({"ip": IN, "db": IN}, {"ip": OUT, "db": ResourceState.FAILED}, "", "TLF", "db failed on b and may fail there again"),  # WCLU-33
    ],
)
def test_the_two_nodes_tables_are_compared(a, b, no, unknown, why):
    for question, letter in ((TOLD, "T"), (NODE, "L"), (FAILS, "F")):
        found = by_state("b", both(known("a", **a), known("b", **b)), question).answer
        assert found.says is (Says.NO if letter in no else Says.CANNOT_TELL if letter in unknown else Says.YES), question
        assert found.yes or why in str(found)


def instances(*kinds: str) -> dict[str, NodeOutput]:
    return {n: NodeOutput("".join(f"{n}|{kind.replace('/', '|')}|tag{i}|id|info|ISP\n" for i, kind in enumerate(kinds))) for n in "ab"}


@pytest.mark.parametrize(
    ("kinds", "settings", "about", "proven"),
    [
        (["gen/app"], "", {}, False),
        (["gen/app", "scsi/disk"], "", {}, False),  # nobody said that it holds a reservation
        (["gen/app", "scsi/disk"], "", {"reservation_types": ["scsi/disk"]}, True),
        (["gen/app"], "QUORUM_MODE=storage\n", {}, False),
        (["gen/app"], "QUORUM_MODE=storage\n", {"quorum_stops_loser": True}, True),
        (["gen/app"], "", {"quorum_stops_loser": True}, False),
        (["gen/app"], "", {"quorum_stops_loser": True, "quorum": "storage"}, True),
        (["gen/app"], "QUORUM_MODE=majority\n", {"quorum_stops_loser": True}, False),  # stops both (WCLU-27)
    ],
)
def test_fencing_is_proven_by_a_reservation_or_by_a_quorum_that_stops_one_side(kinds, settings, about, proven):
    found = fenced_by(instances(*kinds), {n: NodeOutput(settings) for n in "ab"}, Manager(**about))
    assert found.yes is proven and (proven or "a: nothing is known to stop one side" in str(found))


def test_what_copies_data_is_known_by_its_kind():
    assert mirrored_by(instances("gen/app", "scsi/netraid"), Manager()) == ("tag1",)
    assert mirrored_by(instances("gen/app", "x/y"), Manager(mirror_types=["x/y"])) == ("tag1",)
    assert mirrored_by(instances("gen/app"), Manager()) == ()
    assert isinstance(mirrored_by({"a": NodeOutput(None, "away")}, Manager()), Answer)


@pytest.mark.parametrize(
    ("paths", "left", "why"),
    [
        ([("lknode01", True)], (1, 2), "one of two nodes alone is none"),
        ([("lknode01", True), ("WITNESS", True)], (2, 3), ""),
        ([("lknode01.a.b", True), ("lknode01", False), ("witness", False), ("witness", True)], (2, 3), ""),
        ([("lknode01", True), ("witness", False)], (1, 3), "1 of 3 machines would be left"),
        ([("lknode01", True), ("w1", True), ("w2", False)], (2, 4), "2 of 4 machines would be left"),
        ([], None, "one of two nodes alone is none"),
    ],
)
def test_a_majority_is_counted_where_a_witness_is_known(paths, left, why):
    """WCLU-27: the survivor needs more than half of all machines that it knows, itself included."""
    node = NodeState("lknode02", True, {}, tuple(CommPath(peer, "a/b", alive) for peer, alive in paths))
    found = machines_left("lknode02", ClusterState({"lknode02": node}), ["lknode01", "lknode02"])
    assert found == left
    case = by_settings({"lknode02": NodeOutput("QUORUM_MODE=majority\n")}, Question.LOST, None, found)
    assert bool(case.against) is bool(why) and why in "".join(case.against)


def test_the_safety_check_and_a_quarantine_are_noticed():
    """LKW-11, WCLU-24: at whatever level the one is logged; a stop need not be a person's."""
    manager = LifeKeeperWindows(SimpleNamespace(nodes=[], manager=None), {})
    assert manager.notices("1.5 LifeKeeper 0 level 4: SAFETY CHECK: PAUSING COMM_DOWN for lknode01")
    assert manager.notices("1.5 LifeKeeper 0 level 2: anything") and not manager.notices("1.5 LifeKeeper 0 level 4: all is well")
    assert "QUORUM_QUARANTINE_SECS" in state_of("lknode01", {"Service": "Stopped"}).why
    assert "QUORUM" not in state_of("lknode01", {"Service": "StopPending"}).why


class Node:
    def __init__(self, exit: int) -> None:
        self.exit, self.ran = exit, ""

    def run(self, command: str, *, limit: float) -> SimpleNamespace:
        self.ran = command
        return SimpleNamespace(ok=self.exit == 0, exit=self.exit, out="", err="resynchronising, 40 %\n")


@pytest.mark.parametrize(
    ("check", "exit", "found", "says", "why"),
    [
        ([], 0, (), Says.YES, ""),
        ([], 0, ("disk",), Says.CANNOT_TELL, "disk copies data to the other node, and no manager.mirror_check tells"),
        (["in-sync", "{to}"], 0, ("disk",), Says.YES, ""),
        (["in-sync", "{to}"], 1, (), Says.NO, "the copy of the data on lknode02 is not complete, or goes the other way"),
        (["in-sync", "{to}"], 127, (), Says.CANNOT_TELL, "could not be run (exit 127); it said: resynchronising"),
    ],
)
def test_the_copy_of_the_data_is_asked_for_on_the_active_node(check, exit, found, says, why):
    cluster = cluster_config.Cluster.model_validate(default_cluster.cluster_data(overrides={"manager": {"mirror_check": check}}))
    node = Node(exit)
    answer = check_mirror(cluster, {"lknode01": node}, "lknode02", found, 5.0)
    assert answer.says is says and why in str(answer)
    assert node.ran == (["in-sync", "lknode02"] if check else "")


@pytest.mark.parametrize(
    ("exit", "err", "says"),
    [
        (0, "", Says.YES),
        (1, "resynchronising", Says.NO),
        (1, "CommandNotFoundException: in-sync", Says.CANNOT_TELL),
        (9009, "", Says.NO),
    ],
)
def test_on_windows_the_command_is_powershell_s_call_and_nobody_s_root(exit, err, says):
    """A program that is not there has the exit code of one that says no."""
    about = {"manager": {"mirror_check": ["in-sync", "{to}"]}}
    cluster = cluster_config.Cluster.model_validate(default_cluster.cluster_data(overrides=about))
    nodes = [node.model_copy(update={"platform": "windows"}) for node in cluster.nodes]
    node = Node(exit)
    node.run = lambda command, *, limit: ran.append(command) or SimpleNamespace(ok=exit == 0, exit=exit, out="", err=err)
    ran: list[object] = []
    answer = check_mirror(cluster.model_copy(update={"nodes": nodes}), {"lknode01": node}, "lknode02", (), 5.0)
    assert answer.says is says and ran == [["in-sync", "lknode02"]] and not is_marked_for_root(ran[0])


words = st.sampled_from(
    ["!action!", "!nofailover!", "confirmso!", "a", "b", "!", "1", ":", "\n", " ", "Failover", "on", "off", "QUORUM_MODE=", "majority"]
)
texts = st.text() | st.lists(words).map("".join) | st.lists(words).map(" ".join)


@given(texts)
@example("!action!1!\n")
@example("Failover\u2028off")
def test_no_text_makes_a_judge_raise(text):
    told = {"a": NodeOutput(text), "b": NodeOutput("")}
    for case in (by_flags("b", told), by_policies(told), by_settings(told), by_settings(told, quorum="off")):
        assert str(case.answer)


NOW = datetime(2026, 11, 22, 14, 3, 7, tzinfo=UTC).timestamp()
LOG = """\
Nov 22 14:03:05 lknode01 lcd[1]: INFO:::::a
Nov 22 14:03:07 lknode01 quickCheck[4211]: ERROR:gen:quickCheck:listener-1521:100001:it did not answer
    and this line belongs to it
2026-11-22T15:03:09.250+01:00 lknode01 lcd[1]: INFO:::::b
Nov 22 14:09:00 lknode01 lcd[1]: INFO:::::c
"""


def fetched(log: str, zone: str = "+0000", size: int | None = None) -> str:
    return f"{zone}\n{len(log) if size is None else size}\n{log}"


def test_a_span_of_the_log():
    found = window(fetched(LOG), NOW - 0.5, NOW + 60)
    assert found.text.splitlines() == LOG.splitlines()[1:4] and not found.left_out


def test_the_time_zone_is_the_hosts():
    log = "Nov 22 19:33:07 lknode01 lcd[1]: INFO:::::x\n"
    assert window(fetched(log, "+0530"), NOW - 1, NOW + 1).text == log
    assert not window(fetched(log), NOW - 1, NOW + 1).text


def test_a_year_is_found_for_a_line_without_one():
    """A window on New Year's Day takes the last December's lines for what they are."""
    begin = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    log = "Dec 31 23:59:59 h p[1]: x\nJan  1 00:00:01 h p[1]: y\nDec 30 00:00:00 h p[1]: z\n"
    assert window(fetched(log), begin - 10, begin + 10).text == "".join(log.splitlines(keepends=True)[:2])
    assert (
        time_of("Feb 29 10:00:00 h p[1]: x", timezone(timedelta(0)), datetime(2028, 3, 1, tzinfo=UTC).timestamp())
        == datetime(2028, 2, 29, 10, tzinfo=UTC).timestamp()
    )


def test_a_window_is_bounded_and_says_what_is_missing():
    small = window(fetched(LOG), 0, NOW + 3600, most=100)
    assert small.text == LOG.splitlines(keepends=True)[-1] and small.left_out == "its first 4 lines did not fit into 100 characters"
    cut = window(fetched("half a line\n" + LOG, size=MAX_READ_BYTES + 1), NOW - 60, NOW + 60)
    assert "half a line" not in cut.text and "were looked through" in cut.left_out
    assert not window(fetched(LOG, size=MAX_READ_BYTES + 1), NOW, NOW + 60).left_out  # the log begins before the span
    assert window("ls: cannot access '/var/log/x': No such file\n", 0, NOW).left_out.endswith("No such file")
    assert "no line of the log has a time" in window(fetched("what\n"), 0, NOW).left_out


@given(
    st.text()
    | st.text().map(fetched)
    | st.lists(st.sampled_from([*LOG.splitlines(), "Feb 31 99:99:99 h x: y", "\n"])).map("\n".join).map(fetched)
)
@example(fetched("Nov 99 14:03:05 x\n0000-00-00T00:00:00 x\n9999-12-31T23:59:59+00:00 x\n0001-01-01T00:00:00+23:59 x\n"))
@example("+9999\n1\nNov 22 14:03:05 x\n")
@example("+0000\n\u00b2\nx")
def test_no_log_makes_a_window_raise(text):
    assert isinstance(window(text, NOW - 5, NOW + 5, most=50).text, str)
    assert len(window(text, 0, NOW * 2, most=50).text) <= 50
