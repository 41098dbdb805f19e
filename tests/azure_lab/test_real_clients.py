"""Clients that nobody here wrote, as their documentation says: Microsoft's JavaScript packages and its command line.

They are installed from npm and PyPI into a cache, some 160 MB and 700 MB of it, once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.lab import topology

pytestmark = pytest.mark.deep
HERE = Path(__file__).resolve().parent
PACKAGES = ("@azure/identity@4", "@azure/arm-compute@24", "@azure/arm-network@36", "@azure/arm-resources@7")
COMMAND_LINE = "azure-cli==2.91.0"  # as docs/azure-lab.md says; a newer one is looked at before it is named
INSTALL_TIMEOUT_S = 1800
MACHINES = ["lkclient", "lknode01", "lknode02"]


def cache(name: str, install: Callable[[Path], None]) -> Path:
    """A folder that is there whole, or not at all."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lkharness" / "clients" / name
    done = place / ".installed"
    if not done.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        install(place)
        done.touch()
    return place


def run(words: list[str], **more: Any) -> str:
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=INSTALL_TIMEOUT_S, **more)
    assert done.returncode == 0, f"{words[:3]}: {done.stdout[-500:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def javascript() -> Path:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")

    def install(place: Path) -> None:
        (place / "package.json").write_text('{"private": true, "type": "module"}')
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", *PACKAGES], cwd=place)

    return cache("javascript", install)


@pytest.fixture(scope="module")
def command_line() -> Path:
    def install(place: Path) -> None:
        venv.create(place / "venv", with_pip=True)
        run([str(place / "venv/bin/pip"), "install", "--quiet", COMMAND_LINE])

    return cache(COMMAND_LINE, install) / "venv/bin/az"


def test_javascript(lab: Any, javascript: Path) -> None:
    script = javascript / "real_client.mjs"  # beside the packages, where node looks for them
    shutil.copy(HERE / script.name, script)
    azure = lab.azure
    words = [azure.resource_manager, azure.audience, azure.tenant, azure.client_id, str(azure.client_secret_file), azure.subscription]
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(azure.ca_file), "NO_PROXY": "*"}
    said = json.loads(run(["node", str(script), *words, lab.group, "lknode02"], env=environment))
    assert said["machines"] == MACHINES and said["balancers"] == ["ilb"] and said["groups"] == [lab.group]
    assert sorted(said["nics"]) == sorted(f"{n.host}-nic{1 if n.name == 'eth0' else 2}" for n in topology.make_topology(lab.cluster).nics)
    assert (said["off"], said["on"]) == ("PowerState/stopped", "PowerState/running")


def test_command_line(lab: Any, command_line: Path, tmp_path: Path) -> None:
    azure = lab.azure
    secret = azure.client_secret_file.read_text().strip()
    trusted = tmp_path / "trusted.pem"  # az asks nobody but the lab, so the lab's authority is enough
    trusted.write_text(azure.ca_file.read_text())
    environment = {**os.environ, "AZURE_CONFIG_DIR": str(tmp_path / "config"), "REQUESTS_CA_BUNDLE": str(trusted), "NO_PROXY": "*"}

    def az(*words: str) -> Any:
        said = run([str(command_line), *words, "--output", "json"], env=environment)
        return json.loads(said) if said.strip() else None

    az("config", "set", "core.instance_discovery=false", "core.collect_telemetry=false")
    az("cloud", "register", "--name", "lab", "--endpoint-resource-manager", azure.resource_manager)
    az("cloud", "set", "--name", "lab")
    az("login", "--service-principal", "--username", azure.client_id, "--password", secret, "--tenant", azure.tenant)
    assert sorted(one["name"] for one in az("vm", "list", "--resource-group", lab.group)) == MACHINES
    (rule,) = [
        r for r in az("network", "lb", "rule", "list", "--resource-group", lab.group, "--lb-name", "ilb") if r["name"] == "rule-1521"
    ]
    assert rule["frontendPort"] == 1521
    where = ["--resource-group", lab.group, "--name", "lknode02"]
    az("vm", "stop", *where, "--skip-shutdown")
    assert lab.power("lknode02") == "off"
    az("vm", "start", *where)
    assert lab.power("lknode02") == "on"
    said = az("vm", "run-command", "invoke", *where, "--command-id", "RunShellScript", "--scripts", "hostname")
    assert "lknode02" in said["value"][0]["message"]
    az("logout")
