"""Installed packages made up for a test: modules and entry points in a folder that is put on sys.path, as pip would have left them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.plugins import extension_points
from harness.plugins.registry import Registry


def install(folder: Path, name: str, modules: Mapping[str, str], entry_points: str) -> None:
    """Write the package `name`, version 1.0, with its modules (file name → text) and its entry points into the folder."""
    for file, text in modules.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")


@contextmanager
def installed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """While it lasts, the packages of that folder are installed; afterwards nothing knows of them."""
    known = set(sys.modules)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for registry in (one for one in vars(extension_points).values() if isinstance(one, Registry)):
            patch.setattr(registry, "_plugged", None)
            patch.setattr(registry, "_loaded", {})
        try:
            yield
        finally:
            for name in set(sys.modules) - known:
                if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                    del sys.modules[name]
