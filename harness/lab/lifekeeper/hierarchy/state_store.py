"""What a node remembers: the state of each resource, the flags, and what was in service at the last stop (LKL-49)."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.core.errors import BadUse

IN_SERVICE = ("ISP", "ISU")
PAUSED = "!paused!"  # a flag of the stand-in's own: as a node of a failover cluster of Windows it is paused (WCLU-66), over boots too
STATES = (*IN_SERVICE, "OSU", "OSF", "ILLSTATE")  # LKL-14


class Store:
    """Thread-safe; every change is on disk (written aside, then renamed) before the call returns."""

    def __init__(self, path: Path, tags: list[str], on_state: Callable[[str, str, str, str], None]) -> None:
        self._path, self._on_state, self._lock = path, on_state, threading.RLock()
        self.first_start = not path.exists()
        data = {} if self.first_start else _read(path)
        self._states: dict[str, str] = {tag: data.get("states", {}).get(tag, "OSU") for tag in tags}
        self._reasons: dict[str, str] = {tag: data.get("reasons", {}).get(tag, "") for tag in tags}
        self._flags: list[str] = list(data.get("flags", []))
        self._at_stop: list[str] | None = data.get("in_service_at_stop")
        self._facts: dict[str, bool] = dict(data.get("facts", {}))
        self._moments: dict[str, list[float]] = dict(data.get("moments", {}))

    def save(self) -> None:
        """Writes everything to the node's disk."""
        with self._lock:
            data = {
                "states": self._states,
                "reasons": self._reasons,
                "flags": self._flags,
                "in_service_at_stop": self._at_stop,
                "facts": self._facts,
                "moments": self._moments,
            }
            self._path.parent.mkdir(parents=True, exist_ok=True)
            aside = self._path.with_suffix(".new")
            # No fsync: a node's crash in the lab kills processes, not the page cache.
            aside.write_text(json.dumps(data, indent=1), encoding="utf-8")
            os.replace(aside, self._path)  # noqa: PTH105

    # states
    def state(self, tag: str) -> str:
        """The state of a resource, such as ISP or OSU."""
        return self._states[tag]

    def states(self) -> dict[str, str]:
        """The state of every resource."""
        with self._lock:
            return dict(self._states)

    def reason(self, tag: str) -> str:
        """Why a resource is in its state, in the words of lcdstatus."""
        return self._reasons[tag]

    def in_service(self, tag: str) -> bool:
        """Whether a resource is in service here."""
        return self._states[tag] in IN_SERVICE

    def set_state(self, tag: str, state: str, reason: str) -> None:
        """Changes a resource's state with its reason, saves it, and tells whoever listens for changes."""
        with self._lock:
            before, self._states[tag], self._reasons[tag] = self._states[tag], state, reason
            self.save()
        if before != state:
            self._on_state(tag, before, state, reason)

    # what the last stop left (LKL-49, LKL-50)
    def wanted_at_start(self) -> set[str]:
        """Tags in service at the last stop: recorded by an orderly stop, else (a crash) as the states stood."""
        with self._lock:
            return {tag for tag, s in self._states.items() if s in IN_SERVICE} if self._at_stop is None else set(self._at_stop)

    @property
    def interrupted_start(self) -> bool:
        """A start was under way when this was written, so it has to be gone through again."""
        return self._at_stop is not None

    def remember_stop(self) -> None:
        """Notes what is in service at an orderly stop, once until it is forgotten (LKL-49)."""
        with self._lock:
            if self._at_stop is None:
                self._at_stop = [tag for tag, s in self._states.items() if s in IN_SERVICE]
                self.save()

    def hold_stop(self, tags: set[str]) -> None:
        """Keep `tags` as what has to come back while a start is under way, so that a crash during it forgets nothing."""
        with self._lock:
            self._at_stop = sorted(tags)
            self.save()

    def forget_stop(self) -> None:
        """Forgets what was in service at the last stop."""
        with self._lock:
            self._at_stop = None
            self.save()

    # small facts about the peer that outlive the daemon
    def fact(self, name: str) -> bool:
        """Something that is remembered of the peer; False when it never was set."""
        return self._facts.get(name, False)

    def set_fact(self, name: str, value: bool) -> None:
        """Remembers it across a restart."""
        with self._lock:
            if self._facts.get(name, False) != value:
                self._facts[name] = value
                self.save()

    # moments that are counted within a period, on the wall clock, which both nodes of a lab share
    def add_moments(self, name: str, moments: Iterable[float]) -> None:
        """Remembers moments (s since the epoch) across a restart, each once."""
        with self._lock:
            self._moments[name] = sorted({*self._moments.get(name, ()), *moments})
            self.save()

    def moments(self, name: str, within: float) -> list[float]:
        """Those of the last so many seconds."""
        since = time.time() - within
        with self._lock:
            return [moment for moment in self._moments.get(name, ()) if moment >= since]

    # flags (LKL-22, LKL-23)
    def flags(self) -> list[str]:
        """The names of all flags, sorted."""
        with self._lock:
            return sorted(self._flags)

    def has_flag(self, flag: str) -> bool:
        """Whether that flag is set."""
        return flag in self._flags

    def create_flag(self, flag: str) -> bool:
        """False when it is already there."""
        with self._lock:
            if flag in self._flags:
                return False
            self._flags.append(flag)
            self.save()
            return True

    def remove_flag(self, flag: str) -> bool:
        """False when it is not there."""
        with self._lock:
            if flag not in self._flags:
                return False
            self._flags.remove(flag)
            self.save()
            return True

    def drop_flags(self, prefix: str) -> None:
        """Removes every flag whose name begins so."""
        with self._lock:
            self._flags = [f for f in self._flags if not f.startswith(prefix)]
            self.save()


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadUse(f"{path}: cannot be read ({error}); remove it to start this node as if for the first time") from error
