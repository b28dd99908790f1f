# SPDX-License-Identifier: Apache-2.0
"""SQL Server: the SQL that is made, and rows as its manuals print them. Not yet run against a live server: none is here."""

from dataclasses import replace

import pytest

from agent.collectors.odbc.catalog import read_tables
from agent.collectors.odbc.reading import TableReading
from agent.collectors.odbc.settings import OdbcSettings
from agent.collectors.odbc.tables import OfferedTable, offer_table
from agent.collectors.odbc.view import meet_requirements
from agent.collectors.sqlserver import SQLSERVER, SqlserverCollector, SqlserverSettings
from agent.errors import SourceError
from evidence.manifest.statement import Consistency
from evidence.rows.line import parse_line
from evidence.rows.values import check_value
from tests.fakes.recorded import RecordedSession
from tests.servers.reading import KeptBlobs

_TYPES = [
    ("id", "int", None, None, "0"), ("flag", "bit", "3", None, "1"), ("price", "money", "24", "4", "1"),
    ("amount", "decimal", "27", "3", "1"), ("f8", "float", "24", None, "1"), ("f4", "real", "12", None, "1"),
    ("name", "nvarchar", "300", None, "1"), ("code", "char", "15", None, "1"), ("d", "date", "9", None, "1"),
    ("t", "time", "15", None, "1"), ("dt", "datetime", "24", None, "1"), ("dt2", "datetime2", "24", None, "1"),
    ("dto", "datetimeoffset", "30", None, "1"), ("u", "uniqueidentifier", "48", None, "1"), ("v", "timestamp", "24", None, "0"),
    ("bin", "varbinary", "300", None, "1"), ("place", "geography", None, None, "1"), ("any", "sql_variant", "24048", None, "1"),
    ("x", "xml", None, None, "1"), ("doc", "nvarchar", None, None, "1"),
]  # fmt: skip
_ROW = [
    "1", "1", "-922337203685477.5808", "12.340", "3FB999999999999A", "3DCCCCCD", "4F4F3DD800DE", "41004200200020002000",
    "2026-02-28", "23:59:59.1230000", "2026-01-02 03:04:05.997", "2026-01-02 03:04:05.1234567",
    "2026-01-02 03:04:05.1200000 +08:00", "6F9619FF-8B86-D011-B42D-00C04FC964FF", "00000000000007D1", "00FF",
    "E6100000010C", "int:5", "3C0061002F003E00", None, "6", "4", "4", None, "1",
]  # fmt: skip


def _session(**changes: object) -> RecordedSession:
    answers: dict[str, object] = {"state": "1", "version": "1"} | changes
    columns = [
        ["dbo", "visit", name, kind, kind, octets, scale, null, "0", None] for name, kind, octets, scale, null in _TYPES
    ]
    return RecordedSession(
        [
            ("ProductVersion", [[answers["version"]]]),
            ("snapshot_isolation_state", [[answers["state"]]]),
            ("FROM sys.tables t", [["dbo", "visit", "1", None, None, "1", None, None]]),
            ("FROM sys.columns c", columns),
            ("FROM sys.indexes i", [["dbo", "visit", "id"]]),
            (r"FROM \[dbo\]", [_ROW]),
        ]
    )


def _offered(session: RecordedSession) -> OfferedTable:
    (table,) = read_tables(session, SQLSERVER)  # type: ignore[arg-type]  # a recorded session
    offered = offer_table(table, OdbcSettings("sqlserver", "DSN=x"), SQLSERVER)
    assert isinstance(offered, OfferedTable)
    return offered


def test_row_of_every_type_becomes_canonical_values() -> None:
    session = _session()
    offered = _offered(session)
    assert (offered.schema.key, offered.orders) == (("id",), True)
    reading = TableReading(session, offered, KeptBlobs(), lambda: None)  # type: ignore[arg-type]  # a recorded session
    # Long are geography, xml and nvarchar(max): their lengths stand behind the cells, then the key.
    (line,) = b"".join(reading.blocks()).split(b"\n")[:-1]
    cells = parse_line(line, offered.schema)
    values = dict(zip([c.name for c in offered.schema.columns], cells, strict=True))
    assert values == {
        "id": b"1", "flag": b"t", "price": b"-922337203685477.5808", "amount": b"12.340", "f8": b"0.1", "f4": b"0.1",
        "name": "住😀".encode(), "code": b"AB   ",
        "d": b"2026-02-28", "t": b"23:59:59.123", "dt": b"2026-01-02 03:04:05.997", "dt2": b"2026-01-02 03:04:05.1234567",
        "dto": b"2026-01-02 03:04:05.12+08:00", "u": b"6f9619ff-8b86-d011-b42d-00c04fc964ff", "v": b"\\x00000000000007d1",
        "bin": b"\\x00ff", "place": b"\\xe6100000010c", "any": b"int:5", "x": b"<a/>", "doc": None,
    }  # fmt: skip
    for column, cell in zip(offered.schema.columns, cells, strict=True):
        if isinstance(cell, bytes):
            check_value(column.kind, column.scale, cell)


def test_page_is_read_by_the_key_without_any_hint() -> None:
    session = _session()
    offered = _offered(session)
    b"".join(TableReading(session, offered, KeptBlobs(), lambda: None).blocks())  # type: ignore[arg-type]  # recorded
    sql = session.asked[-1]
    assert sql.startswith("SELECT TOP (256) CONVERT(varchar(20), t.[id]) AS c0, ")
    assert sql.endswith(" FROM [dbo].[visit] t ORDER BY t.[id]")
    assert "WITH (" not in sql
    assert (
        "CASE WHEN DATALENGTH(CONVERT(nvarchar(max), t.[doc])) / 2 > 174762 THEN NULL ELSE CONVERT(varchar(max), "
        "CONVERT(varbinary(max), CONVERT(nvarchar(max), t.[doc])), 2) END AS c19" in sql
    )


def test_part_of_a_text_is_cut_by_its_utf16_units() -> None:
    column = _offered(_session()).columns[-1]
    assert column.part(513, 512) == (
        "CONVERT(varchar(max), SUBSTRING(CONVERT(varbinary(max), CONVERT(nvarchar(max), t.[doc])), 2 * 513 - 1, 2 * 512), 2)"
    )


def test_snapshot_isolation_is_begun_where_it_is_allowed() -> None:
    settings = SqlserverSettings("db", "his", "u", "p").over_odbc()
    found = meet_requirements(_session(), SQLSERVER, settings)  # type: ignore[arg-type]  # a recorded session
    assert found == (Consistency.CONSISTENT, ("SET TRANSACTION ISOLATION LEVEL SNAPSHOT",))


def test_database_that_forbids_snapshots_is_refused_with_the_statement_that_allows_them() -> None:
    settings = SqlserverSettings("db", "his", "u", "p").over_odbc()
    with pytest.raises(SourceError, match="does not allow SNAPSHOT isolation") as caught:
        meet_requirements(_session(state="0"), SQLSERVER, settings)  # type: ignore[arg-type]  # a recorded session
    assert "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON" in str(caught.value.hint)


def test_person_who_accepts_it_gets_committed_rows_and_the_class_live() -> None:
    settings = replace(SqlserverSettings("db", "his", "u", "p"), accepts=Consistency.LIVE).over_odbc()
    found = meet_requirements(_session(state="0"), SQLSERVER, settings)  # type: ignore[arg-type]  # a recorded session
    assert found == (Consistency.LIVE, ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED",))


def test_server_before_2008_is_refused() -> None:
    with pytest.raises(SourceError, match="2008"):
        meet_requirements(_session(version="0"), SQLSERVER, SqlserverSettings("d", "h", "u", "p").over_odbc())  # type: ignore[arg-type]  # recorded


def test_instance_has_no_port_and_odd_words_are_braced() -> None:
    settings = SqlserverSettings("db\\sql1", "h;is}", "u", "p", encrypt="strict", trust_certificate=True).over_odbc()
    assert settings.connection == (
        "Driver={ODBC Driver 18 for SQL Server};Server=db\\sql1;Database={h;is}}};Encrypt=strict;TrustServerCertificate=yes"
    )
    assert "p" not in settings.connection.replace("TrustServer", "").split("=")[-1]


def test_grants_allow_reading_and_snapshots_alone() -> None:
    words = SqlserverCollector(SqlserverSettings("db", "his", "jin]suo", "p")).grants().en
    assert "CREATE LOGIN [jin]]suo]" in words
    assert "db_datareader" in words
    assert "ALLOW_SNAPSHOT_ISOLATION ON" in words
    assert not any(word in words for word in ("sysadmin", "db_owner", "INSERT", "CONTROL"))
