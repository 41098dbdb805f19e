"""The lab's stand-in for SQL Server, asked by clients that nobody here wrote: FreeTDS, tedious, and Microsoft's own ODBC driver. Each reads
the identity, and gets the right error for a wrong database, user and certificate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tds_stand_in import PASSWORD, StandIn, certificate, stand_in

pytestmark = [pytest.mark.deep]
TEDIOUS, ODBC = "tedious@19.2.2", "mssql-python==1.16.0"
WHO = "select @@servername, cast(serverproperty('ComputerNamePhysicalNetBIOS') as nvarchar(128)), @@version"
CLIENTS = Path(__file__).parent / "clients"
LIMIT_S = 300


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with stand_in() as made:
        certificate(made.folder, "other")
        made.start("lknode01", "--certificate", str(certificate(made.folder, "localhost")))
        yield made


def installed(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        pytest.skip(f"{words[0]} could not install it: {(done.stderr.strip() or 'nothing said').splitlines()[-1]}")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node.js is not installed (Debian packages nodejs and npm)")
    folder = tmp_path_factory.mktemp("node")
    installed(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), TEDIOUS])
    return folder / "node_modules"


@pytest.fixture(scope="module")
def odbc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odbc")
    installed([sys.executable, "-m", "venv", str(folder)])
    installed([str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", ODBC])
    done = subprocess.run([folder / "bin/python", "-c", "import mssql_python"], capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        pytest.skip(f"mssql-python cannot be loaded here: {done.stderr.strip().splitlines()[-1]}")
    return folder / "bin/python"


# --- FreeTDS


def tsql(server: StandIn, sql: str, *, user: str = "harness", database: str = "harness", password: str = PASSWORD, conf: str = "") -> str:
    if not shutil.which("tsql"):
        pytest.skip("FreeTDS is not installed (Debian package freetds-bin)")
    file = server.folder / "freetds.conf"
    file.write_text(f"[lab]\nhost = localhost\nport = {server.port}\ntds version = 7.4\n{conf}")
    words = ["tsql", "-S", "lab", "-U", user, "-P", password, "-D", database]
    environment = {"FREETDSCONF": str(file), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(words, input=f"{sql}\ngo\nexit\n", capture_output=True, text=True, timeout=LIMIT_S, env=environment)
    return done.stdout + done.stderr


@pytest.mark.parametrize("encryption", ["off", "request", "require"])
def test_freetds_reads_the_identity(server: StandIn, encryption: str) -> None:
    said = tsql(server, WHO, conf=f"encryption = {encryption}\n")
    assert said.count("LKNODE01") >= 2 and "not SQL Server" in said, said


def test_freetds_gets_the_right_errors(server: StandIn) -> None:
    assert {"Msg 4060 ", "Msg 18456 "} <= {
        f"Msg {word} " for word in tsql(server, "select 1", database="nosuch").replace("Msg ", "\n").split()
    }
    assert "Msg 18456 " in tsql(server, "select 1", user="nobody")
    assert "Msg 18456 " in tsql(server, "select 1", password="another")
    checks = f"encryption = require\nca file = {server.folder}/%s.crt\n"
    assert "LKNODE01" in tsql(server, WHO, conf=checks % "localhost")
    refused = tsql(server, WHO, conf=checks % "other")
    assert "LKNODE01" not in refused and "connect" in refused


# --- tedious


def tedious(
    server: StandIn, modules: Path, sql: str = WHO, *, user: str = "harness", database: str = "harness", **more: Any
) -> dict[str, Any]:
    options = {"port": server.port, "database": database, "encrypt": True, "trustServerCertificate": False} | more.pop("options", {})
    config = {"server": "localhost", "options": options}
    config["authentication"] = {"type": "default", "options": {"userName": user, "password": PASSWORD}}
    task = {"modules": str(modules), "config": config, "sql": sql, "ca": str(server.folder / "localhost.crt"), **more}
    done = subprocess.run(["node", str(CLIENTS / "tedious.js"), json.dumps(task)], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_tedious_reads_the_identity(server: StandIn, modules: Path) -> None:
    for encrypt in (True, False, "strict"):
        [row] = tedious(server, modules, options={"encrypt": encrypt})["rows"]
        assert row[:2] == ["LKNODE01", "LKNODE01"] and "not SQL Server" in row[2]
    types = "select @n as n, @t as t, @b as b, cast(@n as bigint) + 1 as more, cast(null as int) as nothing"
    given = [["n", "Int", 41], ["t", "NVarChar", "it's ü"], ["b", "Bit", True]]
    assert tedious(server, modules, types, parameters=given)["rows"] == [[41, "it's ü", True, "42", None]]


def test_tedious_gets_the_right_errors(server: StandIn, modules: Path) -> None:
    assert [e["number"] for e in tedious(server, modules, database="nosuch")["errors"]][:2] == [4060, 18456]
    assert tedious(server, modules, user="nobody")["errors"][0]["number"] == 18456
    refused = tedious(server, modules, ca=str(server.folder / "other.crt"))["errors"][0]
    assert "self-signed certificate" in refused["message"] or "self signed certificate" in refused["message"], refused
    assert tedious(server, modules, "select * from nosuch")["errors"][0]["number"] == 208


# --- Microsoft's ODBC driver


def ask_odbc(server: StandIn, odbc: Path, sql: str = WHO, *given: Any, transaction: bool = False, **more: str) -> dict[str, Any]:
    parts = {
        "Server": f"tcp:localhost,{server.port}",
        "Database": "harness",
        "UID": "harness",
        "PWD": "{" + PASSWORD + "}",
        "Encrypt": "yes",
    }
    parts |= {"TrustServerCertificate": "yes"} | more
    words = [odbc, CLIENTS / "odbc.py", ";".join(f"{k}={v}" for k, v in parts.items()) + ";", sql, json.dumps(given)]
    done = subprocess.run([*words, *(["transaction"] if transaction else [])], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_the_odbc_driver_reads_the_identity(server: StandIn, odbc: Path) -> None:
    for encrypt in ("yes", "no"):
        assert ask_odbc(server, odbc, Encrypt=encrypt)["rows"][0][:2] == ["LKNODE01", "LKNODE01"]
    assert ask_odbc(server, odbc, "select ?, ?", 41, "it's ü")["rows"] == [["41", "it's ü"]]
    assert ask_odbc(server, odbc, transaction=True)["rows"][0][1] == "LKNODE01"


def test_the_odbc_driver_gets_the_right_errors(server: StandIn, odbc: Path) -> None:
    # Of the two errors mssql-python shows only one, the severer: a wrong database looks like a wrong password there.
    assert "user 'harness'" in ask_odbc(server, odbc, Database="nosuch")["error"]
    assert "Login failed for user" in ask_odbc(server, odbc, UID="nobody")["error"]
    assert "certificate" in ask_odbc(server, odbc, TrustServerCertificate="no")["error"]
