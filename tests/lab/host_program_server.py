"""Runs in a host: forks a process for each program that it is sent (host_programs.py), and ends with its channel.

Usage: host_program_server.py CHANNEL'S-NUMBER. A message is JSON: a program with four sockets beside it (its standard input, output and
error, and one that says its exit code at the end and closes when it is gone), answered with its pid; or a signal to one.
"""

import contextlib
import gc
import json
import os
import select  # noqa: F401 (loaded once for what programs want)
import signal
import socket
import struct  # noqa: F401
import sys
import threading
import time  # noqa: F401
import traceback


def run(code: str, arguments: list[str], fds: list[int]) -> None:
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.closerange(4, 1024)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.argv = ["-c", *arguments]
    sys.stdin = open(0)  # noqa: SIM115 (a number, and open to the end)
    sys.stdout = open(1, "w", buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1)  # noqa: SIM115
    failed = False
    try:
        exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    except SystemExit as told:
        failed = bool(told.code)
    except BaseException:
        failed = True
        traceback.print_exc()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    with contextlib.suppress(OSError):
        os.write(3, str(int(failed)).encode())
    os._exit(failed)


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them
    gc.freeze()
    while True:
        message, fds, _, _ = socket.recv_fds(channel, 1 << 16, 4)
        if not message:
            return
        asked = json.loads(message)
        if "signal" in asked:
            with contextlib.suppress(OSError):
                os.kill(asked["pid"], asked["signal"])
            continue
        pid = os.fork()
        if pid == 0:
            run(asked["code"], asked["arguments"], fds)
        for fd in fds:
            os.close(fd)
        channel.send(str(pid).encode())


main()
