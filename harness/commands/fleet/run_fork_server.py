"""A process that has loaded what a run needs, and forks a fleet's commands: a new interpreter spends a second and a half of processor time
on loading it, each, which labs that share two cores lack.

    python -m harness.commands.fleet.run_fork_server FD        requests come on that socket; it ends with the fleet, and its commands do not

A request is one datagram: the words of a command as JSON, with a socket for the answers and the file that its output goes to. The answers
are `began` with the command's process id, by itself once signals end it as they should, and `ended` with its exit code as `subprocess` has
it, by a process beside it that waits for it: one that is killed takes no other's answer with it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import harness

BEGAN, ENDED = "began", "ended"
MAX_REQUEST = 1 << 20  # bytes
LOADED = ("harness.pytest_plugin.plugin", "harness.report.report_rendering", "harness.history.run_import", "harness.commands.suite")
# Found by being there, or loaded late.
PACKAGES = ("disrupt", "managers", "services", "measure", "report", "diagnosis", "collect")
LIBRARIES = ("pytest", "_pytest.terminal", "jinja2", "paramiko")
ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

Handler = Any  # what signal.getsignal returns


def load() -> None:
    """Modules are loaded only: nothing of them is called, so that a command finds them as a new interpreter would."""
    for name in (*LIBRARIES, *LOADED, *_modules_of(PACKAGES)):
        with contextlib.suppress(ImportError):  # such as Azure's packages; whoever needs them says what is lacking
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is loaded stays: a collection in a command need not copy its pages


def _modules_of(packages: Sequence[str]) -> list[str]:
    folders = [Path(root) / package for root in harness.__path__ for package in packages]
    return [module.name for folder in folders for module in pkgutil.walk_packages([str(folder)], f"harness.{folder.name}.")]


def serve(client: socket.socket, handlers: dict[signal.Signals, Handler]) -> None:
    """Until the fleet has gone. `handlers`: what this process did at signals when it began, which its commands do."""
    while True:
        message, files, _, _ = socket.recv_fds(client, MAX_REQUEST, 2)
        if not message:
            return
        if os.fork() == 0:
            client.close()
            answers, log = files
            _await_command(json.loads(message), log, socket.socket(fileno=answers), handlers)
        for file in files:
            os.close(file)


def _await_command(words: list[str], log: int, answers: socket.socket, handlers: dict[signal.Signals, Handler]) -> NoReturn:
    """In a process of its own: fork the command, and tell what became of it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _run_command(words, log, answers, handlers)
    os.close(log)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):  # the fleet was killed; its commands go on
        answers.send(f"{ENDED} {os.waitstatus_to_exitcode(status)}".encode())
    os._exit(0)


def _run_command(words: list[str], log: int, answers: socket.socket, handlers: dict[signal.Signals, Handler]) -> NoReturn:
    code = 1
    try:
        _become(log, handlers)
        with answers, contextlib.suppress(OSError):
            answers.send(f"{BEGAN} {os.getpid()}".encode())
        sys.argv = ["lkharness", *words]
        runpy.run_module("harness.cli", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = _exit_code(error)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        code = -signal.SIGINT
    except BaseException:  # as an interpreter does: what nobody caught is shown, and the code is 1
        traceback.print_exc()
    finally:
        _end(code)


def _become(log: int, handlers: dict[signal.Signals, Handler]) -> None:
    """A process like one that `subprocess` began: a session and streams of its own, and signals as they were."""
    os.setsid()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the program takes over, which says what it does then
    nothing = os.open(os.devnull, os.O_RDONLY)
    for stream, file in ((0, nothing), (1, log), (2, log)):
        os.dup2(file, stream)
    os.close(nothing)
    os.close(log)
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding=encoding, errors=errors, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(  # type: ignore[misc]  # noqa: SIM115
        2, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False
    )


def _exit_code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def _end(code: int) -> NoReturn:
    """As an interpreter ends: other threads are waited for, what is to be done at the end is done, and everything is written. A negative
    code is the signal that nobody caught."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        if code < 0:
            os.kill(os.getpid(), -code)
        os._exit(code & 0xFF)


def main(file: int) -> None:
    """Ignores what ends a group of processes (a unit that stops): commands end by themselves then, and are told of to the last."""
    handlers: dict[signal.Signals, Handler] = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    handlers = {n: h if h is signal.SIG_IGN else signal.SIG_DFL for n, h in handlers.items()}
    for number in ENDING_SIGNALS:
        signal.signal(number, _ignore)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever waits for a command needs nobody to wait for it
    load()
    serve(socket.socket(fileno=file), handlers)


def _ignore(number: int, frame: FrameType | None) -> None:
    """No SIG_IGN, which programs that a command begins would inherit where it is not taken back in time."""


if __name__ == "__main__":
    main(int(sys.argv[1]))
