"""The facts that messages cite by an id (docs/facts.md): what each says. Raises BadUse for an id that has no row."""

from __future__ import annotations

import difflib
import re

from harness.core import package_data
from harness.core.errors import BadUse, Unusable

ID = re.compile(r"[A-Z]{2,4}-\d{2,3}")
_ROW = re.compile(r"^- \*\*(" + ID.pattern + r")\*\* (.+)$", re.MULTILINE)


def rows() -> dict[str, str]:
    """Every fact by its id. Raises Unusable where the document is not there."""
    path = package_data.document("facts.md")
    try:
        return dict(_ROW.findall(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise Unusable(f"{path}: the facts cannot be read ({error.strerror}); install lkharness again, with its documents") from error


def fact(name: str) -> str:
    """What the fact of that id says."""
    texts = rows()
    fact_id = name.strip().upper()
    if fact_id in texts:
        return texts[fact_id]
    near = difflib.get_close_matches(fact_id, texts, 3)
    raise BadUse(f"{name}: there is no such fact" + (f"; did you mean {' or '.join(near)}?" if near else "; docs/facts.md has them all"))
