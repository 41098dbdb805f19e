"""What a PostgreSQL server uses up until it takes no more: its log's archive, its connections, its transaction ids; and what it keeps for
somebody. Pure, but for the question."""

from __future__ import annotations

import math

from harness.core.finding import Finding, Weight
from harness.core.text.host_text import cut_at_word

# Everybody may ask it. Of others' sessions not what kind they are, but in whose name and in which database: clients have both.
QUESTION = b"""
    select current_setting('archive_mode'), failed_count, extract(epoch from last_failed_time),
           extract(epoch from coalesce(last_archived_time, '-infinity')), coalesce(last_failed_wal, ''),
           (select count(*) from pg_stat_activity where datid is not null and usesysid is not null),
           current_setting('max_connections'), current_setting('superuser_reserved_connections'),
           (select max(age(datfrozenxid)) from pg_database),
           (select extract(epoch from current_timestamp - min(prepared)) from pg_prepared_xacts)
    from pg_stat_archiver
"""
KNOWN_SINCE = 100_000  # versions of before are out of support, and were not tried
MIN_FAILURES = 3  # of the archive command: it is tried again and again
NEARLY_ALL = 0.9  # of the connections that ordinary accounts may have
OLD_IDS, NO_IDS_LEFT = 1_600_000_000, 2**31  # of transactions; where it says so itself, and where it takes no more
LONG_PREPARED_S = 3600.0
ARCHIVE_DO = (
    "see in the server's log what the archive command says (`select * from pg_stat_archiver`): the folder or the key that it needs "
    "may be on "
    "one node only; what was not archived is kept, and archived once it works again"
)
CONNECTIONS_DO = (
    "see who holds them (`select usename, client_addr, state, count(*) from pg_stat_activity group by 1, 2, 3`), end what is idle, and "
    "raise max_connections or put a pool in front, on both nodes"
)
IDS_DO = "`vacuum (freeze)` in the oldest database, and see what holds it back: old transactions, replication slots, prepared transactions"
PREPARED_DO = (
    "see whose it is (`select * from pg_prepared_xacts`), and let who prepared it commit it, or roll it back (`rollback prepared 'NAME'`)"
)


def findings(row: list[str]) -> list[Finding]:
    """Of the one row of QUESTION; nothing of what is no number."""
    mode, failures, failed, archived, log, used, most, reserved, age, prepared = row
    return [
        *_of_archive(mode, failures, failed, archived, log),
        *_of_connections(used, most, reserved),
        *_of_transactions(age, prepared),
    ]


def _of_archive(mode: str, failures: str, failed: str, archived: str, log: str) -> list[Finding]:
    if mode not in ("on", "always") or _number(failures) < MIN_FAILURES or not _number(failed) > _number(archived):
        return []
    says = f"the archive command fails, {failures} times so far, the last time for {cut_at_word(log, 40)}: the write-ahead log grows until "
    return [Finding(Weight.FAULT, "postgres", "archive", f"{says}its disk is full, and then the server stops", ARCHIVE_DO)]


def _of_connections(used: str, most: str, reserved: str) -> list[Finding]:
    """The session that asks is one of them, and is no more when it has asked."""
    ordinary = _number(most) - _number(reserved)
    taken = _number(used) - 1
    if not ordinary > 0 or not taken >= NEARLY_ALL * ordinary:
        return []
    says = f"{taken:g} of the {ordinary:g} connections that ordinary accounts may have are taken (max_connections {most}, {reserved} "
    says += "reserved): a few more, as all at once after a failover, and clients are turned away, the cluster manager's check too"
    return [Finding(Weight.FAULT if taken >= ordinary - 1 else Weight.NOTE, "postgres", "connections", says, CONNECTIONS_DO)]


def _of_transactions(age: str, prepared: str) -> list[Finding]:
    found = []
    if _number(age) >= OLD_IDS:
        says = (
            f"transaction ids of {_number(age) / 1e6:.0f} million are used, and at {NO_IDS_LEFT / 1e6:.0f} million it takes no more writes"
        )
        found.append(Finding(Weight.FAULT, "postgres", "transaction ids", says, IDS_DO))
    if _number(prepared) >= LONG_PREPARED_S:
        says = (
            f"a transaction was prepared {_number(prepared) / 3600:.0f} hours ago and never ended: it holds its locks, over failovers too"
        )
        found.append(Finding(Weight.NOTE, "postgres", "prepared transaction", says, PREPARED_DO))
    return found


def _number(text: str | None) -> float:
    """-inf of what is none."""
    try:
        value = float(text or "-inf")
    except ValueError:
        return -math.inf
    return -math.inf if math.isnan(value) else value
