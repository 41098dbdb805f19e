"""A run against an attached cluster, killed while Azure has disturbed it: its watchdog undoes it by the tag, even where every host
answers all the time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure_labs import AzureLab

from harness.attach.watchdog import FILE
from harness.core.deadline import Deadline
from harness.lab.lifecycle import default_cluster, launch
from tests.pytest_process import PYTEST

ROOT = Path(__file__).parents[2]
# One service, which seldom is looked at: what is undone is a node's power and a rule of its network.
CALM = {
    "services": [s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["name"] == "listener"],
    "manager": {"check_interval_s": 5.0},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureLab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        running = launch.up(default_cluster.cluster_data(overrides=CALM), name="guarded", persistent=False, azure=True)
        try:
            yield AzureLab(running)
        finally:
            running.down()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [pytest.param("azure NSG deny", marks=pytest.mark.deep), pytest.param("azure VM power off", marks=pytest.mark.heavy)]
)
def test_the_watchdog_undoes_what_azure_did(lab: AzureLab, tmp_path: Path, name: str) -> None:
    words = [*PYTEST, "-q", "-c", str(ROOT / "pyproject.toml")]
    words += ["--rootdir", str(ROOT), str(ROOT / "tests/failover"), "--disruption", name, "--period", "100"]
    words += ["--cluster", str(lab.file), "--allow-disruption", "--reports", str(tmp_path)]
    with (tmp_path / "said").open("wb") as said:
        run = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=said, stderr=said, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        Deadline(500).wait_for(lambda: lab.undisturbed() or run.poll() is not None, what=f"{name} being done", every=0.25)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert lab.undisturbed(), (tmp_path / "said").read_text()[-2000:]
    (folder,) = tmp_path.glob("2*")
    log = folder / FILE
    Deadline(300).wait_for(
        lambda: log.exists() and "the lease is given back" in log.read_text(), what="the watchdog's last word", every=0.5
    )
    print(log.read_text())
    assert lab.undisturbed() == [] and "pass:" in log.read_text()
