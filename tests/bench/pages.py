"""What the history's page costs after a thousand nights, and how soon a browser has it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness.history.store import FILE
from tests.bench.rows import Row, row

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / "unit"), str(TESTS / "e2e")]  # as pytest has it for the tests there
NIGHTS, SERIES = 1000, 30


def _seconds_of_entry(reports: Path, number: int) -> float:
    """As at the end of a run, in a process that has not loaded the history's library yet: that is part of it."""
    from history_sample import a_night, some_figures

    series = [some_figures([1.5, 1.6, 1.4, 1.5], disruption=f"disruption {index}") for index in range(SERIES)]
    folder = a_night(reports, number, series)
    program = (
        "import sys, time; from pathlib import Path; import harness.pytest_plugin.plugin; began = time.monotonic();"
        "from harness.history.run_import import enter; enter(Path(sys.argv[1])); print(time.monotonic() - began)"
    )
    return float(subprocess.run([sys.executable, "-c", program, folder], check=True, capture_output=True, text=True).stdout)


def pages(runs: int) -> Iterator[Row]:
    """Seconds to rebuild the history and to enter a run, megabytes of its page, seconds until a browser has loaded it."""
    from browser import Browser, program
    from history_sample import nights, write_page

    rebuilt, opened = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder)
        nights(reports, NIGHTS, series=SERIES, slower_from=NIGHTS * 3 // 5, kernel="6.18")
        for _ in range(min(runs, 3)):
            (reports / FILE).unlink(missing_ok=True)
            began = time.monotonic()
            page = write_page(reports)
            rebuilt.append(time.monotonic() - began)
        for _ in range(runs if program() else 0):
            with Browser() as browser:
                browser.size(1280, 900)
                browser.open(page)
                browser.settle()
                opened.append(browser.run("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
        size = page.stat().st_size / 1e6
        entered = [_seconds_of_entry(reports, NIGHTS + number) for number in range(runs)]
    what = f"history of {NIGHTS} nights × {SERIES} series"
    yield row(f"{what}: rebuilt, and its page written", "s", rebuilt, "60")
    yield row(f"{what}: entering one more run", "s", entered, "0.3")
    yield row(f"{what}: its page", "MB", [size], "2")
    yield row(f"{what}: its page loaded by Chromium", "s", opened, "1", note="" if opened else "there is no Chromium on this machine")
