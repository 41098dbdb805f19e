"""Following the paths through a disruption: when each was seen recovered, within a budget anchored at the disruption."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_check import PathCheck, check_path
from harness.cluster.path_exchange import ATTEMPT_TIMEOUT_S
from harness.cluster.single_flight import SharedQuestion
from harness.config.cluster_config import Service
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Inconclusive, Unusable
from harness.expectations.connectivity_matrix import Origin
from harness.expectations.outage_budget import Allowance
from harness.remote.connections.attempt_outcome import AttemptOutcome

POLL_INTERVAL_S = 0.2


@dataclass(frozen=True)
class Recovery:
    """`seconds` from the disruption to the first check that passed, or None; `period` is how coarse that figure is."""

    origin: Origin
    service: Service
    seconds: float | None
    period: float
    last: PathCheck | None
    fault: str | None


def follow(
    subject: ClusterUnderTest,
    origins: list[Origin],
    allowance: Allowance,
    anchor: float,
    *,
    active: str | None = None,
    steady_s: float = 0.0,
) -> list[Recovery]:
    """Check every path again and again until it is right, all of them at once: by one attempt, and then by as many as show that no other
    node answers. Where those do not, the path was not right yet.

    `active` is the node that must answer; when not given, the one the manager calls active. A check that is wrong before the
    deadline is no failure yet; one that is wrong at the end is. With `steady_s` a path has recovered when every check of that many seconds
    was right, and the figure is that of the first of them.
    """
    deadline = Deadline(allowance.seconds, anchor=anchor)
    work = [(o, s) for o in origins for s in subject.cluster.services]
    find_active: Callable[[], str] = SharedQuestion(lambda: subject.active) if active is None else lambda: active
    return subject.together(*(lambda o=o, s=s: _follow_one(subject, o, s, deadline, find_active, steady_s) for o, s in work))


def _follow_one(
    subject: ClusterUnderTest, origin: Origin, service: Service, deadline: Deadline, find_active: Callable[[], str], steady_s: float
) -> Recovery:
    last_check: PathCheck | None = None
    fault: str | None = None
    wrong_at = deadline.anchor  # when the last check that was not right began
    right_at: float | None = None  # when the first of the checks began that were right ever since

    def has_recovered() -> bool:
        nonlocal wrong_at, right_at
        started_at = time.monotonic()
        if not is_right():
            wrong_at, right_at = started_at, None
            return False
        right_at = started_at if right_at is None else right_at
        return started_at - right_at >= steady_s

    def silence_s() -> float:
        """For how long the last look waited for an answer that did not come."""
        silent = fault is None and last_check is not None and last_check.outcomes.keys() == {str(AttemptOutcome.SILENT)}
        return ATTEMPT_TIMEOUT_S if silent else 0.0

    def is_right() -> bool:
        nonlocal last_check, fault
        try:
            node = find_active()
            last_check, fault = check_path(subject, origin, service, node, count=1), None
            if last_check.verdict:
                last_check = check_path(subject, origin, service, node)
        except (Unusable, Inconclusive, DeadlineExceeded) as error:
            fault = str(error)  # a host on its way down or up; the deadline decides whether that is the end of it
            return False
        return bool(last_check.verdict)

    try:
        deadline.wait_for(has_recovered, what=f"the {origin} path to {service.name}", every=POLL_INTERVAL_S, waited_s=silence_s)
    except DeadlineExceeded:
        return Recovery(origin, service, None, 0.0, last_check, fault if last_check is None else None)
    assert right_at is not None, "the wait ended because the path was right"
    # The path was right when the first passing check began; the one before began a period earlier.
    return Recovery(origin, service, right_at - deadline.anchor, right_at - wrong_at, last_check, None)
