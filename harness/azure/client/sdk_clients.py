"""The Azure packages' clients for one cluster, made on first use, with every limit set and every request told to whoever listens.

Traps that this follows (facts libraries.md): the default poll interval is 30 s; reads are retried within bounds, and a Retry-After
that is longer than the harness waits is an error; whoever triggers something passes `retry_total=0` with the call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.azure.client import api_versions, credentials, error_mapping, polling
from harness.azure.client.retry_policy import make_bounded_retry
from harness.config.cluster_config import Azure
from harness.core.text.host_text import cut_at_word

if TYPE_CHECKING:
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.core import ARMPipelineClient
    from azure.mgmt.network import NetworkManagementClient


@dataclass(frozen=True)
class Call:
    """One request as it went over the wire. `began` is monotonic; `status` is None when no answer came, and `error` says why."""

    method: str
    path: str
    began: float
    took_s: float
    status: int | None
    request_id: str | None = None  # x-ms-request-id, which Azure's support asks for
    operation: str | None = None  # the URL of the long-running operation that it started
    error: str | None = None

    @property
    def answered(self) -> str:
        """What came of it, in words, with the operation's id."""
        if self.status is None:
            return f"no answer from Azure ({self.error})"
        return f"Azure answered {self.status}{self._operation}"

    @property
    def _operation(self) -> str:
        return f", operation {urlsplit(self.operation).path.rsplit('/', 1)[-1]}" if self.operation else ""

    def __str__(self) -> str:
        result = f"{self.status}" if self.status is not None else f"no answer ({self.error})"
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.method} {self.path}: {result}{request}{self._operation}"


OnRequest = Callable[[Call], None]


class Clients:
    """What talks to Azure. `on_request` is told every request, in the thread that made it."""

    def __init__(self, azure: Azure, on_request: OnRequest | None = None) -> None:
        self.azure = azure
        self._on_request = on_request

    @cached_property
    def credential(self) -> Any:
        """The log-in that all clients share; nothing is asked before the first request."""
        return credentials.Renewable(self.azure)

    def renew(self) -> None:
        """Log in anew, because Azure did not take a token that the credential still thinks good."""
        self.credential.renew()

    @cached_property
    def compute(self) -> ComputeManagementClient:
        """The client for machines; raises HarnessError when Azure's package is missing or cannot be used."""
        with error_mapping.translate_errors("opening Azure's compute API"):
            from azure.mgmt.compute import ComputeManagementClient

            return ComputeManagementClient(self.credential, self.azure.subscription, **self._settings())

    @cached_property
    def network(self) -> NetworkManagementClient:
        """The client for networks; raises HarnessError likewise."""
        with error_mapping.translate_errors("opening Azure's network API"):
            from azure.mgmt.network import NetworkManagementClient

            return NetworkManagementClient(self.credential, self.azure.subscription, **self._settings())

    @cached_property
    def resources(self) -> ARMPipelineClient:
        """Any resource by its id: `send_request(HttpRequest("GET", id + "?api-version=…"))`."""
        with error_mapping.translate_errors("opening Azure's resource manager"):
            from azure.core.pipeline import policies
            from azure.mgmt.core import ARMPipelineClient
            from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy, ARMHttpLoggingPolicy

            settings = self._settings()
            chain = [
                policies.RequestIdPolicy(),
                policies.UserAgentPolicy("lkharness"),
                policies.ContentDecodePolicy(),
                policies.RedirectPolicy(),
                settings["retry_policy"],
                ARMChallengeAuthenticationPolicy(self.credential, *settings["credential_scopes"]),
                *([_make_request_log_policy(self._on_request)] if self._on_request else []),
                ARMHttpLoggingPolicy(),
                policies.SensitiveHeaderCleanupPolicy(),  # behind the log-in's: a redirect to another host takes no token along
            ]
            limits = credentials.connection_options(self.azure)
            per_call = settings.get("per_call_policies", [])
            return ARMPipelineClient(settings["base_url"], policies=[*per_call, *chain], **limits)

    @cached_property
    def endpoint(self) -> tuple[str, str]:
        """The management API's URL without a slash at its end, and the scope of tokens for it."""
        from azure.core import AzureClouds
        from azure.mgmt.core.tools import get_arm_endpoints

        clouds = {
            "public": AzureClouds.AZURE_PUBLIC_CLOUD,
            "china": AzureClouds.AZURE_CHINA_CLOUD,
            "government": AzureClouds.AZURE_US_GOVERNMENT,
        }
        cloud_endpoints = get_arm_endpoints(clouds[self.azure.cloud])
        scope = f"{self.azure.audience}/.default" if self.azure.audience else cloud_endpoints["credential_scopes"][0]
        return self.azure.resource_manager or cloud_endpoints["resource_manager"].rstrip("/"), scope

    def close(self) -> None:
        """Closes every client that was made."""
        for name in ("compute", "network", "resources", "credential"):
            if name in self.__dict__ and hasattr(self.__dict__[name], "close"):
                self.__dict__[name].close()

    def _settings(self) -> dict[str, Any]:
        url, scope = self.endpoint
        return {
            "base_url": url,
            "credential_scopes": [scope],
            "polling_interval": self.azure.poll_s,
            "retry_policy": make_bounded_retry(),
            "per_call_policies": self._policies(),
            # Behind the log-in's policy, which repeats a request by itself when Azure challenges its token.
            **({"custom_hook_policy": _make_request_log_policy(self._on_request)} if self._on_request else {}),
            **credentials.connection_options(self.azure),
        }

    def _policies(self) -> list[Any]:
        versions = self.azure.api_versions
        return [polling.poll_delay_policy(self.azure.poll_s), *([api_versions.make_version_policy(versions)] if versions else [])]


def make_clients(azure: Azure, on_request: OnRequest | None = None) -> Clients:
    """The clients for a cluster file's `[azure]`; nothing is imported or sent before one of them is used."""
    logging.getLogger("azure").addHandler(logging.NullHandler())  # what it would print is in the errors that it raises
    return Clients(azure, on_request)


def _make_request_log_policy(on_request: OnRequest) -> Any:
    """Tells every request as it went over the wire, retries included."""
    from azure.core.pipeline.policies import HTTPPolicy

    class RequestLogPolicy(HTTPPolicy):
        def send(self, request: Any) -> Any:
            started_at, http_request = time.monotonic(), request.http_request
            path = urlsplit(http_request.url).path

            def report(status: int | None, request_id: str | None = None, operation: str | None = None, error: str | None = None) -> None:
                took_s = time.monotonic() - started_at
                on_request(Call(http_request.method, path, started_at, took_s, status, request_id, operation, error))

            try:
                response = self.next.send(request)
            except Exception as error:
                report(None, error=cut_at_word(str(error).splitlines()[0], 200))
                raise
            headers = response.http_response.headers
            operation = headers.get("Azure-AsyncOperation") or headers.get("Location")
            report(response.http_response.status_code, headers.get("x-ms-request-id"), operation)
            return response

    return RequestLogPolicy()
