"""The machine disk of an image: its root file system with a kernel of the distribution's, as an ext4 file system in a file, beside it in
the cache.

Three files: the disk, which no machine ever writes to; the kernel; and what the kernel starts first (initrd): BusyBox, the drivers of
QEMU's disks and NICs, and a script that mounts the disk, lays a host's own files over it once, and starts systemd.
"""

from __future__ import annotations

import lzma
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import Unusable
from harness.lab.guests.images import image_build, image_recipe, image_store, newc_archive

DISK, KERNEL, INITRD = "disk.raw", "vmlinuz", "initrd"
FORMAT = 4  # with another one the files are made anew
FORMAT_FILE = "machine-format"
DISTRIBUTION = "debian"  # whose packages these are
DISK_MB = 4096  # as the machine sees it; a file with holes
PACKAGES = {"x86_64": ("linux-image-cloud-amd64", "busybox-static"), "aarch64": ("linux-image-cloud-arm64", "busybox-static")}
DRIVERS = ("virtio_pci", "virtio_blk", "virtio_net", "button", "evdev")  # for its disk, its NICs, and its power button
MODULE = re.compile(r"\.ko(\.xz)?$")
SEED = "seed"  # in the initrd: a host's own files
SEEDED = "var/lib/lkharness-seeded"  # on the disk, once they are there
# Power may be lost at any moment, so that the mark is written when everything else is on the disk.
FIRST_PROCESS = f"""#!/bin/busybox sh
set -e
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for driver in $(/bin/busybox cat /drivers/order); do /bin/busybox insmod "/drivers/$driver"; done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda /root
if [ -d /{SEED} ] && [ ! -e /root/{SEEDED} ]; then
  /bin/busybox cp -a /{SEED}/. /root/
  /bin/busybox sync
  : > /root/{SEEDED}
  /bin/busybox sync
fi
/bin/busybox umount /proc
/bin/busybox umount /sys
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""
# Work on a schedule, log-ins on consoles (which wait for udev, of which an image has none), and drivers that systemd loads in case somebody
# needs them: without hardware virtualisation each is a second of a boot.
UNWANTED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer"),
    *("systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "systemd-sysusers.service", "systemd-update-utmp.service"),
    *("systemd-update-utmp-runlevel.service", "ldconfig.service", "systemd-firstboot.service", "systemd-machine-id-commit.service"),
    *("serial-getty@ttyS0.service", "getty@tty1.service", "systemd-pstore.service"),
    *(f"modprobe@{module}.service" for module in ("configfs", "dm_mod", "drm", "fuse", "loop", "efi_pstore")),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
)


@dataclass(frozen=True)
class MachineImage:
    """The three files, which are only read."""

    folder: Path

    @property
    def disk(self) -> Path:
        """Its disk, raw."""
        return self.folder / DISK

    @property
    def kernel(self) -> Path:
        """Its kernel."""
        return self.folder / KERNEL

    @property
    def initrd(self) -> Path:
        """What the kernel starts first."""
        return self.folder / INITRD


def find(image: image_store.Image) -> MachineImage | None:
    """The machine disk of an image, where it has been made."""
    mark = image.folder / FORMAT_FILE
    return MachineImage(image.folder) if mark.exists() and mark.read_text() == str(FORMAT) else None


def make(image: image_store.Image, say: Callable[[str], None] = lambda text: None) -> MachineImage:
    """Make it, unless it is there. Raises Unusable with the words of what failed."""
    if present_image := find(image):
        return present_image
    recipe = image_recipe.recipe(image.name)
    if (distribution := platform.freedesktop_os_release().get("ID")) != DISTRIBUTION:
        reason = f"a machine disk is made with Debian's kernel for clouds, and this is {distribution}"
        raise Unusable(f"{reason}; make it on Debian, or use guests of kind container")
    image_build.demand_tools()
    if not shutil.which("mke2fs"):
        raise Unusable("a machine disk is made with mke2fs; fix it with: apt-get install -y --no-install-recommends e2fsprogs")
    say(f"making a machine disk of the image {image.name}")
    (image.folder / FORMAT_FILE).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="lkharness-image-", dir=image_build.workplace()) as work:
        root, packages = Path(work, "root"), Path(work, "packages")
        root.mkdir()
        _run("tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--file", str(image.root), "--directory", str(root))
        _run(
            *("mmdebstrap", "--quiet", "--variant=extract", "--mode=root", "--format=directory"),
            *(
                "--aptopt=APT::Install-Recommends false",
                f"--include={','.join(PACKAGES[recipe.architecture])}",
                recipe.suite,
                str(packages),
            ),
        )
        version = _take_kernel(packages, root)
        for unit in UNWANTED:
            (root / "etc/systemd/system" / unit).unlink(missing_ok=True)
            (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
        with tempfile.TemporaryDirectory(prefix=".machine.", dir=image.folder) as new:
            _write_initrd(packages, root / "lib/modules" / version / "kernel", Path(work, "initrd"), Path(new, INITRD))
            shutil.copyfile(next((packages / "boot").glob("vmlinuz-*")), Path(new, KERNEL))
            _run("mke2fs", "-q", "-t", "ext4", "-L", "root", "-m", "0", "-d", str(root), str(Path(new, DISK)), f"{DISK_MB}M")
            for name in (INITRD, KERNEL, DISK):
                Path(new, name).chmod(0o444)
                Path(new, name).replace(image.folder / name)
    (image.folder / FORMAT_FILE).write_text(str(FORMAT))
    return MachineImage(image.folder)


def _take_kernel(packages: Path, root: Path) -> str:
    """The kernel's modules go to the root file system; returns the kernel's version."""
    modules = next((packages / "lib/modules").iterdir())
    target = root / "lib/modules" / modules.name
    target.parent.mkdir(exist_ok=True)
    shutil.copytree(modules, target, symlinks=True)
    _run("chroot", str(root), "depmod", "-a", modules.name)
    return modules.name


def _write_initrd(packages: Path, modules: Path, folder: Path, file: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "drivers").mkdir()
    shutil.copyfile(packages / "bin/busybox", folder / "bin/busybox")
    (folder / "bin/busybox").chmod(0o755)
    order = []
    for name, content in _drivers(modules):
        (folder / "drivers" / name).write_bytes(content)
        order.append(name)
    (folder / "drivers/order").write_text("".join(f"{name}\n" for name in order))
    (folder / "init").write_text(FIRST_PROCESS)
    (folder / "init").chmod(0o755)
    file.write_bytes(newc_archive.archive(folder))


def _drivers(modules: Path) -> list[tuple[str, bytes]]:
    """The files of DRIVERS and of what they need, each after that. A driver that the kernel has built in has no file."""
    files = {MODULE.sub("", file.name).replace("-", "_"): file for file in modules.rglob("*.ko*")}
    ordered: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in ordered or name not in files:
            return
        data = files[name].read_bytes()
        content = lzma.decompress(data) if files[name].suffix == ".xz" else data
        for need in (re.search(rb"\0depends=([^\0]*)\0", content) or [b"", b""])[1].decode().split(","):
            add(need)
        ordered[name] = content

    for driver in DRIVERS:
        add(driver)
    return [(f"{name}.ko", content) for name, content in ordered.items()]


def seed_archive(folder: Path) -> bytes:
    """A host's own files, to be appended to the initrd."""
    return newc_archive.archive(folder, SEED)


def _run(*command: str) -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    completed = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, timeout=1800.0)
    if completed.returncode != 0:
        lines = [line for line in completed.stderr.splitlines() if re.match(r"(E:|tar:|mke2fs)", line)] or completed.stderr.splitlines()
        raise Unusable(f"{command[0]} could not do its part of a machine disk: {(lines or ['it said nothing'])[-1]}")
