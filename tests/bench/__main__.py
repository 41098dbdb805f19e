"""`./run bench`: measure, print a table with the bars that were set (guests of other kinds are not among it), write reports/bench.json.

Medians, with the load average beside each figure. Not timed tests: machines are noisy, so nothing here passes or fails.
Parts that are not run keep their rows in the file, and so do those of root for an ordinary user, and the other way round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from harness.core.files import write_atomically
from harness.lab.lifecycle import default_cluster, launch
from tests.bench import agent, fleet, metering, pages, recorder
from tests.bench.rows import HEAD, Row, line, row, user

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "reports" / "bench.json"
PARTS = ("networks", "clusters", "commands", "suites", "fleet", "metering", "agent", "recorder", "pages")


def networks(runs: int) -> Iterator[Row]:
    up, down, whole = [], [], []
    for i in range(runs):
        began = time.monotonic()
        lab = launch.up(default_cluster.cluster_data(), name=f"bench-{os.getpid()}-{i}", persistent=False, network_only=True)
        whole.append(time.monotonic() - began)
        up.append(lab.timings["network_s"] * 1000)
        ended = time.monotonic()
        lab.record.kill()
        down.append((time.monotonic() - ended) * 1000)
        lab.down()
    yield row("lab network up (hosts' namespaces, fabric, 5 legs, balancer)", "ms", up, "24")
    yield row("lab network down (kill to nothing left)", "ms", down, "10")
    yield row("`lab up` of the network alone, as seen by its caller", "s", whole, "")


def clusters(runs: int) -> Iterator[Row]:
    service, whole, switch, checks = [], [], [], []
    for i in range(runs):
        began = time.monotonic()
        lab = launch.up(default_cluster.cluster_data(), name=f"bench-{os.getpid()}-c{i}", persistent=False)
        whole.append(time.monotonic() - began)
        service.append(lab.timings["in_service_s"])
        checks.append(_seconds([sys.executable, "-m", "harness.cli", "check", "--cluster", str(lab.cluster_file)]))
        for _ in range(20):
            for state in ("down", "none"):
                lab.record.ask("admin", node="lknode01", state=state)
        switch += list(_switches_to_a_node(lab))
        lab.down()
    yield row("whole cluster in service (namespaces to every service answering)", "s", service, "0.65")
    yield row("`lkharness check` of a healthy lab", "s", checks, "1.5")
    yield row("the same, as seen by the caller of `lab up` (keys, files and processes included)", "s", whole, "")
    yield row("balancer switch once the verdict is in", "ms", switch, "1")


def _switches_to_a_node(lab: launch.RunningLab) -> Iterator[float]:
    """Milliseconds of every switch that gave new flows to a node (to nobody is cheaper), from the lab's own event record."""
    for text in (lab.record.folder / "events.jsonl").read_text().splitlines():
        event = json.loads(text)
        if event["kind"] == "switch" and event["data"]["members"]:
            yield event["data"]["seconds"] * 1000


def commands(runs: int) -> Iterator[Row]:
    yield row("lkharness --help", "s", [_seconds([sys.executable, "-m", "harness.cli", "--help"]) for _ in range(runs)], "0.15")


def suites() -> Iterator[Row]:
    alone = _suites_at_once(1)
    four = _suites_at_once(4)
    yield row("acceptance suite, one lab", "s", alone, "20")
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
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as by Ctrl-C: what was begun is ended
    cuts = given.cuts or (3 if given.quick else 20)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "networks": lambda: networks(given.runs),
        "clusters": lambda: clusters(given.runs),
        "commands": lambda: commands(given.runs),
        "suites": suites,
        "fleet": lambda: fleet.fleet(1 if given.quick else 3),
        "metering": lambda: metering.metering(cuts),
        "agent": lambda: agent.rows(given.runs, given.soak),
        "recorder": lambda: recorder.recorder(given.soak),
        "pages": lambda: pages.pages(given.runs),
    }
    chosen = given.only or [name for name in parts if not (given.quick and name == "suites")]
    made: list[Row] = []
    print(HEAD, flush=True)
    for name in chosen:
        for r in parts[name]():
            made.append({"part": name, **r})
            print(line(r), flush=True)
        for text in metering.table(made) if name == "metering" else ():
            print(text, flush=True)
    _write(made, chosen)
    print(f"written to {TARGET.relative_to(ROOT)}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="leave out the whole suites, one and four at once, and make 3 cuts of each length"
    )
    parser.add_argument("--runs", type=int, default=7, help="runs behind each median (default 7)")
    parser.add_argument("--cuts", type=int, default=0, help="cuts of each length that the methods are held against (default 20)")
    parser.add_argument("--soak", type=float, default=60.0, metavar="SECONDS", help="how long agent and recorder are watched (default 60)")
    parser.add_argument(
        "--only", action="append", choices=PARTS, metavar="PART", help=f"one part alone, of {', '.join(PARTS)}; may be repeated"
    )
    return parser.parse_args()


def _write(made: list[Row], chosen: Collection[str]) -> None:
    """Put the rows into the file, in place of what these parts said before for the same user."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    machine = {"platform": platform.platform(), "python": platform.python_version(), "cpus": os.cpu_count(), "user": user()}
    kept = [r for r in _before() if r.get("part") in PARTS and (r["user"] != user() or r["part"] not in chosen)]
    rows = sorted([*kept, *({"at": when, **r} for r in made)], key=lambda r: (r["user"], PARTS.index(r["part"])))
    write_atomically(TARGET, json.dumps({"at": when, "machine": machine, "rows": rows}, indent=2) + "\n")


def _before() -> list[Row]:
    try:
        return json.loads(TARGET.read_text())["rows"]
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    sys.exit(main())
