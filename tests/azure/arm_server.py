"""A small HTTPS server that answers as Azure's management API with the payloads of `azure_payloads.Wire`; the real packages talk to it.

No lab is behind it: that is tests/azure_lab. Here answers can be spoiled one by one.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme
from azure_payloads import GROUP, IN_GROUP, SUBSCRIPTION, Wire

HEALTH = {
    "up": 1,
    "down": 1,
    "loadBalancerBackendAddresses": [
        {"ipAddress": "10.20.1.11", "state": "Up", "reason": "Up_Probe_Success"},
        {"ipAddress": "10.20.1.12", "state": "Down", "reason": "Down_Probe_TcpProbeTimeout"},
    ],
}
Answer = tuple[int, dict[str, str], Any]


class ArmServer(ThreadingHTTPServer):
    """`spoiled` maps a part of a path to what is answered there instead; `requests` is what was asked, `METHOD path`."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wire = Wire()
        self.health: dict[str, Any] = HEALTH
        self.spoiled: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.tokens: list[tuple[str, str | None]] = []  # whom each request was for (Host), and the token that it brought
        self.results: dict[str, Any] = {}
        self.never_ends = False
        ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        ca.cert_pem.write_to_path(self.ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.secret_file = folder / "secret"
        self.secret_file.write_text("shh\n")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def table(self, **over: Any) -> dict[str, Any]:
        """The [azure] table that leads here."""
        return {
            "subscription": SUBSCRIPTION,
            "resource_group": GROUP,
            "tenant": "11111111-1111-1111-1111-111111111111",
            "credential": "client-secret",
            "client_id": "22222222-2222-2222-2222-222222222222",
            "client_secret_file": str(self.secret_file),
            "authority": self.url,
            "resource_manager": self.url,
            "ca_file": str(self.ca_file),
            "instance_discovery": False,
            "poll_s": 0.1,
            **over,
        }

    def answer(self, method: str, path: str) -> Answer:
        self.requests.append(f"{method} {path}")
        for part, spoiled in self.spoiled.items():
            if part in f"{method} {path}":
                return spoiled
        if "/oauth2/v2.0/token" in path:
            return 200, {}, {"token_type": "Bearer", "expires_in": 3600, "access_token": "a-token"}
        if path.endswith("/.well-known/openid-configuration"):
            tenant = f"{self.url}/{path.split('/')[1]}"
            ends = {"authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize", "token_endpoint": f"{tenant}/oauth2/v2.0/token"}
            return 200, {}, {**ends, "issuer": f"{tenant}/v2.0"}
        if path.startswith("/results/"):
            return (202, {"Location": self.url + path}, None) if self.never_ends else (200, {}, self.results[path])
        body = self._resource(path.split("/providers/", 1)[-1].lower()) if IN_GROUP.lower() in path.lower() else None
        if body is None:
            return 404, {}, {"error": {"code": "ResourceNotFound", "message": f"The Resource '{path}' was not found."}}
        if method == "POST":
            place = f"/results/{len(self.results)}"
            self.results[place] = body
            return 202, {"Location": self.url + place, "x-ms-request-id": "r-1"}, None
        return 200, {"x-ms-request-id": "r-2"}, body

    def _resource(self, path: str) -> Any:
        """The payload at a path below the resource group's providers; names in lower case."""
        _, kind, *rest = path.split("/")
        wire = self.wire
        name, last = (rest or [""])[0], (rest or [""])[-1]
        if kind == "loadbalancers":
            if last == "health":
                return self.health
            if "backendaddresspools" in rest:
                return next((p for p in wire.balancer["properties"]["backendAddressPools"] if p["name"] == last), None)
            return wire.balancer if name else {"value": [wire.balancer]}
        if kind == "virtualmachines":
            return wire.machines.get(name) if name else {"value": list(wire.machines.values())}
        if kind == "networkinterfaces":
            if last == "effectivenetworksecuritygroups":
                return wire.filters.get(name)
            if last == "effectiveroutetable":
                return wire.routes.get(name)
            return wire.nics.get(name) if name else {"value": list(wire.nics.values())}
        if kind == "virtualnetworks":
            n = last.removeprefix("subnet")
            return {"name": last, "id": f"{IN_GROUP}/{path}", "properties": {"addressPrefix": f"10.20.{n}.0/24"}}
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ArmServer

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_GET

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.tokens.append((str(self.headers.get("Host")), self.headers.get("Authorization")))
        status, headers, body = self.server.answer(self.command, urlsplit(self.path).path)
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def arm(folder: Path) -> Iterator[ArmServer]:
    """The server, for as long as the block runs."""
    with ArmServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
