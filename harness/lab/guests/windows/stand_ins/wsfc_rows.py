"""What a failover cluster of Windows would tell of what the lab's cluster knows (`daemon_view`). Pure; basis: facts WCLU-46 to WCLU-57.

A cluster tells the same on every node that is in it; here each node tells it by what it knows itself, and by its peer's last heartbeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.lab.guests.windows.script_answers import Row

View = Mapping[str, Any]
CORE, WITNESS = "Cluster Group", "Quorum Disk"
IN_SERVICE = ("ISP", "ISU")
STATES = {"ISP": "Online", "ISU": "Online", "OSU": "Offline", "OSF": "Failed"}
NEVER_QUARANTINED = 1_000_000  # losses of membership: more than a lab's node has within an hour
TYPES = {"probed-ip": "IP Address", "disk": "Physical Disk", "gen": "Generic Application"}


def service_state(view: View | None) -> str:
    """Of ClusSvc; None: the daemon beneath does not answer. Without a majority the service ends (WCLU-91)."""
    if view is None or (view["witness"] or {}).get("lost"):
        return "Stopped"
    return {"running": "Running", "starting": "StartPending"}.get(view["phase"], "StopPending")


def resources(view: View) -> list[dict[str, Any]]:
    """Those of the role, children first; what only holds them together is the role itself."""
    return [one for one in reversed(view["resources"]) if one["kind"] != "group"]


def role(view: View) -> str:
    """The name of the one role."""
    return next(one["tag"] for one in view["resources"] if one["kind"] == "group")


def owner(view: View) -> str:
    """Where the role is. While it is moved, the node that still has something; then the one that brings it online.

    A role that nobody has anything of is where it failed, else at the home node, while both nodes are up.
    """
    node, peer, of_peer = view["node"], view["peer"], view["of_peer"]
    if not view["contact"]:
        return str(node)
    mine, theirs = _in_service(view["states"]), _in_service(of_peer.get("states", {}))
    claims = bool(view["claims"]), bool(of_peer.get("claims"))
    if mine != theirs:
        return str(node if mine else peer)
    if claims[0] != claims[1]:
        return str(node if claims[0] is not mine else peer)
    if mine:  # of a split that is just over: who has the witness stays
        return str((view["witness"] or {}).get("holder") or view["home"])
    failed = ["OSF" in states.values() for states in (view["states"], of_peer.get("states", {}))]
    return str((node if failed[0] else peer) if failed[0] != failed[1] else view["home"])


def _in_service(states: Mapping[str, str]) -> bool:
    return any(state in IN_SERVICE for state in states.values())


def of_owner(view: View) -> dict[str, str]:
    """The state of every resource of the role, where the role is."""
    here = owner(view) == view["node"]
    states = view["states"] if here else view["of_peer"].get("states", {})
    coming = view["claims"] if here else view["of_peer"].get("claims", ())
    found = {}
    for one in resources(view):
        state = STATES.get(states.get(one["tag"], ""), "Unknown")
        found[one["tag"]] = "OnlinePending" if state == "Offline" and one["tag"] in coming else state
    return found


def group_state(states: Iterable[str]) -> str:
    """Of a role by those of its resources (WCLU-48)."""
    seen = set(states)
    if "OnlinePending" in seen:
        return "Pending"
    if "Failed" in seen and "Online" not in seen:
        return "Failed"
    return seen.pop() if len(seen) == 1 else "PartialOnline" if "Online" in seen else "Offline"


def node_rows(view: View) -> Iterable[Row]:
    """Votes are dynamic: of a node that is lost, none (WCLU-71, WCLU-73); one that is paused votes."""
    states = {view["node"]: "Paused" if view["paused"] else "Up", view["peer"]: "Down"}
    if view["contact"]:
        running = "Paused" if view["of_peer"].get("paused") else "Up"
        states[view["peer"]] = {"running": running, "starting": "Joining"}.get(view["of_peer"].get("phase"), "Down")
    for name, state in sorted(states.items()):
        vote = int(state in ("Up", "Paused"))
        yield {"K": "node", "Name": name, "State": state, "Drain": "NotInitiated", "Vote": vote, "Weight": 1, "Status": "Normal"}


def group_rows(view: View) -> Iterable[Row]:
    """The core group, which has the witness, and the role."""
    fixed = {
        "K": "group",
        "Threshold": view["failover_threshold"],
        "Period": view["failover_period_s"] / 3600,
        "Locked": False,
        "Status": "0",
    }
    yield {**fixed, "Name": CORE, "OwnerNode": _witness_owner(view), "State": _witness_state(view)}
    yield {**fixed, "Name": role(view), "OwnerNode": owner(view), "State": group_state(of_owner(view).values())}


def resource_rows(view: View) -> Iterable[Row]:
    """A resource is where its role is."""
    fixed = {"K": "resource", "Maintenance": False}
    yield {
        **fixed,
        "Name": WITNESS,
        "OwnerGroup": CORE,
        "OwnerNode": _witness_owner(view),
        "State": _witness_state(view),
        "Type": TYPES["disk"],
    }
    kinds = {one["tag"]: one["kind"] for one in view["resources"]}
    for tag, state in of_owner(view).items():
        where = {"OwnerGroup": role(view), "OwnerNode": owner(view)}
        yield {**fixed, "Name": tag, **where, "State": state, "Type": TYPES[kinds[tag]]}


def _witness_owner(view: View) -> str:
    return str((view["witness"] or {}).get("holder") or view["node"])


def _witness_state(view: View) -> str:
    return "Online" if (view["witness"] or {}).get("reachable") else "Failed"


def network_rows(view: View, usable: Iterable[str]) -> Iterable[Row]:
    """A network for each communication path. `usable`: the addresses of this node whose adapters are on."""
    own = set(usable)
    for number, path in enumerate(view["paths"], 1):
        network = f"Cluster Network {number}"
        yield {"K": "network", "Name": network, "Role": "ClusterAndClient"}
        here = "Up" if path["local"] in own else "Failed"
        there = "Up" if path["alive"] else "Unreachable" if view["contact"] else "Unavailable"
        for node, address, state in ((view["node"], path["local"], here), (view["peer"], path["peer"], there)):
            yield {"K": "nic", "Node": node, "Network": network, "State": state, "Address": address}


def owner_rows(view: View) -> Iterable[Row]:
    """Both nodes may own everything."""
    for one in resources(view):
        yield {"K": "owners", "Name": one["tag"], "Nodes": sorted((view["node"], view["peer"]))}


def quorum_row(view: View) -> Row:
    """The witness votes while an even number of nodes does (WCLU-72)."""
    voting = sum(row["Vote"] for row in node_rows(view))
    return {
        "K": "quorum",
        "Witness": WITNESS,
        "State": _witness_state(view),
        "Type": "Majority",
        "WitnessVote": int(voting % 2 == 0),
        "Dynamic": 1,
        "Fixed": 0,
        "Prevented": 0,
        "Quarantine": NEVER_QUARANTINED,
    }


def dependency_rows(view: View) -> Iterable[Row]:
    """Of what is not offline, as the script asks for it; what depends on nothing has no expression (WCLU-57)."""
    states = of_owner(view)
    for one in resources(view):
        if states[one["tag"]] != "Offline":
            on = " and ".join(f"([{child}])" for child in one["children"])
            yield {"K": "dependency", "Name": one["tag"], "On": on or None}


def address_rows(view: View, resource: str) -> Iterable[Row]:
    """Of an IP resource: its address, and the port on which it answers the balancer's probe (WSFC-01, WSFC-03)."""
    for one in resources(view):
        if one["kind"] == "probed-ip" and one["tag"].lower() == resource.lower():
            given = one["parameters"]
            mask = _mask(int(given["prefix"]))
            yield {"K": "address", "Name": one["tag"], "Address": given["address"], "Mask": mask, "ProbePort": given["port"]}


def _mask(prefix: int) -> str:
    bits = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
    return ".".join(str(bits >> shift & 255) for shift in (24, 16, 8, 0))


def to_stop(view: View, tag: str) -> list[str]:
    """What goes offline with a resource, itself last: all that depends on it (WCLU-65)."""
    depends = {one["tag"]: one["children"] for one in resources(view)}
    above, todo = {tag}, [tag]
    while todo:
        child = todo.pop()
        new = [parent for parent, children in depends.items() if child in children and parent not in above]
        above.update(new)
        todo += new
    return [one["tag"] for one in reversed(resources(view)) if one["tag"] in above]


def to_start(view: View, tag: str) -> list[str]:
    """What comes online with a resource, itself last: all that it depends on (WCLU-65)."""
    depends = {one["tag"]: one["children"] for one in resources(view)}
    ordered: dict[str, None] = {}

    def place(one: str) -> None:
        for child in depends[one]:
            place(child)
        ordered.setdefault(one)

    place(tag)
    return list(ordered)
