"""Two real nodes in namespaces of their own, joined by two bridges, with the stand-in installed; for its tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness.core.deadline import Deadline
from harness.lab.lifekeeper.install import install
from tests.lab.lifekeeper_disk import Controller

HERE = Path(__file__).parent
NODES = {"lknode01": ("10.20.1.11", "10.20.2.11"), "lknode02": ("10.20.1.12", "10.20.2.12")}
FAST = {"LCMHBEATTIME": 0.1, "LCMNUMHBEATS": 7, "LKCHECKINTERVAL": 0.2, "HC_TIMEOUT": 3, "NOBCASTPING": 1}
TOP, IP, LBHC, DISK = "cluster-services", "ip-10.20.1.200", "lbhc-12345", "disk-shared"
SERVICES = ("listener-1521", "pgsql-5432", "http-80")
LIMIT = 120.0  # seconds for anything to happen; never reached unless it is broken
ROW = re.compile(
    r"^(?P<col1>\S+)\s+(?P<indent>[|\-\u2014 ]*)(?P<tag>[^|\s]\S*)\s+(?P<id>.*?)\s+(?P<state>ISP|ISU|OSU|OSF|ILLSTATE)"
    r"\s+(?P<prio>\d+)\s+(?P<primary>\S+)\s*$"
)
COMM = re.compile(r"^(?P<machine>\S+)\s+(?P<type>TCP|TTY|DISK)\s+(?P<addr>\S+)\s+(?P<state>ALIVE|DEAD)\s+(?P<prio>\d+|--)\s*$")


def space(*argv: str, unshare: tuple[str, ...]) -> subprocess.Popen[str]:
    """A first process in namespaces of its own; says one line once it is up."""
    words = ["unshare", "--kill-child", "--fork", *unshare, sys.executable, "-IS", *argv]
    # unshare complains about its signal mask when what it waits for is killed, which tests do.
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def inner_pid(process: subprocess.Popen[str]) -> int:
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def end(process: subprocess.Popen) -> None:
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
    process.wait(LIMIT)


class Node:
    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.base = cluster.base / name
        self.process: subprocess.Popen[str] | None = None
        self.base.mkdir()

    # power
    def boot(self) -> None:
        self.process = space(str(HERE / "lifekeeper_pid1.py"), unshare=("--mount", "--pid", "--net", "--uts", "--mount-proc"))
        self.pid = inner_pid(self.process)
        world, number = self.cluster.world_pid, self.name[-1]
        old = {f"n{number}e{i}" for i in (0, 1)}  # the kernel takes them away with a crashed node's namespace, some time later
        Deadline(LIMIT).wait_for(lambda: not self.cluster.links() & old, what=f"the old links of {self.name} being gone", every=0.02)
        lines = []
        for i in (0, 1):
            mac = f"02:00:00:00:0{number}:0{i}"  # as before a crash, so that no neighbour has to find out that it changed
            lines += [f"link add n{number}e{i} type veth peer name eth{i} address {mac} netns {self.pid}"]
            lines += [f"link set n{number}e{i} master br{i} up"]
        subprocess.run(["nsenter", "-t", str(world), "-n", "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        lines = [f"addr add {a}/24 dev eth{i}\nlink set eth{i} up" for i, a in enumerate(NODES[self.name])]
        subprocess.run([*self.enter, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)

    def crash(self) -> None:
        """Power loss: every process of the node dies at once and its links are gone."""
        assert self.process is not None
        os.kill(self.pid, signal.SIGKILL)
        end(self.process)
        self.process = None

    @property
    def enter(self) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-u"]

    # commands
    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A plain command in the node."""
        return subprocess.run([*self.enter, *words], capture_output=True, text=True, timeout=LIMIT)

    def lk(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        """One of the stand-in's commands, as over SSH: by full path."""
        return self.run(str(self.cluster.base / "LifeKeeper" / "bin" / command), *words)

    def begin(self, command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.enter, str(self.cluster.base / "LifeKeeper" / "bin" / command)])

    def starts(self) -> None:
        done = self.lk("lkstart")
        assert done.returncode == 0, done.stderr

    # what can be seen
    def states(self) -> dict[str, str]:
        rows = [m for line in self.lk("lcdstatus", "-q").stdout.splitlines() if (m := ROW.match(line))]
        return {m["tag"]: m["state"] for m in rows}

    def paths(self) -> list[str]:
        return [m["state"] for line in self.lk("lcdstatus", "-q").stdout.splitlines() if (m := COMM.match(line))]

    def stored(self) -> dict[str, str]:
        """The states as the node keeps them on disk: what tests wait on, because a command costs 30 ms of this machine."""
        path = self.base / "state" / "state.json"
        return json.loads(path.read_text())["states"] if path.exists() else {}

    def journalled_paths(self) -> list[str]:
        """The last state of each path, best priority first, as the journal has it."""
        last = {event["priority"]: event["state"] for event in self.journal() if event["kind"] == "path"}
        return [last[priority] for priority in sorted(last)]

    def all(self, state: str) -> bool:
        states = self.states()
        return bool(states) and set(states.values()) == {state}

    def has_vip(self) -> bool:
        return "10.20.1.200/32" in self.run("ip", "-o", "-4", "addr", "show", "dev", "eth1").stdout.replace("200 ", "200/32 ")

    def service_pid(self, tag: str) -> str:
        return self.run("cat", f"/run/{tag}.pid").stdout.strip()

    def log(self) -> str:
        return (self.base / "lifekeeper.log").read_text()

    def journal(self) -> list[dict]:
        path = self.base / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def configure(self, **changes: object) -> None:
        config = structure(self, self.cluster)
        for key, value in changes.items():
            config[key] = value
        (self.base / "config.json").write_text(json.dumps(config))


class Cluster:
    """`node1` is home."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.disk = Controller(base / "disk.sock")
        (base / "disk").mkdir()
        self.tunables(**FAST)
        self.world = space("-c", "import sys; print('ready', flush=True); sys.stdin.read()", unshare=("--net",))
        self.world_pid = inner_pid(self.world)
        setup = "".join(f"link add br{i} type bridge\naddr add 10.20.{i + 1}.4/24 dev br{i}\nlink set br{i} up\n" for i in (0, 1))
        subprocess.run(["nsenter", "-t", str(self.world_pid), "-n", "ip", "-batch", "-"], input=setup, text=True, check=True)
        self.prober: subprocess.Popen | None = None
        self.node1, self.node2 = Node(self, "lknode01"), Node(self, "lknode02")
        install(base / "LifeKeeper", sys.executable, config=Path("/run/config.json"))
        for node in (self.node1, self.node2):
            node.configure()
            self.boot(node)

    def links(self) -> set[str]:
        """The names of the links between the nodes."""
        words = ["nsenter", "-t", str(self.world_pid), "-n", "ip", "-json", "link"]
        return {link["ifname"] for link in json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)}

    def boot(self, node: Node) -> None:
        node.boot()
        node.run("ln", "-s", str(node.base / "config.json"), "/run/config.json")

    def tunables(self, **values: object) -> None:
        (self.base / "LifeKeeper.default").write_text("".join(f"{k}={v}\n" for k, v in values.items()))

    def probe(self, *names: str) -> None:
        """Have the prober try these nodes from now on; none: silence."""
        if self.prober:
            end(self.prober)
        targets = [f"{NODES[name][0]}:12345" for name in names]
        words = ["nsenter", "-t", str(self.world_pid), "-n", sys.executable, "-IS", str(HERE / "lifekeeper_prober.py"), "0.05", *targets]
        self.prober = subprocess.Popen(words, stdin=subprocess.PIPE, text=True)

    def cut(self, node: Node, *subnets: int) -> None:
        """The node's links go silent in these subnets (the NIC itself stays up)."""
        self._links(node, subnets, "nomaster")

    def mend(self, node: Node, *subnets: int) -> None:
        for i in subnets:
            self._links(node, (i,), f"master br{i}")

    def _links(self, node: Node, subnets: tuple[int, ...], what: str) -> None:
        for i in subnets:
            subprocess.run(
                ["nsenter", "-t", str(self.world_pid), "-n", "ip", "link", "set", f"n{node.name[-1]}e{i}", *what.split()], check=True
            )

    def whole(self) -> None:
        """Both started, everything in service on node1, both paths ALIVE."""
        self.probe(*NODES)
        starting = [node.begin("lkstart") for node in (self.node1, self.node2)]
        assert [process.wait(LIMIT) for process in starting] == [0, 0]
        eventually(lambda: (self.node1.stored(), self.node2.stored()), active_and_standby, "everything on lknode01")
        eventually(
            lambda: self.node1.journalled_paths() + self.node2.journalled_paths(), lambda seen: seen == ["ALIVE"] * 4, "all paths ALIVE"
        )

    def close(self) -> None:
        for node in (self.node1, self.node2):
            if node.process:
                node.crash()
        if self.prober:
            end(self.prober)
        end(self.world)
        self.disk.close()


def structure(node: Node, cluster: Cluster) -> dict:
    """The structure of the lab: one root, three services, a shared IP and health check, a disk below the database."""
    name, (one, two) = node.name, NODES[node.name]
    peer = next(n for n in NODES if n != name)
    priority = {"lknode01": 1, "lknode02": 10}
    shared = [IP, LBHC]

    def resource(
        tag: str, kind: str, children: list[str], id: str | None = None, app: str = "gen", type: str = "app", **parameters: object
    ) -> dict:
        about = {"tag": tag, "id": id or tag, "app": app, "type": type, "kind": kind}
        return about | {"priority": priority, "children": children, "parameters": parameters}

    return {
        "node": name,
        "peer": peer,
        "home": "lknode01",
        "comm_paths": [{"local": one, "peer": NODES[peer][0], "priority": 1}, {"local": two, "peer": NODES[peer][1], "priority": 2}],
        "resources": [
            resource(TOP, "group", list(SERVICES)),
            *(resource(tag, "gen", shared + [DISK] * (tag == "pgsql-5432"), **scripts(tag)) for tag in SERVICES),
            resource(IP, "ip", [], "IP-10.20.1.200", "comm", "ip", address="10.20.1.200", prefix=32, nic="eth1"),
            resource(LBHC, "lbhc", [], port=12345),
            resource(
                DISK, "disk", [], storage=str(cluster.base / "disk.sock"), source=str(cluster.base / "disk"), mountpoint="/run/shared-disk"
            ),
        ],
        "directories": {
            "state": str(node.base / "state"),
            "log": str(node.base / "lifekeeper.log"),
            "journal": str(node.base / "journal.jsonl"),
            "tunables": str(cluster.base / "LifeKeeper.default"),
        },
        "halt_command": ["sh", "-c", f"echo halted >> {node.base}/halted; kill -9 -1"],
        "timers": {"start_contact_extra_s": 0.5, "peer_action_wait_s": 3, "action_wait_s": 10},
    }


def scripts(tag: str) -> dict[str, object]:
    """A service is a sleeping process; where /run/TAG.broken exists it can neither be started nor recovered."""
    pid = f"/run/{tag}.pid"
    alive = f"kill -0 $(cat {pid} 2>/dev/null) 2>/dev/null"
    start = f"test ! -e /run/{tag}.broken || exit 1; {alive} || {{ setsid sleep 3600 & echo $! > {pid}; }}"
    stop = f"test ! -e /run/{tag}.stuck || exit 1; {alive} && kill -9 $(cat {pid}); rm -f {pid}"
    commands = {"restore": start, "remove": stop, "quickCheck": f"test ! -e /run/{tag}.slow || exec sleep 60; {alive}", "recover": start}
    return {name: ["sh", "-c", line] for name, line in commands.items()} | {"limits": {"quickCheck": 0.5}}


def active_and_standby(seen: object) -> bool:
    """Of the states of two nodes: everything ISP on the first, OSU on the second (LKL-17)."""
    first, second = seen  # type: ignore[misc]
    return set(first.values()) == {"ISP"} and set(second.values()) == {"OSU"}


def eventually(read: Callable[[], object], until: Callable[[object], bool], what: str) -> object:
    return Deadline(LIMIT).wait_for(read, what=what, every=0.02, until=until)
