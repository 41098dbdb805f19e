"""The lab's stand-in for SQL Server: TDS for real clients, and the lab's PostgreSQL beneath.

It is not SQL Server; crash recovery and durability are PostgreSQL's, and real. It listens at once, and answers log-ins with error 17187
until the database has recovered. Both live and die together: a stop ends the database in order, a kill of this process kills it.

Example: python -m harness.lab.services.tds_server --port 1433 --node lknode01 --data /srv/shared/mssql --certificate /etc/lab/mssql.pem
"""

from __future__ import annotations

import itertools
import os
import select
import signal
import socket
import ssl
import threading
from pathlib import Path

from harness.core.errors import HarnessError
from harness.lab.services import node_process, postgres, service_base
from harness.lab.services.tds.postgres_backend import Backend
from harness.lab.services.tds.tds_channel import NotTds
from harness.lab.services.tds.tds_conversation import Conversation, Server
from harness.lab.services.tds.tsql_translation import SETUP

LOGIN_TIMEOUT_S = 30.0  # how long it bears a client that has not logged in; SQL Server's own is not known
PORT = 5432  # of the database's socket, which only has a name
START_TIMEOUT_S = 60.0


def contexts(certificate: Path | None) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """For TLS inside of TDS 7.4, which ends at TLS 1.2 (facts SQL-14), and for TDS 8.0."""
    if certificate is None:
        return None, None
    inner, strict = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    for context in (inner, strict):
        context.load_cert_chain(certificate)
    inner.maximum_version = ssl.TLSVersion.TLSv1_2
    strict.set_alpn_protocols(["tds/8.0"])
    return inner, strict


def converse(server: Server, service: service_base.Service, connection: socket.socket, spid: int) -> None:
    """One connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)  # facts SQL-83
    connection.settimeout(LOGIN_TIMEOUT_S)
    try:
        Conversation(server, connection, spid).run()
    except NotTds as fault:
        service.log(f"{connection.getpeername()[0]}: error 17836: not TDS: {fault}")
    except ssl.SSLError as error:
        service.log(f"error 17830: the client broke TLS off: {error.reason}")


def prepare(path: Path) -> None:
    """What the database has to have before anybody is let in."""
    backend = Backend(path, "postgres", "", "harness")
    backend.script(SETUP)
    backend.close()


def main(arguments: list[str] | None = None) -> None:
    """Serves until it is ended by a signal, or its database ends."""
    assert __doc__
    parser = service_base.options("tds_server", __doc__, port=1433)
    parser.add_argument("--data", type=Path, required=True, help="the database's folder")
    parser.add_argument("--socket-dir", type=Path, default=Path("/run/lab-mssql"), help="where the database's socket lies")
    parser.add_argument("--certificate", type=Path, help="PEM with key and certificate; without it nothing is encrypted")
    parser.add_argument("--encryption", choices=["offered", "forced", "none"], default="offered")
    parser.add_argument("--server-name", help="@@SERVERNAME (default: the node's)")
    parser.add_argument("--instance", default="", help="a named instance")
    parser.add_argument("--sick", type=Path, help="a file that holds the number of the error that all log-ins get")
    options = parser.parse_args(arguments)
    service_base.send_log_to(options.log)
    service_base.raise_priority()
    service = service_base.Service("tds_server", options.node)
    service.log("a stand-in for SQL Server in a lab; it is not SQL Server, and a PostgreSQL lies beneath")
    inner, strict = contexts(options.certificate)
    path = options.socket_dir / f".s.PGSQL.{PORT}"
    encryption = "none" if inner is None else options.encryption
    server = Server(options.server_name or options.node.upper(), options.instance, path, inner, strict, encryption, options.sick)
    listener = service_base.listen(service, options.bind, options.port)
    service.log("listening on {}:{}".format(*listener.getsockname()))
    try:
        database = postgres.begin(
            options.data, options.node, port=PORT, bind="", log=options.log, socket_dir=options.socket_dir, dies_with_us=True
        )
        spids = itertools.count(51)
        handle = lambda service, connection: converse(server, service, connection, next(spids))  # noqa: E731
        threading.Thread(target=service_base.serve, args=(service, listener, handle), daemon=True).start()
        _end_in_order(service, options.data)
        postgres.wait_until_it_accepts(database, options.data, options.node, options.log, START_TIMEOUT_S)
        prepare(path)
    except (HarnessError, OSError) as error:
        service.log(f"its database did not start: {error}")
        raise SystemExit(1) from error
    service.log(f"ready for client connections; the database has pid {database.pid}")
    service_base.say_ready()
    _until_ended(database)
    service.log("its database ended, and so does this")
    os._exit(1)


def _until_ended(database: node_process.Process) -> None:
    handle = os.pidfd_open(database.pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    while database.alive and not poll.poll(1000):
        continue


def _end_in_order(service: service_base.Service, data: Path) -> None:
    def end(number: int, frame: object) -> None:
        service.log(f"ends on {signal.Signals(number).name}")
        service.log(f"database {postgres.stop(data)}")
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


if __name__ == "__main__":
    main()
