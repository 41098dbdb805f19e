"""What an agent is asked to do, and how it gets to its host."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import Inconclusive
from harness.hosts.bounded_parse import json_of
from harness.hosts.host import Host, Process
from harness.remote import script_transport
from harness.remote.recording.recording import NEW, PINNED
from harness.services.service_kind import Hello

SCRIPT = "agent"
FOLLOW = "agent_control"
PREFIX = "lkharness-agent-"
PLACES = ("/dev/shm", "/run", "/var/tmp", "/tmp")  # memory first: it keeps no writer waiting as a busy disk would
SPOOL_KEPT_S = 60.0
ORPHAN_TIMEOUT_S = 120.0  # long enough for a connection that is lost and comes back, or a harness that is being debugged
PERIODS_S = (0.001, 0.01, 0.05, 0.1, 0.25)


@dataclass(frozen=True)
class AgentSeries:
    """Connections to one service. `say` is sent on every one; it is answered once the regular expression `expect` is found in what was
    heard, or, when that is empty, by the connect alone; found `again`, the same is said once more. `http`: a kept connection's answer is
    whole when HTTP says so. `limit_s` is from the start of an attempt to its answer."""

    id: str
    destination: str
    port: int
    kind: str = NEW
    period_s: float = 0.01
    limit_s: float = 0.25
    say: bytes = b""
    expect: bytes = b""
    again: bytes = b""
    http: bool = False

    def __post_init__(self) -> None:
        if self.period_s not in PERIODS_S:
            raise ValueError(f"{self.id}: a period of {self.period_s:g} s; known: {', '.join(f'{p:g}' for p in PERIODS_S)}")
        if self.kind == PINNED and not (self.say and self.expect):
            raise ValueError(f"{self.id}: a pinned connection needs something to say and an answer to expect")

    def wire(self) -> dict[str, Any]:
        """The series as the agent's script takes it."""
        return {
            "id": self.id,
            "destination": str(self.destination),
            "port": self.port,
            "kind": self.kind,
            "period": self.period_s,
            "limit": self.limit_s,
            "say": base64.b64encode(self.say).decode(),
            "expect": base64.b64encode(self.expect).decode(),
            "again": base64.b64encode(self.again).decode(),
            "http": self.http,
        }


def bearable(period_s: float, hello: Hello) -> float:
    """The period that is asked for, or the next one that the service bears."""
    return max(period_s, next((p for p in PERIODS_S if p >= hello.least_period_s), PERIODS_S[-1]))


@dataclass(frozen=True)
class AgentWatch:
    """What else is watched at the host: the VIP as an address of it, who listens on `ports`, lines added to a log file, and, where
    packets may not be captured, who is connected to the ports in `connections`."""

    vip: str = ""
    ports: tuple[int, ...] = ()
    connections: tuple[int, ...] = ()
    log: str = ""
    every_s: float = 0.05


@dataclass(frozen=True)
class AgentPlan:
    """The whole task. The agent ends by itself after `lifetime_s`, or when nobody has followed it for `orphan_s` (its harness has died),
    and its spool is removed at most `keep_s` later."""

    series: Sequence[AgentSeries]
    lifetime_s: float
    watch: AgentWatch = field(default_factory=AgentWatch)
    keep_s: float = field(default_factory=lambda: SPOOL_KEPT_S)
    orphan_s: float = field(default_factory=lambda: ORPHAN_TIMEOUT_S)
    max_open: int = 4000
    places: tuple[str, ...] = PLACES


def new_folders(plan: AgentPlan) -> list[str]:
    """Where one agent's spool may be; chosen here, so that it can be removed even if the answer to its start is lost."""
    name = PREFIX + secrets.token_hex(8)
    return [f"{place}/{name}" for place in plan.places]


def launch(host: Host, python: str, plan: AgentPlan, folders: list[str], *, lifetime_s: float, limit: float) -> str:
    """Start an agent in the background; returns the folder that it took. Raises what `Host.run` raises, Unusable without a Python
    there, Inconclusive with the reason when the agent cannot work."""
    watch = {
        "vip": plan.watch.vip,
        "ports": list(plan.watch.ports),
        "connections": list(plan.watch.connections),
        "log": plan.watch.log,
        "every": plan.watch.every_s,
    }
    task = {
        "series": [series.wire() for series in plan.series],
        "watch": watch,
        "lifetime": lifetime_s,
        "orphan": plan.orphan_s,
        "keep": plan.keep_s,
        "max_open": plan.max_open,
        "folders": folders,
    }
    reply = _run(host, python, script_transport.source(SCRIPT), task, limit)
    if "error" in reply:
        raise Inconclusive(f"{host.name}: the measuring agent cannot work there: {reply['error']}")
    return str(reply["folder"])


def follow(host: Host, python: str, folder: str, offset: int) -> Process:
    """Stream an agent's spool from that byte on. Raises as `scripts.start` does."""
    return script_transport.start(host, python, FOLLOW, {"do": "follow", "folders": [folder], "offset": offset})


def order(host: Host, python: str, do: str, folders: list[str], *, limit: float) -> None:
    """`stop` asks the agent of these folders to end; `clean` ends it and removes all it left. Raises as `launch` does."""
    reply = _run(host, python, script_transport.source(FOLLOW), {"do": do, "folders": folders}, limit)
    if "error" in reply:
        raise Inconclusive(f"{host.name}: the agent could not be told to {do}: {reply['error']}")


def _run(host: Host, python: str, text: bytes, plan: dict[str, Any], limit: float) -> dict[str, Any]:
    """Run a script to its end; the JSON object that it printed."""
    result = host.run([python, *script_transport.QUICKLY, "-", json.dumps(plan)], limit=limit, input=text)
    try:
        return dict(json_of(result.out))
    except (ValueError, TypeError) as error:
        complaint = (result.err.strip() or result.out.strip() or "nothing").splitlines()[-1]
        raise script_transport.no_python(host, python, "agent", f"exit {result.exit}: {complaint}") from error
