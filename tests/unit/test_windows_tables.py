"""LifeKeeper for Windows and Windows' own cluster: whatever is printed, nothing raises, and nobody is active without a word for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.core.deadline import Deadline
from harness.managers.kinds import lifekeeper_windows
from harness.managers.kinds.wsfc import Wsfc
from harness.managers.manager import ClusterState, NodeState, Question, ResourceState, SwitchRefused
from harness.managers.parse import wsfc_parse
from harness.managers.parse.lcdstatus_parse import parse
from harness.managers.parse.wsfc_parse import allowed, node_state, read

TABLE = """\
LOCAL     TAG             ID           STATE  PRIO  PRIMARY
lknode01  listener-1521   lknode01     ISP    1     lknode01
lknode01  |---10.20.1.200 10.20.1.200  ISP    1     lknode01
lknode01  |   |---lbhc-12345  12345    OSU    1     lknode01

MACHINE   TYPE  ADDRESSES/DISK         STATE  PRIO
lknode02  TCP   10.20.1.11/10.20.1.12  ALIVE  1
lknode02  DISK  E:                     DEAD   --
"""


def test_the_table_of_windows():
    """LKW-03: trees drawn with bars and dashes, paths over disks."""
    state = parse("lknode01", TABLE)
    assert {tag: str(s) for tag, s in state.resources.items()} == {
        "listener-1521": "in service",
        "10.20.1.200": "in service",
        "lbhc-12345": "standby",
    }
    assert [(p.addresses, p.alive) for p in state.comm_paths] == [("10.20.1.11/10.20.1.12", True), ("E:", False)]


def test_a_table_that_contradicts_itself_is_not_believed():
    twice = TABLE.replace("\n\n", "\nlknode01  |---10.20.1.200 10.20.1.200  OSU    1     lknode01\n\n")
    assert parse("lknode01", twice).resources["10.20.1.200"] is ResourceState.UNKNOWN


pieces = st.sampled_from(
    [*TABLE.split(), "|---", "\u2014\u2014\u2014", "\n", "\n\n", "  ", "ILLSTATE", "OSF", "BACKUP", "Dienst läuft nicht"]
)
printed = st.one_of(st.text(), st.lists(pieces).map(" ".join), st.lists(pieces).map("".join))


@given(printed, st.sampled_from(["Running", "Stopped", "", "StopPending", None]))
def test_no_text_makes_lifekeeper_raise_or_active(text, service):
    state = lifekeeper_windows.state_of("n", {"Text": text, "Errors": "", "Exit": 0, "Service": service})
    assert state.running or state.why
    if service not in ("Running", "", None) or not any(word in text for word in ("ISP", "ISU")):
        assert not state.has_something


@given(
    st.text()
    | st.lists(st.lists(st.sampled_from(["10.20.1.200", "255.255.255.255", "comm", "\x02"])).map("".join), min_size=6).map("\x01".join)
)
@example("n\x01comm\x01ip\x01t\x01t\x01{GUID}\x02255.255.255.255\x02N")
def test_no_row_makes_an_address_up(row):
    found = lifekeeper_windows.address_in(row)
    assert found is None or (found in row and not found.startswith("255."))


names = st.sampled_from(["lknode01", "LKNODE02", "lknode03", "listener-1521", "net", "", None, 3])
states = st.sampled_from(
    ["Online", "Offline", "Failed", "Up", "Down", "Paused", "OnlinePending", "Pending", "Läuft", "", None, 2, True, "Running"]
)
row = st.fixed_dictionaries(
    {"K": st.sampled_from(["node", "node", "group", "resource", "resource", "nic", "network", "owners", "quorum", "service", "", None, 1])},
    optional={
        "Name": names, "State": states, "OwnerNode": names, "OwnerGroup": names, "Node": names, "Network": names, "Role": states,
        "Vote": states,
        "Nodes": st.lists(names) | names, "Witness": names, "Drain": states, "Threshold": st.integers(0, 1), "Maintenance": st.booleans(),
    },
)  # fmt: skip
answers = st.lists(row, max_size=12)


SOUND = [
    {"K": "node", "Name": "LKNODE01", "State": "Up"},
    {"K": "node", "Name": "LKNODE02", "State": "Up"},
    {"K": "group", "Name": "listener-1521", "OwnerNode": "LKNODE01", "State": "Online"},
    {"K": "resource", "Name": "ip", "OwnerGroup": "listener-1521", "OwnerNode": "LKNODE01", "State": "Online"},
    {"K": "resource", "Name": "app", "OwnerGroup": "listener-1521", "OwnerNode": "LKNODE01", "State": "Online"},
]
change = st.tuples(
    st.integers(0, len(SOUND) - 1), st.sampled_from(["K", "Name", "OwnerNode", "OwnerGroup", "State"]), names | states | st.just("LKNODE01")
)


@st.composite
def spoilt(draw) -> list[dict]:
    """A sound answer with a few fields changed, rows doubled or left out."""
    rows = [dict(r) for r in SOUND]
    for i, key, value in draw(st.lists(change, max_size=3)):
        rows[i][key] = value
    order = draw(st.lists(st.integers(0, len(rows) - 1), max_size=2))
    left_out = draw(st.sets(st.integers(0, len(rows) - 1), max_size=1))
    return [r for i, r in enumerate(rows) if i not in left_out] + [rows[i] for i in order]


@given(answers | spoilt())
@example([{"K": "node", "Name": "lknode01", "State": "Up"}, {"K": "group", "Name": "listener-1521", "OwnerNode": "lknode01"}])
@example([{"K": "resource", "State": "Online", "OwnerNode": "lknode01"}])
@example([*SOUND[:4], SOUND[4] | {"OwnerNode": "LKNODE02"}])
def test_no_answer_makes_the_windows_cluster_raise_or_active(rows):
    """Active is only what a row of this role calls Online on a node that the cluster knows, and that owns both the row and the role."""
    owners = [_low(r.get("OwnerNode")) for r in rows if r.get("K") == "group" and _low(r.get("Name")) == "listener-1521"]
    known = [_low(r.get("Name")) for r in rows if r.get("K") == "node"]
    for node in ("lknode01", "lknode02"):
        state = node_state(node, "listener-1521", rows)
        assert state.running or state.why
        online = {
            r.get("Name")
            for r in rows
            if r.get("K") == "resource" and r.get("State") == "Online" and _low(r.get("OwnerNode")) == node
        }  # fmt: skip
        active = {tag for tag, seen in state.resources.items() if seen.active}
        assert active <= online
        assert not active or (owners == [node] and known.count(node) == 1)
    case = allowed("lknode01", "listener-1521", "lknode01", read(rows), Question.LOST)
    assert all(isinstance(words, str) and words for words in (*case.against, *case.unknown))


def test_the_sound_answer_is_read_as_such():
    assert node_state("lknode01", "listener-1521", SOUND).has_everything
    assert node_state("lknode02", "listener-1521", SOUND).stands_by


def _low(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def node(name: str, **more: object) -> dict:
    return {"K": "node", "Name": name, "State": "Up", "Drain": "NotInitiated", "Vote": 1} | more


def group(**more: object) -> dict:
    return {"K": "group", "Name": "g", "OwnerNode": "a", "State": "Online", "Threshold": 1} | more


KEPT = {"K": "resource", "Name": "d", "OwnerGroup": "g", "Maintenance": True}
OWNERS = {"K": "owners", "Name": "ip", "Nodes": ["a", "b"]}
QUORUM = {"K": "quorum", "Witness": "share", "State": "Online"}


@pytest.mark.parametrize("question", list(Question))
@pytest.mark.parametrize(
    ("found", "against", "unknown"),
    [
        ([node("a"), node("b"), group(), OWNERS, QUORUM], "", ""),
        ([node("a"), node("b", State="Paused"), group(), OWNERS, QUORUM], "paused", ""),
        ([node("a"), node("b", State="Down"), group(), OWNERS, QUORUM], "calls b Down", ""),
        ([node("a"), node("b", State="Läuft"), group(), OWNERS, QUORUM], "", "calls b Läuft"),
        ([node("a"), node("b", Drain="InProgress"), group(), OWNERS, QUORUM], "drained", ""),
        ([node("a"), node("b", Status="DrainCompleted, Quarantined"), group(), OWNERS, QUORUM], "has b quarantined", ""),
        ([node("a"), node("b", Status="Isolated"), group(), OWNERS, QUORUM], "has b isolated", ""),
        ([node("a"), node("b", Status="Normal"), group(Locked=False), OWNERS, QUORUM], "", ""),
        ([node("a"), node("b"), group(Locked=True), OWNERS, QUORUM], "LockedFromMoving", ""),
        ([node("a"), group(), OWNERS, QUORUM], "not a node of the Windows cluster", ""),
        ([node("a"), node("b"), OWNERS, QUORUM], "no role g", ""),
        ([node("a"), node("b"), group(State="Pending"), OWNERS, QUORUM], "on its way", ""),
        ([node("a"), node("b"), group(State=2), OWNERS, QUORUM], "", "no known state"),
        ([node("a"), node("b"), group(), QUORUM], "", "may own g"),
        ([node("a"), node("b"), group(), OWNERS | {"Nodes": "a"}, QUORUM], "no possible owner", ""),
        ([node("a"), node("b"), group(), OWNERS | {"Nodes": []}, QUORUM], "", "which nodes may own ip was not told"),
    ],
)  # fmt: skip
def test_why_a_role_may_not_move(question, found, against, unknown):
    case = allowed("b", "g", "b", wsfc_parse.read(found), question)
    assert (len(case.against), len(case.unknown)) == (bool(against), bool(unknown))
    assert against in "".join(case.against) and unknown in "".join(case.unknown)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([node("a"), node("b"), group(Threshold=0), OWNERS, QUORUM], {Question.LOST: "? Threshold 0", Question.FAILED: "Threshold 0"}),
        ([node("a"), node("b"), group(), OWNERS], {Question.LOST: "? quorum could not be read"}),
        ([node("a"), node("b"), group(), OWNERS, QUORUM | {"State": "Failed"}], {Question.LOST: "witness share is Failed"}),
        ([node("a"), node("b", Vote=0), group(), OWNERS, QUORUM | {"Witness": ""}], {Question.LOST: "no vote"}),
        ([node("a"), node("b", Vote=None), group(), OWNERS, QUORUM | {"Witness": None}], {Question.LOST: "? whether b has a vote"}),
        ([node("a"), node("b"), group(), OWNERS, QUORUM, KEPT], {Question.FAILED: "maintenance"}),
    ],
)  # fmt: skip
def test_what_forbids_one_reason_only(found, says):
    """WCLU-124, WCLU-126, WCLU-132; with a question mark what cannot be told."""
    for question in Question:
        case = allowed("b", "g", "b", wsfc_parse.read(found), question)
        sentences = [*case.against, *(f"? {one}" for one in case.unknown)]
        expected = says.get(question, "")
        assert len(sentences) == bool(expected), (question, sentences)
        assert all(one.startswith("? ") is expected.startswith("? ") and expected.removeprefix("? ") in one for one in sentences)


@pytest.mark.parametrize(("there", "moved"), [("in service", True), ("standby", False)])
def test_what_is_offline_by_design_is_no_part_of_a_move(there: str, moved: bool) -> None:
    """WCLU-63: the move is complete when all that was in service is in service there."""

    def node(name: str, **states: str) -> NodeState:
        return NodeState(name, True, {tag: ResourceState(word) for tag, word in states.items()}, ())

    class Moving(Wsfc):
        def state(self, *, limit: float = 20.0) -> ClusterState:
            here = {"db": "in service", "ip": "in service", "report": "standby"}
            return ClusterState({"n1": node("n1", **here), "n2": node("n2", db="standby", ip="standby", report="standby")})

        def _change(self, node: str, deadline: Deadline, **change: str) -> None:
            pass

        def _node_state(self, name: str, limit: float) -> NodeState:
            return node(name, db="in service", ip=there, report="standby")

    cluster = SimpleNamespace(manager=SimpleNamespace(resource="role"), nodes=[])
    move = Moving(cluster, {}).switch_over  # type: ignore[arg-type]
    if moved:
        move("n2", deadline=Deadline(60.0))
    else:
        with pytest.raises(SwitchRefused):
            move("n2", deadline=Deadline(0.6))


def quorum_case(votes=(1, 1), weights=(1, 1), states=("Up", "Up"), owner="n1", **quorum: object):
    nodes = [
        {"K": "node", "Name": f"n{i}", "State": states[i - 1], "Vote": votes[i - 1], "Weight": weights[i - 1], "Status": "Normal"}
        for i in (1, 2)
    ]
    about = {"K": "quorum", "Witness": "Cloud Witness", "State": "Online", "Type": "Majority", "WitnessVote": 1, "Dynamic": 1}
    group = {"K": "group", "Name": "role", "OwnerNode": owner, "State": "Online", "Threshold": 1}
    owners = {"K": "owners", "Name": "ip", "Nodes": ["n1", "n2"]}
    return allowed("n2", "role", "n2", read([*nodes, group, owners, about | {"Fixed": 0, "Prevented": 0} | quorum]), Question.LOST)


@pytest.mark.parametrize(
    ("told", "against", "unknown"),
    [
        ({}, "", ""),
        ({"State": "Failed"}, "1 of 3 votes were left, as the witness Cloud Witness is Failed: n2 would stop", ""),
        ({"State": "OnlinePending"}, "1 of 3 votes were left", ""),
        ({"votes": (0, 1), "State": "Failed", "WitnessVote": 0}, "", ""),  # the survivor has the only vote (WCLU-72)
        ({"votes": (1, 0), "WitnessVote": 0}, "0 of 1 votes were left", ""),  # the witness has none while the nodes' are uneven
        ({"votes": (1, 0), "Witness": None, "State": None, "WitnessVote": 0}, "0 of 1 votes were left", ""),
        ({"votes": (0, 1), "Witness": None, "State": None, "WitnessVote": 0}, "", ""),
        ({"Dynamic": 0, "weights": (1, 1), "votes": (None, None)}, "", ""),
        ({"Dynamic": 0, "weights": (1, 0)}, "1 of 2 votes were left", ""),
        ({"votes": (1, None)}, "", "how the nodes vote could not be read"),
        ({"Type": "DiskOnly"}, "", "only the disk votes"),
        ({"Fixed": 1}, "was started by force (FixQuorum)", ""),
        ({"Prevented": 1}, "", "has PreventQuorum set"),
        ({"states": ("Paused", "Up")}, "n1 is paused for maintenance, and what leaves it cannot come back (Resume-ClusterNode n1)", ""),
        ({"states": ("Paused", "Up"), "owner": "n2"}, "", ""),
    ],
)
def test_votes_and_pauses_speak_against_a_takeover(told, against, unknown):
    """WCLU-66, WCLU-71 to WCLU-75."""
    case = quorum_case(**told)
    assert [one for one in case.against if against in one] if against else case.against == [], case
    assert [one for one in case.unknown if unknown in one] if unknown else case.unknown == [], case


def test_a_node_to_be_avoided_takes_nothing_over():
    case = allowed("n2", "role", "n2", read([{"K": "node", "Name": "n2", "State": "Up", "Status": "AvoidPlacement"}]), Question.TOLD)
    assert "the cluster has n2 marked as to be avoided (AvoidPlacement)" in case.against
