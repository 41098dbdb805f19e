"""What the watchdog process understands of the run's last words, whatever cuts them short."""

from __future__ import annotations

import io
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.attach import power_restoration, watchdog
from harness.attach.lease import Lease
from harness.attach.watchdog import WatchdogConfig, WatchdogMessage, message_for, watch
from harness.azure.faults.undo_tag import RUN
from harness.config import cluster_config
from harness.core.verdict import passed
from harness.disrupt import disruption as base
from harness.disrupt.disruption import HARNESS, Disruption, Step
from harness.hosts.local_host import LocalHost
from harness.lab.lifecycle import default_cluster

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("x"))
BRIEF = WatchdogConfig(cluster=CLUSTER, run="r", token="t", active="lknode01")


def heard(*words: WatchdogMessage, cut: int | None = None) -> tuple[WatchdogConfig, list[WatchdogMessage]] | None:
    text = "".join(f"{what.model_dump_json()}\n" for what in (BRIEF, *words))
    return watch(io.StringIO(text[:cut]))


def test_a_farewell_leaves_everything_alone():
    assert heard(WatchdogMessage(longest_s=3.0), WatchdogMessage(farewell=True)) is None


def test_without_one_the_run_was_killed():
    assert heard() == (BRIEF, [])
    assert heard(WatchdogMessage(longest_s=3.0), WatchdogMessage(longest_s=1.0)) == (
        BRIEF,
        [WatchdogMessage(longest_s=3.0), WatchdogMessage(longest_s=1.0)],
    )


def test_half_a_word_was_not_done_yet():
    assert heard(WatchdogMessage(longest_s=3.0), WatchdogMessage(longest_s=9.0), cut=-12) == (BRIEF, [WatchdogMessage(longest_s=3.0)])


@pytest.mark.parametrize("cut", [0, 10])
def test_half_a_brief_is_none(cut):
    assert heard(cut=cut) is None


def disruption(longest_s: float, unseen: bool = False) -> SimpleNamespace:
    steps = [Step(HARNESS, "do", "az vm stop"), Step(HARNESS, "undo", "az vm start -n 'a b'"), Step("lknode01", "undo", "nft …")]
    return SimpleNamespace(longest_s=longest_s, steps=lambda: steps, undo_blindly=unseen, command_s=600.0)


def test_only_what_nobody_else_undoes_is_the_watchdogs_to_undo():
    assert message_for(disruption(math.inf)) == WatchdogMessage(longest_s=600.0, commands=[["az", "vm", "start", "-n", "a b"]])  # type: ignore[arg-type]
    later = WatchdogMessage(longest_s=20.0, commands=[["az", "vm", "start", "-n", "a b"]], after_s=20.0)
    assert message_for(disruption(20.0)) == later, "what should come back by itself gets its power when it has not"  # type: ignore[arg-type]
    assert message_for(disruption(math.inf, unseen=True)).unseen  # type: ignore[arg-type]


def test_the_stated_time_follows_from_the_timers():
    """20 of the host, a boot of 15, two takeovers of 4, and a switchover's budget of 7.5."""
    assert watchdog.longest_s(CLUSTER, 20.0) == 50.5


def test_a_power_command_s_words_are_not_told():
    assert (
        power_restoration.run_power_command(["/nowhere/az", "--password", "canary"], 9.0)
        == "/nowhere/az could not be run: No such file or directory"
    )
    assert power_restoration.run_power_command(["true", "canary"], 9.0) == "true exited 0"
    assert power_restoration.run_power_command(["sleep", "1"], 0.05) == "sleep did not end within 0.05 s, and goes on"


def azure_disruption(name: str = "azure NSG deny") -> Disruption:
    azure = {"subscription": "s", "resource_group": "g", "operation_limit_s": 300.0}
    cluster = cluster_config.parse(default_cluster.cluster_data(overrides={"azure": azure}), Path("x"))
    return base.get_disruption(name)(SimpleNamespace(cluster=cluster, active="lknode01", standby_of=lambda a: "lknode02"))  # type: ignore[arg-type]


def test_healing_has_the_time_of_its_operations_and_is_in_the_stated_time():
    """Looking, and two tags: twice 300 s each; a watchdog that cut it short at 600 s would leave what Azure did."""
    word = message_for(azure_disruption())
    assert word.command_s == word.longest_s == 3 * 2 * 300.0 + 30.0 and word.unseen
    assert word.commands[0][-2] == RUN, "of this run's tags alone"


def test_what_azure_did_is_undone_behind_a_later_word_too(monkeypatch: pytest.MonkeyPatch):
    azure, later = message_for(azure_disruption()), WatchdogMessage(longest_s=3.0)
    given: list[tuple[list[str], float]] = []
    monkeypatch.setattr(power_restoration, "run_power_command", lambda command, limit_s: given.append((list(command), limit_s)) or "")
    monkeypatch.setattr(watchdog, "Lease", lambda *a, **k: SimpleNamespace(resume=lambda: True, stolen="", give_back=lambda: []))
    monkeypatch.setattr(watchdog, "_wait_for_the_hosts", lambda *about: None)
    monkeypatch.setattr(watchdog, "wait_until_healthy", lambda *about: None)
    monkeypatch.setattr(watchdog, "put_back", lambda *about, patience_s: passed("as it was"))
    assert watchdog.put_all_back(BRIEF, [WatchdogMessage(active="lknode01"), azure, azure, later], io.StringIO()) == 0
    assert given == [(azure.commands[0], azure.command_s)]


@pytest.mark.parametrize("gone", [False, True])
def test_a_run_killed_while_it_gives_back_leaves_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool):
    """With the lease still there or gone already: nothing is taken anew, moved or told as a fault."""
    nodes = {"lknode01": LocalHost("lknode01")}
    held = Lease(nodes, "r", folder=str(tmp_path / "lease"), renew_s=60.0)
    held.take()
    held.leave_to_another()
    if gone:
        held.give_back()
    asked: list[str] = []

    def the_same(_: object, run: str, **about: object) -> Lease:
        lease = Lease(nodes, run, token=held.token, folder=str(tmp_path / "lease"))
        say = lease._say
        monkeypatch.setattr(lease, "_say", lambda host, verb: asked.append(verb) or say(host, verb))
        return lease

    monkeypatch.setattr(watchdog, "Lease", the_same)
    killed = heard(
        WatchdogMessage(active="lknode01"),
        WatchdogMessage(longest_s=1.0),
        WatchdogMessage(settled=True),
        WatchdogMessage(farewell=True),
        cut=-9,
    )
    log = io.StringIO()
    assert killed is not None and watchdog.put_all_back(*killed, log) == 0
    assert asked == ["give"] and list(tmp_path.iterdir()) == []
    assert [line.split(" ", 1)[1] for line in log.getvalue().splitlines()] == [
        "run r was killed",
        "everything had been undone",
        "the lease is given back",
    ]
