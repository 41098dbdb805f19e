"""A real MariaDB, which refuses a host that has broken off some handshakes: found out with one connection that breaks none.

It runs in a network of its own, because from 127.0.0.1 nothing is counted, and with `max_connect_errors` at 5 in the place of 100.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespaced_host import own_machine, path

from harness.core.deadline import Deadline
from harness.hosts.local_host import LocalHost

SQL = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
TABLES = Path("/usr/share/mysql")
ADDRESS, PORT, MAX_ERRORS = "10.9.0.1", 3306, 5
pytestmark = pytest.mark.skipif(
    shutil.which("mariadbd", path=path()) is None or not (TABLES / SQL[0]).exists(), reason="there is no MariaDB here (mariadb-server-core)"
)

BREAK_OFF = f"""
import socket, struct
for _ in range({MAX_ERRORS + 1}):
    with socket.create_connection(("{ADDRESS}", {PORT}), timeout=60) as one:
        one.recv(1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as the meter leaves
"""
GREETED = f"""
import socket
with socket.create_connection(("{ADDRESS}", {PORT}), timeout=60) as one:
    print(one.recv(4096)[4])
"""
ASK = f"""
import sys
from harness.core.deadline import Deadline
from harness.services import service_registry
for _ in range(int(sys.argv[2])):
    try:
        getattr(service_registry.kind("tcp"), sys.argv[1])("{ADDRESS}", {PORT}, settings={{}}, deadline=Deadline(60))
        print("nothing")
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data as `mariadb-install-db` makes it, which wants programs of the client's package."""
    folder = tmp_path_factory.mktemp("mariadb") / "data"
    folder.mkdir()
    words = ["mariadbd", "--no-defaults", "--bootstrap", "--user=root", f"--datadir={folder}", "--skip-networking"]
    sql = "create database mysql;\nuse mysql;\n" + "".join((TABLES / name).read_text() for name in SQL)
    sql += "insert into mysql.global_priv values ('%', 'application', '{\"access\": 0}');\n"  # a host of nobody's is not even greeted
    subprocess.run(words, input=sql, text=True, check=True, capture_output=True, timeout=300, env={"PATH": path()})
    return folder


@pytest.fixture
def client(tables: Path) -> Iterator[LocalHost]:
    """A host beside a server that has just started; the server's host is the same machine."""
    with own_machine() as host:
        names = tables.parent / "hosts"
        names.write_text(f"127.0.0.1 localhost\n{ADDRESS} client.example\n")
        host.check(["sh", "-c", f"ip address add {ADDRESS}/32 dev lo && mount --bind {names} /etc/hosts"])
        (tables.parent / "socket").unlink(missing_ok=True)
        server = [*("mariadbd", "--no-defaults", "--user=root", f"--datadir={tables}", f"--socket={tables.parent}/socket")]
        server += [f"--bind-address={ADDRESS}", f"--port={PORT}", f"--max-connect-errors={MAX_ERRORS}", f"--pid-file={tables.parent}/pid"]
        with (tables.parent / "log").open("w") as log:
            running = subprocess.Popen([*host._prefix, *server], stdout=log, stderr=log, env={"PATH": path()})
        try:
            Deadline(120).wait_for((tables.parent / "socket").exists, what="MariaDB's start")
            yield host
        finally:
            running.terminate()
            running.wait(120)


def python(host: LocalHost, text: str, *words: str) -> str:
    return host.check([sys.executable, "-c", text, *words], limit=120)


def is_greeted(host: LocalHost) -> bool:
    return python(host, GREETED).strip() == "10"  # the protocol's version; 255 is an error in its place


def test_a_host_that_breaks_off_handshakes_is_shut_out_with_its_real_clients(client: LocalHost) -> None:
    """What would become of a customer's application, and that it is told as what it is."""
    assert is_greeted(client)
    python(client, BREAK_OFF)
    assert not is_greeted(client)
    assert "it has blocked the host that asks, after too many broken handshakes" in python(client, ASK, "who_are_you", "1")


def test_it_is_found_out_without_a_handshake_that_counts(client: LocalHost) -> None:
    said = python(client, ASK, "demand_bearable", str(4 * MAX_ERRORS)).splitlines()
    assert len(said) == 4 * MAX_ERRORS and all(line.startswith("Unbearable") and "greets as MySQL or MariaDB" in line for line in said)
    assert is_greeted(client)
