"""What the harness asks of any cluster manager."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypeVar

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.hosts.host import Host

T = TypeVar("T")
ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")


class ResourceState(StrEnum):
    """A resource's state on one node, in words that fit every manager."""

    IN_SERVICE = "in service"
    UNPROTECTED = "in service, unprotected"
    STANDBY = "standby"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def active(self) -> bool:
        """Whether the resource is in service there, protected or not."""
        return self in (ResourceState.IN_SERVICE, ResourceState.UNPROTECTED)


@dataclass(frozen=True)
class CommPath:
    """One communication path as a node sees it."""

    peer: str
    addresses: str
    alive: bool


@dataclass(frozen=True)
class NodeState:
    """What a node's cluster manager says; `running` is False when there is nobody to ask, and `why` then says so.

    `stopped`: the node was asked, and its manager does not run; otherwise a node that is not `running` is one that could not be asked.
    `quorum`: whether its part of the cluster has quorum, where the manager told that.
    """

    node: str
    running: bool
    resources: dict[str, ResourceState]
    comm_paths: tuple[CommPath, ...]
    why: str = ""
    stopped: bool = False
    quorum: bool | None = None

    @property
    def has_everything(self) -> bool:
        """Whether every resource is in service on the node."""
        return bool(self.resources) and all(s.active for s in self.resources.values())

    @property
    def has_something(self) -> bool:
        """Whether some resource is."""
        return any(s.active for s in self.resources.values())

    @property
    def stands_by(self) -> bool:
        """Whether the node runs and could take every resource."""
        return self.running and bool(self.resources) and all(s is ResourceState.STANDBY for s in self.resources.values())


@dataclass(frozen=True)
class ClusterState:
    """Both nodes, each asked itself (facts LKL-04)."""

    nodes: dict[str, NodeState]

    @property
    def active(self) -> str | None:
        """The one node that has everything in service while the other has nothing; None when there is no such node."""
        complete_nodes = [n for n, s in self.nodes.items() if s.has_everything]
        touched = [n for n, s in self.nodes.items() if s.has_something]
        return complete_nodes[0] if len(complete_nodes) == 1 and touched == complete_nodes else None

    @property
    def leading(self) -> str | None:
        """The one node that has anything in service, complete or not: on a broken cluster, the node to hold the paths against."""
        touched = [n for n, s in self.nodes.items() if s.has_something]
        return touched[0] if len(touched) == 1 else None

    @property
    def why_none_leads(self) -> str:
        """In words, where `leading` is None."""
        touched = [n for n, s in self.nodes.items() if s.has_something]
        return f"{' and '.join(touched)} have resources in service at once" if len(touched) > 1 else "no node has anything in service"

    @property
    def path_addresses(self) -> frozenset[str]:
        """The addresses of all communication paths, alive or dead; empty where nobody told a path, or one names no address."""
        addresses_by_path = [ADDRESS.findall(p.addresses) for s in self.nodes.values() for p in s.comm_paths]
        return frozenset(a for addresses in addresses_by_path for a in addresses) if all(addresses_by_path) else frozenset()

    @property
    def healthy(self) -> bool:
        """One node active, the other standing by, every communication path alive on both."""
        if self.active is None:
            return False
        standby = next(s for n, s in self.nodes.items() if n != self.active)
        paths = [p for s in self.nodes.values() for p in s.comm_paths]
        return standby.stands_by and bool(paths) and all(p.alive for p in paths)

    def without(self, tags: Collection[str]) -> ClusterState:
        """The same, as if the cluster had none of these resources."""
        return ClusterState(
            {n: replace(s, resources={t: r for t, r in s.resources.items() if t not in tags}) for n, s in self.nodes.items()}
        )

    def __str__(self) -> str:
        return "; ".join(_describe(s) for s in self.nodes.values())


def _describe(state: NodeState) -> str:
    if not state.running:
        return f"{state.node}: {state.why}"
    resources = ", ".join(f"{tag} {s}" for tag, s in state.resources.items()) or "no resources"
    dead = [p.addresses for p in state.comm_paths if not p.alive]
    return f"{state.node}: {resources}" + (f"; communication path {' and '.join(dead)} dead" if dead else "")


class Says(StrEnum):
    """The three answers."""

    YES = "yes"
    NO = "no"
    CANNOT_TELL = "cannot tell"


class Question(StrEnum):
    """What may make everything go to the other node; a manager may allow one of these and forbid another (facts WCLU-109 to WCLU-119)."""

    TOLD = "a switchover that it is told to make"
    LOST = "a failover because the active node is lost"
    FAILED = "a failover because a resource fails"


@dataclass(frozen=True)
class Answer:
    """Yes, no because …, or cannot tell because …; every reason is a sentence for a person."""

    says: Says
    because: tuple[str, ...] = ()

    @property
    def yes(self) -> bool:
        """Whether the answer is a proven yes."""
        return self.says is Says.YES

    @property
    def no(self) -> bool:
        """Whether the answer is a proven no."""
        return self.says is Says.NO

    def __str__(self) -> str:
        return f"{self.says}, because {'; '.join(self.because)}" if self.because else str(self.says)


def answer(against: Sequence[str], unknown: Sequence[str] = ()) -> Answer:
    """No when anything speaks against it, with everything that is not known besides; cannot tell when only that; otherwise yes."""
    verdict = Says.NO if against else Says.CANNOT_TELL if unknown else Says.YES
    return Answer(verdict, tuple(dict.fromkeys([*against, *unknown])))


NOT_ASKED = Answer(Says.CANNOT_TELL, ("the adapter of this cluster manager does not ask it",))
MAX_LOG_LENGTH = 512 * 1024  # characters of one log window


@dataclass(frozen=True)
class LogWindow:
    """The lines of a manager's log in a span of time. `left_out` is empty when it is all of them, and otherwise says what is not here."""

    text: str
    left_out: str = ""


class SwitchRefused(HarnessError):
    """The manager did not do what it was told; the message quotes it."""


class PeerPort(NamedTuple):
    """The port that one node has and the other sends to. `mutual`: both send from it as well, so that where a firewall tracks connections
    what comes from the one answers what the other has sent."""

    protocol: Literal["tcp", "udp"]
    port: int
    mutual: bool = False


class Manager(ABC):
    """The adapter of one cluster manager. Made of the cluster file and its hosts by their names; what it is made with, it does not ask yet.

    What a manager cannot be asked is "cannot tell", which is never taken for yes: the answers that nothing is written for say so.
    """

    name: ClassVar[str]  # what reports and messages call it
    platform: ClassVar[Literal["linux", "windows"]] = "linux"  # what its nodes run
    packages: ClassVar[tuple[str, ...]] = ()  # whose versions a Linux node is asked for
    # By which its nodes talk, over their first link where each has its own; what their own firewalls must let pass.
    peer_port: ClassVar[tuple[Literal["tcp", "udp"], int] | None] = None
    misses_probes: ClassVar[bool] = True  # does the responder's monitor notice that no probe comes any more?
    boot_unit: ClassVar[str] = ""  # of systemd, without `.service`, that starts it at boot; empty where it has none of its own
    process_names: ClassVar[tuple[str, ...]] = ()  # all of its own that must run, as `ps` has their names (15 characters)
    usual_daemons: ClassVar[tuple[str, ...]] = ()  # of its own, by name, that a supervisor brings back; a cluster file may name others
    mended_daemons: ClassVar[tuple[str, ...]] = ()  # of its own, by name: those whose end its supervisor mends, and fences nobody
    needs_fencing: ClassVar[bool] = False  # does it take nothing over from a lost node before that is fenced?

    def __init__(self, cluster: cluster_config.Cluster, hosts: Mapping[str, Host]) -> None:
        self._cluster = cluster
        self._hosts = hosts

    @classmethod
    def port_between(cls, ends: Collection[str], settings: Mapping[str, str], names: Mapping[str, Collection[str]]) -> PeerPort | None:
        """By which port its nodes talk between these two addresses. `settings`: what a node told of the manager's own file, `names`: what
        names resolve to there. None where it has no path between them, or that was not told."""
        return None if cls.peer_port is None else PeerPort(*cls.peer_port)

    @property
    def _names(self) -> list[str]:
        return [node.name for node in self._cluster.nodes]

    def _each(self, work: Callable[[str], T]) -> dict[str, T]:
        """For every node at once: a node that does not answer must not age what the other says."""
        with ThreadPoolExecutor(max_workers=len(self._names)) as pool:
            return dict(zip(self._names, pool.map(work, self._names), strict=True))

    @property
    @abstractmethod
    def out_settings(self) -> tuple[str, str] | None:
        """Where `take_out` sets something in the cluster's configuration: a line of shell that removes all of that, on whichever node, and
        one that exits 0 when the configuration was read and has nothing of it. None where it sets nothing."""

    @abstractmethod
    def state(self, *, limit: float = 10.0) -> ClusterState:
        """Ask both nodes. An unreachable node is a NodeState that says so, not an exception."""

    @abstractmethod
    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        """Move everything to the node `to` and return when the manager says it has. Raises SwitchRefused."""

    @abstractmethod
    def switch_over_lines(self, to: str) -> list[str]:
        """The commands by which `switch_over` changes something, run on the node `to`; nothing is run for it."""

    @abstractmethod
    def unlisted_members(self, *, limit: float = 10.0) -> list[str]:
        """What the cluster has besides what its file names: nodes, and resources that `switch_over` would leave behind; sentences."""

    def unrelated_resources(self, *, limit: float = 10.0) -> frozenset[str]:
        """Resources that are another application's: the file names none of what they are tied to, so they may be in service on any node.
        What cannot be read is empty, so that everything counts as the file's; nothing is raised for it."""
        return frozenset()

    @abstractmethod
    def fail_counts(self, *, limit: float = 10.0) -> dict[str, dict[str, int]]:
        """Node → tag → how many failures the manager counts, where it counts any. Raises HarnessError where that cannot be read."""

    @abstractmethod
    def end_own_move(self, node: str, *, deadline: Deadline) -> None:
        """End what a `switch_over` that was killed has left in force. Only for who holds the lease, and saw nothing of it before."""

    @abstractmethod
    def by_hand_line(self, to: str) -> str:
        """One line of the shell of the node `to` by which a person moves everything there; nothing is run for it."""

    def survey_commands(self) -> dict[str, str]:
        """Section → line of a POSIX shell that prints, beside its log, what a diagnosis wants of its configuration. They only read."""
        return {}

    def may_switch_over(self, to: str, question: Question = Question.TOLD, *, limit: float = 10.0) -> Answer:
        """Would everything go to the node `to` now, for that reason? Read-only, done within `limit` seconds.

        No with each reason: policies, confirmation asked for, maintenance, quorum, flags and locks that forbid it, `to` not able, all
        communication paths dead, everything there already. What cannot be read is "cannot tell", never yes; nothing is raised for it.
        """
        return NOT_ASKED

    def fencing(self, *, limit: float = 10.0) -> Answer:
        """If the nodes lost each other, would one of them surely be stopped? Only proof is yes; nothing is raised."""
        return NOT_ASKED

    def mirror(self, to: str, *, limit: float = 10.0) -> Answer:
        """Does `to` hold all data of the services, copied in the right direction? Yes where nothing is copied; nothing is raised."""
        return NOT_ASKED

    def starts_at_boot(self, *, limit: float = 10.0) -> Answer:
        """Does a node that is reset or fenced come back into the cluster by itself? Nothing is raised."""
        return NOT_ASKED

    @abstractmethod
    def failures_left(self, *, limit: float = 10.0) -> dict[str, tuple[int, int]]:
        """Tag → how many failures the manager counts on the node that has it in service, and at how many it bans that node. Only where it
        counts and bans. Raises HarnessError where that cannot be read."""

    @abstractmethod
    def take_out(self, tag: str, node: str, *, deadline: Deadline) -> None:
        """Take one resource out of service on its node and leave everything else as it is."""

    @abstractmethod
    def take_out_lines(self, tag: str, node: str) -> list[str]:
        """The commands by which `take_out` would change something, run on that node; the cluster is only read for it. None where it would
        be refused."""

    @abstractmethod
    def stays_in(self, tag: str, node: str, *, limit: float = 20.0) -> str:
        """Why `take_out` would not take the resource out alone; empty when it would. Only reads, and raises nothing for what it reads."""

    @abstractmethod
    def put_back(self, tag: str, node: str, *, deadline: Deadline) -> None:
        """Put that resource back in service."""

    @abstractmethod
    def address_of(self, tag: str, node: str) -> str | None:
        """The address that an IP resource carries, by the manager's own database on that node; None when it knows none."""

    @property
    @abstractmethod
    def log(self) -> Path | None:
        """The manager's log file on every node; None where it keeps none (Windows' event log)."""

    @abstractmethod
    def notices(self, line: str) -> bool:
        """Is this line of the log the manager's notice of something wrong, or the beginning of what it does about it?"""

    @abstractmethod
    def clear_failure(self, tag: str, node: str, *, deadline: Deadline) -> None:
        """Have a resource that failed on a node, and is out of service there, stand by again."""

    @abstractmethod
    def in_service_test(self, tag: str) -> str:
        """A line of the node's own shell (PowerShell on Windows): exit 0 when the manager there says that it has this resource in service.

        For undoing on the host."""

    @abstractmethod
    def put_back_line(self, tag: str) -> str:
        """A line of the node's own shell that puts this one resource back in service there. For undoing on the host."""

    def daemons(self, configured: Sequence[str] | None) -> Sequence[str]:
        """Names of the manager's own daemons: those that the cluster file gives, else (None) the usual ones of this kind."""
        return self.usual_daemons if configured is None else configured

    @abstractmethod
    def daemon_pids_line(self) -> str:
        """A line of the node's own shell that prints the pids of the manager's own daemons, those that a supervisor brings back."""

    @abstractmethod
    def recent_log(self, node: str, *, lines: int = 200) -> str:
        """The end of the manager's log on a node, as evidence."""

    @abstractmethod
    def log_between(self, node: str, begin: float, end: float, *, most: int = MAX_LOG_LENGTH) -> LogWindow:
        """The log's lines from `begin` to `end`, seconds since the epoch on the node's own clock; the newest `most` characters of them.

        Raises what `Host.run` raises; a log that cannot be read is an empty window that says why.
        """
