"""SQL Server's service kind, and the lab's stand-in that it is told against: by python-tds, in clear text and by TLS."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tds_stand_in import StandIn, certificate, stand_in

pytest.importorskip("pytds", reason="python-tds is not installed; `./run setup` installs it")

from harness.core.deadline import Deadline
from harness.services import service_registry
from harness.services.service_kind import TurnedAway, WrongAnswer

CLEAR = {"encrypt": "no"}


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with stand_in() as made:
        made.start("lknode01", "--certificate", str(certificate(made.folder, "localhost")))
        yield made


def trusted(server: StandIn, name: str = "localhost") -> dict[str, str]:
    return {"ca_file": str(server.folder / f"{name}.crt"), "certificate_name": "127.0.0.1"}


@pytest.mark.parametrize("how", ["no", "login", "yes", "strict"])
def test_it_says_who_it_is(server: StandIn, how: str) -> None:
    told = server.ask(encrypt=how, **({} if how == "no" else trusted(server)))
    assert (told.node, told.address) == ("LKNODE01", "127.0.0.1")
    assert told.facts["server_name"] == "LKNODE01" and told.facts["durability"] == "DISABLED"
    assert told.started is not None and "stand-in" in told.said


def test_the_right_error_for_each_wrong_thing(server: StandIn) -> None:
    with pytest.raises(TurnedAway, match=r"database 'nosuch'.*4060.*18456"):
        server.ask(database="nosuch", **CLEAR)
    with pytest.raises(TurnedAway, match=r"turned 'nobody' away: name or password is wrong.*18456"):
        server.ask(user="nobody", **CLEAR)
    with pytest.raises(TurnedAway, match=r"turned 'harness' away: name or password is wrong"):
        server.ask(password_file=str(server.folder / "wrong"), **CLEAR)
    with pytest.raises(WrongAnswer, match=r"not for sql.example"):
        server.ask(ca_file=str(server.folder / "localhost.crt"), certificate_name="sql.example")
    with pytest.raises(WrongAnswer, match=r"not to be trusted: self.signed certificate; name the certificates that vouch"):
        server.ask(certificate_name="127.0.0.1")
    assert server.ask(trust_certificate="yes", certificate_name="sql.example").node == "LKNODE01"


def test_a_sick_server_answers_and_does_not_serve(server: StandIn) -> None:
    for number, says in ((17187, "still starting"), (17142, "paused"), (18401, "upgrade scripts"), (18461, "single-user")):
        server.sick.write_text(str(number))
        with pytest.raises(ConnectionAbortedError, match=f"does not serve: it .*{says}.*{number}"):
            server.ask(**CLEAR)
    server.sick.unlink()


def test_its_findings(server: StandIn, tmp_path: Path) -> None:
    kind = service_registry.kind("mssql")
    found = kind.findings("127.0.0.1", server.port, settings={**server.settings, **trusted(server)}, deadline=Deadline(60))
    assert [one.what for one in found] == ["certificate"] and "expires in 29 days" in found[0].says


def test_tokens_are_counted_after_a_crash_on_the_other_node(server: StandIn) -> None:
    with server.table(**CLEAR) as table:
        table.make(Deadline(60))
        assert [table.write("run", f"a-{n}", Deadline(60)) for n in range(3)] == ["LKNODE01"] * 3
        server.end(signal.SIGKILL)
    server.start("lknode02")
    with server.table(**CLEAR) as table:
        assert table.count("run", Deadline(60)) == {"a-0": 1, "a-1": 1, "a-2": 1}
        table.drop(Deadline(60))
        assert table.count("run", Deadline(60)) == {}
    assert server.ask(**CLEAR).node == "LKNODE02"
    assert "automatic recovery in progress" in server.log.read_text()
