"""Broken clusters (tests/cases): what `check` says names the fault. Two in the ordinary run, each of them with `--deep`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cases.case import Case, all_cases
from tests.cases.case_lab import run

# Of those that need nothing but what every lab has and are up soonest: one at the balancer, one at a node.
USUAL = ("file-asks-another-port", "stale-vip-on-standby")


@pytest.mark.parametrize("case", [c for c in all_cases() if c.name in USUAL], ids=lambda c: c.name)
def test_a_few_faults_are_named(tmp_path: Path, case: Case) -> None:
    judged = run(case, tmp_path / "state")
    assert judged.verdict == "NAMED", judged


@pytest.mark.deep
@pytest.mark.parametrize("case", all_cases(), ids=lambda c: c.name)
def test_each_fault_is_named(tmp_path: Path, case: Case) -> None:
    if "pacemaker" in case.lab and not shutil.which("crm_mon"):
        pytest.skip("Pacemaker is not installed")
    if "--azure" in case.lab:
        pytest.importorskip("azure.core")
    judged = run(case, tmp_path / "state")
    assert judged.verdict == "NAMED", judged
