"""The commands of LKROOT/bin: judge the options, ask the daemon, print its answer. Imports little, so as to start fast."""

from __future__ import annotations

import json
import os
import socket
import sys

from harness.lab.lifekeeper import NOT_RUNNING, STAND_IN
from harness.lab.lifekeeper.commands import command_options

CONFIG_VARIABLE = "LKSTANDIN_CONFIG"
DEFAULT_CONFIG = "/etc/lifekeeper-standin.json"
DEFAULT_RUN = "/run/lifekeeper-standin"
SYNTAX, NO_CONTACT = 2, 9


def main(command: str, words: list[str]) -> int:
    """Run one command and return its exit code."""
    if words == ["--version"]:
        print(f"{command}: {STAND_IN}")
        return 0
    if words == ["--help"]:
        print(f"usage: {command_options.COMMANDS[command][2]}\n{STAND_IN}")
        return 0
    try:
        options = command_options.parse(command, words)
    except command_options.Usage as usage:
        return complain(command, str(usage), SYNTAX)
    if command == "lkstart":
        from harness.lab.lifekeeper.commands import lkstart

        return lkstart.main(options)
    try:
        config, run = _configured()
    except (OSError, ValueError, AttributeError) as error:
        return complain(command, f"its configuration cannot be read ({error}); set {CONFIG_VARIABLE}", 1)
    try:
        code, out, err = ask(f"{run}/control.sock", [command, *words])
    except (OSError, ValueError):
        return not_running(command, config)
    sys.stdout.write(out)
    if err:
        sys.stderr.write(signed(err))
    if command == "lkstop":
        await_end(run)
    return code


def unanswered(command: str) -> int:
    """For a command whose daemon took its request and gave no whole answer."""
    try:
        return not_running(command, _configured()[0])
    except (OSError, ValueError, AttributeError) as error:
        return complain(command, f"its configuration cannot be read ({error}); set {CONFIG_VARIABLE}", 1)


def signed(err: str) -> str:
    """What the daemon says of a fault, each line with who says it."""
    return "".join(f"{line} ({STAND_IN})\n" for line in err.splitlines())


def _configured() -> tuple[dict, str]:
    """The configuration, and the directory of the control socket in it."""
    with open(os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG), encoding="utf-8") as file:  # noqa: PTH123 (pathlib is slow to import)
        config = json.load(file)
    return config, config.get("directories", {}).get("run", DEFAULT_RUN)


def ask(path: str, words: list[str]) -> tuple[int, str, str]:
    """One request to the daemon, without a limit of our own: an action may take as long as it needs."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        line.sendall("\0".join(words).encode())
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while data := line.recv(65536):
            answer += data
    code, out, err = answer.decode().split("\0")
    return int(code), out, err


def not_running(command: str, config: dict) -> int:
    """LKL-10: one line on standard output; the exit code is not known and therefore a switch."""
    print(NOT_RUNNING)
    if command == "lcdstatus":
        return int(config.get("unknowns", {}).get("lcdstatus_stopped_exit", 1))
    return 0 if command == "lkstop" else 1


def await_end(run: str) -> None:
    """Block until the daemon and its supervisor are gone: they hold this lock for as long as they live."""
    import fcntl

    with open(f"{run}/lock") as handle:  # noqa: PTH123
        fcntl.flock(handle, fcntl.LOCK_SH)


def complain(command: str, message: str, code: int) -> int:
    """Prints one sentence to standard error and returns the exit code that was given."""
    print(f"{command}: {message} ({STAND_IN})", file=sys.stderr)
    return code
