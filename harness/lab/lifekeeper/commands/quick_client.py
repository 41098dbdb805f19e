"""What a command of LKROOT/bin runs: `quick_client.py COMMAND words…`. It asks the daemon and prints its answer.

A harness asks for the state some sixty times in one run, so this imports no more than a socket, which takes half the processor time
of `command_line`. What is not the usual case (no daemon, another configuration, help, start, stop) is left to that.
"""

from __future__ import annotations

import _socket  # what `socket` is made of, whose own import costs as much as an interpreter's start
import os
import sys

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from types import ModuleType

CONFIG = "/etc/lifekeeper-standin.json"
CONTROL = "/run/lifekeeper-standin/control.sock"


def main(command: str, words: list[str]) -> int:
    """Returns the exit code."""
    connection = None if command in ("lkstart", "lkstop") or words in (["--version"], ["--help"]) else _connected()
    if connection is None:
        return _command_line().main(command, words)
    try:
        code, out, err = _exchange(connection, [command, *words])
    except (OSError, ValueError):
        return _command_line().unanswered(command)
    sys.stdout.write(out)
    if err:
        sys.stderr.write(_command_line().signed(err))
    return int(code)


def _connected() -> _socket.socket | None:
    """A connection to the daemon of the usual place; None when the configuration may name another, or none listens there."""
    try:
        with open(os.environ.get("LKSTANDIN_CONFIG", CONFIG), encoding="utf-8") as file:  # noqa: PTH123 (pathlib is slow to import)
            if '"directories"' in file.read():
                return None
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        connection.connect(CONTROL)
    except (OSError, ValueError):
        return None
    return connection


def _exchange(connection: _socket.socket, words: list[str]) -> list[str]:
    connection.sendall("\0".join(words).encode())
    connection.shutdown(_socket.SHUT_WR)
    answer = b""
    while data := connection.recv(65536):
        answer += data
    return answer.decode().split("\0")


def _command_line() -> ModuleType:
    sys.path.insert(0, __file__.rpartition("/harness/")[0])
    from harness.lab.lifekeeper.commands import command_line

    return command_line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
