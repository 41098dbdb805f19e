"""What comes back and is no answer to what was asked: a late failure, a proxy's page, silence. Each is one sentence, in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import azure_payloads
import pytest
from arm_server import ArmServer

from harness.azure.client import error_mapping, retry_policy, sdk_clients
from harness.azure.client.arm import Arm
from harness.azure.client.operation_runner import OperationRunner
from harness.azure.client.sdk_clients import Clients
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import Unusable

PAGE = b"<html>please log in</html>"
MACHINE = f"{azure_payloads.IN_GROUP}/Microsoft.Compute/virtualMachines/lknode01"


@contextmanager
def talking(server: ArmServer, **over: Any) -> Iterator[Clients]:
    talk = sdk_clients.make_clients(cluster_config.Azure(**server.table(**over)))
    try:
        yield talk
    finally:
        talk.close()


def failed_late(server: ArmServer, answer: Any) -> Exception:
    """What a power-off says that Azure accepts, and whose operation then comes to this."""
    server.spoiled["/powerOff"] = (202, {"Azure-AsyncOperation": f"{server.url}/operations/1"}, None)
    server.spoiled["/operations/1"] = (200, {}, answer)
    with talking(server) as talk, pytest.raises(Unusable) as told, error_mapping.translate_errors("powering off lknode01"):
        talk.compute.virtual_machines.begin_power_off(azure_payloads.GROUP, "lknode01", retry_total=0).result(5)
    return told.value


def test_an_operation_that_fails_late_is_told_with_its_code(server: ArmServer) -> None:
    said = failed_late(server, {"status": "Failed", "error": {"code": "AllocationFailed", "message": "there is no room."}})
    assert str(said) == "powering off lknode01: Azure's operation failed (AllocationFailed): there is no room"


def test_an_operation_that_fails_without_a_reason(server: ArmServer) -> None:
    assert str(failed_late(server, {"status": "Canceled"})).startswith("powering off lknode01: Azure's operation failed: ")


@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/plain"])
@pytest.mark.parametrize("body", [PAGE, [1, 2]])
def test_a_proxys_page_is_no_answer(server: ArmServer, kind: str, body: Any) -> None:
    """Whatever it calls itself: in every request that is not made by the big packages."""
    server.spoiled[MACHINE] = (200, {"Content-Type": kind}, body)
    with talking(server) as talk:
        arm = Arm(talk)
        for ask in (
            lambda: arm.get(MACHINE, "reading it"),
            lambda: list(arm.listed(MACHINE, "listing it")),
        ):
            with pytest.raises(Unusable, match=r"(reading|listing) it: .*resource_manager in \[azure\]"):
                ask()


def test_a_proxys_page_on_the_second_page(server: ArmServer) -> None:
    server.spoiled["/first"] = (200, {}, {"value": [{"id": 1}], "nextLink": f"{server.url}/second"})
    server.spoiled["/second"] = (200, {"Content-Type": "text/html"}, PAGE)
    with talking(server) as talk:
        items = Arm(talk).listed("/first", "listing it")
        assert next(items) == {"id": 1}
        with pytest.raises(Unusable, match=r"listing it: .*resource_manager in \[azure\]"):
            next(items)


@contextmanager
def silence() -> Iterator[str]:
    """A peer that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        held: list[socket.socket] = []

        def hold() -> None:
            while True:
                try:
                    held.append(there.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=hold, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{there.getsockname()[1]}"
        finally:
            there.shutdown(socket.SHUT_RDWR)
            for one in held:
                one.close()
            thread.join()


class Token:
    """A credential that needs nobody."""

    def get_token_info(self, *scopes: str, **options: Any) -> Any:
        return SimpleNamespace(token="t", expires_on=int(time.time()) + 3600, token_type="Bearer", refresh_on=None)

    def renew(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.timeout(900)
def test_a_peer_that_says_nothing_holds_nobody_up(server: ArmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a read nor a look for a sign takes longer than its deadline and a last look."""
    monkeypatch.setattr(retry_policy, "LAST_REQUEST_TIMEOUT_S", 0.4)
    with silence() as url, talking(server, resource_manager=url) as talk:
        talk.credential = Token()
        hand = OperationRunner(talk, lambda *a, **k: None)
        machines: Any = talk.compute.virtual_machines

        def sign() -> bool:
            return bool(machines.get(azure_payloads.GROUP, "x"))

        began = time.monotonic()
        with pytest.raises(error_mapping.Unanswered):
            hand.read(lambda: machines.get(azure_payloads.GROUP, "lknode01"), Deadline(0.2), "reading it")
        with pytest.raises(Unusable):
            hand.trigger("doing it", lambda **o: machines.begin_start(azure_payloads.GROUP, "x", **o), sign, Deadline(0.2))
        assert time.monotonic() - began < 10
