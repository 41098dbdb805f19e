"""The unix socket through which the commands reach the daemon.

A request is the command's words separated by NUL, ended by closing that direction; the answer is
`exit NUL standard-output NUL standard-error`. So the commands need nothing but a socket and start fast.
"""

from __future__ import annotations

import os
import socket
import threading
import traceback
from pathlib import Path

from harness.lab.lifekeeper.commands.command_handlers import Commands, Result
from harness.lab.lifekeeper.log import Code

REQUEST_TIMEOUT_S = 5.0


class Control:
    """Listens for the commands, each in a thread of its own."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._path = Path(commands.node.config.control_socket)

    def start(self) -> None:
        """Listen under another name first and rename, so that the socket is never there without somebody behind it."""
        aside = self._path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(aside))
        aside.chmod(0o600)
        listener.listen(128)
        os.replace(aside, self._path)  # noqa: PTH105
        threading.Thread(target=self._serve, args=(listener,), name="control", daemon=True).start()

    def stop(self) -> None:
        """Removes the socket, so that no further command gets in."""
        self._path.unlink(missing_ok=True)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._answer, args=(connection,), name="command", daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        node = self._commands.node
        argv: list[str] = []
        with connection:
            try:
                argv = self._read(connection)
                result = self._carry_out(argv)
                if argv[0] == "lkstop":
                    self.stop()
                connection.sendall(f"{result.exit}\0{result.out}\0{result.err}".encode())
            except OSError:
                pass  # the command was interrupted; what it asked for has been done all the same
            finally:
                if argv[:1] == ["lkstop"] and node.phase == "stopping":
                    node.stopped.set()

    def _carry_out(self, argv: list[str]) -> Result:
        try:
            return self._commands.carry_out(argv)
        except Exception:
            self._commands.node.log.write(Code.INTERNAL, traceback.format_exc(), program=argv[0])
            return Result(3, "", f"{argv[0]}: the stand-in itself failed; see {self._commands.node.config.directories.log}\n")

    @staticmethod
    def _read(connection: socket.socket) -> list[str]:
        connection.settimeout(REQUEST_TIMEOUT_S)
        request = b""
        while data := connection.recv(65536):
            request += data
        connection.settimeout(None)
        return request.decode(errors="replace").split("\0")
