"""A harness without an [azure] table loads nothing of Azure, and one with it says what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = (
    "import sys; print('loaded:', *sorted(m for m in sys.modules if m.split('.')[0] in ('azure', 'msal') or m.startswith('harness.azure')))"
)
UNDER_TEST = {
    "help": "from harness import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n",
    "help of azure": "from harness import cli\ntry: cli.main(['azure', '--help'])\nexcept SystemExit: pass\n",
    "every module of a run": "import harness.pytest_plugin.pytest_session, harness.check.cluster_check\n"
    "import harness.pytest_plugin.plugin, harness.disrupt.disruption\n",
    "a cluster file": "from pathlib import Path\nfrom harness.config import cluster_config as model\n"
    "model.load(Path('cluster.example.toml'))\n",
}


@pytest.mark.parametrize("what", UNDER_TEST)
def test_nothing_of_azure_is_loaded(what: str, pytestconfig: pytest.Config) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNDER_TEST[what] + LOADED], capture_output=True, text=True, cwd=pytestconfig.rootpath, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_command_is_light(pytestconfig: pytest.Config) -> None:
    """Below 60 MB; how quick it is belongs into the benchmarks."""
    script = (
        "from harness import cli; from harness.config import cluster_config as model\n"
        "from pathlib import Path\nmodel.load(Path('cluster.example.toml'))\n"
    )
    peak = "print(next(x.split()[1] for x in open('/proc/self/status') if x.startswith('VmHWM')))"
    done = subprocess.run(
        [sys.executable, "-c", script + peak], capture_output=True, text=True, cwd=pytestconfig.rootpath, check=True, timeout=60
    )
    assert int(done.stdout) * 1024 < 60e6, f"{int(done.stdout) * 1024 / 1e6:.0f} MB"


def test_without_the_packages_it_is_said_in_one_sentence(pytestconfig: pytest.Config) -> None:
    """Where `pip install lkharness[azure]` was never done, the first use of Azure says so."""
    script = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("azure", "msal"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from harness import cli
sys.exit(cli.main(["init", "--azure", "--subscription", "s", "--resource-group", "g", "/tmp/never-written.toml"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=pytestconfig.rootpath, timeout=240)
    assert done.returncode == 2 and 'pip install "lkharness[azure]"' in done.stderr and "Traceback" not in done.stderr
