"""The lab's way in for SSH: it delays nothing (a command is several small packets, and each that waited for an acknowledgement took 40 ms),
loses nothing to an end that reads slowly, and carries nothing while its host stands still."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from harness.lab.guests import ssh_proxy

LIMIT_S = 60


class Joined:
    """A gate, and the two ends of one connection through it."""

    def __init__(self, gate: ssh_proxy.Gate, outer: socket.socket, inner: socket.socket) -> None:
        self.gate, self.outer, self.inner = gate, outer, inner


@contextlib.asynccontextmanager
async def joined(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Joined]:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as inside, socket.create_server(("127.0.0.1", 0)) as outside, socket.socket() as outer:
        monkeypatch.setattr(ssh_proxy, "setns", lambda netns, kind: None)
        monkeypatch.setattr(ssh_proxy, "SSHD", inside.getsockname())
        gate = ssh_proxy.Gate(outside, lambda: 0, 0)
        running = asyncio.create_task(gate.run())
        inside.setblocking(False)
        outer.setblocking(False)
        await loop.sock_connect(outer, ("127.0.0.1", gate.port))
        inner, _ = await loop.sock_accept(inside)
        inner.setblocking(False)
        with inner:
            yield Joined(gate, outer, inner)
            running.cancel()
            gate.drop_upstream()
            for task in list(gate._joined):
                with contextlib.suppress(asyncio.CancelledError, OSError, ExceptionGroup):
                    await task


def tried(monkeypatch: pytest.MonkeyPatch, what: Callable[[Joined], Awaitable[None]]) -> None:
    async def go() -> None:
        async with asyncio.timeout(LIMIT_S), joined(monkeypatch) as both:
            await what(both)

    asyncio.run(go())


async def read(end: socket.socket, count: int) -> bytes:
    loop, found = asyncio.get_running_loop(), bytearray()
    while len(found) < count and (more := await loop.sock_recv(end, 65536)):
        found += more
    return bytes(found)


def test_both_ends_of_a_connection_send_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(both: Joined) -> None:
        (pair,) = both.gate._joined.values()
        told = [end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in pair]
        assert all(told), "an end of the connection waits for acknowledgements (TCP_NODELAY is off)"

    tried(monkeypatch, ends)


def test_an_end_that_reads_slowly_gets_everything_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(24_000_000)  # more than all buffers on the way hold

    async def both_ways(both: Joined) -> None:
        loop = asyncio.get_running_loop()
        for source, sink in ((both.outer, both.inner), (both.inner, both.outer)):
            sending = asyncio.create_task(loop.sock_sendall(source, data))
            assert not (await asyncio.wait([sending], timeout=0.3))[0], "all of it was taken, though nobody has read anything"
            assert await read(sink, len(data)) == data
            await sending

    tried(monkeypatch, both_ways)


def test_nothing_is_carried_while_the_host_stands_still_and_everything_after(monkeypatch: pytest.MonkeyPatch) -> None:
    async def frozen(both: Joined) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(both.outer, b"before")
        assert await read(both.inner, 6) == b"before"
        both.gate.stall()
        await loop.sock_sendall(both.inner, b"meanwhile")
        early = asyncio.create_task(read(both.outer, 9))
        assert not (await asyncio.wait([early], timeout=0.3))[0], "it was carried"
        both.gate.resume_forwarding()
        assert await early == b"meanwhile"
        both.inner.shutdown(socket.SHUT_WR)
        assert await read(both.outer, 1) == b""
        await loop.sock_sendall(both.outer, b"the other way")  # is still open
        assert await read(both.inner, 13) == b"the other way"

    tried(monkeypatch, frozen)
