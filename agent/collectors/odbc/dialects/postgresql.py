# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL through psqlodbc, and KingbaseES, which speaks the same and keeps the same catalogs. Data.

A text is printed by the type's own output function (`format`), as COPY does; only where a cast to text says the same is
it a cast. What the sources' own collector cannot do here: several sessions of one snapshot.
"""

from dataclasses import replace
from typing import Final

from agent.collectors.odbc.dialect import Cast, Dialect, Form, Long, Requirement
from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text

_TEXT: Final = Long("octet_length({c}::text)", "substr({c}::text, {start}, {count})")
_PRINT: Final = "CASE WHEN {c} IS NULL THEN NULL ELSE format('%s', {c}) END"
_PRINTED: Final = Long("octet_length(format('%s', {c}))", "substr(format('%s', {c}), {start}, {count})")
_BYTES: Final = Long("octet_length({c})", "encode(substr({c}, {start}, {count}), 'hex')")


def _cast(kind: Kind) -> Cast:
    return Cast(kind, "{c}::text")


_CASTS: Final = {
    "bool": _cast(Kind.BOOL),
    **{name: _cast(Kind.INT) for name in ("int2", "int4", "int8", "oid", "xid", "xid8", "cid")},
    "numeric": _cast(Kind.DECIMAL),
    "money": Cast(Kind.DECIMAL, "{c}::numeric::text"),
    "float4": _cast(Kind.FLOAT4), "float8": _cast(Kind.FLOAT8),
    "text": Cast(Kind.TEXT, "{c}::text", long=_TEXT),
    "varchar": Cast(Kind.TEXT, "{c}::text", long=_TEXT),
    "bpchar": Cast(Kind.TEXT, _PRINT, long=_PRINTED, is_padded=True),
    "name": _cast(Kind.TEXT),
    "char": _cast(Kind.TEXT),
    "xml": Cast(Kind.TEXT, "{c}::text", long=_TEXT),
    "$string": Cast(Kind.TEXT, _PRINT, long=_PRINTED),
    "json": Cast(Kind.JSON, "{c}::text", long=_TEXT), "jsonb": Cast(Kind.JSON, "{c}::text", long=_TEXT),
    "bytea": Cast(Kind.BYTES, "encode({c}, 'hex')", Form.HEX, _BYTES),
    "bit": Cast(Kind.BITS, _PRINT, long=_PRINTED), "varbit": Cast(Kind.BITS, _PRINT, long=_PRINTED),
    "date": _cast(Kind.DATE), "time": _cast(Kind.TIME),
    "timestamp": _cast(Kind.TIMESTAMP), "timestamptz": _cast(Kind.TIMESTAMPTZ),
    "interval": _cast(Kind.INTERVAL),
    "uuid": _cast(Kind.UUID),
}  # fmt: skip

_OWN: Final = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp_)'"
_FILES: Final = """(SELECT string_agg({file}::text, ',' ORDER BY l.oid) FROM pg_class l
    WHERE l.oid = {oid} OR l.oid IN (SELECT p.relid FROM pg_partition_tree({oid}::regclass) p))"""

_TABLES: Final = f"""
    SELECT n.nspname::text, c.relname::text, greatest(c.reltuples, 0)::bigint::text,
        CASE WHEN c.relkind = 'f' THEN 'a foreign table: its rows live on another server, outside of the snapshot'
             WHEN NOT has_schema_privilege(n.oid, 'USAGE') OR NOT has_any_column_privilege(c.oid, 'SELECT')
                 THEN 'the account has no right to SELECT from it'
             WHEN row_security_active(c.oid) THEN 'row-level security would hide rows of it from this account' END,
        NULL, '1', {_FILES.format(file="l.relfilenode", oid="c.oid")},
        CASE WHEN c.relkind = 'r' THEN 'ONLY ' END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND {_OWN} ORDER BY 1, 2"""  # noqa: S608 - constants

_COLUMNS: Final = f"""
    SELECT n.nspname::text, c.relname::text, a.attname::text,
        CASE WHEN b.typtype = 'e' OR (bn.nspname <> 'pg_catalog' AND b.typcategory = 'S') THEN '$string'
             WHEN bn.nspname <> 'pg_catalog' THEN '$other' ELSE b.typname::text END,
        format_type(a.atttypid, a.atttypmod),
        CASE WHEN b.typname IN ('varchar', 'bpchar') AND m.modifier > 4 THEN ((m.modifier - 4) * 4)::text
             WHEN b.typlen > 0 THEN b.typlen::text END,
        CASE WHEN b.typname = 'numeric' AND m.modifier >= 4 THEN ((((m.modifier - 4) & 2047) # 1024) - 1024)::text
             WHEN b.typname = 'money' THEN '2' END,
        CASE WHEN a.attnotnull THEN '0' ELSE '1' END, CASE WHEN a.attgenerated <> '' THEN '1' ELSE '0' END,
        col_description(c.oid, a.attnum)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_type t ON t.oid = a.atttypid
        JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
        JOIN pg_namespace bn ON bn.oid = b.typnamespace,
        LATERAL (SELECT CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier) m
    WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped AND {_OWN}
    ORDER BY 1, 2, a.attnum"""  # noqa: S608 - constants

_KEYS: Final = f"""
    SELECT n.nspname::text, c.relname::text, a.attname::text
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
        LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attnum = k.number
    WHERE a.attrelid = c.oid AND i.indisprimary AND {_OWN} ORDER BY 1, 2, k.place"""  # noqa: S608 - constants

_GRANTS: Final = """\
CREATE ROLE {user} LOGIN PASSWORD '...' CONNECTION LIMIT 8;
zh|-- PostgreSQL 14 起；更早的版本，对每个模式 GRANT USAGE，并对其中 ALL TABLES GRANT SELECT。
en|-- From PostgreSQL 14 on; before, GRANT USAGE ON each schema and SELECT ON ALL TABLES IN it.
GRANT pg_read_all_data TO {user};
zh|-- 即使误操作也不会造成损害：
en|-- It can do no harm even by mistake:
ALTER ROLE {user} SET default_transaction_read_only = on;
"""

POSTGRESQL: Final = Dialect(
    name="postgresql",
    title=Text(zh="PostgreSQL", en="PostgreSQL"),
    driver="PostgreSQL Unicode",
    seen="PostgreSQL 15, psqlodbc 13.02",
    needs=Text(zh="psqlodbc（Debian 的 odbc-postgresql 包）", en="psqlodbc (Debian: odbc-postgresql)"),
    casts=_CASTS,
    other=Cast(Kind.OTHER, _PRINT, long=_PRINTED),
    consistency=Consistency.CONSISTENT,
    tables=_TABLES,
    columns=_COLUMNS,
    keys=_KEYS,
    # Without cursors the driver would hold a whole table in memory.
    options=(("UseDeclareFetch", "1"), ("Fetch", "500"), ("Protocol", "7.4-2"), ("MaxLongVarcharSize", "0")),
    session=(
        "SET client_min_messages = error",
        "SET bytea_output = hex", "SET TimeZone = 'UTC'", "SET DateStyle = 'ISO, YMD'", "SET IntervalStyle = postgres",
        "SET extra_float_digits = 3", "SET search_path = ''", "SET row_security = off", "SET jit = off",
        "SET max_parallel_workers_per_gather = 0", "SET lock_timeout = {lock_ms}",
        "SET idle_in_transaction_session_timeout = {age_ms}",
    ),
    begins=("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",),
    position=("pg", "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"),
    requirements=(
        Requirement(
            "SELECT (current_setting('server_version_num')::int >= 120000)::int::text", frozenset({"1"}),
            Text(zh="能读的最早版本是 PostgreSQL 12", en="the oldest PostgreSQL that can be read is 12"),
            Text(zh="读它的导出文件，或读一个较新版本的副本", en="read a dump of it, or a newer copy"),
        ),
        Requirement(
            "SELECT (pg_encoding_to_char(encoding) <> 'SQL_ASCII')::int::text FROM pg_database "
            "WHERE datname = current_database()", frozenset({"1"}),
            Text(
                zh="该数据库的文字没有编码（SQL_ASCII），ODBC 无法原样传递",
                en="the database's texts have no encoding (SQL_ASCII), and ODBC has no way to pass them as they are",
            ),
            Text(zh="用 kind: postgresql 的来源读取", en="read it by a source of kind postgresql"),
        ),
    ),
    locates=frozenset({Kind.INT, Kind.DECIMAL, Kind.TEXT, Kind.UUID, Kind.DATE}),
    around=("SAVEPOINT jinsuo", "ROLLBACK TO SAVEPOINT jinsuo"),
    fingerprint=(
        "SELECT " + _FILES.replace("{file}", "coalesce(pg_relation_filenode(l.oid), 0)")
        .replace("{oid}", "to_regclass({t'})")
    ),
    session_id="SELECT pg_backend_pid()::text",
    waiting="SELECT count(*)::text FROM pg_locks WHERE NOT granted AND {session} = ANY(pg_blocking_pids(pid))",
    grants=_GRANTS,
)  # fmt: skip

KINGBASE: Final = replace(
    POSTGRESQL,
    name="kingbase",
    title=Text(zh="人大金仓 KingbaseES", en="KingbaseES"),
    driver="Kingbase",
    seen=None,
    needs=Text(zh="人大金仓的 KingbaseES ODBC 驱动", en="KingbaseES ODBC driver"),
    # Of the settings, those that its documents name; of the requirements, none: versions are counted otherwise.
    session=(
        "SET bytea_output = hex", "SET TimeZone = 'UTC'", "SET DateStyle = 'ISO, YMD'", "SET IntervalStyle = postgres",
        "SET extra_float_digits = 3", "SET lock_timeout = {lock_ms}",
    ),
    requirements=(),
    columns=_COLUMNS.replace("b.typname::text END", "lower(b.typname::text) END").replace(
        "'pg_catalog' THEN '$other'", "ALL (ARRAY['pg_catalog', 'sys_catalog', 'sys']) THEN '$other'"
    ),
    notes=("in a database of Oracle mode, an empty text is NULL",),
)  # fmt: skip
