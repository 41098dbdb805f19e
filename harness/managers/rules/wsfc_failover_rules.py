"""What a Windows Server Failover Cluster counts within a time: failovers of a role, and nodes' losses of membership. Pure.

FailoverThreshold is of so many hours (FailoverPeriod); its default stands for the number of nodes minus 1, so that two nodes have one
failover in six hours, and a second failure leaves the role failed (WCLU-84, event 1254). No property tells how many were made (WCLU-85):
failures of its resources within the period (event 1069) may have been failovers. A node that has lost its membership so many times within
an hour (QuarantineThreshold, 3) is kept out of the cluster for two (WCLU-77); the survivors log each loss (event 1135, WCLU-94).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.hosts.windows.windows_parse import Event
from harness.managers.parse.wsfc_parse import Rows, same, word
from harness.managers.switchover_readiness import Case

NODES_MINUS_ONE = 0xFFFFFFFF
DEFAULT_PERIOD_H = 6.0  # WCLU-84
RESOURCE_FAILED, FAILOVERS_USED_UP = 1069, 1254  # WCLU-92
NODE_REMOVED = 1135  # WCLU-91
LOSSES_PERIOD_S, DEFAULT_LOSSES = 3600.0, 3  # WCLU-77


def period_of(group: str, rows: Rows) -> float:
    """In which the role's failovers are counted, in seconds."""
    hours = next((row.get("Period") for row in rows.of("group") if same(row.get("Name"), group)), None)
    return 3600.0 * (float(hours) if isinstance(hours, int | float) and hours > 0 else DEFAULT_PERIOD_H)


def by_failures(group: str, rows: Rows, events_by_node: Mapping[str, Sequence[Event] | str]) -> Case:
    """From the events of the period that every node has logged, or why it told none. What the role's settings say is not asked again."""
    case = Case()
    threshold = next((row.get("Threshold") for row in rows.of("group") if same(row.get("Name"), group)), None)
    if not isinstance(threshold, int | float):
        case.unknown.append(f"how many failovers the role {group} may make could not be read (FailoverThreshold)")
        return case
    most = len(rows.of("node")) - 1 if threshold == NODES_MINUS_ONE else int(threshold)
    names = [group, *(word(row.get("Name")) for row in rows.of("resource") if same(row.get("OwnerGroup"), group))]
    failures = 0
    for node, events in events_by_node.items():
        if isinstance(events, str):
            case.unknown.append(f"{node}: whether the role {group} has a failover left could not be read: {events}")
            continue
        for event in events:
            if not any(name and name.lower() in event.text.lower() for name in names):
                continue
            failures += event.number == RESOURCE_FAILED
            if event.number == FAILOVERS_USED_UP:
                case.against.append(f"{node}: the role {group} has used up its failovers (event 1254): the next failure leaves it failed")
    if 0 < most <= failures:
        case.unknown.append(
            f"the role {group}: in its FailoverPeriod, which has room for {most} failovers, its resources failed (event 1069: {failures}), "
            "and whether one is left the cluster does not tell (WCLU-85)"
        )
    case.against = list(dict.fromkeys(case.against))
    return case


def by_losses(to: str, rows: Rows, events_by_node: Mapping[str, Sequence[Event] | str]) -> Case:
    """Would a node that is lost now come back? From the events of the last hour that every node has logged, or why it told none. That
    everything moves to `to` is no question; what was lost may be missing after it."""
    case = Case()
    told = next((row.get("Quarantine") for row in rows.of("quorum")), None)
    most = int(told) if isinstance(told, int | float) and told > 0 else DEFAULT_LOSSES
    case.unknown += [
        f"{node}: how often a node was lost within the hour could not be read: {why}"
        for node, why in events_by_node.items()
        if isinstance(why, str)
    ]
    events = [event for listed in events_by_node.values() if not isinstance(listed, str) for event in listed]
    for name in (word(row.get("Name")) for row in rows.of("node") if not same(row.get("Name"), to)):
        losses = sum(event.number == NODE_REMOVED and name.lower() in event.text.lower() for event in events)
        if losses + 1 >= most:
            case.unknown.append(
                f"{name} was removed from the cluster {losses} × within the last hour (event 1135): with one more loss it may be kept out "
                "for two hours (QuarantineThreshold, WCLU-77)"
            )
    return case
