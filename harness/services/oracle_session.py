"""One question to an Oracle instance, through python-oracledb's thin mode, within a deadline.

The driver bounds a connect only and takes no socket from outside, so it works in a thread of its own. When time is over that thread is
left: it ends with its connection, which is a relay's and is closed by whoever asked.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from harness.config import service_settings
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded
from harness.services.service_kind import NotServing, NotTheService, TurnedAway

T = TypeVar("T")
# It needs no right but CREATE SESSION; HOST and IP_ADDRESS there would be the client's (facts ORA-20).
QUESTION = "select " + ", ".join(
    f"sys_context('USERENV', '{name}')" for name in ("SERVER_HOST", "INSTANCE_NAME", "DB_NAME", "DATABASE_ROLE")
)
REFUSED = {
    1017: "name or password is wrong",
    1045: "the account may not log in (CREATE SESSION)",
    28000: "the account is locked",
    28001: "the password has expired",
    28009: "that account may only log in as SYSDBA",
}
NO_HANDLER = "no instance has a handler free: often all its processes are taken (facts ORA-14)"
NOT_SERVING = {
    18: "all its sessions are taken (its parameter sessions)",
    20: "all its processes are taken (its parameter processes)",
    1033: "it is starting or shutting down",
    1034: "it is not started",
    1089: "it is shutting down",
    1109: "it is mounted, and not open",
    12505: "no instance has registered that SID",
    12514: "no instance has registered that service: after a start it may take a minute (facts ORA-11)",
    12516: NO_HANDLER,
    12519: NO_HANDLER,
    12520: NO_HANDLER,
    12526: "all instances are restricted",
    12527: "all instances are restricted or blocking",
    12528: "all instances are blocking new connections: mounted, not open, or shutting down",
    27101: "it is not started",
}
OF_DRIVER = {"DPY-6001": 12514, "DPY-6003": 12505}  # facts ORA-03
FOREIGN = ("DPY-5002", "DPY-5004", "DPY-5005")
LEAVES = ("DPY-3001", "DPY-3010", "DPY-3015")  # native encryption, a version before 12.1, a password verifier that thin mode lacks


class Instance(NamedTuple):
    """What an instance says of itself."""

    host: str
    name: str
    database: str
    role: str


def ask(host: str, port: int, settings: Mapping[str, str], deadline: Deadline) -> Instance:
    """Log in and ask. Raises TurnedAway for the account, ConnectionError when it does not serve (yet) or the connection breaks,
    NotTheService for a foreign protocol, DeadlineExceeded in time, BadUse for the settings."""
    for name in ("user", "service_name"):
        if not settings.get(name):
            raise BadUse(f"services of kind oracle that are asked with an account need the setting {name}")
    if service_settings.password(settings) is None:
        raise BadUse("services of kind oracle that are asked with an account need password_file, password_env or password_command")
    server = f"{host}:{port}"
    return _within(deadline, f"{server} did not complete Oracle's log-in", lambda: _instance(host, port, settings, deadline))


def _instance(host: str, port: int, settings: Mapping[str, str], deadline: Deadline) -> Instance:
    import oracledb

    secret = service_settings.password(settings)
    try:
        with oracledb.connect(
            user=settings["user"],
            password=secret.reveal() if secret else "",
            host=host,
            port=port,
            service_name=settings["service_name"],
            disable_oob=True,  # a relay does not carry urgent data (facts ORA-07)
            tcp_connect_timeout=max(deadline.remaining(), 0.1),
            retry_count=0,
        ) as connection:
            connection.call_timeout = max(1, int(deadline.remaining() * 1000))
            with connection.cursor() as cursor:
                row = cursor.execute(QUESTION).fetchone()
    except oracledb.Error as error:
        raise explained(str(error), f"{host}:{port}", settings["user"], settings["service_name"]) from error
    return Instance(*("" if value is None else str(value) for value in row))


def explained(error_text: str, server: str, user: str, service: str) -> Exception:
    """What the driver's error means. Pure."""
    line = " ".join(error_text.split())
    numbers = [int(number) for number in re.findall(r"ORA-(\d{5})", line)]
    numbers += [number for code, number in OF_DRIVER.items() if code in line]
    for number in numbers:
        if number in REFUSED:
            return TurnedAway(f"{server}: Oracle turned {user!r} away: ORA-{number:05d}, {REFUSED[number]}; check user and password")
        if number in NOT_SERVING:
            return NotServing(f"{server}: Oracle answers, but does not serve {service}: ORA-{number:05d}, {NOT_SERVING[number]}")
    if any(code in line for code in LEAVES):
        return TurnedAway(f"{server}: python-oracledb's thin mode cannot log in there: {line}; leave `user` out, and the listener is asked")
    if any(code in line for code in FOREIGN):
        return NotTheService(f"{server} does not speak Oracle's protocol: {line}")
    if "DPY-4011" in line:
        return ConnectionResetError(f"{server} ended the connection during the log-in: {line}")
    return NotServing(f"{server}: Oracle does not let us in: {line}")


def _within(deadline: Deadline, description: str, work: Callable[[], T]) -> T:
    answers: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def run_work() -> None:
        try:
            answers.put(work())
        except Exception as error:
            answers.put(error)

    threading.Thread(target=run_work, name="oracle-log-in", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.remaining())
    except queue.Empty:
        raise DeadlineExceeded(f"{description} within {deadline.seconds:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer
