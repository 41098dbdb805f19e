"""A lab host's file systems: private /etc, /opt, /var, /root, /srv, /tmp, /run and /dev over the machine's read-only rest.

What a host writes to its own disk survives the loss of its power; what is in /run and /tmp does not.
"""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.lab.linux import linux_syscalls

# What programs want of /etc; users, names and secrets are the host's own.
BORROWED = [
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "localtime",
    "timezone",
    "protocols",
    "services",
    "profile",
    "profile.d",
    "bash.bashrc",
    "terminfo",
    "iproute2",
    "login.defs",
    "shells",
    "os-release",
    "debian_version",
    "inputrc",
    "locale.alias",
    "ssl/openssl.cnf",
    "crypto-policies",
]
DEVICES = ["null", "zero", "full", "random", "urandom", "tty"]


class Disk(Protocol):
    """Where files of a host are put before it boots: its own disk, or the folder that is laid over its image's."""

    @property
    def disk(self) -> Path:
        """Its root folder."""

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        """Put a file there."""


@dataclass(frozen=True)
class FileSystem:
    """`disk` is where the host's own disk lies in the lab; `keep` are paths of the machine that must stay visible
    (the interpreter and this package); `shared` maps paths in the lab to where the host sees them."""

    disk: Path
    keep: tuple[Path, ...]
    shared: dict[Path, Path]
    overlays: tuple[str, ...] = ("opt",)  # folders of the machine that the host may add to

    def add_accounts(self, passwd: str, group: str) -> None:
        """One more line each for /etc/passwd and /etc/group."""
        for name, line in (("passwd", passwd), ("group", group)):
            self.write(f"etc/{name}", (self.disk / "etc" / name).read_text() + line + "\n")

    def format(self) -> None:
        """Make the host's disk, with what every host has on it. Done once; later boots find what the host left there."""
        overlay_folders = [f"{_flat_name(folder)}{kind}" for folder in self.overlays for kind in ("", "-work")]
        for folder in (*overlay_folders, "etc", "srv", "root", "var/log", "var/lib/postgresql", "var/tmp", "var/cache"):
            (self.disk / folder).mkdir(parents=True)
        (self.disk / "var/tmp").chmod(0o1777)  # as everywhere: services' own accounts write there
        for name in BORROWED:
            _borrow(Path("/etc", name), self.disk / "etc" / name)
        self.write("etc/passwd", "".join(f"{u}:x:{i}:{i}:{u}:{home}:{shell}\n" for u, i, home, shell in _users()))
        self.write("etc/group", "".join(f"{u}:x:{i}:\n" for u, i, _, _ in _users()))
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.write("etc/resolv.conf", "")
        (self.disk / "var/run").symlink_to("/run")

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        """Put a file on the host's disk."""
        path = self.disk / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def arrange(self) -> None:
        """Inside the host's own mount namespace: put everything in its place. Raises OSError."""
        linux_syscalls.mount("none", "/", flags=linux_syscalls.MS_REC | linux_syscalls.MS_PRIVATE)
        handles = {path: os.open(path, os.O_PATH) for path in self.keep}
        shares = {target: os.open(source, os.O_PATH) for source, target in self.shared.items()}
        disk = os.open(self.disk, os.O_PATH)
        devices = {name: os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES}
        disk_path = Path(f"/proc/self/fd/{disk}").readlink()
        for folder in self.overlays:
            flat = _flat_name(folder)
            linux_syscalls.mount(
                "overlay",
                f"/{folder}",
                "overlay",
                options=f"lowerdir=/{folder},upperdir={disk_path}/{flat},workdir={disk_path}/{flat}-work",
            )
        for folder in ("etc", "srv", "root", "var"):
            linux_syscalls.bind(f"/proc/self/fd/{disk}/{folder}", f"/{folder}")
        linux_syscalls.mount("", "/", flags=linux_syscalls.MS_REMOUNT | linux_syscalls.MS_BIND | linux_syscalls.MS_RDONLY)
        _devices(devices)
        for target in ("/tmp", "/dev/shm"):
            linux_syscalls.tmpfs(target, mode="1777")
        linux_syscalls.tmpfs("/run")
        for folder in ("/run/sshd", "/run/lock"):
            Path(folder).mkdir()
        for path, handle in handles.items():
            _show_again(path, handle)
        for target_path, handle in shares.items():
            _show(handle, target_path)
        for handle in (*handles.values(), *shares.values(), *devices.values(), disk):
            os.close(handle)
        linux_syscalls.mount("proc", "/proc", "proc")
        linux_syscalls.mount("sysfs", "/sys", "sysfs")  # of this host's own network namespace
        if Path("/proc/sysrq-trigger").exists():  # as real root, a host could otherwise reboot the machine under the lab
            linux_syscalls.bind("/dev/null", "/proc/sysrq-trigger")


def _flat_name(folder: str) -> str:
    """The name on the host's disk of what is laid over a folder of the machine."""
    return folder.replace("/", "-")


def _users() -> list[tuple[str, int, str, str]]:
    """The database's files are the machine's `postgres` user's, so the hosts know that user by the same number."""
    return [
        ("root", 0, "/root", "/bin/bash"),
        ("sshd", 74, "/run/sshd", "/usr/sbin/nologin"),
        ("postgres", pwd.getpwnam("postgres").pw_uid, "/var/lib/postgresql", "/bin/bash"),
        ("nobody", 65534, "/nonexistent", "/usr/sbin/nologin"),
    ]


def _borrow(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=_copy_readable)
    elif source.exists():
        _copy_readable(source, target)


def _copy_readable(source: str | Path, target: str | Path) -> None:
    if os.access(source, os.R_OK):
        shutil.copyfile(source, target, follow_symlinks=False)


def _devices(devices: dict[str, int]) -> None:
    linux_syscalls.tmpfs("/dev")
    for name, handle in devices.items():
        _show(handle, Path("/dev", name))
    for folder in ("/dev/pts", "/dev/shm"):
        Path(folder).mkdir()
    linux_syscalls.mount("devpts", "/dev/pts", "devpts", options="newinstance,ptmxmode=0666,mode=620")
    Path("/dev/ptmx").symlink_to("pts/ptmx")
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        Path("/dev", name).symlink_to(f"/proc/self/fd/{number}")
    Path("/dev/fd").symlink_to("/proc/self/fd")


def _show_again(path: Path, handle: int) -> None:
    """A kept path that a private folder has hidden is shown again where it was."""
    if not path.exists() or not os.path.samestat(path.stat(), os.fstat(handle)):
        _show(handle, path)


def _show(handle: int, target: Path) -> None:
    source = Path(f"/proc/self/fd/{handle}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    linux_syscalls.bind(source, target)
