"""The script by which one Linux host tells all that a diagnosis wants to know of it, in one go. It changes nothing."""

from __future__ import annotations

import shlex

from harness.cluster.linux_disk_space import LOOK as DISKS
from harness.collect import next_boot_script, node_sections
from harness.collect.collectors import NEIGHBOUR_SYSCTLS, NIC_SYSCTLS, SYSCTLS
from harness.config import service_settings
from harness.config.azure_config import METADATA_ADDRESS
from harness.config.cluster_config import Cluster, Design, Machine
from harness.hosts.linux import address_lifetimes
from harness.hosts.linux.linux_host import FIREWALL, TOOLS
from harness.hosts.root_rights import ROOT, WHOLE, read_by_root, refusals_line, sudo_lines
from harness.managers.manager import Manager
from harness.remote.script_transport import QUICKLY

MAX_LOG_LINES = 400
SCRIPT_TIMEOUT_S = 20.0  # for all of it
FULL_BYTES = 1500
CONNTRACK = ("count", "max", "tcp_timeout_established", "tcp_loose")
NAME_TIMEOUT_S = 2  # for what resolves names
NUMERIC = "127.0.0.1"
SERVICE_ACCOUNTS = ("postgres", "mysql", "oracle", "mssql")  # as the databases' packages call them, on the standby, too
ECHO_TIMEOUT_S = 0.7  # for an echo, where round trips are below 5 ms

# Echoes of 56 and 1500 bytes to each address, and of the MTU of the way there where that is longer (jumbo frames); the large ones not to be
# cut into pieces. Prints ADDRESS SMALL LARGE SIZE, a line for each large one.
_ECHO = r"""
import os, select, socket, struct, sys, time
size, wait, to = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
try:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
except OSError:
    sys.exit(0)
raw.setsockopt(0, 10, 2)
me = os.getpid() & 0xFFFF
def own(address):
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.connect((address, 9))
            return way.getsockopt(0, 14)
    except OSError:
        return 0
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
echoes = [(a, n) for a in to for n in dict.fromkeys((56, size, min(own(a) & ~1, 65000))) if n in (56, size) or n > size]
def send(i):
    address, length = echoes[i]
    body = b"\0" * (length - 28)
    head = struct.pack("!BBHHH", 8, 0, 0, me, i)
    head = struct.pack("!BBHHH", 8, 0, checksum(head + body), me, i)
    try:
        raw.sendto(head + body, (address, 0))
    except OSError:
        unsent.add(i)
came, unsent = set(), set()
began, rounds = time.time(), 0
while time.time() - began < wait and len(came | unsent) < len(echoes):
    if time.time() - began >= rounds * wait / 2.0:
        rounds += 1
        for i in range(len(echoes)):
            if i not in came:
                send(i)
    if not select.select([raw], [], [], 0.05)[0]:
        continue
    packet = raw.recv(65535)
    at = (packet[0] & 15) * 4
    kind, _, _, who, number = struct.unpack("!BBHHH", packet[at:at + 8])
    if kind == 0 and who == me and number < len(echoes):
        came.add(number)
small = {address: int(i in came) for i, (address, length) in enumerate(echoes) if length == 56}
for i, (address, length) in enumerate(echoes):
    if length > 56 and i not in unsent:
        print(address, small[address], int(i in came), length)
"""


# Run a tool; of one that fails, its exit and its last word are kept for the section `failed`.
_ASK = """ask() { what=$1; shift; { err=$("$@" 2>&1 >&4 4>&-) || why="$why$what $? $(printf %s "$err" | tail -n 1)
"; } 4>&1; }"""
_TOOLS = f"""addresses() {{ ip -json addr || ip addr; }}
rules() (
{FIREWALL})
disks() {{
{DISKS}
}}"""
# Of processes that the account may not look into, nothing is told; of their other limits, those that are few.
_DESCRIPTORS = """for pid; do [ -r "/proc/$pid/fd" ] || continue; n=0; for one in "/proc/$pid/fd"/*; do n=$((n + 1)); done
while read -r a b c soft _; do
case "$a $b $c" in "Max open files") echo "$pid $n Max open files $soft" ;;
"Max file size"|"Max data size"|"Max address space") [ "$soft" = unlimited ] || echo "~limit $pid $soft $b $c" ;;
"Max processes "[0-9]|"Max processes "[0-9][0-9]|"Max processes "[0-9][0-9][0-9]) echo "~limit $pid $c processes" ;; esac
done <"/proc/$pid/limits"
done"""
_FOLDERS = """for pid; do [ -r "/proc/$pid/cwd/." ] && cd -P "/proc/$pid/cwd" && printf '= %s ' "$pid" && pwd -P && cd /; done; true"""
# What is mounted at boot itself, no folder of the host's, without the options, among which are credentials, and without what is the
# system's own.
_FSTAB = """while read -r what place kind options _ || [ -n "$what" ]; do
case "$what" in \\#*) continue ;; esac
case ",$options," in *,noauto,*|*,x-systemd.automount,*|*,bind,*|*,rbind,*) continue ;; esac
case "$place" in /|/boot*|/usr|/var|/home|/tmp|/dev/*|/proc/*|/sys/*) ;; /*) printf '%s %s\\n' "$place" "$kind" ;; esac
done </etc/fstab"""
# Each name at the same time as the others, so that a resolver which is slow with all of them costs the look no more than once; the
# numeric address asks no resolver, and tells how busy the host is. Prints NAME ADDRESS …, or NAME alone, and `# NAME MILLISECONDS EXIT`; of
# an address whose name is looked up slowly, `# by:ADDRESS MILLISECONDS EXIT`.
_NAMES = f"""look_up_time() {{ read -r up _ </proc/uptime; now="${{up%.*}}${{up#*.}}"; }}
newline='
'
resolve() {{ look_up_time; began=$now; said=$($bound getent ahosts "$1"); gave=$?; look_up_time; all=
while [ -n "$said" ]; do
line=${{said%%"$newline"*}}; said=${{said#"$line"}}; said=${{said#"$newline"}}; all="$all ${{line%% *}}"
done
[ $gave = 124 ] || echo "$1$all"
echo "# $1 $(((now - began) * 10)) $gave"; }}
looked_up() {{ look_up_time; began=$now; $bound getent hosts "$1" >/dev/null; gave=$?; look_up_time; ms=$(((now - began) * 10))
[ $ms -lt 1000 ] || echo "# by:$1 $ms $gave"; }}
command -v timeout >/dev/null && bound='timeout {NAME_TIMEOUT_S}' || bound="""
# What has a master, or another hardware address than it was born with; not all that a host of containers has, and of each the beginning.
_LINKS = "ip -d -o link | awk '/ (master|permaddr) / { print substr($0, 1, 500); if (++n == 200) exit }'"
_QUEUES = "queues=$(tc -s qdisc); printf '%s\\n' \"$queues\" | head -n 1000"
# Classes and filters, where there may be some, of NICs that have an address of their own.
_SHAPING = "*htb*|*hfsc*|*cbq*|*prio\\ *|*drr*|*ingress*|*clsact*"
_SHAPERS = (
    f'case "$queues" in {_SHAPING}) '
    "for nic in $(ip -o -4 addr show scope global | awk '!seen[$2]++ && n++ < 32 { print $2 }'); do "
    f'case "$(tc qdisc show dev $nic)" in {_SHAPING}) echo "= $nic"; tc -s class show dev $nic; '
    "for at in root ingress egress; do tc -s filter show dev $nic $at; done | head -n 400 ;; esac; done ;; esac"
)
# Processes that somebody stopped, not at a terminal (an editor, a pager), and still a second later: their names, and of their words no more
# than the program of a cluster manager's, for secrets may be among them.
_STOPPED = """stopped() { ps -eo pid=,ppid=,stat=,tty=,comm=,args= | awk '$3 ~ /^T/ && $4 == "?" { at = 6; program = ""
if ($6 ~ /(python[0-9.]*|perl|bash|sh)$/) { at = 7; while ($at ~ /^-/) at++ }
if ($at ~ /\\/([Ll]ife[Kk]eeper|pacemaker)\\/|\\/corosync$/) program = $at
print substr($1 " " $2 " " $5 " " program, 1, 200); if (++n == 50) exit }'; }
them=$(stopped); [ -z "$them" ] || { echo "$them"; sleep 1; stopped; }"""
# Of a client's sockets those in TIME-WAIT, which may be thousands, as their number for each other end: `# time-wait ADDRESS:PORT N`.
_WITHOUT_WAITS = (
    "awk '/^TIME-WAIT/ { n[$5]++; skip = 1; next } /^[ \\t]/ { if (skip) next } { skip = 0 } ++rows <= 2000 { print } "
    'END { for (end in n) print "# time-wait", end, n[end] }\''
)
# Where handshakes hang whose answer was sent again: the route by which that answer goes, as `# PEER OWN` and what `ip route get` prints.
_WAYS_BACK = """case "$half" in *SYN-RECV*) printf '%s\\n' "$half" | awk '/^SYN-RECV/ && /timer:\\([^,)]*,[^,)]*,[1-9]/ {
gsub(/\\[|\\]|::ffff:/, ""); sub(/:[0-9]+$/, "", $4); sub(/:[0-9]+$/, "", $5)
if ($4 !~ /:/ && !seen[$4 " " $5]++ && n++ < 8) print $5, $4 }' |
while read -r peer own; do echo "# $peer $own"; ip route get "$peer" from "$own" 2>&1; done ;; esac"""
# Of `ss -p`, each number once.
_PIDS = (
    "awk '{ while (match($0, /pid=[0-9]+/)) { pid = substr($0, RSTART + 4, RLENGTH - 4); $0 = substr($0, RSTART + RLENGTH); "
    "if (!seen[pid]++ && n++ < 200) print pid } }'"
)
_FAILED = 'printf %s "$why"'
_FREE_PAGES = """awk '/^HugePages_Free/ { print "vm/free_hugepages:" $2 }' /proc/meminfo"""
# What a database or a busy server needs of the kernel; an administrator raises it on the one node, and forgets the other.
LIMITS = (
    *("kernel/shmmni", "kernel/shmmax", "kernel/shmall", "kernel/sem", "fs/file-max", "fs/aio-max-nr", "vm/nr_hugepages"),
    *("net/core/somaxconn", "net/ipv4/ip_local_port_range", "net/ipv4/ip_unprivileged_port_start"),
    "kernel/hostname",
)
FACTS = ("addresses", "routes", "listening", "sysctls", "firewall", "disks")  # what findings are made of by themselves


def script(cluster: Cluster, machine: Machine, manager: Manager) -> str:
    """For `Host.run`: a line of shell. What it prints, `harness.diagnosis.linux_host_script_parse` reads."""
    others = [str(m.address) for m in cluster.machines if m.name != machine.name]
    if any(n.name == machine.name for n in cluster.nodes):  # whose second NICs carry copies and heartbeats
        others.append(str(cluster.peer_of(machine.name).second_address))
    python = shlex.join([machine.ssh.python, *QUICKLY])
    echoes = f"whole {python} -c {shlex.quote(_ECHO)} {FULL_BYTES} {ECHO_TIMEOUT_S} {' '.join(others)} 2>/dev/null"
    asked = _parts(cluster, machine, manager)
    rights = refusals_line(dict.fromkeys(line for part in (_TOOLS, *asked.values()) for line in sudo_lines(part)))
    parts = {"time": "date '+%s.%N %z'", **asked, "rights": rights, "failed": _FAILED, "large": "cat <&3", "ended": "date +%s.%N"}
    rest = "\n".join(["exec 3<&0 </dev/null", *_beginning(), *_sections(parts), "true"])
    return f"{WHOLE}\n{echoes} | {{\n{rest}\n}}"  # the echoes travel while the rest is asked


def facts_script(cluster: Cluster, machine: Machine, manager: Manager) -> str:
    """The sections in FACTS alone, for a host that brings little text back at once."""
    return "\n".join([*_beginning(), *_sections({**_facts(cluster, machine, manager), "failed": _FAILED}), "true"])


def pieces(cluster: Cluster, machine: Machine, manager: Manager) -> dict[str, str]:
    """The same as scripts of their own, where even these are too much."""
    parts = _facts(cluster, machine, manager)
    return {name: "\n".join([*_beginning(), *_sections({name: part, "failed": _FAILED}), "true"]) for name, part in parts.items()}


def _facts(cluster: Cluster, machine: Machine, manager: Manager) -> dict[str, str]:
    parts = _parts(cluster, machine, manager)
    return {name: parts[name] for name in FACTS if name in parts}


def _beginning() -> list[str]:
    return [f"export {TOOLS.strip()} LC_ALL=C", "exec 2>/dev/null", "why=", _ASK, _TOOLS]


def _sections(parts: dict[str, str]) -> list[str]:
    return [f"echo '@@ {name}'; {line}" for name, line in parts.items()]


def _parts(cluster: Cluster, machine: Machine, manager: Manager) -> dict[str, str]:
    is_node = any(n.name == machine.name for n in cluster.nodes)
    ports = [cluster.load_balancer.probe.port, *(s.port for s in cluster.services)]
    about = " or ".join(f"sport = :{p} or dport = :{p}" for p in ports)
    names = " ".join(shlex.quote(name) for name in (*(m.name for m in cluster.machines), *_services_names(cluster, is_node)))
    callers = [cluster.vip, *(m.address for m in cluster.machines if m.name != machine.name)]  # whose names a service may want
    by_address = f"for address in {' '.join(map(str, callers))}; do looked_up $address & done; " if is_node else ""
    settings = [s.removeprefix("net.ipv4.") for s in SYSCTLS if s.startswith("net.ipv4.")]
    settings += [f"neigh/*/{n}" for n in NEIGHBOUR_SYSCTLS]
    folders = f"{_FOLDERS}\n{node_sections.by_root(SERVICE_ACCOUNTS)}" if is_node else _FOLDERS
    parts = {
        "addresses": "ask addresses addresses",
        "leases": address_lifetimes.LOOK,
        "links": _LINKS,
        "queues": _QUEUES,
        "shapers": _SHAPERS,
        "rules": "policy=$(ip rule); printf '%s\\n' \"$policy\"",
        "neighbours written down": "ip neigh show nud permanent",
        "routes": "; ".join(_routes(cluster, machine, is_node)),
        "arrivals": _arrivals(cluster, machine),
        **(_of_nodes(cluster, machine) if is_node else {}),
        "chosen routes": _chosen_routes(cluster, machine, is_node),
        "ipsec": f"{ROOT} ip xfrm policy",
        "listening": f"ask listening {ROOT} ss -tlnp",
        "sockets": f"half=$(whole ss -tanopi exclude time-wait {shlex.quote(f'( {about} )')} | head -n 2000); printf '%s\\n' \"$half\""
        if is_node
        else f"whole ss -tanopi {shlex.quote(f'( {about} )')} | {_WITHOUT_WAITS}",
        **({"ways back": _WAYS_BACK} if is_node else {}),
        "processes": f"pids=$({ROOT} ss -tlnp | {_PIDS}); "
        '(set -- /dev/null; for pid in $pids; do set -- "$@" "/proc/$pid/stat"; done; cat "$@")',
        "stopped processes": _STOPPED,
        "descriptors": f"whole sh -c {shlex.quote(_DESCRIPTORS)} descriptors $pids",
        "working folders": f"whole sh -c {shlex.quote(folders)}" + " folders $pids; cat /proc/mounts",
        "sysctls": f"(cd /proc/sys/net/ipv4 && grep -H . {' '.join([f'conf/*/{n}' for n in NIC_SYSCTLS] + settings)}; "
        f"cd ../netfilter && grep -H . {' '.join(f'nf_conntrack_{n}' for n in CONNTRACK)})",
        "firewall": "ask firewall rules",
        "firewall told": 'case "$why" in *"firewall "*) echo not told ;; esac',
        "names": f"({_NAMES}; for name in {NUMERIC} {names}; do resolve $name & done; {by_address}wait) | sort",
        "resolver": "grep -hE '^[[:space:]]*(nameserver|hosts:)[[:space:]]' /etc/resolv.conf /etc/nsswitch.conf",
    }
    if is_node:
        log = read_by_root(f"tail -n {MAX_LOG_LINES}", str(manager.log or "/dev/null"))
        limits = f"(cd /proc/sys && grep -H . {' '.join(LIMITS)}); {_FREE_PAGES}"
        parts |= {"limits": limits, "daemons": _frozen(manager.process_names)} if manager.process_names else {"limits": limits}
        parts |= {
            "fstab": _FSTAB,
            "disks": "ask disks disks",
            "log": log,
            **node_sections.sections(SERVICE_ACCOUNTS),
            **manager.survey_commands(),
        }
        parts["next boot"] = next_boot_script.look(
            str(cluster.vip), cluster.load_balancer.probe.port, of_pacemaker=cluster.manager.kind == "pacemaker"
        )
        parts["rules at boot"] = next_boot_script.saved_firewall()
    return parts


def _services_names(cluster: Cluster, is_node: bool) -> list[str]:
    """What clients call services by, which has to lead a client to the frontend."""
    names = {} if is_node else {name: s.name for s in cluster.services for name in service_settings.names_asked_for(s.settings)}
    return [name for name in names if name not in {m.name for m in cluster.machines}]


def _answers(cluster: Cluster, machine: Machine) -> list[tuple[str, str]]:
    """Whom a node answers, and as which address: with floating IP on as the VIP, too, but the probe."""
    own = str(machine.address)
    others = [str(m.address) for m in cluster.machines if m.name != machine.name]
    sources = [own, *([str(cluster.vip)] if cluster.design is Design.FLOATING else [])]
    return [*((d, s) for s in sources for d in others), (str(cluster.load_balancer.probe.source), own)]


def _frozen(names: tuple[str, ...]) -> str:
    """Those of these processes that are stopped or in uninterruptible sleep; where there are some, they are listed again a second later,
    because many a sleep of that kind ends at once."""
    wanted = f"awk '$2 ~ /^[TtD]/ && $3 ~ /^({'|'.join(names)})$/'"
    return f'frozen() {{ ps -eo pid=,stat=,comm= | {wanted}; }}; them=$(frozen); [ -z "$them" ] || {{ echo "$them"; sleep 1; frozen; }}'


def _routes(cluster: Cluster, machine: Machine, is_node: bool) -> list[str]:
    own = str(machine.address)
    to = [str(m.address) for m in cluster.machines if m.name != machine.name]
    pairs = [(a, "") for a in [*to, str(cluster.vip), *_own_addresses(cluster, machine)]] + [(a, own) for a in to]
    if is_node:
        probe = str(cluster.load_balancer.probe.source)
        pairs += [(probe, ""), (probe, own)]
        pairs += [(str(cluster.client.address), str(cluster.vip))]  # what answers as the VIP; refused where the VIP is not
        pairs += [(str(cluster.peer_of(machine.name).second_address), str(cluster.node(machine.name).second_address))]
        pairs += [(METADATA_ADDRESS, "")] if cluster.manager.kind == "pacemaker" else []  # whose fence agents get their tokens there
    # connect() looks up twice, and the second time with the source that it has then: only a rule by source makes that another way.
    as_itself = f"""case "$policy" in *"from "[0-9]*) {_route_question(str(cluster.vip), own)} ;; esac"""
    return [*(_route_question(d, s) for d, s in pairs), as_itself]


def _own_addresses(cluster: Cluster, machine: Machine) -> list[str]:
    return [str(machine.address), *(str(n.second_address) for n in cluster.nodes if n.name == machine.name)]


def _arrivals(cluster: Cluster, machine: Machine) -> str:
    """Where policy rules look at the NIC by which a packet comes in: what becomes of one that the client, or the probe, sends to each own
    address. Every other look-up here is of what the host sends."""
    node = next((n for n in cluster.nodes if n.name == machine.name), None)
    peer = cluster.peer_of(machine.name) if node else cluster.nodes[0]
    callers = [str(peer.address), *([str(cluster.client.address), str(cluster.load_balancer.probe.source)] if node else [])]
    pairs = [(str(machine.address), caller) for caller in callers]
    pairs += [(str(node.second_address), str(peer.second_address))] if node else []
    words = " ".join(f"{own},{caller}" for own, caller in pairs)
    return f"""case "$policy" in *" iif "[!l]*|*" iif l"[!o]*) for pair in {words}; do own=${{pair%,*}} from=${{pair#*,}}
nic=$(ip -o -4 addr show to "$own" | awk '{{ print $2; exit }}'); [ -z "$nic" ] || {{ echo "# $own $from"
ip route get "$own" from "$from" iif "$nic" 2>&1; }}; done ;; esac"""


def _route_question(to: str, source: str) -> str:
    return f"echo '# {to} {source}'; ip route get {to}{f' from {source}' if source else ''} 2>&1"


def _of_nodes(cluster: Cluster, machine: Machine) -> dict[str, str]:
    """What a node's answers meet: the VIP's entry in the table `local`, routes with several next hops, and whose sockets listen. Leaves
    `$spans`, the accounts that policy rules choose by number, and `$uids`, those of them and of the listeners, for the routes below.

    An account of a node's is looked for in /etc/passwd alone where a rule has a whole range: a directory of a company's is long."""
    ports = " or ".join(f"sport = :{p}" for p in (cluster.load_balancer.probe.port, *(s.port for s in cluster.services)))
    told = """$bound getent passwd $u | awk -F: '{ print "=", $3, $1; exit }'"""
    within = """awk -F: -v a="${s%-*}" -v b="${s#*-}" '$3 >= a + 0 && $3 <= b + 0 { print "=", $3, $1 }' /etc/passwd | head -n 8"""
    accounts = f"""bound=; ! command -v timeout >/dev/null || bound='timeout {NAME_TIMEOUT_S}'
listens=$(ss -tlne {shlex.quote(f"( {ports} )")}); echo "$listens"
spans=$(case "$policy" in (*uidrange*) echo "$policy" | grep -o 'uidrange [0-9]*-[0-9]*' | cut -d ' ' -f 2 | sort -u | head -n 8 ;; esac)
uids=$(echo "$listens" | awk '{{ for (i = 5; i <= NF; i++) if ($i ~ /^uid:[0-9]+$/ && !seen[$i]++ && n++ < 8) print substr($i, 5) }}')
named=$(for u in $uids; do {told}; done; for s in $spans; do {within}; done); echo "$named"
{{ $bound getent passwd {" ".join(SERVICE_ACCOUNTS)}; echo ":$?"; }} | while IFS=: read -r n p u g _ h s; do
if [ -n "$n" ]; then echo "= $u $n $s"; {node_sections.RIGHTS}; continue; fi
echo "? $p {" ".join(SERVICE_ACCOUNTS)}"
case "$p" in 0|2) ;; *) awk -F: '$1 ~ /^({"|".join(SERVICE_ACCOUNTS)})$/ {{ print "=", $3, $1, $7 }}' /etc/passwd ;; esac
done
[ -z "$spans" ] || uids=$(echo "$named" | cut -d ' ' -f 2; for u in $uids $spans; do echo "${{u%-*}}"; done)"""
    return {
        "local table": f"ip route show table local {cluster.vip} && echo '# asked'",
        "next hops": "; ".join(f"echo '# {d} {s}'; ip route get fibmatch {d} from {s}" for d, s in _answers(cluster, machine)),
        "accounts": accounts,
    }


def _chosen_routes(cluster: Cluster, machine: Machine, is_node: bool) -> str:
    """Where there are policy rules that look at ports, marks or accounts: what they make of what a host sends to the frontend as a client,
    and of what a node's services and responder answer; with floating IP on as the VIP, and, where that is not, as the node itself."""
    client, vip, own = str(cluster.client.address), str(cluster.vip), str(machine.address)
    ports = " ".join(str(s.port) for s in cluster.services)
    probe = cluster.load_balancer.probe
    each, marked = f'ask {vip} {own} "dport $p"', f'ask {vip} {own} "mark $m"'
    if is_node:
        sources = [own, *([vip] if cluster.design is Design.FLOATING else [])]
        answers = "; ".join(f'ask {client} {source} "sport $p"' for source in sources)
        each, marked = f"{each}; {answers}", f'{marked}; ask {client} {own} "mark $m"'
    each = f"for p in {ports}; do {each}; done"
    each += f'; ask {probe.source} {own} "sport {probe.port}"' if is_node else ""
    get = 'ask() { case "$3" in mark*|uid*) t= ;; *) t="ipproto tcp" ;; esac; echo "# $1 $2 $3"; '
    get += "ip route get $1 from $2 $t $3 2>&1; }"
    found = "echo \"$policy\" | grep -o 'fwmark [0-9a-fx]*' | cut -d ' ' -f 2 | sort -u | head -n 8"
    marks = f'$(case "$policy" in (*fwmark*) {found} ;; esac)'
    owned = _of_accounts(cluster, machine) if is_node else ":"
    return f'({get}; case "$policy" in *port*|*ipproto*) {each} ;; esac; for m in {marks}; do {marked}; done; {owned})'


def _of_accounts(cluster: Cluster, machine: Machine) -> str:
    """The same for accounts, root among them; nothing where no policy rule chooses by account."""
    asks = "; ".join(f'ask {d} {s} "uid $u"' for d, s in _answers(cluster, machine))
    return f"""[ -z "$spans" ] || for u in $(printf '%s\\n' 0 $uids | sort -un | head -n 24); do {asks}; done"""
