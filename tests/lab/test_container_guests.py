"""Hosts that are containers: power, and nothing left whenever the lab's first process is killed. Needs root, an engine and the image."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.lab.control import lab_registry, nsenter
from harness.lab.guests import container_keeper
from harness.lab.guests.images import container_engine, image_store
from harness.lab.lifecycle import default_cluster, launch
from harness.lab.network import dhcp

NODE, ASKS = "lknode02", "lknode01"
pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def used():
    try:
        image_store.find("pacemaker")
        return container_engine.demand()
    except HarnessError as lack:
        pytest.skip(str(lack))


def data(design: str = "nat") -> dict:
    given = {"design": design, "manager": {"kind": "pacemaker"}}
    return default_cluster.cluster_data("fast", default_cluster.with_guests(given, "container"))


@pytest.fixture(scope="module")
def lab(used):
    given = data()
    if shutil.which(dhcp.PROGRAM):
        given["lab"]["guests"] = {**given["lab"]["guests"], ASKS: {"kind": "container", "dhcp": True}}
    made = launch.up(given, name=f"test-containers-{os.getpid()}", persistent=False, network_only=True)
    yield made.record
    made.down()


def test_each_has_its_own_init_and_only_the_fabric_s_legs(lab):
    said = nsenter.run(lab, NODE, ["sh", "-c", "cat /proc/1/comm; hostname; ls /sys/class/net; nft list ruleset"]).stdout
    assert said.split() == ["systemd", NODE, "eth0", "eth1", "lo"]


def addresses(lab: lab_registry.LabRecord) -> list[str]:
    """Of the guest that asks: NIC, address, and whether it came by DHCP, which is then for ever."""
    links = json.loads(nsenter.run(lab, ASKS, ["ip", "-4", "-json", "address"]).stdout)
    return [
        f"{link['ifname']} {a['local']}/{a['prefixlen']} {a.get('protocol', '')}".strip()
        for link in links
        for a in link["addr_info"]
        if link["ifname"] != "lo"
    ]


@pytest.mark.skipif(shutil.which(dhcp.PROGRAM) is None, reason="needs dnsmasq (Debian package dnsmasq-base)")
def test_one_that_asks_is_given_its_addresses_and_routes(lab):
    """By its own network manager, from the fabric, after it has lost its power, too."""
    wanted = ["eth0 10.20.1.11/24", "eth1 10.20.2.11/24"]
    for again in (True, False):
        Deadline(120).wait_for(lambda: addresses(lab), until=lambda found: found == wanted, what="both addresses", every=0.2)
        routes = nsenter.run(lab, ASKS, ["ip", "-4", "route"]).stdout.splitlines()
        told = {line.split(" proto")[0] for line in routes if "proto dhcp" in line and " via " in line}
        assert told == {f"{target} via 10.20.1.1 dev eth0" for target in ("168.63.129.16", "169.254.169.254", "default")}, routes
        if again:
            lab.ask("power", limit=300, node=ASKS, to="off")
            lab.ask("power", limit=300, node=ASKS, to="on")


def test_its_power_is_lost_and_given_back_with_its_disk_as_it_was(lab):
    nsenter.run(lab, NODE, ["sh", "-c", "echo kept > /root/kept; echo gone > /run/gone; sync"])
    assert lab.ask("power", limit=300, node=NODE, to="off") == "off"
    assert lab.ask("power", limit=300, node=NODE, to="on") == "on"
    assert nsenter.run(lab, NODE, ["cat", "/root/kept", "/run/gone"]).stdout == "kept\n"
    assert "by itself" not in (lab.folder / "events.jsonl").read_text()  # its end was no surprise


def test_frozen_it_can_be_thawed_and_its_power_can_be_cut(lab):
    assert lab.ask("power", limit=300, node=NODE, to="freeze") == "frozen"
    assert lab.ask("power", limit=300, node=NODE, to="thaw") == "on"
    assert nsenter.run(lab, NODE, ["echo", "alive"]).stdout == "alive\n"
    lab.ask("power", limit=300, node=NODE, to="freeze")
    assert lab.ask("power", limit=300, node=NODE, to="off") == "off"
    assert lab.ask("power", limit=300, node=NODE, to="on") == "on"


def test_an_orderly_shutdown_stays_off(lab):
    lab.ask("power", limit=300, node=NODE, to="shutdown")
    state = lambda: next(h["power"] for h in lab.ask("status", limit=300)["hosts"] if h["name"] == NODE)  # noqa: E731
    Deadline(300).wait_for(state, until=lambda now: now == "off", what=f"{NODE} being off", every=0.1)
    assert "has shut down in order" in (lab.folder / "events.jsonl").read_text()
    assert lab.ask("power", limit=300, node=NODE, to="on") == "on"


CODE = """
import sys
from harness.lab.lifecycle import launch
import json
launch.up(json.loads(sys.argv[1]), name=sys.argv[2], persistent=True, network_only=True)
"""


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_nothing_is_left(used, seed):
    """The first process is killed somewhere between its birth and the lab's being up."""
    name = f"test-killed-{os.getpid()}-{seed}"
    folder = lab_registry.folder_of(name)
    starting = subprocess.Popen([sys.executable, "-c", CODE, json.dumps(data()), name], stderr=subprocess.DEVNULL)
    record = folder / lab_registry.KEEPER
    try:
        Deadline(300).wait_for(record.exists, what="the keeper", every=0.005)
        keeper = Deadline(60).wait_for(lambda: _json(record), what="its record", every=0.005)
        label = container_keeper.label_of(keeper["pid"], keeper["start_ticks"])
        assert container_keeper.keeper_lives(label), "or it would be one of another machine, of which everything below is true"
        unshare = Deadline(300).wait_for(lambda: _children(starting.pid, keeper["pid"]), what="the lab's process", every=0.005)[0]
        first = Deadline(60).wait_for(lambda: _children(unshare, 0), what="its first process", every=0.005)[0]
        moment = Deadline(random.Random(seed).uniform(0.0, 4.0))
        moment.wait_for(lambda: moment.expired or starting.poll() is not None, what="the moment", every=0.01)
        os.kill(first, signal.SIGKILL)
        starting.wait(300)
        Deadline(300).wait_for(lambda: not container_keeper.keeper_lives(label), what="the keeper's end", every=0.05)
    finally:
        starting.kill()
    assert used.of(label) == []
    assert [p for p in Path("/dev/shm").glob(f"lkharness-{name}-*")] == []
    assert name not in Path("/proc/self/mountinfo").read_text()
    if folder.exists():  # it was up already: the folder of a dead lab, as always
        lab_registry.read(folder).end()


def _json(file: Path) -> dict | None:
    try:
        return json.loads(file.read_text())
    except ValueError:
        return None  # half of it is written


def _children(pid: int, but: int) -> list[int]:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in found if int(child) != but and Path(f"/proc/{child}/comm").read_text() != "ssh-keygen\n"]
