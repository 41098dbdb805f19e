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


def html(outcomes: Sequence[Outcome], *, title: str, beside: Path, notes: Sequence[str] = ()) -> str:
    """Render the page, which will lie in the folder `beside`; `notes` are about the fleet as a whole. Whatever came from outside is escaped
    and made visible."""
    environment = page_environment(_TEMPLATES)
    return environment.get_template("fleet.html.j2").render(
        title=title,
        outcomes=[(one, link(one, beside)) for one in sorted_worst_first(outcomes)],
        summary=summary(outcomes),
        notes=notes,
        code=int(fleet_code(outcomes)),
        tone=max((one.tone.value for one in outcomes if one.code is fleet_code(outcomes)), default="inconclusive"),
        words=WORDS,
        mark=MARK,
        seconds=wording.seconds,
        style=style(),
    )


def link(outcome: Outcome, beside: Path) -> str:
    """Where its report lies, or what its process said; empty where neither is there. Relative, so that the folder can be moved."""
    files = [outcome.run / "report.html"] if outcome.run else []
    file = next((one for one in [*files, *([outcome.log] if outcome.log else [])] if one.is_file()), None)
    if file is None:
        return ""
    try:
        return quote(Path(os.path.relpath(file, beside)).as_posix())
    except ValueError:  # another drive
        return file.resolve().as_uri()
