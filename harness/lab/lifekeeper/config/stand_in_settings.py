"""The settings file of LifeKeeper's stand-in (JSON): the resources, and every timer and unknown that has no name in the product."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.core.errors import BadUse
from harness.lab.lifekeeper.config.strict_json import read

CONFIG_VARIABLE = "LKSTANDIN_CONFIG"
DEFAULT_CONFIG = "/etc/lifekeeper-standin.json"
DEFAULT_RUN = "/run/lifekeeper-standin"
TAG = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_./-]{0,255}")  # LKL-27


@dataclass(frozen=True)
class CommPath:
    """One communication path: two addresses and a priority, 1 the best (LKL-08, LKL-37)."""

    local: str
    peer: str
    priority: int


@dataclass(frozen=True)
class Resource:
    """One protected thing; `priority` has a number per node, 1 highest, none equal (LKL-21)."""

    tag: str
    id: str
    app: str
    type: str
    kind: Literal["group", "gen", "ip", "lbhc", "disk", "probed-ip"]
    priority: dict[str, int]
    children: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Directories:
    """Where things are on the node."""

    state: str = "/var/lib/lifekeeper-standin"
    log: str = "/var/log/lifekeeper.log"
    journal: str = "/var/log/lifekeeper-standin.journal.jsonl"
    run: str = DEFAULT_RUN
    tunables: str = "/etc/default/LifeKeeper"


@dataclass(frozen=True)
class Timers:
    """Timers, in seconds, for which the facts name no setting of the product."""

    connect_limit_s: float = 1.0  # one attempt to connect a path; never longer than one heartbeat
    call_limit_s: float = 300.0  # a control message to the peer that moves resources
    action_wait_s: float = 60.0  # an action waits this long for another one to end
    peer_action_wait_s: float = 10.0  # the same for an action that the other node asked for
    start_contact_extra_s: float = 1.0  # beyond the dead time, how long a start waits for the peer (LKL-49)
    quick_check_limit_s: float = 60.0  # a quickCheck of a `gen` resource that names no limit of its own
    script_limit_s: float = 120.0  # restore, remove and recover of a `gen` resource, likewise
    storage_limit_s: float = 30.0  # one answer of the shared disk, as the kernel gives a SCSI command
    restart_pause_s: float = 1.0  # before the second and later restarts of a daemon that dies at once


@dataclass(frozen=True)
class Unknowns:
    """What section 9 of the facts lists as not known; the stand-in's choice is the default and a test may choose otherwise."""

    flg_test_absent_exit: int = 7
    lcdstatus_stopped_exit: int = 1
    perform_action_failure_exit: int = 1
    perform_action_prints: bool = True
    lkpolicy_prints: tuple[str, ...] = ("Failover: On", "LocalRecovery: On", "NotificationOnly: Off")  # its layout, and nobody changes it
    lcdstatus_u: Literal["ignore", "refuse"] = "ignore"
    id_longest: int = 24
    id_gap: str = "..."
    hc_timeout_s: float = 10.0
    lbhc_reply: str = ""
    lbhc_local_recovery: bool = False
    ip_info_separator: str = " "
    ip_unique_check_answered: bool = False
    broadcast_ping_answered: bool = False
    ins_list_first: tuple[str, ...] = ("system", "app", "type", "tag", "id")
    ins_list_rest: tuple[str, ...] = ()
    eqv_list_rest: tuple[str, ...] = ()
    default_strategy_line: str = "The shutdown strategy is set to: do not switchover."
    lkstop_plain: Literal["nofailover", "strategy"] = "nofailover"
    lkstop_n: Literal["nofailover", "strategy"] = "nofailover"
    lkstop_r: Literal["nofailover", "strategy"] = "strategy"
    isu: Literal["unmonitored", "failover_only"] = "unmonitored"
    split_brain: Literal["lower_priority_removes", "keep"] = "lower_priority_removes"
    osf_cleared_by: tuple[Literal["remove", "peer_in_service", "start"], ...] = ("remove",)
    parallel: bool = True


@dataclass(frozen=True)
class Config:
    """The whole structure, as it is on this node."""

    node: str
    peer: str
    home: str
    comm_paths: tuple[CommPath, ...]
    resources: tuple[Resource, ...]
    comm_port: int = 7365
    witness: str | None = (
        None  # the controller of a witness disk (a unix socket); without one there is no quorum, as in LifeKeeper by default
    )
    halt_command: tuple[str, ...] = ()
    warm_interpreter: str | None = None  # commands `this -m module …` are forked from a process that has the module loaded
    first_flags: tuple[str, ...] = ()
    directories: Directories = Directories()
    timers: Timers = Timers()
    unknowns: Unknowns = Unknowns()

    @property
    def control_socket(self) -> str:
        """Where the daemon listens for commands."""
        return f"{self.directories.run}/control.sock"


def config_path() -> Path:
    """The file with the structure: the environment's, else the default."""
    return Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG))


def load(path: Path | None = None) -> Config:
    """Read and judge the structure. Raises BadUse that lists every fault with its place."""
    path = path or config_path()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadUse(f"{path}: cannot be read ({error.strerror}); set {CONFIG_VARIABLE} to the stand-in's JSON file") from error
    except ValueError as error:
        raise BadUse(f"{path}: is not JSON: {error}") from error
    faults: list[str] = []
    config = read(Config, data, "", faults)
    if not faults:
        faults = [*_name_faults(config), *_tree_faults(config), *_path_faults(config), *_timer_faults(config)]
    if faults:
        raise BadUse(f"{path}: {len(faults)} fault{'s' if len(faults) > 1 else ''}\n" + "\n".join(f"  {fault}" for fault in faults))
    return config


def _name_faults(config: Config) -> list[str]:
    faults = []
    if config.node == config.peer:
        faults.append(f"peer: is {config.peer}, which is this node itself")
    if config.home not in (config.node, config.peer):
        faults.append(f"home: {config.home} is neither {config.node} nor {config.peer}")
    tags = [r.tag for r in config.resources]
    faults += [f"resources: tag {tag} is used {tags.count(tag)} times" for tag in dict.fromkeys(tags) if tags.count(tag) > 1]
    for i, r in enumerate(config.resources):
        place = f"resources[{i}] ({r.tag})"
        if not TAG.fullmatch(r.tag):
            faults.append(f"{place}: the tag may hold letters, digits and - _ . / only (LKL-27)")
        if set(r.priority) != {config.node, config.peer}:
            faults.append(f"{place}: priority must have one number each for {config.node} and {config.peer}")
        elif len(set(r.priority.values())) < 2 or min(r.priority.values()) < 1:
            faults.append(f"{place}: the two priorities must differ and be 1 or more (LKL-21)")
    return faults


def _tree_faults(config: Config) -> list[str]:
    children = {r.tag: r.children for r in config.resources}
    faults = [f"resources ({tag}): child {c} is not a resource" for tag, cs in children.items() for c in cs if c not in children]
    for tag in children:
        descendants, todo = set(), list(children[tag])
        while todo:
            child = todo.pop()
            if child not in descendants:
                descendants.add(child)
                todo += children.get(child, ())
        if tag in descendants:
            faults.append(f"resources ({tag}): depends on itself")
    return faults


def _path_faults(config: Config) -> list[str]:
    priorities = [p.priority for p in config.comm_paths]
    faults = [] if len(set(priorities)) == len(priorities) else ["comm_paths: two paths have the same priority"]
    if not 1 <= config.comm_port <= 65535:
        faults.append(f"comm_port: {config.comm_port} is not a port")
    return faults


def _timer_faults(config: Config) -> list[str]:
    return [f"timers.{name}: must not be negative" for name, value in vars(config.timers).items() if value < 0]
