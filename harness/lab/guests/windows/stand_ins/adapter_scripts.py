"""A NIC that is disabled and enabled again. Windows gives an adapter its routes back by itself; here they are kept for that."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from harness.lab.guests.windows.script_answers import Row, ScriptError, stands_for
from harness.lab.guests.windows.stand_ins.lease_scripts import demand_lease
from harness.lab.guests.windows.task_store import demand_armed, place_of
from harness.lab.guests.windows.underlying_node import DEVICES, STORE, links, locked, read_or_none, run, write_whole

DOWN = "down"  # beside what undoes it: the adapter was seen to be off
DISABLED = STORE / "disabled.json"  # over a boot as well (WHST-87): what each disabled adapter's routes were


def disabled() -> dict[str, list[str]]:
    """The disabled adapters by their device, with their routes."""
    found: dict[str, list[str]] = json.loads(read_or_none(DISABLED) or "{}")
    return found


def enable(nic: str) -> None:
    """The adapter is on, with the routes that it had. Raises ScriptError."""
    device = DEVICES.get(nic, nic)
    with locked("adapters"):
        kept = disabled()
        _ip("link", "set", device, "up")
        for route in kept.pop(device, []):
            _ip("route", "replace", *route.split(), "dev", device)
        write_whole(DISABLED, json.dumps(kept))


def _ip(*words: str) -> None:
    done = run(["ip", *words])
    if done.returncode != 0:
        raise ScriptError("StandInIp", f"ip {' '.join(words)}: {done.stderr.strip()}")


def usable(address: str) -> bool:
    """Whether an adapter that is on has this address."""
    return any("UP" in link["flags"] and any(one["local"] == address for one in link["addr_info"]) for link in links())


@stands_for("nic-down")
def nic_down(nic: str, address: str, undo: str, lease: str = "") -> Iterable[Row]:
    """The adapter that has the address goes off."""
    device = DEVICES.get(nic, nic)
    if not any(link["ifname"] == device and any(one["local"] == address for one in link["addr_info"]) for link in links()):
        raise ScriptError("OtherAdapter", f"{nic} has not the address {address} any more, so nothing was done")
    demand_armed(undo)
    demand_lease(lease)
    before = time.time()
    with locked("adapters"):
        write_whole(DISABLED, json.dumps({**disabled(), device: _routes(device)}))
        _ip("link", "set", device, "down")
    try:
        demand_armed(undo)
        (place_of(undo) / DOWN).write_text(DOWN)
    except (ScriptError, FileNotFoundError):  # undone meanwhile: nobody waits any more
        enable(nic)
        raise
    return [{"Before": before, "After": time.time()}]


def _routes(device: str) -> list[str]:
    """What the kernel forgets with the link, of what it does not make by itself."""
    text = run(["ip", "-o", "-4", "route", "show", "dev", device]).stdout
    return [line.replace("linkdown", "").strip() for line in text.splitlines() if "proto kernel" not in line]


def effect_of(nic: str, address: str) -> dict[str, Any]:
    """Whether the adapter is off, and its address not usable."""
    device = DEVICES.get(nic, nic)
    off = not any(link["ifname"] == device and "UP" in link["flags"] for link in links())
    return {"There": off or not usable(address), "InForce": off, "Why": "Disabled" if off else "Up"}
