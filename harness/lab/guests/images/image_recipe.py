"""What an image is made of: the distribution's own packages, and nothing else. The hash of all of it is the image's key in the cache."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.core.errors import BadUse, Unusable

SYSTEM = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "iproute2",
    "nftables",
    "procps",
    "psmisc",
    "kmod",
    "iputils-ping",
    "python3",
)
CLUSTER = ("corosync", "pacemaker", "pacemaker-cli-utils", "resource-agents", "fence-agents", "netcat-openbsd")
# Debian makes and starts a database with the package, whose files nobody would use.
NO_DATABASE = 'mkdir -p "$1/etc/postgresql-common"; echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"'
# What every machine must have of its own: host keys and the machine's id.
NOBODYS = 'rm -f "$1"/etc/ssh/ssh_host_*; : > "$1/etc/machine-id"'
UNREAD = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Recipe:
    """An image by its name; `suite` is the distribution's release, that of this machine."""

    name: str
    suite: str
    architecture: str
    packages: tuple[str, ...]
    excluded: tuple[str, ...] = UNREAD
    before_packages: str = NO_DATABASE
    after_packages: str = NOBODYS

    @property
    def key(self) -> str:
        """Changes with everything that the image is made of, but not with new versions of its packages."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


PACKAGES = {"pacemaker": (*SYSTEM, *CLUSTER, "postgresql")}


def recipe(name: str) -> Recipe:
    """The recipe of that name for this machine's own distribution. Raises BadUse with what there is, Unusable where it has no release."""
    if name not in PACKAGES:
        raise BadUse(f"there is no recipe for an image {name!r}; there is {', '.join(PACKAGES)}")
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    suite = release.get("VERSION_CODENAME", "")
    if not suite or "debian" not in (release.get("ID"), *release.get("ID_LIKE", "").split()):
        raise Unusable("an image is built on Debian or Ubuntu only, out of its own packages; build it there")
    return Recipe(name, suite, platform.machine(), PACKAGES[name])
