"""The cluster file of a lab when nobody gives one, in one of two profiles."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal

from harness.core.errors import BadUse
from harness.lab.lab_config import MANAGERS, ON_WINDOWS, PLATFORMS

Profile = Literal["fast", "azure"]

PROFILES: dict[str, dict[str, Any]] = {
    # Sub-second timers, so that a failover takes seconds. LifeKeeper's own least heartbeat is 1 s (facts LKL-35).
    "fast": {
        "load_balancer": {"probe": {"interval_s": 0.25}, "idle_timeout_s": 4.0},
        "manager": {"heartbeat_s": 0.2, "heartbeats_missed": 3, "check_interval_s": 0.5, "takeover_s": 4.0, "boot_s": 15.0},
        "budget": {"margin_s": 3.0},
    },
    # Azure's portal defaults and LifeKeeper for Linux's own (facts PRB-05, LKL-35, LKL-41).
    "azure": {
        "load_balancer": {"probe": {"interval_s": 5.0}},
        "manager": {"heartbeat_s": 5.0, "heartbeats_missed": 3, "check_interval_s": 120.0, "takeover_s": 30.0, "boot_s": 60.0},
        "budget": {"margin_s": 5.0},
    },
}

# Corosync and Pacemaker instead. A node is lost after heartbeat_s × heartbeats_missed: Corosync's token and, 1.2 times as long again, its
# consensus on who is left. Fencing, and agents that start one after the other, belong to takeover_s.
PACEMAKER: dict[str, dict[str, Any]] = {
    "fast": {"heartbeat_s": 1.0, "heartbeats_missed": 3, "check_interval_s": 1.0, "takeover_s": 15.0, "boot_s": 45.0},
    # The token that Azure's own recipes ask for, and azure-lb's interval (facts PCM-08, PCM-09).
    "azure": {"heartbeat_s": 22.0, "heartbeats_missed": 3, "check_interval_s": 10.0, "takeover_s": 60.0, "boot_s": 120.0},
}

# On virtual machines, which may be emulated: then everything takes ten times as long, and starting a program most of a second.
PACEMAKER_ON_MACHINES: dict[str, Any] = {
    "load_balancer": {"probe": {"interval_s": 1.0}, "idle_timeout_s": 15.0},
    "manager": {"heartbeat_s": 5.0, "heartbeats_missed": 3, "check_interval_s": 10.0, "takeover_s": 90.0, "boot_s": 300.0},
    "budget": {"margin_s": 10.0},
}

# A failover cluster of Windows. Its fast timers are the lab's, as everywhere.
WSFC: dict[str, dict[str, Any]] = {
    "fast": {},
    # The delay, and the threshold that is advised on Azure (facts WCLU-79); LooksAlive (WCLU-88).
    "azure": {"heartbeat_s": 1.0, "heartbeats_missed": 40, "check_interval_s": 5.0},
}

DEFAULT_CLUSTER: dict[str, Any] = {
    "name": "lab",
    "design": "nat",
    "client": {"name": "lkclient", "address": "10.20.1.20"},
    "nodes": [
        {"name": "lknode01", "address": "10.20.1.11", "second_address": "10.20.2.11"},
        {"name": "lknode02", "address": "10.20.1.12", "second_address": "10.20.2.12"},
    ],
    "load_balancer": {"frontend": "10.20.1.200"},
    "services": [
        {
            "name": "listener",
            "kind": "oracle",
            "port": 1521,
            "tag": "listener-1521",
            "settings": {"alias_pattern": "LISTENER_(?P<node>.+)"},
        },
        {"name": "database", "kind": "postgres", "port": 5432, "tag": "pgsql-5432", "settings": {"user": "harness", "dbname": "harness"}},
        {"name": "web", "kind": "http", "port": 80, "tag": "http-80", "settings": {"node_header": "X-Served-By"}},
    ],
}

AZURE_IMAGE = "pacemaker-azure"  # the recipe of an image with Azure's packages


def cluster_data(profile: Profile | None = None, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """A complete cluster file as data: the default cluster, the profile's timers, and over both what was given. It is the
    caller's own: what it changes there is in no other one."""
    overrides = overrides or {}
    profile_name = profile or overrides.get("lab", {}).get("profile", "fast")
    base = merge_tables(DEFAULT_CLUSTER, PROFILES[profile_name])
    manager = overrides.get("manager", {})
    kind = manager.get("kind") if isinstance(manager, dict) else None
    if kind in ("pacemaker", "wsfc"):
        base = merge_tables(base, {"manager": (PACEMAKER if kind == "pacemaker" else WSFC)[profile_name]})
    if kind == "pacemaker" and profile_name == "fast" and _has_machines(overrides):
        base = merge_tables(base, PACEMAKER_ON_MACHINES)
    data = merge_tables(base, overrides)
    return deepcopy(merge_tables(data, {"lab": {"profile": profile_name}}))


def _has_machines(data: dict[str, Any]) -> bool:
    lab = data.get("lab")
    guests = lab.get("guests") if isinstance(lab, dict) else None
    return isinstance(guests, dict) and any(isinstance(guest, dict) and guest.get("kind") == "machine" for guest in guests.values())


def with_guests(data: dict[str, Any], kind: str, *, azure: bool = False) -> dict[str, Any]:
    """The same with every node made of `kind`, and with each its own settings otherwise; containers with `azure` fence through its API."""
    nodes = data.get("nodes", DEFAULT_CLUSTER["nodes"])
    names = [n["name"] for n in nodes if isinstance(n, dict) and "name" in n] if isinstance(nodes, list) else []
    fences = azure and kind == "container"
    guest = {"kind": kind, **({"image": AZURE_IMAGE} if fences else {})}
    return _with_options(data, {"lab": {"guests": dict.fromkeys(names, guest), **({"fence": "azure"} if fences else {})}})


def with_platform(data: dict[str, Any], platform: str | None, manager: str | None) -> dict[str, Any]:
    """The same with nodes of that platform (Windows: stand-ins for such hosts), and the manager's kind as it is there. Raises BadUse."""
    if platform not in (None, *PLATFORMS):
        raise BadUse(f"--platform {platform}: a lab's nodes are {' or '.join(PLATFORMS)}")
    if platform in (None, "linux"):
        if manager not in (None, *MANAGERS):
            raise BadUse(f"--manager {manager}: it takes nodes that are stand-ins for Windows; give --platform windows too")
        return _with_options(data, {"manager": {"kind": manager}}) if manager else data
    manager_kind = manager or "lifekeeper"
    if manager_kind not in ON_WINDOWS:
        raise BadUse(f"--manager {manager_kind}: a lab whose nodes are stand-ins for Windows has {' or '.join(ON_WINDOWS)}")
    nodes = data.get("nodes", DEFAULT_CLUSTER["nodes"])
    if isinstance(nodes, list):
        nodes = [{**node, "platform": "windows"} if isinstance(node, dict) else node for node in nodes]
    return _with_options(data, {"nodes": nodes, "manager": {"kind": ON_WINDOWS[manager_kind]}})


def _with_options(data: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """What a file has in a table's place and is none stays as it is: whoever reads it all says what is wrong with it."""
    spoiled = {key for key, value in options.items() if isinstance(value, dict) and not isinstance(data.get(key, {}), dict)}
    return merge_tables(data, {key: value for key, value in options.items() if key not in spoiled})


def merge_tables(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, table by table; lists are taken whole. Neither is changed."""
    result = dict(base)
    for key, value in over.items():
        both_tables = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge_tables(result[key], value) if both_tables else value
    return result
