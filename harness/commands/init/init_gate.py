"""`lkharness init --gate`: a commented gate file."""

from __future__ import annotations

from pathlib import Path

from harness.core import package_data
from harness.core.errors import Unusable
from harness.core.files import write_atomically

DEFAULT = "gate.toml"


def write(file: Path) -> Path:
    """Write the example, whose demands are to be changed. Raises Unusable."""
    try:
        return write_atomically(file, package_data.document("gate.example.toml").read_text(encoding="utf-8"))
    except OSError as error:
        raise Unusable(f"{file}: cannot be written ({error.strerror or error}); name another place") from error
