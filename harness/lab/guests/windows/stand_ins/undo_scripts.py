"""Arming an undoing on the host, having it begin, and looking at what of ours is there."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.lab.guests.windows import task_store
from harness.lab.guests.windows.known_scripts import is_known
from harness.lab.guests.windows.script_answers import Missing, Row, ScriptError, stands_for
from harness.lab.guests.windows.stand_ins import adapter_scripts, firewall_scripts
from harness.lab.guests.windows.stand_ins.lease_scripts import demand_lease, demand_token, remove_empty_folder
from harness.lab.guests.windows.underlying_node import LEASE_FOLDER, read_or_none

NAME = re.compile(r"[A-Za-z0-9 ._#()-]{0,80}", re.ASCII)  # what cmd gives no meaning of its own
BEGIN_TIMEOUT_S = 30.0


@stands_for("undo-readiness")
def undo_readiness() -> Iterable[Row]:
    """Tasks of the stand-in are always to be had."""
    return [{"Administrator": os.geteuid() == 0, "Scheduler": "Running", "Module": True, "FolderFault": ""}]


@stands_for("undo-arm")
def undo_arm(
    token: str,
    of: str,
    seconds: int,
    kind: str,
    guard: str,
    rule: str = "",
    nic: str = "",
    address: str = "",
    lease: str = "",
) -> Iterable[Row]:
    """Armed when its task has begun to wait."""
    for one in (rule, nic, address):
        if not NAME.fullmatch(one):
            raise ScriptError("BadName", f"cmd cannot be given the name {one}")
    demand_token(token)
    if not is_known("undo-task.cmd", guard):
        raise ScriptError("NoStandIn", "the program that undoes was sent with a text that is not known")
    demand_lease(lease)
    place = task_store.place_of(token)
    again = (place / "armed").exists()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not again:
        (place / "name").write_text(of, encoding="utf-8")
        values = {"kind": kind, "seconds": int(seconds), "rule": rule, "nic": nic, "address": address}
        (place / "values").write_text(json.dumps(values), encoding="utf-8")
    task_store.register(token)
    task_store.start(token)
    try:
        # One that has nothing to wait for may be through with it, and gone.
        begun = Deadline(BEGIN_TIMEOUT_S)
        begun.wait_for(lambda: again or (place / "armed").exists() or not place.exists(), what="the task's beginning", every=0.02)
    except DeadlineExceeded:
        task_store.unregister(token)
        shutil.rmtree(place, ignore_errors=True)
        remove_empty_folder()
        raise ScriptError("NotArmed", f"the scheduled task has not begun within {BEGIN_TIMEOUT_S:g} s") from None
    return [{"Token": token, "Task": task_store.task_of(token)}]


@stands_for("undo-begin")
def undo_begin(token: str) -> Iterable[Row]:
    """The task does it, not this session."""
    place = task_store.place_of(demand_token(token))
    if not place.exists():
        raise Missing(f"nothing is armed as {token}")
    (place / "now").write_text("now")
    if not (task_store.TASKS / task_store.task_of(token)).exists():
        raise Missing(f"there is no task {task_store.task_of(token)}")
    task_store.start(token)
    return [{"Token": token, "Task": task_store.task_of(token)}]


@stands_for("undo-list")
def undo_list(token: str = "") -> Iterable[Row]:
    """Folders, then tasks and rules without one."""
    rows: dict[str, Row] = {}
    for place in sorted(LEASE_FOLDER.iterdir()) if LEASE_FOLDER.exists() else ():
        if place.is_dir():
            state = "failing" if (place / "failed").exists() else "undoing" if (place / "now").exists() else "waiting"
            rows[place.name] = {"Token": place.name, "State": state, "Of": read_or_none(place / "name") or ""}
    tasks = [one.name for one in task_store.TASKS.glob("lkharness-*")] if task_store.TASKS.exists() else []
    for name, state in (*((one, "task") for one in tasks), *((one["rule"], "rule") for one in firewall_scripts.rules())):
        own = name.removeprefix("lkharness-")
        rows.setdefault(own, {"Token": own, "State": state, "Of": ""})
    return [row for own, row in rows.items() if token in ("", own)]


@stands_for("effect")
def effect(kind: str, rule: str = "", nic: str = "", address: str = "") -> Iterable[Row]:
    """Is it still so?"""
    if kind == "nic":
        return [adapter_scripts.effect_of(nic, address)]
    there = any(one["rule"] == rule for one in firewall_scripts.rules())
    return [{"There": there, "InForce": there, "Why": ""}]
