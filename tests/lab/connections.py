"""Programs and small words for the tests of probes and flows: kept connections, UDP, responders, what a host's NICs saw.

Every program reads commands on its standard input, answers each with a line of JSON, and ends when the input does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import Bench, Process

CLIENT, NODE1, NODE2 = "lkclient", "lknode01", "lknode02"
ADDRESS = {CLIENT: "10.20.1.20", NODE1: "10.20.1.11", NODE2: "10.20.1.12"}
SOURCE = "168.63.129.16"  # of every probe (PRB-01)
APP, SECOND_APP, PROBE, UDP = 1521, 5432, 12345, 5353
QUIET = 0.3  # s of silence that count as silence; each test shows beside it that an answer would have been heard

# One end of one connection. `send`, `hear SECONDS`, `shut` (half-close), `abort` (reset), `state`.
END = r"""
import json, socket, struct, sys
mode, host, port, keepalive = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
c = None
if mode == "listen":
    l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind((host, port)); l.listen(8); l.settimeout(5)
else:
    c = socket.create_connection((host, port), 5)
    if keepalive:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL): c.setsockopt(socket.IPPROTO_TCP, option, keepalive)
print("ready")
def do(word, rest):
    try:
        if word == "send": c.send(b"token"); return "sent"
        if word == "shut": c.shutdown(socket.SHUT_WR); return "shut"
        if word == "abort": c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close(); return "aborted"
        if word == "port": return c.getsockname()[1]
        if word == "state": return c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        c.settimeout(float(rest[0])); return c.recv(65536).decode() or "closed"
    except TimeoutError: return "silent"
    except (ConnectionResetError, BrokenPipeError): return "reset"
for line in sys.stdin:
    if c is None: c = l.accept()[0]
    word, *rest = line.split(); print(json.dumps(do(word, rest)), flush=True)
"""

UDP_ECHO = r"""
import socket, sys, threading, os
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], int(sys.argv[2]))); print("ready")
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True: s.sendto(sys.argv[3].encode(), s.recvfrom(2048)[1])
"""

# UDP sockets on fixed ports. `ask SECONDS`: who answers each, or "silent".
UDP_CLIENT = r"""
import json, socket, sys
to, port, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
socks = []
for p in range(first, first + count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", p)); s.connect((to, port)); socks.append(s)
print("ready")
def hear(s):
    try: return s.recv(2048).decode()
    except TimeoutError: return "silent"
    except ConnectionRefusedError: return "refused"
for line in sys.stdin:
    for s in socks: s.settimeout(float(line)); s.send(b"?")
    print(json.dumps([hear(s) for s in socks]), flush=True)
"""

# New connections one after the other, from source ports in order: who answered each. The ports are below 32768: one that the kernel has
# given out may be in TIME_WAIT, and cannot be bound.
CONNECT_FROM = r"""
import json, socket, struct, sys
to, port, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
def once(p):
    s = socket.socket(); s.settimeout(2); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", p))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try: s.connect((to, port)); return json.loads(s.makefile().readline())["host"]
    except ConnectionRefusedError: return "refused"
    except TimeoutError: return "silent"
    finally: s.close()
print(json.dumps([once(p) for p in range(first, first + count)]))
"""

# One connection that is made and closed.
CONNECTION_ALONE = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 60).close(); print('null')"

# A responder that says nothing. Any line: what became of its connections, [opened, ended or null, how, peer's address] each.
RESPONDER = r"""
import json, socket, sys, threading, time
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind((sys.argv[1], int(sys.argv[2]))); l.listen(64); seen = []
def serve(c, entry):
    try: entry[2] = "data" if c.recv(100) else "fin"
    except OSError: entry[2] = "rst"
    entry[1] = time.time(); c.close()
def accept():
    while True:
        c, peer = l.accept(); seen.append([time.time(), None, None, peer[0]])
        threading.Thread(target=serve, args=(c, seen[-1]), daemon=True).start()
threading.Thread(target=accept, daemon=True).start(); print("ready")
for line in sys.stdin: print(json.dumps(seen), flush=True)
"""

# An HTTP responder: `answer A [times]` answers with the status A, `silent` or `rst`, then 200 again; `unlisten`;
# `connection close|keep-alive`. Each command's answer is how many requests there have been.
HTTPD = r"""
import json, socket, struct, sys, threading
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind((sys.argv[1], int(sys.argv[2]))); l.listen(64)
state = {"answer": "200", "left": 10**9, "connection": "close", "served": 0}
def serve(c):
    try:
        while (request := c.recv(65536)):
            state["served"] += 1
            answer = state["answer"] if state["left"] > 0 else "200"; state["left"] -= 1
            if answer == "silent": c.recv(1); return
            if answer == "rst": c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); return
            head = f"HTTP/1.1 {answer} It\r\nContent-Length: 0\r\nLocation: /elsewhere\r\nConnection: {state['connection']}\r\n\r\n"
            c.sendall(head.encode())
            if state["connection"] == "close": return
    except OSError: pass
    finally: c.close()
def accept():
    while True:
        try: c = l.accept()[0]
        except OSError: return
        threading.Thread(target=serve, args=(c,), daemon=True).start()
threading.Thread(target=accept, daemon=True).start(); print("ready")
for line in sys.stdin:
    word, *rest = line.split() or [""]
    if word == "answer": state.update(answer=rest[0], left=int(rest[1]) if rest[1:] else 10**9)
    if word == "connection": state["connection"] = rest[0]
    if word == "unlisten": l.shutdown(socket.SHUT_RDWR); l.close()
    print(json.dumps(state["served"]), flush=True)
"""

# TCP and UDP that a host's NICs saw. Any line: all so far, as dicts.
WATCH = r"""
import json, select, socket, struct, sys, time
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)); tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
tap.setblocking(False); tap.setsockopt(socket.SOL_SOCKET, 35, 1); seen = []  # SO_TIMESTAMPNS: the kernel's own times
def drain():
    while True:
        try: p, told, _, (nic, what, kind, _, _) = tap.recvmsg(256, 64)
        except BlockingIOError: return
        if nic == "lo" or what != 0x0800 or p[9] not in (6, 17): continue
        s, ns = struct.unpack("ll", told[0][2]); h = (p[0] & 15) * 4; sport, dport = struct.unpack_from("!HH", p, h)
        src, dst = socket.inet_ntoa(p[12:16]), socket.inet_ntoa(p[16:20])
        seen.append(dict(at=s + ns / 1e9, nic=nic, out=kind == 4, src=src, dst=dst, sport=sport, dport=dport, ttl=p[8],
                         flags=p[h + 13] & 0x17 if p[9] == 6 else None))
print("ready")
while True:
    ready = select.select([tap, sys.stdin], [], [])[0]; drain()
    if sys.stdin in ready:
        if not sys.stdin.readline(): break
        print(json.dumps(seen), flush=True)
"""

SYN, RST, ACK = 2, 4, 16


def stop(process: Process) -> None:
    """End a program by its standard input and see it gone."""
    process._popen.communicate(timeout=120)


@contextmanager
def at_once() -> Iterator[Callable[..., Future]]:
    """Start several programs side by side: `submit(function, *arguments)`, of which all have returned at the end of the block."""
    with ThreadPoolExecutor(8) as threads:
        begun: list[Future] = []

        def submit(*call: Any) -> Future:
            begun.append(threads.submit(*call))
            return begun[-1]

        yield submit
        for each in begun:
            each.result()


def side_by_side(labs: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test in several labs at the same time, since most of it is waiting: the fixture `labs` is a list of them, the test is written
    for one. A failure says in which lab it happened."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def everywhere(**fixtures: Any) -> None:
            def once(lab: Bench) -> None:
                try:
                    test(**{**fixtures, labs: lab})
                except BaseException as error:
                    error.add_note(f"in the lab with design {lab.data['design']}, load balancer {lab.data['load_balancer']}")
                    raise

            with at_once() as submit:
                for lab in fixtures[labs]:
                    submit(once, lab)

        return everywhere

    return decorate


@pytest.fixture(autouse=True)
def gently(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test started is stopped before the bench tidies; for test modules to import."""
    yield
    bench_module = request.config.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    for bench in [b for made in bench_module.UP for b in made]:
        with at_once() as submit:
            for process in bench._started:
                submit(stop, process)


def ask(process: Process, command: str, *, limit: float = 30.0) -> Any:
    """Give a program a command and return its answer."""
    process.say(command)
    return process.json(limit=limit)


def heard(client: Process, bench: Bench) -> list[str]:
    """Who answers each socket of a `UDP_CLIENT`. After a switch the balancer forgets UDP flows, once and a moment later than it sends new
    ones elsewhere: the answer to a datagram of that moment is lost, so that all are asked again."""
    return bench.wait_for(lambda: ask(client, str(QUIET)), "an answer on every socket", until=lambda told: "silent" not in told)


class Conversation:
    """One connection from the client to the frontend, with a hand at either end."""

    def __init__(self, bench: Bench, server: str, *, port: int = APP, keepalive: int = 0, origin: str = CLIENT) -> None:
        self.server = bench.start(server, END, "listen", "0.0.0.0", port, 0)
        self.client = bench.start(origin, END, "connect", bench.vip, port, keepalive)
        self.port = ask(self.client, "port")
        assert self.works()

    def works(self) -> bool:
        """Whether it carries data both ways."""
        return all(
            (ask(a, "send"), ask(b, "hear 2")) == ("sent", "token") for a, b in ((self.client, self.server), (self.server, self.client))
        )


def keep(bench: Bench, port: int = APP, keepalive: int = 0) -> Process:
    """A kept connection from the client to one of `bench.listen`'s listeners, behind its greeting."""
    end = bench.start(CLIENT, END, "connect", bench.vip, port, keepalive)
    assert '"host"' in ask(end, "hear 2")
    return end


def carries(end: Process, *, limit: float = 2.0) -> bool:
    """Whether an echoing listener still answers on a kept connection."""
    return (ask(end, "send"), ask(end, f"hear {limit}")) == ("sent", "token")


def identities(bench: Bench, *, count: int = 20, origin: str = CLIENT, port: int = APP, limit: float = 2.0) -> list[str]:
    """Who answers each of `count` new connections to the frontend: a host's name, `refused` or `silent`."""
    results = bench.connect(origin, bench.vip, port, count=count, limit=limit)
    return [r["hello"]["host"] if r["hello"] else r["outcome"] for r in results]


def connect_from(bench: Bench, first: int, count: int, *, port: int = APP) -> list[str]:
    return bench.python(CLIENT, CONNECT_FROM, bench.vip, port, first, count)


@contextmanager
def vip_on(bench: Bench, *nodes: str) -> Iterator[None]:
    """The frontend's address on the Subnet#2 NIC of these nodes, as the cluster's IP resource holds it."""
    for node in nodes:
        assert bench.sh(node, f"ip address add {bench.vip}/32 dev eth1").returncode == 0
    try:
        yield
    finally:
        for node in nodes:
            bench.sh(node, f"ip address del {bench.vip}/32 dev eth1")


@contextmanager
def deaf(bench: Bench, node: str, port: int = PROBE) -> Iterator[None]:
    """The guest's own firewall drops what comes to a port, the probe's, without a word."""
    table = f"table ip deaf {{ chain in {{ type filter hook input priority 0; tcp dport {port} drop; }}; }}"
    assert bench.sh(node, f"echo '{table}' | nft -f -").returncode == 0
    try:
        yield
    finally:
        bench.sh(node, "nft delete table ip deaf")


def switches(bench: Bench, since: int = 0) -> list[list[str]]:
    """Whom new flows went to, after each switch. The verdict that brings a switch about is written down before the switch is."""
    return [e["data"]["members"] for e in bench.events()[since:] if e["kind"] == "switch"]


def verdicts(bench: Bench, node: str, *, since: int = 0) -> list[dict[str, Any]]:
    """The balancer's changes of verdict on a node: {at, up}."""
    found = [e for e in bench.events()[since:] if e["kind"] == "probe" and e["data"]["node"] == node]
    return [{"at": e["wall"], "up": e["data"]["up"]} for e in found]


def next_verdict(bench: Bench, node: str, *, since: int, up: bool, limit: float = 120.0) -> float:
    """When the balancer called a node up, or down, after event number `since`; wall clock."""
    found = bench.wait_for(
        lambda: [v for v in verdicts(bench, node, since=since) if v["up"] == up], f"{node} probe-{'up' if up else 'down'}", limit=limit
    )
    return found[0]["at"]


def probes_sent(bench: Bench, node: str) -> int:
    return bench.ask("status")["probes_sent"][node]


def after_probes(bench: Bench, node: str, count: int) -> None:
    """Wait until `count` more probes have gone to a node, and the one after them has begun, so that their results are in."""
    goal = probes_sent(bench, node) + count + 1
    bench.wait_for(lambda: probes_sent(bench, node) >= goal, f"{count} more probes of {node}", limit=120 + count)


def answers(seen: list[dict[str, Any]], flags: int, *, after: float = 0.0, before: float = float("inf")) -> int:
    """How many probes a host answered with these flags, seen in its own capture."""
    return sum(p["out"] and p["dst"] == SOURCE and p["sport"] == PROBE and p["flags"] == flags and after <= p["at"] <= before for p in seen)


def refusals(seen: list[dict[str, Any]], *, after: float, before: float) -> int:
    """How many probes a host refused, seen in its own capture. A listener that ends resets what it had not accepted yet: that was answered
    before."""
    taken = {p["dport"] for p in seen if p["out"] and p["flags"] == SYN | ACK}
    return answers([p for p in seen if p["dport"] not in taken], RST | ACK, after=after, before=before)


def answer_by_the_second_nic(lab: Bench, add: bool) -> None:
    """Route a node's answers to probes out of its second NIC, or not any more."""
    done = lab.sh(NODE1, f"ip route {'add' if add else 'del'} {SOURCE}/32 via 10.20.2.1 dev eth1")
    assert done.returncode == 0, done.stderr
