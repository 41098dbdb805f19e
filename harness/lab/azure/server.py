"""The HTTPS server: one thread a connection, every request written down, every fault that is switched on met."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import sys
import threading
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from harness.core.errors import HarnessError
from harness.lab.azure import control_endpoint, url_routing
from harness.lab.azure.relayed_socket import read_caller
from harness.lab.azure.state import api_faults, request_body
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.azure.state.http_types import Answer, Problem, Request
from harness.lab.azure.state.oauth_tokens import challenge, cloud_metadata, revocation_challenge
from harness.lab.azure.threaded_http_server import ListenerServer
from harness.lab.network.platform_endpoints import RESOURCE_MANAGER_NAME

IDLE_TIMEOUT_S = 300.0  # a connection that says nothing for so long is closed
MAX_BODY_BYTES = 4 << 20
PARAMETERS = {name.lower(): name for name in ("api-version", "skipShutdown", "$filter", "$expand", "$top")}  # their names are without case
NEVER = threading.Event()  # to wait on for a time


class Dropped(Exception):
    """The connection is to break without an answer."""


class Handler(BaseHTTPRequestHandler):
    """One connection of the HTTPS server: requests one after the other until the client closes or is silent for IDLE_TIMEOUT_S seconds."""

    protocol_version = "HTTP/1.1"
    server_version = "lkharness-lab-azure"
    sys_version = ""
    timeout = IDLE_TIMEOUT_S
    server: Server

    def setup(self) -> None:
        """The handshake belongs to the connection's own thread: whoever does not shake hands keeps nobody else waiting."""
        self.request.settimeout(IDLE_TIMEOUT_S)
        if self.server.is_relayed:
            read_caller(self.request)
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_GET(self) -> None:
        """Serves one request of any method."""
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def _serve(self) -> None:
        url = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=unquote(url.path),
            query={PARAMETERS.get(k.lower(), k): v for k, v in parse_qsl(url.query, keep_blank_values=True)},
            headers={key.lower(): value for key, value in self.headers.items()},
            body=None,
            base=self.server.base,
        )
        try:
            raw = self._read_body()
        except ValueError as error:
            self.close_connection = True  # where the next request begins is not known
            self._send(request, Problem(400, "InvalidRequestContent", f"The request's body cannot be read: {error}.").answer)
            return
        try:
            answer = self._route(request, raw)
        except Dropped:
            self._break()
            return
        except Problem as problem:
            answer = problem.answer
        except HarnessError as error:  # the lab itself has ended or does not answer
            answer = Problem(500, "InternalServerError", str(error)).answer
        except Exception:
            traceback.print_exc()  # into the stand-in's log
            answer = Problem(500, "InternalServerError", "The lab's stand-in for Azure failed; its log (azure.log) says at what.").answer
        self._send(request, answer)

    def _route(self, request: Request, raw: bytes) -> Answer:
        fabric = self.server.fabric
        if request.path.startswith("/lab/"):  # the lab's own: neither written down nor ever at fault
            request.body = _parse_json(raw)
            return control_endpoint.answer(fabric, request)
        logging_in = not request.path.lower().startswith(("/subscriptions", "/providers"))
        request.body = None if logging_in else _parse_json(raw)
        entry = fabric.record.add_request(request.method, request.path, request.query, request.headers, request.body)
        fault = fabric.faults.meet(request)
        entry["fault"] = fault.kind if fault else None
        try:
            answer = _apply_fault(fabric, request, fault) if fault else None
            if answer is None:
                answer = self._answer_login(request, raw) if logging_in else self._answer_managed(request)
        except Problem as problem:
            answer = problem.answer
        except HarnessError as error:  # the lab itself has ended or does not answer
            answer = Problem(500, "InternalServerError", str(error)).answer
        entry["operation"] = request.operation
        if fault and fault.kind == "slow":
            NEVER.wait(fault.seconds)
        if fault and fault.kind == "dropped-after":
            raise Dropped
        if fault and fault.kind == "happens-unavailable":
            answer = _unavailable(fault)
        entry["status"] = answer.status
        return answer

    def _answer_login(self, request: Request, raw: bytes) -> Answer:
        tenant, _, path_below = request.path.strip("/").partition("/")
        if request.method == "GET" and request.path.strip("/").lower() == "metadata/endpoints":
            return Answer(200, cloud_metadata(request.base, request.query.get("api-version", "")))
        if request.method == "GET" and path_below.endswith("discovery/v2.0/keys"):
            return Answer(200, {"keys": []})  # its tokens are signed with nothing
        if request.method == "GET" and path_below.endswith(".well-known/openid-configuration"):
            return self.server.fabric.tokens.discovery(request.base, tenant)
        if request.method == "POST" and path_below in ("oauth2/v2.0/token", "oauth2/token"):
            return self.server.fabric.tokens.hand_out(raw, request.base)
        raise Problem(404, "NotFound", f"The lab's stand-in for Azure does not know {request.path}.")

    def _answer_managed(self, request: Request) -> Answer:
        self.server.fabric.tokens.check(request)
        as_get = replace(request, method="GET") if request.method == "HEAD" else request  # is it there?
        return url_routing.answer(self.server.fabric, as_get)

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(self._chunks())
        return request_body.read(self.headers, self.rfile, MAX_BODY_BYTES)

    def _chunks(self) -> Iterator[bytes]:
        """A body of unknown length, in chunks (RFC 9112, 7.1). Raises ValueError for what is none, or longer than MAX_BODY_BYTES."""
        bytes_left = MAX_BODY_BYTES
        while length := int(self.rfile.readline(1024).split(b";")[0], 16):
            bytes_left -= length
            if length < 0 or bytes_left < 0:
                raise ValueError(f"a body of more than {MAX_BODY_BYTES} bytes")
            yield self.rfile.read(length)
            self.rfile.readline(16)
        while self.rfile.readline(1024).strip():
            pass  # trailers

    def _send(self, request: Request, answer: Answer) -> None:
        if request.method == "HEAD" and answer.status == 200:
            answer = Answer(204, None, answer.headers)
        body = b"" if answer.body is None or request.method == "HEAD" else json.dumps(answer.body).encode()
        id = str(uuid.uuid4())
        self.send_response(answer.status)
        for key, value in {
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-cache",
            "x-ms-request-id": request.operation or id,
            "x-ms-correlation-request-id": request.headers.get("x-ms-correlation-request-id", id),
            **answer.headers,
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def _break(self) -> None:
        """Reset the connection under the client's hands."""
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may be gone already
            plain = socket.socket(fileno=self.connection.detach())
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            plain.close()

    def finish(self) -> None:
        """Closes the connection; one that broke has nothing left to flush."""
        with contextlib.suppress(OSError, ValueError):  # nothing is left to flush on a connection that broke
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """What is worth knowing is in the record."""


def _parse_json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None  # whoever needs a body says that there is none


def _apply_fault(fabric: AzureState, request: Request, fault: api_faults.Fault) -> Answer | None:
    """What a fault answers in the place of the API, or None when the request goes on. Raises Problem or Dropped."""
    if fault.kind in api_faults.FATES:
        request.fate = fault.kind
    elif fault.kind == "throttled":
        message = "The request was throttled: too many requests."
        raise Problem(429, "TooManyRequests", message, {"Retry-After": str(fault.retry_after)})
    elif fault.kind == "unavailable":
        return _unavailable(fault)
    elif fault.kind == "dropped-before":
        raise Dropped
    elif fault.kind == "token-expired":
        raise challenge(request, "ExpiredAuthenticationToken", "The access token expiry UTC time is in the past.")
    elif fault.kind == "token-revoked":
        fabric.tokens.revoke_all()
        raise revocation_challenge(request)
    elif fault.kind == "forbidden":
        message = f"The client does not have authorization to perform this action over scope '{request.path}' or the scope is invalid."
        raise Problem(403, "AuthorizationFailed", message)
    return None


def _unavailable(fault: api_faults.Fault) -> Answer:
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
    return Problem(503, "ServerTimeout", "The server could not process the request right now; try again.", headers).answer


class Server(ListenerServer):
    """Serves one lab's Azure on a listening socket that was made before: of a port that the cluster file names, or of the lab's relay."""

    def __init__(self, listener: socket.socket, folder: Path, fabric: AzureState) -> None:
        super().__init__(listener, Handler)
        self.is_relayed = listener.family == socket.AF_UNIX
        self.base = f"https://{RESOURCE_MANAGER_NAME}" if self.is_relayed else f"https://127.0.0.1:{listener.getsockname()[1]}"
        self.fabric = fabric
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(folder / "server.pem")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left or never shook hands is its own affair; anything else is written to the stand-in's log."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
