"""Pictures of a Windows Server Failover Cluster, as the adapter's script prints it (facts WSFC-03)."""

from __future__ import annotations

import json
import random
from typing import Any

from parser_inputs import BANNERS, FAILED, IN, NODES, OUT, TAGS, UNKNOWN, Truth

GROUP = "listener-1521"
WORDS = {"Online": IN, "Offline": OUT, "Failed": FAILED}
TRANSIENT = ("OnlinePending", "OfflinePending", "Pending", "Initializing", "Inherited", "", None, 2, "Läuft", "online")
Row = dict[str, Any]


def picture(rng: random.Random) -> tuple[list[Row], dict[str, Truth]]:
    """The rows of one answer, and what each node makes of it. The same answer is read for both, as both would give it."""
    service = {"K": "service", "State": "Running" if rng.random() < 0.97 else rng.choice(("Stopped", "StartPending"))}
    states = {node: rng.choice(("Up",) * 8 + ("Paused", "Down", "Joining", "Unknown")) for node in NODES}
    rows: list[Row] = [service] * rng.randrange(2) + [
        {"K": "node", "Name": _cased(rng, n), "State": s, "Vote": 1} for n, s in states.items()
    ]
    owner = rng.choice(NODES)
    tags = rng.sample(TAGS, rng.choice((1, 2, 3, 5)))
    group = {"K": "group", "Name": _cased(rng, GROUP), "OwnerNode": _cased(rng, owner), "State": "Online", "Threshold": 1}
    rows += [group, {"K": "group", "Name": "Cluster Group", "OwnerNode": rng.choice(NODES), "State": "Online"}]
    if rng.random() < 0.5:
        place = rng.choice(NODES)
        rows.append({"K": "resource", "Name": "Cluster IP", "OwnerGroup": "Cluster Group", "OwnerNode": place, "State": "Online"})
    found: dict[str, dict[str, Any]] = {node: {} for node in NODES}
    sound = rng.random() < 0.6
    for tag in tags:
        word = "Online" if sound else rng.choice((*WORDS, *WORDS, *TRANSIENT))
        astray = not sound and rng.random() < 0.1  # the resource is seen there, and its role here: on its way
        where = next(n for n in NODES if n != owner) if astray else owner
        rows.append({"K": "resource", "Name": tag, "OwnerGroup": _cased(rng, GROUP), "OwnerNode": _cased(rng, where), "State": word})
        for node in NODES:
            up = states[node] in ("Up", "Paused")
            here = WORDS.get(word, UNKNOWN) if isinstance(word, str) else UNKNOWN
            found[node][tag] = UNKNOWN if astray or not up else here if node == owner else OUT
    paths = _networks(rng, rows)
    if rng.random() < 0.5:
        rng.shuffle(rows)
    if service["State"] != "Running" and service in rows:
        return rows, dict.fromkeys(NODES, Truth(None, running=False))
    return rows, {node: Truth(found[node], paths=paths) for node in NODES}


def _networks(rng: random.Random, rows: list[Row]) -> tuple[bool, ...] | None:
    """Networks and the nodes' NICs in them; the order of the paths is not a matter here when there is more than one."""
    alive = []
    for number in range(rng.choice((0, 1, 1, 2))):
        role = rng.choice(("Cluster", "ClusterAndClient", "None"))
        states = [rng.choice(("Up", "Up", "Up", "Failed", "Unreachable")) for _ in NODES]
        rows.append({"K": "network", "Name": f"net{number}", "Role": role})
        for node, state in zip(NODES, states, strict=True):
            rows.append({"K": "nic", "Node": node, "Network": f"net{number}", "State": state, "Address": f"10.20.{number}.1"})
        if role != "None":
            alive.append(states == ["Up", "Up"])
    return tuple(alive) if len(alive) < 2 else None


def _cased(rng: random.Random, name: str) -> str:
    return rng.choice((name, name, name.upper()))


def printed(rng: random.Random, rows: list[Row]) -> str:
    of_5_1 = {"value": rows, "Count": len(rows)}  # a list as Windows PowerShell may write it
    answer = {"ok": True, "error": None, "message": None, "missing": [], "warnings": [], "rows": rows if rng.random() < 0.8 else of_5_1}
    said = json.dumps(answer, ensure_ascii=rng.random() < 0.5)
    return "\ufeff" * rng.randrange(2) + (rng.choice(BANNERS) + "\r\n" if rng.random() < 0.2 else "") + said + "\r\n"


def spoilt(rng: random.Random, rows: list[Row]) -> list[Row]:
    """Rows lost, doubled, or with a field of another row's; as JSON still whole."""
    rows = [dict(row) for row in rows]
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind, row = rng.random(), rng.choice(rows) if rows else {}
        if kind < 0.3 and rows:
            rows.remove(row)
        elif kind < 0.5:
            rows.insert(rng.randint(0, len(rows)), dict(row))
        elif row:
            key = rng.choice(list(row))
            row[key] = rng.choice(
                ("Online", "Up", "lknode01", "LKNODE02", GROUP, None, 3, True, [], {}, "", "\0", rng.choice(rows).get(key))
            )
    return rows


def supported(node: str, text: str) -> set[str]:
    """The resources that some JSON in the text calls Online here, in a role that is here, on a node that is up here."""
    found: set[str] = set()
    for line in text.splitlines():
        try:
            said = json.loads(line.lstrip("\ufeff"))
        except (ValueError, RecursionError):
            continue
        said = said.get("rows") if isinstance(said, dict) else said
        said = said.get("value", said) if isinstance(said, dict) else said
        rows = [row for row in (said if isinstance(said, list) else [said]) if isinstance(row, dict)]
        up = any(_low(r, "K") == "node" and _low(r, "Name") == node and _low(r, "State") in ("up", "paused") for r in rows)
        here = [_low(r, "OwnerNode") for r in rows if _low(r, "K") == "group" and _low(r, "Name") == GROUP]
        if up and here == [node]:
            online = (r for r in rows if _low(r, "K") == "resource" and _low(r, "State") == "online" and _low(r, "OwnerNode") == node)
            found |= {r["Name"].strip() for r in online if isinstance(r.get("Name"), str) and _low(r, "OwnerGroup") == GROUP}
    return found


def _low(row: Row, key: str) -> str:
    value = row.get(key)
    return value.strip().lower() if isinstance(value, str) else ""
