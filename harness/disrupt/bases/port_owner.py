"""Which process listens on a port, and doing something to it at a moment that its host tells."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.disrupt.disruption import Moment
from harness.hosts.linux.linux_parse import Listener
from harness.hosts.root_rights import as_root

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest

# `start PID`: the state and the start time of a process; the two together with the pid name it for ever (facts: pids are used again).
START = 'start() { s=$(cat /proc/$1/stat 2>/dev/null) || return 1; s=${s##*) }; set -- $s; echo "$1 ${20}"; }\n'


MANY = ("sshd", "systemd", "init", "xinetd", "inetd")  # what they listen on is somebody else's, and everybody's
# The ancestors of the shell that asks: the way by which the harness itself is there.
_ANCESTORS = "p=$$; while [ \"${p:-0}\" -gt 1 ]; do echo $p; p=$(awk '/^PPid:/ { print $2 }' /proc/$p/status); done; true"


def against(pid: int, port: int, listeners: Iterable[Listener], known: Collection[int], ancestors: Collection[int]) -> str:
    """Why what listens on the port must not be killed or stopped; empty when it may. `known`: the ports of the cluster file. Pure."""
    its = [x for x in listeners if x.pid == pid]
    name = next((x.process for x in its if x.process), None) or "a process"
    if pid == 1 or name in MANY:
        return f"{name} ({pid}) listens on port {port} for others; with it everything else that it listens for would go"
    if pid in ancestors:
        return f"{name} ({pid}), which listens on port {port}, is the harness's own way to it"
    if besides := sorted({x.port for x in its} - set(known)):
        ports = ", ".join(map(str, besides))
        return f"{name} ({pid}) listens on port {port} and on {ports}, which the cluster file does not name; those would go with it"
    return ""


def only_listener(node: str, port: int, listeners: Iterable[Listener], *, hint: str = "") -> int:
    """The one process that listens there. Raises Inconclusive, with the hint, when there is none, or more than one."""
    pids = {x.pid for x in listeners if x.port == port and x.pid}
    if len(pids) != 1:
        found = ", ".join(map(str, sorted(pids))) or "nobody"
        raise Inconclusive(f"{node}: one process should listen on port {port}; {found} does{hint}")
    return pids.pop()


def known_ports(subject: ClusterUnderTest, port: int) -> set[int]:
    """The ports of the cluster file, and this one: what a process may listen on besides."""
    return {port, subject.cluster.load_balancer.probe.port, *(s.port for s in subject.cluster.services)}


def listener_pid(subject: ClusterUnderTest, node: str, port: int) -> int:
    """The one process that listens there. Raises Inconclusive when there is none, or more than one, or one that serves others too."""
    listeners = subject.facts[node].listeners()
    pid = only_listener(node, port, listeners, hint=" (is the login root or sudo?)")
    ancestors = {int(p) for p in subject.hosts[node].check(_ANCESTORS).split()}
    if why := against(pid, port, listeners, known_ports(subject, port), ancestors):
        raise Inconclusive(f"{node}: {why}; nothing was done")
    return pid


def at_once(subject: ClusterUnderTest, node: str, line: str, deadline: Deadline) -> tuple[Moment, list[str]]:
    """Do something that needs no undoing; when the host did it, and what it printed. Raises CommandFailed when it exits other than 0."""
    asked = f"before=$(date +%s.%N)\n{line}\necho moment $before $(date +%s.%N)"
    said = subject.hosts[node].check(as_root(["sh", "-ec", asked]), limit=deadline.within(10.0))
    told = re.search(r"^moment (\S+) (\S+)$", said, re.MULTILINE)
    if told is None:
        raise Inconclusive(f"{node}: it did not say when it did what it was told; it printed: {said.strip() or 'nothing'}")
    return Moment(node, float(told[1]), float(told[2])), said.splitlines()[:-1]


def kill(subject: ClusterUnderTest, node: str, pid: int, deadline: Deadline) -> Moment:
    """SIGKILL."""
    return at_once(subject, node, f"kill -KILL {pid:d}", deadline)[0]


def wait_for_end(subject: ClusterUnderTest, node: str, pid: int, deadline: Deadline) -> None:
    """Until the process is gone, or a zombie. Raises DeadlineExceeded."""
    gone = ["sh", "-c", f"! kill -0 {pid:d} 2>/dev/null || grep -q '^State:.Z' /proc/{pid:d}/status"]
    deadline.wait_for(
        lambda: subject.hosts[node].run(as_root(gone), limit=deadline.within(10.0)).ok, what=f"the end of process {pid} on {node}"
    )
