"""What disturbs a Windows host, and has it undo that itself: the scripts on PowerShell itself, with stand-ins for tasks and rules."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from powershell_process import SCENES, Loop, guard_program

from harness.hosts.windows.script_contract import contract_of, contracts, misfit

TOKEN, LEASE = "0123456789abcdef", "fedcba9876543210"
RULE = f"lkharness-{TOKEN}"
ARM = {"Token": TOKEN, "Of": "a/cut", "Seconds": 50, "Kind": "firewall", "Rule": RULE, "Guard": guard_program()}
CUT = {"Rule": RULE, "Local": ["10.20.2.12"], "Remote": ["10.20.2.11"], "Undo": TOKEN}
NIC_DOWN = {"Nic": "Ethernet", "Address": "10.20.1.11", "Undo": TOKEN}


class Node:
    """One process, whose %ProgramData% is a folder of the test's."""

    def __init__(self, loop: Loop, folder: Path) -> None:
        self.loop, self.folder, self.own = loop, folder, folder / "lkharness"

    def __call__(self, name: str, **parameters):
        answer = self.loop.answer(name, parameters)
        assert [misfit(contract_of(name), row) for row in answer.rows if misfit(contract_of(name), row)] == []
        return answer

    def rule(self, end: str) -> str:
        return (self.folder / "rules" / f"{RULE}-{end}").read_text()


@pytest.fixture
def nodes(environment: Callable[..., dict[str, str]], tmp_path: Path) -> Iterator[Callable[..., Node]]:
    made: list[Loop] = []

    def of(scene: str, **more: str) -> Node:
        folder = tmp_path / f"{scene}-{len(made)}"
        (folder / "lkharness").mkdir(parents=True)
        made.append(Loop(environment(scene, ProgramData=str(folder), **more)))
        assert made[-1].line().ready
        return Node(made[-1], folder)

    yield of
    for loop in made:
        loop.end()


def test_it_is_armed_done_seen_and_undone(nodes):
    node = nodes("many")
    assert node("undo-arm", **ARM).rows == ({"Token": TOKEN, "Task": RULE},)
    assert (node.own / TOKEN / "values").read_bytes().split(b"\r\n")[:4] == [
        b"kind=firewall",
        f"task={RULE}".encode(),
        b"seconds=50",
        f"rule={RULE}".encode(),
    ]
    task = (node.folder / "tasks" / RULE).read_text()
    assert task.startswith('/d /s /c ""') and task.endswith('undo-task.cmd""')
    moment = node("cut", **CUT).rows[0]
    assert moment["After"] >= moment["Before"] > 1.7e9
    assert node.rule("in") == "Inbound|Block|True|Any|10.20.2.12|10.20.2.11||"
    assert node.rule("out") == "Outbound|Block|True|Any|10.20.2.12|10.20.2.11||"
    assert node("effect", Kind="firewall", Rule=RULE).rows == ({"There": True, "InForce": True, "Why": ""},)
    assert node("undo-list").rows == ({"Token": TOKEN, "State": "waiting", "Of": "a/cut"},)
    assert node("undo-begin", Token=TOKEN).ok
    assert node("undo-list").rows == () and not (node.own / TOKEN).exists()
    assert node("effect", Kind="firewall", Rule=RULE).rows[0]["There"] is False
    assert node("undo-begin", Token=TOKEN).error == "Missing"


def test_a_probe_s_port_alone_is_cut_in_one_rule(nodes):
    node = nodes("many")
    node("undo-arm", **ARM)
    assert node("cut", **{**CUT, "Remote": ["168.63.129.16"], "Port": 12345}).ok
    assert node.rule("in") == "Inbound|Block|True|Any||168.63.129.16|TCP|12345"
    assert not (node.folder / "rules" / f"{RULE}-out").exists()


@pytest.mark.parametrize(("name", "given"), [("cut", CUT), ("nic-down", NIC_DOWN)])
def test_nothing_is_done_that_nobody_undoes(nodes, name, given):
    node = nodes("many")
    assert node(name, **given).error == "NotArmed" and not (node.folder / "rules").exists()
    node("undo-arm", **ARM)
    (node.own / TOKEN / "now").write_text("now")
    assert node(name, **given).error == "NotArmed", "what is being undone is not done"


def test_a_cut_that_is_undone_while_it_is_made_takes_its_rules_back(nodes):
    node = nodes("many")
    node("undo-arm", **ARM)
    (node.folder / "undo-ends-with-the-first-rule").touch()
    assert node("cut", **CUT).error == "NotArmed" and list((node.folder / "rules").iterdir()) == []


def test_nothing_is_done_without_the_lease(nodes):
    node = nodes("many")
    assert node("undo-arm", **ARM, Lease=LEASE).error == "LeaseLost" and not (node.own / TOKEN).exists()
    lease = {"Token": LEASE, "Holder": "x", "Term": 60, "Longest": 3600}
    assert node("lease", Verb="take", **lease).ok and node("undo-arm", **ARM, Lease=LEASE).ok
    assert node("cut", **CUT, Lease=TOKEN).error == "LeaseLost" and not (node.folder / "rules").exists()
    assert node("cut", **CUT, Lease=LEASE).ok


def test_a_host_whose_tasks_are_forbidden_is_left_as_it_was(nodes):
    node = nodes("error")
    answer = node("undo-arm", **ARM)
    assert not answer.ok and "0x80070005" in answer.error
    assert not node.own.exists() and not list((node.folder / "tasks").iterdir())


def test_what_is_armed_stays_so_when_it_cannot_be_armed_again(nodes):
    node = nodes("many")
    node("undo-arm", **ARM)
    other = nodes("error")
    other.own.rmdir()
    node.own.rename(other.own)
    assert not other("undo-arm", **{**ARM, "Seconds": 0}).ok and (other.own / TOKEN / "values").exists()


def test_names_that_cmd_would_read_otherwise_are_refused(nodes):
    node = nodes("many")
    for name in ("it's", 'a"b', "100%", "a & b", "\u0415thernet", "!x!", "x" * 81):
        assert node("undo-arm", **{**ARM, "Kind": "nic", "Nic": name}).error == "BadName"
    assert not (node.own / TOKEN).exists()


def test_a_rule_that_is_not_in_force_is_told_with_its_reason(nodes):
    node = nodes("warning")
    node("undo-arm", **ARM)
    node("cut", **CUT)
    assert node("effect", Kind="firewall", Rule=RULE).rows == ({"There": True, "InForce": False, "Why": "FirewallOffInProfile"},) or (
        node("effect", Kind="firewall", Rule=RULE).rows[0]["Why"].startswith("FirewallOffInProfile")
    )


def test_an_adapter_goes_down_only_with_its_address(nodes):
    node = nodes("many")
    node("undo-arm", **ARM)
    assert node("nic-down", Nic="Ethernet", Address="10.20.1.99", Undo=TOKEN).error == "OtherAdapter"
    assert node("effect", Kind="nic", Nic="Ethernet", Address="10.20.1.11").rows == ({"There": False, "InForce": False, "Why": "Up"},)
    assert node("effect", Kind="nic", Nic="Ethernet", Address="10.20.1.99").rows[0]["There"] is True
    assert node("nic-down", Nic="Ethernet", Address="10.20.1.11", Undo=TOKEN).ok
    assert node("effect", Kind="nic", Nic="Ethernet", Address="10.20.1.11").rows == ({"There": True, "InForce": True, "Why": "Disabled"},)


@pytest.mark.parametrize("late", ["0", "5"])
def test_an_adapter_is_looked_at_until_it_is_off_and_what_undoes_it_is_told(nodes, late):
    """Windows answers before it is off, and enabling it fails until then (WHST-87)."""
    node = nodes("many", LK_LATE=late)
    node("undo-arm", **ARM)
    assert node("nic-down", **NIC_DOWN).ok and (node.own / TOKEN / "down").exists()
    assert node("effect", Kind="nic", Nic="Ethernet", Address="10.20.1.11").rows[0]["InForce"] is True


def test_an_adapter_that_does_not_go_off_is_said_and_what_undoes_it_is_not_told(nodes):
    node = nodes("many", LK_LATE="100000")
    node("undo-arm", **ARM)
    answer = node("nic-down", **NIC_DOWN)
    assert answer.ok and any("was not seen to be disabled" in one for one in answer.warnings)
    assert not (node.own / TOKEN / "down").exists()


@pytest.mark.parametrize("late", ["0", "3"])
def test_an_adapter_whose_undoing_has_begun_meanwhile_is_enabled_again(nodes, late):
    node = nodes("many", LK_LATE=late)
    node("undo-arm", **ARM)
    (node.folder / "undo-begins-meanwhile").touch()
    assert node("nic-down", **NIC_DOWN).error == "NotArmed" and not (node.own / TOKEN / "down").exists()
    assert node("effect", Kind="nic", Nic="Ethernet", Address="10.20.1.11").rows[0]["InForce"] is False


def test_what_of_ours_is_there_is_told_with_how_far_its_undoing_is(nodes):
    states = {"waiting": [], "undoing": ["now"], "failing": ["now", "failed"]}
    tokens = {state: f"{number:016x}" for number, state in enumerate(states)}
    task, rule, both = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"
    ours = [f"lkharness-{one}-{end}" for one in (rule, both) for end in ("in", "out")]
    node = nodes("many", LK_RULES=" ".join([*ours, "xlkharness-dddddddddddddddd-in", "lkharness-short-in"]))
    for state, files in states.items():
        (node.own / tokens[state]).mkdir()
        for name in files:
            (node.own / tokens[state] / name).touch()
        (node.own / tokens[state] / "name").write_text(f"of {state}")
    (node.folder / "tasks").mkdir()
    for one in (task, both, tokens["waiting"]):
        (node.folder / "tasks" / f"lkharness-{one}").touch()
    expected = {(tokens[state], state, f"of {state}") for state in states} | {(task, "task", ""), (both, "task", ""), (rule, "rule", "")}
    found = [(row["Token"], row["State"], row["Of"]) for row in node("undo-list").rows]
    assert set(found) == expected and len(found) == len(expected)
    assert [row["State"] for row in node("undo-list", Token=rule).rows] == ["rule"]


def test_rules_that_cannot_be_read_are_not_none(nodes):
    answer = nodes("many", LK_REG="refused")("undo-list")
    assert not answer.ok and "what firewall rules there are was not told" in answer.message


HEAD = "00000000" + "00000000" + "00000000" + "{:02x}000000" + "14000000"
RESTART, REBOOT = "01000000" + "60EA0000", "02000000" + "60ea0000"


@pytest.mark.parametrize(
    ("value", "restarts"),
    [
        ("", False),
        ("REG_BINARY    " + HEAD.format(0), False),
        ("REG_BINARY    " + HEAD.format(3) + RESTART * 3, False),
        ("REG_BINARY    " + HEAD.format(3) + RESTART * 2 + REBOOT, True),
        ("REG_BINARY    " + HEAD.format(1) + RESTART[:6], None),
        ("REG_BINARY    ", None),
        ("REG_SZ    02000000", None),
    ],
)
def test_a_service_whose_failure_restarts_the_node_is_told(nodes, value, restarts):
    """WHST-76; what cannot be read is no no."""
    (row,) = nodes("one", LK_OWNER=str(os.getpid()), LK_VALUE=value)("process-owner", Id=os.getpid()).rows
    assert (row["Services"], row["Restarts"]) == (["LifeKeeper"], restarts)


def test_failure_actions_that_may_not_be_read_are_not_none(nodes):
    (row,) = nodes("one", LK_OWNER=str(os.getpid()), LK_REG="refused")("process-owner", Id=os.getpid()).rows
    assert row["Restarts"] is None


def test_only_the_process_that_was_meant_is_ended(nodes):
    node = nodes("many")
    child = subprocess.Popen(["sleep", "300"])
    try:
        (row,) = node("process-owner", Id=child.pid).rows
        assert row["Services"] == [] and row["Restarts"] is False
        other = node("process-kill", Id=child.pid, StartedAt="2026-01-01T00:00:00.0000000Z")
        assert other.error == "OtherProcess" and child.poll() is None
        assert node("process-kill", Id=child.pid, StartedAt=row["StartedAt"], Lease=LEASE).error == "LeaseLost" and child.poll() is None
        assert node("process-kill", Id=child.pid, StartedAt=row["StartedAt"]).ok
        assert child.wait(timeout=60) != 0
        assert node("process-kill", Id=child.pid, StartedAt=row["StartedAt"]).error == "OtherProcess"
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("scene", ["none", "one", "many", "error", "warning"])
def test_what_a_host_can_do_by_itself_is_told_in_every_scene(nodes, scene):
    node = nodes(scene)
    answer = node("undo-readiness")
    assert answer.ok and answer.rows[0]["Module"] is True and answer.rows[0]["FolderFault"] == ""
    assert node("undo-list").ok and node("boot").ok


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene != "slow"])
def test_each_answers_in_every_scene_as_its_contract_says_or_with_an_error(nodes, scene):
    """Which of both it is the tests above say, where it matters; a half answer it is never."""
    node = nodes(scene)
    lease = {"Token": LEASE, "Holder": "x", "Term": 60, "Longest": 3600}
    asked = [
        ("lease", {"Verb": "take", **lease}), ("undo-readiness", {}), ("boot", {}), ("undo-list", {}), ("undo-arm", ARM), ("cut", CUT),
        ("effect", {"Kind": "firewall", "Rule": RULE}), ("effect", {"Kind": "nic", "Nic": "Ethernet", "Address": "10.20.1.11"}),
        ("nic-down", NIC_DOWN), ("process-owner", {"Id": os.getpid()}), ("process-kill", {"Id": os.getpid(), "StartedAt": "never"}),
        ("undo-begin", {"Token": TOKEN}), ("undo-list", {"Token": TOKEN}), ("lease", {"Verb": "give", **lease}),
    ]  # fmt: skip
    assert {name for name, _ in asked} == {name for name, one in contracts().items() if one.path.parent.name == "disruption"}
    for name, given in asked:
        answer = node(name, **given)
        assert answer.ok or (answer.error and answer.why), (name, answer)


@pytest.mark.parametrize(
    ("name", "hangs"),
    [
        ("undo-arm", "Register-ScheduledTask"),
        ("undo-begin", "Get-ScheduledTask"),
        ("undo-list", "Get-ScheduledTask"),
        ("cut", "New-NetFirewallRule"),
    ],
)
def test_what_changes_something_ends_at_its_limit_too(nodes, name, hangs):
    """What was done by then stays, and is undone by what is armed."""
    armed = nodes("many")
    assert armed("undo-arm", **ARM).ok
    node = nodes("many", LK_SLOW=hangs)
    if name != "undo-arm":
        armed.own.rename(node.folder / "armed")
        node.own.rmdir()
        (node.folder / "armed").rename(node.own)
    else:
        node("undo-readiness")  # the first cmdlet that is asked for loads the stand-ins, which takes longer than the limit
    given = {"undo-arm": ARM, "undo-begin": {"Token": TOKEN}, "undo-list": {}, "cut": CUT}[name]
    answer = node.loop.answer(name, given, limit=2.0)
    assert not answer.ok and answer.error == "Limit"
    assert (node.own / TOKEN / "values").exists(), "what is armed stays so"


@pytest.mark.parametrize("name", ["effect", "process-owner", "undo-list", "undo-readiness", "nic-down"])
def test_what_waits_for_windows_ends_at_its_limit(nodes, name):
    """process-kill asks for nothing that could hang; boot and lease wait for files of ours."""
    node = nodes("slow")
    assert node("undo-arm", **ARM).ok
    given = {"effect": {"Kind": "nic", "Nic": "Ethernet", "Address": "10.20.1.11"}, "nic-down": NIC_DOWN, "process-owner": {"Id": 1}}
    answer = node.loop.answer(name, given.get(name, {}), limit=1.5)
    assert not answer.ok and answer.error == "Limit"


def test_a_task_that_does_not_begin_is_taken_away_again(nodes):
    node = nodes("none")
    answer = node("undo-arm", **ARM)
    assert answer.error == "NotArmed" and "are tasks forbidden there" in answer.message
    assert not node.own.exists() and not list((node.folder / "tasks").iterdir())
