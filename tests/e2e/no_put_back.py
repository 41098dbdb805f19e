"""A plug-in of pytest, by which a run's own put-back fails: `-p tests.e2e.no_put_back`."""

from __future__ import annotations

from harness.attach import disruptive_run
from harness.core.verdict import failed

REASON = "the standby cannot start it"


def pytest_configure() -> None:
    disruptive_run.put_back = lambda *about, **more: failed(REASON)  # type: ignore[assignment]
