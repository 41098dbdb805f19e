"""The time in which a database listens and does not serve is a phase of the outage, by the database's own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import A, B, a_switchover

from harness.config import cluster_config
from harness.expectations import outage_budget
from harness.lab.lifecycle import default_cluster
from harness.measure.evaluation.database_recovery import code_of
from harness.measure.evaluation.outage_phases import stack
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import Recording

RECOVERS = "closed after b'E\\x00\\x00\\x00tSFATAL' (SQLSTATE 57P03)"
NO_INSTANCE = "closed after b'\\x00a\\x00\\x00\\x04' (ORA-12528)"


def recovering(node: str, start: float, stop: float, detail: str = RECOVERS) -> Recording:
    """The hand-made switchover (begins at 2.0, listens on B from 3.2, the balancer sends to B from 3.7), with a database on `node` that
    turns away every session from `start` to `stop`."""
    recording = a_switchover()
    for series in recording.header.series:
        rows = recording.samples[series.id]
        for n, row in enumerate(rows):
            own = series.origin == node or row.at >= 3.7
            if start <= row.at < stop and row.outcome == "answered" and own:
                rows[n] = row._replace(outcome="reset", detail=detail)
    return recording


@pytest.mark.parametrize(("detail", "code"), [(RECOVERS, "SQLSTATE 57P03"), (NO_INSTANCE, "ORA-12528")])
def test_recovery_is_a_phase_that_ends_where_the_database_served(detail: str, code: str) -> None:
    result = evaluate(recovering(B, 3.2, 5.0, detail))
    boundary = next(b for b in result.boundaries if b.name == "database ready")
    assert boundary.at == pytest.approx(5.0, abs=0.02) and boundary.source in (B, "lkclient", A)
    assert code in boundary.evidence and "from +1.2" in boundary.evidence
    client = next(t for t in result.series if t.path == "client")
    assert client.recovered_after_s == pytest.approx(3.0, abs=0.02), "the outage ends where the database served, not where it listened"
    by_phase = dict(stack(result.boundaries, client.outages[-1]))
    assert by_phase["database ready"] + by_phase["balancer switched"] <= client.outages[-1].seconds


def test_what_the_old_node_says_while_it_ends_is_no_recovery() -> None:
    result = evaluate(recovering(A, 2.0, 2.5))
    assert next(b for b in result.boundaries if b.name == "database ready").at is None


def test_a_database_that_never_serves_again_has_no_end_of_its_recovery() -> None:
    boundary = next(b for b in evaluate(recovering(B, 3.2, 99.0)).boundaries if b.name == "database ready")
    assert boundary.at is None and "57P03" in boundary.evidence and "not seen to serve" in boundary.evidence


@pytest.mark.parametrize(
    ("detail", "code"),
    [
        (RECOVERS, "SQLSTATE 57P03"),
        (RECOVERS + " between heartbeats", "SQLSTATE 57P03"),
        ("closed after b'E' (SQLSTATE 53300)", ""),  # no free connection: served, and full
        ("closed after b'E' (SQLSTATE 57P01)", ""),
        ("closed after b'x' (ORA-12514)", "ORA-12514"),
        ("closed after b'x' (ORA-12505)", ""),
        ("said b'(ORA-12514) and more'", ""),  # quoted, by whoever it was
        ("", ""),
    ],
)
def test_only_the_errors_that_mean_not_yet(detail: str, code: str) -> None:
    assert code_of(detail) == code


def test_a_budget_has_the_recovery_in_it_where_a_database_crashes_and_says_so() -> None:
    plain = cluster_config.parse(default_cluster.cluster_data("fast"), Path("x"))
    slow = plain.model_copy(update={"budget": plain.budget.model_copy(update={"recovery_s": 7.0})})
    for kind in (outage_budget.service_crash, outage_budget.node_loss, outage_budget.service_hang, outage_budget.split_brain):
        assert kind(slow).seconds == pytest.approx(kind(plain).seconds + 7.0) and "database recovery 7 + " in kind(slow).because
        assert "recovery" not in kind(plain).because
    assert outage_budget.switchover(slow) == outage_budget.switchover(plain), "what ends in order has nothing to recover"
