"""The log in the product's form with the stand-in's own texts and codes, and a journal for programs.

Codes 990001 to 990999 are ours; the product's are not used, so that nobody takes one of these lines for the vendor's.
"""

from __future__ import annotations

import json
import os
import threading
import time
from enum import Enum
from pathlib import Path

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Code(Enum):
    """What happened: six digits (LKL-62) and the level it is written at."""

    STAND_IN = 990001, "INFO"
    SETTINGS = 990002, "INFO"
    SPED_UP = 990003, "WARN"
    STARTED = 990010, "NOTIFY"
    STOPPING = 990011, "NOTIFY"
    STOPPED = 990012, "NOTIFY"
    START_DECISION = 990013, "NOTIFY"
    INTERNAL = 990090, "ERROR"
    STATE = 990100, "NOTIFY"
    ACTION_BEGUN = 990101, "NOTIFY"
    ACTION_DONE = 990102, "NOTIFY"
    ACTION_FAILED = 990103, "ERROR"
    ACTION_BUSY = 990104, "ERROR"
    RESTORE_FAILED = 990110, "ERROR"
    REMOVE_FAILED = 990111, "ERROR"
    DATABASE_EDITED = 990112, "WARN"
    CHECK_FAILED = 990200, "ERROR"
    CHECK_TIMED_OUT = 990201, "NOTIFY"
    RECOVERED = 990202, "NOTIFY"
    RECOVERY_FAILED = 990203, "ERROR"
    NO_RECOVERY = 990204, "NOTIFY"
    FAILOVER_OUT = 990205, "NOTIFY"
    PATH_ALIVE = 990300, "NOTIFY"
    PATH_DEAD = 990301, "ERROR"
    PATH_UNUSABLE = 990302, "WARN"
    PEER_SILENT = 990303, "ERROR"
    PEER_BACK = 990304, "NOTIFY"
    PEER_STOPPED = 990305, "NOTIFY"
    NO_CONTACT = 990306, "ERROR"
    FAILOVER_BEGUN = 990310, "NOTIFY"
    FAILOVER_WITHHELD = 990311, "NOTIFY"
    FAILOVER_ASKED = 990312, "WARN"
    BOTH_IN_SERVICE = 990313, "ERROR"
    QUORUM_LOST = 990314, "EMERG"
    QUORUM_FORMED = 990315, "NOTIFY"
    FAILOVERS_USED_UP = 990316, "ERROR"
    PROBES_MISSING = 990400, "WARN"
    PROBES_BACK = 990401, "NOTIFY"
    FENCED = 990500, "EMERG"
    HALTED = 990501, "EMERG"


class Log:
    """Appends whole lines, each in one write, so that several processes may share the file."""

    def __init__(self, path: str, host: str) -> None:
        self.path, self.host = path, host
        self._file = _open(path)

    def write(self, code: Code, message: str, *, program: str = "lcm", kit: str = "", action: str = "", tag: str = "") -> None:
        """One line per line of `message`, in the form of LKL-62."""
        number, level = code.value
        now = time.localtime()
        stamp = f"{MONTHS[now.tm_mon - 1]} {now.tm_mday:2d} {now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d}"
        head = f"{stamp} {self.host} {program}[{os.getpid()}]: {level}:{kit}:{action}:{tag}:{number:06d}:"
        os.write(self._file, "".join(f"{head}{line}\n" for line in message.splitlines() or [""]).encode())


class Journal:
    """JSON lines with `at_us`, microseconds since the epoch: what a program cuts an outage into phases from."""

    def __init__(self, path: str, node: str) -> None:
        self.node = node
        self._file = _open(path)
        self._lock = threading.Lock()

    def note(self, kind: str, **data: object) -> None:
        """Appends one event as a JSON line, with the node's name and the wall clock in microseconds."""
        with self._lock:
            record = {"at_us": time.time_ns() // 1000, "node": self.node, "kind": kind, **data}
            os.write(self._file, (json.dumps(record, ensure_ascii=False) + "\n").encode())


def _open(path: str) -> int:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
