"""What an image is made of: the distribution's own packages, and nothing else. The hash of all of it is the image's key in the cache."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, replace
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
# Azure's packages are half a gigabyte; of their services a fence agent asks for machines and networks only.
AZURE = ("python3-azure", "ca-certificates", "curl")
AZURE_SERVICES = "/usr/lib/python3/dist-packages/azure/mgmt"
# A package of which files are left out cannot compile them, and fails to install: what is there is compiled at the end.
NOT_COMPILED = """chroot "$1" dpkg-divert --quiet --local --rename --add /usr/bin/py3compile; ln -s true "$1/usr/bin/py3compile\""""
COMPILED = """rm "$1/usr/bin/py3compile"; chroot "$1" dpkg-divert --quiet --local --rename --remove /usr/bin/py3compile
chroot "$1" python3 -m compileall -q -j 0 /usr/lib/python3/dist-packages /usr/share/fence"""
UNREAD = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Recipe:
    """An image by its name; `suite` is the distribution's release, that of this machine."""

    name: str
    suite: str
    architecture: str
    packages: tuple[str, ...]
    excluded: tuple[str, ...] = UNREAD
    included: tuple[str, ...] = ()  # of what is excluded
    before_packages: str = NO_DATABASE
    after_packages: str = NOBODYS

    @property
    def key(self) -> str:
        """Changes with everything that the image is made of, but not with new versions of its packages."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


PACKAGES = {
    "pacemaker": (*SYSTEM, *CLUSTER, "postgresql"),
    "pacemaker-azure": (*SYSTEM, *CLUSTER, "postgresql", *AZURE),  # fences through Azure's API, and reads the metadata service
}


def recipe(name: str) -> Recipe:
    """The recipe of that name for this machine's own distribution. Raises BadUse with what there is, Unusable where it has no release."""
    if name not in PACKAGES:
        raise BadUse(f"there is no recipe for an image {name!r}; there is {', '.join(PACKAGES)}")
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    suite = release.get("VERSION_CODENAME", "")
    if not suite or "debian" not in (release.get("ID"), *release.get("ID_LIKE", "").split()):
        raise Unusable("an image is built on Debian or Ubuntu only, out of its own packages; build it there")
    plain_recipe = Recipe(name, suite, platform.machine(), PACKAGES[name])
    if "python3-azure" not in plain_recipe.packages:
        return plain_recipe
    kept_paths = tuple(f"{AZURE_SERVICES}/{service}*" for service in ("__init__", "core", "compute", "network"))
    before_packages, after_packages = f"{NO_DATABASE}; {NOT_COMPILED}", f"{NOBODYS}; {COMPILED}"
    return replace(
        plain_recipe,
        excluded=(*UNREAD, f"{AZURE_SERVICES}/*"),
        included=kept_paths,
        before_packages=before_packages,
        after_packages=after_packages,
    )
