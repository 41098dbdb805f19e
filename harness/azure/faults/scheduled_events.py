"""Scheduled events: a restart or redeploy by the API may wait for up to 15 minutes for the machine's consent, which is given here.

"Scheduled Events for Linux VMs": once anything in a machine has asked for events (Pacemaker's azure-events-az does, and some agents),
user-triggered restarts and redeploys become events that "won't proceed unless approved or the NotBefore time elapses". Asking turns them on
for a day, so nobody is asked before a restart that was accepted has not come for a while.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from harness.config.azure_config import METADATA_ADDRESS
from harness.core.errors import Unusable
from harness.hosts.bounded_parse import json_of
from harness.hosts.host import Host

WHERE = f"http://{METADATA_ADDRESS}/metadata/scheduledevents?api-version=2020-07-01"
QUESTION_TIMEOUT_S = 15.0
KINDS = ("Reboot", "Redeploy")


def command(body: str | None = None) -> str:
    """Ask the metadata service on the host, never through a proxy; with a body, send it."""
    options = f" -X POST -d '{body}'" if body else ""
    return f"curl -sS -m 10 --noproxy '*' -H Metadata:true{options} '{WHERE}'"


def pending(answer: str, machine: str) -> list[Mapping[str, Any]]:
    """The events that a user's restart or redeploy of this machine waits for. Raises Unusable for what is no answer of the service."""
    try:
        events = json_of(answer)["Events"]
        return [
            event
            for event in events
            if event.get("EventType") in KINDS
            and event.get("EventSource") == "User"
            and event.get("EventStatus") == "Scheduled"
            and machine.lower() in (str(name).lower() for name in event.get("Resources") or [])
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unusable(f"the metadata service's answer on scheduled events cannot be read: {answer[:100]!r}") from error


def approve(host: Host, machine: str, say: Callable[[str], None]) -> bool:
    """Let what a user's restart of this machine waits for go on at once; was there anything? Raises HarnessError."""
    events = pending(host.check(["sh", "-c", command()], limit=QUESTION_TIMEOUT_S), machine)
    for event in events:
        event_id = str(event.get("EventId"))
        if not event_id.replace("-", "").isalnum():
            raise Unusable(f"the metadata service names an event {event_id[:80]!r}, which is no id")
        say(
            f"{machine}: Azure has scheduled it as event {event_id} ({event.get('EventType')}, not before {event.get('NotBefore')}); it is "
            "approved"
        )
        host.check(["sh", "-c", command(json.dumps({"StartRequests": [{"EventId": event_id}]}))], limit=QUESTION_TIMEOUT_S)
    return bool(events)
