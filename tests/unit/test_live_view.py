"""What a person sees while a disruption is measured: lines where there is no terminal, a table that is drawn anew where there is one."""

from __future__ import annotations

import contextlib
import io
import time

import pytest
from recordings import ADDRESSES, PROBE, A, B, a_series

from harness.core.deadline import Deadline
from harness.measure.live_state import Live
from harness.pytest_plugin.live_view import LiveView
from harness.remote.recording.recording import CapturedPacket, NodeEvent, Sample

SERIES = a_series()
LIMIT = 10.0


class Out(io.StringIO):
    """Standard output, a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def shows(self, *texts: str) -> None:
        """Wait until all of them were written."""
        Deadline(LIMIT).wait_for(lambda: all(t in self.getvalue() for t in texts), what=f"{texts} in {self.getvalue()!r}", every=0.02)

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.getvalue().splitlines() if line.strip()]


@pytest.fixture(params=[False, True], ids=["lines", "terminal"])
def out(request, monkeypatch) -> Out:
    made = Out(request.param)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return made


lines_only = pytest.mark.parametrize("out", [False], indirect=True, ids=["lines"])
terminal_only = pytest.mark.parametrize("out", [True], indirect=True, ids=["terminal"])


@pytest.fixture
def live() -> Live:
    return Live([SERIES], ADDRESSES, ("168.63.129.16", PROBE))


class Uncaptured:
    """What lets output through to `out`, as pytest's capture would to the real one."""

    def __init__(self, out: Out) -> None:
        self.out = out
        self.entered = 0

    @contextlib.contextmanager
    def __call__(self):
        self.entered += 1
        try:
            with contextlib.redirect_stdout(self.out):
                yield
        finally:
            self.entered -= 1


def attempts(live: Live, outcome: str, node: str | None = None, *, after: float = 0.0) -> None:
    at = time.monotonic() + after
    port = 40000 + int(after * 1000)
    if node:
        live.sightings([CapturedPacket(at, node, "eth0", "syn", "10.20.1.20", port, ADDRESSES[node][0], SERIES.port, False)])
    live.samples(SERIES.id, [Sample(at, 0.001, outcome, port)])


@lines_only
def test_a_line_for_each_change(out, live):
    view = LiveView(Uncaptured(out))
    attempts(live, "answered", A)
    with view.open():
        view.say("warming up")
        with view.following(live, "01-switchover: everything moves"):
            out.shows("01-switchover: everything moves")
            attempts(live, "silent", after=0.5)
            out.shows("lkclient → listener (new connections): silent, outage ")
            live.event(NodeEvent(1.0, B, "vip-up", "eth1"))
            out.shows("lknode02: vip-up eth1")
            attempts(live, "answered", B, after=0.9)
            out.shows("answered by lknode02")
    assert [line for line in out.lines if "answered" in line][-1].endswith("lkclient → listener (new connections): answered by lknode02")
    assert any(line.endswith("s  warming up") for line in out.lines)
    assert "\x1b" not in out.getvalue(), "no control characters where there is no terminal"
    assert len(out.lines) == 5, out.lines  # nothing is told twice, and that it answered from the beginning is no news


@lines_only
def test_markup_in_what_hosts_say_is_only_text(out, live):
    view = LiveView(Uncaptured(out))
    with view.open():
        view.say("[red]a [/nonsense] tag[/] and [link=x]")
    assert "[red]a [/nonsense] tag[/] and [link=x]" in out.getvalue()


@terminal_only
def test_a_table_in_a_terminal(out, live):
    view = LiveView(Uncaptured(out))
    attempts(live, "answered", A)
    with view.open():
        view.say("following")
        with view.following(live, "01-switchover: everything moves"):
            out.shows("from", "answered by", "lkclient", "listener", "new", A)
            attempts(live, "refused", after=0.5)
            live.event(NodeEvent(1.0, B, "log", "[/x] odd [red]", {"means": "noticed"}))
            out.shows("refused", " s")
            out.shows("odd")
    assert "\x1b[" in out.getvalue()
    screen = out.getvalue()
    assert screen.count("\x1b[?25l") == screen.count("\x1b[?25h"), "the cursor is shown again"


def test_output_is_let_through_only_while_it_is_open(out, live):
    uncaptured = Uncaptured(out)
    view = LiveView(uncaptured)
    view.say("before")
    with view.open():
        assert uncaptured.entered == 1
    view.say("after")
    assert uncaptured.entered == 0 and "before" not in out.getvalue() and "after" not in out.getvalue()


def test_it_ends_with_what_it_follows_also_when_that_fails(out, live):
    view = LiveView(Uncaptured(out))
    with pytest.raises(KeyboardInterrupt), view.open(), view.following(live, "interrupted"):
        raise KeyboardInterrupt
    before = out.getvalue()
    attempts(live, "silent")
    view.say("late")
    assert out.getvalue() == before
