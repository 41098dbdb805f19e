"""Making a running lab as a bundle found a cluster: who is active, where the VIP is, who listens where, kernel settings, dead paths."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence

from harness.collect.lab_from_bundle import ANY, Binding, Shape, Vip
from harness.config.cluster_config import Cluster
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.core.timeline import Timeline
from harness.hosts.linux.linux_parse import Listener, addresses, listeners
from harness.hosts.ssh.ssh_host import connect_all
from harness.lab import lifekeeper_config
from harness.lab.control import nsenter
from harness.lab.control.lab_registry import LabRecord
from harness.lab.guests import host_provisioning
from harness.lab.lab_config import DATABASES
from harness.managers.manager import ClusterState, Manager
from harness.managers.manager_registry import manager_of

# Between two checks of the stand-in: for nearly an hour it leaves alone what was broken on purpose. From an hour on `check` calls it rare.
SUSPENDED_CHECK_INTERVAL_S = 3500.0
JOIN_TIMEOUT_S = 30.0  # until the nodes have found each other
LISTEN_TIMEOUT_S = 10.0  # until a program that was started in a host listens


def suspend_checks(shape: Shape) -> None:
    """Keep the manager's checks from mending what is set by hand; called before the lab comes up."""
    if not shape.needs_checks_off:
        return
    if shape.data["manager"]["kind"] == "pacemaker":
        shape.differs.append("Pacemaker checks its resources and will fix what was broken here")
        return
    lab = shape.data.setdefault("lab", {})
    lab["lifekeeper"] = {**lab.get("lifekeeper", {}), "LKCHECKINTERVAL": SUSPENDED_CHECK_INTERVAL_S}
    shape.differs.append("the stand-in's own checks sleep, so that they leave the faults alone; a switchover would fix them")


def apply(lab: LabRecord, cluster: Cluster, shape: Shape) -> list[str]:
    """Do everything to the lab; returns a sentence for each thing that could not be done."""
    hosts = connect_all(cluster, Timeline())
    shape_maker = _Reproduction(lab, cluster, manager_of(cluster, hosts))
    try:
        shape_maker.make_everything(shape)
        if not shape_maker.is_as_wanted(shape):  # the one check that the stand-in makes when it starts may have met a fault half made
            shape_maker.failed.clear()
            shape_maker.make_everything(shape)
        if not shape_maker.is_as_wanted(shape):
            shape_maker.failed.append(f"{shape.active} does not keep what it had in service: the cluster manager moved it")
        shape_maker.know_dead_paths(shape)
    finally:
        for host in hosts.values():
            host.close()
    return shape_maker.failed


def still_alive(state: ClusterState, cuts: Sequence[tuple[str, str]]) -> list[str]:
    """The communication paths between these addresses that a node takes for alive. Pure."""
    cut_addresses = re.compile("|".join(rf"(?<![\d.]){re.escape(address)}(?![\d.])" for pair in cuts for address in pair) or r"(?!)")
    return [
        f"{node.node}: {path.addresses}"
        for node in state.nodes.values()
        for path in node.comm_paths
        if path.alive and cut_addresses.search(path.addresses)
    ]


class _Reproduction:
    def __init__(self, lab: LabRecord, cluster: Cluster, manager: Manager) -> None:
        self._lab, self._cluster, self._manager = lab, cluster, manager
        self._is_second_round = False
        self.failed: list[str] = []

    def make_everything(self, shape: Shape) -> None:
        """Each thing by itself: one that fails is noted, and the rest is done."""
        steps: list[Callable[[], object]] = [
            lambda: self.roles(shape),
            *(lambda b=b: self.binding(b) for b in shape.bindings),
            *(lambda v=v: self.vip(v) for v in shape.vips),
            *(lambda h=h, v=v: self.sysctls(h, v) for h, v in shape.sysctls.items()),
            *(lambda c=c: self._lab.ask("cut", source=c[0], destination=c[1]) for c in shape.cuts),
        ]
        for step in steps:
            try:
                step()
            except (HarnessError, OSError, ValueError, subprocess.SubprocessError) as error:
                self.failed.append(str(error))

    def is_as_wanted(self, shape: Shape) -> bool:
        return self._manager.state().leading == shape.active

    def know_dead_paths(self, shape: Shape) -> None:
        """Until the nodes take every path for dead that was cut: they do when heartbeats are missing."""
        if not shape.cuts:
            return
        manager = self._cluster.manager
        limit = Deadline(JOIN_TIMEOUT_S + 2 * manager.heartbeat_s * manager.heartbeats_missed)
        try:
            limit.wait_for(
                lambda: still_alive(self._manager.state(), shape.cuts),
                until=lambda alive_paths: not alive_paths,
                what="the communication paths that were cut being dead to the nodes",
                every=0.1,
            )
        except DeadlineExceeded as error:
            self.failed.append(str(error))

    def roles(self, shape: Shape) -> None:
        """The active node, and what is out of service there."""
        assert shape.active is not None
        deadline = Deadline(JOIN_TIMEOUT_S + 2 * self._cluster.manager.takeover_s)
        # Healthy, that is past its start. In a second round paths may be cut and parts out of service: then whoever leads is enough.
        is_in_service = (lambda s: s.leading is not None) if self._is_second_round else (lambda s: s.healthy)
        deadline.wait_for(self._manager.state, until=is_in_service, what="the lab's cluster being in service", every=0.1)
        self._is_second_round = True
        if self._manager.state().leading != shape.active:
            self._manager.switch_over(shape.active, deadline=deadline)
        for tag in shape.out:
            self._manager.take_out(tag, shape.active, deadline=deadline)

    def binding(self, target: Binding) -> None:
        """End whoever has the port, and have it listened on at the addresses that are wanted."""
        node, port = target.node, target.port
        service = next((s for s in self._cluster.services if s.name == target.service), None)
        present_listeners = self._listening(node, port)
        if service and service.kind in DATABASES:
            if not present_listeners and target.addresses:
                self.failed.append(f"{node}: the database listened there too; the lab's disk is with one node only, so here it does not")
                return
            # Its data directory belongs to one server: it has to end in order, and starts once with all addresses.
            self._run_in_host(node, lifekeeper_config.command(service, node, "stop"))
            if target.addresses:
                self._run_in_host(node, lifekeeper_config.command(service, node, "start", bind=",".join(target.addresses)))
            return
        for pid in {str(listener.pid) for listener in present_listeners if listener.pid}:
            self._run_in_host(node, ["kill", "-KILL", pid])
        Deadline(LISTEN_TIMEOUT_S).wait_for(lambda: not self._listening(node, port), what=f"{node}: port {port} being free", every=0.05)
        for address in target.addresses or ():
            if service:
                command = lifekeeper_config.command(service, node, "start", bind=address)
                command = command[command.index("--") + 1 :]
                command = [lifekeeper_config.PYTHON, "-m", f"harness.lab.services.{command[0]}", *command[1:]]
            elif target.sshd:
                command = [host_provisioning.SSHD, "-D", "-p", str(port), "-o", f"ListenAddress={address}:{port}", "-o", "PidFile=none"]
            else:
                module = "http_server" if self._cluster.load_balancer.probe.protocol == "http" else "echo"
                command = [
                    lifekeeper_config.PYTHON,
                    "-m",
                    f"harness.lab.services.{module}",
                    "--port",
                    str(port),
                    "--bind",
                    address,
                    "--node",
                    node,
                ]
            self._run_in_host(node, ["sh", "-c", f"setsid {shlex.join(command)} </dev/null >>/var/log/as-found.log 2>&1 &"])
        if target.addresses:
            Deadline(LISTEN_TIMEOUT_S).wait_for(
                lambda: {listener.address for listener in self._listening(node, port)},
                until=lambda present_addresses: set(target.addresses) <= {ANY if a == "*" else a for a in present_addresses},
                what=f"{node}: port {port} being listened on at {', '.join(target.addresses)}",
                every=0.05,
            )

    def vip(self, placement: Vip) -> None:
        vip = str(self._cluster.vip)
        node_addresses = addresses(self._run_in_host(placement.node, ["ip", "-json", "addr"]))
        present_places = {(a.interface, a.prefix) for a in node_addresses if a.address == vip}
        for nic, prefix in set(placement.places) - present_places:
            self._run_in_host(placement.node, ["ip", "addr", "add", f"{vip}/{prefix}", "dev", nic])
        for nic, prefix in present_places - set(placement.places):
            self._run_in_host(placement.node, ["ip", "addr", "del", f"{vip}/{prefix}", "dev", nic])

    def sysctls(self, host: str, values: dict[str, str]) -> None:
        """Those that differ; what applies to all NICs first, because it may reach into each."""
        order = sorted(values, key=lambda n: (".conf." in n, ".all." not in n, ".default." not in n, n))
        lines = [
            f'f=/proc/sys/{name.replace(".", "/")}; [ "$(tr -s "\\t" " " <$f)" = {(v := shlex.quote(" ".join(values[name].split())))} ] '
            f"|| echo {v} >$f || echo FAILED {name}"
            for name in order
        ]
        completed = nsenter.run(self._lab, host, ["sh", "-c", "\n".join(lines)])
        refused = [line.split()[1] for line in completed.stdout.splitlines() if line.startswith("FAILED ")]
        if refused:
            self.failed.append(f"{host}: the lab's kernel does not let it set {', '.join(refused)}")

    def _listening(self, node: str, port: int) -> list[Listener]:
        return [listener for listener in listeners(self._run_in_host(node, ["ss", "-Hltnp"])) if listener.port == port]

    def _run_in_host(self, node: str, command: list[str]) -> str:
        completed = nsenter.run(self._lab, node, command)
        if completed.returncode != 0:
            raise Unusable(f"{node}: `{shlex.join(command)[:160]}` exited {completed.returncode}: {completed.stderr.strip()[-300:]}")
        return completed.stdout
