"""What is laid over the image of a host that is a virtual machine, and the disk that both nodes share."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import shutil
import socket
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

from harness.config.cluster_config import Cluster, Node
from harness.core.errors import Unusable
from harness.lab.guests.container import SYSCTLS
from harness.lab.guests.container_provisioning import FOLDER, LIBRARY, Seed, ask_by_dhcp, write_seed
from harness.lab.guests.guest import Guest
from harness.lab.guests.host_provisioning import AZURE_CA, AZURE_FILES, REPOSITORY, hosts_file
from harness.lab.guests.images import image_store, machine_image
from harness.lab.guests.machine import machine_snapshot
from harness.lab.guests.machine.qemu_command_line import HOST_ADDRESS, MANAGEMENT_NET, MachineHardware, MachineNic
from harness.lab.guests.machine.virtual_machine import MachinePlan, VirtualMachine
from harness.lab.guests.ssh_proxy import socket_inside
from harness.lab.lab_config import LabSettings
from harness.lab.network import fabric
from harness.lab.pacemaker.fence_agent import DEVICE as FENCE_DEVICE
from harness.lab.topology import Nic, Topology

SHARED_DEVICE = "/dev/vdb"  # as the nodes see it: their second disk
MANAGEMENT_NIC = "mgmt0"  # carried by QEMU, not by the fabric: a management access outside the cluster's network
FIRST_HOST = 11  # the first host has this number in the management network
FENCE_PORT = 4711
ROOMS = ("core", "lab/linux", "lab/pacemaker", "lab/services")  # of this package, that the lab's services and agents need
CONSOLE = "console.log"
NETWORK = "opt/lab/bin/set-up-network"
TMPFILES = "z /var/lib/pacemaker/cib/cib.xml 0600 hacluster haclient -\n"
# systemd's own 90 s are too few for a cluster manager that starts in an emulated machine on a busy one; it would be stopped halfway.
SYSTEMD = "[Manager]\nDefaultTimeoutStartSec=900s\n"
NETWORK_UNIT = f"""[Unit]
Description=Addresses of the lab's NICs, as DHCP would give them
DefaultDependencies=no
After=systemd-remount-fs.service
Before=network-pre.target network.target network-online.target ssh.service
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/{NETWORK}
"""
# logind hears of a power button from udev, which an image has not.
BUTTON_UNIT = """[Unit]
Description=The power button of a lab's machine

[Service]
ExecStart=/opt/lab/bin/power-button
"""
BUTTON = """#!/bin/sh
for name in /sys/class/input/event*/device/name; do
  [ "$(cat "$name")" = "Power Button" ] || continue
  event=${name#/sys/class/input/}
  dd if="/dev/input/${event%%/*}" of=/dev/null bs=24 count=1 2>/dev/null && exec systemctl poweroff
done
exit 1
"""


def machine_plans(
    cluster: Cluster,
    settings: LabSettings,
    topology: Topology,
    folder: Path,
    shared_disk: Path,
    *,
    accelerator: str,
    snapshot: Path | None,
    bare: bool,
    azure: bool,
) -> list[MachinePlan]:
    """A plan for every host that is a virtual machine; with the folder of a `snapshot` they go on from it. Raises Unusable where an
    image has no machine disk yet."""
    plans = []
    for number, machine in enumerate(cluster.machines):
        if machine.name not in settings.machines:
            continue
        guest = settings.machines[machine.name]
        image = machine_image.find(image_store.find(guest.image))
        if image is None:
            raise Unusable(f"the image {guest.image} has no machine disk; make it with: lkharness lab image build {guest.image} --machine")
        host_folder = folder / FOLDER / machine.name
        is_node, nics = isinstance(machine, Node), topology.of(machine.name)
        seed = Seed(host_folder / "seed")
        if azure:
            seed.write(AZURE_CA, (folder / AZURE_FILES / "ca.pem").read_text())
        write_seed(seed, cluster, machine.name, folder, is_node=is_node, bare=bare, disk_device=SHARED_DEVICE)
        _write_machine_files(seed, machine.name, hosts_file(cluster, azure=azure), nics, _management_address(number), asks=guest.dhcp)
        if guest.dhcp:
            ask_by_dhcp(seed)
        hardware = MachineHardware(
            architecture=platform.machine(),
            accelerator=accelerator,
            memory_mb=guest.memory_mb,
            processors=guest.processors,
            kernel=image.kernel,
            disk=image.disk,
            nics=tuple(MachineNic(nic.name, nic.mac) for nic in nics),
            console=host_folder / CONSOLE,
            management=MachineNic(MANAGEMENT_NIC, f"52:54:00:ff:00:{FIRST_HOST + number:02x}"),
            management_address=_management_address(number),
            shared_disk=shared_disk if is_node else None,
        )
        legs, archive = {nic.name: nic.leg for nic in nics}, machine_image.seed_archive(seed.disk)
        resumed = machine_snapshot.disk_of(snapshot, machine.name) if snapshot else None
        plans.append(MachinePlan(machine.name, hardware, legs, image.initrd, archive, host_folder, resumed))
        shutil.rmtree(seed.disk)
    return plans


def _management_address(number: int) -> str:
    """Another one for each host, though each has that network for itself: two hosts with one address look like a fault."""
    return str(IPv4Network(MANAGEMENT_NET)[FIRST_HOST + number])


def _write_machine_files(seed: Seed, name: str, hosts: str, nics: list[Nic], management_address: str, *, asks: bool) -> None:
    seed.write("etc/hostname", f"{name}\n")
    seed.write("etc/hosts", hosts)
    seed.write("etc/machine-id", f"{secrets.token_hex(16)}\n", mode=0o444)
    seed.write("etc/tmpfiles.d/lab.conf", TMPFILES)
    seed.write("etc/systemd/system.conf.d/lab.conf", SYSTEMD)
    seed.write(str(FENCE_DEVICE).lstrip("/"), f"{HOST_ADDRESS} {FENCE_PORT}\n")
    seed.write(NETWORK, network_script(nics, management_address, asks=asks), mode=0o755)
    seed.write("opt/lab/bin/power-button", BUTTON, mode=0o755)
    for unit, text in (("lab-network", NETWORK_UNIT), ("lab-power-button", BUTTON_UNIT)):
        seed.write(f"etc/systemd/system/{unit}.service", text)
        wanted = seed.disk / f"etc/systemd/system/multi-user.target.wants/{unit}.service"
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.symlink_to(f"../{unit}.service")
    library = seed.disk / LIBRARY.lstrip("/") / "harness"
    for room in ROOMS:
        shutil.copytree(REPOSITORY / "harness" / room, library / room)
    for room in ("", "lab"):
        shutil.copyfile(REPOSITORY / "harness" / room / "__init__.py", library / room / "__init__.py")


def programs_key(package: Path = REPOSITORY / "harness") -> str:
    """Changes with every program of this package that is in a machine, and with what writes its configuration."""
    folders = [*(package / room for room in ROOMS), package / "lab/guests/machine"]
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))] + [package / "lab/guests/container_provisioning.py"]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(package)} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def network_script(nics: list[Nic], management_address: str, *, asks: bool = False) -> str:
    """What gives a machine's NICs their addresses when it boots, where it does not ask for them. The NIC behind the fabric's is the
    management's."""
    settings = "".join(f"echo {value} > /proc/sys/net/{name}\n" for name, value in SYSCTLS.items())
    lines = fabric.guest_lines(nics, asks=asks)
    lines[1:1] = [f"link set eth{len(nics)} name {MANAGEMENT_NIC}", f"link set {MANAGEMENT_NIC} up"]
    lines.append(f"address add {management_address}/{IPv4Network(MANAGEMENT_NET).prefixlen} dev {MANAGEMENT_NIC}")
    return f"#!/bin/sh -e\n{settings}exec ip -batch - <<END\n" + "\n".join(lines) + "\nEND\n"


def make_shared_disk(folder: Path, file: Path, megabytes: int, owner: tuple[int, int] | None) -> None:
    """A disk with an ext4 file system and what is in `folder`, which belongs to `owner` there. Raises Unusable."""
    for path, folders, files in os.walk(folder):
        if owner and Path(path) != folder:
            for name in ("", *folders, *files):
                os.chown(Path(path, name), *owner, follow_symlinks=False)
    command = ["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", str(folder), str(file), f"{megabytes}M"]
    completed = subprocess.run(command, capture_output=True, text=True)
    if completed.returncode != 0:
        raise Unusable(f"the shared disk could not be made: {(completed.stderr.strip().splitlines() or ['mke2fs said nothing'])[-1]}")


def fence_listener(guest: Guest, home: int) -> socket.socket:
    """Where the fence agent of a machine is listened for: the loopback that the machine sees as HOST_ADDRESS. `home` is this process's own
    network namespace."""
    assert isinstance(guest, VirtualMachine)
    listener = socket_inside(guest.management_netns, home)
    listener.bind(("127.0.0.1", FENCE_PORT))
    listener.listen(16)
    return listener
