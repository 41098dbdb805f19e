"""The command `azure up` as the tests give it, and which run it says that it makes."""

from __future__ import annotations

import re

from harness.cli import main

OPTIONS = ["--azure", "where.toml", "--location", "westeurope", "--owner", "me", "--ssh-key", "key.pub", "--yes"]


def up(*more: str) -> int:
    return main(["azure", "up", *OPTIONS, *more])


def run_of(said: str) -> str:
    found = re.search(r"run ([0-9a-f]{8}) makes", said)
    assert found, said
    return found[1]
