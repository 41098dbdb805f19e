"""What the flight recorder costs at its low rate, and what it keeps of a cut: the figures that are told before one is started."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from harness.core.deadline import Deadline
from harness.core.time_span import DAY_S
from harness.hosts.local_host import LocalHost
from harness.recorder.incident_files import HostIncident, incident
from harness.remote.agents.agent_launch import AgentSeries, AgentWatch
from harness.remote.agents.recorder_link import RecorderLink, RecorderOptions, RecorderPlan
from tests.bench.agent import SERVER
from tests.bench.rows import Row, row

PERIODS_S = {"first": 0.1, "second": 0.25, "third": 0.25}  # of a client's three services: 18 connections a second
FAST_S = 0.01
CUT_S = 0.3
KEPT_BEFORE_S = 30.0
LIMIT_S = 300.0


def recorder(soak_s: float) -> Iterator[Row]:
    """One recorder of three services for `soak_s` seconds, and then a cut of the first. Sizes are told for a day."""
    with tempfile.TemporaryDirectory(prefix="lkharness-bench-") as folder:
        server = subprocess.Popen([sys.executable, "-c", SERVER, "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert server.stdin is not None and server.stdout is not None
        port = int(server.stdout.readline())
        host, name = LocalHost("here"), "lkharness-agent-recorder-bench"
        link = RecorderLink(host, sys.executable, name, (folder,))
        series = [AgentSeries(id, "127.0.0.1", port, period_s=p, say=b"x", expect=rb"\AS") for id, p in PERIODS_S.items()]
        watch = AgentWatch(vip="127.0.0.1", ports=(port,), every_s=0.25)
        options = RecorderOptions(free=0, tell=min(600.0, soak_s / 6))
        fast = {**PERIODS_S, "first": FAST_S}
        try:
            link.install(RecorderPlan(series, watch, fast, time.time() + soak_s + LIMIT_S, options=options))
            _pass(soak_s)
            rss_mb = _rss_mb(folder)
            status = link.status() or {}
            last = status["last"]
            told_s = last["up_s"]
            yield row("recorder, 18 connections a second: of one core", "%", [100 * last["cpu_s"] / told_s], "1", soak_s=soak_s)
            yield row("recorder: memory of its processes", "MB", [rss_mb], "", soak_s=soak_s)
            lines, journal_bytes = soak_s / options.tell, (Path(folder) / name / "journal").stat().st_size
            per_day = journal_bytes / max(1.0, lines) * DAY_S / RecorderOptions().tell
            bound = (RecorderOptions().kept + 2 * RecorderOptions().journal) / 1e6
            yield row("recorder: its journal after a quiet day", "MB", [per_day / 1e6], "20")
            yield row("recorder: the most that it may take on a disk, incidents included", "MB", [bound], "20")
            server.stdin.write(f"{CUT_S}\n")
            server.stdin.flush()
            began, ended = map(float, server.stdout.readline().split())
            cut = time.time() - (time.monotonic() - began)
            rows = _kept(link, cut).samples["first"]
            failed = [r.at for r in rows if r.outcome != "answered"]
            between = statistics.median(b - a for a, b in pairwise(failed))
            yield row(f"recorder: a cut of {ended - began:.2f} s, between attempts in it", "ms", [1000 * between], "10")
            if soak_s > KEPT_BEFORE_S:
                yield row("recorder: what was before that cut", "s", [cut - rows[0].at], f"{KEPT_BEFORE_S:g}")
        finally:
            link.remove()
            host.close()
            server.kill()
            server.communicate()


def _kept(link: RecorderLink, since: float) -> HostIncident:
    """The incident that began after `since`, in seconds since 1970, once it is over."""

    def look() -> HostIncident | None:
        for one in (link.status() or {"incidents": []})["incidents"]:
            if one["ended"] is not None:
                kept = incident("here", one["name"], link.fetch(one["name"]))
                if kept is not None and kept.triggered > since:
                    return kept
        return None

    kept = Deadline(LIMIT_S).wait_for(look, what="the incident being over", every=2.0)
    assert kept is not None
    return kept


def _pass(seconds: float) -> None:
    threading.Event().wait(seconds)


def _rss_mb(folder: str) -> float:
    """Of all processes that have the recorder's folder in their words."""
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if folder.encode() in (place / "cmdline").read_bytes():
                line = next(x for x in (place / "status").read_text().splitlines() if x.startswith("VmRSS"))
                total += int(line.split()[1])
        except (OSError, StopIteration):
            continue
    return total / 1024
