"""A restart or redeploy that Azure accepts and obeys later, because scheduled events are on in the machine.

("Scheduled Events for Linux VMs".)
Against a lab with the stand-in beside it, which answers in the metadata service's place as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from azure_labs import AzureLab, subject

from harness.azure.client import sdk_clients
from harness.azure.client.arm import Arm
from harness.azure.faults import scheduled_events
from harness.azure.faults.undo_leftovers import heal
from harness.azure.faults.undo_tag import PENDING_UNDOS, UndoTags, parse
from harness.azure.faults.undo_tag_validation import Ours
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive, Unusable
from harness.core.timeline import Timeline
from harness.disrupt import disruption as base
from harness.hosts.host import HostUnreachable

KINDS = ("azure VM restart", "azure VM redeploy")


@pytest.fixture(autouse=True)
def as_before(lab: AzureLab) -> Iterator[None]:
    yield
    lab.own("conditions", "DELETE")
    Deadline(60).wait_for(lambda: lab.undisturbed() == [], what="the lab being healthy")
    PENDING_UNDOS.clear()


def disruption(lab: AzureLab, kind: str, timeline: Timeline, *, metadata: bool = True, **azure: float) -> Any:
    """With hosts that say which boot they are, and ask the stand-in in the metadata service's place."""
    lab.cluster = lab.cluster.model_copy(update={"azure": lab.azure.model_copy(update=azure)})
    of = subject(lab, timeline)
    for name, host in of.hosts.items():

        def check(command: Any, *, limit: float = 1.0, name: str = name) -> str:
            now = next(h for h in lab.status()["hosts"] if h["name"] == name)
            if now["power"] != "on":
                raise HostUnreachable(f"{name} is silent")
            if "169.254.169.254" not in str(command):
                return str(now["pid"])
            if not metadata:
                raise Unusable("curl: not found")
            if sent := re.search(r"-d '(.*?)'", command[2]):
                return json.dumps(lab.own("events", "POST", json.loads(sent[1])))
            return json.dumps(lab.own("events"))

        host.check = check
    return base.get_disruption(kind)(of)


def boot(lab: AzureLab) -> int:
    return next(h["pid"] for h in lab.status()["hosts"] if h["name"] == lab.cluster.nodes[0].name)


def tag(lab: AzureLab) -> str | None:
    arm = Arm(sdk_clients.make_clients(lab.azure))
    return UndoTags(arm).of(f"{arm.group}/providers/Microsoft.Compute/virtualMachines/{lab.cluster.nodes[0].name}")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_for_consent_gets_it(lab: AzureLab, kind: str) -> None:
    lab.own("conditions", "POST", {"events_s": 900.0})
    timeline, before = Timeline(), boot(lab)
    one = disruption(lab, kind, timeline)
    try:
        one.begin(Deadline(60))
        said = tag(lab)
        assert said and parse(said).undo == "start", "it came, so a start is all that is left to undo"
    finally:
        one.undo(Deadline(60))
    assert boot(lab) != before and tag(lab) is None
    assert any("it is approved" in event.text for event in timeline.events)


@pytest.mark.timeout(120)
def test_what_was_accepted_and_has_not_come_is_waited_for(lab: AzureLab) -> None:
    """The metadata service cannot be asked, and the restart comes after the disruption gave up: under no later test's hands."""
    lab.own("conditions", "POST", {"events_s": 8.0})
    timeline, before = Timeline(), boot(lab)
    one = disruption(lab, "azure VM restart", timeline, metadata=False, operation_limit_s=2.0, event_limit_s=60.0)
    with pytest.raises(Inconclusive, match="took no effect"):
        one.begin(Deadline(60))
    assert boot(lab) == before
    one.undo(Deadline(60))
    assert boot(lab) != before and tag(lab) is None
    assert any("it may come for" in event.text for event in timeline.events)


@pytest.mark.timeout(120)
def test_its_tag_stays_for_whoever_heals_before_it_came(lab: AzureLab) -> None:
    lab.own("conditions", "POST", {"events_s": 8.0})
    before = boot(lab)
    one = disruption(lab, "azure VM restart", Timeline(), metadata=False, operation_limit_s=2.0, event_limit_s=60.0)
    with pytest.raises(Inconclusive):
        one.begin(Deadline(60))
    (told,) = heal(lab.azure, Timeline().note, ours=Ours.of(lab.cluster), all_runs=True, limit_s=20.0)
    assert told.failed and "may still come" in told.failed and tag(lab) is not None
    one.undo(Deadline(60))
    assert boot(lab) != before and tag(lab) is None


@pytest.mark.timeout(120)
def test_what_never_comes_is_given_up_some_day(lab: AzureLab) -> None:
    """And the boot that was there is enough then."""
    lab.own("conditions", "POST", {"events_s": 14.0})
    timeline, before = Timeline(), boot(lab)
    one = disruption(lab, "azure VM restart", timeline, metadata=False, operation_limit_s=2.0, event_limit_s=5.0)
    with pytest.raises(Inconclusive):
        one.begin(Deadline(60))
    one.undo(Deadline(60))
    assert tag(lab) is None and any("is not waited for any longer" in event.text for event in timeline.events)
    Deadline(60).wait_for(lambda: boot(lab) != before, what="the lab's own restart")


EVENT = {"EventId": "A-1", "EventType": "Reboot", "EventSource": "User", "EventStatus": "Scheduled", "Resources": ["VM1"]}


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"EventSource": "Platform"}, False),
        ({"EventType": "Freeze"}, False),
        ({"Resources": ["vm2"]}, False),
        ({"EventStatus": "Started"}, False),
    ],
)
def test_only_a_users_own_restart_of_this_machine_is_approved(change: dict[str, Any], counts: bool) -> None:
    """Whatever the platform wants to do is the platform's and the customer's."""
    assert bool(scheduled_events.pending(json.dumps({"Events": [{**EVENT, **change}]}), "vm1")) is counts


@pytest.mark.parametrize("said", ["", "<html>", "[]", '{"Events": 5}', '{"Events": [5]}'])
def test_an_answer_of_another_kind(said: str) -> None:
    with pytest.raises(HarnessError, match="cannot be read"):
        scheduled_events.pending(said, "vm1")


@pytest.mark.timeout(120)
def test_a_machine_with_an_ephemeral_os_disk_is_not_redeployed(lab: AzureLab) -> None:
    """It would be made anew from its image: the cluster software, its licence and its hierarchy would be gone."""
    lab.own("conditions", "POST", {"ephemeral": [lab.cluster.nodes[0].name]})
    lab.own("requests", "DELETE")
    one = disruption(lab, "azure VM redeploy", Timeline())
    with pytest.raises(Inconclusive, match="has an ephemeral OS disk"):
        one.begin(Deadline(60))
    one.undo(Deadline(60))
    assert lab.requests("/redeploy") == [] and tag(lab) is None


def test_what_destroys_something_is_planned_only_where_it_is_named(lab: AzureLab) -> None:
    from harness.pytest_plugin.measurement_plan import MeasurementOptions, Plan

    request = MeasurementOptions(0.01, 1, 0, None)
    assert "azure VM redeploy" not in {one.name for one in Plan((), request).measurements(lab.cluster, azure=True)}
    assert {"azure VM redeploy"} == {one.name for one in Plan(("azure VM redeploy",), request).measurements(lab.cluster, azure=True)}
    assert "temporary disk is lost" in base.get_disruption("azure VM redeploy").sentence
