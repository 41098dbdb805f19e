"""What listens on a port may be killed or stopped only where it is the cluster's alone."""

from __future__ import annotations

import pytest

from harness.disrupt.bases.port_owner import reason_not_to_end
from harness.hosts.linux.linux_parse import Listener


def on(port: int, pid: int, process: str) -> Listener:
    return Listener("0.0.0.0", port, "tcp", pid, process)


@pytest.mark.parametrize(
    ("listeners", "ancestors", "why"),
    [
        ([on(5432, 77, "postgres")], [], ""),
        ([on(5432, 77, "postgres"), on(12345, 77, "postgres")], [], ""),
        ([on(5432, 77, "postgres"), on(22, 9, "sshd")], [9], ""),
        ([on(5432, 1, "systemd")], [], "systemd (1) listens on port 5432 for others"),
        ([on(5432, 1, "runit")], [], "runit (1) listens on port 5432 for others"),
        ([on(5432, 9, "sshd")], [], "sshd (9) listens on port 5432 for others"),
        ([on(5432, 9, "xinetd")], [], "xinetd (9) listens"),
        ([on(5432, 9, "dropbear")], [9], "is the harness's own way to it"),
        ([on(5432, 9, "haproxy"), on(443, 9, "haproxy"), on(80, 9, "haproxy")], [], "on port 5432 and on 80, 443, which the cluster file"),
    ],
)
def test_whose(listeners, ancestors, why):
    pid = next(x.pid for x in listeners if x.port == 5432)
    said = reason_not_to_end(pid, 5432, listeners, {5432, 12345}, ancestors)
    assert why in said and bool(said) == bool(why)
