"""A process that has the harness's modules loaded and forks the commands that tests ask for; run by `forked_commands`.

A request is one datagram: JSON with words, folder, environment, umask (null: this process's own) and what to load first, and its files:
a socket for the answers, which are the command's process id and its exit code, standard output, standard error, and more, if any. Many
commands may run at once, each with a process that waits for it.
"""

from __future__ import annotations

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
from collections.abc import Iterable
from typing import Any, NoReturn

import harness
from tests.e2e import forked_labs
from tests.e2e.forked_commands import MAX_FILE

MAX_REQUEST = 1 << 20  # bytes
MAX_FILES = 16  # of one request
ACT_WHEN_LOADED = ("harness.cli", "harness.__main__")  # they say what Ctrl-C does in their process
LIBRARIES = ("pytest", "_pytest.terminal", "paramiko", "rich.console", "xml.etree.ElementTree")


def load() -> None:
    """Modules are loaded only: nothing of them is called, so a forked command finds them as a new interpreter would; but its labs are
    forked as well."""
    load_these([*LIBRARIES, *(found.name for found in pkgutil.walk_packages(harness.__path__, "harness."))])
    forked_labs.fork_those_of_commands()


def load_these(names: Iterable[str]) -> None:
    new = [name for name in names if name not in sys.modules and name not in ACT_WHEN_LOADED]
    if not new:
        return
    for name in new:
        with contextlib.suppress(ImportError):  # Azure's packages, Windows' own modules
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is loaded stays: a collection in a forked process need not copy its pages


def become(words: list[str], folder: str, environment: dict[str, str], umask: int | None) -> None:
    """In the forked process, whose standard streams are in place: what `python -m MODULE …` would do."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    if umask is not None:
        os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.path[0] = folder
    sys.argv = words[1:]
    runpy.run_module(words[1], run_name="__main__", alter_sys=True)


def exit_code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def run_command(request: dict[str, Any], files: list[int]) -> NoReturn:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, file in zip((1, 2, *range(MAX_FILE, MAX_FILE + MAX_FILES)), files, strict=False):
            os.dup2(file, number)
        os.closerange(3, MAX_FILE)
        become(request["words"], request["folder"], request["environment"], request["umask"])
        code = 0
    except SystemExit as error:
        code = exit_code(error)
    except BaseException:  # as of an interpreter's own: whatever nobody caught is shown, and the code is 1
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            threading._shutdown()  # an interpreter waits for threads that are no daemons
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def wait_for_command(request: dict[str, Any], files: list[int], answers: socket.socket) -> NoReturn:
    """In a process of its own: fork the command, and tell what became of it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        run_command(request, files)
    for file in files:
        os.close(file)
    with contextlib.suppress(OSError):  # nobody asks any more
        answers.send(str(pid).encode())
        answers.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def serve(client: socket.socket) -> None:
    """Until the client has gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever waits for a command needs nobody to wait for it
    while True:
        message, files, _, _ = socket.recv_fds(client, MAX_REQUEST, MAX_FILES)
        if not message:
            return
        request = json.loads(message)
        load_these(request["loads"])
        if os.fork() == 0:
            client.close()
            wait_for_command(request, files[1:], socket.socket(fileno=files[0]))
        for file in files:
            os.close(file)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with its client
    load()
    serve(socket.socket(fileno=int(sys.argv[1])))
