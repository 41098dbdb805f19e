"""An HTTP probe's own question: asked on each node, its status told, and a cause where it is not what the node's role demands."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from diagnosis_sample import CLUSTER, SILENT, evidence, faults, listening, node, only, paths, with_host

from harness.check.check_result import Findings
from harness.check.findings.node_findings import of_pages
from harness.cluster import cluster_audit, http_probe_request
from harness.config import cluster_config
from harness.core.finding import Finding, Weight
from harness.core.verdict import passed
from harness.diagnosis.engine import diagnose
from harness.expectations import http_probe_answer
from harness.lab.lifecycle import default_cluster

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

    monkeypatch.setattr(http_probe_request, "relay", link)
    ASKED.clear()
    yield
    server.shutdown()
    thread.join(60)
    server.server_close()


def subject(path: str, absent: set[str], protocol: str = "http") -> SimpleNamespace:
    probe = SimpleNamespace(protocol=protocol, port=12345, path=path, interval_s=5.0)
    nodes = [SimpleNamespace(name="lknode01", address="10.20.1.11"), SimpleNamespace(name="lknode02", address="10.20.1.13")]
    cluster = SimpleNamespace(load_balancer=SimpleNamespace(probe=probe), nodes=nodes)
    names = {name: name for name in ("lknode01", "lknode02", "lkclient")}
    return SimpleNamespace(cluster=cluster, absent=absent, connection_workers=names, together=lambda *asks: [ask() for ask in asks])


ORIGINS = ("lknode02", "lkclient")
SLOWLY = cluster_config.parse(
    default_cluster.merge_tables(
        default_cluster.cluster_data(), {"load_balancer": {"probe": {"protocol": "http", "path": "/", "interval_s": 5.0}}}
    ),
    Path("a test's"),
)


@pytest.mark.parametrize(("path", "said"), [("/ok", "200 OK"), ("/other", "404 Not Found")])
def test_its_path_is_asked_on_each_node_and_the_status_told(responder: None, path: str, said: str) -> None:
    found = http_probe_request.ask(subject(path, set()), ORIGINS)  # type: ignore[arg-type]
    assert found == {"lknode01": said, "lknode02": ""} and ("lknode02", "10.20.1.11", path) in ASKED
    told = Findings("lknode01", passed("whole"), [], probe_path=path, probe_answers=found)
    assert f"GET {path} is answered lknode01: {said}; lknode02: no connection" in told.as_text()
    assert told.as_data()["probe"] == {"path": path, "answers": found}


def test_without_the_standby_the_client_asks(responder: None) -> None:
    http_probe_request.ask(subject("/ok", {"lknode02"}), ORIGINS)  # type: ignore[arg-type]
    assert {origin for origin, *_ in ASKED} == {"lkclient"}
    assert http_probe_request.ask(subject("/ok", set(ORIGINS)), ORIGINS) == {}  # type: ignore[arg-type]


def test_a_tcp_probe_asks_nothing() -> None:
    assert http_probe_request.ask(subject("/ok", set(), "tcp"), ORIGINS) == {}  # type: ignore[arg-type]
    assert Findings("lknode01", passed("whole"), []).as_data()["probe"] is None


BALANCER = CLUSTER.load_balancer
HTTP = CLUSTER.model_copy(
    update={"load_balancer": BALANCER.model_copy(update={"probe": BALANCER.probe.model_copy(update={"protocol": "http"})})}
)


@pytest.mark.parametrize(("path", "protocol", "said"), [("/x", "tcp", "404 Not Found"), ("/ok", "tcp", ""), ("/x", "http", "")])
def test_what_answers_a_tcp_probe_is_asked_once_where_nobody_is_sent(responder: None, path: str, protocol: str, said: str) -> None:
    there = subject(path, set(), protocol)
    there.cluster.services, there.cluster.node = [], lambda name: next(n for n in there.cluster.nodes if n.name == name)
    assert http_probe_request.ask_in_doubt(there, ORIGINS, "lknode01") == ({"lknode01": said} if said else {})  # type: ignore[arg-type]
    there.cluster.services = [SimpleNamespace(port=12345)]  # which a question of HTTP would disturb
    assert http_probe_request.ask_in_doubt(there, ORIGINS, "lknode01") == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answers", "host", "words"),
    [
        ({"lknode01": "404 Not Found"}, "lknode01", "is answered 404 Not Found; only 200 counts"),
        ({"lknode01": "with nothing within 3 s"}, "lknode01", "with nothing within 3 s"),
        ({"lknode01": "200 OK", "lknode02": "200 OK"}, "lknode02", "though lknode02 is not active"),
    ],
)
def test_a_status_that_does_not_fit_the_role_is_a_cause(answers: dict[str, str], host: str, words: str) -> None:
    lost = paths(client=SILENT, standby=SILENT) if host == "lknode01" else paths()
    told = faults(diagnose(evidence(cluster=HTTP, asked_by_probe=answers, paths=lost)))
    assert told[0].host == host and words in told[0].says


@pytest.mark.parametrize("answers", [{"lknode01": "200 OK", "lknode02": "503 Service Unavailable"}, {"lknode01": "200 OK", "lknode02": ""}])
def test_a_status_that_fits_is_none(answers: dict[str, str]) -> None:
    assert faults(diagnose(evidence(cluster=HTTP, asked_by_probe=answers))) == []


@pytest.mark.parametrize("answer", ["503 Service Unavailable", "404 Not Found"])
def test_a_page_on_both_nodes_that_answers_by_the_role_is_no_second_responder(answer: str) -> None:
    page, asked = node("lknode02", listeners=[listening(12345)]), {"lknode01": "200 OK", "lknode02": answer}
    assert faults(diagnose(with_host(page, cluster=HTTP, asked_by_probe=asked))) == []
    open_port = Finding(Weight.FAULT, "lknode02", "probe port", "python3 listens on 12345, and the node is not active", "stop it there")
    assert of_pages([open_port], "lknode01", asked) == []


@pytest.mark.parametrize("answer", [None, "", "200 OK", "with no HTTP (BadStatusLine)", "with nothing within 6 s"])
def test_without_such_an_answer_an_open_probe_port_on_the_standby_is_a_fault(answer: str | None) -> None:
    asked = {} if answer is None else {"lknode01": "200 OK", "lknode02": answer}
    told = faults(diagnose(with_host(node("lknode02", listeners=[listening(12345)]), cluster=HTTP, asked_by_probe=asked)))
    assert {c.host for c in told} == {"lknode02"}
    found = [Finding(Weight.FAULT, host, "probe port", "x", "y") for host in ("lknode01", "lknode02")]
    assert of_pages(found, "lknode01", asked) == found and of_pages(found, "lknode01", {"lknode01": "404 Not Found"}) == found


@pytest.mark.parametrize(("said", "answering"), [("503 x", "lknode01"), ("200 OK", "lknode01 and lknode02"), ("", "lknode01 and lknode02")])
def test_an_audit_takes_another_status_than_200_for_no_answer(monkeypatch: pytest.MonkeyPatch, said: str, answering: str) -> None:
    monkeypatch.setattr(cluster_audit, "attempt", lambda *_, **__: [SimpleNamespace(answered=True, seconds=0.001)])
    monkeypatch.setattr(http_probe_request, "ask", lambda *_: {"lknode01": "200 OK", "lknode02": said})
    there = subject("/primary", set())
    there.cluster.client = SimpleNamespace(name="lkclient")
    verdict = cluster_audit.probe_answered(there, "lknode01")  # type: ignore[arg-type]
    assert verdict.reason == f"the probe port is answered by {answering}" and bool(verdict) is (answering == "lknode01")


@pytest.mark.parametrize(("took_s", "waits_s"), [(0.0001, 0.25), (0.01, 0.5), (0.3, 1.0), (None, 1.0)])
def test_a_node_that_keeps_silent_is_waited_for_by_what_the_active_one_took(
    monkeypatch: pytest.MonkeyPatch, took_s: float | None, waits_s: float
) -> None:
    there = subject("/primary", set())
    there.cluster.client = SimpleNamespace(name="lkclient")
    names = {str(n.address): n.name for n in there.cluster.nodes}
    limits: list[tuple[str, float]] = []

    def tried(origin: object, address: str, port: int, *, count: int, limit: float) -> list[SimpleNamespace]:
        limits.append((names[address], limit))
        return [SimpleNamespace(answered=names[address] == "lknode02" and took_s is not None, seconds=took_s)]

    monkeypatch.setattr(cluster_audit, "attempt", tried)
    verdict = cluster_audit.probe_answered(there, "lknode02")  # type: ignore[arg-type]
    assert bool(verdict) is (took_s is not None)
    assert limits[0] == ("lknode02", 1.0) and limits[-1] == ("lknode01", pytest.approx(waits_s))


def test_one_packet_that_is_lost_is_not_the_silence_of_a_second_responder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standby answers probes, too; the first connection's packet gets lost, and would be sent again only after a second."""
    there = subject("/primary", set())
    there.cluster.client = SimpleNamespace(name="lkclient")
    active = next(str(n.address) for n in there.cluster.nodes if n.name == "lknode01")

    def tried(origin: object, address: str, port: int, *, count: int, limit: float) -> list[SimpleNamespace]:
        lost = [address != active, *[False] * (count - 1)]
        return [SimpleNamespace(answered=not silent, seconds=0.001) for silent in lost]

    monkeypatch.setattr(cluster_audit, "attempt", tried)
    monkeypatch.setattr(http_probe_request, "ask", lambda *_: {})
    assert not cluster_audit.probe_answered(there, "lknode01")  # type: ignore[arg-type]


@pytest.mark.parametrize(("listens", "answering"), [("lknode01", "lknode01"), ("", "nobody"), ("lknode02", "nobody")])
def test_a_port_that_a_firewall_keeps_for_the_balancer_is_asked_on_the_active_node(
    monkeypatch: pytest.MonkeyPatch, listens: str, answering: str
) -> None:
    there = subject("/primary", set())
    there.cluster.client = SimpleNamespace(name="lkclient")
    addresses = {str(n.address): n.name for n in there.cluster.nodes}
    own = there.connection_workers = {name: name for name in ("lkclient", *addresses.values())}
    asked: list[str] = []

    def tried(origin: str, address: str, port: int, **_: object) -> list[SimpleNamespace]:
        asked.append(origin)
        return [SimpleNamespace(answered=origin == addresses[address] == listens, seconds=0.001)]

    monkeypatch.setattr(cluster_audit, "attempt", tried)
    verdict = cluster_audit.probe_answered(there, "lknode01")  # type: ignore[arg-type]
    assert verdict.reason == f"the probe port is answered by {answering}" and bool(verdict) is (answering == "lknode01")
    assert sorted(asked) == ["lkclient", "lkclient", own["lknode01"]]


@pytest.mark.parametrize(
    ("said", "certainty"),
    [("200 OK", None), ("200 OK, after 2.6 s", "possible"), ("200 OK, after 5.4 s", "possible"), ("200 OK, after 5.6 s", "certain")],
)
def test_a_page_that_is_later_than_the_balancer_waits(said: str, certainty: str | None) -> None:
    """5 s in the usual file; what the way there may have added counts for the node."""
    asked = {"lknode01": said, "lknode02": ""}
    lost = evidence(cluster=SLOWLY, asked_by_probe=asked, paths=paths(client=SILENT, standby=SILENT))
    told = [c for c in diagnose(lost).causes if "is answered later" in c.says or "is answered after" in c.says]
    assert [(c.host, str(c.certainty)) for c in told] == ([("lknode01", certainty)] if certainty else [])
    # The time itself differs from look to look, and stands in the evidence.
    assert all("the balancer waits, 5 s" in c.says and said not in c.says and said in "".join(c.evidence) for c in told)


def test_a_late_page_of_a_node_that_is_sent_clients_is_no_fault() -> None:
    told = [c for c in diagnose(evidence(cluster=SLOWLY, asked_by_probe={"lknode01": "200 OK, after 5.6 s"})).causes if "GET" in c.says]
    assert [(str(c.certainty), "is sent clients now" in c.says) for c in told] == [("possible", True)]


def test_a_late_page_of_the_standby_gets_it_no_clients() -> None:
    for said, count in (("200 OK, after 5.6 s", 0), ("200 OK, after 3.0 s", 1)):
        told = faults(diagnose(evidence(cluster=SLOWLY, asked_by_probe={"lknode01": "200 OK", "lknode02": said})))
        assert len(told) == count, said


def test_how_long_the_page_took_is_told_from_half_of_what_the_balancer_waits() -> None:
    probe = SLOWLY.load_balancer.probe
    assert http_probe_answer.in_words(200, "OK", 2.4, probe) == "200 OK" and http_probe_answer.in_words(503, "", 2.5, probe) == "503"
    slow = http_probe_answer.in_words(200, "OK", 2.5, probe)
    assert slow == "200 OK, after 2.5 s" and http_probe_answer.without_time(slow) == "200 OK" and not http_probe_answer.turns_away(slow)


def test_a_page_that_may_answer_the_balancer_otherwise_comes_before_what_azure_may_have() -> None:
    seen = evidence(paths=paths(client=SILENT, standby=SILENT), asked_by_probe={"lknode01": "200 OK", "lknode02": ""})
    cause = only(seen, "lknode01", "168.63.129.16 otherwise", "access list", "200 OK")
    assert "adminState" not in cause.says
    only(evidence(paths=paths(client=SILENT, standby=SILENT)), "lknode01", "adminState")
