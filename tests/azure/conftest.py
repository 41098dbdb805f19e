"""Azure's management API on this machine, for the tests of what reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from arm_server import ArmServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArmServer]:
    from arm_server import arm

    with arm(tmp_path) as running:
        yield running
