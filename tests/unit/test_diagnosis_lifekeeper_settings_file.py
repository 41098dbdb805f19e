"""The diagnosis of a settings file of LifeKeeper's that is empty or gone on one node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from diagnosis_sample import both, faults

from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.kinds import lifekeeper

GOOD = "NOBCASTPING=1\nNOIPUNIQUE=1\nLCMHBEATTIME=5\n\n# read"


def settings(standby: str, active: str = GOOD) -> Evidence:
    told = [host("it", f"@@ settings\n{text}\n@@ rights\n") for text in (active, standby)]
    return both(settings=(told[0].settings, told[1].settings), settings_file=(told[0].settings_file, told[1].settings_file))


@pytest.mark.parametrize(
    ("text", "what"), [("# read", "has no setting"), ("# only a word\n\n# read", "has no setting"), ("# absent", "is not there")]
)
def test_a_file_without_settings(text: str, what: str) -> None:
    (cause,) = faults(diagnose(settings(text)))
    assert cause.host == "lknode02" and cause.certainty is Certainty.LIKELY
    assert f"/etc/default/LifeKeeper of lknode02 {what}" in cause.says and "NOBCASTPING=1 and NOIPUNIQUE=1" in cause.says


@pytest.mark.parametrize(
    ("standby", "active"),
    [
        ("# read", "# read"),
        ("# absent", "# read"),
        ("# read", "LCMHBEATTIME=5\nLKCHECKINTERVAL=120\nFOO=1\n# read"),  # LifeKeeper's own values
        ("", GOOD),  # not readable, or a bundle of before
        (GOOD, GOOD),
        ("# read", ""),
    ],
)
def test_what_is_alike_or_not_known_is_none(standby: str, active: str) -> None:
    assert [c for c in faults(diagnose(settings(standby, active))) if "/etc/default/LifeKeeper of" in c.says] == []


def test_how_a_node_tells_it(tmp_path: Path) -> None:
    def told() -> str:
        line = lifekeeper.TELL_SETTINGS.replace(lifekeeper.SETTINGS, str(tmp_path / "LifeKeeper"))
        return host("it", "@@ settings\n" + subprocess.run(["sh", "-c", line], capture_output=True, text=True).stdout).settings_file

    assert told() == "absent"
    (tmp_path / "LifeKeeper").write_text("")
    assert told() == "read"
    (tmp_path / "LifeKeeper").write_text("A=1")  # without an end of line
    assert told() == "read"
    (tmp_path / "LifeKeeper").unlink()
    (tmp_path / "LifeKeeper").mkdir()
    assert told() == ""
