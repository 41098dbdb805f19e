"""The watchdog does its work with a full disk, goes on until it is done, and is told what would end it with its run."""

from __future__ import annotations

import io
import math
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.attach import power_restoration, watchdog
from harness.attach.watchdog import WatchdogConfig, WatchdogMessage, message_for
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.core.verdict import failed, passed
from harness.disrupt.bases import power_base
from harness.disrupt.bases.power_base import ByPower
from harness.disrupt.bases.power_command import PowerCommand, RunningProcess
from harness.disrupt.node.node_reboot import NodeReboot
from harness.disrupt.node.power_loss import PowerLoss
from harness.lab.lifecycle import default_cluster
from harness.managers.parse.pacemaker_parse import timed_moves


def cluster_with(on: list[str], off: list[str] | None = None) -> cluster_config.Cluster:
    given = {"power": {"off": off or ["true"], "on": on, "reboot": ["true"]}}
    return cluster_config.parse(default_cluster.cluster_data(overrides=given), Path("a test's"))


CLUSTER = cluster_with(["give", "{node}"])
BRIEF = WatchdogConfig(cluster=CLUSTER, run="r", token="t")


def subject_of(cluster: cluster_config.Cluster) -> Any:
    hosts = {"lknode01": SimpleNamespace(alive=lambda limit: True)}
    return SimpleNamespace(
        cluster=cluster, active="lknode01", absent=set(), standby_of=lambda a: "lknode02", power_command=lambda process: None, hosts=hosts
    )


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster: what is asked of one is at rest."""
    monkeypatch.setattr(watchdog, "Lease", lambda *a, **k: SimpleNamespace(resume=lambda: True, stolen="", give_back=lambda: []))
    monkeypatch.setattr(watchdog, "_wait_for_the_hosts", lambda subject, deadline, power, undoings, say: power())
    monkeypatch.setattr(watchdog, "put_back", lambda *about, patience_s: passed("as it was"))


@pytest.mark.usefixtures("alone")
def test_a_full_disk_does_not_keep_it_from_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(power_restoration, "run_power_command", lambda command, limit_s: given.append(list(command)) or "")
    with Path("/dev/full").open("w") as log:
        assert watchdog.put_all_back(BRIEF, [WatchdogMessage(active="lknode01"), message_for(PowerLoss(subject_of(CLUSTER)))], log) == 0
        with pytest.raises(OSError):
            log.close()
    assert given == [["give", "lknode01"]]


@pytest.mark.usefixtures("alone")
def test_it_goes_on_until_it_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [failed("an action goes on"), failed("an action goes on"), passed("as it was")]
    monkeypatch.setattr(watchdog, "PUT_BACK_RETRY_INTERVAL_S", 0.01)
    monkeypatch.setattr(watchdog, "put_back", lambda *about, patience_s: answers.pop(0))
    log = io.StringIO()
    assert watchdog.put_all_back(BRIEF, [WatchdogMessage(active="lknode01"), WatchdogMessage(longest_s=1.0)], log) == 0
    assert not answers and log.getvalue().count("an action goes on") == 1


def test_a_node_that_does_not_come_back_from_its_reboot_gets_its_power() -> None:
    word = message_for(NodeReboot(subject_of(CLUSTER)))
    assert word.commands == [["give", "lknode01"]]
    assert word.after_s == CLUSTER.manager.boot_s and not math.isinf(word.longest_s)


@pytest.mark.usefixtures("alone")
def test_but_not_before_it_should_be_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(power_restoration, "run_power_command", lambda command, limit_s: given.append(list(command)) or "")
    assert (
        watchdog.put_all_back(
            BRIEF, [WatchdogMessage(active="lknode01"), WatchdogMessage(longest_s=99.0, after_s=99.0, commands=[["give"]])], io.StringIO()
        )
        == 0
    )
    assert given == []


def test_power_is_given_back_again_until_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once throttled must not be a node without power."""
    monkeypatch.setattr(power_base, "RETRY_INTERVAL_S", 0.01)
    line = f"echo try >>{tmp_path}/tries; [ $(wc -l <{tmp_path}/tries) -ge 3 ] || {{ echo throttled >&2; exit 1; }}"
    one = PowerLoss(subject_of(cluster_with(["sh", "-c", line])))
    one.begin(Deadline(30.0))
    one.undo(Deadline(30.0))
    assert (tmp_path / "tries").read_text().count("try") == 3
    one.undo(Deadline(30.0))
    assert (tmp_path / "tries").read_text().count("try") == 3, "what is undone is not undone again"


def test_what_refuses_to_the_end_is_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_base, "RETRY_INTERVAL_S", 0.01)
    one = PowerLoss(subject_of(cluster_with(["sh", "-c", "echo throttled >&2; exit 1"])))
    one.begin(Deadline(30.0))
    with pytest.raises(Unusable, match=r"power\.on command exited 1 for lknode01; it said: throttled"):
        one.undo(Deadline(0.1))
    with pytest.raises(Unusable, match="failed for lknode01"):
        missing = PowerLoss(subject_of(cluster_with(["/nowhere/power"])))
        missing.begin(Deadline(30.0))
        missing.undo(Deadline(600.0))


def test_power_commands_have_a_session_of_their_own(tmp_path: Path) -> None:
    """A Ctrl-C goes to every process of the terminal's group: not to one that is giving a node its power back."""
    one = PowerLoss(subject_of(cluster_with(["sh", "-c", f"cut -d ' ' -f 6 /proc/$$/stat >{tmp_path}/session"])))
    one.begin(Deadline(30.0))
    one.undo(Deadline(30.0))
    assert int((tmp_path / "session").read_text()) != os.getsid(0)


def test_nobody_who_stops_waiting_ends_a_power_command(tmp_path: Path) -> None:
    """Neither the deadline of the measurement nor an interruption: half of a power command is worse than none."""
    off = f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; touch {tmp_path}/ended"
    one = PowerLoss(subject_of(cluster_with(["sh", "-c", f"[ -e {tmp_path}/ended ] && touch {tmp_path}/on"], off=["sh", "-c", off])))
    with pytest.raises(Unusable, match=r"power\.off command did not end within 1 s for lknode01; it was not ended, and goes on"):
        one.begin(Deadline(0.0))
    Deadline(30.0).wait_for((tmp_path / "begun").exists, what="its beginning")
    (tmp_path / "go").touch()
    one.undo(Deadline(30.0))
    assert (tmp_path / "on").exists(), "the node got its power before the command that took it had ended"


def test_ctrl_c_does_not_end_it_and_the_next_try_follows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = f"echo try >>{tmp_path}/tries; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    one = PowerLoss(subject_of(cluster_with(["sh", "-c", on])))
    one.begin(Deadline(30.0))

    def pressed(process: Any, timeout: float | None = None) -> int:
        Deadline(30.0).wait_for((tmp_path / "tries").exists, what="its beginning")
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("subprocess.Popen.wait", pressed)
        with pytest.raises(KeyboardInterrupt):
            one.undo(Deadline(30.0))
    (tmp_path / "go").touch()
    one.undo(Deadline(30.0))
    assert (tmp_path / "tries").read_text().split() == ["try"]


def test_what_never_ends_is_ended_when_its_opposite_must_begin(tmp_path: Path) -> None:
    subject = subject_of(cluster_with(["touch", f"{tmp_path}/on"], off=["sleep", "600"]))
    noted: list[str] = []
    subject.timeline = SimpleNamespace(note=lambda source, kind, text: noted.append(text))
    one = PowerLoss(subject)
    with pytest.raises(Unusable, match="goes on"):
        one.begin(Deadline(0.0))
    one.undo(Deadline(2.0))
    assert (tmp_path / "on").exists() and noted == ["power.off for lknode01 does not end, and power.on must begin: it is ended"]


def test_what_a_power_command_prints_need_not_be_utf_8() -> None:
    one = PowerLoss(subject_of(cluster_with(["printf", "Dom\\344ne gestartet\\n"], off=["sh", "-c", "printf '\\374\\n'; echo moment 1 2"])))
    one.begin(Deadline(30.0))
    assert one.moment is not None and one.moment.before == 1.0
    one.undo(Deadline(30.0))
    assert one._subject.absent == set()


@pytest.mark.parametrize(("says", "told"), [("moment 1000.5 1000.6", False), ("gone", True)])
def test_it_is_told_where_a_node_s_silence_counts_from(says: str, told: bool) -> None:
    """Ten seconds of a cloud's command would else look like the cluster's."""
    one = PowerLoss(subject_of(cluster_with(["true"], off=["sh", "-c", f"echo {says}"])))
    assert ByPower.observations(one) == []
    one.begin(Deadline(30.0))
    assert any("said no moment, so the outages count from before it began" in text for text in ByPower.observations(one)) is told


MOVE = '<rsc_location id="cli-prefer-grp" rsc="grp" role="Started">{}</rsc_location>'
ENDS = '<rule id="r" score="INFINITY"><date_expression id="d" operation="lt" end="2026-11-28 20:00:37Z"/></rule>'


@pytest.mark.parametrize(
    ("constraints", "ours"),
    [
        (MOVE.format(ENDS), ["cli-prefer-grp"]),
        ('<rsc_location id="cli-prefer-grp" rsc="grp" node="n1" score="INFINITY"/>', []),
        (MOVE.format(ENDS) + '<rsc_location id="cli-ban-grp-on-n1" rsc="grp" node="n1" score="-INFINITY"/>', []),
        (MOVE.replace('rsc="grp"', 'rsc="other"').format(ENDS), []),
        ("", []),
    ],
)
def test_a_move_that_ends_by_itself_is_the_run_s_own(constraints: str, ours: list[str]) -> None:
    assert timed_moves(f"<constraints>{constraints}</constraints>", "grp") == ours


def test_a_power_command_that_still_goes_on_is_waited_for_and_its_opposite_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node answers yet: it would be called as it was, and lose its power a moment later."""
    monkeypatch.setattr(power_restoration, "SETTLING_S", 0.01)
    taking_away = PowerCommand(["sleep", "0.5"])
    given_when: list[bool] = []
    monkeypatch.setattr(
        power_restoration, "run_power_command", lambda command, limit_s: given_when.append(taking_away.process.goes_on()) or "given"
    )
    said: list[str] = []
    power_restoration.follow_power_commands([taking_away.process], {("give",): 9.0}, 60.0, said.append)
    assert given_when == [False] and said == ["a power command of the run still goes on, and is waited for", "given"]
    power_restoration.follow_power_commands([taking_away.process], {("give",): 9.0}, 60.0, said.append)
    assert len(given_when) == 1, "it has ended, so the nodes tell whether they have power"


def test_what_does_not_end_is_said_and_the_opposite_given_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_restoration, "SETTLING_S", 0.01)
    taking_away = PowerCommand(["sleep", "1000"])
    said: list[str] = []
    try:
        power_restoration.follow_power_commands([taking_away.process], {("true",): 9.0}, 0.1, said.append)
    finally:
        taking_away.end()
    assert "it was not ended, and goes on" in said[1] and said[2] == "true exited 0"


@pytest.mark.usefixtures("alone")
def test_the_watchdog_is_told_of_a_power_command_and_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, str]] = []
    subject = subject_of(CLUSTER)
    subject.power_command = told.append
    loss = PowerLoss(subject)
    loss._start_command("off", ["sleep", "0.2"])
    assert told[0][0] > 0
    followed: list[Any] = []
    monkeypatch.setattr(
        watchdog, "follow_power_commands", lambda processes, back, limit_s, say: followed.append((processes, back, limit_s))
    )
    begun = WatchdogMessage(process=RunningProcess(*told[0]))
    messages = [WatchdogMessage(active="lknode01"), message_for(loss), WatchdogMessage.model_validate_json(begun.model_dump_json())]
    assert watchdog.put_all_back(BRIEF, messages, io.StringIO()) == 0
    assert followed == [([told[0]], {("give", "lknode01"): 600.0}, 600.0)]
    assert loss._running is not None
    loss._running.end()


def test_a_power_command_whose_child_keeps_its_output_has_ended() -> None:
    """ssh's master connection stays in the background with the pipes open; the node is on long since."""
    began = time.monotonic()
    assert power_restoration.run_power_command(["sh", "-c", "sleep 5 & exit 0"], 60.0) == "sh exited 0"
    assert time.monotonic() - began < 4.0
