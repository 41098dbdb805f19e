"""A cluster of two Windows nodes for tests: its nodes take scripts by name and parameters, its manager is asked nothing outside."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

from permissive_manager import PermittingManager
from windows_node import WindowsNode, rows

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.timeline import Timeline
from harness.hosts.windows.script_protocol import ScriptAnswer
from harness.hosts.windows.windows_host import WindowsHost
from harness.managers.manager import ClusterState, CommPath, NodeState, ResourceState
from harness.managers.windows_base import OnWindows

TOKEN = "0123456789abcdef"
CLUSTER = cluster_config.Cluster.model_validate(
    {
        "name": "windows",
        "client": {"name": "lkclient", "address": "10.20.1.100"},
        "nodes": [
            {"name": f"lknode0{i}", "address": f"10.20.1.1{i}", "second_address": f"10.20.2.1{i}", "platform": "windows"} for i in (1, 2)
        ],
        "services": [{"name": "oracle", "kind": "oracle", "port": 1521, "tag": "listener-1521"}],
        "manager": {"kind": "lifekeeper-windows", "resource": "listener-1521", "hc_timeout_s": 20.0},
        "power": {to: ["power", to, "{node}", "{seconds}"] for to in ("off", "on", "reboot", "freeze", "thaw")},
    }
)
NICS = {"Ethernet": "address", "Ethernet 2": "second_address"}
PROFILE = {"Enabled": "True", "AllowLocalFirewallRules": "NotConfigured", "DisabledInterfaceAliases": []}


class Manager(PermittingManager, OnWindows):  # type: ignore[misc]
    """Calls a path dead while the node at its end has a rule of ours."""

    def __init__(self, hosts: dict[str, WindowsNode]) -> None:
        PermittingManager.__init__(self, ClusterState({}))
        OnWindows.__init__(self, CLUSTER, hosts)
        self.of, self.here = hosts, True

    def has_in_service(self, tag: str, node: str, *, limit: float = 20.0) -> bool | None:
        return self.here

    def state(self, *, limit: float = 20.0) -> ClusterState:
        alive = not any(host.rules for host in self.of.values())
        found = {}
        for one, other in ((1, 2), (2, 1)):
            paths = tuple(CommPath(f"lknode0{other}", f"10.20.{net}.1{one}/10.20.{net}.1{other}", alive) for net in (1, 2))
            found[f"lknode0{one}"] = NodeState(
                f"lknode0{one}", True, {"ip": ResourceState.IN_SERVICE if one == 1 else ResourceState.STANDBY}, paths
            )
        return ClusterState(found)

    def switch_over_lines(self, to: str) -> list[str]:
        return [f"perform_action on {to}"]

    def clear_failure(self, tag: str, node: str, *, deadline: Deadline) -> None:
        raise AssertionError("nothing failed")

    def __getattr__(self, name: str):
        raise AttributeError(name)


Manager.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


class Node(WindowsNode):
    """Also tells its addresses, its firewall, its listeners and processes."""

    def __init__(self, number: int) -> None:
        super().__init__(f"lknode0{number}")
        node = CLUSTER.node(self.name)
        self.nics = {alias: str(getattr(node, which)) for alias, which in NICS.items()}
        self.processes = {42: "2026-11-29T08:00:00.0000000Z"}
        self.owner = {"Id": 42, "Name": "TNSLSNR", "StartedAt": self.processes[42], "Services": ["OracleListener"], "Restarts": False}
        self.free, self.starts = 10**9, "Automatic"
        self.ports = {1521: 42, 12345: 42}

    def _host(self, given: dict[str, Any]) -> ScriptAnswer:
        texts = {"Name": self.name, "Version": "5.1", "LanguageMode": "FullLanguage", "UICulture": "de-DE", "Policy": "RemoteSigned"}
        return rows({**texts, "CodePage": 850, "Elevated": True, "TempFree": self.free, "BootId": None, "BootedAt": None})

    def _job_state(self, given: dict[str, Any]) -> ScriptAnswer:
        return rows()

    def _service(self, given: dict[str, Any]) -> ScriptAnswer:
        return rows({"Name": given["Name"], "Status": "Running", "StartType": self.starts, "Process": None, "Account": None})

    def alive(self, *, limit: float = 2.0) -> bool:
        return self.hears

    def _addresses(self, given):
        about = {"InterfaceIndex": 1, "PrefixLength": 24, "AddressState": "Preferred", "PrefixOrigin": "Dhcp", "SkipAsSource": False}
        return rows(*({"InterfaceAlias": n, "IPAddress": a, "Status": "Up", **about} for n, a in self.nics.items()))

    def _firewall(self, given):
        more = {"DefaultInboundAction": "Block", "DefaultOutboundAction": None, "AllowInboundRules": None}
        nics = ({"K": "nic", "InterfaceAlias": n, "NetworkCategory": "Private", "Addresses": [a]} for n, a in self.nics.items())
        return rows({"K": "profile", "Name": "Private", **PROFILE, **more}, *nics)

    def _listeners(self, given):
        return rows(*({"LocalAddress": "0.0.0.0", "LocalPort": p, "OwningProcess": i, "Process": "TNSLSNR"} for p, i in self.ports.items()))

    def _process_owner(self, given):
        return rows(*([self.owner] if given["Id"] in self.processes else []))

    def _process_kill(self, given):
        return self._deed(given, lambda: self.processes.pop(given["Id"]))

    def _process(self, given):
        return rows(*({"Id": i, "Name": "x", "StartedAt": at} for i, at in self.processes.items() if i == given["Id"]))


def subject_of(*, token: str = TOKEN) -> Any:
    """`token`: of the lease that both nodes have; none where it is empty."""
    hosts = {f"lknode0{i}": Node(i) for i in (1, 2)}
    for host in hosts.values():
        host.lease = {"token": token, "boot": host.boot, "until": 1e9} if token else None
    manager = Manager(hosts)
    return SimpleNamespace(
        cluster=CLUSTER, active="lknode01", standby_of=lambda a: CLUSTER.peer_of(a).name, manager=manager,
        state=lambda **limit: manager.state(**limit), hosts=hosts,
        facts={name: WindowsHost(host) for name, host in hosts.items()}, timeline=Timeline(), lease_token=token, lease_line="x",
        standing=[], absent=set(), arming=lambda one: None, disarmed=lambda token: None, lost=str, before_undoing=lambda: None,
        together=lambda *works: [work() for work in works], runs_commands=lambda name: True,
        one_look=contextlib.nullcontext, cleaner=SimpleNamespace(values=[]),
        wait_until_healthy=lambda deadline: manager.state(), close=lambda: None,
    )  # fmt: skip
