"""The instance metadata service, as a machine meets it at http://169.254.169.254.

After Microsoft's documents "Azure Instance Metadata Service", "Scheduled Events for Linux VMs" and "How managed identities for Azure
resources work with Azure virtual machines"; never compared with a live one.
"""

from __future__ import annotations

import json
import socket
import traceback
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from harness.core.errors import HarnessError
from harness.lab.azure.relayed_socket import read_caller
from harness.lab.azure.resources import instance_metadata
from harness.lab.azure.resources.instance_metadata import Refusal
from harness.lab.azure.state import request_body
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.azure.threaded_http_server import ListenerServer

IDLE_TIMEOUT_S = 60.0
MAX_BODY_BYTES = 1 << 16
VERSIONS = ("2017-08-01", "2018-02-01", "2019-03-11", "2020-07-01", "2020-09-01", "2021-02-01", "2021-08-01", "2021-12-13")


class MetadataHandler(BaseHTTPRequestHandler):
    """One machine's connection."""

    protocol_version = "HTTP/1.1"
    server_version = "lkharness-lab-metadata"
    sys_version = ""
    timeout = IDLE_TIMEOUT_S
    server: MetadataServer

    def setup(self) -> None:
        """Who asks is known by the address that its packets came from, as on Azure; nothing that it says itself counts."""
        self.request.settimeout(IDLE_TIMEOUT_S)
        self.caller = read_caller(self.request)
        super().setup()

    def do_GET(self) -> None:
        """Serves one question."""
        try:
            self._send(200, self._answer())
        except Refusal as refusal:
            self._send(refusal.status, refusal.body)
        except HarnessError as error:  # the lab itself has ended or does not answer
            self._send(500, {"error": str(error)})
        except Exception:
            traceback.print_exc()  # into the stand-in's log
            self._send(500, {"error": "The lab's stand-in for the metadata service failed; its log (azure.log) says at what."})

    do_POST = do_GET

    def _answer(self) -> Any:
        url = urlsplit(self.path)
        path, query = unquote(url.path).rstrip("/"), {k.lower(): v for k, v in parse_qsl(url.query, keep_blank_values=True)}
        try:
            body = request_body.read(self.headers, self.rfile, MAX_BODY_BYTES)
        except ValueError as error:
            self.close_connection = True  # where the next request begins is not known
            raise Refusal(400, f"Bad request. The body cannot be read: {error}") from None
        if self.headers.get("Metadata", "").lower() != "true":
            raise Refusal(400, "Bad request. Required metadata header not specified")
        if self.headers.get("X-Forwarded-For") is not None:
            raise Refusal(400, "Bad request. A request that was forwarded is not answered")
        if path == "/metadata/versions":
            return {"apiVersions": list(VERSIONS)}
        if "api-version" not in query:
            raise Refusal(400, "Bad request. api-version was not specified in the request", **{"newest-versions": list(VERSIONS[-3:])})
        state = self.server.state
        host = instance_metadata.host_at(state, self.caller)
        kind, _, path_below = path.removeprefix("/metadata/").partition("/")
        match kind, self.command:
            case "instance", "GET":
                return instance_metadata.part(instance_metadata.instance(state, host), path_below, text=query.get("format") == "text")
            case "scheduledevents", "GET":
                return state.conditions.events()
            case "scheduledevents", "POST":
                state.conditions.approve(_object(body))
                return ""
            case "identity", "GET" if path_below == "oauth2/token":
                return instance_metadata.token(state, host, query)
        raise Refusal(404, "Not found")

    def _send(self, status: int, answer: Any) -> None:
        text = isinstance(answer, str)
        body = answer.encode() if text else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if text else "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        """For the log, which is silent."""
        return self.caller

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: machines ask every few seconds."""


class MetadataServer(ListenerServer):
    """Serves the machines of one lab on the relay's socket."""

    def __init__(self, listener: socket.socket, state: AzureState) -> None:
        super().__init__(listener, MetadataHandler)
        self.state = state

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A machine that left is its own affair."""


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Refusal(400, "Bad request. The body is no JSON object")
    return content
