"""PostgreSQL: one query that tells the node, the address it was reached at, and its start.

See `postgres_session` for the conversation.
"""

from __future__ import annotations

from harness.deadline import Deadline
from harness.services import settings as given
from harness.services.base import Hello, Identity
from harness.services.postgres_session import SSL_REQUEST, Session

SETTINGS = {"user", "dbname", "password_file", "password_env", "password_command", "sslmode", "tokens"}
QUESTION = b"""
    select current_setting('cluster_name'), host(inet_server_addr()), extract(epoch from pg_postmaster_start_time()),
           current_setting('server_version'), pg_is_in_recovery()
"""


class Postgres:
    """Settings: `user` (default harness), `dbname` (default: as the user), `password_file` (its first line), `password_env` or
    `password_command`, `sslmode` (default prefer), `tokens` ("no": write none; otherwise the user must be allowed to create a table there).

    `cluster_name` must be set per node, not in a configuration file on the shared disk.

    Raises BadUse when the server turns the account away, ConnectionError when it answers but does not serve (yet).
    """

    kind = "postgres"

    def who_are_you(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> Identity:
        given.only_known(settings, self.kind, SETTINGS)
        with Session(host, port, settings, deadline) as session:
            [(name, address, started, version, recovering)] = session.query(QUESTION, deadline)
        return Identity(
            kind=self.kind,
            said=f"PostgreSQL {version}",
            node=name or None,
            address=address or None,
            started=float(started),
            facts={"version": version, "in_recovery": "yes" if recovering == "t" else "no"},
        )

    def hello(self, settings: dict[str, str]) -> Hello:
        """An SSLRequest: the one question that a server answers before it knows the user, with one byte. It needs no account, but the
        server must fork a process for it, so that a hung one does not answer."""
        given.only_known(settings, self.kind, SETTINGS)
        return Hello(SSL_REQUEST, rb"\A[SN]\Z", keeps=False)
