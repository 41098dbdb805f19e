"""An HTTP probe's own question: asked on each node, its status told, and a cause where it is not what the node's role demands."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from test_diagnosis import evidence, faults

from harness.check import evidence_gathering
from harness.check.check_result import Findings
from harness.core.verdict import passed
from harness.diagnosis.engine import diagnose

ASKED: list[tuple[str, str, str]] = []  # from which host, of which node's address, for which path


@pytest.fixture
def responder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answers /ok with 200 and everything else with 404, in place of every node's responder; 10.20.1.13 has none."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ASKED[-1] = (*ASKED[-1][:2], self.path)
            self.send_response(200 if self.path == "/ok" else 404)
            self.end_headers()

        def log_message(self, *said: object) -> None:
            """Nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    @contextlib.contextmanager
    def link(origin: str, address: str, port: int, *, limit: float) -> Iterator[SimpleNamespace]:
        ASKED.append((origin, address, ""))
        yield SimpleNamespace(host="127.0.0.1", port=None if address == "10.20.1.13" else server.server_port)

    monkeypatch.setattr(evidence_gathering, "relay", link)
    ASKED.clear()
    yield
    server.shutdown()
    thread.join(60)
    server.server_close()


def subject(path: str, absent: set[str], protocol: str = "http") -> SimpleNamespace:
    probe = SimpleNamespace(protocol=protocol, port=12345, path=path)
    nodes = [SimpleNamespace(name="lknode01", address="10.20.1.11"), SimpleNamespace(name="lknode02", address="10.20.1.13")]
    cluster = SimpleNamespace(load_balancer=SimpleNamespace(probe=probe), nodes=nodes)
    names = {name: name for name in ("lknode01", "lknode02", "lkclient")}
    return SimpleNamespace(cluster=cluster, absent=absent, residents=names, together=lambda *asks: [ask() for ask in asks])


ORIGINS = ("lknode02", "lkclient")


@pytest.mark.parametrize(("path", "said"), [("/ok", "200 OK"), ("/other", "404 Not Found")])
def test_its_path_is_asked_on_each_node_and_the_status_told(responder: None, path: str, said: str) -> None:
    found = evidence_gathering.http_probes(subject(path, set()), ORIGINS)  # type: ignore[arg-type]
    assert found == {"lknode01": said, "lknode02": ""} and ("lknode02", "10.20.1.11", path) in ASKED
    told = Findings("lknode01", passed("whole"), [], probe_path=path, probe_said=found)
    assert f"GET {path} is answered lknode01: {said}; lknode02: no connection" in told.as_text()
    assert told.as_data()["probe"] == {"path": path, "answers": found}


def test_without_the_standby_the_client_asks(responder: None) -> None:
    evidence_gathering.http_probes(subject("/ok", {"lknode02"}), ORIGINS)  # type: ignore[arg-type]
    assert {origin for origin, *_ in ASKED} == {"lkclient"}
    assert evidence_gathering.http_probes(subject("/ok", set(ORIGINS)), ORIGINS) == {}  # type: ignore[arg-type]


def test_a_tcp_probe_asks_nothing() -> None:
    assert evidence_gathering.http_probes(subject("/ok", set(), "tcp"), ORIGINS) == {}  # type: ignore[arg-type]
    assert Findings("lknode01", passed("whole"), []).as_data()["probe"] is None


@pytest.mark.parametrize(
    ("answers", "host", "words"),
    [
        ({"lknode01": "404 Not Found"}, "lknode01", "is answered 404 Not Found; only 200 counts"),
        ({"lknode01": "with nothing within 3 s"}, "lknode01", "with nothing within 3 s"),
        ({"lknode01": "200 OK", "lknode02": "200 OK"}, "lknode02", "though lknode02 is not active"),
    ],
)
def test_a_status_that_does_not_fit_the_role_is_a_cause(answers: dict[str, str], host: str, words: str) -> None:
    (cause,) = faults(diagnose(evidence(asked_by_probe=answers)))
    assert cause.host == host and words in cause.says


@pytest.mark.parametrize("answers", [{"lknode01": "200 OK", "lknode02": "503 Service Unavailable"}, {"lknode01": "200 OK", "lknode02": ""}])
def test_a_status_that_fits_is_none(answers: dict[str, str]) -> None:
    assert faults(diagnose(evidence(asked_by_probe=answers))) == []
