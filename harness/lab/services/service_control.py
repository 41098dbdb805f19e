"""Start, stop, check and restart one of the lab's stand-in services in the background: the commands of a `gen` resource.

The cluster manager's restore, remove, recover and quickCheck scripts of a generic application (LKL-34) are these four:

    python -m harness.lab.services.service_control start   --name listener --pid-file /run/listener.pid --protocol tns --port 1521 \\
        --log /var/log/listener.log -- tns_listener --port 1521 --node lknode01
    python -m harness.lab.services.service_control check   --name listener --pid-file /run/listener.pid --protocol tns --port 1521
    python -m harness.lab.services.service_control stop    --name listener --pid-file /run/listener.pid
    python -m harness.lab.services.service_control restart …as start

After `--` comes the service: tns_listener, http_server or echo, then its own options. Exit 0 is good, 1 is not, 2 is bad use; one
sentence on standard error says what is wrong. `start` returns when the service listens and has answered once in its own protocol.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import NoReturn

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.lab.services import node_process
from harness.lab.services.service_base import READY_VARIABLE
from harness.services.sqlserver import tds_protocol

SERVICES = ("tns_listener", "http_server", "echo", "tds_server")
ROOT = Path(__file__).parents[3]  # where the package `harness` is found
TNS_PING = (
    b"\x00\x57\x00\x00\x01\x00\x00\x00\x01\x36\x01\x2c\x00\x00\x08\x00\x7f\xff\x86\x0e\x00\x00\x01\x00\x00\x1d\x00\x3a"
    + bytes(30)
    + b"(CONNECT_DATA=(COMMAND=ping))"
)
CHECKS_LOGIN = struct.pack("<IIII", 94 + 30, 0x74000004, 4096, 0).ljust(36, b"\0") + struct.pack("<HHHH", 94, 0, 94, 15).ljust(58, b"\0")
TDS_LOGIN = tds_protocol.first_packet(tds_protocol.NOT_SUPPORTED) + tds_protocol.packet(
    tds_protocol.LOGIN7, CHECKS_LOGIN + "lkharness-check".encode("utf-16-le")
)
DIALOGUES = {  # what to say first, and what an answer from the service itself looks like
    "tns": (TNS_PING, rb"\(ERR=0\)"),
    "http": (b"HEAD / HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n", rb"^HTTP/1\.[01] 200 "),
    "tds": (TDS_LOGIN, rb"(?s)\xad.*S\x00t\x00a\x00n\x00d\x00-\x00i\x00n\x00"),  # the database lets its node's check in
    "echo": (b"", rb"^lab-echo \S+ [\d.]+\n"),
}


class Faulty(Exception):
    """The service is not in the state that was asked for; the message says how."""


def start(options: argparse.Namespace) -> str:
    """Start it unless it already runs. One that runs but does not answer is for `restart`, and said to be so."""
    if running := node_process.process_of(options.pid_file):
        return f"{options.name} already runs with pid {running.pid}"
    deadline = Deadline(options.limit)
    ready, ready_write_end = os.pipe()
    started = node_process.start_in_background(lambda: _become(options.service, ready_write_end), options.log, keep=(ready_write_end,))
    os.close(ready_write_end)
    try:
        _wait_until_ready(options, ready, deadline)
        answers(options, deadline)
    except Faulty:
        end(started, options.name, options.limit)
        raise
    finally:
        os.close(ready)
    _write(options.pid_file, str(started))
    return f"{options.name} started with pid {started.pid}"


def _become(service: list[str], ready_fd: int) -> NoReturn:
    """Turn this child into the service. It is found wherever it was started from, and needs nothing but the standard library."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, READY_VARIABLE: str(ready_fd), "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-S", "-m", f"harness.lab.services.{service[0]}", *service[1:]]
    os.execve(sys.executable, command, environment)


def _wait_until_ready(options: argparse.Namespace, ready: int, deadline: Deadline) -> None:
    if not select.select([ready], [], [], deadline.remaining())[0]:
        raise Faulty(f"{options.name} did not listen within {options.limit:g} s")
    if not os.read(ready, 16):  # the service ended, and its end of the pipe with it
        raise Faulty(f"{options.name} could not start; its log says: {node_process.last_line(options.log)}")


def check(options: argparse.Namespace) -> str:
    """Its process is alive and answers in its own protocol; the pid alone would not see a frozen one."""
    running = node_process.process_of(options.pid_file)
    if running is None:
        raise Faulty(f"{options.name} does not run: {options.pid_file} names no living process")
    answers(options, Deadline(options.limit))
    return f"{options.name} runs with pid {running.pid} and answers on {options.address}:{options.port}"


def answers(options: argparse.Namespace, deadline: Deadline) -> None:
    """Have the service speak, once. Raises Faulty with what was heard instead."""
    request, expected = DIALOGUES[options.protocol]
    target = f"{options.name} on {options.address}:{options.port}"
    received = b""
    try:
        with socket.create_connection((options.address, options.port), max(deadline.remaining(), 0.001)) as peer:
            peer.sendall(request)
            while not re.search(expected, received):
                deadline.require("the answer")
                peer.settimeout(max(deadline.remaining(), 0.001))
                chunk = peer.recv(4096)
                if not chunk:
                    raise Faulty(f"{target} does not answer as a {options.protocol} service; it said {received[:100]!r}")
                received += chunk
    except (TimeoutError, DeadlineExceeded):
        raise Faulty(f"{target} did not answer within {options.limit:g} s; it said {received[:100]!r}") from None
    except OSError as error:
        raise Faulty(f"{target} cannot be reached: {error.strerror}") from error


def stop(options: argparse.Namespace) -> str:
    """End it: TERM, and KILL when that was not enough. Nothing to stop is good, too."""
    running = node_process.process_of(options.pid_file)
    outcome = end(running, options.name, options.limit) if running else "did not run"
    options.pid_file.unlink(missing_ok=True)
    return f"{options.name} {outcome}"


def end(running: node_process.Process, name: str, limit: float) -> str:
    """Ends a process by SIGTERM, then SIGKILL, each within `limit` seconds; returns how. Raises Faulty when it stays."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not node_process.send(running, number) or node_process.wait_until_gone(running, Deadline(limit)):
            return f"ended with {number.name}"
    raise Faulty(f"{name} (pid {running.pid}) is still there {limit:g} s after SIGKILL: look at /proc/{running.pid}/stack")


def restart(options: argparse.Namespace) -> str:
    """Stops the service, then starts it; returns a sentence for the log."""
    stop(options)
    return start(options)


def _write(pid_file: Path, text: str) -> None:
    """All at once, so that a crash leaves either no pid file or a whole one."""
    temporary_file = pid_file.with_name(f".{pid_file.name}.new")
    temporary_file.write_text(text + "\n", encoding="ascii")
    temporary_file.replace(pid_file)


@functools.cache
def _options() -> argparse.ArgumentParser:
    assert __doc__
    parser = argparse.ArgumentParser(prog="unit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "stop", "check", "restart"])
    parser.add_argument("--name", required=True, help="what messages call it")
    parser.add_argument("--pid-file", type=Path, required=True)
    parser.add_argument("--protocol", choices=sorted(DIALOGUES), help="what it speaks (not needed for stop)")
    parser.add_argument("--port", type=int, help="where it listens (not needed for stop)")
    parser.add_argument("--address", default="127.0.0.1", help="where to ask it (default 127.0.0.1)")
    parser.add_argument("--log", type=Path, help="its output is appended here")
    parser.add_argument("--limit", type=float, default=5.0, help="seconds for each step (default 5)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Carries one action out; returns the exit code."""
    command_line = sys.argv[1:] if arguments is None else arguments
    separator_index = command_line.index("--") if "--" in command_line else len(command_line)
    parser = _options()
    options = parser.parse_args(command_line[:separator_index])
    options.service = command_line[separator_index + 1 :]
    if options.action != "stop" and (options.port is None or options.protocol is None):
        parser.error(f"{options.action} needs --port and --protocol")
    if options.action in ("start", "restart") and (not options.service or options.service[0] not in SERVICES):
        parser.error(f"{options.action} needs the service after `--`: one of {', '.join(SERVICES)} and its options")
    try:
        print({"start": start, "stop": stop, "check": check, "restart": restart}[options.action](options))
    except Faulty as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
