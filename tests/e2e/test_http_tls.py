"""A web server with TLS, by host and by text: what the kind says of it, against the lab's stand-in and by curl."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tds_stand_in import certificate

from harness.core.deadline import Deadline
from harness.services import service_registry
from harness.services.service_kind import Identity, NotTheService, WrongAnswer
from tests.free_port import free_port

HTTP = service_registry.kind("http")


class Web:
    """The stand-in with a certificate, a site of its own, and a file that stops its pool."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        pem = certificate(folder, "localhost")
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--node", "lknode01", "--certificate", str(pem), "--site", "shop.example"]
        words += ["--stopped", str(folder / "stopped"), "--log", str(folder / "log")]
        self.process = subprocess.Popen([sys.executable, "-m", "harness.lab.services.http_server", *words])
        Deadline(60).wait_for(self._accepts, what="it listens", every=0.02)

    def _accepts(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def settings(self) -> dict[str, str]:
        return {"tls": "yes", "host_header": "shop.example", "ca_file": str(self.folder / "localhost.crt"), "certificate_name": "127.0.0.1"}

    def ask(self, **more: str) -> Identity:
        return HTTP.who_are_you("127.0.0.1", self.port, settings=self.settings | more, deadline=Deadline(60))


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with tempfile.TemporaryDirectory(prefix="lkh-") as name:
        made = Web(Path(name))
        yield made
        made.process.kill()
        made.process.wait()


def test_by_tls_it_says_who_it_is(web: Web) -> None:
    assert web.ask(text='"node"').node == "lknode01"
    assert HTTP.full_sized("127.0.0.1", web.port, settings=web.settings, deadline=Deadline(60)) == "there"
    hello = HTTP.hello(web.settings)
    with socket.create_connection(("127.0.0.1", web.port), 60) as sock:
        sock.sendall(hello.say)
        assert re.search(hello.expect, sock.recv(4096))


def test_the_right_error_for_each_wrong_thing(web: Web) -> None:
    with pytest.raises(WrongAnswer, match=r"not for www.example"):
        web.ask(certificate_name="www.example")
    with pytest.raises(WrongAnswer, match=r"does not exist|not to be trusted"):
        HTTP.who_are_you("127.0.0.1", web.port, settings={"tls": "yes", "certificate_name": "127.0.0.1"}, deadline=Deadline(60))
    with pytest.raises(WrongAnswer, match=r"404 Not Found, not 200; Windows' HTTP.sys sent it"):
        web.ask(host_header="other.example")
    with pytest.raises(WrongAnswer, match=r"without the text 'basket'"):
        web.ask(text="basket")
    with pytest.raises((NotTheService, OSError)):
        HTTP.who_are_you("127.0.0.1", web.port, settings={"text": "x"}, deadline=Deadline(60))
    (web.folder / "stopped").touch()
    with pytest.raises(WrongAnswer, match=r"503 Service Unavailable, not 200; Windows' HTTP.sys sent it.*application pool is stopped"):
        web.ask()
    (web.folder / "stopped").unlink()


@pytest.mark.parametrize("resets", [False, True], ids=["closes", "resets"])
def test_a_server_that_hangs_up_at_tlss_first_message(web: Web, resets: bool) -> None:
    """By an alert it would say why; without one the asker says what was asked and what to look at."""

    def hang_up() -> None:
        sock, _ = listener.accept()
        assert sock.recv(4096)
        if resets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        port, ended = listener.getsockname()[1], pool.submit(hang_up)
        words = rf"127.0.0.1:{port} took .* TLS's first message, .* the name 127.0.0.1, without an alert"
        with pytest.raises(ConnectionResetError, match=words):
            HTTP.who_are_you("127.0.0.1", port, settings=web.settings, deadline=Deadline(60))
        ended.result()


def test_a_server_of_plain_http_that_is_asked_by_tls(web: Web) -> None:
    def answer() -> None:
        sock, _ = listener.accept()
        assert sock.recv(4096)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        port, ended = listener.getsockname()[1], pool.submit(answer)
        with pytest.raises(NotTheService, match=rf"127.0.0.1:{port} was asked by TLS, and its answer is none of TLS, .* plain HTTP"):
            HTTP.who_are_you("127.0.0.1", port, settings=web.settings, deadline=Deadline(60))
        ended.result()


@pytest.mark.parametrize(("days", "says"), [(-400, r"; and it expired on 20\d\d-\d\d-\d\d \d\d:\d\d UTC"), (30, r"\(ca_file\)$")])
def test_a_certificate_that_nobody_vouches_for_may_have_expired_too(tmp_path: Path, days: float, says: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, "localhost", days=days))

    def serve() -> None:
        for _ in range(2):
            sock, _ = listener.accept()
            with contextlib.suppress(ssl.SSLError, ConnectionError):  # the first is broken off by who checks
                context.wrap_socket(sock, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(60)
        port, ended = listener.getsockname()[1], pool.submit(serve)
        with pytest.raises(WrongAnswer, match=rf"certificate is not to be trusted: .*{says}"):
            HTTP.who_are_you("127.0.0.1", port, settings={"tls": "yes", "certificate_name": "127.0.0.1"}, deadline=Deadline(60))
        ended.result()


def test_its_certificates_end_is_a_finding(web: Web) -> None:
    [found] = HTTP.findings("127.0.0.1", web.port, settings=web.settings, deadline=Deadline(60))
    assert found.what == "certificate" and "expires in 29 days" in found.says
    assert not HTTP.tells_findings({}) and HTTP.tells_findings(web.settings)
    assert HTTP.usual_settings("10.20.1.200", 443)["tls"] == "yes" and "tls" not in HTTP.usual_settings("10.20.1.200", 80)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_reads_it_too(web: Web) -> None:
    words = ["curl", "-sS", "--cacert", str(web.folder / "localhost.crt"), "-H", "Host: shop.example", f"https://localhost:{web.port}/"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert '"node": "lknode01"' in done.stdout, done.stderr
    assert subprocess.run(["curl", "-sS", f"https://localhost:{web.port}/"], capture_output=True, timeout=60).returncode == 60
