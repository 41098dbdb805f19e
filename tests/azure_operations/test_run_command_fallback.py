"""A node that SSH does not reach (its port in the cluster file is wrong): `check` and `collect` read it by run-command, and say so."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from azure_labs import AzureLab

from harness import cli
from harness.azure.client import sdk_clients
from harness.azure.client.sdk_clients import Clients
from harness.azure.run_command.run_command_host import RunCommandHost
from harness.collect import collection_runner
from harness.config import trust
from harness.lab.lifecycle import default_cluster, launch

LOST, OTHER = "lknode01", "lknode02"
ROOT = "/tmp/lifekeeper"
ONE = [s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["name"] == "listener"]  # nobody listens for any
# What lcdstatus says where LOST has everything in service (LKL-09); the lab without a cluster manager has nobody who would.
LCDSTATUS = """#!/bin/sh
echo 'BACKUP    TAG              ID              STATE     PRIO  PRIMARY'
here=$(uname -n)
state=OSU; [ "$here" = lknode01 ] && state=ISP
for tag in listener-1521 ip-10.20.1.200 lbhc-12345; do
  echo "$here   $tag    $tag   $state   1  lknode01"
done
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureLab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        running = launch.up(
            default_cluster.cluster_data(overrides={"services": ONE}), name="secondway", persistent=False, network_only=True, azure=True
        )
        try:
            yield AzureLab(running)
        finally:
            running.down()


@pytest.fixture(scope="module")
def file(lab: AzureLab) -> Iterator[Path]:
    """The lab's cluster file with a wrong port for one node, and with a manager that says who is active."""
    talk = sdk_clients.make_clients(lab.azure)
    for node in (LOST, OTHER):
        to = f"{ROOT}/bin/lcdstatus"
        RunCommandHost(talk, node, node).check(f"mkdir -p {ROOT}/bin; cat >{to}; chmod 755 {to}", input=LCDSTATUS.encode())
    talk.close()
    said = tomllib.loads(lab.file.read_text())
    ssh = next(n for n in said["nodes"] if n["name"] == LOST)["ssh"]
    known = lab.file.with_name("known_hosts")
    known_there = known.with_name("known-too")
    known_there.write_text(known.read_text() + known.read_text().replace(f"]:{ssh['port']} ", "]:1 "))
    ssh |= {"port": 1, "known_hosts": known_there.name}
    said["manager"]["root"] = ROOT
    copy = lab.file.with_name("wrong-port.toml")  # beside it, for the keys that it names
    copy.write_text(tomli_w.dumps(said))
    trust.agree_to_own(copy)
    yield copy
    copy.unlink()
    known_there.unlink()


@pytest.fixture(autouse=True)
def counted(lab: AzureLab, file: Path) -> Iterator[None]:
    """What Azure is asked counts from here, for every test by itself."""
    lab.own("requests", "DELETE")
    yield
    lab.own("faults", "DELETE")


def checked(file: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    cli.main(["check", "--cluster", str(file), "--json", *more])
    return json.loads(capsys.readouterr().out)


Read = tuple[dict[str, Any], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def read(lab: AzureLab, file: Path) -> Read:
    """What `check` found, and what it asked of run-command, where a machine takes one at a time, and takes its time for it."""
    lab.own("requests", "DELETE")
    lab.own("conditions", "POST", {"one_script": True})
    lab.own("pace", "POST", {"takes_s": 0.3})
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            cli.main(["check", "--cluster", str(file), "--json", "--run-command"])
    finally:
        lab.own("conditions", "DELETE")
        lab.own("pace", "POST", {"takes_s": 0.05})
    return json.loads(said.getvalue()), lab.requests("/runCommand")


def test_check_reads_it(read: Read) -> None:
    said, asked = read
    assert said["active"] == LOST, "its manager was asked"
    found = [(f["weight"], f["what"], f["says"]) for f in said["findings"] if f["host"] == LOST]
    assert any(weight == "unreachable" for weight, *_ in found)
    [note] = [says for weight, what, says in found if (weight, what) == ("note", "run-command")]
    assert "read by Azure's run-command" in note and "paths that begin there" in note
    told = " ".join(says for _, _, says in found)
    assert "10.20.1.200 is on no NIC" in told and "nobody listens on 12345" in told, "its addresses and listeners were read"
    assert "clock" not in [what for _, what, _ in found]
    assert {p["origin"] for p in said["paths"]} == {"lkclient", OTHER}
    assert 1 <= len(asked) <= 4, "is it there, its manager's word, and one script for all the rest"


def test_check_says_that_it_cannot_be_read_either(lab: AzureLab, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab.own("faults", "POST", {"kind": "forbidden", "method": "POST", "path": "/runCommand$", "times": 0})
    said = checked(file, capsys, "--run-command")
    [note] = [f for f in said["findings"] if f["what"] == "run-command"]
    assert note["host"] == LOST and "the log-in may not" in note["says"] and "runCommand" in note["says"]
    assert len(lab.requests("/runCommand")) == 1, "one refusal is enough"


def test_a_check_without_trouble_asks_for_no_run_command(lab: AzureLab, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked(lab.file, capsys, "--run-command")
    assert lab.requests("/runCommand") == []


def test_nothing_is_installed_in_a_machine_unless_a_person_chose_it(
    lab: AzureLab, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """README: `check` installs nothing. The first run-command installs an extension, and it stays."""
    said = checked(file, capsys)
    [note] = [f for f in said["findings"] if f["what"] == "run-command"]
    assert "was not used" in note["says"] and "--run-command" in note["do"]
    monkeypatch.setitem(collection_runner.gather.__kwdefaults__, "host_s", 0.0)  # what the hosts by SSH have is not asked here
    cli.main(["collect", "--cluster", str(file), "--output", str(file.with_name("case.tar.gz")), "--json"])
    assert lab.requests("/runCommand") == []


def test_the_managers_word_and_the_nodes_own_go_one_after_the_other(read: Read) -> None:
    """A machine takes one run-command at a time, and refuses another with 409 (azure-docs 43356)."""
    said, asked = read
    assert said["active"] == LOST, "its manager was asked"
    assert {r["status"] for r in asked} == {202}, "none was refused"


def noting(close: Callable[[Any], None], closed: list[object]) -> Callable[[Any], None]:
    """The same closing, and who was closed."""

    def noted(self: Any) -> None:
        closed.append(getattr(self, "name", "azure"))
        close(self)

    return noted


@dataclass
class Collected:
    """One `collect --run-command`, in which a host that SSH reaches has no time for its readings."""

    code: int
    hosts: dict[str, dict[str, Any]]
    told: str
    names: list[str]  # of the bundle's files
    closed: set[object]


@pytest.fixture(scope="module")
def collected(lab: AzureLab, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Collected:
    from harness.hosts.ssh.ssh_host import SshHost

    closed: list[object] = []
    output = tmp_path_factory.mktemp("collected") / "case.tar.gz"
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as said,
        contextlib.redirect_stderr(io.StringIO()) as told,
    ):
        patch.setitem(collection_runner.gather.__kwdefaults__, "host_s", 0.0)
        for kind in (Clients, SshHost):
            patch.setattr(kind, "close", noting(kind.close, closed))
        code = cli.main(["collect", "--cluster", str(file), "--output", str(output), "--json", "--run-command"])
    with tarfile.open(output) as bundle:
        names = bundle.getnames()
    hosts = {h["name"]: h for h in json.loads(said.getvalue())["index"]["hosts"]}
    return Collected(code, hosts, told.getvalue(), names, set(closed))


def test_collect_gives_it_the_time_that_its_readings_take(collected: Collected) -> None:
    """Some thirty readings of 20 s each do not fit into what a host that SSH reaches has for all of them."""
    hosts = collected.hosts
    assert "used up" in str(hosts[OTHER]["faults"]) and "used up" not in str(hosts[LOST]["faults"]) and hosts[LOST]["files"]


def test_collect_reads_it_and_closes_what_it_opened(lab: AzureLab, collected: Collected) -> None:
    assert collected.code == 0 and f"{LOST}: read by Azure's run-command" in collected.told
    assert collected.hosts[LOST]["reached"] and collected.hosts[LOST]["files"]
    assert any(f"/{LOST}/" in name for name in collected.names)
    assert {"azure", LOST, OTHER, lab.cluster.client.name} <= collected.closed
