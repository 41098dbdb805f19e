"""What goes wrong between the harness and Azure, as one sentence that says what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from harness.azure.client import arm_error_details, roles, throttling
from harness.core.errors import BadUse, DeadlineExceeded, HarnessError, Unusable
from harness.core.text.host_text import cut_at_word

INSTALL = 'the Azure packages are not installed; install them with: pip install "lkharness[azure]"'
_ACTION = re.compile(r"perform action '([^']+)'(?: over scope '([^']+)')?")


_LINKED = re.compile(r"does not have permission to perform action\(s\) '([^']+)' on the linked scope\(s\) '([^']+)'")
_CLIENT = re.compile(r"client '([^']+)' with object id '([^']+)'")
_POLICY = re.compile(r"policy(?:Assignment|SetDefinition|Definition)\\*\"\s*:\s*\{\\*\"name\\*\"\s*:\s*\\*\"([^\"\\]+)")
_REASONS = re.compile(r"Reasons?: '([^']+)'")
_TLS = re.compile(r"CERTIFICATE_VERIFY_FAILED|SSLError|\[SSL:")


class NotInstalled(BadUse):
    """The Azure packages, an extra, are not there."""


class NotLoggedIn(Unusable):
    """No credential gave a token, or Azure does not take it."""


class NotAllowed(Unusable):
    """The log-in lacks a permission; `action` is its name, where Azure said it."""

    def __init__(self, message: str, action: str | None) -> None:
        super().__init__(message)
        self.action = action


class Locked(Unusable):
    """A management lock keeps the resource from being deleted, or from being changed at all. Waiting does not help."""


class RefusedByPolicy(Unusable):
    """A policy of the subscription forbids it: no role helps."""


class Busy(Unusable):
    """Another operation, such as a run-command, is in progress on the resource: nothing was done, and later it may be."""


class NotThere(BadUse):
    """Azure knows no such thing: a wrong name, subscription or resource group."""


class Throttled(Unusable):
    """Azure asked to be left alone for longer than the harness waits by itself."""


class Unanswered(Unusable):
    """No whole answer came. A request that was sent may have been accepted all the same."""


class OperationFailed(Unusable):
    """Azure's own word that an operation which it had accepted failed."""


class NotAwaited(DeadlineExceeded):
    """The harness followed an operation no longer: its time was over. Of the operation that says nothing."""


@contextlib.contextmanager
def translate_errors(doing: str) -> Iterator[None]:
    """Every failure of the Azure packages inside becomes a HarnessError; `doing` is what was tried ("reading the load balancer ilb")."""
    try:
        yield
    except HarnessError:
        raise
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("azure", "msal")):
            raise
        raise NotInstalled(INSTALL) from error
    except Exception as error:
        translated = to_harness_error(error, doing)
        if translated is None:
            raise  # no failure of Azure's: a fault of ours, which must show itself
        raise translated from error


def to_harness_error(error: Exception, doing: str) -> HarnessError | None:
    """The failure in a person's words, or None when it is not Azure's."""
    from azure.core import exceptions as azure

    if not isinstance(error, azure.AzureError):
        return None
    if _TLS.search(str(error)):
        return Unusable(
            f"{doing}: the other side's certificate is not to be trusted: {_tls_reason(str(error))}; name its CA with ca_file in [azure]"
        )
    if isinstance(error, azure.HttpResponseError) and error.response is not None and (error.status_code or 0) >= 400:
        return _map_response(error, doing)
    if isinstance(error, azure.ClientAuthenticationError):
        return NotLoggedIn(
            f"{doing}: no log-in to Azure: {_first_line(error)}{_credentials_tried(error)}; "
            "run `az login`, or set credential in [azure] to one that works here"
        )
    if isinstance(error, azure.ServiceRequestError | azure.ServiceResponseError):
        return _map_connection_failure(error, doing)
    if _is_failed_operation(error):
        code = _code(error)
        return OperationFailed(f"{doing}: Azure's operation failed{f' ({code})' if code else ''}: {_first_line(error)}")
    return Unusable(f"{doing}: Azure's answer cannot be read: {_first_line(error)}; see that resource_manager in [azure] is an Azure API")


def _map_response(error: Any, doing: str) -> HarnessError:
    """One of Azure's own refusals, by its status and code."""
    status, code, text = error.status_code, _code(error), _first_line(error)
    if status == 400 and "AADSTS" in str(error):
        return NotLoggedIn(f"{doing}: the log-in was refused: {text}; see tenant, client_id and the secret in [azure]")
    if status == 401:
        return NotLoggedIn(
            f"{doing}: Azure does not take the token of the log-in{_login_text()} ({code or text}); log in again, or see tenant, "
            "credential and audience in [azure]"
        )
    if status == 403:
        return _map_forbidden(str(error), text, code, doing)
    if wrapped := _refusal_inside(error, doing):
        return wrapped
    if code in OLD_API_CODES and "version" in text.lower():
        return Unusable(
            f"{doing}: this Azure does not know the version of its API that the harness speaks ({code}): {text}; Azure Stack Hub is not "
            "supported; a sovereign cloud may be behind the public one: name versions that it knows as api_versions in [azure]"
        )
    if status == 409 and "in progress" in text.lower():
        return Busy(
            f"{doing}: something else is in progress there ({code or status}): {text}; wait for its end (a run-command may take 90 "
            "minutes, and nobody can cancel it)"
        )
    if status == 404:
        return NotThere(f"{doing}: Azure knows no such thing ({code or 'NotFound'}): {text}; see the names in [azure]")
    if code == "ScopeLocked":
        return Locked(f"{doing}: a management lock forbids it: {text}; a person who may must remove the lock first")
    if status == 429:
        if code.startswith("Retryable") or "AnotherOperation" in f"{code}{arm_error_details.details_of(error)}":
            return Throttled(
                f"{doing}: another operation of Azure's is under way there ({code}): {text}{arm_error_details.details_of(error)}; "
                "wait for it"
            )
        retry_after_s = throttling.retry_after_s(error.response.headers)
        silence = "does not say for how long to keep silent" if retry_after_s is None else f"wants {retry_after_s:g} s of silence"
        return Throttled(
            f"{doing}: Azure is asked too often{arm_error_details.details_of(error)} and {silence}; "
            "wait, or see who else asks this subscription"
        )
    if status >= 500:
        return Unanswered(f"{doing}: Azure fails by itself ({status} {code or text}); try again later")
    return Unusable(f"{doing}: Azure refuses ({status} {code}): {text}{arm_error_details.details_of(error)}")


# How a provider says that it has the type or the call, and not in this version.
OLD_API_CODES = ("NoRegisteredProviderFound", "InvalidApiVersionParameter", "InvalidResourceType")


def _refusal_inside(error: Any, doing: str) -> HarnessError | None:
    """A refusal of rights or by a policy that stands in the details of another error: a template's preflight wraps them in 400."""
    for detail in getattr(getattr(error, "error", None), "details", None) or []:
        code = str(getattr(detail, "code", None) or "")
        if code in ("RequestDisallowedByPolicy", "LinkedAuthorizationFailed", "AuthorizationFailed"):
            about = f"{doing} ({arm_error_details.name_and_type(detail.target)})" if getattr(detail, "target", None) else doing
            return _map_forbidden(f"{detail.message} {getattr(detail, 'additional_info', '') or ''}", str(detail.message), code, about)
    return None


def _map_forbidden(text: str, message: str, code: str, doing: str) -> HarnessError:
    """A refusal of rights, in the words that name what is missing. `text` is all that Azure said."""
    if code == "RequestDisallowedByPolicy":
        names = ", ".join(dict.fromkeys(_POLICY.findall(text)))
        reasons = "; ".join(dict.fromkeys(_REASONS.findall(text)))
        return RefusedByPolicy(
            f"{doing}: a policy of the subscription forbids it{f' ({names})' if names else ''}: {reasons or message}; no role helps: "
            "do as the policy asks (a mandatory tag: --tag KEY=VALUE), or have its owner make an exemption"
        )
    client = _CLIENT.search(text)
    login = f"the log-in{_login_text()} {client[1]} (object id {client[2]})" if client else f"the log-in{_login_text()}"
    if linked_match := _LINKED.search(text):
        first_action = linked_match[1].split(",")[0].strip()
        advice = f"{roles.advice(first_action)}, on that scope: it may lie in another resource group, where its own assignment is needed"
        return NotAllowed(f"{doing}: {login} may not {linked_match[1]} on {linked_match[2]}; {advice}", first_action)
    match = _ACTION.search(text)
    permission = f"{match[1]}{f' on {match[2]}' if match[2] else ''}" if match else message
    action = match[1] if match else None
    fresh = " (a fresh assignment takes minutes to show)" if code == "AuthorizationFailed" else ""
    return NotAllowed(f"{doing}: {login} may not {permission}{fresh}; {roles.advice(action)}", action)


def _login_text() -> str:
    """Which of `default`'s log-ins it is."""
    from harness.azure.client import credentials

    return f" by {name}" if (name := credentials.last_login()) else ""


def _is_failed_operation(error: Exception) -> bool:
    """An operation that was accepted and failed later: its answer is a good one (HTTP 200), only what it tells is not."""
    from azure.core.polling.base_polling import OperationFailed

    return isinstance(error.__cause__, OperationFailed) or bool(_code(error))


def is_a_verdict(error: HarnessError) -> bool:
    """Does what came of following an operation say that the operation failed? Where its result is asked for by Location, a failure's answer
    is the refusal itself (a 409, say); but that one may not ask, or that nothing is found there (any more), says nothing of it.
    """
    status = getattr(error.__cause__, "status_code", None) or 0
    return isinstance(error, OperationFailed) or (type(error) is Unusable and 400 <= status < 500 and status not in (408, 410))


def _map_connection_failure(error: Exception, doing: str) -> HarnessError:
    return Unanswered(
        f"{doing}: no complete answer from Azure: {_first_line(error)}; see the way out of this machine, and resource_manager in [azure]"
    )


def code_of(error: BaseException) -> str:
    """Azure's code of the refusal or failure behind one of ours ("ScopeLocked"), empty when there is none."""
    return _code(error.__cause__)


def status_of(error: BaseException) -> int:
    """The HTTP status of the refusal behind one of ours, 0 when there is none."""
    return getattr(error.__cause__, "status_code", None) or 0


def _code(error: Any) -> str:
    return str(getattr(getattr(error, "error", None), "code", None) or "")


def _first_line(error: Exception) -> str:
    """The error's own first words, without its class and line breaks."""
    inner = getattr(getattr(error, "error", None), "message", None)
    text = str(inner or getattr(error, "message", None) or error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return cut_at_word(lines[0] if lines else type(error).__name__, 400).rstrip(".;")


def _credentials_tried(error: Exception) -> str:
    """Which of a chain's log-ins were tried, for a chain's own first words name none."""
    credentials = re.findall(r"^\s+(\w+)Credential: ", str(error), re.MULTILINE)
    return f" (tried: {', '.join(dict.fromkeys(credentials))})" if credentials else ""


def _tls_reason(message: str) -> str:
    reason = re.search(r"(certificate verify failed[^(\"']*|[Hh]ostname mismatch[^(\"']*|wrong version number)", message)
    return reason[1].strip() if reason else cut_at_word(message, 200)
