"""What pytest's items and reports say, in a run's words."""

from __future__ import annotations

from collections.abc import Callable

import pytest


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


def clean(report: pytest.TestReport, shown: Callable[[str], str]) -> None:
    """Everything that pytest prints of a test through `shown`."""
    report.sections = [(title, shown(text)) for title, text in report.sections]
    if isinstance(report.longrepr, tuple):
        place, line, reason = report.longrepr
        report.longrepr = (place, line, shown(reason))
    elif report.longrepr is not None:
        said = report.longreprtext
        if (clean := shown(said)) != said:
            report.longrepr = clean
