"""The data folder of a PostgreSQL that runs, as a Linux host tells it: what the server asks of it at its next start. Of what is in its
files nothing leaves the host but the version, and the names and lines of settings and rules that are wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MIN_GROUP_MAY_READ = 11  # the first version that starts with a folder that its group may read (initdb --allow-group-access)
MIN_SIGNAL_FILES = 12  # the first that has standby.signal and recovery.signal, and does not start where there is a recovery.conf
FILES = ("PG_VERSION", "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "standby.signal", "recovery.signal", "recovery.conf")
METHODS = "trust|reject|md5|password|scram-sha-256|gss|sspi|ident|peer|pam|bsd|ldap|radius|cert|krb5|oauth|sha256|sm3"
TYPES = "local|host|hostssl|hostnossl|hostgssenc|hostnogssenc|include|include_if_exists|include_dir"
# Of pg_hba.conf the lines whose first word is none of its own, or whose method is none: only where it is plain which word that is.
_RULES = rf"""awk 'BEGIN {{ ip = "^[0-9.:a-fA-F]+$" }}
was ~ /\\$/ {{ was = $0; next }} {{ was = $0 }} /^[ \t]*(#|$)/ || /"|,[ \t]|[ \t],|\\$/ {{ next }} {{ sub(/[ \t]*#.*/, "") }}
$1 !~ /^({TYPES})$/ {{ print "~rule " FNR " type"; next }} $1 ~ /^include/ {{ next }}
{{ at = $1 == "local" ? 4 : $4 ~ ip && $5 ~ ip ? 6 : 5 }} $at !~ /^({METHODS})$/ {{ print "~rule " FNR " method" }}' pg_hba.conf |
head -n 5"""
# What its own program says of its settings, as its own account and with nothing of root's, starting nothing (pg_ctl asks it so, too);
# never a value.
_SETTINGS = r"""exe=$(readlink "/proc/$pid/exe") uid=0 gid=0
while read -r key id _; do case "$key" in (Uid:) uid=$id ;; (Gid:) gid=$id ;; esac; done <"/proc/$pid/status"
[ "$uid" = 0 ] || env -i PATH=/usr/bin:/bin LC_ALL=C timeout 3 setpriv --reuid "$uid" --regid "$gid" --clear-groups \
"$exe" -C port -D "$PWD" </dev/null 2>&1 >/dev/null |
sed -nE 's/,? near token ".*//; s/(for parameter "[^"]*"): ".*/\1/; s/^.*(LOG|FATAL|ERROR): +/~wrong /p' | head -n 5 | cut -c 1-300"""
# For root, with processes as "$@": of each that works in a folder of PostgreSQL's `~data PID VERSION FOLDER`, then `~file MODE UID NAME` of
# what is there, `.` is the folder itself, `~link NAME FOLDER` of what leads elsewhere, and `~socket FOLDER`. Where its configuration lies
# in that folder, `~lacks pg_hba.conf` if nothing says that this has another place, and what is wrong with files newer than the last
# start, which took them: `~wrong WORDS` and `~rule LINE WHAT`. Not a container's, whose program is not this host's.
LOOK = rf"""seen=; for pid; do [ -f "/proc/$pid/cwd/PG_VERSION" ] && cd -P "/proc/$pid/cwd" || continue
case "$seen" in *"|$PWD|"*) continue ;; esac; seen="$seen|$PWD|" version= opts= data= folder=
read -r version <PG_VERSION; echo "~data $pid $version $PWD"; stat -L -c '~file %a %u %n' . {" ".join(FILES)} 2>/dev/null
for link in pg_wal pg_xlog pg_tblspc/*; do [ -L "$link" ] && [ -d "$link" ] && cd -P "$link" || continue
echo "~link $link $PWD"; cd -P "/proc/$pid/cwd"; done
[ ! -r postmaster.pid ] || {{ read -r _; read -r _; read -r _; read -r _; read -r folder; }} <postmaster.pid; echo "~socket $folder"
[ -e postgresql.conf ] && [ -r postmaster.opts ] && [ "/proc/$pid/root" -ef / ] || continue
read -r opts <postmaster.opts
case "$opts" in (*config[_-]file=*) conf=${{opts#*config[_-]file=}}; [ "${{conf%%'"'*}}" -ef postgresql.conf ] || continue ;; esac
case "$opts" in (*hba[_-]file*) ;; (*'"-D" "'*) data=${{opts#*'"-D" "'}}; data=${{data%%'"'*}} ;; esac
[ "$data" -ef . ] || continue
[ -e pg_hba.conf ] || grep -qsE '^[[:space:]]*(hba_file|include)' postgresql.conf postgresql.auto.conf || echo '~lacks pg_hba.conf'
[ ! pg_hba.conf -nt postmaster.pid ] || {_RULES}
[ ! postgresql.conf -nt postmaster.pid ] && [ ! postgresql.auto.conf -nt postmaster.pid ] || {{ {_SETTINGS}; }}
done; cd /"""
_HEAD = re.compile(r"(\d{1,10}) (\d{1,3})?(?:\.\d+)? (/.*)")
_FILE = re.compile(r"(?m)^~file ([0-7]{1,4}) (\d{1,10}) (\S+)$")
_LINK = re.compile(r"(?m)^~link (\S+) (/.*)$")
_WRONG = re.compile(r"(?m)^~wrong (\S.*)$")
_SOCKET = re.compile(r"(?m)^~socket (/.*)$")
_RULE = re.compile(r"(?m)^~rule (\d{1,6}) (type|method)$")
_CONTAINS_ERRORS = re.compile(r'configuration file ".*" contains errors')


@dataclass(frozen=True)
class DataFolder:
    """`files`: permissions, in digits of base 8, and the number of the owner, by name, of the folder itself as `.`; `links`: where what is
    not there leads; `lacks_host_rules`: it has no pg_hba.conf, and nothing says that this has another place; `wrong_settings`:
    what its program says of its configuration; `wrong_rules`: lines of pg_hba.conf, and which word of them is none; `socket_folder`: the
    first of those where it has its socket."""

    folder: str
    version: int | None = None
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    lacks_host_rules: bool = False
    wrong_settings: tuple[str, ...] = ()
    wrong_rules: tuple[tuple[int, str], ...] = ()
    socket_folder: str = ""


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
            tuple(_wrong_settings(_WRONG.findall(lines))),
            tuple((int(line), word) for line, word in _RULE.findall(lines)),
            socket[1] if (socket := _SOCKET.search(lines)) else "",
        )
    return folders


def _wrong_settings(words: list[str]) -> list[str]:
    """All but the sum of it, which a server prints last that would not start; without that they are something else."""
    told = [line for line in words if not _CONTAINS_ERRORS.fullmatch(line)]
    return (told or words) if len(told) < len(words) else []
