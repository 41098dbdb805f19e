"""The lab's first process: fabric, balancer, probes, storage, the hosts' power, and the gate for SSH.

It is process 1 of the lab's pid namespace. When it dies, however it dies, the kernel ends every process of the lab and
with them every namespace, mount, socket and rule.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn

from harness.config import cluster_config
from harness.lab import lab_config, lifekeeper_config, topology
from harness.lab.control.control_socket import Server
from harness.lab.guests import container_provisioning, host_provisioning
from harness.lab.guests.container import ContainerGuest
from harness.lab.guests.container_keeper_client import KeeperClient
from harness.lab.guests.fencing import Fencing
from harness.lab.guests.guest import Guest
from harness.lab.guests.namespace import NamespaceGuest
from harness.lab.guests.shared_storage import Storage
from harness.lab.guests.ssh_proxy import Gate, own_netns
from harness.lab.linux import linux_syscalls
from harness.lab.linux.nft import Nft
from harness.lab.network import dhcp, fabric, fabric_ruleset, platform_endpoints
from harness.lab.network.balancer import Balancer
from harness.lab.network.health_probe import Prober
from harness.lab.network.nsg import Nsg
from harness.lab.network.tcp_reset import Resets, idle_seconds, resets_needed
from harness.lab.process.control_operations import Operations
from harness.lab.services.postgres_template import copy_template

ROOT = Path("/run/lab")
# How long a SYN is remembered that nobody answered, in the place of the kernel's 120 s. As long as one to a node's own address is, a
# connection by the frontend from the same port to that node is given another port, because their answers could not be told apart.
UNANSWERED_TIMEOUT_S = 3


class Lab:
    """Everything of a running lab, put together."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.folder = Path(order["folder"])
        file = Path(order["cluster_file"])
        self.cluster = cluster_config.load(file, trusted=True)  # for its shape: nothing in here runs or reads what it names
        self.settings = lab_config.make_lab_config(self.cluster, file)
        self.topology = topology.make_topology(self.cluster)
        self.began = order["began"]
        self.timings: dict[str, float] = {}
        (self.folder / "events.jsonl").touch(mode=0o600)
        self._events = (self.folder / "events.jsonl").open("a", encoding="utf-8", buffering=1)
        self.nft = Nft()
        self.nsg = Nsg(self.cluster, self.topology, self.settings.nsg, self.settings.unknowns.nsg_destination_under_floating)
        self.balancer = Balancer(self.cluster, self.topology, self.settings, self.nft, self.note)
        probe, unknowns = self.cluster.load_balancer.probe, self.settings.unknowns
        self.hosts: dict[str, Guest] = {}
        self.probers = [Prober(probe, unknowns, m, self.balancer, self.note, self.power_of) for m in self.balancer.members]
        self.resets: Resets | None = None
        self.operations = Operations(self)
        self.shared = container_provisioning.Shared(Path(order.get("shared_folder", ROOT)))  # used by containers only
        self.machines_disk = ROOT / "shared.raw"  # that both nodes see, where they are machines
        self.gates: dict[str, Gate] = {}
        self.home = -1  # the fabric's network namespace, this process's own, from when it serves on
        self._tasks: set[asyncio.Task] = set()

    def power_of(self, host: str) -> str:
        """The power of a host: on, off or frozen."""
        return self.hosts[host].power

    def note(self, source: str, kind: str, text: str, **data: Any) -> None:
        """The lab's own event record, on the machine's wall clock."""
        self._events.write(json.dumps({"wall": round(time.time(), 6), "source": source, "kind": kind, "text": text, "data": data}) + "\n")

    async def network(self) -> None:
        """The hosts' namespaces, the fabric with a leg to every NIC, and the balancer."""
        self.hosts = self._guests()
        began = time.monotonic()
        namespaces = dict(zip(self.hosts, await asyncio.gather(*(h.power_on() for h in self.hosts.values())), strict=True))
        fabric.up(self.cluster, self.topology, namespaces, self.settings.unknowns.arp_answers)
        fabric.batch([*fabric.mark_rules(self.topology), *(platform_endpoints.address_lines() if self.order["azure"] else [])])
        fabric.sysctl("netfilter/nf_conntrack_tcp_loose", 0)  # a forgotten flow must not come back by itself (IDLE-02)
        fabric.sysctl("netfilter/nf_conntrack_tcp_timeout_syn_sent", UNANSWERED_TIMEOUT_S)
        self.nft.run(fabric_ruleset.ruleset(self.cluster, self.topology, self.settings) + self.nsg.ruleset())
        if asking := dhcp.nics_of(self.topology, self.settings.with_dhcp):
            fabric.batch(dhcp.address_lines(self.cluster, asking))
            self.nft.run(dhcp.ruleset(self.cluster, asking))
            self.keep(dhcp.run(dhcp.configuration(self.cluster, self.topology, self.settings.with_dhcp), ROOT / "dhcp.conf"))
        self.balancer.start()
        self.resets = self._resets()
        self.timings["network_s"] = time.monotonic() - began

    def _resets(self) -> Resets | None:
        unknowns = self.settings.unknowns
        if not resets_needed(self.cluster, unknowns.admin_down_established):
            return None
        idle = self.cluster.load_balancer.tcp_reset and fabric_ruleset.idle_applies(self.cluster, self.settings)
        limit = idle_seconds(self.cluster.load_balancer) if idle else None
        return Resets(self.cluster, self.topology, limit, lambda host: self.power_of(host) == "on", self.note)

    def _guests(self) -> dict[str, Guest]:
        """Every host, in the order of the cluster file."""
        bare = bool(self.order["network_only"])
        lab_arguments = (self.cluster, self.settings, self.topology)
        namespace_plans = host_provisioning.plans(*lab_arguments, ROOT, self.folder, bare=bare, azure=bool(self.order["azure"]))
        namespace_guests = {plan.name: NamespaceGuest(plan) for plan in namespace_plans}
        guests: dict[str, Guest] = {**namespace_guests}
        if self.settings.containers:
            keeper = KeeperClient(socket.socket(fileno=self.order["keeper_fd"]))
            plans = container_provisioning.container_plans(
                *lab_arguments, self.folder, self.shared, prefix=self.order["container_prefix"], bare=bare, azure=self.order["azure"]
            )
            guests |= {plan.name: ContainerGuest(plan, keeper) for plan in plans}
        if self.settings.machines:
            from harness.lab.guests.machine import machine_provisioning, virtual_machine  # other labs come up without

            machine_plans = machine_provisioning.machine_plans(
                *lab_arguments,
                self.folder,
                self.machines_disk,
                accelerator=self.order["accelerator"],
                snapshot=Path(self.order["snapshot"]) if self.order["snapshot"] else None,
                bare=bare,
                azure=bool(self.order["azure"]),
            )
            guests |= {plan.name: virtual_machine.VirtualMachine(plan) for plan in machine_plans}
        return {machine.name: guests[machine.name] for machine in self.cluster.machines}

    async def serve(self, listeners: dict[str, socket.socket]) -> None:
        """Brings everything up, then serves until the lab is told to end."""
        self.home = own_netns()
        self.storage = Storage(ROOT / "shared", lambda name: self.hosts[name].processes(), self.note)
        await self.storage.serve(ROOT / "storage.sock")
        fencing = Fencing(self.power_of, self.operations.power, self.note)
        await fencing.serve(ROOT / "fence.sock")
        if self.settings.containers:
            await fencing.serve(self.shared.fence_socket)
        if self.settings.machines:
            from harness.lab.guests.machine import machine_provisioning

            for host in self.hosts.values():
                if host.kind == "machine":
                    await fencing.serve_machine(machine_provisioning.fence_listener(host, self.home))
        for prober in self.probers:
            self.keep(prober.run())
        if self.resets:
            self.keep(self.resets.run())
        for name, listener in listeners.items():
            self.gates[name] = Gate(listener, self.hosts[name].own_netns, self.home)
            self.keep(self.gates[name].run())
        if self.order["azure"]:
            await platform_endpoints.serve()
        await Server(self.operations.table()).start()

    def keep(self, work: Any) -> asyncio.Task:
        """Run something for as long as the lab lives; its failure ends the lab, loudly."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end_task)
        return task

    def _end_task(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            self.note("lab", "fault", f"a part of the lab failed: {task.exception()!r}")
            task.get_loop().call_exception_handler({"message": "a part of the lab failed", "exception": task.exception()})
            os._exit(70)


def tell(news_fd: int, **news: Any) -> None:
    """Writes one JSON line of news for whoever started the lab."""
    os.write(news_fd, json.dumps(news).encode() + b"\n")


def main() -> None:
    """The lab's first process, with its orders as JSON in the first argument."""
    order = json.loads(sys.argv[1])
    news_fd, lifeline = order["said_fd"], order["lifeline_fd"]
    try:
        os.umask(0o022)
        linux_syscalls.tmpfs("/run")
        (ROOT / "shared").mkdir(parents=True)
        lab = Lab(order)
        linux_syscalls.tmpfs(ROOT / "shared", size=f"{lab.settings.shared_disk_mb}m")
        _make_shared_disk(lab)
        if hasattr(asyncio, "PidfdChildWatcher") and sys.version_info < (3, 12):
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())  # the default one uses threads, and hosts are forks of this process
        asyncio.run(end_with(_live(lab, news_fd, lifeline), news_fd))
    except Exception as error:
        _tell_failure(news_fd, error)
        raise


async def end_with(work: Coroutine[Any, Any, None], news_fd: int) -> NoReturn:
    """This process ends when that does, however it does. The event loop's own way out waits for every task and thread, and one of them may
    never end; the kernel takes all of the lab with its first process."""
    try:
        await work
    except BaseException as error:
        traceback.print_exc()
        _tell_failure(news_fd, error)
        os._exit(1)
    os._exit(0)


def _tell_failure(news_fd: int, error: BaseException) -> None:
    with contextlib.suppress(OSError):  # whoever started the lab may be gone, which is why it ends
        tell(news_fd, failed=str(error) or type(error).__name__, code=int(getattr(error, "exit_code", 4)))


def _make_shared_disk(lab: Lab) -> None:
    """The disk that both nodes see, with the database on it: in memory for namespaces and machines, in the lab's folder for containers."""
    template, disk = lab.order["database_template"], ROOT / "shared"
    if lab.settings.containers:
        lab.shared.prepare()
    nodes_image = container_provisioning.image_of(lab.settings.containers.get(lab.cluster.nodes[0].name))
    if nodes_image:
        disk = lab.shared.disk
    if template:
        folders = {"postgres": lifekeeper_config.DATABASE, "mssql": lifekeeper_config.MSSQL_DATABASE}
        for kind in {service.kind for service in lab.cluster.services} & set(folders):
            copy_template(Path(template), disk / folders[kind].name)
        if nodes_image:
            lab.shared.give_database(nodes_image)
    if lab.settings.kind_of(lab.cluster.nodes[0].name) == "machine":
        from harness.lab.guests.machine import machine_provisioning, machine_snapshot

        machines_image = container_provisioning.image_of(lab.settings.machines.get(lab.cluster.nodes[0].name))
        owner = machines_image.ids("postgres") if template and machines_image else None
        if lab.order["snapshot"]:
            return machine_snapshot.copy(Path(lab.order["snapshot"], machine_snapshot.SHARED_DISK), lab.machines_disk)
        machine_provisioning.make_shared_disk(disk, lab.machines_disk, lab.settings.shared_disk_mb, owner)


async def _live(lab: Lab, news_fd: int, lifeline: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_reader(lifeline, ended.set)  # whoever holds its other end has died, or wants the lab down
    await lab.network()
    tell(news_fd, step="network", seconds=lab.timings["network_s"])
    listeners = {name: socket.socket(fileno=fd) for name, fd in lab.order["listeners"].items()}
    await lab.serve(listeners)
    await _wait_until_booted(lab)
    tell(news_fd, step="hosts", seconds=time.time() - lab.began)
    if not lab.order["network_only"]:
        in_service = loop.create_task(_wait_until_in_service(lab))
        waiter = loop.create_task(ended.wait())
        await asyncio.wait({in_service, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if not in_service.done():
            return
        lab.timings["in_service_s"] = in_service.result()
    tell(news_fd, ready=True, timings=lab.timings)
    if lab.order["persistent"]:
        loop.remove_reader(lifeline)
    await ended.wait()


async def _wait_until_booted(lab: Lab) -> None:
    """Boot all hosts at once without keeping the probes and the storage waiting."""
    boots = {name: lab.operations.begin_boot(name) for name in lab.hosts}
    for host in lab.hosts.values():
        host.connect()
    for host in lab.hosts.values():
        await host.wait_until_booted()
        lab.operations.end_boot(host.name, boots[host.name])
        lab.operations.watch(host)


async def _wait_until_in_service(lab: Lab) -> float:
    """Until the balancer sees one healthy member and every service answers there; returns the seconds since the launch began."""
    began, limit = time.monotonic(), lab.order["limit"]
    while not await _serves(lab):
        if time.monotonic() - began > limit:
            raise TimeoutError(
                f"the cluster was not in service within {limit:g} s; see {lab.folder}/log and the cluster manager's log on the nodes"
            )
        await asyncio.sleep(0.01)
    return time.time() - lab.began


async def _serves(lab: Lab) -> bool:
    healthy = [m for m in lab.balancer.members if m.up]
    if len(healthy) != 1:
        return False
    for service in lab.cluster.services:
        try:
            _, writer = await asyncio.open_connection(str(healthy[0].nic.address), service.port)
        except OSError:
            return False
        writer.close()
    return True


if __name__ == "__main__":
    main()
