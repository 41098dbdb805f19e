"""Files on the harness's own machine: paths as a person wrote them, and a file that is replaced as a whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from harness.core.errors import BadUse


def expand_user(path: Path | str) -> Path:
    """The path with its `~` or `~user` written out. Raises BadUse where nobody knows that home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadUse(f"{path}: nobody's home is known for that; write the whole path") from None


def write_atomically(path: Path, text: str, *, private: bool = False) -> Path:
    """Write `text` so that `path` holds either its old content or all of the new, even if the machine stops in between.

    `private`: for its owner alone to read.
    """
    beside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with os.fdopen(opened, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _settle(path.parent)
    return path


def own_uid() -> int:
    """The number of this process's user; 0 on Windows, where every file says that it is 0's, and lists of rights keep others out."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def others_may_write(found: os.stat_result) -> bool:
    """By the file's mode, which says nothing on Windows."""
    return hasattr(os, "geteuid") and bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _settle(folder: Path) -> None:
    """Make a rename in `folder` last. Windows opens no folder, and settles a rename itself."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
