"""A request and an answer of the management API, and its errors in their own format."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.lab.azure.state.azure_state import AzureState


@dataclass
class Request:
    """One request as it came in. `injected_outcome` is what a fault makes of the operation that it starts
    (harness.lab.azure.state.api_faults)."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    base: str  # https://127.0.0.1:PORT, for the addresses that answers hold
    injected_outcome: str | None = None
    operation: str | None = None  # the id of the operation that it started, for the record


@dataclass
class Answer:
    """A status code, a body that is sent as JSON (None: no body), and headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Problem(Exception):
    """An error of the management API: a status, a code and a message."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """The error in the resource manager's format, without its envelope."""
        return {"code": self.code, "message": str(self)}

    @property
    def answer(self) -> Answer:
        """The error as an answer."""
        return Answer(self.status, {"error": self.body}, self.headers)


def not_found(kind: str, name: str, group: str) -> Problem:
    """The 404 that Azure gives for a resource that does not exist, with its wording."""
    return Problem(404, "ResourceNotFound", f"The Resource '{kind}/{name}' under resource group '{group}' was not found.")


def lab_cannot(action: str) -> Problem:
    """Azure could, and the lab cannot: said in so many words, rather than pretended."""
    return Problem(400, "LabCannot", f"The lab's stand-in for Azure cannot do this: {action}")


Handler = Callable[..., Answer]


class Routes:
    """Paths with `{parts}`, compared without regard to case as ARM does, and what answers them."""

    def __init__(self, *routes: tuple[str, str, Handler]) -> None:
        self._routes = [(method, re.compile(self._pattern(path), re.IGNORECASE), handler) for method, path, handler in routes]

    @staticmethod
    def _pattern(path: str) -> str:
        return "^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?$"

    def answer(self, fabric: AzureState, request: Request) -> Answer:
        """Raises Problem."""
        for method, pattern, handler in self._routes:
            if (match := pattern.match(request.path)) and method == request.method:
                return handler(fabric, request, **match.groupdict())
        if request.method not in ("GET", "HEAD"):
            raise lab_cannot(f"{request.method} of {request.path}")
        raise Problem(404, "InvalidResourceType", f"The lab's stand-in for Azure does not know {request.path}.")


def with_etags(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource with an etag that changes whenever anything of it does."""
    digest = hashlib.md5(json.dumps(resource, sort_keys=True).encode(), usedforsecurity=False).digest()
    return {**resource, "etag": f'W/"{uuid.UUID(bytes=digest)}"'}


def check_etag(request: Request, resource: dict[str, Any]) -> None:
    """Raises Problem when the request was made for another version of the resource."""
    expected_etag = request.headers.get("if-match", "*")
    if expected_etag != "*" and expected_etag != resource.get("etag"):
        raise Problem(412, "PreconditionFailed", "The resource has been changed since the version that the request is for (If-Match).")
