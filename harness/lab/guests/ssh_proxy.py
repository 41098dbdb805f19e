"""The way in for SSH: a loopback port of the machine per lab host, joined to the sshd inside.

It stands for a management access that is not part of the cluster's network (Azure's serial console or run-command have
the same place): it crosses no NIC, so it neither disturbs what is measured nor dies with a link that a test cuts. A
host without power is silent here too: its connections are kept, and carry nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable

from harness.lab.linux.linux_syscalls import CLONE_NEWNET, setns

CHUNK = 65536
SSHD = ("127.0.0.1", 22)  # of the host, in its own network namespace


class Gate:
    """The loopback port of one host. `netns` tells the host's network namespace (an open file), or None without power."""

    def __init__(self, listener: socket.socket, netns: Callable[[], int | None], home: int) -> None:
        self._listener = listener
        self._listener.setblocking(False)
        self._netns = netns
        self._home = home
        self._silent: list[socket.socket] = []
        self._joined: dict[asyncio.Task, tuple[socket.socket, socket.socket]] = {}
        self._frozen = asyncio.Event()
        self._frozen.set()  # set means: carrying

    @property
    def port(self) -> int:
        """The loopback port of this machine that leads to the host's sshd."""
        return self._listener.getsockname()[1]

    async def run(self) -> None:
        """Accepts connections until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            outer, _ = await loop.sock_accept(self._listener)
            outer.setblocking(False)
            send_at_once(outer)
            self._admit(outer)

    def _admit(self, outer: socket.socket) -> None:
        netns = self._netns()
        if netns is None or not self._frozen.is_set():
            self._silent.append(outer)
            return
        inner = socket_inside(netns, self._home)
        task = asyncio.get_running_loop().create_task(self._join(outer, inner))
        self._joined[task] = (outer, inner)
        task.add_done_callback(self._part)

    async def _join(self, outer: socket.socket, inner: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(inner, SSHD)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._carry(outer, inner))
            group.create_task(self._carry(inner, outer))

    async def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        await _Flow(source, sink, self._frozen).run()
        await self._frozen.wait()
        with contextlib.suppress(OSError):  # the other end may be gone already
            sink.shutdown(socket.SHUT_WR)

    def _part(self, task: asyncio.Task) -> None:
        outer, inner = self._joined.pop(task)
        broken = not task.cancelled() and task.exception() is not None
        _close(inner, abruptly=broken)
        if self._frozen.is_set():
            _close(outer, abruptly=broken)
        else:
            self._silent.append(outer)

    def stall(self) -> None:
        """From now on nothing comes out of the host, and nothing is said about it."""
        self._frozen.clear()

    def drop_upstream(self) -> None:
        """The host is gone: its inner ends close, its outer ends stay open and silent."""
        for task in self._joined:
            task.cancel()

    def resume_forwarding(self) -> None:
        """The host is back: what was open to the machine it was before is reset, as its kernel would."""
        for outer in self._silent:
            _close(outer, abruptly=True)
        self._silent.clear()
        self._frozen.set()


class _Flow:
    """One direction of a connection, carried by the event loop's callbacks: a task of its own for each piece, as `sock_recv` and
    `sock_sendall` need, costs several times as much, and agents say something every few milliseconds."""

    def __init__(self, source: socket.socket, sink: socket.socket, carrying: asyncio.Event) -> None:
        self._source, self._sink, self._carrying = source, sink, carrying
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._waiting: asyncio.Task | None = None

    async def run(self) -> None:
        """Until the source has ended. Raises OSError when either end breaks."""
        self._loop.add_reader(self._source, self._readable)
        try:
            await self._ended
        finally:
            self._loop.remove_reader(self._source)
            if self._waiting is not None:
                self._waiting.cancel()

    def _readable(self) -> None:
        try:
            if not self._carrying.is_set():
                self._pause(b"")
                return
            data = self._source.recv(CHUNK)
            if not data:
                self._end(None)
                return
            try:
                sent_bytes = self._sink.send(data)
            except BlockingIOError:
                sent_bytes = 0
            if sent_bytes < len(data):
                self._pause(data[sent_bytes:])
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)

    def _pause(self, unsent: bytes) -> None:
        """Nothing more is read until it carries again and the sink has taken what is unsent."""
        self._loop.remove_reader(self._source)

        async def wait() -> None:
            try:
                await self._carrying.wait()
                await self._loop.sock_sendall(self._sink, unsent)
            except OSError as error:
                self._end(error)
            else:
                self._loop.add_reader(self._source, self._readable)

        self._waiting = self._loop.create_task(wait())

    def _end(self, error: OSError | None) -> None:
        self._loop.remove_reader(self._source)
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


def send_at_once(end: socket.socket) -> None:
    """No small packet of this socket waits for the acknowledgement of the one before it: SSH's commands are several small packets, and the
    other side acknowledges up to 40 ms late."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def socket_inside(netns: int, home: int) -> socket.socket:
    """A TCP socket that does not block, in the network namespace of that open file; `home` is this process's own."""
    setns(netns, CLONE_NEWNET)
    try:
        inner = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    finally:
        setns(home, CLONE_NEWNET)
    inner.setblocking(False)
    send_at_once(inner)
    return inner


async def sshd_answers(netns: int, home: int, *, limit: float) -> bool:
    """Whether the sshd in that network namespace greets within `limit` seconds; `home` is this process's own."""
    loop = asyncio.get_running_loop()
    with socket_inside(netns, home) as line, contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(limit):
            await loop.sock_connect(line, SSHD)
            return (await loop.sock_recv(line, 4)) == b"SSH-"
    return False


def _close(end: socket.socket, *, abruptly: bool) -> None:
    if abruptly:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def own_netns() -> int:
    """An open file of this process's network namespace, to come back to."""
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
