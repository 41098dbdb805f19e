"""The requests that the stand-in for deployments takes over HTTPS, and which part of it answers each."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from arm_answers import SUBSCRIPTION, error_body, has_succeeded, has_tag, listed_body

from harness.azure.provision.creation_record import kind_of

if TYPE_CHECKING:
    from deployments import Deployments


class RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet
    disable_nagle_algorithm = True
    server: Deployments

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path).rstrip("/"), dict(parse_qsl(parts.query))
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "/oauth2/" in path or "openid" in path:
            return self._say(*self._login(path))
        self.server.asked.append((self.command, path))
        body = json.loads(raw) if raw else None
        self._say(*self._answer(path, query, body))

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve

    def _login(self, path: str) -> tuple[int, Any]:
        base = self.server.url
        if path.endswith("/token"):
            return 200, {"token_type": "Bearer", "expires_in": 3600, "access_token": "a-token"}
        tenant = path.split("/")[1]
        return 200, {
            "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
            "issuer": f"{base}/{tenant}/v2.0",
        }

    def _answer(self, path: str, query: dict[str, str], body: Any) -> tuple[int | None, Any]:
        server, key = self.server, path.lower()
        if (said := server.besides(self.command, path, body)) is not None:
            return said
        if server.read_only and self.command != "GET":
            return 403, error_body(
                "AuthorizationFailed", "The client does not have authorization to perform action 'a/write' over scope 's'."
            )
        if server._fresh and "/resourcegroups/" in key:
            server._fresh -= 1
            return 404, error_body("ResourceGroupNotFound", f"Resource group '{path.split('/')[4]}' could not be found.")
        if (said := region_answer(server, key)) is not None:
            return 200, said
        if self.command == "DELETE":
            return server.delete(path)
        if key.endswith("/runcommand"):
            mark = re.search(r"'begin ([0-9a-f]+)'", "\n".join(body["script"]))
            out = f"begin {mark[1]}\n{server.says(path.split('/')[-2])}\nend {mark[1]} 0\n" if mark else ""
            return 200, {"value": [{"code": "ComponentStatus/StdOut/succeeded", "message": out}]}
        if key.endswith("/cancel"):
            return server.cancel(key.removesuffix("/cancel"))
        if found := re.fullmatch(r"(.*/deployments/[^/]+)(/operations)?", key):
            if self.command == "PUT":
                return server.put(path, body)
            deployment = server.deployments.get(found[1])
            if deployment is None:
                return 404, error_body("DeploymentNotFound", "no such deployment")
            if found[2]:
                return 200, {"value": deployment["operations"]}
            server.looks += 1
            if said := server.on_look(server.looks):
                return said
            server.look(deployment)
            made = [{"id": o["properties"]["targetResource"]["id"]} for o in deployment["operations"] if has_succeeded(o)]
            ended = {"outputResources": made} if deployment["state"] == "Succeeded" else {}
            properties = {"provisioningState": deployment["state"], "parameters": deployment["parameters"], **ended}
            return 200, {"id": path, "tags": deployment["tags"], "properties": properties}
        if key.endswith("/resources"):
            scope = key.removesuffix("/resources")
            every = [r for r in [*server.resources.values(), *server.ghosts] if r["name"] not in server.unlisted]
            return 200, {"value": [listed_body(r, query) for r in every if r["id"].lower().startswith(scope + "/") and has_tag(r, query)]}
        if found := re.fullmatch(r"(.*/resourcegroups/[^/]+)/providers/([^/]+/[^/]+)", key):
            group, kind = found.groups()
            if kind == "microsoft.resources/deployments":
                return 200, {"value": [{"name": k.rpartition("/")[2]} for k in server.deployments if k.startswith(group + "/")]}
            return 200, {"value": [r for k, r in server.resources.items() if k.startswith(group + "/") and kind_of(k) == kind]}
        if key.endswith("/resourcegroups"):
            return 200, {"value": [g for g in server.groups.values() if has_tag(g, query)]}
        if self.command == "PUT" and re.fullmatch(r"/subscriptions/[^/]+/resourcegroups/[^/]+", key):
            new = key not in server.groups
            server.groups[key] = {"id": path, "name": path.rpartition("/")[2], **body}
            server._fresh = server.fresh_404 if new else 0
            return 201 if new else 200, server.groups[key]
        there = server.groups.get(key) or server.resources.get(key)
        return (200, there) if there else (404, error_body("ResourceGroupNotFound", f"'{path}' could not be found."))

    def _say(self, status: int | None, body: Any) -> None:
        if status is None:
            self.close_connection = True
            return
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if status == 202:
            self.send_header("Location", f"{self.server.url}/subscriptions/{SUBSCRIPTION}/resourcegroups?api-version=2021-04-01")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """The test looks at `asked`."""


def region_answer(server: Deployments, key: str) -> Any:
    """What a region has, and what the subscription may have of it."""
    if key.endswith("/microsoft.compute/skus"):
        return {"value": server.skus}
    if re.search(r"/microsoft.compute/locations/[^/]+/usages$", key):
        return {"value": server.usages}
    if key.endswith("/agreements/current"):
        return {"properties": {"accepted": server.terms_accepted}}
    if found := re.search(r"/vmimage/offers/[^/]+/skus/[^/]+/versions(/[^/]+)?$", key):
        about = {"name": "1.0.0", "location": "westeurope", "id": key}
        return {**about, "properties": {"plan": server.image_plan}} if found[1] else [about]
    return None
