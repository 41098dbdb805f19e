"""Which of Debian's packages the lab's Pacemaker needs, and whether they are here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

PATHS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
AGENTS = Path("/usr/lib/ocf/resource.d/heartbeat")
SIGNS = {  # package → what shows that it is installed
    "corosync": "corosync",
    "pacemaker": "pacemakerd",
    "pacemaker-cli-utils": "crm_mon",
    "resource-agents": str(AGENTS / "azure-lb"),
    "netcat-openbsd": "/usr/bin/nc",  # what azure-lb listens with
    "kmod": "modprobe",  # Filesystem asks for it, whatever the file system
    "psmisc": "fuser",  # and for this
}


def missing() -> list[str]:
    """The packages that are not here, in the order in which apt is told."""
    return [package for package, sign in SIGNS.items() if not (Path(sign).exists() if "/" in sign else shutil.which(sign, path=PATHS))]
