"""What a person sees while a disruption is measured: each path, who answers it, for how long it has been out, and what happened last.

A table that is drawn anew where there is a terminal; elsewhere one line for each change.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from rich.console import Console
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from harness.core.text.host_text import one_line, visible
from harness.measure.live_state import UNKNOWN, Live, SeriesState

REFRESH_INTERVAL_S = 0.2
COLOURS = {"answered": "green", "silent": "red", "refused": "yellow", "reset": "magenta", "unreachable": "red"}


class LiveView:
    """Inside `open`: `say` for progress, and `following` shows a meter's live state while its block runs.

    `uncaptured` lets standard output through for as long as it is entered, past whatever captures it.
    """

    def __init__(self, uncaptured: Callable[[], AbstractContextManager[object]]) -> None:
        self._uncaptured = uncaptured
        self._console = Console(quiet=True)
        self._doing = ""
        self._began = time.monotonic()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """While the block runs, the terminal is this view's."""
        with self._uncaptured():
            self._console = Console(file=sys.stdout, highlight=False)
            self._began = time.monotonic()
            if not self._console.is_terminal:
                self._console.print()
            try:
                yield
            finally:
                self._console = Console(quiet=True)

    def say(self, text: str) -> None:
        """Says what is being done."""
        self._doing = text
        if not self._console.is_terminal:
            self._line(text)

    @contextlib.contextmanager
    def following(self, live: Live, title: str) -> Iterator[None]:
        """While the block runs, the state of every path is shown."""
        self._doing = title
        over = threading.Event()
        work = self._draw if self._console.is_terminal else self._tell
        thread = threading.Thread(target=work, args=(live, title, over.wait), name="live view", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _draw(self, live: Live, title: str, pause: Callable[[float], bool]) -> None:
        with Screen(console=self._console, auto_refresh=False, transient=True) as screen:
            while not pause(REFRESH_INTERVAL_S):
                screen.update(self._table(live, title), refresh=True)

    def _table(self, live: Live, title: str) -> Table:
        # Text, not str: what hosts say and what a cluster file names may look like rich's markup.
        over, under = Text(one_line(f"{title} · {self._doing}" if self._doing != title else title)), Text(one_line(live.news))
        table = Table(title=over, title_justify="left", caption=under, caption_justify="left", box=None)
        for column in ("from", "to", "connections", "now", "answered by", "outage"):
            table.add_column(column, justify="right" if column == "outage" else "left")
        for state in live.states():
            outage = f"{state.recovered_after_s:.2f} s" if state.recovered_after_s else ""
            now = Text(state.outcome, COLOURS.get(state.outcome, "dim"))
            origin, service, kind, node = (
                Text(visible(text)) for text in (state.series.origin, state.series.service, state.series.kind, state.node or "")
            )
            table.add_row(origin, service, kind, now, node, outage)
        return table

    def _tell(self, live: Live, title: str, pause: Callable[[float], bool]) -> None:
        self._line(title)
        previous_states: dict[str, tuple[str, str | None]] = {}
        news = live.news
        while not pause(REFRESH_INTERVAL_S):
            if live.news != news:
                news = live.news
                self._line(news)
            for series_state in live.states():
                state = (series_state.outcome, series_state.node)
                previous = previous_states.get(series_state.series.id)
                if series_state.outcome != UNKNOWN and previous != state and (previous is not None or series_state.outcome != "answered"):
                    self._line(_sentence(series_state))
                previous_states[series_state.series.id] = state

    def _line(self, text: str) -> None:
        self._console.print(visible(f"  {time.monotonic() - self._began:6.2f} s  {text}"), markup=False, soft_wrap=True)


def _sentence(series_state: SeriesState) -> str:
    connection = f"{series_state.series.origin} → {series_state.series.service} ({series_state.series.kind} connections)"
    by_node = f" by {series_state.node}" if series_state.node else ""
    return f"{connection}: {series_state.outcome}{by_node}" + (
        f", outage {series_state.recovered_after_s:.2f} s" if series_state.recovered_after_s else ""
    )
