"""What the managers of Linux clusters share: a state that is made of what each node says, and a log in a file of root's."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from harness.hosts.root_rights import read_by_root
from harness.managers.log_window import fetch_line, window
from harness.managers.manager import MAX_LOG_LENGTH, ClusterState, LogWindow, Manager, NodeState


class OnLinux(Manager):
    """Base of the adapters; `log` is the manager's log on each node."""

    log: ClassVar[Path]

    @abstractmethod
    def _node_state(self, node: str, limit: float) -> NodeState:
        """What one node says; `limit` in seconds."""

    def state(self, *, limit: float = 10.0) -> ClusterState:
        return ClusterState(self._each(lambda node: self._node_state(node, limit)))

    def recent_log(self, node: str, *, lines: int = 200) -> str:
        return self._hosts[node].run(read_by_root(f"tail -n {lines:d}", str(self.log))).out

    def log_between(self, node: str, begin: float, end: float, *, most: int = MAX_LOG_LENGTH) -> LogWindow:
        return window(self._hosts[node].run(fetch_line(self.log), limit=30.0).out, begin, end, most)
