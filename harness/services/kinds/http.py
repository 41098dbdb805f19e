"""A web server: one GET, the status code that it must have, and a header that names the node."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import re
import ssl
from collections.abc import Mapping
from functools import cache

from harness.config import service_settings
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded
from harness.core.finding import Finding
from harness.hosts.bounded_parse import json_of
from harness.services import certificates
from harness.services.deadline_socket import BoundedSocket, dial, quoted
from harness.services.service_kind import FULL_BYTES, Hello, Identity, NotTheService, ServiceKind, WrongAnswer
from harness.services.tls_channel import SERVER_HELLO, TlsStream, client_hello

TLS_ALERT = re.compile(r"\x15\x03[\x00-\x04]")  # the head of a record of TLS that says what is wrong
NOT_TLS = {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}  # OpenSSL's names for an answer that is no record of TLS
SETTINGS = {"path", "node_header", "status", "host_header", "text", "tls", *certificates.SETTINGS}
MAX_BODY_BYTES = 65_536
TLS_PORT = 443
BACKEND_AWAY = re.compile(rb"HTTP/1\.[01] (50[24])\b *([^\r\n]{0,40})")  # Bad Gateway, Gateway Timeout (RFC 9110)


class Http(ServiceKind):
    """Settings: `path` (default /), `node_header` (default X-Served-By), `status` (default 200), `host_header` for virtual hosts, `text`,
    which must be in the page; `tls` ("yes" at port 443), and with it `ca_file`, `certificate_name` (default: the host asked for) and
    `trust_certificate` ("yes": the certificate is not checked).

    A JSON body with a number `started` tells the start as seconds since the epoch.
    """

    kind = "http"
    usual_ports = (80, 8080, 443)
    bears_silence_s = 120.0  # facts IIS-12

    def usual_settings(self, vip: str, port: int) -> Mapping[str, str]:
        """It is asked for the frontend's address, as its clients do (facts IIS-09: a host that no binding fits is answered with 400 or
        404)."""
        if port == TLS_PORT:
            return {"host_header": vip, "tls": "yes", "certificate_name": vip}
        return {"host_header": vip if port == 80 else f"{vip}:{port}", "certificate_name": vip}

    def who_are_you(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> Identity:
        service_settings.only_known(settings, self.kind, SETTINGS)
        expected = service_settings.whole_number(settings, "status", 200)
        path = settings.get("path", "/")
        headers = {"Connection": "close", "User-Agent": "lkharness"}
        if "host_header" in settings:
            headers["Host"] = settings["host_header"]
        connection = http.client.HTTPConnection(host, port)
        connection.sock = _stream(host, port, settings, deadline)  # bounded as a whole, which http.client's own time-out is not
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read(MAX_BODY_BYTES)
        except http.client.RemoteDisconnected as error:
            raise ConnectionResetError(f"{host}:{port} closed the connection on GET {path} without a word") from error
        except http.client.BadStatusLine as error:
            if TLS_ALERT.match(str(error)):
                raise NotTheService(
                    f"{host}:{port} speaks TLS, and was asked plain HTTP: it answered GET {path} with an alert of TLS; "
                    'give the port that serves HTTP, or say tls = "yes" in its settings'
                ) from error
            raise NotTheService(f"{host}:{port} does not speak HTTP; it said {quoted(str(error).encode('latin-1', 'replace'))}") from error
        except http.client.HTTPException as error:
            raise NotTheService(f"{host}:{port} answered GET {path} with broken HTTP: {type(error).__name__}: {error}") from error
        finally:
            connection.close()
        status_line = f"{response.status} {response.reason}".strip()
        if response.status != expected:
            sender = response.getheader("Server")
            raise WrongAnswer(
                f"{host}:{port} answered GET {path} with {status_line}, not {expected}{_redirect_text(response.getheader('Location'))}; "
                f"{_sender_text(sender, response.status)}; it said {quoted(body)}"
            )
        if (expected_text := settings.get("text", "")) and expected_text.encode() not in body:
            raise WrongAnswer(
                f"{host}:{port} answered GET {path} with {status_line}, and without the text {expected_text!r}; it said {quoted(body)}"
            )
        return Identity(
            kind=self.kind,
            said=status_line,
            node=response.getheader(settings.get("node_header", "X-Served-By")) or None,
            started=_start_time(body),
            facts={"status": str(response.status), "server": response.getheader("Server") or "(not told)"},
        )

    def full_sized(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> str:
        """A GET with a long header of no meaning. Any status is an answer: the question has arrived. Raises WrongAnswer for one that no
        length explains, by which a proxy says that its own backend did not answer."""
        path, host_header = settings.get("path", "/"), settings.get("host_header", "lkharness")
        headers = f"Host: {host_header}\r\nUser-Agent: lkharness\r\nX-Lkharness-Fill: {'x' * FULL_BYTES}\r\nConnection: close"
        request = f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n"
        with contextlib.closing(_stream(host, port, settings, deadline)) as sock:
            sock.sendall(request.encode("latin-1", "replace"))
            answer = sock.makefile("rb").read1(MAX_BODY_BYTES)
            if not answer:
                raise ConnectionResetError(f"{host}:{port} closed the connection on a GET of {len(request)} bytes without a word")
        status = BACKEND_AWAY.match(answer)
        if status and int(status[1]) != service_settings.whole_number(settings, "status", 200):
            raise WrongAnswer(
                f"{host}:{port} answered the second GET {path} with {status[1].decode()} {quoted(status[2])}, after a right answer to the "
                "first: some requests are served and some are not"
            )
        return "there"

    def hello(self, settings: dict[str, str]) -> Hello:
        """A GET of `path` that leaves the connection open; its whole header with the right status, and the text where one is given, is
        the answer. With TLS it is TLS's own first exchange, which the agents can have: it shows that the server listens and has a
        certificate, and no more (on Windows its kernel answers, facts IIS-02)."""
        service_settings.only_known(settings, self.kind, SETTINGS)
        if _is_encrypted(settings):
            return Hello(_client_hello(settings.get("certificate_name", "")), SERVER_HELLO, keeps=False)
        status = service_settings.whole_number(settings, "status", 200)
        path, host = settings.get("path", "/"), settings.get("host_header", "lkharness")
        if not re.fullmatch(r"[!-~]+", path) or not re.fullmatch(r"[!-~]+", host):
            raise BadUse(f"settings path = {path!r} and host_header = {host!r} must be ASCII without blanks")
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lkharness\r\nConnection: keep-alive\r\n\r\n"
        text = b".*?" + re.escape(settings["text"].encode()) if settings.get("text") else b""
        return Hello(request.encode("ascii"), rb"(?s)\AHTTP/1\.[01] %d(?=[ \r]).*?\r\n\r\n" % status + text, keeps=True, http=True)

    def tells_findings(self, settings: Mapping[str, str]) -> bool:
        """Of its certificate, where it has one."""
        return _is_encrypted(settings)

    def findings(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> list[Finding]:
        """When its certificate ends."""
        service_settings.only_known(settings, self.kind, SETTINGS)
        with contextlib.closing(_stream(host, port, settings, deadline)) as stream:
            certificate = stream.certificate if isinstance(stream, TlsStream) else None
        now = datetime.datetime.now(datetime.UTC)
        return certificates.expiry(certificates.end_of(certificate), now, self.kind) if certificate else []


def _is_encrypted(settings: Mapping[str, str]) -> bool:
    return service_settings.one_of(settings, "tls", ("yes", "no")) == "yes"


@cache
def _client_hello(name: str) -> bytes:
    """The same all through a run."""
    return client_hello(name)


def _stream(host: str, port: int, settings: Mapping[str, str], deadline: Deadline) -> BoundedSocket | TlsStream:
    """Connected, and encrypted where the settings say so. Raises WrongAnswer for a certificate that cannot be trusted, NotTheService where
    no TLS comes back."""
    sock = dial(host, port, deadline)
    if not _is_encrypted(settings):
        return sock
    name = settings.get("certificate_name", "")
    sock.what = f"{host}:{port} accepted the connection, but did not agree on TLS"
    try:
        stream = TlsStream(sock, certificates.context_of(settings), name)
    except ssl.SSLCertVerificationError as error:
        sock.close()
        sent = None if error.verify_code == certificates.EXPIRED else _sent_chain(host, port, settings, deadline)
        why = certificates.why_not_trusted(error, name, sent, settings.get("ca_file", "")) + _ended_text(sent)
        raise WrongAnswer(f"{host}:{port}: its certificate is not to be trusted: {why}") from error
    except ssl.SSLError as error:
        sock.close()
        if error.reason in NOT_TLS:
            raise NotTheService(
                f"{host}:{port} was asked by TLS, and its answer is none of TLS, as of a server of plain HTTP; "
                'give the port that serves HTTPS, or take tls = "yes" out of its settings'
            ) from error
        raise NotTheService(f"{host}:{port} does not speak TLS as it should: {error.reason or error}") from error
    except ConnectionError as error:
        sock.close()
        asked_name = f"the name {name}" if name else "no name"
        raise ConnectionResetError(
            f"{host}:{port} took the connection and ended it at TLS's first message, which asked for {asked_name}, without an alert that "
            "says why; look at what certificate is bound to that port, and whether the server behind it speaks TLS at all"
        ) from error
    except BaseException:
        sock.close()
        raise
    sock.what = f"{host}:{port} agreed on TLS, but did not answer"
    return stream


def _sent_chain(host: str, port: int, settings: Mapping[str, str], deadline: Deadline) -> certificates.SentChain | None:
    """Of a server whose certificate cannot be trusted. It is looked at unchecked, and nothing is asked over that connection."""
    unchecked = {name: value for name, value in settings.items() if name != "ca_file"} | {"trust_certificate": "yes"}
    try:
        with contextlib.closing(_stream(host, port, unchecked, deadline)) as stream:
            certificate = stream.certificate if isinstance(stream, TlsStream) else None
            return certificates.SentChain(certificate, stream.chain_length) if isinstance(stream, TlsStream) and certificate else None
    except (OSError, ValueError, NotTheService, DeadlineExceeded):  # the reason that was heard first stands, and this is only more of it
        return None


def _ended_text(sent: certificates.SentChain | None) -> str:
    """Of a certificate that cannot be trusted for another reason first: that it has expired, too."""
    try:
        end = certificates.end_of(sent.certificate) if sent is not None else None
    except ValueError:
        return ""
    ended = end is not None and end < datetime.datetime.now(datetime.UTC)
    return f"; and it expired on {end:%Y-%m-%d %H:%M} UTC: put a new one on this node first" if ended else ""


def _redirect_text(location: str | None) -> str:
    """A browser would go there by itself, past this path and maybe past the load balancer."""
    target = quoted(location.encode("latin-1", "replace")) if location else ""
    return f": it redirects to {target}, which was not followed, so what serves there is not known" if target else ""


def _sender_text(server: str | None, status: int) -> str:
    """Who sent an answer, by its Server header (facts IIS-06, IIS-14)."""
    if server is None:
        return "who sent it is not told (no Server header)"
    if server.startswith("Microsoft-HTTPAPI"):
        explanation = ": the application pool is stopped, disabled or full" if status == 503 else ""
        return f"Windows' HTTP.sys sent it, not IIS or the application (Server: {quoted(server.encode('latin-1', 'replace'))}){explanation}"
    return f"sent by Server: {quoted(server.encode('latin-1', 'replace'))}"


def _start_time(body: bytes) -> float | None:
    try:
        body_json = json_of(body)
    except ValueError:  # most web pages are no JSON; then the start is not known
        return None
    started = body_json.get("started") if isinstance(body_json, dict) else None
    return float(started) if isinstance(started, (int, float)) and not isinstance(started, bool) else None
