"""What was done to the cluster, as far as the judgement must know, and what of it the recording proves. Pure.

A recording of before says less in its header; then the disruption's name, of those that there were, has to tell.
"""

from __future__ import annotations

from harness.core.verdict import Verdict, all_of, inconclusive, passed
from harness.remote.recording.recording import Header, Recording

# as they were called when a header did not say it
TOOK_AWAY = frozenset(
    {
        *("power loss", "node reboot", "node freeze", "NIC down Subnet#1", "NIC down Subnet#2"),
        *("azure VM power off", "azure VM restart", "azure VM redeploy"),
    }
)
NOTHING_LASTED = frozenset({"switchover", "failback", "manager crash", "service crash", "probe responder crash", "none"})
WAS_SHARED = frozenset({"responder up on both nodes", "azure adminState up on the standby"})
RIGHT = ("answered", "skipped")  # outcomes of attempts that do not tell of an outage
DEFAULT_PROBE_THRESHOLD = 3  # intervals until a balancer's verdict, where the header does not say how many


def takes_away(header: Header) -> bool:
    """May its target be gone for a time?"""
    return header.disruption in TOOK_AWAY if header.takes_away is None else header.takes_away


def lasts(header: Header) -> bool:
    """Is something undone at the end?"""
    return header.disruption not in NOTHING_LASTED if header.lasts is None else header.lasts


def is_shared(header: Header) -> bool:
    """Does the balancer's hash decide, while it lasts, which attempt fails?"""
    return header.disruption in WAS_SHARED if header.shares is None else header.shares


def settles_s(header: Header) -> float:
    """How long after it took effect, in seconds, what must be out may still be answered."""
    return DEFAULT_PROBE_THRESHOLD * header.probe_interval_s if header.settles_s is None else header.settles_s


def judge_effect(recording: Recording) -> Verdict:
    """Was it done, and seen to have taken effect? Without that nothing that was seen is an effect of it, nor proves that it has none."""
    if recording.header.observed:
        if not recording.header.active and any(row.outcome not in RIGHT for rows in recording.samples.values() for row in rows):
            return inconclusive("which node had the VIP before is not known, so neither is whether it moved")
        return passed("it was recorded as it happened; nothing was done to the cluster")
    if recording.mark("begin") is None:
        return inconclusive("the recording does not say when the disruption began; it was cut off before, or the disruption never began")
    if recording.mark("took-effect") is None:
        return inconclusive(f"{recording.header.disruption} was not seen to take effect{_break_off_reason(recording)}")
    return passed(f"{recording.header.disruption} was seen to take effect")


def judge_end(recording: Recording) -> Verdict:
    """Was it undone, and the cluster seen healthy? A failure until then stands, but a pass would claim what nobody saw."""
    verdicts = [passed("the recording is complete")]
    if recording.header.observed:
        not_asked = [event for event in recording.events if event.kind == "not-asked"]
        return all_of(
            [*verdicts, *(inconclusive(f"what {event.host} kept of it is not known, because it could not be asked") for event in not_asked)]
        )
    if recording.mark("undone") is None:
        verdicts.append(inconclusive(f"{recording.header.disruption} was not seen to be undone{_break_off_reason(recording)}"))
    elif recording.mark("whole") is None:
        verdicts.append(inconclusive(f"the cluster was not seen to be healthy again{_break_off_reason(recording)}"))
    return all_of(verdicts)


def _break_off_reason(recording: Recording) -> str:
    reason = next((m.text for m in reversed(recording.marks) if m.kind == "broken-off" and m.text), "")
    return f": {reason}" if reason else ""
