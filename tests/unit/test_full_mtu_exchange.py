"""Full-sized segments over a path: what passes, what is lost while small things pass, and what cannot be told."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from diagnosis_sample import WEB, evidence, faults, node, only, path, paths, with_host

from harness.cluster import full_mtu_exchange
from harness.cluster.full_mtu_exchange import compare_sizes
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.core.verdict import Outcome
from harness.diagnosis.engine import diagnose
from harness.services.kinds.http import Http
from harness.services.service_kind import FULL_BYTES, NotTheService, WrongAnswer

LOST = DeadlineExceeded("10.20.1.200:80 did not answer a GET of 3100 bytes within 1.5 s")


def saying(*answers: object) -> Callable[[], object]:
    """Each call gets the next one; an exception is raised."""
    left = list(answers)

    def ask() -> object:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


# (what comes of the long ones, of the short one, seconds of the short one, passes, outcome, words, limits of the long ones)
CASES = {
    "passes": (["there"], [], 0.0, True, Outcome.PASS, "there", [1.5]),
    "lost twice, and the short one is answered": ([LOST, LOST], ["hello"], 0.02, False, Outcome.FAIL, "GET of 3100 bytes", [1.5, 1.5]),
    "lost beside a slow short one": ([LOST, LOST], ["hello"], 0.9, False, Outcome.FAIL, "GET of 3100 bytes", [1.5, 3.6]),
    "passes the second time": ([LOST, "there"], ["hello"], 2.0, True, Outcome.PASS, "second time", [1.5, 8.0]),
    "the short one is lost too": ([LOST], [DeadlineExceeded("who")], 5.0, None, Outcome.INCONCLUSIVE, "who; is it overloaded?", [1.5]),
    "it does not take a long one": ([ConnectionResetError("closed")], [], 0.0, None, Outcome.PASS, "closed", [1.5]),
    "its proxy has no backend": ([WrongAnswer("502")], [], 0.0, True, Outcome.FAIL, "not always what it should: 502", [1.5]),
    "it is another service by now": ([LOST], [NotTheService("it said hello")], 0.0, None, Outcome.PASS, "it said hello", [1.5]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_what_is_lost_beside_short_exchanges_is_a_black_hole(case: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    large, small, seconds, passes, outcome, words, expected = case
    clock, limits, long = iter([0.0, seconds]), [], saying(*large)
    monkeypatch.setattr(full_mtu_exchange.time, "monotonic", lambda: next(clock))
    found = compare_sizes("client → vip", lambda limit: limits.append(limit) or long(), saying(*small))  # type: ignore[func-returns-value]
    assert (found.passes, found.verdict.outcome) == (passes, outcome) and words in found.says
    assert limits == pytest.approx(expected)


@pytest.fixture
def heard() -> Iterator[tuple[int, list[int], list[int]]]:
    """A web server that answers with the status there is, and tells how long the questions were."""
    lengths: list[int] = []
    status = [200]

    class Asked(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lengths.append(len(self.requestline) + len(str(self.headers)))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *said: object) -> None:
            """Nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Asked)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, lengths, status
    server.shutdown()
    thread.join(60)
    server.server_close()


@pytest.mark.parametrize("said", [200, 400, 404, 431, 503])
def test_a_web_server_is_asked_more_than_two_segments_and_any_answer_counts(heard: tuple, said: int) -> None:
    port, lengths, status = heard
    status[0] = said
    assert Http().full_sized("127.0.0.1", port, settings={"path": "/x"}, deadline=Deadline(60.0)) == "there"
    assert lengths[0] > FULL_BYTES >= 2 * 1460


@pytest.mark.parametrize("said", [502, 504])
def test_a_proxy_whose_backend_does_not_answer_the_second_question_serves_some_only(heard: tuple, said: int) -> None:
    port, _, status = heard
    status[0] = said
    with pytest.raises(WrongAnswer, match=f"answered the second GET /x with {said} .*some requests are served and some are not"):
        Http().full_sized("127.0.0.1", port, settings={"path": "/x"}, deadline=Deadline(60.0))
    as_meant = {"path": "/x", "status": str(said)}
    assert Http().full_sized("127.0.0.1", port, settings=as_meant, deadline=Deadline(60.0)) == "there"


def lost(origin: str, service=WEB):
    says = (
        f"lk → 10.20.1.200:{service.port}: short exchanges pass, and 10.20.1.200:{service.port} did not answer a GET of 3100 bytes, twice"
    )
    return {"outcome": "fail", "full": False, "full_says": says}


FULL = {"full": True, "full_says": "full-sized segments pass, there"}


def test_segments_that_only_the_client_loses_are_lost_at_the_client() -> None:
    seen = evidence(paths=paths(client=lost("client"), inside=FULL, standby=FULL))
    cause = only(seen, "lkclient", "MTU black hole", f"client/web (port {WEB.port})", "nft list ruleset", "GET of 3100 bytes")
    assert {"client/web"} <= set(cause.explains)
    assert diagnose(seen).rest == ()


def test_segments_that_every_origin_loses_are_lost_at_the_active_node() -> None:
    seen = evidence(paths=paths(client=lost("client"), inside=FULL, standby=lost("standby")))
    only(seen, "lknode01", "MTU black hole", "standby")


def test_one_service_that_loses_them_is_named_alone() -> None:
    broken = [path(o, s, **(lost(o) if (o, s) == ("client", WEB) else FULL)) for o in ("client", "standby") for s in (WEB,)]
    cause = only(evidence(paths=[*[p for p in paths() if p.service != WEB], *broken]), "lkclient", "client/web")
    assert "listener" not in cause.says


def test_lost_echoes_and_lost_segments_are_one_cause() -> None:
    far = replace(node("lknode01"), large={"10.20.1.20": (True, False, 1500)})
    seen = with_host(far, paths=paths(client=lost("client")))
    (cause,) = faults(diagnose(seen))
    assert any("echo" in line for line in cause.evidence) and any("GET of 3100" in line for line in cause.evidence)


def test_echoes_that_pass_say_that_only_tcp_is_lost() -> None:
    near = replace(node("lknode02"), large={"10.20.1.20": (True, True, 1500)})
    seen = with_host(near, paths=paths(client=lost("client"), standby=FULL))
    assert any("only TCP's" in line for line in faults(diagnose(seen))[0].evidence)


def test_what_is_not_asked_is_no_fault() -> None:
    """Kinds that may not be asked anything long: it cannot be told."""
    assert faults(diagnose(evidence(paths=paths()))) == []
    assert faults(diagnose(evidence(paths=paths(client={"full": None, "full_says": "it does not take what fills a segment"})))) == []
