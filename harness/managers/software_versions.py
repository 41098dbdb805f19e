"""Which versions a node runs: its kernel and its cluster manager's packages. What a node does not say is left out."""

from __future__ import annotations

from harness.hosts.host import Command

KERNEL = "kernel"
MAX_LENGTH = 80  # of one version, and of one name
MAX_NAMES = 8
PACKAGES = {"lifekeeper": ("steeleye-lk",), "pacemaker": ("pacemaker", "corosync")}
"""By the kind of manager; LifeKeeper's is the package of its core (docs of SIOS: `rpm -q steeleye-lk`)."""

WINDOWS = (
    "'kernel='+[Environment]::OSVersion.Version; "
    "Get-ItemProperty HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\* -ErrorAction SilentlyContinue | "
    "Where-Object {$_.DisplayName -match '^(LifeKeeper|SIOS Protection|DataKeeper)'} | "
    "ForEach-Object {$_.DisplayName+'='+$_.DisplayVersion}"
)


def command(platform: str, manager: str) -> Command:
    """A line of the node's own shell that prints `name=version` lines; it only reads, and exits 0."""
    if platform == "windows":
        return WINDOWS
    names = " ".join(PACKAGES.get(manager, ()))
    if not names:
        return "echo kernel=$(uname -r)"
    return (
        f"echo kernel=$(uname -r); for p in {names}; do v=$(rpm -q --qf '%{{VERSION}}-%{{RELEASE}}' $p 2>/dev/null) || "
        "v=$(dpkg-query -W -f '${Version}' $p 2>/dev/null) || continue; echo $p=$v; done"
    )


def parse(text: str) -> dict[str, str]:
    """Name → version of what `command` printed; a line that is no such pair is left out. Pure."""
    pairs = (line.strip().partition("=") for line in text.splitlines())
    found = {name.strip()[:MAX_LENGTH]: version.strip()[:MAX_LENGTH] for name, _, version in pairs if name.strip() and version.strip()}
    return dict(list(found.items())[:MAX_NAMES])
