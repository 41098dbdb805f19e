"""What the lab's stand-in services share: options, a listening socket, a thread for each connection, a log, an end.

Small imports only: each service is a process of its own and has to be up within a fraction of a second.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

BACKLOG = 1024  # a small backlog fills up under probes and turns a healthy node unhealthy (PRB-27)
READY_VARIABLE = "LAB_READY_FD"  # number of a descriptor on which the starter wants to hear that the service listens
NICE = -10
OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Service:
    """One running stand-in: what it is called, for which node it stands, since when (seconds since the epoch)."""

    def __init__(self, name: str, node: str) -> None:
        self.name = name
        self.node = node
        self.started = time.time()

    def log(self, text: str) -> None:
        """One line on standard output. Bytes that a peer sent come in escaped."""
        print(self.stamped(text), flush=True)

    def stamped(self, text: str) -> str:
        """A line of the log, with the local time."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now))
        return f"{stamp}.{int(now % 1 * 1000):03d} {self.name}[{self.node}]: {text}"


Handler = Callable[[Service, socket.socket], None]


def options(name: str, description: str, *, port: int) -> argparse.ArgumentParser:
    """The options that every stand-in has."""
    from harness import __version__

    parser = argparse.ArgumentParser(prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"{name} {__version__}: {description.strip().splitlines()[0]}")
    parser.add_argument("--port", type=int, default=port, help=f"port to listen on (default {port})")
    parser.add_argument("--bind", default="0.0.0.0", metavar="ADDRESS", help="address to listen on (default: any)")
    parser.add_argument("--node", required=True, help="the node that it says it runs on")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the log here instead of standard output")
    return parser


def send_log_to(file: Path | None) -> None:
    """Make standard output and standard error this file, for tracebacks too."""
    if file is None:
        return
    target = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


def raise_priority() -> None:
    """Take a turn on the processor before whoever asks: on Azure a node has processors of its own, in a lab all hosts share a few, and
    then a service that waits for its turn looks like one that does not answer. Where that is not allowed it is as it was.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)


def listen(service: Service, bind: str, port: int, *, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A socket bound to the address; the process ends with one sentence (exit 4) when it cannot be had."""
    sock = socket.socket(socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_STREAM:
            # A restarted service must get its port back while old connections linger. Never for datagrams: there it would let two
            # processes share the port and hide that the old one is still alive.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("" if bind == "*" else bind, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        service.log(f"cannot listen on {bind}:{port}: {error.strerror}; {_advice(error)}")
        raise SystemExit(4) from error
    return sock


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "end the process that holds the port (`ss -ltnp` names it)"
    if error.errno == errno.EADDRNOTAVAIL:
        return "bring the address up on this node first, or bind to 0.0.0.0"
    if error.errno == errno.EACCES:
        return "ports below 1024 need root"
    return "check --bind and --port"


def exit_on_sigterm(service: Service) -> None:
    """On SIGTERM write one line and be gone: open connections are for the kernel to close, as when a service is killed."""

    def end(number: int, frame: object) -> None:
        service.log(f"ends on {signal.Signals(number).name}")
        sys.stdout.flush()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


def say_ready() -> None:
    """Tell the starter, when there is one, that connections are accepted from now on."""
    descriptor = os.environ.pop(READY_VARIABLE, "")
    if descriptor.isdigit():
        os.write(int(descriptor), b"ready")
        os.close(int(descriptor))


def serve(service: Service, listener: socket.socket, handle: Handler) -> None:
    """Accept for ever, a thread for each connection. Nothing that a peer sends ends the service."""
    while True:
        try:
            connection, peer = listener.accept()
        except OSError as error:
            service.log(f"accept failed: {error.strerror}")
            if error.errno in OUT_OF_RESOURCES:  # others may free some; spinning would not help them
                threading.Event().wait(0.05)
                continue
            if error.errno == errno.ECONNABORTED:
                continue
            raise
        try:
            threading.Thread(target=_converse, args=(service, connection, peer, handle), daemon=True).start()
        except RuntimeError as error:  # no more threads: this peer goes unserved, the next may not
            service.log(f"no thread for {peer[0]}:{peer[1]}: {error}")
            connection.close()


def _converse(service: Service, connection: socket.socket, peer: tuple[str, int], handle: Handler) -> None:
    with connection:
        try:
            handle(service, connection)
        except TimeoutError:
            service.log(f"{peer[0]}:{peer[1]} said nothing for too long: connection closed")
        except ConnectionError:
            pass  # the peer left, which is its right; a log line for each would drown the log under measurement
        except Exception as error:
            service.log(f"{peer[0]}:{peer[1]}: {type(error).__name__}: {error}: connection closed")
