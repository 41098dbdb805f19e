"""The history's page in a real browser: strips drawn, a night's figures and link at hand, readable on a phone, small and quick."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from browser import Browser, program

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit"))
from history_sample import a_night, a_night_without_figures, nights, some_figures, write_page
from report_sample import HOSTILE

pytestmark = pytest.mark.skipif(program() is None, reason="there is no Chromium on this machine: sudo apt-get install -y chromium")

STRIP = "document.querySelector('.strip-of-nights')"
PAGE_BYTES = 2_000_000
OPEN_S = 1.0


def test_strips_are_drawn_and_a_night_tells_its_figures_and_links_to_its_report(tmp_path):
    made = nights(tmp_path, 12, slower_from=8, heartbeat=5.0)
    a_night(tmp_path, 12, [some_figures([9.0, 1.0], disruption="disruption 1", failed=1)], outcome="fail", heartbeat=5.0)
    a_night_without_figures(tmp_path, 13)
    page = write_page(tmp_path)
    with Browser() as browser:
        browser.size(1280, 900)
        browser.open(page)
        browser.settle()
        assert browser.run("document.querySelectorAll('.strip-of-nights svg').length") == 3
        drawn = browser.run(f"[...{STRIP}.querySelectorAll('path')].map((p) => p.classList[0])")
        assert drawn == ["spread", "budget", "change", "median", "fail", "inconclusive", "cursor"]
        assert browser.run(f"getComputedStyle({STRIP}.querySelector('.fail')).stroke") == "rgb(198, 40, 40)"
        words = browser.run("document.body.innerText")
        assert "timer manager.heartbeat_s 0.2 → 5" in words and "new failure" in words and "? INCONCLUSIVE" in words
        assert "nothing was measured in the last night" in words
        browser.run(f"{STRIP}.focus()")
        for key, place in (
            ("Home", "2026-01-01"),
            ("ArrowRight", "2026-01-02"),
            ("End", "2026-01-14 02:00: nothing was measured "),
            ("ArrowLeft", "2026-01-13"),
        ):
            browser.key(key)
            assert place in browser.run(f"{STRIP}.parentElement.querySelector('.told').textContent")
        assert "1.00 s to 9.00 s, 2 repeats" in browser.run(f"{STRIP}.parentElement.querySelector('.told').textContent")
        browser.key("Home")
        assert f"lkharness report {made[0].name}, in this folder, makes it again" in browser.run(
            f"{STRIP}.parentElement.querySelector('.told').textContent"
        )
        browser.key("ArrowRight")
        assert browser.run(f"{STRIP}.parentElement.querySelector('.told a').getAttribute('href')") == f"{made[1].name}/report.html"
        box = browser.run(f"(() => {{ const b = {STRIP}.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; }})()")
        browser.mouse("mouseMoved", box[0] + box[2] - 2, box[1] + box[3] / 2)
        assert "2026-01-14" in browser.run(f"{STRIP}.parentElement.querySelector('.told').textContent")
        browser.size(360, 740, mobile=True)
        browser.open(page)
        browser.settle()
        assert browser.run("document.documentElement.scrollWidth") <= 360
        assert browser.run(f"{STRIP}.clientWidth") > 250
        assert browser.errors == []


@pytest.mark.deep
def test_what_hosts_and_files_say_acts_on_nothing(tmp_path):
    for number in range(2):
        a_night(
            tmp_path, number, [some_figures([1.0], disruption=f"d{HOSTILE}", service=f"s{HOSTILE}")], name=f"n{HOSTILE}", kernel=str(number)
        )
    with Browser() as browser:
        browser.open(write_page(tmp_path))
        browser.settle()
        assert browser.run("document.querySelectorAll('img, script').length") == 2  # the data and the page's own
        assert browser.run("document.querySelectorAll('.strip-of-nights svg').length") == 1
        assert browser.errors == []


@pytest.mark.deep
@pytest.mark.timing
def test_a_thousand_nights_of_thirty_series_are_rebuilt_and_opened_in_time(tmp_path):
    nights(tmp_path, 1000, series=30, slower_from=600, kernel="6.18")
    began = time.monotonic()
    page = write_page(tmp_path)
    assert time.monotonic() - began <= 60
    assert page.stat().st_size <= PAGE_BYTES
    with Browser() as browser:
        browser.size(1280, 900)
        browser.open(page)
        browser.settle()
        shown = browser.run("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000
        print(f"{page.stat().st_size} bytes, loaded after {shown:.2f} s")
        assert shown <= OPEN_S
        assert browser.run("document.querySelectorAll('.strip-of-nights svg').length") > 0
        assert browser.errors == []
