"""What is Azure's word that an operation failed, and what is only its end being untold. Pure: pollers that end as they are told to."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from harness.azure.client import error_mapping
from harness.azure.client import operation_runner as module
from harness.azure.client.operation_runner import OperationRunner, Triggered
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError

core = pytest.importorskip("azure.core.exceptions", reason="the Azure packages are not installed")


def answer(status: int, code: str) -> Any:
    """A poll that was answered so, as the packages raise it."""
    from azure.core.polling.base_polling import BadStatus

    error = core.HttpResponseError(message=f"({code}) so it is", response=SimpleNamespace(status_code=status, reason="", headers={}))
    error.error, error.__cause__ = SimpleNamespace(code=code, message="so it is"), BadStatus("status")
    return error


def failed() -> Any:
    from azure.core.polling.base_polling import OperationFailed

    error = answer(200, "InternalExecutionError")
    error.__cause__ = OperationFailed("Operation failed or canceled")
    return error


def unreadable() -> Any:
    from azure.core.polling.base_polling import BadResponse

    error = core.HttpResponseError(message="No status found in body", response=SimpleNamespace(status_code=200, reason="", headers={}))
    error.__cause__ = BadResponse("No status found in body")
    return error


class Over:
    """A poller that is at its end."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def done(self) -> bool:
        return True

    def result(self) -> None:
        raise self._error


def timed_out() -> Exception:
    """What the harness's own polling ends with when its deadline is over."""
    polling = module._make_bounded_polling(0.01, Deadline(0.0), threading.Event(), "powering off lknode01")
    with pytest.raises(Exception) as caught:
        polling._sleep(0.01)
    return caught.value


def triggered(error: Exception, happened: Any = lambda: False) -> Triggered:
    return Triggered("powering off lknode01", Over(error), threading.Event(), happened)


@pytest.mark.parametrize("error", [failed(), answer(409, "OperationPreempted")], ids=["failed", "failed, by Location"])
def test_azures_word_is_a_refusal(error: Any) -> None:
    assert triggered(error).refused is not None and triggered(error).poll_error is None


UNTOLD = {
    "forbidden": answer(403, "AuthorizationFailed"),
    "not found": answer(404, "OperationNotFound"),
    "gone": answer(410, "Gone"),
    "unavailable": answer(503, "ServerTimeout"),
    "unreadable": unreadable(),
}


@pytest.mark.parametrize("error", UNTOLD.values(), ids=UNTOLD)
def test_what_azure_does_not_tell_is_none(error: Any) -> None:
    assert triggered(error).refused is None and isinstance(triggered(error).poll_error, HarnessError)


def test_the_harness_own_time_out_is_none_and_says_what_it_is() -> None:
    one = triggered(timed_out())
    assert one.refused is None and isinstance(one.poll_error, error_mapping.NotAwaited) and "powering off lknode01" in str(one.poll_error)
    assert "resource_manager" not in str(one.poll_error)


def hand_that_tells(told: list[str]) -> OperationRunner:
    clients: Any = SimpleNamespace(azure=SimpleNamespace(poll_s=0.01, subscription="s", resource_group="g"), renew=lambda: None)
    return OperationRunner(clients, lambda source, kind, text, **data: told.append(text))


@pytest.mark.parametrize("error", UNTOLD.values(), ids=UNTOLD)
def test_an_end_that_is_not_told_is_read_from_the_state(error: Any) -> None:
    """The effect may show later than the poll was refused."""
    looks, told = iter([False, False, True]), list[str]()
    hand_that_tells(told).finish(triggered(error, lambda: next(looks)), Deadline(5))
    assert "cannot be asked" in told[0] and "its effect is there" in told[-1]


def test_without_an_effect_it_is_said_why_nobody_knows_more() -> None:
    with pytest.raises(DeadlineExceeded, match=r"no sign of it .* cannot be asked: powering off lknode01: the log-in may not"):
        hand_that_tells([]).finish(triggered(UNTOLD["forbidden"]), Deadline(0.05))


def test_a_failure_is_not_waited_out() -> None:
    looks = iter([False])
    with pytest.raises(error_mapping.OperationFailed, match="InternalExecutionError"):
        hand_that_tells([]).finish(triggered(failed(), lambda: next(looks)), Deadline(60))
