"""Every fault of the API that can be switched on, met by the real SDK; and the record that tells what was sent."""

from __future__ import annotations

import time

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from harness.core.errors import BadUse

NODE = "lknode01"
OFF = "/powerOff$"


def off(lab, **more):
    return lab.compute.virtual_machines.begin_power_off(lab.group, NODE, skip_shutdown=True, **more)


def test_a_slow_answer(lab) -> None:
    lab.hand.fault("slow", path="/instanceView$", seconds=0.5)
    began = time.monotonic()
    lab.power_state(NODE)
    assert time.monotonic() - began >= 0.5


def test_throttling_is_waited_out_and_counted(lab) -> None:
    lab.hand.fault("throttled", path="/instanceView$", times=2, retry_after=1)
    began = time.monotonic()
    assert lab.power_state(NODE) == "PowerState/running"
    assert time.monotonic() - began >= 2
    assert [r["status"] for r in lab.hand.requests("GET", "/instanceView$")] == [429, 429, 200]


def test_unavailable_without_retries_reaches_the_caller(lab) -> None:
    lab.hand.fault("unavailable", method="POST", path=OFF)
    with pytest.raises(HttpResponseError) as error:
        off(lab, retry_total=0)
    assert (error.value.status_code, lab.power(NODE)) == (503, "on")
    assert [r["status"] for r in lab.hand.requests("POST", OFF)] == [503]


def test_unavailable_makes_the_sdk_send_a_trigger_twice(lab) -> None:
    """The trap of libraries.md, and what the record is for: with the SDK's own retries a power-off goes out again."""
    lab.hand.fault("happens-unavailable", method="POST", path=OFF, retry_after=0)
    off(lab).result(30)
    assert [(r["status"], r["fault"]) for r in lab.hand.requests("POST", OFF)] == [(503, "happens-unavailable"), (202, None)]


def test_a_connection_dropped_after_it_was_accepted(lab) -> None:
    lab.hand.fault("dropped-after", method="POST", path=OFF)
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        off(lab, retry_total=0)
    lab.wait_for(lambda: lab.power(NODE) == "off", "the node being off all the same")
    assert [(r["status"], r["fault"]) for r in lab.hand.requests("POST", OFF)] == [(None, "dropped-after")]


def test_a_connection_dropped_before(lab) -> None:
    lab.hand.fault("dropped-before", method="POST", path=OFF)
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        off(lab, retry_total=0)
    assert not [o for o in lab.hand.operations() if o["id"] in [r["operation"] for r in lab.hand.requests("POST", OFF)]]
    assert lab.power(NODE) == "on"


def test_an_expired_token_is_refused(lab) -> None:
    lab.hand.fault("token-expired", path="/instanceView$")
    with pytest.raises(ClientAuthenticationError) as error:
        lab.power_state(NODE)  # without a claims challenge the SDK does not ask for another token
    assert error.value.error.code == "ExpiredAuthenticationToken"
    assert 'error="invalid_token"' in error.value.response.headers["WWW-Authenticate"]
    assert lab.power_state(NODE) == "PowerState/running"


def test_a_revoked_token_is_asked_for_anew(lab) -> None:
    client = lab.new_client("compute", enable_cae=True)
    client.virtual_machines.get(lab.group, NODE)
    lab.hand.clear()
    lab.hand.fault("token-revoked", method="GET", path=f"/{NODE}$")
    assert client.virtual_machines.get(lab.group, NODE).name == NODE
    assert [r["status"] for r in lab.hand.requests("GET", f"/{NODE}$")] == [401, 200]
    assert lab.hand.requests("POST", "/oauth2/v2.0/token$")
    for kind in ("compute", "network"):  # the shared clients' tokens were revoked as well
        setattr(lab, kind, lab.new_client(kind))


def test_tokens_expire_by_themselves(lab) -> None:
    lab.hand.pace(token_s=1)
    client = lab.new_client("compute")
    client.virtual_machines.get(lab.group, NODE)
    lab.hand.clear()
    began = time.monotonic()
    lab.wait_for(lambda: time.monotonic() - began > 1.1, "the token's end")
    client.virtual_machines.get(lab.group, NODE)
    assert lab.hand.requests("POST", "/oauth2/v2.0/token$")
    assert [r["status"] for r in lab.hand.requests("GET", f"/{NODE}$")] == [200]


def test_a_wrong_secret_gets_no_token(lab) -> None:
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        lab.new_client("compute", secret="wrong").virtual_machines.get(lab.group, NODE)


def test_a_role_that_lacks_the_action(lab) -> None:
    lab.hand.fault("forbidden", method="POST", path=OFF)
    with pytest.raises(HttpResponseError) as error:
        off(lab)
    assert (error.value.status_code, error.value.error.code) == (403, "AuthorizationFailed")


@pytest.mark.parametrize(("kind", "power"), [("fails-late", "on"), ("happens-and-fails", "off")])
def test_an_operation_that_fails_late(lab, kind: str, power: str) -> None:
    lab.hand.fault(kind, method="POST", path=OFF)
    poller = off(lab)
    with pytest.raises(HttpResponseError) as error:
        poller.result(30)
    assert error.value.error.code == "InternalExecutionError"
    assert lab.power(NODE) == power


def test_an_operation_that_never_ends(lab) -> None:
    lab.hand.fault("never-ends", method="POST", path=OFF)
    poller = off(lab)
    lab.wait_for(lambda: lab.power(NODE) == "off", "the node being off")
    poller.wait(0.5)
    assert not poller.done()
    assert poller.status() == "InProgress"
    lab.compute.virtual_machines.begin_start(lab.group, NODE).result(60)  # ends it, and with it the poller's thread


def test_callers_come_back_when_they_are_told_to(lab) -> None:
    lab.hand.pace(takes_s=0.3, retry_after_s=1)
    began = time.monotonic()
    off(lab).result(30)
    assert time.monotonic() - began >= 1
    (accepted,) = lab.hand.requests("POST", OFF)
    polls = lab.hand.requests("GET", f"/operations/{accepted['operation']}$")
    assert len(polls) == 2  # at once, and after the second that it was told; at its own interval of 0.05 s there would be several
    lab.hand.pace(retry_after_s=1)


def test_faults_wait_for_their_turn_and_end(lab) -> None:
    lab.hand.fault("unavailable", path="/instanceView$", skip=1, times=1, retry_after=0)
    for _ in range(3):
        lab.power_state(NODE)
    assert [r["status"] for r in lab.hand.requests(path="/instanceView$")] == [200, 503, 200, 200]
    assert lab.hand.faults()["on"][0]["met"] == 1


def test_the_record_holds_no_secret(lab) -> None:
    lab.new_client("compute").virtual_machines.get(lab.group, NODE)
    written = str(lab.hand.requests())
    assert lab.azure.client_secret_file.read_text().strip() not in written
    assert "Bearer" not in written


def test_what_cannot_be_switched_on_is_said(lab) -> None:
    with pytest.raises(BadUse, match="there is no fault 'flood'"):
        lab.hand.fault("flood")
    with pytest.raises(BadUse, match="this is no fault"):
        lab.hand.fault("slow", colour="blue")
    with pytest.raises(BadUse, match="there is no misconfiguration 'ugly'"):
        lab.hand.misconfigure("ugly")
