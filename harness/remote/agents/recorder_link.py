"""The flight recorder of one host, seen from the harness: installed there, asked, marked, emptied, ended and removed.

It is the measuring agent with another last part (`flight_recorder.py`), which needs no harness: it lies in a folder of its own with its
program and plan, and is found there by any harness that has the same cluster file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.config.cluster_config import Cluster
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.hosts.bounded_parse import json_of
from harness.hosts.host import Host, NotReadable
from harness.remote import script_transport
from harness.remote.agents import agent_launch
from harness.remote.agents.agent_launch import PREFIX, AgentSeries, AgentWatch
from harness.remote.agents.clock_sync import HostClock
from harness.remote.recording.recording import Clock

PLACES = ("/var/lib", "/var/tmp", "/tmp")  # only root can make a folder in the first; the first two outlive a reboot
CONTROL = "recorder_control"
PROGRAM = "flight_recorder"
PINGS = 10
MAX_FETCHED_BYTES = 64 * 1024 * 1024  # of one file, unpacked


@dataclass(frozen=True)
class RecorderOptions:
    """How a recorder measures and what it keeps, in seconds and bytes; their meaning stands in `flight_recorder.py`."""

    before: float = 35.0
    after: float = 20.0
    calm: float = 5.0
    longest_fast: float = 60.0
    longest: float = 600.0
    ring: int = 1_000_000
    incident: int = 3_000_000
    kept: int = 16_000_000
    journal: int = 500_000
    free: int = 100_000_000
    tell: float = 600.0


@dataclass(frozen=True)
class RecorderPlan:
    """The whole task of one host's recorder. `fast`: of each series, seconds between attempts while something is wrong. It ends at `until`
    (seconds since 1970); what it kept lies there for `keep_s` more."""

    series: Sequence[AgentSeries]
    watch: AgentWatch
    fast: Mapping[str, float]
    until: float
    keep_s: float = 7 * 86400.0
    again_s: float = 5.0
    options: RecorderOptions = field(default_factory=RecorderOptions)

    def wire(self) -> dict[str, Any]:
        """The plan as the program takes it."""
        watch = {"vip": self.watch.vip, "ports": list(self.watch.ports), "log": self.watch.log, "every": self.watch.every_s}
        return {
            "series": [{**series.wire(), "fast": self.fast[series.id]} for series in self.series],
            "watch": watch,
            "until": self.until,
            "orphan": max(0.0, self.until - time.time()) + self.keep_s,  # nobody follows it
            "keep": self.keep_s,
            "again": self.again_s,
            "max_open": 1000,
            "recorder": vars(self.options),
        }


def name_of(cluster: Cluster) -> str:
    """The name of a cluster's recorder on every host: by its frontend and its nodes, whoever wrote the cluster file."""
    addresses = " ".join(sorted([str(cluster.vip), *(str(node.address) for node in cluster.nodes)]))
    return f"{PREFIX}recorder-{hashlib.sha256(addresses.encode()).hexdigest()[:12]}"


class RecorderLink:
    """One host's recorder. Every method raises what `Host.run` raises, and Inconclusive with the host's own reason."""

    def __init__(self, host: Host, python: str, name: str, places: Sequence[str] = PLACES) -> None:
        self.name = host.name
        self._host, self._python = host, python
        self.folders = [f"{place}/{name}" for place in places]

    def install(self, plan: RecorderPlan, *, begin: bool = True, limit: float = 30.0) -> dict[str, Any]:
        """Put it there, and start it unless somebody else (systemd) will; where it is."""
        return self._ask({"do": "install", "begin": begin, "plan": plan.wire()}, limit, program=True)

    def start(self, *, limit: float = 30.0) -> dict[str, Any]:
        """Start the one that is there and does not run, such as after a reboot."""
        return self._ask({"do": "start"}, limit)

    def status(self, *, limit: float = 20.0) -> dict[str, Any] | None:
        """How it fares and what it kept; None where there is none."""
        reply = self._ask({"do": "status"}, limit)
        return None if reply.get("missing") else reply

    def mark(self, text: str, *, limit: float = 20.0) -> bool:
        """Have it keep what it holds; False where there is none. Raises Inconclusive where there is one that does not run."""
        reply = self._ask({"do": "mark", "text": text}, limit)
        if reply.get("missing"):
            return False
        if not reply["alive"]:
            raise Inconclusive(f"{self.name}: nothing is kept there, because its flight recorder does not run; see `record status`")
        return True

    def fetch(self, name: str, *, limit: float = 60.0) -> str:
        """The lines of an incident, or of the journal."""
        reply = self._ask({"do": "fetch", "name": name}, limit)
        try:
            unpacked = zlib.decompressobj().decompress(base64.b64decode(str(reply.get("data", ""))), MAX_FETCHED_BYTES)
        except (ValueError, zlib.error) as error:
            raise NotReadable(f"{self.name}: {name} of its flight recorder did not come whole ({error})") from error
        return unpacked.decode("utf-8", "replace")

    def forget(self, names: Sequence[str], *, limit: float = 20.0) -> None:
        """Remove incidents that are at home."""
        self._ask({"do": "forget", "names": list(names)}, limit)

    def remove(self, *, limit: float = 30.0) -> None:
        """End it, and remove all that it left."""
        agent_launch.order(self._host, self._python, "clean", self.folders, limit=limit)

    def clock(self, folder: str, deadline: Deadline) -> Clock | None:
        """That host's clocks against the harness's, by pings over one connection; None when they were not answered in time."""
        process = agent_launch.follow(self._host, self._python, folder, 0)
        clock, rest = HostClock(self.name), b""
        try:
            process.send(clock.begin(PINGS))
            while clock.best is None and not deadline.expired and (data := process.recv(65536)):
                now = time.monotonic()
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line[:2] == b"p ":
                        number, mono, wall = line[2:].split()
                        if ping := clock.take_echo(int(number), float(mono), float(wall), now=now)[0]:
                            process.send(ping)
        except (OSError, ValueError):
            return clock.best
        finally:
            with suppress(OSError):
                process.close()
        return clock.best

    def _ask(self, plan: dict[str, Any], limit: float, *, program: bool = False) -> dict[str, Any]:
        text = b"PROGRAM = %r\n" % (script_transport.source(PROGRAM) if program else b"") + script_transport.source(CONTROL)
        command = [self._python, *script_transport.QUICKLY, "-", json.dumps({**plan, "folders": self.folders})]
        result = self._host.run(command, limit=limit, input=text)
        try:
            reply = dict(json_of(result.out))
        except (ValueError, TypeError) as error:
            complaint = (result.err.strip() or result.out.strip() or "nothing").splitlines()[-1]
            raise script_transport.no_python(self._host, self._python, CONTROL, f"exit {result.exit}: {complaint}") from error
        if "error" in reply:
            raise Inconclusive(f"{self.name}: its flight recorder: {reply['error']}")
        return reply
