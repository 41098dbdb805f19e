"""What a node is like now: a program of its own that runs inside a node, with its Python alone, and knows nothing of the harness.

It prints a JSON list of rows [kind, key, value]. What cannot be read is a row, too, and thus a difference to a time when it could be.
Logs, what databases and cluster managers write down for themselves, and numbers of processes are left out. Arguments: words that mark
processes whose lives count, so that ending one and starting it again is a difference.
"""

import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

FOLDERS = ("/etc", "/root", "/srv", "/var", "/run", "/tmp", "/home", "/dev/shm", "/opt/LifeKeeper")
WRITTEN_BY_THEMSELVES = (
    *("/var/log", "/srv/shared/pgdata", "/run/shared-disk/pgdata", "/dev/shm/qb-", "/dev/shm/PostgreSQL."),
    "/run/lkharness-undone",  # what was undone must not be armed any more for ten minutes; it takes itself away
    *("/run/postgresql/", "/var/lib/pacemaker", "/var/lib/corosync", "/var/lib/lifekeeper-standin"),
)
OF_CONTAINERS = "/var/lib/containers/"  # mounts of this machine's own container engine, which come and go beneath every host
BY_SIZE = 1 << 20  # bytes; larger files are not read
LIFEKEEPER = "/opt/LifeKeeper/bin"
FULL = 0.05  # of a file system, free
BY_THE_MANAGER = ("#feature-set", "shutdown", "probe_complete")  # attributes of nodes that tell of its own starts
PASSES = (
    "valid_life_time",
    "preferred_life_time",
    "ifindex",
    "link_index",
    "stats",
    "stats64",
    "age",
    "expires",
    "used",
    "refcnt",
    "cache",
)


def said(*words):
    """What a command printed; its failure is what it says then."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        raise ValueError("it did not end") from None
    if done.returncode:
        raise ValueError((done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").splitlines()[-1])
    return done.stdout


def told(*words):
    """The same as JSON."""
    return json.loads(said(*words) or "[]")


def plain(entry, *without):
    return json.dumps({k: v for k, v in entry.items() if k not in PASSES and k not in without}, sort_keys=True)


def links():
    for one in told("ip", "-j", "link", "show"):
        yield "link", one["ifname"], plain(one, "ifname")


def addresses():
    for link in told("ip", "-j", "addr", "show"):
        for one in link.get("addr_info", []):
            yield "address", f"{one['local']}/{one['prefixlen']} on {link['ifname']}", plain(one, "local", "prefixlen")


def routes():
    for family in ("-4", "-6"):
        for one in told("ip", family, "-j", "route", "show", "table", "all"):
            where = " ".join(str(one.get(k, "")) for k in ("type", "dst", "gateway", "dev") if one.get(k))
            yield "route", f"{family[1]} {where} in table {one.get('table', 'main')} metric {one.get('metric', 0)}", plain(one)


def rules():
    for family in ("-4", "-6"):
        for one in told("ip", family, "-j", "rule", "show"):
            yield "routing rule", f"{family[1]} {one['priority']} {plain(one, 'priority')}", "set"


def traffic_control():
    for one in told("tc", "-j", "qdisc", "show"):
        yield "queue", f"{one['kind']} on {one['dev']} ({one.get('parent', 'root')})", plain(one)
    for link in told("ip", "-j", "link", "show"):
        for place in ("root", "ingress", "egress"):
            filters = said("tc", "filter", "show", "dev", link["ifname"], place) or ""
            if filters.strip():
                yield "filter", f"{place} of {link['ifname']}", filters


def nft():
    """A row for each table, and one for each chain, set or map in it, with all its lines."""
    table, part, lines = "", "", []
    for line in (said("nft", "-s", "list", "ruleset") or "").splitlines():
        if line.startswith("table "):
            table = line.removesuffix(" {")
            yield "firewall", table, "set"
        elif re.match(r"\t\S.*\{$", line):
            part, lines = line.strip(" \t{"), []
        elif line == "\t}":
            yield "firewall", f"{table} {part}", "\n".join(lines)
            part = ""
        elif part:
            lines.append(line.strip())


def iptables():
    for program in ("iptables-save", "ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save"):
        table, lines = "", []
        for line in (said(program) or "").splitlines():
            line = re.sub(r"\[\d+:\d+\]", "", line)
            if line.startswith("*"):
                table, lines = line, []
            elif line == "COMMIT":
                yield "firewall", f"{program.removesuffix('-save')} {table}", "\n".join(lines)
            elif not line.startswith("#"):
                lines.append(line)


def listeners():
    found = {}
    for line in (said("ss", "-Hltunp") or "").splitlines():
        words = line.split()
        names = found.setdefault(f"{words[0]} {words[4]}", set())
        names.update(re.findall(r'\("([^"]+)"', line))
    for key, names in found.items():
        yield "listening socket", key, ", ".join(sorted(names))


def name_of(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def processes():
    found, lives = Counter(), {}
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            args = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
            state, *rest = (folder / "stat").read_text().rpartition(")")[2].split()
            key = f"{args or (folder / 'comm').read_text().strip()} of {name_of(folder.stat().st_uid)}"
        except OSError:  # it has ended meanwhile
            continue
        if state != "Z":
            found[key + (", stopped" if state in "tT" else "") + f", nice {rest[15]}"] += 1
        if any(mark in args for mark in sys.argv[1:]):
            lives.setdefault(key, []).append(f"{rest[18]}")
    for key, count in found.items():
        if re.search(r"^sleep 600 of root|lkharness-forbidden ", key):  # what takes the folder above away
            continue
        # The lab's stand-in for LifeKeeper keeps processes ready for its commands and checks: as many as were asked for lately.
        ready = re.search(r"/lifekeeper/commands/\w+\.py lkstart ", key)
        yield "process", key, "there" if ready else f"{count} times"
    for key, began in lives.items():
        yield "life of process", key, f"began at {', '.join(sorted(began))} ticks"


def sysctls():
    for file in sorted(Path("/proc/sys/net").rglob("*")):
        try:
            if file.is_file() and file.name not in ("nf_conntrack_count", "flush"):
                yield "sysctl", str(file.relative_to("/proc/sys")).replace("/", "."), file.read_text().strip()
        except OSError as error:  # some are for writing only, or have nothing set
            yield "sysctl", str(file.relative_to("/proc/sys")).replace("/", "."), f"errno {error.errno}"


def mounts():
    for line in Path("/proc/mounts").read_text().splitlines():
        source, place, kind, options = line.split()[:4]
        if place.startswith(OF_CONTAINERS):
            continue
        yield "mount", f"{place} from {source}", f"{kind} {options.removesuffix(',uuid=on')}"  # which a kernel says when it likes
        if place.startswith(FOLDERS) and os.path.isdir(place):  # noqa: PTH112 - a plain string
            size = os.statvfs(place)
            yield "file system", place, "full" if size.f_blocks and size.f_bavail < FULL * size.f_blocks else "has room"


def files():
    for top in FOLDERS:
        for folder, names, others in os.walk(top) if Path(top).is_dir() and walked(top) else ():
            names[:] = [n for n in names if walked(f"{folder}/{n}")]
            for path in (f"{folder}/{name}" for name in (*names, *others)):
                try:
                    if not path.startswith(WRITTEN_BY_THEMSELVES):
                        yield "file", path, described(path)
                except FileNotFoundError:  # gone meanwhile
                    continue


def walked(folder):
    """What is mounted for reading only cannot have changed; its being mounted is a row of its own."""
    return not folder.startswith(WRITTEN_BY_THEMSELVES) and not os.statvfs(folder).f_flag & os.ST_RDONLY


def described(path):
    """Type, mode, owner, and what is in it; numbers alone (a process's, a time) count as any others."""
    seen = os.lstat(path)
    about = f"{stat.filemode(seen.st_mode)} {seen.st_uid}:{seen.st_gid}"
    if stat.S_ISLNK(seen.st_mode):
        return f"{about} to {os.readlink(path)}"  # noqa: PTH115
    if not stat.S_ISREG(seen.st_mode):
        return about
    if seen.st_size > BY_SIZE:
        return f"{about} {seen.st_size} bytes"
    content = Path(path).read_bytes()
    what = "numbers" if re.fullmatch(rb"[\d\s]+", content) else hashlib.sha256(content).hexdigest()[:12]
    return f"{about} {what}"


def lifekeeper():
    if not Path(LIFEKEEPER).is_dir():
        return
    for line in (said(f"{LIFEKEEPER}/lcdstatus", "-q") or "").splitlines():
        words = line.split()
        if not words or words[0] in ("LOCAL", "MACHINE"):
            continue
        yield "cluster", " ".join(words[:3]), " ".join(words[3:])
    for flag in (said(f"{LIFEKEEPER}/flg_list") or "").splitlines():
        yield "cluster", f"flag {flag}", "set"


def pacemaker():
    """The configuration, element by element, and what the manager says of nodes, resources and their failures."""
    if not Path("/usr/sbin/cibadmin").exists() or not Path("/var/lib/pacemaker/cib").is_dir() or not Path("/etc/corosync").is_dir():
        return
    base = ET.fromstring(said("cibadmin", "-Q"))
    for node in base.findall("status/node_state"):
        for one in node.findall("transient_attributes//nvpair"):
            name = one.get("name", "")
            if name not in BY_THE_MANAGER and one.get("value") != "0":  # a count of none is the same as no count
                kind = "fail count" if name.startswith("fail-count-") else "attribute"
                value = "set" if name.startswith("last-failure-") else one.get("value")  # when is not what counts
                yield kind, f"{name.removeprefix('fail-count-')} of {node.get('uname')}", value
    for one in base.find("configuration").iter():
        key = f"{one.tag} {one.get('id', '')}".strip()
        if one.get("name") == "last-lrm-refresh":  # when a failure was cleared last, which the plan says
            continue
        yield "configuration", key, json.dumps({k: v for k, v in one.attrib.items() if k != "id"}, sort_keys=True)
    seen = ET.fromstring(said("crm_mon", "-1", "-r", "--output-as", "xml"))
    for node in seen.findall("nodes/node"):
        flags = ("online", "standby", "standby_onfail", "maintenance", "pending", "unclean", "shutdown")
        yield "cluster", f"node {node.get('name')}", " ".join(f for f in flags if node.get(f) == "true")
    for one in seen.iter("resource"):
        flags = ("role", "active", "orphaned", "blocked", "managed", "failed")
        where = ", ".join(sorted(n.get("name", "") for n in one.findall("node")))
        if one.get("resource_agent", "").startswith("stonith:"):
            where = "any node"  # a fence device is looked after by whichever node the cluster likes
        yield "cluster", f"resource {one.get('id')}", " ".join(f"{f}={one.get(f)}" for f in flags) + f" on {where}"
    for one in seen.findall("bans/ban"):
        yield "cluster", f"ban {one.get('id')}", f"{one.get('resource')} on {one.get('node')}"


KINDS = (
    links,
    addresses,
    routes,
    rules,
    traffic_control,
    nft,
    iptables,
    listeners,
    processes,
    sysctls,
    mounts,
    files,
    lifekeeper,
    pacemaker,
)


def rows():
    for kind in KINDS:
        try:
            yield from kind()
        except (OSError, ValueError, KeyError, IndexError, AttributeError, ET.ParseError) as error:
            yield kind.__name__, "as a whole", f"cannot be read: {error}"


if __name__ == "__main__":
    json.dump(list(rows()), sys.stdout)
