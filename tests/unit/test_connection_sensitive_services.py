"""A service that does not bear to be connected to a hundred times is found out with one connection, and not measured."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from harness.check.findings.service_findings import set_aside
from harness.cluster import connection_sensitive_services
from harness.config.cluster_config import Cluster
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, ExitCode, Unusable
from harness.core.finding import Weight
from harness.lab.lifecycle import default_cluster
from harness.remote.agents.agent_launch import bearable
from harness.services import service_registry
from harness.services.service_kind import Unbearable

MYSQL = b"J\x00\x00\x00\x0a8.0.36-28\x00\x0b\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00" + b"x" * 40
MARIADB = b"n\x00\x00\x00\x0a5.5.5-10.11.6-MariaDB-log\x00\x1f\x00\x00\x00abcdefgh\x00"
BLOCKED = b"J\x00\x00\x00\xff\x69\x04Host '10.20.1.20' is blocked because of many connection errors"
NOT_LET_IN = b"E\x00\x00\x00\xff\x6a\x04Host '10.20.1.20' is not allowed to connect to this MariaDB server"
TOO_MANY = b"\x17\x00\x00\x00\xff\x10\x04#08004Too many connections"


@pytest.fixture
def greeter() -> Iterator[SimpleNamespace]:
    """A server that greets each client with `says`, `after_s`, and waits for it to leave; `came` counts them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        own = SimpleNamespace(says=b"", came=0, after_s=0.0, port=listener.getsockname()[1])

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one, _ = listener.accept()
                    own.came += 1
                    with one, contextlib.suppress(OSError):
                        threading.Event().wait(own.after_s)
                        one.sendall(own.says)
                        one.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        yield own
        listener.shutdown(socket.SHUT_RDWR)


def demand(port: int, limit: float = 60, **settings: str) -> None:
    service_registry.kind("tcp").demand_bearable("127.0.0.1", port, settings=settings, deadline=Deadline(limit))  # type: ignore[attr-defined]


@pytest.mark.parametrize("says", [MYSQL, MARIADB, BLOCKED, NOT_LET_IN, TOO_MANY])
def test_who_counts_broken_handshakes_is_not_measured(greeter: SimpleNamespace, says: bytes) -> None:
    greeter.says = says
    with pytest.raises(Unbearable, match=r"max_connect_errors.*broken_handshakes = "):
        demand(greeter.port)
    assert Unbearable("").exit_code == ExitCode.BAD_USE and greeter.came == 1
    demand(greeter.port, broken_handshakes="uncounted")
    assert greeter.came == 1, "it is not even asked"


@pytest.mark.parametrize("says", [b"", b"220 mail.example ESMTP\r\n", b"SSH-2.0-x\r\n", b"\x00" * 80, b"J\x00\x00\x00\x0b8.0\x00"])
def test_who_is_not_is_not_mistaken_for_it(greeter: SimpleNamespace, says: bytes) -> None:
    greeter.says = says
    demand(greeter.port, limit=0.5)


def test_who_greets_late_is_heard_out(greeter: SimpleNamespace) -> None:
    """It looked up the client's name first."""
    greeter.says, greeter.after_s = MYSQL, 1.5
    with pytest.raises(Unbearable):
        demand(greeter.port)


def test_how_long_a_greeting_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look makes few connections and may not become slow for each service that says nothing; MySQL's own port says what to expect."""
    limits: list[float] = []
    monkeypatch.setattr(connection_sensitive_services, "ask_over_the_path", lambda subject, host, service, ask, limit: limits.append(limit))
    for port, many in ((5432, False), (3306, False), (5432, True)):
        one = subject("tcp", port=port)
        connection_sensitive_services.demand_bearable(one, many=many)  # type: ignore[arg-type]
    assert limits == [1.0, 22.0, 22.0]


def test_a_word_that_means_nothing_is_refused(greeter: SimpleNamespace) -> None:
    with pytest.raises(BadUse, match="broken_handshakes = 'yes' is not uncounted"):
        demand(greeter.port, broken_handshakes="yes")


@pytest.mark.parametrize(("settings", "period"), [({}, 0.1), ({"connect_every_s": "0.01"}, 0.01), ({"connect_every_s": "0.2"}, 0.25)])
def test_how_often_an_unknown_service_is_connected_to(settings: dict[str, str], period: float) -> None:
    """Whatever period is asked for; PERIODS_S are those that there are."""
    assert bearable(0.01, service_registry.kind("tcp").hello(settings)) == period


def subject(*kinds: str, absent: set[str] | None = None, port: int = 3000) -> SimpleNamespace:
    data = default_cluster.cluster_data()
    data["services"] = [{"name": k, "kind": k, "port": port + i, "tag": k} for i, k in enumerate(kinds)]
    return SimpleNamespace(cluster=Cluster.model_validate(data), absent=absent or set())


def test_each_such_service_is_asked_once_before_anything_else(greeter: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    greeter.says = MYSQL

    def over_the_path(subject, host, service, ask, limit):
        assert host == "lkclient" and service.kind == "tcp"
        return ask("127.0.0.1", greeter.port, settings=service.settings, deadline=Deadline(limit))

    monkeypatch.setattr(connection_sensitive_services, "ask_over_the_path", over_the_path)
    with pytest.raises(Unbearable):
        connection_sensitive_services.demand_bearable(subject("http", "tcp"), many=False)  # type: ignore[arg-type]
    assert greeter.came == 1
    connection_sensitive_services.demand_bearable(subject("http", "oracle"), many=False)  # type: ignore[arg-type]
    connection_sensitive_services.demand_bearable(subject("tcp", absent={"lkclient"}), many=False)  # type: ignore[arg-type]
    assert greeter.came == 1


@pytest.mark.parametrize("error", [ConnectionError("refused"), Unusable("the host is away")])
def test_what_cannot_be_asked_is_for_the_checks_to_say(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*of: object) -> None:
        raise error

    monkeypatch.setattr(connection_sensitive_services, "ask_over_the_path", fails)
    connection_sensitive_services.demand_bearable(subject("tcp"), many=False)  # type: ignore[arg-type]


def test_a_look_sets_such_a_service_aside_and_tells_its_own_word(greeter: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """One service that may not be tried takes nothing from the look at the others."""

    def over_the_path(subject, host, service, ask, limit):
        return ask("127.0.0.1", greeter.port, settings=service.settings, deadline=Deadline(limit))

    monkeypatch.setattr(connection_sensitive_services, "ask_over_the_path", over_the_path)
    both = subject("http", "tcp")
    for says, weight in ((MYSQL, Weight.UNKNOWN), (NOT_LET_IN, Weight.UNKNOWN), (BLOCKED, Weight.FAULT), (TOO_MANY, Weight.FAULT)):
        greeter.says = says
        aside = connection_sensitive_services.find_unbearable(both)  # type: ignore[arg-type]
        (told,) = set_aside(both.cluster, aside)
        assert list(aside) == ["tcp"] and (told.weight, told.host) == (weight, "service tcp")
        assert ("blocked the host" in told.says) is (says is BLOCKED)
