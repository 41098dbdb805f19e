"""What the history's page costs after a thousand nights, and how soon a browser has it."""

from __future__ import annotations

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


def pages(runs: int) -> Iterator[Row]:
    """Seconds to rebuild the history, megabytes of its page, seconds until a browser has loaded it."""
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
    what = f"history of {NIGHTS} nights × {SERIES} series"
    yield row(f"{what}: rebuilt, and its page written", "s", rebuilt, "60")
    yield row(f"{what}: its page", "MB", [size], "2")
    yield row(f"{what}: its page loaded by Chromium", "s", opened, "1", note="" if opened else "there is no Chromium on this machine")
