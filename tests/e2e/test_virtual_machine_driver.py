"""The driver of virtual machines against a QEMU that runs none: taps, inherited files, QMP, ends. Needs root and a tun device."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.lab.guests.machine import tap

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not tap.DEVICE.exists(), reason="makes taps, which needs root and /dev/net/tun")

# Runs in a network namespace of its own, as the lab's first process does.
DRIVE = """
import asyncio, json, os, select, sys
from pathlib import Path
from harness.lab.guests.machine.qemu_command_line import MachineHardware, MachineNic
from harness.lab.guests.machine.virtual_machine import MachinePlan, VirtualMachine

folder = Path(sys.argv[1])
nics = (MachineNic("eth0", "00:0d:3a:14:01:0b"), MachineNic("eth1", "00:0d:3a:14:02:0b"))
management = MachineNic("mgmt0", "52:54:00:ff:00:0b")
hardware = MachineHardware("x86_64", "tcg", 256, 1, folder / "k", folder / "disk", nics, folder / "c", management, "192.168.255.11")
machine = VirtualMachine(MachinePlan("n1", hardware, {"eth0": "leg1", "eth1": "leg2"}, folder / "initrd", b"+seed", folder))
told = {}

def ended(fd):
    return bool(select.select([fd], [], [], 20.0)[0])

def links():
    return sorted(entry["ifname"] for entry in json.loads(os.popen("ip -json link").read()))

async def main():
    told["namespace"] = await machine.power_on()
    told["legs"] = [name for name in links() if name.startswith("leg")]
    told["proxy_arp"] = Path("/proc/sys/net/ipv4/conf/leg2/proxy_arp").read_text().strip()
    machine.connect()
    end = machine.end_fd()
    told["ended early"] = bool(select.select([end], [], [], 0)[0])
    await machine.set_link("eth1", plugged=False)
    await machine.freeze()
    told["frozen"] = machine.power
    await machine.thaw()
    await machine.power_loss()
    told["off"] = [machine.power, machine.own_netns(), ended(end)]
    told["legs without power"] = [name for name in links() if name.startswith("leg")]
    os.system("ip link del leg1; ip link del leg2")
    await machine.power_on()
    end = machine.end_fd()
    await machine.shutdown()
    told["shut down"] = [ended(end), machine.power]
    await machine.power_loss()
    told["files"] = sorted(path.name for path in folder.iterdir())

async def fail():
    try:
        await machine.power_on()
    except OSError as error:
        told["failed"] = [str(error), machine.power]

asyncio.run(fail() if "FAKE_QEMU_FAILS" in os.environ else main())
print(json.dumps(told))
"""


@pytest.fixture
def drive(tmp_path):
    programs, folder = tmp_path / "bin", tmp_path / "lab"
    for made in (programs, folder):
        made.mkdir()
    shutil.copy(Path(__file__).with_name("fake_qemu.py"), programs / "qemu-system-x86_64")
    (programs / "qemu-img").write_text('#!/bin/sh\nfor last; do :; done\necho overlay > "$last"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    (folder / "initrd").write_text("initrd")

    def run(**environment: str) -> tuple[dict, list]:
        record = tmp_path / "record"
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        given = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "FAKE_QEMU_RECORD": str(record), **environment}
        command = ["unshare", "--net", sys.executable, "-c", DRIVE, str(folder)]
        completed = subprocess.run(command, capture_output=True, text=True, env=given, timeout=120)
        assert completed.returncode == 0, completed.stderr
        return json.loads(completed.stdout), [json.loads(line) for line in record.read_text().splitlines()]

    return run


def test_power_nics_and_ends(drive) -> None:
    told, record = drive()
    assert told == {
        "namespace": "",
        "legs": ["leg1", "leg2"],
        "proxy_arp": "1",
        "ended early": False,
        "frozen": "frozen",
        "off": ["off", None, True],
        "legs without power": ["leg1", "leg2"],  # the fabric takes them away
        "shut down": [True, "on"],  # until its end has been seen, as of every host
        "files": ["initrd"],  # what it writes has no name
    }
    started = [data for what, data in record if what == "started"]
    # The taps are those of the fabric's own namespace; QEMU itself is in another, with nothing but the loopback.
    assert started == [{"taps": ["leg1", "leg2"], "links": ["lo"], "initrd": "initrd+seed", "overlay": 0}] * 2
    asked = [what if what != "set_link" else (what, data) for what, data in record if what not in ("started", "qmp_capabilities")]
    unplugged = ("set_link", {"name": "nic-eth1", "up": False})
    assert asked == ["cont", unplugged, "stop", "cont", unplugged, "system_powerdown"]  # the cable stays pulled when power is given back


def test_a_qemu_that_ends_at_once_leaves_the_host_without_power(drive) -> None:
    told, _ = drive(FAKE_QEMU_FAILS="yes")
    assert told == {"failed": ["n1: QEMU ended before its monitor greeted; QEMU's own words are in the lab's log", "off"]}
