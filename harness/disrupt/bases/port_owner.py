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


SHARED_PROGRAMS = ("sshd", "systemd", "init", "xinetd", "inetd")  # what they listen on is somebody else's, and everybody's
# The ancestors of the shell that asks: the way by which the harness itself is there.
_ANCESTORS = "p=$$; while [ \"${p:-0}\" -gt 1 ]; do echo $p; p=$(awk '/^PPid:/ { print $2 }' /proc/$p/status); done; true"


def reason_not_to_end(pid: int, port: int, listeners: Iterable[Listener], named_ports: Collection[int], ancestors: Collection[int]) -> str:
    """Why what listens on the port must not be killed or stopped; empty when it may. `named_ports`: those of the cluster file. Pure."""
    of_process = [x for x in listeners if x.pid == pid]
    name = next((x.process for x in of_process if x.process), None) or "a process"
    if pid == 1 or name in SHARED_PROGRAMS:
        return f"{name} ({pid}) listens on port {port} for others; with it everything else that it listens for would go"
    if pid in ancestors:
        return f"{name} ({pid}), which listens on port {port}, is the harness's own way to it"
    if other_ports := sorted({x.port for x in of_process} - set(named_ports)):
        ports = ", ".join(map(str, other_ports))
        return f"{name} ({pid}) listens on port {port} and on {ports}, which the cluster file does not name; those would go with it"
    return ""


def only_listener(node: str, port: int, listeners: Iterable[Listener], *, hint: str = "") -> int:
    """The one process that listens there. Raises Inconclusive, with the hint, when there is none, or more than one."""
    pids = {x.pid for x in listeners if x.port == port and x.pid}
    if len(pids) != 1:
        listening = ", ".join(map(str, sorted(pids))) or "nobody"
        raise Inconclusive(f"{node}: one process should listen on port {port}; {listening} does{hint}")
    return pids.pop()


def known_ports(subject: ClusterUnderTest, port: int) -> set[int]:
    """The ports of the cluster file, and this one: what a process may listen on besides."""
    return {port, subject.cluster.load_balancer.probe.port, *(s.port for s in subject.cluster.services)}


def listener_pid(subject: ClusterUnderTest, node: str, port: int) -> int:
    """The one process that listens there. Raises Inconclusive when there is none, or more than one, or one that serves others too."""
    listeners = subject.facts[node].listeners()
    pid = only_listener(node, port, listeners, hint=" (is the login root or sudo?)")
    ancestors = {int(p) for p in subject.hosts[node].check(_ANCESTORS).split()}
    if why := reason_not_to_end(pid, port, listeners, known_ports(subject, port), ancestors):
        raise Inconclusive(f"{node}: {why}; nothing was done")
    return pid


def run_at_once(subject: ClusterUnderTest, node: str, line: str, deadline: Deadline) -> tuple[Moment, list[str]]:
    """Do something that needs no undoing; when the host did it, and what it printed. Raises CommandFailed when it exits other than 0."""
    script = f"before=$(date +%s.%N)\n{line}\necho moment $before $(date +%s.%N)"
    output = subject.hosts[node].check(as_root(["sh", "-ec", script]), limit=deadline.within(10.0))
    moment = re.search(r"^moment (\S+) (\S+)$", output, re.MULTILINE)
    if moment is None:
        raise Inconclusive(f"{node}: it did not say when it did what it was told; it printed: {output.strip() or 'nothing'}")
    return Moment(node, float(moment[1]), float(moment[2])), output.splitlines()[:-1]


def kill(subject: ClusterUnderTest, node: str, pid: int, deadline: Deadline) -> Moment:
    """SIGKILL."""
    return run_at_once(subject, node, f"kill -KILL {pid:d}", deadline)[0]


def wait_for_end(subject: ClusterUnderTest, node: str, pid: int, deadline: Deadline) -> None:
    """Until the process is gone, or a zombie. Raises DeadlineExceeded."""
    command = ["sh", "-c", f"! kill -0 {pid:d} 2>/dev/null || grep -q '^State:.Z' /proc/{pid:d}/status"]
    deadline.wait_for(
        lambda: subject.hosts[node].run(as_root(command), limit=deadline.within(10.0)).ok, what=f"the end of process {pid} on {node}"
    )
