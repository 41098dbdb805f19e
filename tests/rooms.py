"""The rooms of `harness/` as docs/architecture.md shows them: `python -m tests.rooms` writes the picture there.

The order is the one that `./run lint` enforces, read from pyproject.toml; the words are the first lines of the rooms' own docstrings.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HARNESS = ROOT / "harness"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: written by `python -m tests.rooms` -->", "<!-- end of rooms -->"
WIDTH = 140


def layers() -> list[list[str]]:
    """The rooms from top to bottom; those of one line are beside each other, and know nothing of one another."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rows = next(c["layers"] for c in contracts if c["type"] == "layers")
    return [[name.strip(" ()") for name in re.split(r"[|:]", row)] for row in rows]


def rooms() -> list[Path]:
    """The folders of `harness/`."""
    return sorted(p for p in HARNESS.iterdir() if (p / "__init__.py").is_file())


def summary(place: Path) -> str:
    """The first line of a room's (or module's) docstring."""
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]


def picture() -> str:
    """The rooms from top to bottom, one line each, with their own rooms indented."""
    lines = ["harness/"]
    for row in layers():
        for name in row:
            place = HARNESS / name
            if place.is_dir():
                lines.append(_line(f"  {name}/", summary(place)))
                lines += [_line(f"    {p.name}/", summary(p)) for p in sorted(place.iterdir()) if (p / "__init__.py").is_file()]
            elif place.with_suffix(".py").is_file():
                lines.append(_line(f"  {name}.py", summary(place)))
    return "\n".join(lines)


def page() -> str:
    """docs/architecture.md as it should be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n```\n{picture()}\n```\n{END}{after}"


def _line(name: str, says: str) -> str:
    text = f"{name:22} {says}"
    return text if len(text) <= WIDTH else text[: WIDTH - 1].rpartition(" ")[0] + " …"


if __name__ == "__main__":
    PAGE.write_text(page())
