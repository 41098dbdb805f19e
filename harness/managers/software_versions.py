"""Which versions a node runs: its kernel and its cluster manager's packages. What a node does not say is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.hosts.host import Command, Host
from harness.hosts.windows.script_runner import rows_of

KERNEL = "kernel"
MAX_LENGTH = 80  # of one version, and of one name
MAX_NAMES = 8


def read(host: Host, platform: str, packages: Sequence[str]) -> dict[str, str]:
    """Name → version of the kernel and the manager's `packages`, as the node tells them. Raises what asking it raises."""
    if platform == "windows":
        return _cut_to_limits((str(row["Name"]), str(row["Version"])) for row in rows_of(host, "versions"))
    return parse(host.run(command(packages)).out)


def command(packages: Sequence[str]) -> Command:
    """A line of a POSIX shell that prints `name=version` lines; it only reads, and exits 0."""
    names = " ".join(packages)
    if not names:
        return "echo kernel=$(uname -r)"
    return (
        f"echo kernel=$(uname -r); for p in {names}; do v=$(rpm -q --qf '%{{VERSION}}-%{{RELEASE}}' $p 2>/dev/null) || "
        "v=$(dpkg-query -W -f '${Version}' $p 2>/dev/null) || continue; echo $p=$v; done"
    )


def parse(text: str) -> dict[str, str]:
    """Name → version of what `command` printed; a line that is no such pair is left out. Pure."""
    pairs = (line.strip().partition("=") for line in text.splitlines())
    return _cut_to_limits((name, version) for name, _, version in pairs)


def _cut_to_limits(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    versions = {name.strip()[:MAX_LENGTH]: version.strip()[:MAX_LENGTH] for name, version in pairs if name.strip() and version.strip()}
    return dict(list(versions.items())[:MAX_NAMES])
