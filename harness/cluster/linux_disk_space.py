"""Can a Linux host write where everything writes? Looked at without writing anything. A node whose disk is full or that has gone
read-only still serves, but a switchover leaves its resources half way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.hosts.host import Host

PLACES = ("/tmp", "/var/tmp", "/var/log", "/run")  # which every Linux has
STATE = ("/etc", "/var/lib", "/var/lib/pacemaker", "/var/lib/corosync", "/opt/LifeKeeper")  # where managers keep theirs, if they are there
MIN_FREE_KB = 256  # less than this is nothing to a log
# What a log or a database writes within minutes, on a file system that is large enough for that to be an accident.
NEARLY_FULL_KB, LARGE_KB = 50 * 1024, 1024 * 1024
FEW_INODES, MOST_INODES_PERCENT = 100, 95  # left, and in use: a spool or a session store takes those within minutes
NUMBER = re.compile(r"\d{1,18}", re.ASCII)
WRITTEN_TO = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay", "none"}  # kinds of file systems that data lie on

# For each place a line: the place, and `absent` or what df says of its file system; then the mounts, of which the last on a place counts.
LOOK = f"""set --; for place in {" ".join((*PLACES, *STATE))}; do
  if [ -d "$place" ]; then set -- "$@" "$place"; else echo "$place absent"; fi
done
if told=$(df -Pk "$@" 2>/dev/null); then
  printf '%s\\n' "$told" | {{ read -r _; for place; do read -r line; echo "$place $line"; done; }}
else for place; do echo "$place $(df -Pk "$place" | tail -n 1)"; done; fi
cat /proc/mounts
echo "@ blocks"; df -Plk
echo "@ inodes"; df -Pli"""


@dataclass(frozen=True)
class NearlyFull:
    """A file system of `size_kb` on which only `free_kb` are left; `for_root` may be more, what is kept back for root alone. `holds` are
    places of PLACES and STATE that lie on it."""

    mount: str
    size_kb: int
    free_kb: int
    for_root_kb: int
    holds: tuple[str, ...] = ()


def disk_problems(host: Host) -> list[str]:
    """What keeps programs there from writing; sentences without the host's name. Raises what `Host.check` raises."""
    return judge(host.check(LOOK))


def judge(text: str) -> list[str]:
    """Pure. What a host does not tell of a place is no trouble."""
    places_text, _, df_text = text.partition("@ blocks\n")
    blocks, _, inodes = df_text.partition("@ inodes\n")
    lines = [line.split() for line in places_text.splitlines()]
    count = next((n for n, words in enumerate(lines) if words[:1] and words[0] not in (*PLACES, *STATE)), len(lines))
    place_rows, mounts = lines[:count], lines[count:]
    options = {words[1]: words[3].split(",") for words in mounts if len(words) > 3}
    problems: list[str] = []
    judged_mounts: set[str] = set()  # file systems, of which one place is enough where managers' folders are asked too
    for place, *words in place_rows:
        if words == ["absent"]:
            problems += [f"there is no {place}"] if place in PLACES else []
        elif len(words) >= 6 and NUMBER.fullmatch(words[3]) and not (place in STATE and words[5] in judged_mounts):
            free, mounted = int(words[3]), words[5]
            judged_mounts.add(mounted)
            if "ro" in options.get(mounted, ()):
                problems.append(f"{place} cannot be written to: {mounted} is mounted read-only")
            elif free < MIN_FREE_KB:
                problems.append(f"{place} is full: {mounted} has {free} kB left")
    kinds = _kinds(mounts)
    place_mounts = {words[5] for _, *words in place_rows if len(words) >= 6}
    for mounted, free, share in _filled_mounts(blocks, kinds):
        if mounted not in place_mounts and free < MIN_FREE_KB:
            problems.append(f"{mounted} is full: {free} kB are left, {share} % are used")
    problems += [
        f"{mounted} is full: no inode is left there, though it may have room"
        for mounted, free, _ in _filled_mounts(inodes, kinds)
        if free == 0
    ]
    return problems


def nearly_full(text: str) -> list[NearlyFull]:
    """Pure. File systems that are not full yet, and will be soon."""
    places_text, _, df_text = text.partition("@ blocks\n")
    rows = [line.split() for line in places_text.splitlines()]
    mounts: dict[str, list[str]] = {}
    for place, *words in rows:
        if place in (*PLACES, *STATE) and len(words) == 6 and words[4].endswith("%"):
            mounts.setdefault(words[5], []).append(place)
    kinds = _kinds(rows)
    blocks = df_text.partition("@ inodes\n")[0]
    sizes = {words[5]: (int(words[1]), int(words[2])) for words in _df_rows(blocks)}
    return [
        NearlyFull(mount, sizes[mount][0], free, max(free, sizes[mount][0] - sizes[mount][1]), tuple(mounts.get(mount, ())))
        for mount, free, _ in _filled_mounts(blocks, kinds)
        if MIN_FREE_KB <= free < NEARLY_FULL_KB and mount in sizes and sizes[mount][0] >= LARGE_KB
    ]


def few_inodes(text: str) -> dict[str, int]:
    """Pure. Of file systems that data are written to and that have next to no inode left, but some: how many, by mount."""
    places_text, _, df_text = text.partition("@ blocks\n")
    rows = [line.split() for line in places_text.splitlines()]
    kinds = _kinds(rows)
    filled = _filled_mounts(df_text.partition("@ inodes\n")[2], kinds, MOST_INODES_PERCENT)
    return {mount: free for mount, free, _ in filled if 0 < free < FEW_INODES}


def size_kb(text: str, mount: str) -> int | None:
    """Pure. The size of the file system that is mounted at that place, in kB; None where none is, or none was told."""
    sizes = [int(words[1]) for words in _df_rows(text.partition("@ blocks\n")[2].partition("@ inodes\n")[0]) if words[5] == mount]
    return sizes[-1] if sizes else None


def _kinds(rows: Iterable[list[str]]) -> dict[str, str]:
    """Of /proc/mounts, by place: the kind of what may be written to, of which the last on a place counts."""
    return {words[1]: words[2] for words in rows if len(words) > 3 and "rw" in words[3].split(",")}


def _df_rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        words = line.split(maxsplit=5)
        if len(words) == 6 and NUMBER.fullmatch(words[1]) and NUMBER.fullmatch(words[2]):
            yield words


def _filled_mounts(text: str, kinds: dict[str, str], least_percent: int = 99) -> Iterator[tuple[str, int, int]]:
    """Of `df -P`: where data are written and nearly nothing is free: the mount, how much is left, and the share in use."""
    for line in text.splitlines():
        words = line.split(maxsplit=5)
        share = words[4].rstrip("%") if len(words) == 6 else ""
        if NUMBER.fullmatch(share) and NUMBER.fullmatch(words[3]) and int(share) >= least_percent and kinds.get(words[5]) in WRITTEN_TO:
            yield words[5], int(words[3]), int(share)
