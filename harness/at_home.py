"""Paths that a person wrote: `~` and `~user` as they mean them."""

from __future__ import annotations

from pathlib import Path

from harness.errors import BadUse


def at_home(path: Path | str) -> Path:
    """The path with its `~` written out. Raises BadUse where nobody knows that home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadUse(f"{path}: nobody's home is known for that; write the whole path") from None
