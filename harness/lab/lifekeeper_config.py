"""What the stand-in for LifeKeeper protects on a lab node, made from the cluster file.

    cluster-services (group) → every service → the IP resource and the health-check responder; a database → the shared disk too

Application on top, IP and health check as its children, as in the vendor's Azure set-up (facts LKL-55). Beneath the stand-in for Windows'
failover cluster, which is this one told in other words, the IP resource answers the probe itself (facts WSFC-01).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.config.cluster_config import Cluster, Node, Service
from harness.lab.lab_config import DATABASES, STAND_INS, LabSettings

PYTHON = "/opt/lab/bin/lab-python"  # runs the lab's own modules inside a host
MOUNTPOINT = Path("/srv/shared")
DATABASE = MOUNTPOINT / "pgdata"
MSSQL_DATABASE = MOUNTPOINT / "mssqldata"
MSSQL_CERTIFICATE = Path("/etc/lab-mssql.pem")
MSSQL_SICK = Path("/run/mssql.sick")  # the number of the error that every log-in gets while it is there
DISK_TYPE = "filesys/gen"  # its app and type, of the lab's own choice: no fact names the product's
DISK, DISK_SOURCE, STORAGE_SOCKET = "disk-shared", Path("/run/shared-disk"), Path("/run/storage.sock")
HALT = ("kill", "-USR1", "1")  # the host's first process then ends it, silent on the wire
HTTP_OK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"  # facts PRB-13
DAEMON_PID_FILE = "/run/lifekeeper-standin/daemon.pid"
RESTART_TIMEOUT_S = 2.0  # to end what hangs, and to start it again: a tenth of a second each, on a machine that is not busy
PRIORITIES = (1, 10)  # the vendor's own choice (facts LKL-21)
WSFC_PORT = 3343  # by which its nodes talk (facts WCLU-79); UDP there, TCP here


def structure(cluster: Cluster, settings: LabSettings, node: Node) -> dict[str, Any]:
    """The stand-in's structure file for this node."""
    peer = cluster.peer_of(node.name)
    return {
        "node": node.name,
        "peer": peer.name,
        "home": cluster.nodes[0].name,
        "comm_paths": [
            {"local": str(node.address), "peer": str(peer.address), "priority": 1},
            {"local": str(node.second_address), "peer": str(peer.second_address), "priority": 2},
        ],
        "resources": _resources(cluster, settings, node),
        **({"comm_port": WSFC_PORT, "witness": str(STORAGE_SOCKET)} if cluster.manager.kind == "wsfc" else {}),
        "halt_command": list(HALT),
        "warm_interpreter": PYTHON,
        "first_flags": ["shutdown_switchover"],
    }


def tunables(cluster: Cluster, settings: LabSettings) -> str:
    """The stand-in's /etc/default/LifeKeeper."""
    manager = cluster.manager
    values: dict[str, Any] = {
        "LCMHBEATTIME": manager.heartbeat_s,
        "LCMNUMHBEATS": manager.heartbeats_missed,
        "LKCHECKINTERVAL": manager.check_interval_s,
        "HC_TIMEOUT": health_check_timeout(cluster, settings),
        "NOBCASTPING": 1,  # no broadcast in a VNet (facts FAB-16, LKL-53)
        "NOIPUNIQUE": 1,
        **settings.lifekeeper,
    }
    return "".join(f"{key}={value:g}\n" if isinstance(value, float) else f"{key}={value}\n" for key, value in values.items())


def health_check_timeout(cluster: Cluster, settings: LabSettings) -> float:
    """The product's default is not known; twenty probe intervals, at least five seconds, let a probe be late."""
    return settings.hc_timeout_s or cluster.manager.hc_timeout_s or max(5.0, 20 * cluster.load_balancer.probe.interval_s)


def check_limit(cluster: Cluster) -> float:
    """How long a check waits for a service that hangs: as long as the checks are apart, within a second and five.

    Three seconds at least for Pacemaker, whose word a failed check is: it does not ask twice.
    """
    least = 3.0 if cluster.manager.kind == "pacemaker" else 1.0
    return cluster.manager.check_limit_s or min(5.0, max(least, cluster.manager.check_interval_s))


def known_of_manager(cluster: Cluster, settings: LabSettings) -> dict[str, Any]:
    """What the cluster file's [manager] has to say of this lab's stand-in, because nobody could know it otherwise."""
    if cluster.manager.kind == "pacemaker":
        # Its responder never notices that no probe comes (facts PCM-08).
        return {"check_limit_s": check_limit(cluster), "starts_at_boot": True}
    if cluster.manager.kind == "wsfc":
        return {"check_limit_s": check_limit(cluster)}  # its IP resource never notices either (WCLU-98); Windows tells the service's start
    return {
        "quorum": "off",
        "reservation_types": [DISK_TYPE],
        "starts_at_boot": True,  # a host that boots starts it, without any systemd
        "check_limit_s": check_limit(cluster),
        "hc_timeout_s": health_check_timeout(cluster, settings),
        "daemon_pid_files": [DAEMON_PID_FILE],
    }


def _resources(cluster: Cluster, settings: LabSettings, node: Node) -> list[dict[str, Any]]:
    probe, answers_itself = cluster.load_balancer.probe, cluster.manager.kind == "wsfc"
    health_check = f"lbhc-{probe.port}"
    priority = {n.name: p for n, p in zip(cluster.nodes, PRIORITIES, strict=True)}

    def resource(tag: str, id: str, app: str, type: str, kind: str, children: list[str], **parameters: Any) -> dict[str, Any]:
        return {
            "tag": tag,
            "id": id,
            "app": app,
            "type": type,
            "kind": kind,
            "priority": priority,
            "children": children,
            "parameters": parameters,
        }

    resources = [resource(cluster.manager.resource, cluster.manager.resource, "gen", "app", "group", [s.tag for s in cluster.services])]
    shared = [cluster.ip_resource.tag] if answers_itself else [cluster.ip_resource.tag, health_check]
    for service in cluster.services:
        children = [*shared, DISK] if service.kind in DATABASES else shared
        resources.append(resource(service.tag, service.tag, "gen", "app", "gen", children, **_scripts(service, node, check_limit(cluster))))
    address = str(cluster.ip_resource.address)
    held = {"address": address, "prefix": cluster.ip_resource.prefix, "nic": "eth1"}
    answer = {"port": probe.port, **({"reply": HTTP_OK} if probe.protocol == "http" else {})}
    if answers_itself:
        resources.append(resource(shared[0], f"IP-{address}", "comm", "ip", "probed-ip", [], **held, **answer))
    else:
        resources.append(resource(shared[0], f"IP-{address}", "comm", "ip", "ip", [], **held))
        resources.append(resource(health_check, health_check, "gen", "app", "lbhc", [], **answer))
    if any(s.kind in DATABASES for s in cluster.services):
        disk = {"storage": str(STORAGE_SOCKET), "source": str(DISK_SOURCE), "mountpoint": str(MOUNTPOINT)}
        app, type_ = DISK_TYPE.split("/")
        resources.append(resource(DISK, DISK, app, type_, "disk", [], **disk))
    return resources


def _scripts(service: Service, node: Node, limit: float) -> dict[str, list[str]]:
    actions = {"restore": "start", "remove": "stop", "quickCheck": "check", "recover": "restart"}
    limits = {"check": limit, "restart": max(RESTART_TIMEOUT_S, limit)}
    return {script: command(service, node.name, action, limit=limits.get(action)) for script, action in actions.items()}


def command(service: Service, node: str, action: str, bind: str = "0.0.0.0", *, limit: float | None = None) -> list[str]:
    """The command that starts, stops, checks or restarts a service on its node; `limit` in seconds is for each of its steps."""
    log = f"/var/log/{service.name}.log"
    if service.kind == "postgres":
        data = ["--data", str(DATABASE), "--node", node, "--port", str(service.port), "--bind", bind, "--log", log]
        if action == "check" and limit:  # a restart has limits of its own: a crashed database needs time to recover
            data += ["--limit", f"{limit:g}"]
        return [PYTHON, "-m", "harness.lab.services.postgres", action, *data]
    module, protocol = STAND_INS[service.kind]
    address = "127.0.0.1" if bind == "0.0.0.0" else bind
    unit = ["--name", service.name, "--pid-file", f"/run/{service.name}.pid", "--protocol", protocol]
    check_options = ["--port", str(service.port), "--address", address, "--log", log]
    check_options += ["--limit", f"{limit:g}"] if limit else []
    return [
        *(PYTHON, "-m", "harness.lab.services.service_control", action, *unit, *check_options),
        *("--", module, "--port", str(service.port), "--bind", bind, "--node", node, *options_of(service)),
    ]


def options_of(service: Service) -> list[str]:
    """What a stand-in is told besides its port, address and node."""
    if service.kind != "mssql":
        return []
    files = {"--data": MSSQL_DATABASE, "--certificate": MSSQL_CERTIFICATE, "--sick": MSSQL_SICK, "--log": f"/var/log/{service.name}.log"}
    return [part for option, file in files.items() for part in (option, str(file))]
