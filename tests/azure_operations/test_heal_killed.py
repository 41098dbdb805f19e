"""A harness killed at a random moment between disturbing and undoing: `lkharness azure heal` restores all, and again finds nothing.

One kind, with --heavy three, with --deep all of them in 20 kills (LKHARNESS_AZURE_KILLS sets how many), LKHARNESS_TEST_SEED which and when.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from azure_labs import AzureLab, subject

from harness.attach.disruptive_run import DisruptiveRun
from harness.azure.faults.undo_tag import PENDING_UNDOS, RUN
from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.core.timeline import Timeline
from harness.core.verdict import passed
from harness.disrupt import disruption
from harness.disrupt.disruption import Disruption
from harness.lab.lifecycle import default_cluster, launch
from tests import deep_option
from tests.e2e import forked_commands

SEED = int(os.environ.get("LKHARNESS_TEST_SEED") or random.SystemRandom().randrange(10**6))
KINDS = [
    *("azure VM power off", "azure VM restart", "azure VM redeploy", "azure NSG deny", "azure pool left"),
    *("azure adminState down", "azure adminState up on the standby"),
]
random.Random(SEED).shuffle(KINDS)
AZURES = ("azure.identity", "azure.mgmt.core.policies", "azure.mgmt.core.polling.arm_polling")  # what healing loads of Azure's packages
KILLS = deep_option.number(3, 20, "LKHARNESS_AZURE_KILLS")
MORE = deep_option.heavy_unless("LKHARNESS_AZURE_KILLS")
# What a harness does with a disruption, in a process of its own that can be killed. The lab answers for its hosts.
HARNESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from azure_labs import AzureLab, subject
from types import SimpleNamespace
from harness.core.deadline import Deadline
from harness.disrupt import disruption as base
from harness.lab.control import lab_registry as registry
from harness.core.timeline import Timeline
record = registry.read(Path(sys.argv[1]))
lab = AzureLab(SimpleNamespace(cluster_file=record.cluster_file, record=record))
timeline = Timeline()
note = timeline.note
timeline.note = lambda *a, **k: (print(a[2], flush=True), note(*a, **k))[1]
of = subject(lab, timeline)
for host in of.hosts.values():  # whose boot is when its power came back
    host.check = lambda command, limit=1.0, host=host: str(next(h["pid"] for h in lab.status()["hosts"] if h["name"] == host.name))
one = base.get_disruption(sys.argv[2])(of)
one._finish_undo = lambda deadline: None  # there is no cluster manager to ask
print("begins", flush=True)
try:
    one.begin(Deadline(60))
    print("disturbed", flush=True)
finally:
    one.undo(Deadline(60))
print("over", flush=True)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureLab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        running = launch.up(default_cluster.cluster_data(), name="killed", persistent=False, network_only=True, azure=True)
        try:
            yield AzureLab(running)
        finally:
            running.down()


class Harness:
    """The process, and what it has said so far."""

    def __init__(self, lab: AzureLab, kind: str) -> None:
        words = [sys.executable, "-c", HARNESS, str(lab.running.record.folder), kind, str(Path(__file__).parent)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said += []
        for line in self.process.stdout:
            self.said.append(line.rstrip())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._reader.join()


def heal(lab: AzureLab, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["-m", "harness.cli", "azure", "heal", "--cluster", str(lab.file), "--json", *more]
    return forked_commands.run(words, folder=Path.cwd(), environment=dict(os.environ), limit_s=120, loads=AZURES)


def heal_by_what_it_says(lab: AzureLab) -> subprocess.CompletedProcess[str]:
    """As a person does right after the kill: what a run left that may still be alive is left alone, with the command that undoes it."""
    first = heal(lab)
    if first.returncode == 0:
        return first  # nothing was left, or it was undone before the kill
    (told,) = json.loads(first.stdout)["undone"]
    command = re.search(r"`lkharness azure heal --cluster FILE (--run \w+)`", told["failed"])
    assert first.returncode == 4 and command, told
    done = heal(lab, *command[1].split())
    return heal_when_its_time_is_over(lab) if "may still come" in done.stdout else done


def heal_when_its_time_is_over(lab: AzureLab) -> subprocess.CompletedProcess[str]:
    """A restart that was accepted may come until its tag's time is over; here it is made to be."""
    from harness.azure.client import sdk_clients
    from harness.azure.client.arm import Arm
    from harness.azure.faults.undo_tag import UndoTags, parse

    Deadline(60).wait_for(lambda: lab.undisturbed() == [], what="the restart that was under way")
    tags = UndoTags(Arm(sdk_clients.make_clients(lab.azure)))
    machine = f"{tags._arm.group}/providers/Microsoft.Compute/virtualMachines/{lab.cluster.nodes[0].name}"
    left = parse(tags.of(machine) or "")
    tags.replace(machine, left, replace(left, until=left.since))
    return heal(lab)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=MORE) for n in range(1, KILLS))])
def test_a_killed_harness_is_healed(lab: AzureLab, number: int) -> None:
    chance = random.Random(f"{SEED} {number}")
    kind = KINDS[number % len(KINDS)]
    print(f"LKHARNESS_TEST_SEED={SEED}")
    assert lab.undisturbed() == []
    lab.own("pace", "POST", {"takes_s": 0.5})  # operations that take their time, so that a kill falls into one
    one = Harness(lab, kind)
    try:
        Deadline(120).wait_for(lambda: any(" bears a tag" in line for line in one.said) or one.process.poll() is not None, what="the tag")
        moment = Deadline(chance.uniform(0.0, 3.0))
        moment.wait_for(lambda: moment.expired, what="the moment", every=0.02)
    finally:
        one.kill()
    print(kind, f"killed {moment.seconds:.2f} s after it tagged; left:", lab.undisturbed(), *one.said, sep="\n")
    assert not any("Traceback" in line for line in one.said)
    done = heal_by_what_it_says(lab)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    assert lab.undisturbed() == []
    assert all(h["failed"] is None for h in json.loads(done.stdout)["undone"])
    again = heal(lab)
    assert (again.returncode, json.loads(again.stdout)["undone"]) == (0, [])


def test_what_cannot_be_healed_is_told_and_keeps_its_tag(lab: AzureLab) -> None:
    node = lab.cluster.nodes[0].name
    lab.own("pace", "POST", {"takes_s": 0.05})
    one = Harness(lab, "azure VM power off")
    try:
        Deadline(120).wait_for(lambda: "disturbed" in one.said, what="the power-off")
    finally:
        one.kill()
    lab.running.record.ask("power", node=node, to="off")
    lab.own("faults", "POST", {"kind": "forbidden", "method": "POST", "path": "/start$", "times": 0})
    try:
        done = heal(lab, "--all")
        assert done.returncode == 4
        (told,) = json.loads(done.stdout)["undone"]
        assert "may not" in told["failed"] and node in told["resource"] and "power it on" in told["what"]
        assert lab.power(node) == "off"
    finally:
        lab.own("faults", "DELETE")
    assert heal(lab, "--all").returncode == 0 and lab.undisturbed() == []


def test_a_tag_that_nobody_of_ours_wrote_is_told(lab: AzureLab) -> None:
    from harness.azure.client import sdk_clients
    from harness.azure.client.arm import Arm
    from harness.azure.faults.undo_tag import KEY

    arm = Arm(sdk_clients.make_clients(lab.azure))
    machine = f"{arm.group}/providers/Microsoft.Compute/virtualMachines/{lab.cluster.client.name}"
    where = f"{machine}/providers/Microsoft.Resources/tags/default"
    arm.patch(where, {"operation": "Merge", "properties": {"tags": {KEY: "please"}}}, "tagging")
    try:
        done = heal(lab)
        assert done.returncode == 4 and "no undoing of ours" in json.loads(done.stdout)["undone"][0]["failed"]
    finally:
        arm.patch(where, {"operation": "Delete", "properties": {"tags": {KEY: "please"}}}, "untagging")
    assert heal(lab).returncode == 0


def test_what_bears_somebodys_tag_is_not_disturbed(lab: AzureLab) -> None:
    """At once, not after a limit: the other's undoing would be lost."""
    from harness.azure.client import sdk_clients
    from harness.azure.client.arm import Arm
    from harness.azure.faults.undo_tag import Undo, UndoTags

    node = lab.cluster.nodes[0].name
    arm = Arm(sdk_clients.make_clients(lab.azure))
    machine = f"{arm.group}/providers/Microsoft.Compute/virtualMachines/{node}"
    theirs = Undo("start", 1, 2, run="another")
    UndoTags(arm).write(machine, theirs)
    lab.running.record.ask("power", node=node, to="off")  # the other run has just powered it off
    lab.own("requests", "DELETE")
    one = disruption.get_disruption("azure VM power off")(subject(lab, Timeline()))
    try:
        with pytest.raises(Unusable, match=r"run `lkharness azure heal` first"):
            one.begin(Deadline(60))
    finally:
        one.undo(Deadline(60))
    assert lab.requests("/powerOff") == [] and lab.requests("/start") == []
    assert lab.power(node) == "off", "it is still the other's to power on"
    assert UndoTags(arm).of(machine) == theirs.text(), "it is still theirs to undo"
    assert heal(lab).returncode == 0 and lab.power(node) == "on"


def disturbed_by_another(lab: AzureLab, lasts_s: float) -> str:
    """A node that another run has just powered off; its machine's id."""
    from harness.azure.client import sdk_clients
    from harness.azure.client.arm import Arm
    from harness.azure.faults.undo_tag import Undo, UndoTags

    arm = Arm(sdk_clients.make_clients(lab.azure))
    machine = f"{arm.group}/providers/Microsoft.Compute/virtualMachines/{lab.cluster.nodes[0].name}"
    UndoTags(arm).write(machine, Undo.now("start", lasts_s, run="another"))
    lab.running.record.ask("power", node=lab.cluster.nodes[0].name, to="off")
    return machine


def test_what_a_living_run_disturbs_is_left_alone(lab: AzureLab) -> None:
    node = lab.cluster.nodes[0].name
    disturbed_by_another(lab, 600.0)
    done = heal(lab)
    (told,) = json.loads(done.stdout)["undone"]
    assert done.returncode == 4 and "may still be at work" in told["failed"] and "--all" in told["failed"] and lab.power(node) == "off"
    ours = heal(lab, "--run", "0123abcd")  # as the watchdog of another run does
    assert (ours.returncode, json.loads(ours.stdout)["undone"], lab.power(node)) == (0, [], "off")
    assert heal(lab, "--run", "another").returncode == 0 and lab.power(node) == "on"


def test_a_resource_that_cannot_be_read_keeps_no_other_from_being_undone(lab: AzureLab) -> None:
    node, other = lab.cluster.nodes[0].name, lab.cluster.nodes[1].name
    disturbed_by_another(lab, 0.0)
    lab.own("faults", "POST", {"kind": "forbidden", "method": "GET", "path": f"/virtualMachines/{other}/.*/tags/default$", "times": 0})
    try:
        done = heal(lab)
    finally:
        lab.own("faults", "DELETE")
    told = {one["resource"].rpartition("/")[2]: one["failed"] for one in json.loads(done.stdout)["undone"]}
    assert done.returncode == 4 and told[node] is None and "may not" in told[other] and lab.power(node) == "on"


class Beside:
    """In the watchdog's and the lease's place: what they were told at the end."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.stolen = ""

    def tell_settled(self) -> None:
        self.told.append("settled")

    def dismiss(self) -> None:
        self.told.append("dismissed")

    def leave_to_it(self) -> None:
        self.told.append("left to the watchdog")

    def give_back(self) -> list[str]:
        self.told.append("given back")
        return []

    def leave_to_another(self) -> None:
        self.told.append("lease left")


@pytest.fixture
def attached(lab: AzureLab, monkeypatch: pytest.MonkeyPatch) -> DisruptiveRun:
    """A run that has disturbed the lab, at its end; there is no cluster manager to ask."""
    monkeypatch.setattr("harness.attach.disruptive_run.wait_until_healthy", lambda subject, deadline: None)
    monkeypatch.setattr("harness.attach.disruptive_run.put_back", lambda subject, active, before, *, patience_s: passed("as it was"))
    one = DisruptiveRun(subject(lab, Timeline()), "r", lab.file.parent)
    one._guard, one._active = SimpleNamespace(disturbed=True), lab.cluster.nodes[0].name  # type: ignore[assignment]
    one._watchdog = one._lease = Beside()  # type: ignore[assignment]
    PENDING_UNDOS.clear()
    return one


def powered_off(attached: DisruptiveRun) -> Disruption:
    one = disruption.get_disruption("azure VM power off")(attached._subject)
    one.begin(Deadline(60))
    return one


@pytest.mark.parametrize("cut_short_by", [KeyboardInterrupt, pytest.fail.Exception])
def test_an_undoing_that_was_cut_short_is_taken_up_at_the_run_s_end(
    lab: AzureLab, attached: DisruptiveRun, monkeypatch: pytest.MonkeyPatch, cut_short_by: type[BaseException]
) -> None:
    one = powered_off(attached)
    with monkeypatch.context() as patch, pytest.raises(cut_short_by):
        patch.setattr("harness.azure.faults.vm_power.Machine.start", lambda *about: (_ for _ in ()).throw(cut_short_by()))
        one.undo(Deadline(60))
    assert lab.power(one.target()) == "off"
    assert attached.end(broken=True) and attached.give_back() == []
    assert lab.power(one.target()) == "on" and not PENDING_UNDOS
    assert attached._watchdog.told == ["settled", "given back", "dismissed"]  # type: ignore[union-attr]


def test_one_that_fails_at_the_end_too_is_left_to_the_watchdog(lab: AzureLab, attached: DisruptiveRun) -> None:
    one = powered_off(attached)
    lab.own("faults", "POST", {"kind": "forbidden", "method": "POST", "path": "/start$", "times": 0})
    try:
        with pytest.raises(Unusable, match=rf"is not undone: .*run `lkharness azure heal --cluster FILE --run {RUN}`"):
            one.undo(Deadline(60))
        verdict = attached.end(broken=True)
        (left,) = attached.give_back()
    finally:
        lab.own("faults", "DELETE")
    assert verdict is not None and not verdict and "may not" in verdict.reason
    assert f"--run {RUN}" in left and attached._watchdog.told == ["lease left", "left to the watchdog"]  # type: ignore[union-attr]
    assert heal(lab, "--run", RUN).returncode == 0 and lab.power(one.target()) == "on"
