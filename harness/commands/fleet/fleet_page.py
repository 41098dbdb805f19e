"""fleet.html: what became of every cluster of a fleet, the worst first; one file that needs no network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from harness.commands.fleet.fleet_outcome import WORDS, Outcome, fleet_code, sorted_worst_first, summary
from harness.core.text import wording
from harness.report.html.page_environment import page_environment, style
from harness.report.record.labels import MARK

_TEMPLATES = Path(__file__).with_name("templates")


def html(outcomes: Sequence[Outcome], *, title: str, page_folder: Path, notes: Sequence[str] = ()) -> str:
    """Render the page, which will lie in the folder `beside`; `notes` are about the fleet as a whole. Whatever came from outside is escaped
    and made visible."""
    environment = page_environment(_TEMPLATES)
    return environment.get_template("fleet.html.j2").render(
        title=title,
        outcomes=[(outcome, link(outcome, page_folder)) for outcome in sorted_worst_first(outcomes)],
        summary=summary(outcomes),
        notes=notes,
        code=int(fleet_code(outcomes)),
        tone=max((outcome.tone.value for outcome in outcomes if outcome.code is fleet_code(outcomes)), default="inconclusive"),
        words=WORDS,
        mark=MARK,
        seconds=wording.seconds,
        style=style(),
    )


def link(outcome: Outcome, page_folder: Path) -> str:
    """Where its report lies, or what its process said; empty where neither is there. Relative, so that the folder can be moved."""
    files = [outcome.run / "report.html"] if outcome.run else []
    file = next((candidate for candidate in [*files, *([outcome.log] if outcome.log else [])] if candidate.is_file()), None)
    if file is None:
        return ""
    try:
        return quote(Path(os.path.relpath(file, page_folder)).as_posix())
    except ValueError:  # another drive
        return file.resolve().as_uri()
