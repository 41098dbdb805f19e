"""The management API fails at every step of a power-off: whatever it does, the disruption ends in time, says what happened, is undone, and
no power-off is sent twice unnoticed. Each fault and each step once; with --deep every fault at every step.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import cast

import pytest
from azure_labs import AzureLab, subject

from harness.azure.client import operation_runner, sdk_clients
from harness.azure.client.arm import Arm
from harness.azure.faults.undo_leftovers import heal
from harness.azure.faults.undo_tag import RUN, UndoTags
from harness.config.cluster_config import Azure
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.core.timeline import Timeline
from harness.disrupt import disruption
from harness.disrupt.azure import azure_power
from harness.disrupt.azure.azure_power import ByAzurePower
from harness.disrupt.bases.host_silence import is_silent
from harness.hosts.host import Host
from harness.lab.lifecycle import default_cluster, launch

LIMIT_S = 18.0  # operation_limit_s here
SHOWS_S = 6.0  # a busy machine may show late what happened although its answer got lost; what did not happen is waited for so long
TAGS, OFF, ON, VIEW = "tags/default$", "/powerOff$", "/start$", "/virtualMachines/lknode01$"
# Where the fault meets the disruption: method, path, and before which part of it the fault is switched on.
STEPS = {
    "tag": ("PATCH", TAGS, "begin"),
    "trigger": ("POST", OFF, "begin"),
    "poll": ("GET", "/operations/", "begin"),
    "verify": ("GET", VIEW, "begin"),
    "undo trigger": ("POST", ON, "undo"),
    "undo poll": ("GET", "/operations/", "undo"),
    "undo verify": ("GET", VIEW, "undo"),
    "untag": ("PATCH", TAGS, "undo"),
}
FAULTS = ["slow", "throttled", "unavailable", "happens-unavailable", "dropped-before", "dropped-after", "token-expired", "token-revoked"]
FATES = ["fails-late", "happens-and-fails", "never-ends"]
UNTOLD = [*product(("poll", "undo poll"), ["forbidden"])]  # such as by a role that is assigned to the group only: it goes on all the same
EVERY = [*product(STEPS, FAULTS), *product(("trigger", "undo trigger"), FATES), *UNTOLD]
ONCE = [*zip(STEPS, FAULTS, strict=True), *product(["trigger"], FATES), ("poll", "forbidden")]  # each step, each fault, each fate
ONCE += [("trigger", "unavailable"), ("trigger", "dropped-before"), ("trigger", "dropped-after"), ("undo trigger", "dropped-after")]
CASES = [pytest.param(*case, marks=() if case in ONCE else pytest.mark.deep) for case in EVERY]
# Where the node must not go down, because the trigger itself was lost or came to nothing, and must not be repeated.
NOT_DONE = {("trigger", "unavailable"), ("trigger", "dropped-before"), ("trigger", "fails-late")}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureLab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        running = launch.up(default_cluster.cluster_data(), name="faults", persistent=False, network_only=True, azure=True)
        try:
            yield AzureLab(running)
        finally:
            running.down()


@pytest.fixture(autouse=True)
def settings(lab: AzureLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(operation_runner, "MIN_VISIBLE_TIMEOUT_S", SHOWS_S)
    azure = lab.azure.model_copy(update={"operation_limit_s": LIMIT_S})
    lab.cluster = lab.cluster.model_copy(update={"azure": azure})
    lab.own("faults", "DELETE")
    lab.own("requests", "DELETE")
    yield
    lab.own("faults", "DELETE")
    lab.running.record.ask("power", node=lab.cluster.nodes[0].name, to="on")


def tags(azure: Azure) -> dict[str, str]:
    talk = sdk_clients.make_clients(azure)
    try:
        of = UndoTags(Arm(talk))
        return {resource: text for resource in of.taggable_resources() if (text := of.of(resource)) is not None}
    finally:
        talk.close()


def changing(lab: AzureLab) -> Counter[tuple[str, str]]:
    """Every request that may have changed something, as it came over the wire, the packages' own repetitions included."""
    return Counter((r["method"], r["path"]) for r in lab.own("requests") if r["method"] != "GET" and "/oauth2/" not in r["path"])


def noted(timeline: Timeline) -> Counter[tuple[str, str]]:
    """What the timeline tells of such requests, each with its status and request id if there was an answer."""
    calls = [event.data for event in timeline.events if "method" in event.data]
    assert all(c["request_id"] for c in calls if c["status"] is not None)
    return Counter((c["method"], c["resource"]) for c in calls)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("step", "fault"), CASES, ids=[": ".join(case) for case in EVERY])
def test_bounded_reported_undone(lab: AzureLab, step: str, fault: str) -> None:
    method, path, part = STEPS[step]
    timeline = Timeline()
    one = disruption.get_disruption("azure VM power off")(subject(lab, timeline))
    node, failed = one.target(), None
    began = time.monotonic()

    def switch_on(now: str) -> None:
        if part == now:
            lab.own("faults", "POST", {"kind": fault, "method": method, "path": path, "seconds": 1.0})

    switch_on("begin")
    try:
        one.begin(Deadline(60))
        one.took_effect(Deadline(60))
        assert lab.power(node) == "off"
    except HarnessError as error:
        failed = error
    finally:
        switch_on("undo")
        one.undo(Deadline(60))
    told = [event.text for event in timeline.events]
    print(*told, f"failed: {failed}", f"{time.monotonic() - began:.1f} s", sep="\n")

    assert time.monotonic() - began < 4 * LIMIT_S + 10
    assert lab.power(node) == "on" and lab.undisturbed() == [] and tags(lab.azure) == {}
    assert (failed is not None) is ((step, fault) in NOT_DONE), f"the disruption {'failed' if failed else 'went through'}: {failed}"
    assert any(r["fault"] == fault for r in lab.own("requests")), "the fault was never met"
    if failed:
        assert "\n" not in str(failed) and "lknode01" in str(failed)
    offs = lab.requests("/powerOff")
    assert sum(r["operation"] is not None for r in offs) <= 1, "power-off was accepted twice"
    sent = [t for t in told if t.startswith(f"powering off {node}: sending")]
    refused = [t for t in told if t.startswith(f"powering off {node}: Azure answered 401")]
    assert len(offs) <= len(sent) + len(refused), "a power-off went over the wire that the timeline does not tell of"
    assert all("again" in t for t in sent[1:])
    assert noted(timeline) == changing(lab), "a call that changes something is not on the timeline, or twice"


@pytest.mark.timeout(900)
def test_heal_tells_its_calls_too(lab: AzureLab) -> None:
    """The packages' own repetitions included: the first removal of the tag is refused, because the token has expired."""
    one = disruption.get_disruption("azure VM power off")(subject(lab, Timeline()))
    one.begin(Deadline(60))
    lab.own("requests", "DELETE")
    lab.own("faults", "POST", {"kind": "token-revoked", "method": "PATCH", "path": TAGS})
    timeline = Timeline()
    assert [healed.failed for healed in heal(lab.azure, timeline.note, run=RUN)] == [None]
    made = changing(lab)
    assert noted(timeline) == made and sorted(made.values()) == [1, 2]
    assert lab.undisturbed() == [] and tags(lab.azure) == {}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("refusals", [0, 1])
def test_what_is_not_permitted_any_more_is_not_sent(lab: AzureLab, refusals: int) -> None:
    """The role moved while the resource was read and tagged, or while Azure throttled: nothing goes over the wire but the tag's removal."""
    asks: list[str] = []

    def permit(which: object) -> None:
        asks.append(str(which))
        if len(asks) > refusals:
            raise Inconclusive("lknode02 is active by now")

    about = subject(lab, Timeline())
    about.permit = permit
    one = disruption.get_disruption("azure VM power off")(about)
    if refusals:
        lab.own("faults", "POST", {"kind": "throttled", "method": "POST", "path": "/powerOff$", "seconds": 0.1})
    with pytest.raises(Inconclusive, match="azure VM power off was not done: lknode02 is active by now"):
        one.begin(Deadline(60))
    assert not [r for r in lab.requests("/powerOff") if r["operation"] is not None] and len(lab.requests("/powerOff")) == refusals
    one.undo(Deadline(60))
    assert about.absent == set() and lab.power(one.target()) == "on" and lab.undisturbed() == [] and tags(lab.azure) == {}


def test_what_happened_counts_though_azure_calls_it_failed_before_it_is_seen(lab: AzureLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that began before the operation's end says "not yet"; what Azure says of it meanwhile is no word on the machine."""
    one = cast(ByAzurePower, disruption.get_disruption("azure VM power off")(subject(lab, Timeline())))
    node, looks = one.target(), 0

    def look(host: Host, limit_s: float) -> bool:
        nonlocal looks
        looks += 1
        if looks > 1:
            return is_silent(host, limit_s)
        Deadline(60).wait_for(lambda: one._triggered is not None and one._triggered.refused is not None, what="Azure's word")
        return False

    monkeypatch.setattr(azure_power, "is_silent", look)
    method, path, _ = STEPS["trigger"]
    lab.own("faults", "POST", {"kind": "happens-and-fails", "method": method, "path": path, "seconds": 0.2})
    try:
        one.begin(Deadline(60))
        one.took_effect(Deadline(60))
        assert lab.power(node) == "off" and looks > 1
    finally:
        one.undo(Deadline(60))
    assert lab.power(node) == "on" and lab.undisturbed() == []
