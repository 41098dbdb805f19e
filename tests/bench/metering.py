"""How wrong the meter is, and how wrong the usual ways are, against cuts of known length: all of them at once, on one lab.

The client is cut off by the lab for a known time; every method connects from there to the VIP. How each one's user reads an outage:

ours    as the product does (harness.measure.evaluation.series_outages): from the first failed attempt to the first right one after it
others  from their log, which has a line for each attempt when it ended: the longest time between two lines that say `ok`, one after the
        other, less the time that usually lies between them. Never seen when no line says that it failed and nothing came later than
        twice the usual time: then nobody who reads the log has a reason to stop there.

At 1 ms ours asks for the connection only: how soon a process gets a processor is not the meter's error.
The error is what was read less what was cut, in ms; a method's figures at a cut leave out the cuts that it did not see.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.hosts.host import Host, Process
from harness.hosts.ssh.ssh_host import connect_all
from harness.lab.lifecycle import default_cluster, launch
from harness.measure import calibration
from harness.remote.agents.agent_launch import AgentPlan, AgentSeries
from harness.remote.agents.agent_session import Agent
from harness.remote.recording.recording import NEW, Noise, Series
from tests.bench.rows import Row, row

CUTS_S = (0.05, 0.5, 1.2, 2.5, 5.0)
SHORT_CUTS_S = (0.05, 0.5, 1.2)  # at 1 ms, in a run of its own
OTHERS = {"nc": "nc -w1 once a second", "closed": "closed loop, 5 s timeout, 10 ms gap", "open": "open loop, 1 s period, 5 s timeout"}
NO_NC = "nc is not installed: apt-get install netcat-openbsd"
STEADY = 3  # attempts of each method that must have been right in a row before the next cut
PHASE_S = 1.2  # a cut begins anywhere in the slowest method's period
CALM_S = 30.0
A_SERVICE_ANSWERS_S = 0.005  # below this, the kernel's answer to the connection is measured: a process needs its turn on a processor first


@dataclass(frozen=True)
class Entry:
    """A line of a log."""

    number: int
    at: float
    end: float
    ok: bool


@dataclass(frozen=True)
class Reading:
    """What a method made of a cut, in seconds; None: never seen. `kept`: did the machine let our attempts at both its edges begin in
    time?"""

    cut_s: float
    seen_s: float | None
    kept: bool = True

    @property
    def error_ms(self) -> float | None:
        return None if self.seen_s is None else (self.seen_s - self.cut_s) * 1000


def read_log(entries: Sequence[Entry], begun: float, ended: float) -> float | None:
    """The outage of that time as a log's reader finds it. Pure; see the module's text."""
    oks = sorted(e.end for e in entries if e.ok)
    gaps = [(b - a, a, b) for a, b in pairwise(oks)]
    usual = statistics.median(gap for gap, _, _ in gaps)
    longest = max(gap for gap, a, b in gaps if a < ended and b > begun)
    failed = any(not e.ok and e.at < ended and e.end > begun for e in entries)
    return longest - usual if failed or longest > 2 * usual else None


class Samplers:
    """The other methods at work on a host (samplers.py), and their logs so far."""

    def __init__(self, host: Host, python: str, destination: str, port: int) -> None:
        text = Path(__file__).with_name("samplers.py").read_text()
        self.logs: dict[str, list[Entry]] = {}
        self._process: Process = host.start([python, "-I", "-S", "-c", text, json.dumps({"destination": destination, "port": port})])
        self._lines = self._process.lines()
        told = json.loads(next(self._lines, "{}"))
        self.methods = [m for m in OTHERS if m != "nc" or told.get("nc")]
        self.logs = {method: [] for method in self.methods}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._lines:
            told = json.loads(line)
            self.logs[told["m"]].append(Entry(told["n"], told["at"], told["end"], told["ok"]))

    def calm(self, since: float) -> bool:
        """Has every method been right several times in a row since then, with nothing from before it still under way?"""
        return all(self._calm(list(log), since) for log in self.logs.values())

    @staticmethod
    def _calm(log: list[Entry], since: float) -> bool:
        last = sorted(log, key=lambda e: e.number)[-STEADY:]
        whole = len(log) > 0 and len(log) == max(e.number for e in log) + 1
        return whole and len(last) == STEADY and all(e.ok and e.at > since for e in last)

    def close(self) -> None:
        self._process.close()
        self._thread.join(5)


class Ear(calibration.SampleSink):
    """Keeps our own samples, and how well our ticks were kept."""

    def __init__(self) -> None:
        super().__init__()
        self.noises: list[Noise] = []

    def noise(self, noise: Noise) -> None:
        self.noises.append(noise)


@dataclass
class Client:
    """One lab with its client measuring."""

    lab: launch.RunningLab
    name: str
    series: AgentSeries
    ear: Ear
    others: Samplers | None

    def cut(self, seconds: float) -> dict[str, Reading]:
        """Cut the client off once, at any moment, wait until all has recovered, and read every method."""
        phase = Deadline(random.uniform(0.0, PHASE_S if self.others else 0.2))
        phase.wait_for(lambda: phase.expired, what="a random phase", every=phase.seconds)
        begun, ended = self.lab.known_cut(self.name, seconds)
        self.ear.wait_until_good(0.3, Deadline(CALM_S), since=ended)
        series = Series(self.series.id, self.name, "", NEW, self.series.port, self.series.period_s, self.series.limit_s)
        near = [s for s in self.ear.rows if begun - 1.0 < s.at < ended + 1.0]
        judged = calibration.judge(begun, ended, series, near, "")
        readings = {"ours": Reading(ended - begun, judged.measured_s, judged.sharp)}
        if self.others is not None:
            others = self.others
            Deadline(CALM_S).wait_for(lambda: others.calm(ended), what="every method working again", every=0.1)
            readings |= {m: Reading(ended - begun, read_log(others.logs[m], begun, ended)) for m in others.methods}
        return readings


@contextlib.contextmanager
def measuring(period_s: float, *, others: bool) -> Iterator[Client]:
    """A lab with one service; every method that is asked for measures it from the client, and all are right."""
    data = default_cluster.cluster_data(overrides={"services": default_cluster.DEFAULT_CLUSTER["services"][:1]})
    lab = launch.up(data, name=f"bench-{os.getpid()}-metering", persistent=False)
    with contextlib.ExitStack() as stack:
        stack.callback(lab.down)
        cluster = cluster_config.load(lab.cluster_file)
        host, python = connect_all(cluster)[cluster.client.name], cluster.client.ssh.python
        stack.callback(host.close)
        series, ear = calibration.vip_series(cluster, period_s), Ear()
        if period_s < A_SERVICE_ANSWERS_S:
            series = replace(series, say=b"", expect=b"")
        agent = Agent(host, python, AgentPlan([series], lifetime_s=3600.0), ear)
        agent.start()
        stack.callback(agent.stop)
        ear.wait_until_good(0.3, Deadline(CALM_S))
        samplers = Samplers(host, python, series.destination, series.port) if others else None
        if samplers is not None:
            stack.callback(samplers.close)
            Deadline(CALM_S).wait_for(lambda: samplers.calm(0.0), what="every method being right", every=0.1)
        yield Client(lab, cluster.client.name, series, ear, samplers)


def metering(repeats: int) -> Iterator[Row]:
    """Everything: all methods at once with ours at 10 ms, then ours alone at 1 ms."""
    yield from _compared(0.01, CUTS_S, repeats, others=True, bar_ms=11.0)
    yield from _compared(0.001, SHORT_CUTS_S, repeats, others=False, bar_ms=2.0)


def _compared(period_s: float, cuts: Sequence[float], repeats: int, *, others: bool, bar_ms: float) -> Iterator[Row]:
    ours = f"ours, every {period_s * 1000:g} ms"
    every: list[Reading] = []
    with measuring(period_s, others=others) as client:
        for cut in cuts:
            readings = _cuts(client, cut, repeats)
            every += (own := [r["ours"] for r in readings])
            yield _row(ours, cut, own, bar=f"{bar_ms:g}")
            for method, name in OTHERS.items() if others else ():
                found = [r[method] for r in readings if method in r]
                yield _row(name, cut, found, **({} if found else {"note": NO_NC}))
        noises = client.ear.noises
    yield from _whole(ours, period_s, every, bar_ms)
    ticks, late = sum(n.ticks for n in noises), sum(n.late_ticks for n in noises)
    yield row(f"{ours}: ticks that were late, of {ticks}", "%", [100 * late / max(1, ticks)], "2", worst_late_ms=_worst_late(noises))


def _cuts(client: Client, seconds: float, wanted: int) -> list[dict[str, Reading]]:
    """As many cuts as are needed for `wanted` ones in which the machine did not pause at an edge; twice as many at most. All are told."""
    readings: list[dict[str, Reading]] = []
    while sum(r["ours"].kept for r in readings) < wanted and len(readings) < 2 * wanted:
        readings.append(client.cut(seconds))
    return readings


def _whole(ours: str, period_s: float, every: Sequence[Reading], bar_ms: float) -> Iterator[Row]:
    """Over all cuts; and over those around which the machine let every attempt begin in time, so that the figure is the meter's own."""
    kept = [r for r in every if r.kept]
    for what, readings in ((f"{len(every)} cuts", every), (f"the {len(kept)} cuts at whose edges every tick was kept", kept)):
        errors = [abs(r.error_ms) / 1000 / period_s for r in readings if r.error_ms is not None]
        within = sum(error <= bar_ms / 1000 / period_s for error in errors)
        told = f"{ours}: worst error over {what} ({within} within the bar)"
        yield row(told, "periods", [max(errors)] if errors else [], f"{bar_ms / period_s / 1000:g}", within=within, of=len(readings))
    unseen = sum(r.seen_s is None for r in every)
    yield row(f"{ours}: cuts never seen, of {len(every)}", "", [unseen], "0")


def _worst_late(noises: Sequence[Noise]) -> float:
    return round(1000 * max((n.worst_late_s for n in noises), default=0.0), 3)


def _row(method: str, cut: float, readings: Sequence[Reading], **more: str) -> Row:
    """`worst` is the error that is furthest from nothing; `unseen` counts the cuts that the method did not notice."""
    errors = [r.error_ms for r in readings if r.error_ms is not None]
    unseen = len(readings) - len(errors)
    told = f"{method}: error at a cut of {cut:g} s" + (f" ({unseen} of {len(readings)} never seen)" if unseen else "")
    worst = round(max(errors, key=abs), 3) if errors else None
    return row(told, "ms", errors, method=method, cut_s=cut, worst=worst, unseen=unseen, of=len(readings), **more)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as a table, method by cut: median error, the worst one, and how many cuts were never seen. Nothing without such rows."""
    found = {(r["method"], r["cut_s"]): r for r in rows if "method" in r}
    if not found:
        return
    cuts = sorted({cut for _, cut in found})
    methods = list(dict.fromkeys(method for method, _ in found))
    width = max(map(len, methods))
    yield f"{'error in ms: median / worst, (cuts never seen)':{width}} " + " ".join(f"{f'{cut:g} s':>24}" for cut in cuts)
    for method in methods:
        yield f"{method:{width}} " + " ".join(f"{_cell(found.get((method, cut))):>24}" for cut in cuts)


def _cell(r: Row | None) -> str:
    if r is None or not r["of"]:
        return "-"
    unseen = f" ({r['unseen']} of {r['of']})" if r["unseen"] else ""
    return f"{r['median']:+.1f} / {r['worst']:+.1f}{unseen}" if r["runs"] else f"never seen ({r['of']})"
