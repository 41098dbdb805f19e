"""The load balancer health check resource: a daemon that the balancer's probe must really reach (LKL-56 to LKL-60)."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded
from harness.lab.lifekeeper.config.stand_in_settings import Resource
from harness.lab.lifekeeper.resource_types import lbhcd
from harness.lab.lifekeeper.resource_types.resource_type import Failed, Kind, ResourceContext

END_TIMEOUT_S = 2.0  # a killed process is gone within milliseconds


class Lbhc(Kind):
    """Parameters: `port`, `bind` (0.0.0.0), `reply` (nothing), and `wait_for_probe`: false makes it a GenLB (LKL-60)."""

    takes = ("port", "bind", "reply", "wait_for_probe")
    needs = ("port",)

    def __init__(self, resource: Resource, context: ResourceContext) -> None:
        super().__init__(resource, context)
        port = self.parameter("port")
        if not isinstance(port, int) or not 1 <= port <= 65535:
            raise BadUse(f"resource {resource.tag}: port must be 1 to 65535, not {port!r}")
        self.port = port
        self.waits = bool(self.parameter("wait_for_probe", True))
        self.has_recovery = context.config.unknowns.lbhc_local_recovery
        self.flag = f"{resource.id}-hc-ng"
        self._pid_file = context.run / f"lbhcd-{resource.tag.replace('/', '_')}.pid"

    def restore(self) -> None:
        """Starts the daemon that the probe reaches, unless it runs; raises Failed when it does not come up."""
        if self._running_pid() is not None:
            return
        self.context.clear_flag(self.flag)
        process = self._start()
        try:
            self._await(process, "listening", 5.0, "its daemon did not come up")
            if self.waits:
                limit = self._hc_timeout()
                self._await(process, "probed", limit, f"no connection came to port {self.port} within {limit:g} s (HC_TIMEOUT)")
        except Failed:
            process.kill()
            process.wait()
            self._pid_file.unlink(missing_ok=True)
            raise
        finally:
            if process.stdout:
                process.stdout.close()

    def remove(self) -> None:
        """Ends the daemon and waits for its end; raises Failed when it stays."""
        pid = self._running_pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            try:
                Deadline(END_TIMEOUT_S).wait_for(lambda: self._running_pid() is None, what=f"the end of lbhcd {pid}", every=0.005)
            except DeadlineExceeded as late:
                raise Failed(str(late)) from None
        self._pid_file.unlink(missing_ok=True)
        self.context.clear_flag(self.flag)

    def quick_check(self) -> None:
        """Whether the daemon runs and was reached within HC_TIMEOUT seconds; raises Failed."""
        if self._running_pid() is None:
            raise Failed(f"its daemon lbhcd is not running, nothing answers port {self.port}")
        if self.waits and self.context.has_flag(self.flag):
            raise Failed(f"flag {self.flag}: no connection came for {self._hc_timeout():g} s (HC_TIMEOUT)")

    def recover(self) -> None:
        self.remove()
        self.restore()

    def _hc_timeout(self) -> float:
        configured_s = self.context.tunables().HC_TIMEOUT
        return self.context.config.unknowns.hc_timeout_s if configured_s is None else configured_s

    def _start(self) -> subprocess.Popen[bytes]:
        """The daemon lives in its own session, so that it outlasts the one that started it (LKL-02, LKL-47)."""
        settings = {
            "bind": self.parameter("bind", "0.0.0.0"),
            "port": self.port,
            "reply": self.parameter("reply", self.context.config.unknowns.lbhc_reply),
            "hc_timeout": self._hc_timeout() if self.waits else None,
            "flag": self.flag,
            "control": self.context.config.control_socket,
        }
        argv = [sys.executable, "-IS", str(Path(lbhcd.__file__)), json.dumps(settings)]
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._pid_file.write_text(f"{process.pid} {_started(process.pid)}\n")
        return process

    @staticmethod
    def _await(process: subprocess.Popen[bytes], word: str, limit: float, otherwise: str) -> None:
        """Block until the daemon says `word`; it says why when it cannot."""
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], limit)[0]:
            raise Failed(otherwise)
        line = _line(process.stdout.fileno())
        if line != word:
            raise Failed(line or "its daemon ended at once")

    def _running_pid(self) -> int | None:
        try:
            pid, started = self._pid_file.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if started == _started(int(pid)) else None


def _line(fd: int) -> str:
    """One line, byte by byte, so that nothing of the next one is swallowed by a buffer."""
    line = b""
    while (byte := os.read(fd, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode(errors="replace")


def _started(pid: int) -> str:
    """The kernel's start time of a process, which tells it from a later one of the same number; empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
