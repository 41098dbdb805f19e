"""A TOML file as bytes and as data: read once, so that what was looked at is what is used."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from harness.core.errors import BadUse


def content(path: Path) -> bytes:
    """Raises BadUse when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadUse(f"{path}: cannot be read ({error.strerror}); give the path of a cluster file") from error


def toml(raw: bytes, path: Path) -> dict[str, Any]:
    """Raises BadUse when it is not TOML."""
    try:
        return tomllib.loads(raw.decode("utf-8").replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadUse(f"{path}: is not TOML: {error}") from error
