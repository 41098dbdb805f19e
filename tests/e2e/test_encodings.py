"""Output never dies of its encoding: a redirected command's on Windows is cp1252, a cron job's ASCII."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pytest_process import PYTEST

CODE = "print('path → node, “lab”, ✓ ≤ 5 × 2 – und ü'); import sys; print('→ 漢', file=sys.stderr)"


def said(encoding: str, *words: str, at: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    return subprocess.run(
        [sys.executable, *words], env=environment, cwd=at, capture_output=True, encoding=encoding.partition(":")[0], timeout=120
    )


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", 'path -> node, "lab", ok <= 5 x 2 - und \\xfc'),
        ("cp1252", "path -> node, “lab”, ok <= 5 × 2 – und ü"),
        ("utf-8", "path → node, “lab”, ✓ ≤ 5 × 2 – und ü"),
    ],
)
def test_what_an_encoding_lacks_is_said_in_plain_words(encoding: str, printed: str, tmp_path: Path):
    done = said(encoding, "-c", f"from harness.core.terminal import guarded\nwith guarded():\n    {CODE}", at=tmp_path)
    assert (done.returncode, done.stdout) == (0, printed + "\n"), done.stderr
    assert done.stderr == ("→ 漢\n" if encoding == "utf-8" else "-> \\u6f22\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_pytest_s_own_lines_stay_lines(encoding: str, tmp_path: Path):
    (tmp_path / "conftest.py").write_text(
        'pytest_plugins = ["harness.pytest_plugin.plugin"]\n\n\ndef pytest_terminal_summary(terminalreporter):\n'
        '    terminalreporter.write_line("one → “two”\\nthree")\n', encoding="utf-8"
    )  # fmt: skip
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    done = said(encoding, *PYTEST, "-q", at=tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[lines.index("three") - 1] == ('one -> "two"' if encoding == "ascii" else "one -> “two”"), (
        done.stdout
    )
