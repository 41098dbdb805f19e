"""A small web server in the lab that stands for IIS; it is not IIS.

`GET /` says which node answers and since when (JSON, and the header X-Served-By); `GET /healthz` has the status code that the
status file holds at that moment (200 without one), for HTTP health probes. Connections are kept alive; HEAD works too. It speaks TLS
with --certificate, answers one Host only with --site, and 503 in the name of Windows' HTTP.sys while the file of --stopped is there, as
with a stopped application pool.

Example: python -m harness.lab.services.http_server --port 80 --bind 0.0.0.0 --node lknode01 --status-file /run/healthz
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path
from typing import BinaryIO, NamedTuple

from harness.lab.services import service_base

IDLE_TIMEOUT_S = 120.0  # IIS's default connection timeout
MAX_LINE_LENGTH = 8192
MAX_HEADERS = 100
SERVER = "lkharness-lab (stands for IIS)"
KERNEL = "Microsoft-HTTPAPI/2.0 (the lab's; stands for HTTP.sys)"  # facts IIS-06: that header tells who answered
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class BadRequest(Exception):
    """The request cannot be understood; it is answered with 400 and the connection is closed."""


def converse(service: service_base.Service, plain: socket.socket, site: Site) -> None:
    """Answer requests on one connection until the peer closes it, asks for that, or sends what is not HTTP."""
    plain.settimeout(IDLE_TIMEOUT_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        connection = site.context.wrap_socket(plain, server_side=True) if site.context else plain
    except ssl.SSLError as error:
        service.log(f"TLS was broken off: {error.reason}")
        return
    with connection.makefile("rb") as stream:
        while True:
            try:
                request = read_request(stream)
            except BadRequest as fault:
                connection.sendall(response(service, 400, {"error": str(fault)}, keep=False))
                return
            if request is None:
                return
            method, path, keep, host = request
            refused = site.refuses(host)
            status, body = refused or answer(service, method, path, site.status_file)
            sender = KERNEL if refused else SERVER
            connection.sendall(response(service, status, body, keep=keep, without_body=method == "HEAD", sender=sender))
            if not keep:
                return


class Site(NamedTuple):
    """What is served, and to whom."""

    status_file: Path | None = None
    context: ssl.SSLContext | None = None
    name: str = ""
    stopped: Path | None = None

    def refuses(self, host: str) -> tuple[int, dict[str, object]] | None:
        """What HTTP.sys answers by itself: 503 for a stopped pool, 404 for a host that no binding fits."""
        if self.stopped and self.stopped.exists():
            return 503, {"error": "the application pool is stopped"}
        if self.name and host.rpartition(":")[0] != self.name and host != self.name:
            return 404, {"error": "no site has that host"}
        return None


def read_request(stream: BinaryIO) -> tuple[str, str, bool, str] | None:
    """Method, path, whether to keep the connection, and the host asked for; None when the peer closed it between two requests."""
    # As IIS does: refuse what cannot be HTTP at its first byte instead of waiting for an end of line that never comes.
    first_byte = stream.peek(1)[:1]  # type: ignore[attr-defined]  # makefile("rb") gives a BufferedReader
    if not first_byte:
        return None
    if not first_byte.isalpha() and first_byte not in b"\r\n":
        raise BadRequest("this is a web server; what came is not HTTP")
    line = _line(stream) or _line(stream)  # one empty line before a request is allowed
    fields = line.split()
    if len(fields) != 3 or fields[2] not in ("HTTP/1.0", "HTTP/1.1") or not fields[1].startswith(("/", "http://")):
        raise BadRequest(f"not an HTTP request line: {line[:80]!r}")
    headers = dict(_header(text) for text in _headers(stream))
    if fields[2] == "HTTP/1.1" and "host" not in headers:
        raise BadRequest("an HTTP/1.1 request needs a Host header")
    connection_header = headers.get("connection", "").lower()
    keep = connection_header == "keep-alive" if fields[2] == "HTTP/1.0" else connection_header != "close"
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    return (
        fields[0],
        fields[1].split("?")[0],
        keep and not has_body,
        headers.get("host", ""),
    )  # a body is not read: it must not look like the next request


def _headers(stream: BinaryIO) -> list[str]:
    lines = []
    while line := _line(stream):
        lines.append(line)
        if len(lines) > MAX_HEADERS:
            raise BadRequest(f"more than {MAX_HEADERS} headers")
    return lines


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise BadRequest(f"not a header: {line[:80]!r}")
    return name.strip().lower(), value.strip()


def _line(stream: BinaryIO) -> str:
    raw = stream.readline(MAX_LINE_LENGTH)
    if not raw.endswith(b"\n"):
        if len(raw) >= MAX_LINE_LENGTH:
            raise BadRequest("a line is too long")
        raise ConnectionError("the peer left in the middle of a request")
    return raw.decode("latin-1").rstrip("\r\n")


def answer(service: service_base.Service, method: str, path: str, status_file: Path | None) -> tuple[int, dict[str, object]]:
    """The status and the JSON body for one request."""
    identity: dict[str, object] = {"node": service.node, "started": service.started}
    if method not in ("GET", "HEAD"):
        return 405, {"error": f"{method} is not allowed", **identity}
    if path == "/":
        return 200, identity
    if path == "/healthz":
        status, reason = health(status_file)
        return status, {**({"error": reason} if reason else {}), **identity, "status": status}
    return 404, {"error": f"there is nothing at {path}", **identity}


def health(status_file: Path | None) -> tuple[int, str]:
    """The status code that the file holds now, and what is wrong when it holds none."""
    if status_file is None:
        return 200, ""
    try:
        content = status_file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 200, ""
    except (OSError, UnicodeDecodeError) as error:
        return 500, f"{status_file} cannot be read: {error}"
    if content.isdigit() and 200 <= int(content) <= 599:
        return int(content), ""
    return 500, f"{status_file} must hold a status code from 200 to 599, not {content[:20]!r}"


def response(
    service: service_base.Service, status: int, body: dict[str, object], *, keep: bool, without_body: bool = False, sender: str = SERVER
) -> bytes:
    """The bytes of a response, headers included."""
    content = json.dumps(body).encode() + b"\n"
    lines = [
        f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}",
        f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}",
        f"Server: {sender}",
        *([f"X-Served-By: {service.node}"] if sender == SERVER else []),
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Cache-Control: no-store",
        f"Connection: {'keep-alive' if keep else 'close'}",
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if without_body else content)


def main(arguments: list[str] | None = None) -> None:
    """Serves until it is ended by a signal."""
    assert __doc__
    parser = service_base.options("http_server", __doc__, port=80)
    parser.add_argument("--status-file", type=Path, metavar="FILE", help="holds the status code of /healthz")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="PEM with key and certificate: speak TLS")
    parser.add_argument("--site", default="", metavar="NAME", help="serve only this Host")
    parser.add_argument("--stopped", type=Path, metavar="FILE", help="while it is there, the application pool is stopped")
    options = parser.parse_args(arguments)
    service_base.send_log_to(options.log)
    service_base.raise_priority()
    service = service_base.Service("http_server", options.node)
    service.log("a small web server in a lab that stands for IIS; it is not IIS")
    service_base.exit_on_sigterm(service)
    listener = service_base.listen(service, options.bind, options.port)
    service.log("listening on {}:{}".format(*listener.getsockname()))
    service_base.say_ready()
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
    site = Site(options.status_file, context, options.site, options.stopped)
    service_base.serve(service, listener, lambda service, connection: converse(service, connection, site))


if __name__ == "__main__":
    main()
