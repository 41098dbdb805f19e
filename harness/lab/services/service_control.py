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
from harness.services.sqlserver import tds

SERVICES = ("tns_listener", "http_server", "echo", "tds_server")
ROOT = Path(__file__).parents[3]  # where the package `harness` is found
TNS_PING = (
    b"\x00\x57\x00\x00\x01\x00\x00\x00\x01\x36\x01\x2c\x00\x00\x08\x00\x7f\xff\x86\x0e\x00\x00\x01\x00\x00\x1d\x00\x3a"
    + bytes(30)
    + b"(CONNECT_DATA=(COMMAND=ping))"
)
CHECKS_LOGIN = struct.pack("<IIII", 94 + 30, 0x74000004, 4096, 0).ljust(36, b"\0") + struct.pack("<HHHH", 94, 0, 94, 15).ljust(58, b"\0")
TDS_LOGIN = tds.first_packet(tds.NOT_SUPPORTED) + tds.packet(tds.LOGIN7, CHECKS_LOGIN + "lkharness-check".encode("utf-16-le"))
DIALOGUES = {  # what to say first, and what an answer from the service itself looks like
    "tns": (TNS_PING, rb"\(ERR=0\)"),
    "http": (b"HEAD / HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n", rb"^HTTP/1\.[01] 200 "),
    "tds": (TDS_LOGIN, rb"(?s)\xad.*S\x00t\x00a\x00n\x00d\x00-\x00i\x00n\x00"),  # the database lets its node's check in
    "echo": (b"", rb"^lab-echo \S+ [\d.]+\n"),
}


class Faulty(Exception):
    """The service is not in the state that was asked for; the message says how."""


def start(given: argparse.Namespace) -> str:
    """Start it unless it already runs. One that runs but does not answer is for `restart`, and said to be so."""
    if running := node_process.process_of(given.pid_file):
        return f"{given.name} already runs with pid {running.pid}"
    deadline = Deadline(given.limit)
    ready, tell = os.pipe()
    started = node_process.start_in_background(lambda: _become(given.service, tell), given.log, keep=(tell,))
    os.close(tell)
    try:
        _wait_until_ready(given, ready, deadline)
        answers(given, deadline)
    except Faulty:
        end(started, given.name, given.limit)
        raise
    finally:
        os.close(ready)
    _write(given.pid_file, str(started))
    return f"{given.name} started with pid {started.pid}"


def _become(service: list[str], tell: int) -> NoReturn:
    """Turn this child into the service. It is found wherever it was started from, and needs nothing but the standard library."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, READY_VARIABLE: str(tell), "PYTHONPATH": os.pathsep.join(paths)}
    words = [sys.executable, "-S", "-m", f"harness.lab.services.{service[0]}", *service[1:]]
    os.execve(sys.executable, words, environment)


def _wait_until_ready(given: argparse.Namespace, ready: int, deadline: Deadline) -> None:
    if not select.select([ready], [], [], deadline.remaining())[0]:
        raise Faulty(f"{given.name} did not listen within {given.limit:g} s")
    if not os.read(ready, 16):  # the service ended, and its end of the pipe with it
        raise Faulty(f"{given.name} could not start; its log says: {node_process.last_line(given.log)}")


def check(given: argparse.Namespace) -> str:
    """Its process is alive and answers in its own protocol; the pid alone would not see a frozen one."""
    running = node_process.process_of(given.pid_file)
    if running is None:
        raise Faulty(f"{given.name} does not run: {given.pid_file} names no living process")
    answers(given, Deadline(given.limit))
    return f"{given.name} runs with pid {running.pid} and answers on {given.address}:{given.port}"


def answers(given: argparse.Namespace, deadline: Deadline) -> None:
    """Have the service speak, once. Raises Faulty with what was heard instead."""
    say, expected = DIALOGUES[given.protocol]
    where = f"{given.name} on {given.address}:{given.port}"
    heard = b""
    try:
        with socket.create_connection((given.address, given.port), max(deadline.remaining(), 0.001)) as peer:
            peer.sendall(say)
            while not re.search(expected, heard):
                deadline.require("the answer")
                peer.settimeout(max(deadline.remaining(), 0.001))
                piece = peer.recv(4096)
                if not piece:
                    raise Faulty(f"{where} does not answer as a {given.protocol} service; it said {heard[:100]!r}")
                heard += piece
    except (TimeoutError, DeadlineExceeded):
        raise Faulty(f"{where} did not answer within {given.limit:g} s; it said {heard[:100]!r}") from None
    except OSError as error:
        raise Faulty(f"{where} cannot be reached: {error.strerror}") from error


def stop(given: argparse.Namespace) -> str:
    """End it: TERM, and KILL when that was not enough. Nothing to stop is good, too."""
    running = node_process.process_of(given.pid_file)
    how = end(running, given.name, given.limit) if running else "did not run"
    given.pid_file.unlink(missing_ok=True)
    return f"{given.name} {how}"


def end(running: node_process.Process, name: str, limit: float) -> str:
    """Ends a process by SIGTERM, then SIGKILL, each within `limit` seconds; returns how. Raises Faulty when it stays."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not node_process.send(running, number) or node_process.gone_within(running, Deadline(limit)):
            return f"ended with {number.name}"
    raise Faulty(f"{name} (pid {running.pid}) is still there {limit:g} s after SIGKILL: look at /proc/{running.pid}/stack")


def restart(given: argparse.Namespace) -> str:
    """Stops the service, then starts it; returns a sentence for the log."""
    stop(given)
    return start(given)


def _write(pid_file: Path, text: str) -> None:
    """All at once, so that a crash leaves either no pid file or a whole one."""
    new = pid_file.with_name(f".{pid_file.name}.new")
    new.write_text(text + "\n", encoding="ascii")
    new.replace(pid_file)


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
    words = sys.argv[1:] if arguments is None else arguments
    cut = words.index("--") if "--" in words else len(words)
    parser = _options()
    given = parser.parse_args(words[:cut])
    given.service = words[cut + 1 :]
    if given.action != "stop" and (given.port is None or given.protocol is None):
        parser.error(f"{given.action} needs --port and --protocol")
    if given.action in ("start", "restart") and (not given.service or given.service[0] not in SERVICES):
        parser.error(f"{given.action} needs the service after `--`: one of {', '.join(SERVICES)} and its options")
    try:
        print({"start": start, "stop": stop, "check": check, "restart": restart}[given.action](given))
    except Faulty as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
