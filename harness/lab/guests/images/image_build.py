"""Builds an image with mmdebstrap: the distribution's packages in a root file system of their own, as a tar archive in the cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from harness.core.errors import Unusable
from harness.lab.guests.images import image_store
from harness.lab.guests.images.image_recipe import Recipe

EATMYDATA = Path("/usr/share/mmdebstrap/hooks/eatmydata")
BUILD_TIMEOUT_S = 3600.0
ROOM_MB = 4000  # unpacked, and the archive of it
MEMORY = Path("/dev/shm")


def build(recipe: Recipe, say: Callable[[str], None] = lambda text: None) -> image_store.Image:
    """Build it, unless the cache has it. Raises Unusable with mmdebstrap's own last words."""
    folder = image_store.images_folder() / f"{recipe.name}-{recipe.key}"
    if not (folder / image_store.ABOUT).exists():
        demand_tools()
        folder.parent.mkdir(parents=True, exist_ok=True)
        _forget_halves(folder.parent)
        temporary_folder = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}.", dir=folder.parent))
        try:
            began = time.time()
            say(f"building the image {recipe.name} out of packages of {recipe.suite}")
            _mmdebstrap(recipe, temporary_folder / image_store.ROOT_FILE_SYSTEM)
            description = {**asdict(recipe), "key": recipe.key, "built_at": time.time(), "build_s": time.time() - began}
            description |= _contents(temporary_folder / image_store.ROOT_FILE_SYSTEM)
            (temporary_folder / image_store.ABOUT).write_text(json.dumps(description, indent=1))
            shutil.rmtree(folder, ignore_errors=True)  # without its description it was no image
            temporary_folder.rename(folder)
        finally:
            if temporary_folder.exists():
                shutil.rmtree(temporary_folder)
    return next(image for image in image_store.images() if image.folder == folder)


def lacking() -> list[str]:
    """The packages that building needs and that are not here."""
    return [package for package in ("mmdebstrap", "eatmydata") if not shutil.which(package)]


def demand_tools() -> None:
    """Raises Unusable where something is lacking that building needs."""
    if missing := lacking():
        raise Unusable(
            f"building an image needs {' and '.join(missing)}; fix it with: apt-get install -y --no-install-recommends {' '.join(missing)}"
        )
    if os.geteuid() != 0:
        raise Unusable("an image is built by root only; run it with sudo, or let root build it")


def _forget_halves(folder: Path) -> None:
    """What builds left behind that were killed: their process is in the name."""
    for half in folder.glob(".*.*.*"):
        pid = half.name.split(".")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(half)


def _mmdebstrap(recipe: Recipe, archive: Path) -> None:
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", "--format=tar"]
    command += ["--aptopt=APT::Install-Recommends false", "--dpkgopt=force-unsafe-io"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.excluded]
    command += [f"--dpkgopt=path-include={pattern}" for pattern in recipe.included]  # of two patterns that match, the later decides
    command += [f"--hook-dir={EATMYDATA}"] if EATMYDATA.is_dir() else []
    command += [f"--essential-hook={recipe.before_packages}", f"--customize-hook={recipe.after_packages}"]
    command += [f"--include={','.join(recipe.packages)}", recipe.suite, str(archive)]
    with tempfile.TemporaryDirectory(prefix="lkharness-image-", dir=workplace()) as work:
        environment = {**os.environ, "TMPDIR": work, "LC_ALL": "C.UTF-8"}
        completed = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, timeout=BUILD_TIMEOUT_S
        )
    if completed.returncode != 0:
        lines = (
            [line for line in completed.stderr.splitlines() if line.startswith("E:")]
            or completed.stderr.strip().splitlines()
            or ["nothing"]
        )
        raise Unusable(
            f"mmdebstrap could not build the image {recipe.name}: {lines[0]}; it takes apt's own sources (apt-get update shows them)"
        )


def workplace() -> str | None:
    """Memory, where there is plenty of it: unpacking some 15,000 small files is most of the work."""
    if not MEMORY.is_dir():
        return None
    memory_status = os.statvfs(MEMORY)
    free = [int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:")]
    return str(MEMORY) if memory_status.f_bavail * memory_status.f_frsize > ROOM_MB << 20 and free and free[0] > 2 * ROOM_MB << 10 else None


def _contents(archive: Path) -> dict:
    """What a lab must know of the image: its size, the numbers of its accounts, its PostgreSQL."""
    accounts, servers = {}, set()
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if name == "etc/passwd" and (file := tar.extractfile(member)):
                fields = [line.split(":") for line in file.read().decode().splitlines()]
                accounts = {f[0]: (int(f[2]), int(f[3])) for f in fields if len(f) > 3}
            if name.startswith("usr/lib/postgresql/") and name.endswith("/bin/postgres"):
                servers.add(name.split("/")[3])
    return {"bytes": archive.stat().st_size, "accounts": accounts, "postgres": sorted(servers)}
