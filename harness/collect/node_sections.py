"""What a node tells of its processes, its accounts and the files that everybody has to read: lines of shell of its one script."""

from __future__ import annotations

from collections.abc import Sequence

from harness.hosts.linux import postgres_data_folder
from harness.hosts.root_rights import read_by_root

# What every account has to be able to use, on every distribution and after every hardening (others' bits of their modes).
COMMON_FILES = (
    *("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group"),
    *("/tmp", "/var/tmp", "/dev/shm", "/dev/null"),
)
# What one account has to be able to use: where a database makes its socket, and Pacemaker's daemons keep what they have.
OWNED = ("/run/postgresql", "/var/lib/pacemaker/cib", "/var/lib/pacemaker/pengine")
# Where packages put the servers that a cluster protects; the shell's patterns.
SERVERS = (
    "/usr/lib/postgresql/*/bin/postgres",
    "/usr/pgsql-*/bin/postgres",
    "/usr/bin/postgres",
    *(f"/usr/sbin/{name}" for name in ("mysqld", "mariadbd", "httpd", "apache2", "nginx")),
    "/usr/libexec/mysqld",
    "/usr/libexec/mariadbd",
    "/opt/mssql/bin/sqlservr",
)
INITIATOR = "/etc/iscsi/initiatorname.iscsi"
HOST_NQN = "/etc/nvme/hostnqn"
SELINUX = "/etc/selinux/config"
# Of the account $n with the group $g and the home $h: these, the groups that it is in, and what its home is. Where that is a dead server's,
# or a directory of a company's is asked that does not answer, $bound ends it.
RIGHTS = """echo "~ $g $n $h"; groups=$($bound id -Gn "$n") && echo "~groups $n $groups"
[ -z "$h" ] || echo "~home $n $($bound stat -L -c %F "$h" 2>&1)\""""
# Of these accounts the day since 1970 from which they may not be used any more; nothing else of /etc/shadow leaves the shell that reads it.
EXPIRY = """while IFS=: read -r n _ _ _ _ _ _ day _; do
case "$n" in (ACCOUNTS) [ -z "$day" ] || echo "~expires $n $day" ;; esac; done </etc/shadow"""
# The limits that PAM gives these accounts, groups and all: what is written down, the last of one kind counts.
LIMITS_OF_ACCOUNTS = (
    "grep -hm 200 -E '^[[:space:]]*(ACCOUNTS|@[[:alnum:]_-]+|[*])[[:space:]]+(soft|hard|-)[[:space:]]+(memlock|nofile|nproc|stack)' "
    "/etc/security/limits.conf /etc/security/limits.d/*.conf"
)
# The control groups and the programs of the processes in "$@", as root, who alone may see those of others: by systemd's own hierarchy, or
# the only one.
PROCESSES = """for pid; do [ -r "/proc/$pid/cgroup" ] && while read -r line; do
case "$line" in (*::/*|*:name=systemd:/*) echo "~group $pid /${line#*:/}" ;; esac
done <"/proc/$pid/cgroup"; done
for pid; do set -- "$@" "/proc/$pid/exe"; shift; done; [ $# = 0 ] || stat -c %N "$@" 2>/dev/null; true"""


def by_root(accounts: Sequence[str]) -> str:
    """Shell for root, with the listening processes as "$@": what it tells of them, and of these accounts."""
    return f"{postgres_data_folder.LOOK}\n{PROCESSES}\n{EXPIRY.replace('ACCOUNTS', '|'.join(accounts))}"


def sections(accounts: Sequence[str]) -> dict[str, str]:
    """By name, those that every node has; `accounts` are the usual ones of databases."""
    listed = "|".join(accounts)
    names = [f"{{ {read_by_root('cat', INITIATOR)}; }} | grep ^InitiatorName=", f"cat {HOST_NQN}"]
    # Never a name itself: it is what a target knows the host by.
    sums = (
        f'[ ! -e {file} ] || echo "{file} $({line} | sha256sum | cut -c 1-16)"'
        for file, line in zip((INITIATOR, HOST_NQN), names, strict=True)
    )
    sessions = 'for one in /sys/class/iscsi_session/*; do [ -e "$one" ] && echo "# iscsi session" && break; done; true'
    enforces = f'{{ read -r e </sys/fs/selinux/enforce && echo "enforce $e"; }} || [ ! -e {SELINUX} ] || grep ^SELINUX= {SELINUX}'
    return {
        "files": f"stat -L -c '%a %m %n %F\n~owner %u %U %G %n' {' '.join((*COMMON_FILES, *OWNED, *SERVERS))}; echo '# asked'",
        "limits of accounts": f"{LIMITS_OF_ACCOUNTS.replace('ACCOUNTS', listed)}; echo '# asked'",
        "identities": "; ".join((*sums, sessions)),
        "mandatory access": enforces,
    }
