"""lkstart: judge the configuration, leave the daemon running in the background, and return at once (LKL-48)."""

from __future__ import annotations

import sys

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded
from harness.lab.lifekeeper import STAND_IN
from harness.lab.lifekeeper.commands.command_client import ask
from harness.lab.lifekeeper.commands.daemon_supervisor import in_background, lock
from harness.lab.lifekeeper.config.stand_in_settings import Config, load
from harness.lab.lifekeeper.node import Node


def main(options: dict[str, str]) -> int:
    """Exit 0 when it runs (also when it already did), 1 when the configuration cannot be used or -w ran out."""
    try:
        wait = Deadline(float(options["w"])) if "w" in options else None
    except ValueError:
        return _complain(f"-w needs seconds, not {options['w']!r}", 2)
    try:
        config = load()
        handle = lock(config)
        if handle is None:
            print(f"{config.node}: already running ({STAND_IN})")
        else:
            in_background(config, Node(config), handle)
    except (BadUse, OSError) as error:
        return _complain(str(error), 1)
    return 0 if wait is None else _await(config, wait)


def _await(config: Config, wait: Deadline) -> int:
    """With -w: until the daemon answers."""
    try:
        wait.wait_for(lambda: _answers(config), what="the daemon's first answer", every=0.01)
    except DeadlineExceeded as late:
        return _complain(f"{late}; see {config.directories.log} and {config.directories.run}/daemon.stderr", 1)
    return 0


def _answers(config: Config) -> bool:
    try:
        return ask(config.control_socket, ["lcduname"])[0] == 0
    except (OSError, ValueError):
        return False


def _complain(message: str, code: int) -> int:
    print(f"lkstart: {message} ({STAND_IN})", file=sys.stderr)
    return code
