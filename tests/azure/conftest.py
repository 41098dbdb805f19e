"""Azure's management API on this machine, for the tests of what reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("azure.mgmt.network", reason="the extra [azure] is not installed")
pytest.importorskip("trustme", reason="trustme, of the extra [dev], is not installed")

from arm_server import ArmServer, arm


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArmServer]:
    with arm(tmp_path) as running:
        yield running
