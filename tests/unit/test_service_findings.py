"""What a service tells of itself is more than its paths: that it cannot be asked for it is a note, and ends no check."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER

from harness.check.findings import service_findings
from harness.config.service_settings import NotAgreed
from harness.core.errors import BadUse, DeadlineExceeded, Unusable
from harness.core.finding import Weight
from harness.services.service_kind import NotTheService, TurnedAway

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")


def told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    def ask(*_: Any) -> None:
        raise error

    monkeypatch.setattr(service_findings, "ask_over_the_path", ask)
    return service_findings.of_service(SimpleNamespace(cluster=CLUSTER), DATABASE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [NotAgreed("nobody has agreed"), NotTheService("no"), TurnedAway("28P01"), DeadlineExceeded("late"), Unusable("gone"), OSError("no")],
)
def test_a_service_that_cannot_be_asked_is_a_note(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = told(error, monkeypatch)
    assert (one.weight, one.what) == (Weight.NOTE, "not told") and str(error) in one.says


def test_a_file_that_cannot_be_used_ends_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadUse):
        told(BadUse("no such file"), monkeypatch)
