"""What every page is rendered with: nothing from outside may act, and all pages have the report's style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined
from markupsafe import Markup

from harness.core import text

_STYLE = Path(__file__).with_name("templates") / "report.css"


def page_environment(templates: Path) -> Environment:
    """Templates of one folder: escaped, a name that is not there is an error, and every value is made visible."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_escaped,
    )


def style(*more: Path) -> Markup:
    """The report's style sheet, with a page's own behind it."""
    return Markup("".join(file.read_text(encoding="utf-8") for file in (_STYLE, *more)))


def _escaped(value: Any) -> Any:
    """Nothing from outside may act: control characters and direction marks are written out, the rest is escaped by jinja2."""
    if hasattr(value, "__html__") or isinstance(value, int | float | Undefined):
        return value
    return text.visible(str(value))
