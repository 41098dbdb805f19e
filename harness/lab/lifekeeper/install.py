"""Writes the commands into LKROOT/bin, and never into a directory that somebody else made."""

from __future__ import annotations

import shlex
from pathlib import Path

import harness
from harness.core.errors import BadUse, Unusable
from harness.lab.lifekeeper import STAND_IN
from harness.lab.lifekeeper.commands import options

MARKER = ".stand-in"
DEFAULT_ROOT = Path("/opt/LifeKeeper")  # LKL-01


def install(root: Path = DEFAULT_ROOT, python: str = "/usr/bin/python3", *, config: Path | None = None) -> list[Path]:
    """Write one small executable per command into `root`/bin; returns their paths.

    `python` runs them (3.11 or newer); `config` is used where LKSTANDIN_CONFIG is not set. Raises BadUse when `root` exists
    and is not ours (it may be the real product), Unusable when it cannot be written.
    """
    marker = root / MARKER
    if root.exists() and not marker.exists() and any(root.iterdir()):
        raise BadUse(f"{root} exists and was not made by this stand-in; it may be the real LifeKeeper: give another directory")
    try:
        (root / "bin").mkdir(parents=True, exist_ok=True)
        marker.write_text(f"{STAND_IN}\n")
        return [_write(root / "bin" / name, name, python, config) for name in options.COMMANDS]
    except OSError as error:
        raise Unusable(f"{root} cannot be written ({error.strerror}); give a directory that this user may write to") from error


def _write(path: Path, name: str, python: str, config: Path | None) -> Path:
    # By way of sh, because a #! line cannot hold long or spaced paths; -I and -S keep the start short and the imports ours.
    client = Path(harness.__file__).resolve().parent / "lab/lifekeeper/commands/quick_client.py"
    default = f': "${{LKSTANDIN_CONFIG:={config}}}"; export LKSTANDIN_CONFIG\n' if config else ""
    path.write_text(f'#!/bin/sh\n# {STAND_IN}\n{default}exec {shlex.quote(python)} -IS {shlex.quote(str(client))} {name} "$@"\n')
    path.chmod(0o755)
    return path
