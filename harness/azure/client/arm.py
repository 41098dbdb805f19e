"""Any resource of Azure by its id, as JSON: for what the big packages do not have (tags, groups, deployments)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from harness.azure.client import error_mapping
from harness.core.errors import Unusable

if TYPE_CHECKING:
    from harness.azure.client.sdk_clients import Clients

RESOURCES = "2021-04-01"  # the api-version of groups, tags, resource lists and deployments


class Arm:
    """Requests under one subscription. Raises what `translate_errors` makes of a refusal."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.subscription = f"/subscriptions/{clients.azure.subscription}"
        self.group = f"{self.subscription}/resourceGroups/{clients.azure.resource_group}"

    def get(self, path: str, doing: str, *, api: str = RESOURCES, **query: str) -> dict[str, Any]:
        """The resource at that path as JSON; `doing` says in an error what was tried. Raises NotThere, and HarnessError for any other
        refusal.
        """
        return self._send("GET", path, doing, api, None, query)

    def listed(self, path: str, doing: str, *, api: str = RESOURCES, **query: str) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        page = self.get(path, doing, api=api, **query)
        while True:
            yield from page.get("value", [])
            if not (link := page.get("nextLink")):
                return
            page = self._json_answer("GET", link, doing, None)

    def patch(self, path: str, body: dict[str, Any], doing: str, *, api: str = RESOURCES) -> dict[str, Any]:
        """Changes parts of a resource and returns it; raises as `get` does."""
        return self._send("PATCH", path, doing, api, body, {})

    def put(self, path: str, body: dict[str, Any], doing: str, *, api: str = RESOURCES) -> dict[str, Any]:
        """What is wanted, as often as it is said."""
        return self._send("PUT", path, doing, api, body, {})

    def makes(self, path: str, body: dict[str, Any], doing: str, *, api: str = RESOURCES) -> bool:
        """PUT; was it made by that? False when it changed what was there."""
        return bool(self._send_request("PUT", self._url(path, api, {}), doing, body).status_code == 201)

    def post(self, path: str, doing: str, *, api: str = RESOURCES) -> None:
        """Asks for an action without a body, such as a cancellation; raises as `get` does."""
        self._send_request("POST", self._url(path, api, {}), doing, None)

    def exists(self, path: str, doing: str, *, api: str = RESOURCES) -> bool:
        """Whether there is such a resource; raises HarnessError when that could not be asked."""
        try:
            self.get(path, doing, api=api)
        except error_mapping.NotThere:
            return False
        return True

    def begin(self, method: str, path: str, body: dict[str, Any] | None, doing: str, *, api: str = RESOURCES) -> Any:
        """Start a long-running operation; an azure.core LROPoller, which polls in a thread of its own."""
        with error_mapping.translate_errors(doing):
            from azure.core.polling import LROPoller
            from azure.mgmt.core.polling.arm_polling import ARMPolling

            client = self.clients.resources
            response = self._send_request(method, self._url(path, api, {}), doing, body, pipeline=True)
            polling: Any = ARMPolling(self.clients.azure.poll_s)
            return LROPoller(client, response, lambda answer: answer.http_response, polling)

    @staticmethod
    def result(poller: Any, doing: str) -> Any:
        """What an operation that is over came to."""
        with error_mapping.translate_errors(doing):
            return poller.result()

    def _send(self, method: str, path: str, doing: str, api: str, body: Any, query: dict[str, str]) -> dict[str, Any]:
        return self._json_answer(method, self._url(path, api, query), doing, body)

    def _json_answer(self, method: str, url: str, doing: str, body: Any) -> dict[str, Any]:
        """What came back, as JSON. Raises Unusable for what no Azure says, such as a proxy's page."""
        response = self._send_request(method, url, doing, body)
        try:
            body_json = response.json()
        except ValueError as error:
            raise Unusable(_no_azure(doing, response)) from error
        if not isinstance(body_json, dict):
            raise Unusable(_no_azure(doing, response))
        return body_json

    def _url(self, path: str, api: str, query: dict[str, str]) -> str:
        parameters = {"api-version": api, **{f"${name}": value for name, value in query.items()}}
        return f"{self.clients.endpoint[0]}{quote(path, safe='/')}?{urlencode(parameters)}"

    def _send_request(self, method: str, url: str, doing: str, body: Any, *, pipeline: bool = False) -> Any:
        with error_mapping.translate_errors(doing):
            from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
            from azure.core.rest import HttpRequest
            from azure.mgmt.core.exceptions import ARMErrorFormat

            request = HttpRequest(method, url, json=body)
            options: dict[str, Any] = {"_return_pipeline_response": True} if pipeline else {}
            response = self.clients.resources.send_request(request, **options)
            http_response = response.http_response if pipeline else response
            if http_response.status_code >= 400:
                http_response.read()
                error_class = ResourceNotFoundError if http_response.status_code == 404 else HttpResponseError
                raise error_class(response=http_response, error_format=ARMErrorFormat)
            return response


def _no_azure(doing: str, response: Any) -> str:
    content_type = response.headers.get("Content-Type") or "of no kind"
    return (
        f"{doing}: what answered is not Azure: {response.status_code} with a body ({content_type}) that is no JSON object; "
        "see whether a proxy or a log-in page is on the way, and resource_manager in [azure]"
    )
