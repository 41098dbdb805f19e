"""The harness's own tests where Azure's packages are not installed: what needs them is skipped, with the reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HIDE = """
import importlib.abc, sys

class Hides(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("azure.core", "azure.mgmt", "azure.identity")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hides())
"""


def test_what_needs_them_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "without_azure.py").write_text(HIDE)
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | {"PYTHONPATH": str(tmp_path)}
    words = [
        "-m",
        "pytest",
        "-p",
        "without_azure",
        "-p",
        "no:cacheprovider",
        "--collect-only",
        "-q",
        "tests/azure",
        "tests/azure_lab",
        "tests/azure_operations",
    ]
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=250)
    assert "ERROR" not in done.stdout and "::" not in done.stdout, done.stdout
    assert "not installed: azure.core; `./run tests` installs them" in done.stdout, done.stdout + done.stderr


def test_check_looks_at_everything_else(tmp_path: Path) -> None:
    (tmp_path / "without_azure.py").write_text(HIDE)
    code = (
        "import without_azure, report_sample as sample\n"
        "from harness.check.cluster_check import _in_azure\nfrom harness.config.azure_config import Azure\n"
        "known = {'subscription': '0' * 8 + '-0000-4000-8000-' + '0' * 12, 'resource_group': 'g', 'load_balancer': 'b'}\n"
        "azure = Azure.model_validate(known)\n"
        "print(*_in_azure(sample.a_cluster().model_copy(update={'azure': azure}))(None))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path(__file__).parent)))}
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=250)
    assert "unknown" in done.stdout and "Azure packages are not installed" in done.stdout and "pip install" in done.stdout, done.stderr
