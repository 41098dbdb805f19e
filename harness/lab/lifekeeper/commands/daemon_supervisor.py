"""The daemon and its supervisor, which brings a dead daemon back at once and logs nothing about it (LKL-02).

The supervisor forks the daemon rather than starting it anew, so that everything is loaded already.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

from harness.core.errors import BadUse
from harness.lab.lifekeeper.commands.command_handlers import Commands
from harness.lab.lifekeeper.commands.command_socket import Control
from harness.lab.lifekeeper.config.stand_in_settings import Config
from harness.lab.lifekeeper.log import Code
from harness.lab.lifekeeper.node import Node

IN_ORDER, UNUSABLE = 0, 2  # exits of the daemon after which it is not brought back
MIN_LIFE_S = 1.0
PROCESS_NAME = "lcd"


def lock(config: Config) -> int | None:
    """The one supervisor's lock, or None when somebody has it. Held until supervisor and daemon are both gone."""
    run = Path(config.directories.run)
    run.mkdir(parents=True, exist_ok=True)
    handle = os.open(run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def supervise(config: Config, node: Node | None = None) -> int:
    """Keep one daemon running until it stops in order; returns its exit code. `node` is used for the first one."""
    pid_file = Path(config.directories.run) / "daemon.pid"
    restarted = False
    while True:
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _daemon(config, node if not restarted else None, restarted)
        pid_file.write_text(f"{pid}\n")
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code in (IN_ORDER, UNUSABLE):
            pid_file.unlink(missing_ok=True)
            return code
        if restarted and time.monotonic() - began < MIN_LIFE_S:
            signal.sigtimedwait([], config.timers.restart_pause_s)
        restarted = True


def _daemon(config: Config, node: Node | None, restarted: bool) -> NoReturn:
    code = UNUSABLE
    try:
        node = node or Node(config)
        control = Control(Commands(node))
        node.start(restarted=restarted)
        control.start()
        _take_name()
        node.stopped.wait()
        code = IN_ORDER
    except BadUse as error:
        print(error, file=sys.stderr, flush=True)
    except BaseException:
        traceback.print_exc()
        if node is not None:
            node.log.write(Code.INTERNAL, traceback.format_exc(), program="lcdinit")
        code = 1
    finally:
        os._exit(code)


def _take_name() -> None:
    """Under the name of one of LifeKeeper's daemons, by which `ps` shows them; what it forks has been forked by now, and has another."""
    Path("/proc/self/comm").write_text(PROCESS_NAME, encoding="ascii")


def in_background(config: Config, node: Node, handle: int) -> None:
    """Leave a supervisor behind in its own session, with no tie to the caller's terminal, pipes or connection."""
    if os.fork() != 0:
        os.close(handle)
        return
    try:
        os.setsid()
        os.chdir("/")
        run = Path(config.directories.run)
        for number, target, flags in (
            (0, "/dev/null", os.O_RDONLY),
            (1, "/dev/null", os.O_WRONLY),
            (2, run / "daemon.stderr", os.O_WRONLY),
        ):
            opened = os.open(target, flags | (os.O_CREAT | os.O_APPEND if number == 2 else 0), 0o600)
            os.dup2(opened, number)
            os.close(opened)
        os._exit(supervise(config, node))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
