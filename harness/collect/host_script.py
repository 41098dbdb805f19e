"""The script by which one Linux host tells all that a diagnosis wants to know of it, in one go. It changes nothing."""

from __future__ import annotations

import shlex

from harness.config.cluster_config import Cluster, Machine
from harness.hosts.linux.linux import FIREWALL, TOOLS
from harness.managers.manager import Manager

LOG_LINES = 400
SCRIPT_S = 20.0  # for all of it
FULL_BYTES = 1500
WAIT_S = 0.7  # for an echo, where round trips are below 5 ms

# Echoes of 56 and 1500 bytes to each address, the large ones not to be cut into pieces. Prints ADDRESS SMALL LARGE SIZE.
_ECHO = r"""
import os, select, socket, struct, sys, time
size, wait, to = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
try:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
except OSError:
    sys.exit(0)
raw.setsockopt(0, 10, 2)
me = os.getpid() & 0xFFFF
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
def send(i, large):
    body = b"\0" * ((size - 28) if large else 28)
    head = struct.pack("!BBHHH", 8, 0, 0, me, i * 2 + large)
    head = struct.pack("!BBHHH", 8, 0, checksum(head + body), me, i * 2 + large)
    try:
        raw.sendto(head + body, (to[i], 0))
    except OSError:
        unsent.add((i, large))
came, unsent = set(), set()
began, rounds = time.time(), 0
while time.time() - began < wait and len(came | unsent) < 2 * len(to):
    if time.time() - began >= rounds * wait / 2.0:
        rounds += 1
        for i in range(len(to)):
            for large in (0, 1):
                if (i, large) not in came:
                    send(i, large)
    if not select.select([raw], [], [], 0.05)[0]:
        continue
    packet = raw.recv(4096)
    at = (packet[0] & 15) * 4
    kind, _, _, who, number = struct.unpack("!BBHHH", packet[at:at + 8])
    if kind == 0 and who == me and number < 2 * len(to):
        came.add((number // 2, number % 2))
for i, address in enumerate(to):
    if (i, 1) not in unsent:
        print(address, int((i, 0) in came), int((i, 1) in came), size)
"""


def script(cluster: Cluster, machine: Machine, manager: Manager) -> str:
    """For `Host.run`: a line of shell."""
    node = next((n for n in cluster.nodes if n.name == machine.name), None)
    ports = [cluster.load_balancer.probe.port, *(s.port for s in cluster.services)]
    about = " or ".join(f"sport = :{p} or dport = :{p}" for p in ports)
    others = [m for m in cluster.machines if m.name != machine.name]
    full = [str(m.address) for m in others]
    parts = [
        f"export {TOOLS.strip()} LC_ALL=C",
        "exec 2>/dev/null",
        "echo '@@ time'; date '+%s.%N %z'",
        "echo '@@ addresses'; ip -json addr || ip addr",
        "echo '@@ rules'; ip rule",
        "echo '@@ neighbours written down'; ip neigh show nud permanent",
        "echo '@@ routes'",
        *_routes(cluster, machine, node is not None),
        "echo '@@ listening'; ss -tlnp",
        f"echo '@@ sockets'; ss -tanopi {shlex.quote(f'( {about} )')} | head -n 2000",
        "pids=$(ss -tlnp | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u | head -n 200)",
        "echo '@@ processes'; for pid in $pids; do cat /proc/$pid/stat; done",
        "echo '@@ descriptors'; for pid in $pids; do set -- /proc/$pid/fd/*; echo $pid $# $(grep 'open files' /proc/$pid/limits); done",
        "echo '@@ sysctls'; (cd /proc/sys/net/ipv4 && grep -H . conf/*/rp_filter tcp_keepalive_time tcp_retries2 ip_local_port_range "
        "ip_local_reserved_ports tcp_syncookies ip_nonlocal_bind; cd ../netfilter && grep -H . nf_conntrack_count nf_conntrack_max)",
        f"echo '@@ firewall'; ({FIREWALL}) || untold=yes",
        "echo '@@ firewall told'; [ -z \"$untold\" ] || echo not told",
        "echo '@@ names'; for name in "
        + " ".join(shlex.quote(m.name) for m in cluster.machines)
        + "; do echo $name $(getent ahosts $name | awk '{print $1}'); done",
    ]
    if node is not None:
        parts += _of_the_manager(cluster, manager)
    echoes = f"{shlex.quote(machine.ssh.python)} -c {shlex.quote(_ECHO)} {FULL_BYTES} {WAIT_S} {' '.join(full)} 2>/dev/null"
    rest = "\n".join(["exec 3<&0 </dev/null", *parts, "echo '@@ large'; cat <&3", "true"])
    return f"{echoes} | {{\n{rest}\n}}"  # the echoes travel while the rest is asked


def _routes(cluster: Cluster, machine: Machine, is_node: bool) -> list[str]:
    own = str(machine.address)
    to = [str(m.address) for m in cluster.machines if m.name != machine.name]
    pairs = [(a, "") for a in [*to, str(cluster.vip)]] + [(a, own) for a in to]
    if is_node:
        probe = str(cluster.load_balancer.probe.source)
        pairs += [(probe, ""), (probe, own)]
        pairs += [(str(cluster.client.address), str(cluster.vip))]  # what answers as the VIP; refused where the VIP is not
    return [f"echo '# {d} {s}'; ip route get {d}{f' from {s}' if s else ''} 2>&1 | head -n 2" for d, s in pairs]


def _of_the_manager(cluster: Cluster, manager: Manager) -> list[str]:
    log = shlex.quote(str(manager.log)) if manager.log else "/dev/null"
    parts = [f"echo '@@ log'; tail -n {LOG_LINES} {log}"]
    if cluster.manager.kind == "lifekeeper":
        parts.append(
            f"echo '@@ instances'; {shlex.quote(str(cluster.manager.root / 'bin' / 'ins_list'))} -t {shlex.quote(cluster.ip_resource.tag)}"
        )
    if cluster.manager.kind == "pacemaker":
        parts.append("echo '@@ configuration'; cibadmin -Q")
    return parts
