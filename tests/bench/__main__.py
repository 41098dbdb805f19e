"""`./run bench`: measure what the issue sets bars for, print a table, write reports/bench.json.

Medians, with the load average beside each figure. Not timed tests: machines are noisy, so nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.lab import launch, seed
from harness.run import load_average, write_atomically

ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, object]


def row(what: str, unit: str, values: list[float], bar: str) -> Row:
    """One figure: the median of `values`, their spread, and the load at the time."""
    load = load_average()
    return {
        "what": what,
        "unit": unit,
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
        "runs": len(values),
        "bar": bar,
        "load": load[0] if load else None,
    }


def networks(runs: int) -> Iterator[Row]:
    up, down, whole = [], [], []
    for i in range(runs):
        began = time.monotonic()
        lab = launch.up(seed.cluster_data(), name=f"bench-{os.getpid()}-{i}", persistent=False, network_only=True)
        whole.append(time.monotonic() - began)
        up.append(lab.timings["network_s"] * 1000)
        ended = time.monotonic()
        lab.record.kill()
        down.append((time.monotonic() - ended) * 1000)
        lab.down()
    yield row("lab network up (hosts' namespaces, fabric, 5 legs, balancer)", "ms", up, "50")
    yield row("lab network down (kill to nothing left)", "ms", down, "10")
    yield row("`lab up` of the network alone, as seen by its caller", "s", whole, "")


def clusters(runs: int) -> Iterator[Row]:
    service, whole, switch = [], [], []
    for i in range(runs):
        began = time.monotonic()
        lab = launch.up(seed.cluster_data(), name=f"bench-{os.getpid()}-c{i}", persistent=False)
        whole.append(time.monotonic() - began)
        service.append(lab.timings["in_service_s"])
        for _ in range(20):
            for state in ("down", "none"):
                lab.record.ask("admin", node="lknode01", state=state)
        switch += list(_switches_to_a_node(lab))
        lab.down()
    yield row("whole cluster in service (namespaces to every service answering)", "s", service, "2")
    yield row("the same, as seen by the caller of `lab up` (keys, files and processes included)", "s", whole, "")
    yield row("balancer switch once the verdict is in", "ms", switch, "1")


def _switches_to_a_node(lab: launch.RunningLab) -> Iterator[float]:
    """Milliseconds of every switch that gave new flows to a node (to nobody is cheaper), from the lab's own event record."""
    for line in (lab.record.folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "switch" and event["data"]["members"]:
            yield event["data"]["seconds"] * 1000


def commands(runs: int) -> Iterator[Row]:
    yield row("lkharness --help", "s", [_seconds([sys.executable, "-m", "harness.cli", "--help"]) for _ in range(runs)], "0.3")


def suites() -> Iterator[Row]:
    alone = _suites_at_once(1)
    four = _suites_at_once(4)
    yield row("acceptance suite, one lab", "s", alone, "60")
    yield row("acceptance suite, four labs at once (each)", "s", four, "")
    yield row("four labs at once against one", "×", [max(four) / alone[0]], "2.5")


def _suites_at_once(count: int) -> list[float]:
    """Seconds that each of `count` suites took, run together; all of them must pass."""
    began = time.monotonic()
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "tests/acceptance", "-q"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(count)
    ]
    took = []
    for process in started:
        output, _ = process.communicate()
        took.append(time.monotonic() - began)
        if process.returncode != 0:
            raise SystemExit(f"bench: one of {count} suites at once failed (exit {process.returncode}):\n{output}")
    return took


def _seconds(words: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the whole suites, one and four at once (some 3 minutes)")
    parser.add_argument("--runs", type=int, default=7, help="runs behind each median (default 7)")
    given = parser.parse_args()
    parts: list[Callable[[], Iterator[Row]]] = [lambda: networks(given.runs), lambda: clusters(given.runs), lambda: commands(given.runs)]
    if not given.quick:
        parts.append(suites)
    rows = []
    print(f"{'median':>10} {'':2} {'least':>8} {'most':>8} {'runs':>4} {'load':>5} {'bar':>5}  what", flush=True)
    for part in parts:
        for r in part():
            rows.append(r)
            figures = f"{r['median']:>10} {r['unit']:2} {r['least']:>8} {r['most']:>8} {r['runs']:>4}"
            print(f"{figures} {r['load']:>5.2f} {r['bar']:>5}  {r['what']}", flush=True)
    user = "root" if os.geteuid() == 0 else "ordinary"
    machine = {"platform": platform.platform(), "python": platform.python_version(), "cpus": os.cpu_count(), "user": user}
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    target = ROOT / "reports" / "bench.json"
    write_atomically(target, json.dumps({"at": when, "machine": machine, "rows": rows}, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
