"""Broken clusters (tests/cases): what `check` says names the fault. A seeded few in the ordinary run, each of them with `--deep`."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.cases.case import Case, all_cases
from tests.cases.lab_of_a_case import run

FEW = 2
SEED = int(os.environ.get("LKHARNESS_TEST_SEED") or random.SystemRandom().randrange(10**6))


def a_few() -> list[Case]:
    """Of those that need nothing but what every lab has, and are up soonest."""
    quick = [case for case in all_cases() if not case.lab]
    return random.Random(SEED).sample(quick, FEW)


@pytest.mark.parametrize("case", a_few(), ids=lambda c: c.name)
def test_a_few_faults_are_named(tmp_path: Path, case: Case) -> None:
    judged = run(case, tmp_path / "state")
    assert judged.verdict == "NAMED", (judged, f"LKHARNESS_TEST_SEED={SEED}")


@pytest.mark.deep
@pytest.mark.parametrize("case", all_cases(), ids=lambda c: c.name)
def test_each_fault_is_named(tmp_path: Path, case: Case) -> None:
    if "pacemaker" in case.lab and not shutil.which("crm_mon"):
        pytest.skip("Pacemaker is not installed")
    if "--azure" in case.lab:
        pytest.importorskip("azure.core")
    judged = run(case, tmp_path / "state")
    assert judged.verdict == "NAMED", judged
