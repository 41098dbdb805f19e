"""The few Linux calls that Python 3.11 does not have: unshare, setns, mount and prctl."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags`. Raises OSError."""
    _demand(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace that `fd` refers to. Raises OSError."""
    _demand(_libc.setns(fd, kind), "setns")


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError naming the target."""
    result = _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode() or None)
    _demand(result, f"mount {target}")


def bind(source: str | Path, target: str | Path) -> None:
    """Show `source` (with everything mounted below it) at `target` too."""
    mount(source, target, flags=MS_BIND | MS_REC)


def tmpfs(target: str | Path, *, mode: str = "755", size: str = "50%") -> None:
    """Mount an empty memory file system."""
    mount("tmpfs", target, "tmpfs", options=f"mode={mode},size={size}")


def _demand(result: int, call: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")


def drop_capability(number: int) -> None:
    """Take a capability out of the bounding set, for this process and all that come of it. Raises OSError."""
    PR_CAPBSET_DROP = 24
    _demand(_libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0), f"dropping capability {number}")


def end_with_parent() -> None:
    """From now on this process is killed when its parent ends; a change of account takes that back. Raises OSError."""
    PR_SET_PDEATHSIG = 1
    _demand(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "ending with the parent")
