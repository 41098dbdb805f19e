"""Azure's management API on this machine, for the tests of what reads it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from arm_server import ArmServer

# Without the extras [azure] and [dev] there is nothing to test here; `./run tests` installs both.
collect_ignore_glob = [] if all(importlib.util.find_spec(name) for name in ("azure", "trustme")) else ["test_*.py"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArmServer]:
    from arm_server import arm

    with arm(tmp_path) as running:
        yield running
