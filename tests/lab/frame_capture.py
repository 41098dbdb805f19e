"""Captures and sends frames at a lab's hosts: every frame of every NIC, frames made with scapy, and the states that tests put a lab in.

scapy works in the test's own process; what runs in a host is a few lines of plain Python, which start in 20 ms.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from harness.core.deadline import Deadline
from harness.lab.topology import FABRIC_MAC

if TYPE_CHECKING:
    from tests.lab.conftest import Bench, Process

CLIENT, NODE1, NODE2 = "lkclient", "lknode01", "lknode02"
ADDRESS = {CLIENT: "10.20.1.20", NODE1: "10.20.1.11", NODE2: "10.20.1.12"}
SECOND = {NODE1: "10.20.2.11", NODE2: "10.20.2.12"}
PROBE_SOURCE = "168.63.129.16"
APP, PROBE = 1521, 12345
SILENT = 0.2  # s to wait where silence is expected; an answer takes the lab a few milliseconds, and every test has a control

AGENT = r"""
import json, socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22); tap.setblocking(False)
def send(nic, frame):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((nic, 0)); s.send(frame[:6] + s.getsockname()[4] + frame[12:])
def show():
    seen = []
    while True:
        try: frame, (nic, _, kind, _, _) = tap.recvfrom(65535)
        except BlockingIOError: return seen
        seen.append([nic, kind == socket.PACKET_OUTGOING, frame.hex()])
def call(to, port, limit, source=""):
    s = socket.socket(); s.settimeout(float(limit))
    try:
        s.bind((source, 0)); s.connect((to, int(port)))
        return json.loads(s.makefile().readline())["host"]
    except ConnectionRefusedError: return "refused"
    except TimeoutError: return "silent"
    except OSError as e: return e.strerror
    finally: s.close()
print("ready")
for line in sys.stdin:
    words = line.split()
    if words[0] == "send": send(words[1], bytes.fromhex(words[2])); print("{}")
    elif words[0] == "call": print(json.dumps(call(*words[1:])))
    else: print(json.dumps(show()))
"""


@dataclass(frozen=True)
class Seen:
    """One frame as a host's kernel saw it. `out` is true for frames that left; ports are None where there are none."""

    nic: str
    out: bool
    frame: Ether

    @property
    def raw(self) -> bytes:
        return self.frame.original

    def matches(self, **want: Any) -> bool:
        return all(getattr(self, name) == value for name, value in want.items())

    def _field(self, layers: tuple[type[Packet], ...], name: str) -> Any:
        return next((getattr(self.frame[layer], name) for layer in layers if self.frame.haslayer(layer)), None)

    @property
    def src(self) -> str | None:
        return self._field((IP,), "src")

    @property
    def dst(self) -> str | None:
        return self._field((IP,), "dst")

    @property
    def proto(self) -> int | None:
        return self._field((IP,), "proto")

    @property
    def ttl(self) -> int | None:
        return self._field((IP,), "ttl")

    @property
    def sport(self) -> int | None:
        return self._field((TCP, UDP), "sport")

    @property
    def dport(self) -> int | None:
        return self._field((TCP, UDP), "dport")

    @property
    def seq(self) -> int | None:
        return self._field((TCP,), "seq")

    @property
    def ack(self) -> int | None:
        return self._field((TCP,), "ack")

    @property
    def flags(self) -> str | None:
        flags = self._field((TCP,), "flags")
        return None if flags is None else str(flags)

    @property
    def icmp(self) -> int | None:
        """The ICMP type: 8 asks, 0 answers."""
        return self._field((ICMP,), "type")

    @property
    def mss(self) -> int | None:
        return dict(self.frame[TCP].options).get("MSS") if self.frame.haslayer(TCP) else None

    @property
    def data(self) -> bytes:
        """What a TCP segment carries. Cut by the IP length: short frames are padded."""
        if not self.frame.haslayer(TCP):
            return b""
        ip, tcp = self.frame[IP], self.frame[TCP]
        return bytes(tcp)[tcp.dataofs * 4 : ip.len - ip.ihl * 4]

    @property
    def arp(self) -> tuple[int, str, str] | None:
        """(operation, the address it speaks of, the MAC it gives): operation 1 asks, 2 answers."""
        return (self.frame[ARP].op, self.frame[ARP].psrc, self.frame[ARP].hwsrc) if self.frame.haslayer(ARP) else None


AGENTS: WeakKeyDictionary[Bench, dict[str, Process]] = WeakKeyDictionary()


def agent(bench: Bench, host: str) -> Process:
    """The agent in a host, started once per lab: a new Python for every connection would cost more than the tests themselves."""
    agents = AGENTS.setdefault(bench, {})
    if host not in agents:
        agents[host] = bench.start(host, AGENT)
        bench._started.remove(agents[host])  # it ends with its lab, not with the test
    return agents[host]


class Eyes:
    """Sees every frame of a host's NICs (and of its loopback) from when it is made, and sends frames of its own."""

    def __init__(self, bench: Bench, host: str) -> None:
        self.host = host
        self._agent = agent(bench, host)
        self._seen: list[Seen] = []
        self.forget()

    def all(self, **want: Any) -> list[Seen]:
        """Everything seen so far that has these properties."""
        self._agent.say("show")
        self._seen += [Seen(nic, out, Ether(bytes.fromhex(data))) for nic, out, data in self._agent.json()]
        return [s for s in self._seen if s.matches(**want)]

    def wait_for(self, what: str = "", *, limit: float = 5.0, **want: Any) -> Seen:
        """The first frame with these properties, waited for up to `limit` seconds."""
        return Deadline(limit).wait_for(lambda: self.all(**want), what=what or f"{want} on {self.host}", every=0.01)[0]

    def wait_until(self, test: Callable[[Seen], bool], what: str, *, limit: float = 5.0) -> Seen:
        return Deadline(limit).wait_for(lambda: [s for s in self.all() if test(s)], what=what, every=0.01)[0]

    def forget(self) -> None:
        """Leave out of account what was seen until now."""
        self.all()
        self._seen.clear()

    def send(self, *packets: Packet, nic: str = "eth0", mac: str = FABRIC_MAC) -> None:
        """Put packets on the wire as they are, to the fabric's MAC unless told otherwise."""
        for packet in packets:
            frame = packet if packet.haslayer(Ether) else Ether(dst=mac) / packet
            self._agent.say(f"send {nic} {bytes(frame).hex()}")
            self._agent.json()


def arrives(sender: Eyes, receiver: Eyes, packet: Packet, *, control: Packet, nic: str = "eth0", fragments: bool = False) -> bool:
    """Whether `packet` reaches the receiver. `control` is sent right behind it, on the first NIC, and must arrive: it bounds the waiting.

    Both carry a token by which they are known whatever becomes of their headers; `fragments` cuts a packet of 2000 bytes in two.
    """
    token, fence = secrets.token_bytes(8), secrets.token_bytes(8)
    frames = fragment(packet / Raw(token * 250), 1400) if fragments else [packet / Raw(token)]
    sender.send(*frames, nic=nic)
    sender.send(control / Raw(fence))
    receiver.wait_until(lambda s: not s.out and fence in s.raw, f"the control packet at {receiver.host}")
    return any(not s.out and token in s.raw for s in receiver.all())


def outcomes(results: list[dict[str, Any]]) -> list[str]:
    """What became of each connection: the name of the host that answered, or `refused`, `silent` …"""
    return [r["hello"]["host"] if r["outcome"] == "answered" else r["outcome"] for r in results]


def call(bench: Bench, host: str, to: str, port: int, limit: float, source: str) -> str:
    hand = agent(bench, host)
    hand.say(f"call {to} {port} {limit} {source}")
    return hand.json()


def reach(bench: Bench, host: str, to: str, port: int = APP, *, source: str = "") -> str:
    """One connection, where an answer is expected: who answered, or what became of it."""
    return call(bench, host, to, port, 2.0, source)


def quiet(bench: Bench, host: str, to: str, port: int = APP, *, source: str = "") -> str:
    """One connection, where silence is expected."""
    return call(bench, host, to, port, SILENT, source)


@contextmanager
def only_up(bench: Bench, *nodes: str) -> Iterator[None]:
    """The balancer sends new flows to these nodes, whatever probes say."""
    try:
        for node in (NODE1, NODE2):
            bench.ask("admin", node=node, state="up" if node in nodes else "down")
        yield
    finally:
        for node in (NODE1, NODE2):
            bench.ask("admin", node=node, state="none")


@contextmanager
def holding(bench: Bench, node: str, address: str = "", *, nic: str = "eth1", prefix: int = 32) -> Iterator[None]:
    """A node has an address (the frontend's, as its cluster's IP resource) on a NIC."""
    what = f"{address or bench.vip}/{prefix} dev {nic}"
    done = bench.sh(node, f"ip address add {what}")
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        bench.sh(node, f"ip address del {what}")


@contextmanager
def in_service(bench: Bench, node: str = NODE1) -> Iterator[None]:
    """A node is the active one: alone healthy, and holder of the frontend's address."""
    with only_up(bench, node), holding(bench, node):
        yield


@contextmanager
def nsg(bench: Bench, **places: list[dict[str, Any]]) -> Iterator[None]:
    """Custom NSG rules at these places: `lknode01_eth0=[…]`, `subnet1=[…]`. Default rules remain behind them."""
    keys = {place.replace("_", "."): rules for place, rules in places.items()}
    try:
        for place, rules in keys.items():
            bench.ask("nsg", place=place, rules=rules)
        yield
    finally:
        for place in keys:
            bench.ask("nsg", place=place, rules=[])


@contextmanager
def shell(bench: Bench, host: str, *steps: tuple[str, str]) -> Iterator[None]:
    """Do shell lines in a host, and their undoing in reverse: (`ip route add …`, `ip route del …`)."""
    with ExitStack() as undo:
        for do, take_back in steps:
            done = bench.sh(host, do)
            assert done.returncode == 0, f"{do}: {done.stderr}"
            undo.callback(bench.sh, host, take_back)
        yield


def in_fabric(bench: Bench, *words: str) -> str:
    """Run a command in the fabric's own network namespace: what the platform does. Returns what it said."""
    enter = ["nsenter", "--target", str(bench.running.record.pid), "--net"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    done = subprocess.run([*enter, *words], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


CALL = """
import json, socket, sys
s = socket.socket(); s.settimeout(float(sys.argv[4])); s.bind((sys.argv[1], 0))
try: s.connect((sys.argv[2], int(sys.argv[3]))); print('"answered"')
except ConnectionRefusedError: print('"refused"')
except TimeoutError: print('"silent"')
"""


def call_from_fabric(bench: Bench, source: str, to: str, port: int, *, limit: float = SILENT) -> str:
    """A TCP connect that the platform makes from one of the fabric's own addresses, as a probe is made."""
    return json.loads(in_fabric(bench, sys.executable, "-c", CALL, source, to, str(port), str(limit)))
