"""The data folder of a PostgreSQL that runs, as a Linux host tells it: what the server asks of it at its next start. Looked at without
reading what is in its files, but for the version and the words that it was started with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MIN_GROUP_MAY_READ = 11  # the first version that starts with a folder that its group may read (initdb --allow-group-access)
MIN_SIGNAL_FILES = 12  # the first that has standby.signal and recovery.signal, and does not start where there is a recovery.conf
FILES = ("PG_VERSION", "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "standby.signal", "recovery.signal", "recovery.conf")
# For root, with processes as "$@": of each that works in a folder of PostgreSQL's `~data PID VERSION FOLDER`, then `~file MODE UID NAME` of
# what is there, `.` is the folder itself, `~link NAME FOLDER` of what leads elsewhere, and `~lacks pg_hba.conf` where its configuration
# lies in that folder and nothing says that this file has another place.
LOOK = rf"""seen=; for pid; do [ -f "/proc/$pid/cwd/PG_VERSION" ] && cd -P "/proc/$pid/cwd" || continue
case "$seen" in *"|$PWD|"*) continue ;; esac; seen="$seen|$PWD|" version= opts= data=
read -r version <PG_VERSION; echo "~data $pid $version $PWD"; stat -L -c '~file %a %u %n' . {" ".join(FILES)} 2>/dev/null
[ -e pg_hba.conf ] || [ ! -e postgresql.conf ] || [ ! -r postmaster.opts ] || {{ read -r opts <postmaster.opts
case "$opts" in (*hba[_-]file*|*config[_-]file*) ;; (*'"-D" "'*) data=${{opts#*'"-D" "'}}; data=${{data%%'"'*}} ;; esac
[ "$data" -ef . ] && ! grep -qsE '^[[:space:]]*(hba_file|include)' postgresql.conf postgresql.auto.conf && echo '~lacks pg_hba.conf'; }}
for link in pg_wal pg_xlog pg_tblspc/*; do [ -L "$link" ] && [ -d "$link" ] && cd -P "$link" || continue
echo "~link $link $PWD"; cd -P "/proc/$pid/cwd"; done; done; cd /"""
_HEAD = re.compile(r"(\d{1,10}) (\d{1,3})?(?:\.\d+)? (/.*)")
_FILE = re.compile(r"(?m)^~file ([0-7]{1,4}) (\d{1,10}) (\S+)$")
_LINK = re.compile(r"(?m)^~link (\S+) (/.*)$")


@dataclass(frozen=True)
class DataFolder:
    """`files`: permissions, in digits of base 8, and the number of the owner, by name, of the folder itself as `.`; `links`: where what is
    not there leads; `lacks_host_rules`: it has no pg_hba.conf, and nothing says that this has another place."""

    folder: str
    version: int | None = None
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    lacks_host_rules: bool = False


def parse(text: str) -> dict[int, DataFolder]:
    """What LOOK printed, among other lines, by process. Pure; no text makes it raise."""
    folders: dict[int, DataFolder] = {}
    for block in re.split(r"(?m)^~data ", text)[1:]:
        first, _, lines = block.partition("\n")
        if (head := _HEAD.fullmatch(first)) is None:
            continue
        folders[int(head[1])] = DataFolder(
            head[3],
            int(head[2]) if head[2] else None,
            {name: (int(mode, 8), int(uid)) for mode, uid, name in _FILE.findall(lines)},
            dict(_LINK.findall(lines)),
            "~lacks pg_hba.conf" in lines.splitlines(),
        )
    return folders
