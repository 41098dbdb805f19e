"""Hosts that are virtual machines: power, NICs, snapshots, and nothing left whenever the lab's first process is killed. Needs root, QEMU
and the image's machine disk. One boot serves most of it; emulated it takes minutes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.lab.control import lab_registry, nsenter
from harness.lab.guests.images import image_store, machine_image
from harness.lab.guests.machine import machine_snapshot
from harness.lab.lifecycle import default_cluster, launch, machine_launch

NODE = "lknode02"
LIMIT_S = 1500.0  # for a boot without hardware virtualisation on a busy machine
pytestmark = [pytest.mark.deep, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def image() -> machine_image.MachineImage:
    try:
        machine_launch.demand()
        found = machine_image.find(image_store.find("pacemaker"))
    except HarnessError as lack:
        pytest.skip(str(lack))
    return found or pytest.skip("the image pacemaker has no machine disk")


def data() -> dict:
    given = {"design": "nat", "manager": {"kind": "pacemaker"}}
    return default_cluster.cluster_data("fast", default_cluster.with_guests(given, "machine"))


@pytest.fixture(scope="module")
def lab(image):
    before = stamp(image)
    made = launch.up(data(), name=f"test-machines-{os.getpid()}", persistent=False, network_only=True, may_resume=False)
    yield made.record
    made.down()
    assert stamp(image) == before


def stamp(image: machine_image.MachineImage) -> tuple[int, str]:
    """The image, byte for byte."""
    with image.disk.open("rb") as file:
        return image.disk.stat().st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()


def inside(lab, *words: str, limit: float = 300.0) -> str:
    return nsenter.run(lab, NODE, list(words), limit=limit).stdout


def test_it_has_a_kernel_and_an_init_of_its_own_and_the_fabric_s_nics(lab):
    said = inside(
        lab,
        "sh",
        "-c",
        "cat /proc/1/comm; hostname; ls /sys/class/net; cat /sys/class/net/eth1/address; uname -n; cat /proc/sys/kernel/ostype",
    )
    assert said.split() == ["systemd", NODE, "eth0", "eth1", "lo", "mgmt0", "00:0d:3a:14:02:0c", NODE, "Linux"]
    assert inside(lab, "cat", "/proc/sys/kernel/random/boot_id") != Path("/proc/sys/kernel/random/boot_id").read_text()


def test_it_reaches_its_peer_over_the_fabric_and_nothing_else(lab):
    assert "1 received" in inside(lab, "ping", "-c1", "-W20", "10.20.1.11")
    assert inside(lab, "sh", "-c", "ping -c1 -W2 192.0.2.1 >/dev/null 2>&1; echo $?") == "1\n"


def test_a_nic_s_cable_can_be_pulled(lab):
    carrier = lambda: inside(lab, "cat", "/sys/class/net/eth1/carrier").strip()  # noqa: E731
    assert carrier() == "1"
    lab.ask("link", node=NODE, nic="eth1", plugged=False)
    Deadline(120).wait_for(carrier, until=lambda now: now == "0", what="the NIC's being down", every=0.5)
    lab.ask("link", node=NODE, nic="eth1", plugged=True)
    Deadline(120).wait_for(carrier, until=lambda now: now == "1", what="the NIC's being up", every=0.5)
    with pytest.raises(HarnessError, match="lknode02 has no NIC 'eth7'; it has eth0, eth1"):
        lab.ask("link", node=NODE, nic="eth7", plugged=False)
    with pytest.raises(HarnessError, match="lkclient is a guest of kind namespace"):
        lab.ask("link", node="lkclient", nic="eth0", plugged=False)


def test_frozen_it_stands_still_and_goes_on(lab):
    uptime = lambda: float(inside(lab, "cat", "/proc/uptime").split()[0])  # noqa: E731
    before = uptime()
    assert lab.ask("power", node=NODE, to="freeze", limit=LIMIT_S) == "frozen"
    assert lab.ask("power", node=NODE, to="thaw", limit=LIMIT_S) == "on"
    assert uptime() > before


def test_its_power_is_lost_and_given_back_with_its_disk_as_its_kernel_had_written_it(lab):
    inside(lab, "sh", "-c", "echo kept > /root/kept; echo gone > /run/gone; sync")
    assert lab.ask("power", node=NODE, to="off", limit=LIMIT_S) == "off"
    assert lab.ask("power", node=NODE, to="on", limit=LIMIT_S) == "on"
    assert inside(lab, "cat", "/root/kept", "/run/gone") == "kept\n"
    assert "by itself" not in (lab.folder / "events.jsonl").read_text()  # its end was no surprise


def test_an_orderly_shutdown_stays_off(lab):
    lab.ask("power", node=NODE, to="shutdown", limit=LIMIT_S)
    state = lambda: next(h["power"] for h in lab.ask("status", limit=LIMIT_S)["hosts"] if h["name"] == NODE)  # noqa: E731
    Deadline(600).wait_for(state, until=lambda now: now == "off", what=f"{NODE} being off", every=0.5)
    assert "has shut down in order" in (lab.folder / "events.jsonl").read_text()
    assert lab.ask("power", node=NODE, to="on", limit=LIMIT_S) == "on"


def test_another_lab_goes_on_where_it_was_kept(lab):
    inside(lab, "sh", "-c", "echo in-memory > /run/kept")
    boot = inside(lab, "cat", "/proc/sys/kernel/random/boot_id")
    save = lambda folder: lab.ask("save_machines", limit=LIMIT_S, folder=str(folder))  # noqa: E731
    kept = machine_snapshot.keep(lab.folder, lab.name, ["lknode01", NODE], save)
    try:
        assert inside(lab, "cat", "/run/kept") == "in-memory\n"  # it went on, too
        other = launch.up(data(), name=f"test-resumed-{os.getpid()}", persistent=False, network_only=True)
        try:
            assert inside(other.record, "cat", "/run/kept", "/proc/sys/kernel/random/boot_id") == f"in-memory\n{boot}"
            apart = float(inside(other.record, "date", "+%s.%N")) - float(subprocess.check_output(["date", "+%s.%N"]))
            assert abs(apart) < 60
        finally:
            other.down()
    finally:
        machine_snapshot.remove(kept)


CODE = """
import sys
from harness.lab.lifecycle import launch
import json
launch.up(json.loads(sys.argv[1]), name=sys.argv[2], persistent=True, network_only=True, may_resume=False)
"""


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_nothing_is_left(image, seed):
    """The first process is killed somewhere between its birth and the machines' booting."""
    before = stamp(image)
    name = f"test-killed-{os.getpid()}-{seed}"
    folder = lab_registry.folder_of(name)
    starting = subprocess.Popen([sys.executable, "-c", CODE, json.dumps(data()), name], stderr=subprocess.DEVNULL)
    try:
        console = folder / "guests" / NODE
        Deadline(300).wait_for(console.exists, what="the machines' folder", every=0.005)
        first = Deadline(60).wait_for(lambda: first_process(starting.pid), what="the lab's first process", every=0.005)
        machines = Deadline(60).wait_for(lambda: qemu_of(first), what="a machine", every=0.005) if seed else []
        moment = Deadline(random.Random(seed).uniform(0.0, 8.0))
        moment.wait_for(lambda: moment.expired, what="the moment", every=0.01)
        machines = machines or qemu_of(first)
        os.kill(first, signal.SIGKILL)
        starting.wait(300)
        Deadline(60).wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in machines), what="the machines' end", every=0.05)
    finally:
        starting.kill()
    assert not list(folder.rglob("*.qcow2")) and not folder.exists()
    assert name not in Path("/proc/self/mountinfo").read_text()
    assert stamp(image) == before


def first_process(pid: int) -> int | None:
    """The child of `unshare`, below the process that brings the lab up."""
    for child in children(pid):
        if Path(f"/proc/{child}/comm").read_text() == "unshare\n" and (below := children(child)):
            return below[0]
    return None


def qemu_of(pid: int) -> list[int]:
    return [child for child in children(pid) if Path(f"/proc/{child}/comm").read_text().startswith("qemu-system")]


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
