"""A plug-in of pytest, by which a killed run's agents end and clean up soon enough to be waited for: `-p tests.e2e.short_lives`."""

from __future__ import annotations

from harness.remote.agents import agent_launch

ORPHAN_S, KEEP_S = 4.0, 1.0  # in place of minutes


def pytest_configure() -> None:
    agent_launch.ORPHAN_TIMEOUT_S, agent_launch.SPOOL_KEPT_S = ORPHAN_S, KEEP_S
