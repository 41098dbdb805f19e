"""Pacemaker fences through Azure's API: Debian's fence_azure_arm on a node, with its own identity. Needs root, an engine and the image."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.lab.azure.control_client import ControlClient
from harness.lab.control import lab_registry, nsenter
from harness.lab.guests.images import container_engine, image_store
from harness.lab.lifecycle import default_cluster, launch

pytestmark = pytest.mark.deep
SURVIVOR, LOST = "lknode02", "lknode01"


@pytest.fixture(scope="module")
def running() -> Iterator[launch.RunningLab]:
    try:
        image_store.find(default_cluster.AZURE_IMAGE)
        container_engine.demand()
    except HarnessError as lack:
        pytest.skip(str(lack))
    pytest.importorskip("azure.mgmt.network", reason="the packages of the azure extra are not installed")
    given = default_cluster.with_guests({"manager": {"kind": "pacemaker"}}, "container", azure=True)
    made = launch.up(default_cluster.cluster_data("fast", given), name=f"test-fencing-{os.getpid()}", persistent=False, azure=True)
    yield made
    made.down()


def power_of(lab: lab_registry.LabRecord, node: str) -> str:
    return next(host["power"] for host in lab.ask("status", limit=300)["hosts"] if host["name"] == node)


def test_a_node_that_stands_still_is_powered_off_and_on_by_the_other(running: launch.RunningLab) -> None:
    azure = cluster_config.load(running.cluster_file).azure
    assert azure is not None
    lab, hand = running.record, ControlClient(azure)
    devices = nsenter.run(lab, SURVIVOR, ["stonith_admin", "--list-registered"], limit=120).stdout
    assert "fence" in devices, devices
    lab.ask("power", limit=300, node=LOST, to="freeze")
    deadline = Deadline(600)

    def sent(what: str) -> list[dict]:
        return hand.requests("POST", f"/virtualMachines/{LOST}/{what}$")

    (off,) = deadline.wait_for(lambda: sent("powerOff"), what="the survivor powering it off", every=0.5)
    assert off["query"].get("skipShutdown") in ("true", "True") and off["status"] == 202
    deadline.wait_for(lambda: sent("start"), what="the survivor giving it power again", every=0.5)
    deadline.wait_for(lambda: power_of(lab, LOST), until=lambda power: power == "on", what=f"{LOST} having power again", every=0.5)
    deadline.wait_for(
        lambda: nsenter.run(lab, SURVIVOR, ["stonith_admin", "--history", LOST], limit=120).stdout,
        until=lambda text: f"reboot of {LOST} successful: delegate={SURVIVOR}" in text,
        what="Pacemaker calling it fenced",
        every=0.5,
    )
