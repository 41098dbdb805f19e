"""SQL Server: a log-in and one query that tell the node, the address it was reached at, and its start.

See `harness.services.sqlserver.sqlserver_session` for the conversation.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from harness.config import service_settings
from harness.core.deadline import Deadline
from harness.core.finding import Finding, Weight
from harness.services import certificates
from harness.services.service_kind import FULL_BYTES, Hello, Identity, NotTheService, ServiceKind, WrongAnswer
from harness.services.sqlserver import tds_protocol

if TYPE_CHECKING:
    from harness.services.token_table import TokenTable

SETTINGS = {
    "user",
    "database",
    "password_file",
    "password_env",
    "password_command",
    "encrypt",
    "ca_file",
    "certificate_name",
    "trust_certificate",
    "session_every_s",
    "tokens",
}
# A connection that breaks off before it has logged in is a line of the server's error log (facts SQL-73).
SESSION_INTERVAL_S = 0.25
# PRELOGIN's answer: type, last packet, and the options from the version on, which only SQL Server's protocol has.
ANSWER = rb"(?s)\A\x04\x01.{6}\x00\x00"
QUESTION = """
    select @@servername, cast(serverproperty('ComputerNamePhysicalNetBIOS') as nvarchar(128)),
           cast(serverproperty('InstanceName') as nvarchar(128)), cast(serverproperty('ProductVersion') as nvarchar(128)),
           cast(connectionproperty('local_net_address') as nvarchar(48)),
           (select datediff(second, create_date, getdate()) from sys.databases where name = 'tempdb'),
           cast(databasepropertyex(db_name(), 'Updateability') as nvarchar(128)),
           (select delayed_durability_desc from sys.databases where name = db_name()),
           cast(serverproperty('IsHadrEnabled') as int), db_name()
"""
INSTANCE_DO = "have clients name host and port; a balancer carries neither the browser's UDP 1434 nor a port that changes at each start"
DURABLE_DO = "a lost token after a crash may be this setting's doing; set DELAYED_DURABILITY = DISABLED where nothing may be lost"
SUBNET_DO = (
    "nothing here: all clients dial one frontend address, for which MultiSubnetFailover changes nothing; where a listener has an address "
    "in each subnet, clients need MultiSubnetFailover=Yes, or they try the addresses one after the other"
)


class Mssql(ServiceKind):
    """Settings: `user` (a SQL Server login, default harness), `database` (the application's: a log-in to master is back too early, facts
    SQL-71), `password_file` (its first line), `password_env` or `password_command`; `encrypt`: "yes" (default), "strict" (TDS 8.0), "login"
    (only the log-in, where the server does not force more) or "no"; `ca_file`, `certificate_name` (default: the frontend's address) and
    `trust_certificate` ("yes": the certificate is not checked);
    `session_every_s` (how often each host may begin a session at most, default 0.25), `tokens` ("no": write none; otherwise the user
    must be allowed to create a table there).

    Raises BadUse when the server turns the account away, ConnectionError when it answers but does not serve (yet), WrongAnswer for a
    database that takes no writes, and for a certificate that cannot be trusted.
    """

    kind = "mssql"
    usual_ports = (1433,)
    bears_silence_s = 30.0
    data_on_shared_disk = True

    def usual_settings(self, vip: str, port: int) -> Mapping[str, str]:
        """Clients dial the frontend, so its certificate has to name that (facts SQL-79)."""
        return {"certificate_name": vip}

    def takes_tokens(self, settings: Mapping[str, str]) -> bool:
        """Unless the setting `tokens = "no"` says that it may not."""
        return settings.get("tokens", "yes") != "no"

    def token_table(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> TokenTable:
        """Logs in. Raises as `who_are_you` does."""
        from harness.services.sqlserver.sqlserver_tokens import MssqlTokens

        service_settings.only_known(settings, self.kind, SETTINGS)
        return MssqlTokens(host, port, settings, deadline)

    def who_are_you(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> Identity:
        """The physical node's name is the one that tells it in every kind of cluster (facts SQL-60 to SQL-62)."""
        answer, _ = _ask_server(host, port, settings, deadline)
        if answer.updateability != "READ_WRITE":
            raise WrongAnswer(
                f"{host}:{port} serves reading, and takes no writes: the database {answer.database} is {answer.updateability}"
            )
        facts = {"version": answer.version, "server_name": answer.server, "database": answer.database, "durability": answer.durability}
        return Identity(
            kind=self.kind,
            said=f"SQL Server {answer.version}, @@SERVERNAME {answer.server}, on {answer.node}",
            node=answer.node or None,
            address=answer.address or None,
            started=time.time() - float(answer.age_s) if answer.age_s else None,
            facts=facts | ({"instance": answer.instance} if answer.instance else {}),
        )

    def tells_findings(self, settings: Mapping[str, str]) -> bool:
        """Always."""
        return True

    def findings(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> list[Finding]:
        """Its certificate's end, a named instance, commits that are acknowledged before they are durable, an availability group."""
        answer, certificate = _ask_server(host, port, settings, deadline)
        findings = server_findings(answer)
        if certificate:
            findings += certificates.expiry(certificates.end_of(certificate), datetime.datetime.now(datetime.UTC), self.kind)
        return findings

    def full_sized(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> str:
        """In one session a query with a long comment, then one with a long answer; neither touches a table."""
        from harness.services.sqlserver.sqlserver_session import Session

        with Session(host, port, settings, deadline) as session:
            session.query(f"select 1 /* {'x' * FULL_BYTES} */", deadline, of=f"a query of {FULL_BYTES} bytes")
            session.query(f"select replicate('x', {FULL_BYTES})", deadline, of=f"a query whose answer has {FULL_BYTES} bytes")
        return "there and back"

    def hello(self, settings: dict[str, str]) -> Hello:
        """PRELOGIN. It shows that the server's process lives and no more: it is answered before anybody looks at an account or a database
        (facts SQL-72), and all that follows is encrypted. When the database serves again, tokens tell (`tokens`)."""
        service_settings.only_known(settings, self.kind, SETTINGS)
        period_s = service_settings.seconds(settings, "session_every_s", SESSION_INTERVAL_S)
        encrypt_mode = service_settings.one_of(settings, "encrypt", ("yes", "no", "login", "strict")) or "yes"
        first_packet = tds_protocol.first_packet(
            {"no": tds_protocol.NOT_SUPPORTED, "login": tds_protocol.LOGIN_ONLY}.get(encrypt_mode, tds_protocol.ON)
        )
        return Hello(first_packet, ANSWER, keeps=False, least_period_s=period_s)


class ServerAnswer(NamedTuple):
    """The answer to `QUESTION`, as text; what is null there is empty."""

    server: str
    node: str
    instance: str
    version: str
    address: str
    age_s: str
    updateability: str
    durability: str
    in_group: str
    database: str


def server_findings(server: ServerAnswer) -> list[Finding]:
    """What a server's own words mean for its clients. Pure."""
    findings = []
    if server.instance:
        says = (
            f"it is the named instance {server.instance}: whoever dials host\\{server.instance} asks one node's browser (UDP 1434) for its "
            "port"
        )
        findings.append(Finding(Weight.NOTE, "mssql", "named instance", says, INSTANCE_DO, ("SQL-76", "SQL-77")))
    if server.durability not in ("DISABLED", ""):
        says = (
            f"the database {server.database} has DELAYED_DURABILITY = {server.durability}: commits are acknowledged before they are on disk"
        )
        findings.append(Finding(Weight.NOTE, "mssql", "durability", says, DURABLE_DO, ("SQL-87",)))
    if server.in_group == "1":
        says = "availability groups are enabled there"
        findings.append(Finding(Weight.NOTE, "mssql", "MultiSubnetFailover", says, SUBNET_DO, ("SQL-80",)))
    return findings


def _ask_server(host: str, port: int, settings: dict[str, str], deadline: Deadline) -> tuple[ServerAnswer, bytes | None]:
    """What it says, and its certificate (DER) where it encrypts. One connection: whoever asks may have no second one."""
    from harness.services.sqlserver.sqlserver_session import Session

    service_settings.only_known(settings, Mssql.kind, SETTINGS)
    with Session(host, port, settings, deadline) as session:
        rows, certificate = session.query(QUESTION, deadline, of="who it is"), session.certificate
    if len(rows) != 1 or len(rows[0]) != len(ServerAnswer._fields):
        raise NotTheService(f"{host}:{port} answered the question who it is with {len(rows)} rows")
    return ServerAnswer(*("" if value is None else str(value) for value in rows[0])), certificate
