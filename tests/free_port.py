"""A port of loopback for a service that a test starts."""

from __future__ import annotations

import random
import socket

EPHEMERAL_FROM = 32768  # Linux's default


def free_port() -> int:
    """From below the range in which the kernel gives connections their ports, so that nobody has it by the time the service starts."""
    for port in random.sample(range(20_000, EPHEMERAL_FROM), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port of loopback is free")
