"""Makes the offline file: the product, and every package that it needs, for machines that reach no package registry (docs/offline.md).

One zip that Python runs: its `__main__` (installer.py) makes a virtual environment of what is inside, by hash, with no network.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# uv's name of a platform, and those that pip accepts wheels of there.
PLATFORMS = {
    "linux-x86_64": ("x86_64-manylinux_2_28", [f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)] + ["manylinux2014_x86_64"]),
    "windows-amd64": ("x86_64-pc-windows-msvc", ["win_amd64"]),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run offline", description="Make one file that installs lkharness without a network.")
    parser.add_argument("--to", type=Path, default=Path("dist"), metavar="FOLDER", help="where the file goes (default: dist)")
    parser.add_argument("--azure", action="store_true", help="with the packages for Azure, too")
    parser.add_argument("--python", action="append", choices=PYTHONS, help="for this Python only (may be given several times)")
    parser.add_argument("--platform", action="append", choices=[*PLATFORMS], help="for this platform only (may be given several times)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            file = make(Path(scratch), given.to, given.python or PYTHONS, given.platform or [*PLATFORMS], azure=given.azure)
        except subprocess.CalledProcessError as error:
            print(
                f"run: `{' '.join(map(str, error.cmd[:6]))} …` failed; is a package registry reachable?\n{error.stderr[-2000:]}",
                file=sys.stderr,
            )
            return 4
    print(f"{file} ({file.stat().st_size / 1e6:.0f} MB); install it anywhere with: python3 {file.name} FOLDER")
    return 0


def make(scratch: Path, to: Path, pythons: list[str] | tuple[str, ...], platforms: list[str], *, azure: bool) -> Path:
    """The finished file. Raises CalledProcessError when a package cannot be had."""
    wheels = scratch / "wheels"
    wheels.mkdir()
    _run("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, REPOSITORY)
    (own,) = wheels.glob("lkharness-*.whl")
    _run("-m", "pip", "download", "-q", "--no-deps", "-d", wheels, "pip")
    wanted = scratch / "wanted.txt"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted.write_text("\n".join([*project["dependencies"], *(project["optional-dependencies"]["azure"] if azure else [])]))
    lists = {}
    for python in pythons:
        for platform in platforms:
            lists[f"{platform}-py{python}.txt"] = _fetch(scratch, wanted, wheels, python, platform) + _with_hash(own)
    to.mkdir(parents=True, exist_ok=True)
    file = to / f"lkharness-{own.name.split('-')[1]}-offline.pyz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # wheels are compressed already
        archive.write(Path(__file__).with_name("installer.py"), "__main__.py")
        for name, text in lists.items():
            archive.writestr(f"lists/{name}", text)
        for wheel in sorted(wheels.iterdir()):
            archive.write(wheel, f"wheels/{wheel.name}")
    return file


def _fetch(scratch: Path, wanted: Path, wheels: Path, python: str, platform: str) -> str:
    """Fetch every wheel of one Python on one platform; the list of them, by hash."""
    uv_name, tags = PLATFORMS[platform]
    lock, listed = scratch / "constraints.txt", scratch / f"{platform}-{python}.txt"
    pinned = re.findall(r"^([a-z0-9][^ ]*==[^ ]+)", (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE)
    lock.write_text("\n".join(pinned))
    compiled = ["--no-header", "--no-annotate", "--only-binary", ":all:", "--generate-hashes", "-c", lock, "-o", listed]
    _run("-m", "uv", "pip", "compile", "-q", *compiled, "--python-platform", uv_name, "--python-version", python, wanted)
    fetched = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    for_platform = [word for tag in tags for word in ("--platform", tag)]
    _run("-m", "pip", "download", "-q", *fetched, *for_platform, "-d", wheels, "-r", listed)
    return listed.read_text()


def _with_hash(wheel: Path) -> str:
    return f"lkharness=={wheel.name.split('-')[1]} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def _run(*words: object) -> None:
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
