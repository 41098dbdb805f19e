"""The kernel as the oracle for the firewall evaluator: rulesets are loaded in a network namespace, and real connections tried.

A program for namespaces of its own: `unshare --net --mount … python firewall_kernel.py`. Reads one JSON object a line, with what to load
and which packets to try, and answers each with one line: what was listed, what the evaluator said, what the kernel did.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from harness.diagnosis.firewall import Packet, opening, parse
from harness.lab.linux.nft import Nft

PORTS = (80, 1521, 1522, 3389, 5432, 12345)
NEAR = {"eth0": ("10.9.1.11", 24), "eth1": ("10.9.2.11", 24)}
VIP = ("10.9.1.200", "eth1")  # in the first subnet, and on the second NIC
FAR = {"10.9.1.20": "eth0", "10.9.1.30": "eth0", "168.63.129.16": "eth0", "10.9.2.20": "eth1"}
QUICK_S, PATIENT_S = 0.03, 4.0  # how long silence is waited for: where it is expected, and where it is not
HEARD = {
    "answer": 0, "tcp reset": 111, "icmp port-unreachable": 111, "icmp prot-unreachable": 92, "icmp net-unreachable": 101,
    "icmp net-prohibited": 101, "icmp host-unreachable": 113, "icmp host-prohibited": 113, "icmp admin-prohibited": 113,
}  # fmt: skip
JSON_OUTPUT = 1 << 4


class Kernel:
    """Two namespaces joined by two wires: this one has the ruleset and the servers, the other one connects."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.here = os.open("/proc/self/ns/net", os.O_RDONLY)
        ready = "echo ready; exec cat"
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--kill-child", "sh", "-c", ready], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.holder.stdout and self.holder.stdout.readline() == "ready\n"
        self.there = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY)
        sh("mount -t tmpfs none /run")  # the lock of iptables
        sh("ip link set lo up")
        for nic, (address, bits) in NEAR.items():
            sh(f"ip link add {nic} type veth peer name far{nic[-1]}; ip link set far{nic[-1]} netns {self.holder.pid}")
            sh(f"sysctl -qw net.ipv4.conf.{nic}.rp_filter=0; ip addr add {address}/{bits} dev {nic}; ip link set {nic} up")
        sh(f"ip addr add {VIP[0]}/32 dev {VIP[1]}")
        sh("ip route add 168.63.129.16/32 dev eth0; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.icmp_ratelimit=0")
        subprocess.run("sysctl -qw net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=10000", shell=True, stderr=subprocess.DEVNULL)
        self.enter(self.there)
        for address, nic in FAR.items():
            sh(f"ip addr add {address}/{32 if address[0] == '1' and address[1] == '6' else 24} dev far{nic[-1]}")
        sh("ip link set lo up; ip link set far0 up; ip link set far1 up; sysctl -qw net.ipv4.conf.all.rp_filter=0")
        self.enter(self.here)
        self.servers = [listen(port) for port in PORTS]
        self.nft, self.lister = Nft(), Nft()
        self.lister._lib.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        self.lister._lib.nft_ctx_output_set_flags(self.lister._context, JSON_OUTPUT)
        self.next_port = 10_000

    def enter(self, namespace: int) -> None:
        if self.libc.setns(namespace, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def load(self, how: dict[str, str]) -> str:
        """Load a ruleset; returns why it is refused, or ""."""
        self.nft.run("flush ruleset")
        if self.legacy:
            restore("iptables-legacy-restore", EMPTY)
        self.legacy = "iptables-legacy-restore" in how
        for tool, text in how.items():
            if tool == "nft":
                try:
                    self.nft.run(text)
                except RuntimeError as error:
                    return str(error)
            elif refused := restore(tool, text):
                return refused
        return ""

    legacy = False

    def listed(self, how: dict[str, str]) -> str:
        """What the tools print of it, as a host would."""
        parts = [self.lister.run("list ruleset")]
        for tool in ("iptables-save", "iptables-legacy-save"):
            if tool.replace("save", "restore") in how:
                parts.append(subprocess.run([tool, "-c"], capture_output=True, text=True, check=True).stdout)
        return "\n".join(parts)

    def begin(self, source: str, port: int, to: str) -> socket.socket:
        self.enter(self.there)
        try:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.setblocking(False)
            self.next_port = self.next_port + 1 if self.next_port < 60_000 else 10_000
            client.bind((source, self.next_port))
            client.connect_ex((to, port))
            return client
        finally:
            self.enter(self.here)

    def heard(self, clients: list[socket.socket], expected: list[int | None]) -> list[int | None]:
        """The error number of each connect; None for silence. Where silence is not expected, it is waited for longer."""
        found: list[int | None] = [None] * len(clients)
        began = time.monotonic()
        while True:
            open_ones = [n for n, client in enumerate(clients) if client.fileno() >= 0 and found[n] is None]
            limit = PATIENT_S if any(expected[n] is not None for n in open_ones) else QUICK_S
            left = began + limit - time.monotonic()
            if not open_ones or left <= 0:
                return found
            poll = select.poll()
            for n in open_ones:
                poll.register(clients[n], select.POLLOUT)
            by_fd = {clients[n].fileno(): n for n in open_ones}
            for fd, events in poll.poll(left * 1000):
                failed = events & (select.POLLERR | select.POLLHUP)  # else it is open, whatever ICMP said of it since
                found[by_fd[fd]] = clients[by_fd[fd]].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if failed else 0

    def drain(self) -> None:
        for server in self.servers:
            while True:
                try:
                    server.accept()[0].close()
                except BlockingIOError:
                    break

    def judge(self, task: dict) -> dict:
        """One ruleset and its packets."""
        if refused := self.load(task["load"]):
            return {"refused": refused}
        listing = self.listed(task["load"])
        ruleset = parse(listing)
        by_words = parse(self.nft.run("list ruleset")) if set(task["load"]) == {"nft"} else ruleset
        said, from_words = [], []
        packets = [(source, port, to[0] if to else NEAR[FAR[source]][0]) for source, port, *to in task["packets"]]
        for source, port, to in packets:
            came, listened = FAR[source], frozenset(PORTS)
            own = VIP[1] if to == VIP[0] else came
            syn = Packet(source, to, port, (10_000, 60_000), in_nic=came, own_nic=own, far_nic=came, listened=listened)
            said.append(opening(ruleset, syn, uid=0))
            from_words.append(opening(by_words, syn, uid=0).heard)
        expected = [HEARD.get(one.heard) for one in said]  # None where silence is expected, or nothing is
        clients = [self.begin(source, port, to) for source, port, to in packets]
        seen = self.heard(clients, expected)
        for client in clients:
            client.close()
        after = self.listed(task["load"]) if len(clients) == 1 else ""
        self.drain()
        rows = [
            {"heard": one.heard, "decision": str(one.decision), "outcome": one.decision.outcome, "rule": one.decision.rule,
             "packet": str(one.packet), "what": one.what, "seen": got, "told": HEARD.get(one.heard),
             "passes": one.passes}
            for one, got in zip(said, seen, strict=True)
        ]  # fmt: skip
        return {
            "listing": listing,
            "from_words": from_words,
            "words_not_told": by_words.not_told,
            "after": after,
            "rows": rows,
            "not_told": ruleset.not_told,
        }


EMPTY = "".join(
    f"*{table}\n" + "".join(f":{chain} ACCEPT [0:0]\n" for chain in chains.split()) + "COMMIT\n"
    for table, chains in {
        "filter": "INPUT FORWARD OUTPUT",
        "raw": "PREROUTING OUTPUT",
        "mangle": "PREROUTING INPUT FORWARD OUTPUT POSTROUTING",
        "security": "INPUT FORWARD OUTPUT",
        "nat": "PREROUTING INPUT OUTPUT POSTROUTING",
    }.items()
)


def restore(tool: str, text: str) -> str:
    done = subprocess.run([tool], input=text, capture_output=True, text=True)
    return done.stderr.strip() or "refused" if done.returncode else ""


def listen(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", port))
    server.listen(1000)
    server.setblocking(False)
    return server


def sh(line: str) -> None:
    subprocess.run(line, shell=True, check=True)


def main() -> None:
    kernel = Kernel()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(kernel.judge(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
