"""A shared disk: reserved by one node, mounted there (LKL-40: the reservation is the tie-break of a split)."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from harness.lab.lifekeeper.resource_types.bounded_command import RanOut, run
from harness.lab.lifekeeper.resource_types.resource_type import Failed, Fenced, Kind, TimedOut

COMMAND_TIMEOUT_S = 10.0  # a bind mount takes milliseconds


def ask_controller(controller: str, limit: float, **request: Any) -> dict[str, Any]:
    """One answer of the shared disk's controller within `limit` seconds. Raises Failed."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(limit)
            line.connect(controller)
            line.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(line.makefile("rb").readline())
            return answer
    except (OSError, ValueError) as error:
        raise Failed(f"the shared disk's controller did not answer {request['op']} within {limit:g} s ({error})") from error


class Disk(Kind):
    """Parameters: `storage` (the controller's unix socket, JSON lines), `source`, `mountpoint`."""

    takes = ("storage", "source", "mountpoint")
    needs = ("storage", "source", "mountpoint")

    def restore(self) -> None:
        """Reserves the disk for this node and mounts it; raises Failed when another holds it."""
        answer = self._ask(op="reserve", node=self._node, preempt=True)
        if not answer.get("ok"):
            raise Failed(f"the disk could not be reserved; holder: {answer.get('holder')}")
        if not self._is_mounted():
            Path(self._mountpoint).mkdir(parents=True, exist_ok=True)
            self._command("mount", "--bind", str(self.parameter("source")), self._mountpoint)

    def remove(self) -> None:
        """Unmounts the disk and gives this node's reservation back."""
        if self._is_mounted():
            self._command("umount", self._mountpoint)
        if self._ask(op="holder").get("holder") == self._node:
            self._ask(op="release", node=self._node)

    def quick_check(self) -> None:
        """Raises Fenced when another node holds the reservation; an answer that is late is no failure (LKL-44)."""
        try:
            holder = self._ask(op="holder").get("holder")
        except Failed as failure:
            if isinstance(failure.__cause__, TimeoutError):
                raise TimedOut(str(failure)) from None
            raise
        if holder not in (None, self._node):
            raise Fenced(f"the shared disk is reserved by {holder}")
        if holder is None:
            raise Failed("the shared disk is not reserved")
        if not self._is_mounted():
            raise Failed(f"{self._mountpoint} is not mounted")

    def taken_elsewhere(self) -> str | None:
        holder = self._ask(op="holder").get("holder")
        return None if holder in (None, self._node) else holder

    def info(self) -> str:
        return str(self.parameter("mountpoint"))

    @property
    def _node(self) -> str:
        return self.context.config.node

    @property
    def _mountpoint(self) -> str:
        return os.path.normpath(str(self.parameter("mountpoint")))

    def _is_mounted(self) -> bool:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return any(line.split()[4].replace("\\040", " ") == self._mountpoint for line in mounts)

    def _ask(self, **request: Any) -> dict[str, Any]:
        return ask_controller(str(self.parameter("storage")), self.context.config.timers.storage_limit_s, **request)

    @staticmethod
    def _command(*argv: str) -> None:
        try:
            run(argv, COMMAND_TIMEOUT_S)
        except RanOut as out:
            raise Failed(str(out)) from None
