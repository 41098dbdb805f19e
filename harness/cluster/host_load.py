"""Is a host overloaded? The control of a question that was not answered in time: a slow machine and a service that hangs look the same."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import DeadlineExceeded, HarnessError

MAX_LOAD_PER_CPU = 3.0  # processes that run or wait to, over the last minute, for each processor
MAX_WAITING_SHARE = 80.0  # percent of the last 10 s in which something waited for a processor
USUAL_COMMAND_S = 1.0  # a process of its own on that host, as a log-in needs one; tens of milliseconds where nothing is overloaded
COMMAND_TIMEOUT_S = 5.0
LOOK = "cat /proc/loadavg; grep -c ^processor /proc/cpuinfo; cat /proc/pressure/cpu 2>/dev/null; true"


def overload(subject: ClusterUnderTest, *names: str) -> str:
    """In words, which of these hosts, or the machine that asks, is overloaded and by what; "" where none is known to be."""
    linux_hosts = [n for n in dict.fromkeys(names) if n not in subject.absent and subject.machine(n).platform == "linux"]
    sentences = subject.together(*(lambda n=n: _of_host(subject, n) for n in linux_hosts if subject.runs_commands(n)))
    return "; ".join(filter(None, [*sentences, judged("this machine, which asks,", _own_load(), 0.0)]))


def judged(name: str, load_text: str, seconds: float) -> str:
    """By what LOOK printed on a host and how long that took. Pure; no text makes it raise."""
    load, cpus = re.match(r"(\d{1,6}\.\d+) ", load_text), re.search(r"(?m)^(\d{1,5})$", load_text)
    waiting_share = re.search(r"(?m)^some avg10=(\d{1,3}\.\d+) ", load_text)
    number = max(1, int(cpus[1])) if cpus else 1
    per_cpu = float(load[1]) / number if load and cpus else 0.0
    reasons = []
    if waiting_share:  # it decides: a load counts processes that wait for a dead disk as well, and theirs is a service that hangs
        if float(waiting_share[1]) > MAX_WAITING_SHARE and per_cpu > 1.0:
            reasons.append(f"had processes that waited for a processor in {float(waiting_share[1]):.0f} % of the last 10 s")
    elif load and per_cpu > MAX_LOAD_PER_CPU:
        reasons.append(f"has a load of {load[1]} on {number} processors")
    if seconds > USUAL_COMMAND_S:
        reasons.append(f"took {seconds:.1f} s to run a command")
    return f"{name} {' and '.join(reasons)}" if reasons else ""


def _of_host(subject: ClusterUnderTest, name: str) -> str:
    started_at = time.monotonic()
    try:
        load_text = subject.hosts[name].run(LOOK, limit=COMMAND_TIMEOUT_S).out
    except DeadlineExceeded:
        load_text = ""
    except HarnessError as error:
        return f"{name} did not tell its load: {error}"
    return judged(name, load_text, time.monotonic() - started_at)


def _own_load() -> str:
    """The machine that the harness runs on, as LOOK tells a host's; nothing where its kernel tells no load."""
    if not hasattr(os, "getloadavg"):
        return ""
    pressure = Path("/proc/pressure/cpu")
    pressure_text = pressure.read_text() if pressure.exists() else ""
    return f"{os.getloadavg()[0]:.2f} \n{os.cpu_count() or 1}\n{pressure_text}"
