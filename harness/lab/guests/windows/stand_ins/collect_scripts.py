"""What is gathered from a host: which system, adapters, routes, connections, processes, versions, events."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from harness.lab.guests.windows import underlying_node
from harness.lab.guests.windows.script_answers import Row, ScriptError, stands_for
from harness.lab.guests.windows.underlying_node import ALIASES, links, moment, run

STAND_IN = "stand-in for Windows on Linux (not Windows)"
LOG = Path("/var/log/lifekeeper.log")
# Feb  3 10:00:01 node program[pid]: LEVEL:kit:action:tag:number:text
ENTRY = re.compile(r"(\w{3} [ \d]\d \d\d:\d\d:\d\d) \S+ [^:]*: (\w+):[^:]*:[^:]*:[^:]*:(\d+):(.*)")
CLUSTER = "Microsoft-Windows-FailoverClustering"
CLUSTER_LOGS = ("System", f"{CLUSTER}/Operational")
# Of the log's own numbers (harness.lab.lifekeeper.log): the cluster's event and its level (WCLU-91, WCLU-92).
OF_CLUSTER = {990303: (1135, 1), 990314: (1177, 1), 990316: (1254, 2), 990200: (1069, 2), 990110: (1069, 2), 990301: (1127, 2)}
LEVELS = {"EMERG": 1, "ERROR": 2, "WARN": 3}
STATES = {"ESTAB": "Established", "LISTEN": "Listen", "TIME-WAIT": "TimeWait", "SYN-SENT": "SynSent", "CLOSE-WAIT": "CloseWait"}


@stands_for("operating-system")
def operating_system() -> Iterable[Row]:
    """It says that it is none of Windows."""
    booted = moment(time.time() - underlying_node.ticks())
    return [{"Caption": STAND_IN, "Version": os.uname().release, "BuildNumber": None, "BootedAt": booted}]


@stands_for("versions")
def versions() -> Iterable[Row]:
    """The kernel beneath, and that the cluster manager is a stand-in as well."""
    manager = "Failover Clustering" if underlying_node.is_failover_cluster() else "LifeKeeper"
    return [{"Name": "kernel", "Version": f"Linux {os.uname().release}"}, {"Name": manager, "Version": "stand-in"}]


@stands_for("adapters")
def adapters() -> Iterable[Row]:
    """The node's NICs."""
    for link in links():
        if link["ifname"] == "lo":
            continue
        yield {
            "Name": ALIASES.get(link["ifname"], link["ifname"]),
            "Index": link["ifindex"],
            "Device": STAND_IN,
            "Mac": link["address"].replace(":", "-").upper(),
            "Status": "Up" if "UP" in link["flags"] else "Disabled",
            "Hidden": False,
            "Virtual": False,
            "DeviceId": None,
        }


@stands_for("routes")
def routes() -> Iterable[Row]:
    """Routes and neighbours of the node's kernel."""
    for one in json.loads(run(["ip", "-json", "route"]).stdout or "[]"):
        alias = ALIASES.get(one.get("dev"), one.get("dev"))
        prefix = "0.0.0.0/0" if one["dst"] == "default" else one["dst"] if "/" in one["dst"] else one["dst"] + "/32"
        hop = one.get("gateway", "0.0.0.0")
        yield {"K": "route", "InterfaceAlias": alias, "DestinationPrefix": prefix, "NextHop": hop, "RouteMetric": one.get("metric", 0)}
    for one in json.loads(run(["ip", "-json", "neigh"]).stdout or "[]"):
        mac, state = one.get("lladdr"), (one.get("state") or [None])[0]
        row = {"K": "neighbour", "InterfaceAlias": ALIASES.get(one.get("dev"), one.get("dev")), "IPAddress": one["dst"]}
        yield {**row, "LinkLayerAddress": mac.replace(":", "-").upper() if mac else None, "State": state and state.capitalize()}


@stands_for("connections")
def connections() -> Iterable[Row]:
    """TCP connections of the node's kernel."""
    for line in run(["ss", "-Htanp"]).stdout.splitlines():
        words = line.split()
        if len(words) < 5:
            continue
        (local, _, port), (remote, _, peer) = (word.rpartition(":") for word in words[3:5])
        pid = re.search(r"pid=(\d+)", line)
        yield {
            "LocalAddress": local.strip("[]").replace("*", "0.0.0.0"),
            "LocalPort": int(port),
            "RemoteAddress": remote.strip("[]").replace("*", "0.0.0.0"),
            "RemotePort": int(peer) if peer.isdigit() else 0,
            "State": STATES.get(words[0], words[0].title().replace("-", "")),
            "OwningProcess": int(pid[1]) if pid else None,
        }


@stands_for("time-source")
def time_source() -> Iterable[Row]:
    """The machine's clock is the node's."""
    return [{"At": moment(time.time()), "Text": f"{STAND_IN}: the clock is the machine's", "Exit": 0}]


@stands_for("processes")
def processes() -> Iterable[Row]:
    """The node's processes by their names."""
    for pid, name in underlying_node.processes().items():
        yield {"Id": pid, "Name": name, "StartedAt": underlying_node.started_at(pid)}


@stands_for("events")
def events(begin: str, end: str, logs: Iterable[str], source: str = "", most: int = 1000) -> Iterable[Row]:
    """The log of the cluster manager's stand-in, in the logs and by the name of what it stands for; the file knows whole seconds only."""
    first, last = (datetime.fromisoformat(one).timestamp() for one in (begin, end))
    wanted, cluster = set(logs), underlying_node.is_failover_cluster()
    text = underlying_node.read_or_none(LOG)
    if text is None:
        raise ScriptError("LogNotFound", f"there is no {LOG}")
    rows = []
    for line in text.splitlines():
        if not (found := ENTRY.fullmatch(line)):
            continue
        at = _seconds(found[1])
        told = (of_failover_cluster if cluster else _of_lifekeeper)(int(found[3]), LEVELS.get(found[2], 4), found[4])
        if first - 1 < at <= last and told["LogName"] in wanted and source in ("", told["ProviderName"]):
            rows.append({"At": moment(at), **told})
    return rows[-most:]


def _of_lifekeeper(code: int, level: int, text: str) -> Row:
    return {"LogName": "Application", "ProviderName": "LifeKeeper", "Id": code, "Level": level, "Message": text}


def of_failover_cluster(code: int, level: int, text: str) -> Row:
    """What is wrong stands in the log System, under Microsoft's number where one is known, the rest in the cluster's own. Pure."""
    id, level = OF_CLUSTER.get(code, (code, level))
    log = CLUSTER_LOGS[0 if level < 4 else 1]
    return {"LogName": log, "ProviderName": CLUSTER, "Id": id, "Level": level, "Message": f"(stand-in, not Windows) {text}"}


def _seconds(stamp: str) -> float:
    """The log names no year: the last one in which that moment has passed."""
    now = time.time()
    year = time.localtime(now).tm_year
    at = time.mktime(time.strptime(f"{year} {stamp}", "%Y %b %d %H:%M:%S"))
    return at if at <= now + 86400 else time.mktime(time.strptime(f"{year - 1} {stamp}", "%Y %b %d %H:%M:%S"))
