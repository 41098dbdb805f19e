"""Runs an operation that changes something in Azure: sends the trigger once, follows it to its end, and never sends twice unnoticed.

A trigger whose answer got lost may have been accepted all the same, so its fate is found out by reading the state; only what does no
harm when it is done twice (every undoing) is sent again then, and that is told. Every call that may change something goes on the timeline
with what became of it, and Azure's request and operation id. Every wait ends: with the deadline at the latest, and a last look.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from harness.azure.client import error_mapping, sdk_clients
from harness.azure.client.arm import Arm
from harness.azure.client.retry_policy import bound_requests, silence_s
from harness.azure.client.sdk_clients import Call, Clients
from harness.config.cluster_config import Azure
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable

Send = Callable[..., Any]  # a client's begin_…, which takes the options of a trigger and returns a poller
Happened = Callable[[], bool]  # read in Azure: did it happen, or is it under way?
END_CHECK_INTERVAL_S = 0.2  # between two looks at whether an operation has ended, of which nobody is asked
MAX_POLLS_UNTIL_VISIBLE = 4  # so many poll intervals a trigger whose answer got lost may take to show …
MIN_VISIBLE_TIMEOUT_S = 2.0  # … and so many seconds at least
LOST_ANSWER_ERRORS = (
    error_mapping.Unanswered,
    error_mapping.Throttled,
    error_mapping.NotLoggedIn,
    DeadlineExceeded,
)  # nothing is known of what was asked


class Note(Protocol):
    """The timeline's own `note`, or anything like it."""

    def __call__(self, source: str, kind: str, text: str, **data: Any) -> object: ...


@dataclass
class Triggered:
    """A trigger that Azure accepted. `poller` is None where only its effect is known, because its answer got lost."""

    doing: str
    poller: Any
    stop: threading.Event
    happened: Happened

    def _end_error(self) -> HarnessError | None:
        """What the following of it ended with; None while it runs, or when it went well."""
        if self.poller is None or not self.poller.done():
            return None
        try:
            with error_mapping.translate_errors(self.doing):
                self.poller.result()
        except HarnessError as error:
            return error
        return None

    @property
    def refused(self) -> HarnessError | None:
        """Azure's own word that the operation failed."""
        error = self._end_error()
        return error if error is not None and error_mapping.is_a_verdict(error) else None

    @property
    def poll_error(self) -> HarnessError | None:
        """Why its end cannot be asked any more: no answer, no permission, nothing there, no time. It may be under way all the same."""
        error = self._end_error()
        return None if error is None or error_mapping.is_a_verdict(error) else error

    @property
    def ended(self) -> bool:
        """Whether the operation is over; one that Azure finished at once is."""
        return self.poller is None or bool(self.poller.done())


_doing: ContextVar[str] = ContextVar("doing", default="")


@contextmanager
def _label_calls(doing: str) -> Iterator[None]:
    """What this thread asks inside is asked for that."""
    token = _doing.set(doing)
    try:
        yield
    finally:
        _doing.reset(token)


def make_operation_runner(azure: Azure, note: Note) -> OperationRunner:
    """A runner with clients of its own, which note every call that may change something, each time that it goes over the wire.

    Its user closes the clients.
    """
    return OperationRunner(sdk_clients.make_clients(azure, lambda call: _note_call(note, call)), note)


def _note_call(note: Note, call: Call) -> None:
    """Whatever only reads is not told: a wait asks again and again."""
    if call.method == "GET":
        return
    note(
        "azure",
        "azure",
        f"{_doing.get() or call.path}: {call.answered}",
        method=call.method,
        resource=call.path,
        status=call.status,
        request_id=call.request_id,
        operation=call.operation,
    )


class OperationRunner:
    """Triggers things for one cluster. `note` is told everything."""

    def __init__(self, clients: Clients, note: Note) -> None:
        self.clients = clients
        self.azure = clients.azure
        self.arm = Arm(clients)
        self._note = note
        self.before_send: Callable[[], None] = lambda: None  # asked right before everything that is sent; what it raises keeps it from that

    def say(self, text: str, **data: Any) -> None:
        """Puts one sentence on the run's timeline."""
        self._note("azure", "azure", text, **data)

    def trigger(
        self, doing: str, send: Send, happened: Happened, deadline: Deadline, *, again: bool = False, accepted: Happened | None = None
    ) -> Triggered:
        """Send it, and return as soon as Azure has accepted it. With `again` it may be sent again when it is not known to have been.

        `accepted` is the sign looked for when the answer got lost; one that is accepted has not happened yet (default: that it happened).
        A refusal that says "not now" (429, an expired token) is no acceptance, so after it the request is repeated, and told.
        Raises what `translate_errors` makes of any other refusal; Unusable when no sign of it can be seen and it must not be repeated.
        """
        retry_reason = ""
        for number in range(1, 1000):
            deadline.require(doing)
            self.before_send()
            self.say(f"{doing}: sending{f' again, the {number}. time, because {retry_reason}' if retry_reason else ''}", attempt=number)
            stop = threading.Event()
            try:
                with error_mapping.translate_errors(doing), bound_requests(deadline, retries=0), _label_calls(doing):
                    poller = send(retry_total=0, polling=_make_bounded_polling(self.azure.poll_s, deadline, stop, doing))
                return Triggered(doing, poller, stop, happened)
            except error_mapping.Throttled as error:
                pause_s, retry_reason = silence_s(error, self.azure.poll_s), "Azure had refused it: asked too often"
                if pause_s >= deadline.remaining():  # what may be sent again is an undoing: its caller tries as long as it may
                    if again:
                        self._pause(pause_s, deadline, doing)
                    raise
            except error_mapping.NotLoggedIn:
                if retry_reason.endswith("token"):
                    raise
                self.clients.renew()
                pause_s, retry_reason = 0.0, "Azure had refused it: it did not take the token"
            except error_mapping.Unanswered as error:
                self.say(f"{doing}: its fate is not known ({error}); reading whether it happened")
                if self._wait_for_sign(accepted or happened, deadline, doing):
                    self.say(f"{doing}: it was accepted: its effect is there; it is not sent again")
                    return Triggered(doing, None, stop, happened)
                if not again:
                    raise Unusable(
                        f"{doing}: its answer got lost and for {self._visible_timeout_s:g} s no sign of it was seen; it was "
                        f"not sent again: {error}"
                    ) from error
                pause_s, retry_reason = 0.0, "its answer got lost, no sign of it is there, and twice does no harm"
            except HarnessError as error:
                if not (again and _may_pass(error)):
                    raise
                pause_s, retry_reason = self.azure.poll_s, str(error)
            self._pause(pause_s, deadline, doing)
        raise AssertionError("a deadline ends this sooner")

    def finish(self, triggered: Triggered, deadline: Deadline) -> None:
        """Until the operation has ended well, or its effect is there whatever it says, or while that cannot be asked.

        Raises its failure, or DeadlineExceeded.
        """
        try:
            deadline.wait_for(lambda: triggered.ended, what=f"{triggered.doing}: the end of Azure's operation", every=END_CHECK_INTERVAL_S)
        except DeadlineExceeded:
            triggered.stop.set()
            if not self._happened_now(triggered.happened, deadline):
                raise
            self.say(f"{triggered.doing}: Azure says that its operation still goes on, but its effect is there; that is enough")
            return
        if error := triggered.refused:
            if not self._happened_now(triggered.happened, deadline):
                raise error
            self.say(f"{triggered.doing}: Azure says that its operation failed ({error}), but its effect is there")
        elif error := triggered.poll_error:
            self._finish_by_its_effect(triggered, error, deadline)
        else:
            self.say(f"{triggered.doing}: done")

    def _finish_by_its_effect(self, triggered: Triggered, poll_error: HarnessError, deadline: Deadline) -> None:
        """It was accepted, so it is under way for all that anybody knows: the state is read, as after an answer that got lost."""
        self.say(f"{triggered.doing}: how it ends cannot be asked ({poll_error}); reading whether its effect is there")
        try:
            deadline.wait_for(
                lambda: self._happened_now(triggered.happened, deadline),
                what=f"{triggered.doing}: a sign of it",
                every=self.azure.poll_s,
            )
        except DeadlineExceeded:
            raise DeadlineExceeded(
                f"{triggered.doing}: no sign of it was there within {deadline.seconds:g} s, and how it ends cannot be asked: {poll_error}"
            ) from poll_error
        self.say(f"{triggered.doing}: its effect is there")

    def do(self, doing: str, send: Send, happened: Happened, limit: Deadline) -> None:
        """Trigger and finish something that does no harm when done twice, again and again until its effect is there.

        Raises DeadlineExceeded with the last failure.
        """
        last_error: HarnessError | None = None
        while not limit.expired:
            attempt_deadline = Deadline(limit.within(max(limit.seconds / 3, 2 * self.azure.poll_s)))
            try:
                self.finish(self.trigger(doing, send, happened, limit, again=True), attempt_deadline)
                if self._wait_for_sign(happened, attempt_deadline, doing):
                    return
                last_error = Unusable(f"{doing}: Azure says that it was done, and its effect is not there")
            except HarnessError as error:
                if not _may_pass(error):
                    raise
                last_error = error
            self.say(f"{last_error}; trying again")
        raise DeadlineExceeded(f"{doing} did not come about within {limit.seconds:g} s; last: {last_error or 'there was no time'}")

    def read(self, request: Callable[[], Any], deadline: Deadline, doing: str) -> Any:
        """Something read in Azure, again and again while only the connection to it fails.

        A try ends with the deadline, too, even on a peer that accepts and says nothing; so the retries are made here and not inside it.
        """
        while True:
            last_try = deadline.expired
            try:
                with error_mapping.translate_errors(doing), bound_requests(deadline, retries=0), _label_calls(doing):
                    return request()
            except HarnessError as error:
                if last_try or not isinstance(error, LOST_ANSWER_ERRORS):
                    raise
                self.say(f"{error}; reading again")
                pause_s = self.azure.poll_s
                if isinstance(error, error_mapping.Throttled):
                    pause_s = silence_s(error, pause_s)
                if isinstance(error, error_mapping.NotLoggedIn):
                    self.clients.renew()
            self._pause(pause_s, deadline, doing)

    @property
    def _visible_timeout_s(self) -> float:
        return max(MIN_VISIBLE_TIMEOUT_S, MAX_POLLS_UNTIL_VISIBLE * self.azure.poll_s)

    def _wait_for_sign(self, happened: Happened, deadline: Deadline, doing: str) -> bool:
        patience = Deadline(deadline.within(self._visible_timeout_s))
        try:
            return patience.wait_for(lambda: self._happened_now(happened, deadline), what=f"{doing}: a sign of it", every=self.azure.poll_s)
        except DeadlineExceeded:
            return False

    def _happened_now(self, happened: Happened, deadline: Deadline) -> bool:
        """What cannot be read now is no sign."""
        try:
            with error_mapping.translate_errors("reading the state"), bound_requests(deadline):
                return happened()
        except HarnessError as error:
            self.say(f"the state cannot be read now: {error}")
            if isinstance(error, error_mapping.NotLoggedIn):
                self.clients.renew()
            return False

    def _pause(self, seconds: float, deadline: Deadline, doing: str) -> None:
        pause = Deadline(deadline.within(seconds))
        pause.wait_for(lambda: pause.expired, what=f"{doing}: a pause", every=max(pause.remaining(), 0.001))


def _may_pass(error: HarnessError) -> bool:
    """May the next try go better? Not where Azure said no for good, or a person has to mend something."""
    if isinstance(error, LOST_ANSWER_ERRORS):
        return True
    if isinstance(error, error_mapping.Locked | error_mapping.RefusedByPolicy):
        return False
    for_good = getattr(error.__cause__, "status_code", None) == 400
    return isinstance(error, Unusable) and not isinstance(error, error_mapping.NotAllowed) and not for_good


def _make_bounded_polling(every: float, deadline: Deadline, stop: threading.Event, doing: str) -> Any:
    """The packages' own polling, which ends with its deadline at the latest, or when it is told to stop."""
    from azure.mgmt.core.polling.arm_polling import ARMPolling

    class Bounded(ARMPolling):
        def _sleep(self, delay: float) -> None:
            if stop.wait(deadline.within(delay)) or deadline.expired:
                raise error_mapping.NotAwaited(f"{doing}: Azure's operation was not followed any longer than {deadline.seconds:g} s")

    return Bounded(every, retry_total=3)
