# SPDX-License-Identifier: Apache-2.0
"""Dialects as data: what each asks is harmless, names what it must, and gives the rows that the catalog expects.

Of DM8, KingbaseES, IRIS, Db2, GBase 8s and SQL Server no server can run here: they have not been run against a live server.
What is tested of them is the SQL that is made, and what becomes of rows as their manuals print them.
"""

import re
from typing import Any

import pytest

from agent.collectors.odbc.catalog import SourceColumn, SourceTable, read_tables
from agent.collectors.odbc.dialect import Dialect, fill
from agent.collectors.odbc.dialects import DIALECTS
from agent.collectors.odbc.reading import TableReading
from agent.collectors.odbc.settings import OdbcSettings
from agent.collectors.odbc.tables import OfferedTable, offer_table
from agent.collectors.sqlserver import SQLSERVER
from tests.fakes.recorded import RecordedSession
from tests.servers.reading import KeptBlobs

ALL = [*DIALECTS.values(), SQLSERVER]
UNSEEN = [dialect for dialect in ALL if dialect.seen is None]
_HARMLESS = re.compile(
    r"\s*(SELECT|SET|SHOW|PRAGMA query_only|PRAGMA encoding|BEGIN|START TRANSACTION|SAVEPOINT|ROLLBACK TO)\b"
)


def _statements(dialect: Dialect) -> list[str]:
    optional = (
        dialect.tables, dialect.columns, dialect.keys, dialect.fingerprint, dialect.session_id, dialect.waiting, dialect.ddl,
        dialect.ddl_whole, dialect.position[1] if dialect.position else None, dialect.page,
    )  # fmt: skip
    instead = [s for r in dialect.requirements if r.instead for s in r.instead[1]]
    queries = [r.query for r in dialect.requirements]
    return [
        *dialect.session,
        *dialect.begins,
        *dialect.first,
        *(dialect.around or ()),
        *instead,
        *queries,
        *(s for s in optional if s),
    ]


def make_table(dialect: Dialect, types: list[str], **changes: Any) -> OfferedTable:
    """Give a table with a key `ID` of the dialect's first integer type, and a column of each of these types."""
    integer = next(name for name, cast in dialect.casts.items() if cast.kind == "int")
    columns = (
        SourceColumn("ID", integer, integer, 8, 0, False, False, None),
        *(SourceColumn(f"C{i}", name, name, None, 2, True, False, None) for i, name in enumerate(types)),
    )
    facts: dict[str, Any] = {"key": ("ID",), "address": None, "before": ""} | changes
    source = SourceTable("S", "T", columns, facts["key"], 5, None, facts["address"], True, None, facts["before"])
    offered = offer_table(source, OdbcSettings(dialect.name, "DSN=x"), dialect)
    assert isinstance(offered, OfferedTable)
    return offered


@pytest.mark.parametrize("dialect", ALL, ids=lambda d: d.name)
def test_every_statement_of_a_dialect_only_reads(dialect: Dialect) -> None:
    for statement in _statements(dialect):
        assert _HARMLESS.match(statement), statement
        assert not re.search(
            r"(?i)\b(NOLOCK|READ UNCOMMITTED|UPDATE|DELETE|INSERT|ALTER|DROP|TRUNCATE|LOCK TABLE)\b", statement
        )


@pytest.mark.parametrize("dialect", ALL, ids=lambda d: d.name)
def test_every_cast_names_the_column_and_what_is_long_can_be_measured_and_cut(dialect: Dialect) -> None:
    for cast in (*dialect.casts.values(), dialect.other):
        assert "{c}" in cast.sql or cast.sql == "{c}"
        if cast.long is not None:
            assert "{c}" in cast.long.length
            assert all(part in cast.long.part for part in ("{c}", "{start}", "{count}"))
            assert cast.long.most is None or cast.long.most >= 4000


@pytest.mark.parametrize("dialect", [d for d in ALL if d.page], ids=lambda d: d.name)
def test_pages_have_all_their_places(dialect: Dialect) -> None:
    assert all("{" + part + "}" in dialect.page for part in ("what", "t", "where", "order", "rows"))


@pytest.mark.parametrize("dialect", UNSEEN, ids=lambda d: d.name)
def test_dialect_that_was_never_run_says_so_in_its_findings(dialect: Dialect) -> None:
    assert dialect.needs
    assert "{user}" in dialect.grants or "{account}" in dialect.grants


def test_a_part_is_not_looked_at_again_when_sql_is_filled() -> None:
    assert fill("SELECT {c} FROM {t}", c="{t}", t="x{c}") == "SELECT {t} FROM x{c}"


def test_quotes_in_names_are_doubled() -> None:
    assert DIALECTS["mariadb"].quote("a`b") == "`a``b`"
    assert SQLSERVER.quote("a]b") == "[a]]b]"
    assert SQLSERVER.write_text("O'N") == "N'O''N'"


def test_page_behind_a_row_of_a_key_of_two_columns_walks_the_index() -> None:
    dialect = DIALECTS["postgresql"]
    columns = (
        SourceColumn("a", "int4", "integer", 4, None, False, False, None),
        SourceColumn("b", "text", "text", 9, None, False, False, None),
        SourceColumn("doc", "text", "text", None, None, True, False, None),
    )
    source = SourceTable("s", "t", columns, ("a", "b"), None, None, None, True, None, "ONLY ")
    offered = offer_table(source, OdbcSettings("postgresql", "DSN=x"), dialect)
    assert isinstance(offered, OfferedTable)
    assert offered.page(["x"], offered.locate(["7", "O'N"]), 16) == (
        'SELECT x AS c0 FROM ONLY "s"."t" t WHERE t."a" >= 7 AND ((t."a" > 7) OR (t."a" = 7 AND t."b" > \'O\'\'N\')) '
        'ORDER BY t."a", t."b" LIMIT 16'
    )


def test_dm8_reads_blobs_in_the_pieces_that_its_functions_give() -> None:
    dialect = DIALECTS["dm8"]
    raw = bytes(range(256)) * 200
    offered = make_table(dialect, ["BLOB", "CLOB", "TIMESTAMP WITH TIME ZONE"], address="t.ROWID")

    def part(sql: str) -> list[list[str]]:
        found = re.search(r"RAWTOHEX\(DBMS_LOB.SUBSTR\(t.\"C0\", (\d+), (\d+)\)\)", sql)
        assert found
        count, start = int(found[1]), int(found[2]) - 1
        assert count <= 16_000
        return [[raw[start : start + count].hex().upper()]]

    moment = "2026-01-02 03:04:05.120000 +08:00"
    session = RecordedSession(
        [
            (
                r"ORDER BY",
                [["1", "00FF", "文", moment, "2", "1", "1"], ["2", None, None, None, str(len(raw)), None, "2"]],
            ),
            (r"WHERE t.\"ID\" = 2", part),
        ]
    )
    reading = TableReading(session, offered, KeptBlobs(), lambda: None)  # type: ignore[arg-type]  # a recorded session
    lines = b"".join(reading.blocks()).split(b"\n")[:-1]
    assert lines[0].split(b"\t") == [b"1", b"\\\\x00ff", "文".encode(), b"2026-01-02 03:04:05.12+08:00"]
    assert lines[1] == b"2\t\\\\x" + raw.hex().encode(), "51,200 bytes are no large cell, however they came"
    assert len(session.asked) == 1 + 4


def test_kingbase_is_read_by_the_catalogs_of_postgresql_without_its_extras() -> None:
    kingbase = DIALECTS["kingbase"]
    assert kingbase.columns is not None
    assert "sys_catalog" in kingbase.columns
    assert "lower(b.typname::text) END" in kingbase.columns
    assert "jit" not in " ".join(kingbase.session)
    offered = make_table(kingbase, ["varchar", "bytea", "$other"])
    assert "encode(t.\"C1\", 'hex')" in offered.query([c.sql for c in offered.columns])


def test_iris_asks_for_the_first_rows_and_is_live() -> None:
    iris = DIALECTS["iris"]
    offered = make_table(iris, ["longvarchar"])
    assert offered.page(["x"], [], 9) == 'SELECT TOP 9 x AS c0 FROM "S"."T" t ORDER BY t."ID"'
    assert iris.consistency == "live"


def test_db2_never_asks_for_an_isolation_that_locks() -> None:
    db2 = DIALECTS["db2"]
    assert not re.search(r"\b(RR|RS|UR)\b", " ".join(db2.session + db2.begins))
    assert make_table(db2, ["CLOB"]).page(["x"], ["5"], 9) == (
        'SELECT x AS c0 FROM "S"."T" t WHERE ((t."ID" > 5)) ORDER BY t."ID" FETCH FIRST 9 ROWS ONLY'
    )


def test_catalog_of_gbase_gives_types_by_number() -> None:
    gbase = DIALECTS["gbase"]
    session = RecordedSession(
        [
            (r"syscolumns k ON k.tabid = t.tabid LEFT", [
                ["his", "visit", "id", "2", "2(4)", None, None, "0", "0", None, "1"],
                ["his", "visit", "price", "5", "5(2306)", None, "2", "1", "0", None, "2"],
                ["his", "visit", "name", "0", "0(20)", None, None, "1", "0", None, "3"],
            ]),
            (r"sysconstraints", [["his", "visit", "id", "1"]]),
            (r"tabtype = 'T'", [["his", "visit", "12", None, None, "1", None, None]]),
        ]
    )  # fmt: skip
    (table,) = read_tables(session, gbase)  # type: ignore[arg-type]  # a recorded session
    offered = offer_table(table, OdbcSettings("gbase", "DSN=x"), gbase)
    assert isinstance(offered, OfferedTable)
    assert [(c.name, c.kind, c.null, c.scale) for c in offered.schema.columns] == [
        ("id", "int", False, None), ("price", "decimal", True, 2), ("name", "text", True, None),
    ]  # fmt: skip
    assert offered.schema.key == ("id",)
    assert offered.schema.notes == ("padded name",)
