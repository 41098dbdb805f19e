"""How deep this run of the harness's own tests goes: usual, or with `--deep` (docs/testing.md)."""

from __future__ import annotations

import os

import pytest

_deep = False


def choose_deep() -> None:
    """Called before any test is collected."""
    global _deep
    _deep = True


def is_deep() -> bool:
    return _deep


def number(usual: int, deep: int, variable: str) -> int:
    """How many of something to try; the environment's variable overrides both."""
    return int(os.environ.get(variable) or (deep if _deep else usual))


def heavy_unless(*variables: str) -> pytest.MarkDecorator:
    """The mark `heavy`; where one of these variables of the environment asks for such tests, one that leaves them in every run."""
    return pytest.mark.asked_for if any(os.environ.get(name) for name in variables) else pytest.mark.heavy
