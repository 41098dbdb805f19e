"""The entry points of installed packages, read so that one package's faulty metadata is that package's fault alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.metadata import Distribution, distributions
from pathlib import PurePath
from typing import Any

_PLACE = re.compile(r"(?P<module>[\w.]+)(?:\s*:\s*(?P<name>[\w.]+))?(?:\s*\[.*\])?")


@dataclass(frozen=True)
class Plugin:
    """What a package gives under a name. `value` is where it says that its implementation is, `package` its own name and version."""

    name: str
    value: str
    package: str

    def load(self) -> Any:
        """Import it. Raises ValueError where `value` is no place, and whatever the package's own modules raise."""
        match = _PLACE.fullmatch(self.value)
        if not match:
            raise ValueError("an entry point is written NAME = MODULE:CLASS")
        names = (match["name"] or "").split(".") if match["name"] else []
        return reduce(getattr, names, import_module(match["module"]))


def plugins(group: str) -> dict[str, list[Plugin]]:
    """Name → who gives it, of every installed package. Of a package that is installed twice, the one that Python imports counts."""
    plugins_by_name: dict[str, list[Plugin]] = {}
    packages: set[str] = set()
    for distribution in distributions():
        text = _text(distribution)
        if f"[{group}]" not in text:
            continue
        name, version = _name_and_version(distribution)
        if (known_as := re.sub(r"[-_.]+", "-", name).lower()) in packages:
            continue
        packages.add(known_as)
        for plugin in _of_group(text, group, f"{name} {version}".strip()):
            plugins_by_name.setdefault(plugin.name, []).append(plugin)
    return plugins_by_name


def _of_group(text: str, group: str, package: str) -> Iterator[Plugin]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == group and line and not line.startswith(("#", ";")):
            name, _, value = map(str.strip, line.partition("="))
            yield Plugin(name, value, package)


def _text(distribution: Distribution) -> str:
    try:
        return distribution.read_text("entry_points.txt") or ""
    except UnicodeDecodeError:  # the format is UTF-8: a file of anything else gives no entry points, to Python itself neither
        return ""


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """As its metadata says; a folder without metadata is called after the package by whoever made it: NAME-VERSION.dist-info."""
    if distribution.read_text("METADATA") or distribution.read_text("PKG-INFO"):
        return distribution.metadata["Name"] or "without a name", distribution.metadata["Version"] or ""
    name, _, version = PurePath(str(getattr(distribution, "_path", "without a name"))).stem.partition("-")
    return name, version
