"""Archives as the Linux kernel unpacks them when it boots (cpio, format newc): what a machine's first programs are brought in."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

ALIGNMENT = 4
TRAILER = "TRAILER!!!"


def archive(folder: Path, below: str = "") -> bytes:
    """Everything in `folder` with modes and times, owned by root; in the archive it lies below the path `below`, whose folders are made.

    Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    parents = [str(path) for path in reversed(Path(below).parents) if path.name] + ([below] if below else [])
    entries = [_entry(number, path, stat.S_IFDIR | 0o755, b"", 0) for number, path in enumerate(parents, 1)]
    for number, (path, name) in enumerate(_walk(folder, below), len(parents) + 1):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            content = os.fsencode(path.readlink())
        else:
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        entries.append(_entry(number, name, status.st_mode, content, int(status.st_mtime)))
    entries.append(_entry(0, TRAILER, 0, b"", 0))
    return b"".join(entries)


def _walk(folder: Path, below: str) -> Iterator[tuple[Path, str]]:
    """Folders before what is in them, in an order that is always the same."""
    for path in sorted(folder.rglob("*")):
        yield path, str(Path(below, path.relative_to(folder)))


def _entry(number: int, name: str, mode: int, content: bytes, changed: int) -> bytes:
    encoded_name = os.fsencode(name) + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = [number, mode, 0, 0, links, changed, len(content), 0, 0, 0, 0, len(encoded_name), 0]
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _aligned(header + encoded_name) + _aligned(content)


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
