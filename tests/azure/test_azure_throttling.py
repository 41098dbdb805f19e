"""429 through the real packages: Retry-After is kept, with a bit of chance and a ceiling, and what is too much is one sentence."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from arm_server import ArmServer

from harness.azure.client import error_mapping, operation_runner, retry_policy, sdk_clients, throttling
from harness.azure.client.arm import Arm
from harness.azure.run_command import run_command_call
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import Unusable

MACHINE = "/virtualMachines/lknode01"
Calls = list[tuple[str, int]]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the packages slept for clients made from now on, in seconds; none of these sleeps in truth. A client of another test may still
    follow an operation of its own."""
    from azure.core.pipeline.transport import RequestsTransport

    found: list[float] = []
    ours: set[int] = set()
    make, sleep = RequestsTransport.__init__, RequestsTransport.sleep

    def made(self: RequestsTransport, *given: Any, **more: Any) -> None:
        ours.add(id(self))
        make(self, *given, **more)

    def slept(self: RequestsTransport, duration: float) -> None:
        found.append(duration) if id(self) in ours else sleep(self, duration)

    monkeypatch.setattr(RequestsTransport, "__init__", made)
    monkeypatch.setattr(RequestsTransport, "sleep", slept)
    monkeypatch.setattr(throttling.pause_s, "__defaults__", (random.Random(7).random,))
    return found


@pytest.fixture
def hand(server: ArmServer, slept: list[float]) -> Iterator[operation_runner.OperationRunner]:
    there = sdk_clients.make_clients(cluster_config.Azure(**server.table(poll_s=0.01)))
    yield operation_runner.OperationRunner(there, lambda *_, **__: None)
    there.close()


def refuse(server: ArmServer, times: int, after: str | None, part: str = MACHINE) -> list[str]:
    """So many refusals before Azure answers; what is returned fills with the refused requests."""
    met: list[str] = []
    own = server.answer

    def answer(method: str, path: str) -> Any:
        if part in path and len(met) < times:
            met.append(f"{method} {path}")
            headers = {} if after is None else {"Retry-After": after}
            target = {"code": "TooManyRequests", "target": "GetOperation30Min", "message": "too many reads of it"}
            return 429, headers, {"error": {"code": "OperationNotAllowed", "message": "The server rejected it", "details": [target]}}
        return own(method, path)

    server.answer = answer  # type: ignore[method-assign]
    return met


def read(hand: operation_runner.OperationRunner) -> Any:
    with error_mapping.translate_errors("reading the machine"):
        return hand.clients.compute.virtual_machines.get("customer", "lknode01")


def test_retry_after_is_kept_and_spread(server: ArmServer, slept: list[float], hand: operation_runner.OperationRunner) -> None:
    refuse(server, retry_policy.MAX_RETRIES, "7")
    assert read(hand).name == "lknode01"
    assert len(slept) == retry_policy.MAX_RETRIES and all(7 <= s <= 7 * (1 + throttling.MAX_JITTER) for s in slept) and len(set(slept)) > 1


@pytest.mark.parametrize("after", [None, "soon", "nan"])
def test_a_refusal_that_names_no_time_is_not_repeated_at_once(
    server: ArmServer, slept: list[float], hand: operation_runner.OperationRunner, after: str | None
) -> None:
    refuse(server, retry_policy.MAX_RETRIES, after)
    assert read(hand).name == "lknode01"
    assert len(slept) == retry_policy.MAX_RETRIES and slept == sorted(slept) and 0.4 <= slept[0] < slept[-1] <= 5 * 1.25


def test_a_date_is_a_time_too(server: ArmServer, slept: list[float], hand: operation_runner.OperationRunner) -> None:
    refuse(server, 1, format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True))
    assert read(hand).name == "lknode01"
    assert len(slept) == 1 and 15 <= slept[0] <= 25


def test_it_ends_in_one_sentence(server: ArmServer, slept: list[float], hand: operation_runner.OperationRunner) -> None:
    """After the repetitions; which of Azure's buckets is empty is in it."""
    met = refuse(server, 99, "2")
    with pytest.raises(error_mapping.Throttled) as caught:
        read(hand)
    said = str(caught.value)
    assert len(met) == 1 + retry_policy.MAX_RETRIES and len(slept) == retry_policy.MAX_RETRIES and "\n" not in said
    assert "reading the machine: Azure is asked too often" in said and "2 s of silence" in said and "GetOperation30Min" in said


@pytest.mark.parametrize("after", ["31", "600", "99999999999"])
def test_the_ceiling(server: ArmServer, slept: list[float], hand: operation_runner.OperationRunner, after: str) -> None:
    met = refuse(server, 99, after)
    with pytest.raises(error_mapping.Throttled, match="s of silence"):
        read(hand)
    assert len(met) == 1 and not slept


def test_no_pause_outlasts_the_deadline(server: ArmServer, slept: list[float], hand: operation_runner.OperationRunner) -> None:
    met = refuse(server, 99, "20")
    with pytest.raises(error_mapping.Throttled), retry_policy.bound_requests(Deadline(10)):
        read(hand)
    assert len(met) == 1 and not slept
    with pytest.raises(error_mapping.Throttled), retry_policy.bound_requests(Deadline(21)):
        read(hand)
    assert slept and all(20 <= s <= 21 for s in slept)


def test_what_disturbs_is_not_sent_after_a_longer_silence_than_there_is_time(
    server: ArmServer, hand: operation_runner.OperationRunner
) -> None:
    """At once, and with Azure's word; a minute's wait for its own deadline would tell nothing."""
    met = refuse(server, 99, "600")
    limit = Deadline(300)

    def send(**options: Any) -> Any:
        return hand.clients.compute.virtual_machines.begin_power_off("customer", "lknode01", **options)

    with pytest.raises(error_mapping.Throttled, match="600 s of silence"):
        hand.trigger("powering off lknode01", send, lambda: False, limit)
    assert len(met) == 1 and limit.remaining() > 200


def test_a_script_is_sent_again_after_a_refusal(
    server: ArmServer, hand: operation_runner.OperationRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 says that it has not run."""
    pauses: list[float] = []
    monkeypatch.setattr(run_command_call, "pause", lambda seconds, deadline: pauses.append(seconds))
    met = refuse(server, 2, "9", "/runCommand")
    with pytest.raises(Unusable, match="the script's end is not in what"):  # this stand-in runs nothing
        run_command_call.run(hand.clients, "lknode01", "true", Deadline(600))
    assert len(met) == 2 and all(9 <= p <= 9 * 1.25 for p in pauses) and len(pauses) == 2


def test_what_only_reads_the_resource_manager_keeps_to_it_as_well(
    server: ArmServer, slept: list[float], hand: operation_runner.OperationRunner
) -> None:
    refuse(server, 1, "3", "/loadBalancers")
    assert Arm(hand.clients).get(f"{hand.arm.group}/providers/Microsoft.Network/loadBalancers", "listing", api="2024-05-01")
    assert len(slept) == 1 and 3 <= slept[0] <= 3.75


@pytest.mark.parametrize("asked", ["", "soon", "-1", "nan", "Wed, 99 Foo 2026 00:00:00 GMT", "Sun, 29 Nov 2020 00:00:00 GMT"])
def test_what_is_no_time_asks_for_none(asked: str) -> None:
    assert not throttling.retry_after_s({"Retry-After": asked})


@pytest.mark.parametrize(
    ("headers", "poll_s", "asked_after"),
    [
        ({}, 5.0, 5.0),
        ({"Retry-After": "0"}, 5.0, 5.0),
        ({"Retry-After": "-3"}, 5.0, 5.0),
        ({"Retry-After": "0.001"}, 5.0, 1.0),
        ({"x-ms-retry-after-ms": "1"}, 5.0, 1.0),
        ({"x-ms-retry-after-ms": "0"}, 5.0, 5.0),
        ({"Retry-After": "soon"}, 5.0, 5.0),
        ({"Retry-After": format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True), "x-ms-retry-after-ms": "1"}, 5.0, 5.0),
        ({"Retry-After": "2"}, 5.0, 2.0),
        ({"Retry-After": "9"}, 5.0, 9.0),
        ({"Retry-After": "1"}, 0.1, 0.1),  # a stand-in
        ({"Retry-After": "0"}, 0.1, 0.1),
    ],
)
def test_an_operation_is_never_asked_about_without_a_pause(
    server: ArmServer, slept: list[float], headers: dict[str, str], poll_s: float, asked_after: float
) -> None:
    """Whatever Azure says of when to ask again, both where the packages poll by themselves and where the harness follows."""
    own, polls = server.answer, iter(range(4))

    def answer(method: str, path: str) -> Any:
        status, given, body = own(method, path)
        if path.startswith("/results/") and next(polls, None) is not None:
            status, given, body = 202, {"Location": server.url + path}, None
        return status, given | (headers if status == 202 else {}), body

    server.answer = answer  # type: ignore[method-assign]
    there = sdk_clients.make_clients(cluster_config.Azure(**server.table(poll_s=poll_s)))
    try:
        there.network.network_interfaces.begin_get_effective_route_table("customer", "lknode01-nic1").result(60)
        assert slept == pytest.approx([asked_after] * len(slept)) and len(slept) == 4
        slept.clear()
        polls = iter(range(4))
        arm = Arm(there)
        arm.begin("POST", f"{arm.group}/providers/Microsoft.Compute/virtualMachines/lknode01/start", None, "starting").wait(60)
        assert slept == pytest.approx([asked_after] * 4)
    finally:
        there.close()
