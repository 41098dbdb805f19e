"""What each lab host is made of: its network, its disk, and what it starts at boot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.config.cluster_config import Cluster, Node
from harness.core.errors import BadUse
from harness.lab import lifekeeper_config
from harness.lab.guests.namespace import Plan
from harness.lab.guests.windows import install as windows
from harness.lab.lab_config import LabSettings, has_windows
from harness.lab.lifekeeper.install import install
from harness.lab.linux.host_filesystem import Disk, FileSystem
from harness.lab.network import fabric
from harness.lab.network.platform_endpoints import RESOURCE_MANAGER, RESOURCE_MANAGER_NAME
from harness.lab.pacemaker import install as pacemaker
from harness.lab.topology import Topology

REPOSITORY = Path(__file__).resolve().parents[3]
SSHD = "/usr/sbin/sshd"
WINDOWS_PROGRAMS = "windows"  # in the lab's folder: the programs in C# for nodes that are stand-ins for Windows
AZURE_FILES = "azure"  # in the lab's folder: the secret and the certificate of the stand-in for Azure's API
AZURE_CA = "etc/lkharness-lab/azure-ca.pem"  # on a host: the authority to trust with it
MSSQL_FILES = "mssql"  # in the lab's folder: the certificate of the stand-in for SQL Server


def plans(cluster: Cluster, settings: LabSettings, topology: Topology, root: Path, folder: Path, *, bare: bool, azure: bool) -> list[Plan]:
    """A plan for every host that is a namespace, its disk formatted. `bare`: no host starts a manager; `azure`: they know its API."""
    keep = tuple(dict.fromkeys(Path(p) for p in (sys.base_prefix, sys.prefix, REPOSITORY)))
    host_plans = []
    for machine in cluster.machines:
        if settings.kind_of(machine.name) != "namespace":
            continue
        is_node = isinstance(machine, Node)
        has_pacemaker = is_node and cluster.manager.kind == "pacemaker"
        shared = {root / "shared": lifekeeper_config.DISK_SOURCE, root / "storage.sock": lifekeeper_config.STORAGE_SOCKET}
        if has_pacemaker:
            shared[root / "fence.sock"] = pacemaker.FENCE_SOCKET
        overlays = ("opt", "usr/sbin") if has_pacemaker else ("opt",)
        disk = FileSystem(root / "hosts" / machine.name, keep, shared if is_node else {}, overlays)
        disk.format()
        disk.write("etc/hostname", f"{machine.name}\n")
        disk.write("etc/hosts", hosts_file(cluster, azure=azure))
        if azure:
            disk.write(AZURE_CA, (folder / AZURE_FILES / "ca.pem").read_text())
        install_sshd(disk, machine.name, folder, motd=stand_in_note(cluster))
        starts = [[SSHD]]
        if isinstance(machine, Node):
            if (folder / MSSQL_FILES).exists():
                certificate = (folder / MSSQL_FILES / "server.pem").read_text()
                disk.write(str(lifekeeper_config.MSSQL_CERTIFICATE.relative_to("/")), certificate, mode=0o600)
            start = _install_cluster_manager(disk, cluster, settings, machine, folder)
            starts += [] if bare else [start]
            if machine.platform == "windows":
                programs = {program.stem: program for program in (folder / WINDOWS_PROGRAMS).glob("*.exe")}
                windows.install(disk, cluster.manager.root, programs, cluster.manager.kind)
                starts.insert(0, windows.START)
        host_plans.append(Plan(machine.name, fabric.guest_lines(topology.of(machine.name)), disk, starts))
    return host_plans


def hosts_file(cluster: Cluster, *, azure: bool) -> str:
    """Its /etc/hosts; `azure`: with the name of Azure's API."""
    lines = ["127.0.0.1 localhost", *(f"{m.address} {m.name}" for m in cluster.machines)]
    lines += [f"{RESOURCE_MANAGER} {RESOURCE_MANAGER_NAME}"] if azure else []
    return "".join(f"{line}\n" for line in lines)


def stand_in_note(cluster: Cluster) -> str:
    """What every face of the lab says of its cluster manager and its nodes."""
    if cluster.manager.kind == "wsfc":
        return f"The failover cluster in this lab is a stand-in made for tests, not Windows Server's. {windows.NOTE}"
    if has_windows(cluster):
        return f"LifeKeeper in this lab is a stand-in made for tests, not the product. {windows.NOTE}"
    if cluster.manager.kind == "pacemaker":
        return "Pacemaker in this lab is Debian's own; the machines, the balancer and the fence device are the lab's."
    return "LifeKeeper in this lab is a stand-in made for tests, not the product."


SSHD_CONFIG = [
    "HostKey /etc/ssh/ssh_host_ed25519_key",
    "AuthorizedKeysFile /etc/ssh/authorized_keys",
    "PermitRootLogin prohibit-password",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "UsePAM no",
    "StrictModes no",  # in a user namespace the directory / belongs to nobody that is known inside
    "UseDNS no",
    "PidFile /run/sshd.pid",
    "SetEnv PATH=/opt/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
]
SFTP = "Subsystem sftp internal-sftp"  # a distribution's own file has a line of it, and a second one is a fault


def install_way_in(disk: Disk, name: str, folder: Path, *, motd: str) -> None:
    """The keys of a host's sshd, and what it greets with."""
    disk.write("etc/ssh/ssh_host_ed25519_key", (folder / "keys" / name).read_text(), mode=0o600)
    disk.write("etc/ssh/authorized_keys", (folder / "keys" / "login.pub").read_text())
    disk.write("etc/motd", f"This is {name}, a host of a test lab. {motd}\n")


def install_sshd(disk: FileSystem, name: str, folder: Path, *, motd: str) -> None:
    """The whole sshd of a host that shares this machine's packages, and its interpreter."""
    install_way_in(disk, name, folder, motd=motd)
    disk.write("opt/lab/bin/lab-python", f"#!/bin/sh\nPYTHONPATH='{REPOSITORY}' exec '{_plain_python()}' -S \"$@\"\n", mode=0o755)
    (disk.disk / "opt/lab/bin/python3").symlink_to(_plain_python())
    disk.write("etc/ssh/sshd_config", "\n".join([*SSHD_CONFIG, SFTP, ""]))


def _plain_python() -> str:
    """The interpreter without the virtual environment: what runs in a host imports nothing but this package, and starts faster."""
    return getattr(sys, "_base_executable", sys.executable)


def _path_on_disk(disk: Path, path: Path) -> Path:
    """Where `path` of a host is on its disk, and nowhere else of this machine. Raises BadUse."""
    resolved = (disk / path.relative_to("/")).resolve()
    if not resolved.is_relative_to(disk.resolve()):
        raise BadUse(f"manager.root: {path} leads out of the lab's host; write where it really is")
    return resolved


def _install_cluster_manager(disk: FileSystem, cluster: Cluster, settings: LabSettings, node: Node, folder: Path) -> list[str]:
    """Returns the command that starts it at boot."""
    if cluster.manager.kind == "pacemaker":
        disk.add_accounts(*pacemaker.accounts())
        pacemaker.install(disk, cluster, secret=(folder / "keys" / "login").read_text())
        return [pacemaker.START]
    structure = lifekeeper_config.structure(cluster, settings, node)
    disk.write("etc/lifekeeper-standin.json", json.dumps(structure, indent=1))
    disk.write("etc/default/LifeKeeper", lifekeeper_config.tunables(cluster, settings))
    install(_path_on_disk(disk.disk, cluster.manager.root), lifekeeper_config.PYTHON)
    return [str(cluster.manager.root / "bin/lkstart")]
