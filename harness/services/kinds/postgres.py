"""PostgreSQL: one query that tells the node, the address it was reached at, and its start.

See `postgres_session` for the conversation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from harness.config import service_settings
from harness.core.deadline import Deadline
from harness.core.finding import Finding, Weight
from harness.core.text.host_text import cut_at_word
from harness.services.postgresql import postgres_reserves
from harness.services.postgresql.postgres_session import Session, read_own_words, startup_packet
from harness.services.postgresql.postgres_tokens import PostgresTokens
from harness.services.service_kind import FULL_BYTES, Hello, Identity, ServiceKind, WrongAnswer

SETTINGS = {
    "user",
    "dbname",
    "password_file",
    "password_env",
    "password_command",
    "sslmode",
    "sslrootcert",
    "require_auth",
    "session_every_s",
    "tokens",
}
# Each session is a process of the server and one of its max_connections until it is hung up on: asked more often, a busy server falls
# behind for good, and the meter breaks what it measures.
MIN_SESSION_INTERVAL_S = 0.1
# Errors of a server that serves nobody just now: shutting down, crashed, starting up or in recovery (57P01 to 57P03), without a free
# connection (53300). Every other error shows that a session was taken up: a database that is not there, an account that is refused.
NOT_SERVING = rb"57P01|57P02|57P03|53300"
ANSWER = rb"(?s)\A(?:R\x00\x00|E.{4}(?:[^\x00]+\x00)*?C(?!" + NOT_SERVING + rb")[0-9A-Z]{5}\x00)"
QUESTION = b"""
    select current_setting('cluster_name'), host(inet_server_addr()), extract(epoch from pg_postmaster_start_time()),
           current_setting('server_version'), pg_is_in_recovery(),
           (select setting = 'on' and source not in ('user', 'database user', 'client', 'session')
            from pg_settings where name = 'default_transaction_read_only'),
           current_setting('synchronous_standby_names'), current_setting('synchronous_commit'), current_setting('max_wal_senders')
"""
# Who may not see the rows' columns may count them all the same.
REPLICAS = b"select count(*) from pg_stat_replication"
NOBODY_IS_WAITED_FOR = ("off", "local")  # settings of synchronous_commit
# What its settings mean for a cluster.
OF_THE_SERVER = b"""
    select current_setting('fsync'), current_setting('full_page_writes'), current_setting('max_replication_slots'), pg_is_in_recovery(),
           current_setting('server_version_num'),
           coalesce(has_table_privilege(to_regclass('pg_catalog.pg_file_settings'), 'select')
                    and has_function_privilege(to_regprocedure('pg_catalog.pg_show_all_file_settings()'), 'execute'), false),
           coalesce(has_table_privilege(to_regclass('pg_catalog.pg_hba_file_rules'), 'select')
                    and has_function_privilege(to_regprocedure('pg_catalog.pg_hba_file_rules()'), 'execute'), false),
           (select string_agg(name, ', ' order by name) from pg_settings where pending_restart),
           current_user, (select extract(epoch from rolvaliduntil) from pg_roles where rolname = current_user),
           extract(epoch from current_timestamp)
"""
# Both read the files anew, which is what the next start does. Never the value: it may be a secret. Of a setting that takes a restart the
# server says the same where its new value is right as where it is wrong, and where the words that it was started with overrule it.
FILE_ERRORS = b"""
    select f.sourcefile, f.sourceline, f.name, error, coalesce(context = 'postmaster', false)
    from pg_file_settings f left join pg_settings s on lower(s.name) = lower(f.name)
    where error is not null and not coalesce(context = 'postmaster' and source = 'command line', false) limit 5
"""
RULE_ERRORS = b"""
    select current_setting('hba_file'), line_number, '', error, false from pg_hba_file_rules where error is not null limit 5
"""
# Who may not see other columns sees these (pg_replication_slots); the functions have these names from PostgreSQL 10 on.
SLOTS = b"""
    select slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint from pg_replication_slots
    where not active and restart_lsn is not null order by 2 desc limit 5
"""
KNOWS_LSN_NAMES = 100_000
DAY_S = 86400.0
MIN_DAYS_LEFT = 30
GIVEN_ANEW = ("password_env", "password_command")  # whence a password may well come that lasts an hour, and is another the next time
BEHIND = 1 << 30  # bytes of write-ahead log
FSYNC_DO = "set fsync = on again, and reload; what was written meanwhile is safe after a checkpoint and a `sync` on that node"
PAGES_DO = "set full_page_writes = on, unless the file system writes pages whole by itself (ZFS, for one)"
SLOT_DO = (
    "see who is to read it; if nobody does any more, drop it: `select pg_drop_replication_slot('NAME')`, and let max_slot_wal_keep_size "
    "limit what one may hold back"
)
FILE_DO = "put that line right, and ask again: `select * from pg_file_settings` and `pg_hba_file_rules` read the files and change nothing"
PENDING_DO = (
    "see whether what the file has for it is meant (`select name, setting, sourcefile, sourceline from pg_settings where pending_restart`, "
    "as a superuser), and that it is right on both nodes; restart in a quiet hour, or take the line back"
)
PASSWORD_DO = "`alter role NAME valid until 'infinity'`, or a new password with a later end, in the cluster file's place for it too"


class Postgres(ServiceKind):
    """Settings: `user` (default harness), `dbname` (default: as the user), `password_file` (its first line), `password_env` or
    `password_command`, `sslmode` (default prefer), `sslrootcert` (a file of certificates), `require_auth` (how the server may ask for the
    password: libpq's words; default scram-sha-256, by which neither side tells it to the other),
    `session_every_s` (how often each host may ask for a session at most, default 0.1),
    `tokens` ("no": write none; otherwise the user must be allowed to create a table there).

    `cluster_name` must be set per node, not in a configuration file on the shared disk.

    Raises BadUse when the server turns the account away, ConnectionError when it answers but does not serve (yet), WrongAnswer when it
    takes no writes.
    """

    kind = "postgres"
    usual_ports = (5432,)
    bears_silence_s = 60.0  # facts PGS-06
    data_on_shared_disk = True

    def load(self) -> None:
        from psycopg import pq  # noqa: F401  # takes a quarter of a second

    def takes_tokens(self, settings: Mapping[str, str]) -> bool:
        """Unless the setting `tokens = "no"` says that it may not."""
        return settings.get("tokens", "yes") != "no"

    def token_table(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> PostgresTokens:
        """Logs in. Raises as `who_are_you` does."""
        service_settings.only_known(settings, self.kind, SETTINGS)
        return PostgresTokens(host, port, settings, deadline)

    def who_are_you(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> Identity:
        service_settings.only_known(settings, self.kind, SETTINGS)
        with Session(host, port, settings, deadline) as session:
            [(name, address, started, version, recovering, reads_only, replicas, commit, senders)] = session.query(QUESTION, deadline)
            waits_for_replica = replicas and commit not in NOBODY_IS_WAITED_FOR and senders != "0" and recovering == "f"
            waits_in_vain = waits_for_replica and _no_replica(session, deadline)
        if "t" in (recovering, reads_only):  # a read-only role is somebody's wish; a database that takes no writes serves half
            reason = "it is in recovery, a standby" if recovering == "t" else "default_transaction_read_only is on"
            raise WrongAnswer(f"{host}:{port} serves reading, and takes no writes: {reason}, so it is read-only")
        if waits_in_vain:
            reason = f"synchronous_standby_names is {replicas:.100}, synchronous_commit is {commit}, and no replica is connected"
            raise WrongAnswer(f"{host}:{port} serves reading, and each commit waits for a replica that is not there: {reason}")
        return Identity(
            kind=self.kind,
            said=f"PostgreSQL {version}",
            node=name or None,
            address=address or None,
            started=float(started),
            facts={"version": version, "in_recovery": "yes" if recovering == "t" else "no"},
        )

    def tells_findings(self, settings: Mapping[str, str]) -> bool:
        """Always."""
        return True

    def findings(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> list[Finding]:
        """What it writes that is not durable, replication slots that nobody reads, files that its next start would not take, and a password
        that ends soon: one session. What it may not be asked is a note, or left out where only superusers may."""
        service_settings.only_known(settings, self.kind, SETTINGS)
        with Session(host, port, settings, deadline) as session:
            return server_findings(session, deadline, settings)

    def full_sized(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> str:
        """In one session a query with a long comment, then one with a long answer; neither touches a table."""
        with Session(host, port, settings, deadline) as session:
            session.query(b"select 1 /* %s */" % (b"x" * FULL_BYTES), deadline, of=f"a query of {FULL_BYTES} bytes")
            session.query(b"select repeat('x', %d)" % FULL_BYTES, deadline, of=f"a query whose answer has {FULL_BYTES} bytes")
        return "there and back"

    def own_words(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> str:
        """Of a server that answers libpq's request for TLS with an error already: it cannot fork, for instance."""
        user = settings.get("user", "harness")
        return read_own_words(host, port, user, settings.get("dbname", user), deadline)

    def hello(self, settings: dict[str, str]) -> Hello:
        """A startup packet, which a server that recovers, shuts down or has no connection left turns away (facts PGS-01, PGS-02: an
        SSLRequest it answers all the same). Asking for a password is the answer, and so is an error that only a serving server gives."""
        service_settings.only_known(settings, self.kind, SETTINGS)
        period_s = service_settings.seconds(settings, "session_every_s", MIN_SESSION_INTERVAL_S)
        user = settings.get("user", "harness")
        return Hello(startup_packet(user, settings.get("dbname", user)), ANSWER, keeps=False, least_period_s=period_s)


def _no_replica(session: Session, deadline: Deadline) -> bool:
    """Is it known that nobody takes the write-ahead log from that server?"""
    try:
        return session.query(REPLICAS, deadline) == [["0"]]
    except OSError:  # somebody took the right to ask that away
        return False


def server_findings(session: Session, deadline: Deadline, settings: Mapping[str, str] = MappingProxyType({})) -> list[Finding]:
    """Raises what `Session.query` raises."""
    [(fsync, pages, slots, recovering, version, files, rules, pending, user, until, now)] = session.query(OF_THE_SERVER, deadline)
    rows: list[list[str]] = []
    if recovering == "f" and slots != "0" and version.isdigit() and int(version) >= KNOWS_LSN_NAMES:
        rows = session.query(SLOTS, deadline)
    wrong_lines = [
        row for question, may in ((FILE_ERRORS, files), (RULE_ERRORS, rules)) if may == "t" for row in session.query(question, deadline)
    ]
    findings = of_settings(fsync, pages) + of_slots(rows) + of_files(wrong_lines, pending)
    if recovering == "f" and version.isdigit() and int(version) >= postgres_reserves.KNOWN_SINCE:
        findings += [one for row in session.query(postgres_reserves.QUESTION, deadline) for one in postgres_reserves.findings(row)]
    given_anew = any(settings.get(name) for name in GIVEN_ANEW)
    return findings + of_password_end(user, until, now, given_anew=given_anew) if given_anew or settings.get("password_file") else findings


def of_settings(fsync: str, pages: str) -> list[Finding]:
    """Pure. Facts PGS-06: both are on by default."""
    findings = []
    if fsync == "off":
        says = "fsync is off: when the active node loses power, the disk that the other one takes over may hold a broken database"
        findings.append(Finding(Weight.FAULT, "postgres", "durability", says, FSYNC_DO, ("PGS-06",)))
    elif pages == "off":
        says = "full_page_writes is off: a page that was half written when the active node lost power stays broken"
        findings.append(Finding(Weight.NOTE, "postgres", "durability", says, PAGES_DO, ("PGS-06",)))
    return findings


def of_slots(rows: list[list[str]]) -> list[Finding]:
    """Pure. Of slots that nobody reads: those that hold back so much of the write-ahead log that its disk may become full."""
    far = [(cut_at_word(name, 63), int(behind)) for name, behind in rows if behind and behind.isdigit() and int(behind) >= BEHIND]
    return [
        Finding(
            Weight.NOTE,
            "postgres",
            "replication slot",
            f"nobody reads the replication slot {name}, which holds back {behind / BEHIND:.1f} GB of the write-ahead log: it grows until "
            "the disk is full",
            SLOT_DO.replace("NAME", name),
        )
        for name, behind in far
    ]


def of_files(rows: list[list[str]], pending: str) -> list[Finding]:
    """Pure. Rows of a file, a line, the name of a setting, what the server says of it, and whether that may only want a restart; `pending`,
    names of settings whose value in the file is another than the running server's until it is started again."""
    findings = []
    for file, line, name, error, waits in rows:
        where = f"{cut_at_word(file, 200)}{f' line {line}' if line else ''}{f' ({cut_at_word(name, 63)})' if name else ''}"
        if waits == "t":
            says = f"{where} is not what the server runs with: its next start, after a failover too, takes it, or fails by it"
            findings.append(Finding(Weight.NOTE, "postgres", "next start", says, PENDING_DO))
        else:
            says = f"{where} is wrong: {cut_at_word(error, 200)}; the running server does not use it, and its next start"
            findings.append(Finding(Weight.FAULT, "postgres", "next start", f"{says}, after a failover too, fails by it", FILE_DO))
    if pending:
        says = f"its next start, after a failover too, gives it other settings than it runs with: {cut_at_word(pending, 200)}"
        findings.append(Finding(Weight.NOTE, "postgres", "next start", says, PENDING_DO))
    return findings


def of_password_end(user: str, until: str, now: str, *, given_anew: bool = False) -> list[Finding]:
    """Pure. `until` and `now` are seconds since 1970 by the server's clock; `until` is empty or infinite where the password has no end. One
    that has ended already lets nobody in to ask."""
    try:
        end_s, remaining_s = float(until), float(until) - float(now)
        end = f"{datetime.fromtimestamp(end_s, UTC):%Y-%m-%d %H:%M} UTC" if math.isfinite(end_s) else ""
    except (ValueError, OverflowError, OSError):
        return []
    if not end or remaining_s >= MIN_DAYS_LEFT * DAY_S:
        return []
    says = f"the password of {cut_at_word(user, 63)} ends on {end} (rolvaliduntil): from then on it is turned away"
    weight = Weight.FAULT if remaining_s < DAY_S and not given_anew else Weight.NOTE
    return [Finding(weight, "postgres", "account", says, PASSWORD_DO.replace("NAME", cut_at_word(user, 63)))]
