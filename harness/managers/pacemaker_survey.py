"""What a node with Pacemaker is asked besides its state, for a look: shell, which only reads."""

from __future__ import annotations

import shlex

from harness.hosts.root_rights import ROOT, read_by_root
from harness.managers.parse import corosync_refusals
from harness.managers.parse.pacemaker_parse import PROGRAM_SETTINGS

CIB_TIMEOUT_S = 8  # where a daemon hangs, the rest of what a node tells must come all the same
QUICK_TIMEOUT_S = 2
COROSYNC = "/etc/corosync/corosync.conf"
RUNS = "runtime.config."  # before the names of the settings that Corosync runs with, whatever its file has by now
KEYS = ("/etc/corosync/authkey", "/etc/pacemaker/authkey")  # of which no more leaves the host than a part of their SHA-256
# Told of a folder alone that the account may look into: what it may not see is not absent.
ABSENT = f'for file in {KEYS[0]} {COROSYNC}; do [ -x /etc/corosync ] && ! [ -e $file ] && echo "absent $file"; done; true'
# A setting that may be a key itself does not leave the host; its line does, so that lines keep their numbers.
SEALED = r"sed 's/^\([[:space:]]*key[[:space:]]*:\).*/\1 -/' | grep ''"
# Folders that it writes its log to, and that are not there although what is above them may be looked into. What it opened before goes on.
LOG_FOLDERS = (
    r"sed -n 's/^[[:space:]]*logfile[[:space:]]*:[[:space:]]*\(\/.*\)\/.*/\1/p' "
    + COROSYNC
    + " | sort -u | head -n 5 | while read -r folder; do "
    '[ -d "$folder" ] && continue; above=$folder; while [ -n "$above" ] && ! [ -e "$above" ]; do above=${above%/*}; done; '
    '{ [ -x "${above:-/}" ] || [ -f "$above" ]; } && echo "# no folder $folder"; done'
)
SIZES = f"stat -c 'bytes %s %n' {KEYS[0]}"
# As which its daemons work (getent ends with 2 where a name is not known). What runs goes on without.
ACCOUNTS = (
    f'timeout {QUICK_TIMEOUT_S} getent passwd hacluster >/dev/null; [ $? = 2 ] && echo "no account hacluster"; '
    f'timeout {QUICK_TIMEOUT_S} getent group haclient >/dev/null; [ $? = 2 ] && echo "no group haclient"; true'
)
# The CIB's words for what resource agents start, and the agents themselves: no name is taken that is not plain.
NAMED = r"""function of(name, i) { for (i = 1; i < NF; i += 2) if ($i ~ "(^| )" name "=$") return $(i + 1); return "" }
BEGIN { print "/usr/bin/nc"; print "/usr/bin/socat" }
/^nvpair / { if (of("name") ~ /^(PROGRAM_SETTINGS)$/ && of("value") ~ /^\//) print of("value") }
/^(primitive|template) / { kind = of("class"); by = of("provider"); type = of("type")
if (type !~ /^[A-Za-z0-9_.:-]+$/ || by !~ /^[A-Za-z0-9_.:-]*$/) next
if (kind == "ocf" && by != "") print "/usr/lib/ocf/resource.d/" by "/" type
if (kind == "stonith") print "/usr/sbin/" type }""".replace("PROGRAM_SETTINGS", "|".join(PROGRAM_SETTINGS))
# What resource agents start: azure-lb's defaults (PCM-08), and what the configuration names; and the agents. Prints `= FILE`, and what stat
# says of it; then, of those that it cannot tell of, its errors.
PROGRAMS = (
    f"files=$(printf '%s\\n' \"$cib\" | awk -F '\"' -v RS='<' {shlex.quote(NAMED)} | sort -u | head -n 80); "
    "(set -f; IFS='\n'; set -- $files; "
    "{ errors=$(stat -L --printf='= %n\\n%a %s %m %F\\n' \"$@\" 2>&1 >&4); } 4>&1; printf '%s\\n' \"$errors\")"
)


def survey_commands() -> dict[str, str]:
    """By section, as `Manager.survey_commands`."""
    sums = (f"{{ {read_by_root('sha256sum', key)}; }} | sed 's/^\\(.\\{{16\\}}\\)[^ ]*/\\1/'" for key in KEYS)
    return {
        "configuration": f"cib=$(timeout {CIB_TIMEOUT_S} {ROOT} cibadmin -Q); printf '%s\\n' \"$cib\"",
        "programs": PROGRAMS,  # of the configuration that was just read
        "keys": "; ".join([*sums, ABSENT, SIZES, ACCOUNTS]),
        "corosync": f"{{ {read_by_root('cat', COROSYNC)}; }} | {SEALED} && {{ echo '{corosync_refusals.END}'; {LOG_FOLDERS}; }}",
        "corosync runs": f"timeout {QUICK_TIMEOUT_S} {ROOT} corosync-cmapctl -g {RUNS}totem.token {RUNS}totem.consensus",
    }
