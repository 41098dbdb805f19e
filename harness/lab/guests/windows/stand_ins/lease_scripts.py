"""The lease on the host, and which boot it is in."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable
from typing import Any

from harness.lab.guests.windows.script_answers import Row, ScriptError, stands_for
from harness.lab.guests.windows.underlying_node import LEASE_FOLDER, boot_number, locked, moment, read_or_none, ticks, write_whole

TOKEN = re.compile(r"[0-9a-f]{16}", re.ASCII)
FILE = LEASE_FOLDER / "lease"


def demand_token(token: str) -> str:
    """Raises ScriptError for what is no token."""
    if not TOKEN.fullmatch(token):
        raise ScriptError("BadToken", "a token is 16 hexadecimal digits")
    return token


def remove_empty_folder() -> None:
    """Our folder goes where nothing is in it any more."""
    try:
        LEASE_FOLDER.rmdir()
    except OSError:
        return


def _record() -> dict[str, Any] | None:
    text = read_or_none(FILE)
    if text is None or not text.strip():
        return None
    try:
        found: dict[str, Any] = json.loads(text)
        if {"token", "holder", "since", "until", "boot"} <= set(found):
            return found
    except (ValueError, TypeError):
        pass
    raise ScriptError("LeaseGarbled", f"{FILE} cannot be read; remove it when no run has this cluster")


def demand_lease(token: str) -> None:
    """Goes on only where the lease on this host is the asking run's. No token: a host that has none."""
    with locked("lease"):
        record = _record() if token else None
    if token and (record is None or record["token"] != token):
        raise ScriptError("LeaseLost", "the lease on this node is not this run's any more, so nothing was done")


@stands_for("lease")
def lease(verb: str, token: str, holder: str, term: int, longest: int) -> Iterable[Row]:
    """Take, renew or give back."""
    demand_token(token)
    row: Row = {"State": "gone", "Left": None, "Holder": None, "Since": None}
    with locked("lease"):
        record, now, boot = _record(), ticks(), boot_number()
        mine = record is not None and record["token"] == token
        left = float(record["until"]) - now if record is not None else 0.0
        if record is not None and (left > longest or record["boot"] != boot):
            left = 0.0
        if verb == "give":
            if mine or record is None:
                FILE.unlink(missing_ok=True)
                remove_empty_folder()
        elif record is not None and not mine and left > 0:
            row |= {"State": "held", "Left": math.ceil(left), "Holder": record["holder"], "Since": record["since"]}
        else:
            since = record["since"] if mine and record is not None else moment(time.time())
            LEASE_FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(FILE, json.dumps({"token": token, "holder": holder, "since": since, "until": now + term, "boot": boot}))
            row["State"] = "mine"
    return [row]


@stands_for("boot")
def boot() -> Iterable[Row]:
    """The number of the boot, and the seconds since it."""
    return [{"Number": boot_number(), "Ticks": ticks()}]
