"""docs/disruptions.md tells of every disruption what its code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.cluster_config import Design
from harness.disrupt import disruption
from harness.disrupt.disruption import Effect
from harness.expectations.connectivity_matrix import Origin

PAGE = Path(__file__).parents[2] / "docs" / "disruptions.md"
LETTERS = {Effect.RECOVERS: "R", Effect.UNTOUCHED: "U", Effect.OUT: "O", Effect.ANY: "A"}
CLUSTER = {True: "moves", False: "stays", None: "either"}


def row(kind: type[disruption.Disruption]) -> str:
    told = [" ".join(LETTERS[kind.expects[design][origin]] for origin in Origin) for design in (Design.NAT, Design.FLOATING)]
    expected = told[0] if told[0] == told[1] else " → ".join(told)
    return f"| {kind.name} | {kind.sentence} | {expected} | {CLUSTER[kind.moves]} |"


@pytest.mark.parametrize("name", disruption.all_of())
def test_the_page_has_its_row(name: str) -> None:
    assert row(disruption.get_disruption(name)) in PAGE.read_text().splitlines()


def test_the_page_has_no_other_row() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.endswith(("| moves |", "| stays |", "| either |"))]
    assert len(rows) == len(disruption.all_of())
