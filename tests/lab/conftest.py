"""Labs for conformance tests: the network alone (0.3 s), with a way to run programs in every host."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.core.deadline import Deadline
from harness.lab.control import nsenter
from harness.lab.lifecycle import default_cluster, launch
from tests.lab import host_programs
from tests.lab.host_programs import HostProgram, HostPython


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fact(*ids): the facts of the catalogue that this test proves")


class Bench:
    """A lab without a cluster manager: tests start listeners, connect and craft packets in its hosts themselves."""

    def __init__(self, running: launch.RunningLab, data: dict[str, Any]) -> None:
        self.running = running
        self.data = data
        self._started: list[Process] = []
        self._pythons = {name: HostPython(running.record, name) for name in ("lkclient", "lknode01", "lknode02")}

    @property
    def vip(self) -> str:
        return self.data["load_balancer"]["frontend"]

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Carry out an operation of the lab (harness/lab/process/control_operations.py)."""
        return self.running.record.ask(operation, **arguments)

    def sh(self, host: str, line: str, *, limit: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a shell line in a host; the exit code is the test's to judge."""
        return nsenter.run(self.running.record, host, ["sh", "-c", line], limit=limit)

    def python(self, host: str, code: str, *arguments: Any, limit: float = 120.0) -> Any:
        """Run Python in a host (its standard library alone is there); it prints one JSON document, which is returned."""
        done = host_programs.run(self._pythons[host], code, arguments, limit=limit)
        assert done.returncode == 0, f"{host}: {done.stderr}"
        return json.loads(done.stdout)

    def start(self, host: str, code: str, *arguments: Any) -> Process:
        """Start Python in a host. It must print a line when it is ready; that line is awaited. Ends with the test."""
        process = Process(self._pythons[host].begin(code, tuple(map(str, arguments))))
        self._started.append(process)
        process.line()
        return process

    def listen(self, host: str, port: int, bind: str = "0.0.0.0") -> Process:
        """A TCP listener that answers every connection with a JSON line: its host, what it saw as peer, and its own address.
        It then echoes whatever comes, so that a connection can be kept."""
        return self.start(host, LISTENER, bind, port, host)

    def connect(
        self, host: str, destination: str, port: int, *, count: int = 1, limit: float = 1.0, source: str = ""
    ) -> list[dict[str, Any]]:
        """Connections from a host, all at once.

        Each is {"outcome": answered|refused|silent|…, "port": local port, "hello": the listener's line}.
        """
        return self.python(host, CONNECTOR, destination, port, count, limit, source, limit=limit + 120)

    def wait_for(self, read: Callable[[], Any], what: str, *, limit: float = 120.0, until: Callable[[Any], bool] = bool) -> Any:
        return Deadline(limit).wait_for(read, what=what, every=0.02, until=until)

    def healthy(self) -> list[str]:
        """The nodes that the balancer sends new flows to."""
        return [m["node"] for m in self.ask("status")["balancer"] if m["healthy"]]

    def reason(self, node: str) -> str:
        return next(m["reason"] for m in self.ask("status")["balancer"] if m["node"] == node)

    def wait_healthy(self, *nodes: str, limit: float = 120.0) -> None:
        self.wait_for(self.healthy, f"the balancer calling {nodes or 'nobody'} healthy", limit=limit, until=lambda h: h == list(nodes))

    def events(self) -> list[dict[str, Any]]:
        """The lab's own event record so far."""
        return [json.loads(line) for line in (self.running.record.folder / "events.jsonl").read_text().splitlines()]

    def tidy(self) -> None:
        """End what a test started in the hosts."""
        while self._started:
            self._started.pop().end()

    def down(self) -> None:
        self.tidy()
        for python in self._pythons.values():
            python.close()
        self.running.down()


class Process:
    """A program that a test runs in a host."""

    def __init__(self, program: HostProgram) -> None:
        self._popen = program

    def line(self, *, limit: float = 120.0) -> str:
        """The next line it prints; the program is ended when it takes longer than `limit` seconds."""
        watchdog = threading.Timer(limit, self._popen.kill)
        watchdog.start()
        try:
            text = self._popen.stdout.readline()
        finally:
            watchdog.cancel()
        assert text, f"the program ended: {self._popen.communicate()[1]}"
        return text.strip()

    def json(self, *, limit: float = 120.0) -> Any:
        return json.loads(self.line(limit=limit))

    def say(self, text: str) -> None:
        """Give it a line on its standard input."""
        self._popen.stdin.write(text + "\n")
        self._popen.stdin.flush()

    def end(self) -> None:
        """Close its input, on which it ends."""
        if self._popen.stdin and not self._popen.stdin.closed:
            self._popen.stdin.close()
        try:
            self._popen.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._popen.kill()
        self._popen.stdin = None
        self._popen.communicate()


UP: list[list[Bench]] = []  # the labs of the modules that run now

LISTENER = r"""
import json, os, socket, sys, threading
bind, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind((bind, port)); l.listen(512); print("ready")
def serve(c, peer):
    try:
        c.sendall(json.dumps({"host": name, "peer": peer, "own": c.getsockname()}).encode() + b"\n")
        while data := c.recv(4096): c.sendall(data)
    except OSError: pass
    finally: c.close()
while True:
    c, peer = l.accept(); threading.Thread(target=serve, args=(c, peer), daemon=True).start()
"""

CONNECTOR = r"""
import json, socket, sys, threading
to, port, count, limit, source = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
results = [None] * count
def go(i):
    s = socket.socket(); s.settimeout(limit); r = {"hello": None}
    try:
        s.bind((source, 0)); s.connect((to, port)); r["outcome"] = "answered"
        r["port"] = s.getsockname()[1]; s.settimeout(60)  # what was taken is answered, on a busy machine after more than the limit
        line = s.makefile().readline(); r["hello"] = json.loads(line) if line.startswith("{") else line
    except ConnectionRefusedError: r["outcome"] = "refused"
    except TimeoutError: r["outcome"] = r.get("outcome") or "silent"
    except ConnectionResetError: r["outcome"] = "reset"
    except OSError as e: r["outcome"] = e.strerror
    r.setdefault("port", None); s.close(); results[i] = r
ts = [threading.Thread(target=go, args=(i,)) for i in range(count)]
[t.start() for t in ts]; [t.join() for t in ts]; print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def make_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Bench]]:
    """Bring up a lab's network with these settings laid over the default cluster; it is taken down at the end of the module."""
    made: list[Bench] = []

    def make(design: str = "nat", **over: Any) -> Bench:
        data = default_cluster.cluster_data(overrides=default_cluster.merge_tables({"design": design}, over))
        name = f"test-{os.getpid()}-{tmp_path_factory.mktemp('lab').name}"
        bench = Bench(launch.up(data, name=name, persistent=False, network_only=True), data)
        made.append(bench)
        return bench

    UP.append(made)
    yield make
    UP.remove(made)
    for bench in made:
        bench.down()


@pytest.fixture(autouse=True)
def tidy_hosts() -> Iterator[None]:
    """What a test started in hosts ends with it."""
    yield
    for bench in [b for made in UP for b in made]:
        bench.tidy()


@pytest.fixture(scope="module")
def nat(make_lab: Callable[..., Bench]) -> Bench:
    return make_lab("nat")


@pytest.fixture(scope="module")
def floating(make_lab: Callable[..., Bench]) -> Bench:
    return make_lab("floating")


@pytest.fixture(scope="module", params=["nat", "floating"])
def each_design(request: pytest.FixtureRequest) -> Bench:
    """The lab of either design in turn."""
    return request.getfixturevalue(request.param)
