"""The stand-in's own endpoint, /lab/…: faults, misconfigurations and the record of requests. Azure has no such thing.

Whoever has the lab's client secret may use it (`Authorization: Lab SECRET`).
"""

from __future__ import annotations

from typing import Any

from harness.lab.azure.state import api_faults, misconfigurations
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.azure.state.http_types import Answer, Problem, Request

FORMER_NAMES = {"wrongs": "misconfigurations"}
PATHS = "/lab/faults, /lab/misconfigurations, /lab/conditions, /lab/events, /lab/requests, /lab/pace and /lab/operations"


def answer(fabric: AzureState, request: Request) -> Answer:
    """Raises Problem."""
    if not fabric.tokens.is_secret(request.headers.get("authorization", "").removeprefix("Lab ")):
        raise Problem(401, "AuthenticationFailed", "This endpoint wants `Authorization: Lab SECRET`, the lab's client secret.")
    collection = request.path.removeprefix("/lab/").strip("/")
    collection = FORMER_NAMES.get(collection, collection)
    try:
        return Answer(200, _perform(fabric, collection, request.method, request.body))
    except ValueError as error:
        raise Problem(400, "BadRequest", str(error)) from error


def _perform(fabric: AzureState, collection: str, method: str, body: Any) -> Any:
    match collection, method:
        case "faults", "GET":
            return {"on": fabric.faults.list(), "kinds": api_faults.KINDS}
        case "faults", "POST":
            return vars(fabric.faults.add(body or {}))
        case "faults", "DELETE":
            return fabric.faults.clear()
        case "misconfigurations", "GET":
            return {"on": fabric.misconfigurations.switched_on(), "kinds": misconfigurations.sentences()}
        case "misconfigurations", "POST":
            return fabric.misconfigurations.switch_on(fabric, str((body or {}).get("kind")))
        case "misconfigurations", "DELETE":
            return fabric.misconfigurations.clear(fabric)
        case "conditions", "POST":
            return fabric.conditions.set(body or {})
        case "conditions", "DELETE":
            return fabric.conditions.clear()
        case "events", "GET":
            return fabric.conditions.events()
        case "events", "POST":
            return fabric.conditions.approve(body or {})
        case "requests", "GET":
            return fabric.record.list()
        case "requests", "DELETE":
            return fabric.record.clear()
        case "operations", "GET":
            fields = ("id", "what", "subject", "status", "began", "ended", "error")
            return [{key: getattr(o, key) for key in fields} for o in fabric.operations.list()]
        case "pace", "POST":
            return _pace(fabric, body or {})
    raise Problem(404, "NotFound", f"There is no {method} {collection!r} here; there are {PATHS}.")


def _pace(fabric: AzureState, settings: dict[str, Any]) -> dict[str, float]:
    """`takes_s`: the least that an operation takes; `retry_after_s`: what callers are told to wait; `token_s`: a new token's life."""
    operations, tokens = fabric.operations, fabric.tokens
    operations.takes_s = float(settings.get("takes_s", operations.takes_s))
    operations.retry_after_s = int(settings.get("retry_after_s", operations.retry_after_s))
    tokens.lasts_s = float(settings.get("token_s", tokens.lasts_s))
    return {"takes_s": operations.takes_s, "retry_after_s": operations.retry_after_s, "token_s": tokens.lasts_s}
