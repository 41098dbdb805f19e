"""What is laid over the image of a host that is a container: its keys, the cluster's configuration, the lab's services."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.config.cluster_config import Cluster, Node
from harness.lab.guests.container import ContainerPlan
from harness.lab.guests.host_provisioning import AZURE_CA, AZURE_FILES, REPOSITORY, SFTP, SSHD_CONFIG, install_way_in, stand_in_note
from harness.lab.guests.images import image_store
from harness.lab.lab_config import GuestSettings, LabSettings
from harness.lab.lifekeeper_config import DATABASE, DISK_SOURCE
from harness.lab.network import fabric
from harness.lab.network.platform_endpoints import RESOURCE_MANAGER, RESOURCE_MANAGER_NAME
from harness.lab.pacemaker import install as pacemaker
from harness.lab.topology import Topology

FOLDER = "guests"  # in the lab's own folder
LIBRARY = "/opt/lab/lib"
SOCKETS = "/run/lab-sockets"
TMPFILES = f"""L+ {pacemaker.FENCE_SOCKET} - - - - {SOCKETS}/fence.sock
z /var/lib/pacemaker/cib/cib.xml 0600 hacluster haclient -
"""
DHCP_NETWORK = """[Match]
Name=eth*

[Network]
DHCP=ipv4
LinkLocalAddressing=no

[DHCPv4]
ClientIdentifier=mac
"""
DHCP_UNITS = {"multi-user.target": "systemd-networkd.service", "network-online.target": "systemd-networkd-wait-online.service"}
UNITS = ("corosync", "pacemaker")  # that the distribution's packages have started at boot


@dataclass(frozen=True)
class Seed:
    """A folder with what is laid over an image."""

    disk: Path

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        """Put a file there."""
        path = self.disk / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)


@dataclass(frozen=True)
class Shared:
    """What the containers of a lab share with it, below one folder that the keeper removes."""

    folder: Path

    @property
    def disk(self) -> Path:
        """The disk that both nodes see."""
        return self.folder / "disk"

    @property
    def sockets(self) -> Path:
        """Where the lab's devices listen for containers."""
        return self.folder / "sockets"

    @property
    def fence_socket(self) -> Path:
        """Where its fence device does."""
        return self.sockets / "fence.sock"

    def prepare(self) -> None:
        """Make it, empty."""
        for folder in (self.disk, self.sockets):
            folder.mkdir(mode=0o755)

    def give_database(self, image: image_store.Image) -> None:
        """The database on the disk belongs to the image's `postgres`, whatever its number is here."""
        user, group = image.ids("postgres")
        for folder, _, files in os.walk(self.disk / DATABASE.name):
            os.chown(folder, user, group)
            for name in files:
                os.chown(Path(folder, name), user, group, follow_symlinks=False)


def container_plans(
    cluster: Cluster,
    settings: LabSettings,
    topology: Topology,
    folder: Path,
    shared: Shared,
    *,
    prefix: str,
    bare: bool,
    azure: Mapping[str, str] | None,
) -> list[ContainerPlan]:
    """A plan for every host that is a container, with its seed written; their names with the engine begin with `prefix`. With `azure`,
    the subscription and its resource group, they know its API."""
    container_plans_made = []
    for machine in cluster.machines:
        if machine.name not in settings.containers:
            continue
        image = image_store.find(settings.containers[machine.name].image)
        host_folder = folder / FOLDER / machine.name
        seed = Seed(host_folder / "seed")
        if azure:
            seed.write(AZURE_CA, (folder / AZURE_FILES / "ca.pem").read_text())
        fence = (
            {"subscriptionId": azure["subscription"], "resourceGroup": azure["resource_group"]}
            if azure and settings.fence == "azure"
            else None
        )
        write_seed(seed, cluster, machine.name, folder, is_node=isinstance(machine, Node), bare=bare, fence=fence)
        run_folder = host_folder / "run"
        run_folder.mkdir(mode=0o755)
        binds = {f"{REPOSITORY / 'harness'}": f"{LIBRARY}/harness:ro"}
        if isinstance(machine, Node):
            binds |= {str(shared.disk): str(DISK_SOURCE), str(shared.sockets): SOCKETS}
        asks = settings.containers[machine.name].dhcp
        if asks:
            ask_by_dhcp(seed)
        name = f"{prefix}-{machine.name}"
        hosts = {m.name: str(m.address) for m in cluster.machines} | ({RESOURCE_MANAGER_NAME: RESOURCE_MANAGER} if azure else {})
        container_plans_made.append(
            ContainerPlan(
                machine.name,
                name,
                image.tag,
                fabric.guest_lines(topology.of(machine.name), asks=asks),
                seed.disk,
                run_folder,
                hosts,
                binds,
            )
        )
    return container_plans_made


def write_seed(
    seed: Seed,
    cluster: Cluster,
    name: str,
    folder: Path,
    *,
    is_node: bool,
    bare: bool,
    fence: Mapping[str, str] | None = None,
    disk_device: str | None = None,
) -> None:
    """The files of one host. `fence`: what fence_azure_arm must know, where that fences; `disk_device`: the shared disk, where it is a
    block device and not a folder that both nodes see; `bare`: no manager is started at boot."""
    install_way_in(seed, name, folder, motd=stand_in_note(cluster))
    seed.write("etc/ssh/sshd_config", "\n".join([*SSHD_CONFIG, SFTP, ""]))
    seed.write("opt/lab/bin/lab-python", f'#!/bin/sh\nPYTHONPATH={LIBRARY} exec /usr/bin/python3 -S "$@"\n', mode=0o755)
    (seed.disk / "opt/lab/bin/python3").symlink_to("/usr/bin/python3")
    if is_node:
        secret, trusted = (folder / "keys" / "login").read_text(), f"REQUESTS_CA_BUNDLE=/{AZURE_CA}\n" if fence else ""
        pacemaker.configure(seed, cluster, secret, sbin="usr/sbin", azure=fence, environment=trusted, disk_device=disk_device)
        seed.write("etc/tmpfiles.d/lab.conf", TMPFILES)
    if bare or not is_node:
        for unit in UNITS:
            mask = seed.disk / f"etc/systemd/system/{unit}.service"
            mask.parent.mkdir(parents=True, exist_ok=True)
            mask.symlink_to("/dev/null")


def ask_by_dhcp(seed: Seed) -> None:
    """Have systemd's own network manager ask on every NIC, and what needs the network wait for it."""
    seed.write("etc/systemd/network/lab.network", DHCP_NETWORK)
    for target, unit in DHCP_UNITS.items():
        wanted = seed.disk / f"etc/systemd/system/{target}.wants/{unit}"
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.symlink_to(f"/lib/systemd/system/{unit}")


def image_of(guest: GuestSettings | None) -> image_store.Image | None:
    """The image of a host that has one."""
    return image_store.find(guest.image) if guest else None
