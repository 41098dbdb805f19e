"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from azure_labs import AzureLab
from deployments import Deployments, serving

from harness.config import trust
from harness.lab.lifecycle import default_cluster, launch


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureLab]:
    """A lab's network with Azure's API, for the tests of one file; a file that needs another has its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        running = launch.up(default_cluster.cluster_data(), name="drive", persistent=False, network_only=True, azure=True)
        try:
            yield AzureLab(running)
        finally:
            running.down()


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployments]:
    """The stand-in for deployments, with the settings that lead to it in the current folder's where.toml, and a key in key.pub."""
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path) as server:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        (tmp_path / "where.toml").write_text(server.settings())
        trust.agree_to_own(tmp_path / "where.toml")
        (tmp_path / "key.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here\n")
        yield server
