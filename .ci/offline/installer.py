"""Installs lkharness from this file, with no network: python3 lkharness-…-offline.pyz FOLDER. Needs Python alone, not even pip."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ENVIRONMENT_NOT_USABLE = 4  # as lkharness's own exit codes
PLATFORMS = {"win-amd64": "windows-amd64"}  # as the lists are called, by this Python's own word: of one processor there may be several


def main() -> int:
    parser = argparse.ArgumentParser(description="Install lkharness into a folder of its own, with no network.")
    parser.add_argument("folder", type=Path, help="a new folder for the virtual environment")
    given = parser.parse_args()
    folder = given.folder.expanduser().absolute()
    platform = PLATFORMS.get(sysconfig.get_platform(), sysconfig.get_platform())
    listed = f"lists/{platform}-py{sys.version_info.major}.{sys.version_info.minor}.txt"
    with zipfile.ZipFile(Path(sys.argv[0])) as archive:
        there = [name for name in archive.namelist() if name.startswith("lists/")]
        if listed not in there:
            return _refuse(
                f"this file is for {', '.join(sorted(n[6:-4] for n in there))}, not for {listed[6:-4]}; run it with one of those"
            )
        if folder.exists() and any(folder.iterdir()):
            return _refuse(f"{folder} is not empty; name a new folder")
        try:
            venv.create(folder, with_pip=False)  # pip comes from this file: a distribution's Python may have none
            with tempfile.TemporaryDirectory() as scratch:
                archive.extractall(scratch)
                _install(folder, Path(scratch), listed)
        except (OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(folder, ignore_errors=True)  # it held nothing before, and half an environment would refuse the next try
            remains = f"; remove {folder} before the next try" if folder.exists() else ""
            return _refuse(f"{folder} could not be made: {getattr(error, 'stderr', '') or error}{remains}")
    command = _programs(folder) / ("lkharness.exe" if os.name == "nt" else "lkharness")
    print(f"installed; begin with: {command} check --cluster FILE   (`{command} init FILE` writes that file)")
    return 0


def _install(folder: Path, scratch: Path, listed: str) -> None:
    (pip,) = (scratch / "wheels").glob("pip-*.whl")
    python = _programs(folder) / ("python.exe" if os.name == "nt" else "python")
    options = ["-q", "--disable-pip-version-check", "--no-index", "--require-hashes", "--no-deps", "--find-links", scratch / "wheels"]
    words = [python, pip / "pip", "install", *options, "-r", scratch / listed]
    environment = {**os.environ, "PIP_CONFIG_FILE": os.devnull}
    subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, env=environment)


def _programs(folder: Path) -> Path:
    return folder / ("Scripts" if os.name == "nt" else "bin")


def _refuse(says: str) -> int:
    print(f"lkharness: {says}", file=sys.stderr)
    return ENVIRONMENT_NOT_USABLE


if __name__ == "__main__":
    sys.exit(main())
