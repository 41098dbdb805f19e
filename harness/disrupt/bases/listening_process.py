"""Which process listens on a port, and doing something to it at a moment that its host tells.

A process id is a number that another process may have by the time that it is used; so the host itself, in the command that does it, asks
whether the process is still the one that was looked at and still listens, whether the lease is this run's, and whether its role is the
same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.disrupt.disruption import Disruption, Moment
from harness.disrupt.lease_and_role_check import with_permission_checks
from harness.hosts.deadman.deadman_switch import moment_of
from harness.hosts.linux.linux_host import TOOLS
from harness.hosts.linux.linux_parse import Listener
from harness.hosts.root_rights import as_root

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest

# `start PID`: the state and the start time of a process; the two together with the pid name it for ever (facts: pids are used again).
# It fails where there is no such process.
START = 'start() { s=$(cat /proc/$1/stat 2>/dev/null) || return 1; s=${s##*) }; set -- $s; echo "$1 ${20}"; }\n'


SHARED_PROGRAMS = ("sshd", "systemd", "init", "xinetd", "inetd")  # what they listen on is somebody else's, and everybody's
# The start time of a process, empty where there is none; then the ancestors of the shell that asks: the way by which the harness itself is
# there.
_ASK_PROCESS = """set -- $(start {pid}); echo "started $2"
p=$$; while [ "${{p:-0}}" -gt 1 ]; do echo $p; p=$(awk '/^PPid:/ {{ print $2 }}' /proc/$p/status); done; true"""
_DEMAND_SAME = """refuse() {{ echo "$*; nothing was done" >&2; exit 1; }}
set -- $(start {pid})
[ "$2" = {started} ] || refuse "process {pid}, which listened on port {port}, is gone, and another may have its number"
ss -Hltnp "sport = :{port}" | grep -q 'pid={pid},' || refuse "process {pid} does not listen on port {port} any more"
"""


class ListeningProcess(NamedTuple):
    """A process that listens on a port; with its start time (clock ticks since the host booted) the number names it for ever."""

    pid: int
    started: str
    port: int

    def demand_same(self) -> str:
        """Shell that exits with a reason where it is not that process any more, or does not listen there. As root, after START."""
        return _DEMAND_SAME.format(pid=self.pid, started=self.started, port=self.port)


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


def listener_process(subject: ClusterUnderTest, node: str, port: int) -> ListeningProcess:
    """The one process that listens there. Raises Inconclusive when there is none, or more than one, or one that serves others too."""
    listeners = subject.facts[node].listeners()
    pid = only_listener(node, port, listeners, hint=" (is the login root or sudo?)")
    first_line, *rest = subject.hosts[node].check(START + _ASK_PROCESS.format(pid=pid)).splitlines() or [""]
    started = first_line.removeprefix("started").strip()
    if not (started.isascii() and started.isdigit()):
        raise Inconclusive(f"{node}: when process {pid}, which listens on port {port}, started could not be told; nothing was done")
    if why := reason_not_to_end(pid, port, listeners, known_ports(subject, port), {int(p) for p in rest if p.isascii() and p.isdigit()}):
        raise Inconclusive(f"{node}: {why}; nothing was done")
    return ListeningProcess(pid, started, port)


def run_at_once(subject: ClusterUnderTest, disruption: Disruption, line: str, deadline: Deadline) -> tuple[Moment, list[str]]:
    """Do something that needs no undoing to the disruption's target, if the host grants it; when the host did it, and what it printed.

    `line` exits by itself where it fails. Raises CommandFailed when it does, or when lease or role are not as they were, Inconclusive.
    """
    node = disruption.target()
    act = f'before=$(date +%s.%N)\n{line}\necho "moment $before $(date +%s.%N)"'
    script = f"export {TOOLS.strip()}\n{with_permission_checks(subject, disruption, act)}"
    output = subject.hosts[node].check(as_root(["sh", "-c", script]), limit=deadline.within(10.0))
    moment = moment_of(output)
    if moment is None:
        raise Inconclusive(f"{node}: it did not say when it did what it was told; it printed: {output.strip() or 'nothing'}")
    return Moment(node, *moment), [said for said in output.splitlines() if not said.startswith("moment ")]


def kill_line(process: ListeningProcess) -> str:
    """SIGKILL, if it is still that process. Shell, as root."""
    return f"{START}{process.demand_same()}kill -KILL {process.pid:d} || exit 1"


def kill(subject: ClusterUnderTest, disruption: Disruption, process: ListeningProcess, deadline: Deadline) -> Moment:
    """SIGKILL to a process of the disruption's target. Raises CommandFailed where it is not that process any more."""
    return run_at_once(subject, disruption, kill_line(process), deadline)[0]


def wait_for_end(subject: ClusterUnderTest, node: str, pid: int, deadline: Deadline) -> None:
    """Until the process is gone, or a zombie. Raises DeadlineExceeded."""
    command = ["sh", "-c", f"! kill -0 {pid:d} 2>/dev/null || grep -q '^State:.Z' /proc/{pid:d}/status"]
    deadline.wait_for(
        lambda: subject.hosts[node].run(as_root(command), limit=deadline.within(10.0)).ok, what=f"the end of process {pid} on {node}"
    )
