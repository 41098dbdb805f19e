"""Which process listens on a port, and doing something to it at a moment that its host tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.deadline import Deadline
from harness.disrupt.base import Moment
from harness.errors import Inconclusive

if TYPE_CHECKING:
    from harness.subject import Subject

# `start PID`: the state and the start time of a process; the two together with the pid name it for ever (facts: pids are used again).
START = 'start() { s=$(cat /proc/$1/stat 2>/dev/null) || return 1; s=${s##*) }; set -- $s; echo "$1 ${20}"; }\n'


def listener_pid(subject: Subject, node: str, port: int) -> int:
    """The one process that listens there. Raises Inconclusive when there is none, or more than one."""
    pids = {x.pid for x in subject.facts[node].listeners() if x.port == port and x.pid}
    if len(pids) != 1:
        found = ", ".join(map(str, sorted(pids))) or "nobody"
        raise Inconclusive(f"{node}: one process should listen on port {port}; {found} does (is the login root or sudo?)")
    return pids.pop()


def at_once(subject: Subject, node: str, line: str, deadline: Deadline) -> tuple[Moment, list[str]]:
    """Do something that needs no undoing; when the host did it, and what it printed. Raises CommandFailed when it exits other than 0."""
    asked = f"before=$(date +%s.%N)\n{line}\necho moment $before $(date +%s.%N)"
    said = subject.hosts[node].check(["sh", "-ec", asked], limit=deadline.within(10.0))
    told = re.search(r"^moment (\S+) (\S+)$", said, re.MULTILINE)
    if told is None:
        raise Inconclusive(f"{node}: it did not say when it did what it was told; it printed: {said.strip() or 'nothing'}")
    return Moment(node, float(told[1]), float(told[2])), said.splitlines()[:-1]


def kill(subject: Subject, node: str, pid: int, deadline: Deadline) -> Moment:
    """SIGKILL."""
    return at_once(subject, node, f"kill -KILL {pid:d}", deadline)[0]


def wait_for_end(subject: Subject, node: str, pid: int, deadline: Deadline) -> None:
    """Until the process is gone, or a zombie. Raises DeadlineExceeded."""
    gone = ["sh", "-c", f"! kill -0 {pid:d} 2>/dev/null || grep -q '^State:.Z' /proc/{pid:d}/status"]
    deadline.wait_for(lambda: subject.hosts[node].run(gone, limit=deadline.within(10.0)).ok, what=f"the end of process {pid} on {node}")
