"""From the T-SQL that clients of this stand-in send to PostgreSQL's SQL: session settings, a few functions and types, names and parameters.

It is no T-SQL: what is not known here goes down as it came, and what PostgreSQL says to it comes back as an error. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

SETUP = """
create schema if not exists tsql;
grant usage on schema tsql to public;
create or replace function tsql.serverproperty(name text) returns text stable language sql as $$
  select case lower(name) when 'computernamephysicalnetbios' then upper(left(current_setting('cluster_name'), 15))
    when 'machinename' then current_setting('tsql.server') when 'servername' then current_setting('tsql.server')
    when 'productversion' then '16.0.0 (stand-in)' when 'edition' then 'stand-in of a lab, not SQL Server'
    when 'instancename' then nullif(current_setting('tsql.instance'), '') when 'isclustered' then '0' when 'ishadrenabled' then '0' end $$;
create or replace function tsql.connectionproperty(name text) returns text stable language sql as $$
  select case lower(name) when 'local_net_address' then current_setting('tsql.local_address')
    when 'client_net_address' then current_setting('tsql.client_address') when 'local_tcp_port' then current_setting('tsql.local_port')
    when 'auth_scheme' then 'SQL' when 'net_transport' then 'TCP' end $$;
create or replace function tsql.databasepropertyex(db text, name text) returns text stable language sql as $$
  select case lower(name) when 'updateability'
    then case when pg_is_in_recovery() or current_setting('default_transaction_read_only') = 'on' then 'READ_ONLY' else 'READ_WRITE' end
    when 'status' then 'ONLINE' end $$;
create or replace function tsql.db_name() returns text stable language sql as $$ select current_setting('tsql.database') $$;
create or replace function tsql.getdate() returns timestamp volatile language sql as $$ select (clock_timestamp() at time zone 'utc') $$;
create or replace function tsql.object_id(name text) returns int stable language sql as $$ select to_regclass(name)::oid::int $$;
create or replace function tsql.datediff(part text, since timestamp, until timestamp) returns bigint immutable language sql as $$
  select floor(extract(epoch from until - since)
    / case part when 'second' then 1 when 'minute' then 60 when 'hour' then 3600 else 86400 end)::bigint $$;
create or replace view tsql.sys_databases as
  select unnest(array[current_setting('tsql.database'), 'master', 'tempdb']) as name,
    (pg_postmaster_start_time() at time zone 'utc') as create_date,
    case current_setting('synchronous_commit') when 'off' then 'FORCED' else 'DISABLED' end as delayed_durability_desc;
grant select on tsql.sys_databases to public;
"""
IGNORED = re.compile(
    r"(?i)\s*set\s+(?:ansi_\w+|arithabort|concat_null_yields_null|cursor_close_on_commit|datefirst|dateformat|implicit_transactions|language"
    r"|lock_timeout|nocount|numeric_roundabort|quoted_identifier|rowcount|textsize|transaction\s+isolation\s+level|xact_abort|fmtonly"
    r"|no_browsetable|deadlock_priority|showplan_\w+|statistics)\b.*"
)
LITERAL = re.compile(r"(N?'(?:[^']|'')*'|\[[^\]]*\]|\"[^\"]*\"|--[^\n]*|/\*.*?\*/)", re.DOTALL)
TRANSACTION = re.compile(r"(?i)\s*(begin|commit|rollback)(?:\s+(?:tran|transaction|work))?(?:\s+\w+)?\s*;?\s*")
PLAIN = [
    (re.compile(r"(?i)@@servername\b"), "current_setting('tsql.server')"),
    (re.compile(r"(?i)@@version\b"), "('stand-in of a lab, not SQL Server; beneath it: ' || version())"),
    (re.compile(r"(?i)@@spid\b"), "pg_backend_pid()"),
    (re.compile(r"(?i)@@trancount\b"), "current_setting('tsql.open')::int"),
    (re.compile(r"(?i)\bn?varchar\s*\(\s*max\s*\)"), "text"),
    (re.compile(r"(?i)\bnvarchar\b"), "varchar"),
    (re.compile(r"(?i)\bnchar\b"), "char"),
    (re.compile(r"(?i)\bdatetime2?(\s*\(\s*\d\s*\))?(?=\s|,|\)|$)"), "timestamp"),
    (re.compile(r"(?i)\b(?:sys\.|master\.sys\.)databases\b"), "tsql.sys_databases"),
    (re.compile(r"(?i)\b(serverproperty|connectionproperty|databasepropertyex|db_name|getdate|object_id)\s*\("), r"tsql.\1("),
    (re.compile(r"(?i)\bsysdatetime\s*\("), "tsql.getdate("),
    (re.compile(r"(?i)\bdatediff(?:_big)?\s*\(\s*(second|minute|hour|day)\s*,"), r"tsql.datediff('\1',"),
    (re.compile(r"(?i)\breplicate\s*\("), "repeat("),
    (re.compile(r"(?i)\bisnull\s*\("), "coalesce("),
    (re.compile(r"(?i)\blen\s*\("), "length("),
    (re.compile(r"(?i)\b(?:suser_sname|system_user)(?:\s*\(\s*\))?"), "session_user"),
    (re.compile(r"(?i)\bdbo\."), "public."),
]


class Statement(NamedTuple):
    """`kind`: ignored, begin, commit, rollback, use, or sql."""

    kind: str
    sql: str


def statements(text: str) -> list[Statement]:
    """A batch, one statement to a line or to a semicolon; what is one line long or longer is one statement otherwise."""
    parsed = []
    for segment in _pieces(text):
        if IGNORED.fullmatch(segment):
            parsed.append(Statement("ignored", segment))
        elif control := TRANSACTION.fullmatch(segment):
            parsed.append(Statement(control[1].lower(), segment))
        elif use := re.fullmatch(r"(?i)\s*use\s+\[?([^\]\s;]+)\]?\s*", segment):
            parsed.append(Statement("use", use[1]))
        else:
            parsed.append(Statement("sql", translate(segment)))
    return parsed


def _pieces(text: str) -> list[str]:
    """By semicolons outside of literals; and line by line where lines are settings of the session."""
    parts = [""]
    for n, fragment in enumerate(LITERAL.split(text)):
        if n % 2:
            parts[-1] += "" if fragment.startswith(("--", "/*")) else fragment
            continue
        head, *tail = re.split(r";|(?i:\n(?=\s*(?:set|begin|commit|rollback)\b))", fragment)
        parts[-1] += head
        parts += tail
    return [part.strip() for part in parts if part.strip()]


def translate(statement: str) -> str:
    """One statement in PostgreSQL's SQL."""
    sql = "".join(_literal(fragment) if n % 2 else _plain(fragment) for n, fragment in enumerate(LITERAL.split(statement)))
    sql = re.sub(r"(?is)^\s*if\s+tsql\.object_id\s*\([^)]*\)\s+is\s+null\s+create\s+table\s", "create table if not exists ", sql)
    sql = re.sub(r"(?is)^\s*if\s+tsql\.object_id\s*\([^)]*\)\s+is\s+not\s+null\s+drop\s+table\s", "drop table if exists ", sql)
    sql = re.sub(r"(?is)\soutput\s+inserted\.(\w+)(\s+values\s.*)$", r"\2 returning \1", sql)
    if wait := re.fullmatch(r"(?is)\s*waitfor\s+delay\s+'(\d+):(\d+):([\d.]+)'\s*", sql):
        return f"do $$ begin perform pg_sleep({int(wait[1]) * 3600 + int(wait[2]) * 60 + float(wait[3]):g}); end $$"
    if top := re.match(r"(?is)(\s*select\s+)top\s*\(?\s*(\d+)\s*\)?\s+(.*)$", sql):
        return f"{top[1]}{top[3]} limit {top[2]}"
    return sql


def _plain(text: str) -> str:
    for pattern, instead in PLAIN:
        text = pattern.sub(instead, text)
    return text


def _literal(literal: str) -> str:
    if literal.startswith("["):
        return '"' + literal[1:-1] + '"'
    if literal.startswith("N'"):
        return literal[1:]
    return " " if literal.startswith(("--", "/*")) else literal


def with_parameters(statement: str, names: Sequence[str]) -> str:
    """`@name` of each parameter becomes `$1`, `$2` …"""
    numbers = {name.lower(): n for n, name in enumerate(names, 1)}

    def numbered(match: re.Match[str]) -> str:
        number = numbers.get(match[0].lower())
        return match[0] if number is None else f"${number}"

    return "".join(fragment if n % 2 else re.sub(r"(?<!@)@\w+", numbered, fragment) for n, fragment in enumerate(LITERAL.split(statement)))


def declared_names(definition: str) -> list[str]:
    """The parameters' names of a definition such as `@p1 int, @p2 nvarchar(10)`, in order."""
    return re.findall(r"(?:^|,)\s*(@\w+)\s", re.sub(r"\([^)]*\)", "", definition) + " ")
