"""The lab's way in for SSH delays nothing: a command is several small packets, and each that waited for an acknowledgement took 40 ms."""

import asyncio
import contextlib
import socket

from harness.lab.guests import ssh_proxy


def test_both_ends_of_a_connection_send_at_once(monkeypatch):
    async def ends():
        inside, outside = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        monkeypatch.setattr(ssh_proxy, "setns", lambda netns, kind: None)
        monkeypatch.setattr(ssh_proxy, "SSHD", inside.getsockname())
        gate = ssh_proxy.Gate(outside, lambda: 0, 0)
        running = asyncio.create_task(gate.run())
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        inside.setblocking(False)
        peer, _ = await asyncio.get_running_loop().sock_accept(inside)
        told = [[end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in pair] for pair in gate._joined.values()]
        running.cancel()
        for end in (peer, writer):
            end.close()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        inside.close()
        outside.close()
        return told

    (pair,) = asyncio.run(ends())
    assert all(pair), "an end of the connection waits for acknowledgements (TCP_NODELAY is off)"
