"""What pytest's items and reports say, in a run's words."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Timer:
    """The timeout that a test began with, as pytest-timeout has it, and when, in seconds."""

    settings: Any
    began: float


TIMER = pytest.StashKey[Timer]()
MIN_TIMEOUT_S = 1.0  # of a timeout that is set again: 0 would be none


def timeout_set(item: pytest.Item, settings: Any) -> None:
    """pytest-timeout has begun to count for this test; what it began with first is remembered."""
    item.stash.setdefault(TIMER, Timer(settings, time.monotonic()))


def renew_timeout(item: pytest.Item, lasts_s: float) -> None:
    """Before each round of a soak that lasts `lasts_s`: an undoing has ended the test's timeout. What it allows beyond that time is for one
    round with its undoing, and no round goes on past the whole. Nothing for other tests."""
    timer = item.stash.get(TIMER, None)
    if not lasts_s or timer is None:
        return
    end_timeout(item)
    remaining_s = timer.began + timer.settings.timeout - time.monotonic()
    one_round = timer.settings.timeout - lasts_s
    limit = max(min(remaining_s, one_round) if one_round > 0 else remaining_s, MIN_TIMEOUT_S)
    item.ihook.pytest_timeout_set_timer(item=item, settings=timer.settings._replace(timeout=limit))


def end_timeout(item: pytest.Item) -> None:
    """pytest's timeout of this test would end an undoing as it ends a test; undoings and what follows them have limits of their own."""
    if item.config.pluginmanager.hasplugin("timeout"):
        item.ihook.pytest_timeout_cancel_timer(item=item)


def title(item: pytest.Item) -> str:
    """A test's sentence: the first line of its docstring, with the values that it was parametrised with."""
    doc = (getattr(item, "function", None) and item.function.__doc__) or item.name  # type: ignore[attr-defined]
    sentence = doc.strip().splitlines()[0]
    callspec = getattr(item, "callspec", None)
    return f"{sentence} [{callspec.id}]" if callspec else sentence


def skip_reason(report: pytest.TestReport) -> str:
    """Why a test was skipped."""
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else "no reason given"


def first_line(call: pytest.CallInfo) -> str:
    """The first line of what a test raised."""
    assert call.excinfo is not None
    return str(call.excinfo.value).strip().splitlines()[0] if str(call.excinfo.value).strip() else call.excinfo.typename


def clean(report: pytest.TestReport, redact: Callable[[str], str]) -> None:
    """Everything that pytest prints of a test through `redact`."""
    report.sections = [(title, redact(text)) for title, text in report.sections]
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, redact(reason))
    elif report.longrepr is not None:
        printed = report.longreprtext
        if (clean := redact(printed)) != printed:
            report.longrepr = clean
