"""Can a Linux host write where everything writes? Looked at without writing anything. A node whose disk is full or that has gone
read-only still serves, but a switchover leaves its resources half way."""

from __future__ import annotations

from harness.hosts.host import Host

PLACES = ("/tmp", "/var/tmp", "/var/log", "/run")
FULL_KB = 256  # less than this is nothing to a log

# For each place a line: the place, and `absent` or what df says of its file system; then the mounts, of which the last on a place counts.
_LOOK = f"""for place in {" ".join(PLACES)}; do
  if [ -d "$place" ]; then echo "$place $(df -Pk "$place" | tail -n 1)"; else echo "$place absent"; fi
done
cat /proc/mounts"""


def trouble(host: Host) -> list[str]:
    """What keeps programs there from writing; sentences without the host's name. Raises what `Host.check` raises."""
    return judge(host.check(_LOOK))


def judge(text: str) -> list[str]:
    """Pure. What a host does not tell of a place is no trouble."""
    lines = [line.split() for line in text.splitlines()]
    told, mounts = lines[: len(PLACES)], lines[len(PLACES) :]
    options = {words[1]: words[3].split(",") for words in mounts if len(words) > 3}
    found = []
    for place, *words in told:
        if words == ["absent"]:
            found.append(f"there is no {place}")
        elif len(words) >= 6 and words[3].isdigit():
            free, mounted = int(words[3]), words[5]
            if "ro" in options.get(mounted, ()):
                found.append(f"{place} cannot be written to: {mounted} is mounted read-only")
            elif free < FULL_KB:
                found.append(f"{place} is full: {mounted} has {free} kB left")
    return found
