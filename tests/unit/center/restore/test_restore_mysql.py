# SPDX-License-Identifier: Apache-2.0
"""Restoring into MySQL and MariaDB."""

import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import MySQLdb
import pytest

from agent.collectors.mysql import MysqlCollector
from center.errors import TargetError
from center.restore import RestoreReport, open_target, restore
from center.restore.my_plan import plan_column, write_text
from center.restore.my_survey import Survey
from center.restore.my_types import find_own_type
from center.restore.mysql import MysqlTarget, _size_of_table
from evidence.rows.line import encode_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from terminal.language import NOTHING
from tests.fakes import nasty
from tests.fakes.recipe import take_with_agent
from tests.fakes.snapshot import SourceHistory, TableContent
from tests.servers.mariadb import MariadbServer
from tests.servers.reading_mysql import settings_for

Query = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def url(mariadb_server: MariadbServer, mariadb_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MYSQL_PWD", mariadb_server.password)
    return f"mysql://{mariadb_server.user}@{mariadb_server.host}:{mariadb_server.port}/{mariadb_database}"


@pytest.fixture
def query(mariadb_server: MariadbServer, mariadb_database: str) -> Query:
    return lambda sql: mariadb_server.execute(sql, database=mariadb_database)


def _restore(url: str, *tables: TableContent, position: str = "-", overwrite: bool = False) -> RestoreReport:
    with closing(open_target(url)) as target:
        return restore(SourceHistory(position=position).take(*tables), target, overwrite=overwrite)


def _types(query: Query, table: str) -> dict[object, object]:
    return {row[0]: row[1] for row in query(f"SHOW COLUMNS FROM `{table}`")}


def _column(kind: Kind, type_: str, *values: bytes) -> TableContent:
    columns = (Column("id", Kind.INT, False, "int"), Column("x", kind, True, type_))
    return TableContent(Schema("t", columns, ("id",)), [encode_line([b"%d" % i, v]) for i, v in enumerate(values)])


def test_types_are_the_nearest_exact_ones(url: str, query: Query) -> None:
    report = _restore(url, nasty.any_kind("a"), nasty.beyond_native("b"), nasty.composite("c"))
    assert report.is_equal
    types = _types(query, "a")
    assert types == {
        "id": "bigint(20)", "mixed": "longtext", "texts": "longtext", "numbers": "bigint(20)", "blobs": "longblob",
    }  # fmt: skip
    assert _types(query, "b") == {
        "id": "decimal(20,0)", "wide": "decimal(65,0)", "zero_date": "longtext", "long_time": "time",
        "nanos": "longtext", "nul": "longtext", "gbk": "longblob", "broken_json": "longtext",
    }  # fmt: skip
    assert _types(query, "c")["code"] == "varchar(1)"
    notes = next(t.notes for t in report.tables if t.name == "b")
    assert any("'zero_date' is text" in note.en for note in notes)
    assert any("'gbk' is binary" in note.en for note in notes)


@pytest.mark.parametrize(
    ("kind", "values", "type_"),
    [
        (Kind.FLOAT8, (b"5e-324", b"0.1", b"1.7976931348623157e+308", b"9.007199254740992e+15"), "double"),
        (Kind.FLOAT4, (b"1e-45", b"0.1", b"3.4028235e+38", b"1.6777216e+07"), "float"),
        (Kind.FLOAT8, (b"1", b"NaN"), "longtext"),
        (Kind.FLOAT4, (b"1", b"-0"), "longtext"),
        (Kind.DECIMAL, (b"-12.50", b"0.00"), "decimal(4,2)"),
        (Kind.DECIMAL, (b"1.5", b"1.50"), "longtext"),
        (Kind.DECIMAL, (b"9" * 65,), "decimal(65,0)"),
        (Kind.DECIMAL, (b"9" * 66,), "longtext"),
        (Kind.INT, (b"18446744073709551615", b"0"), "bigint(20) unsigned"),
        (Kind.INT, (b"18446744073709551615", b"-1"), "decimal(65,0)"),
        (Kind.BITS, (b"0101010101", b"0000000000"), "bit(10)"),
        (Kind.BITS, (b"1" * 64,), "bit(64)"),
        (Kind.BITS, (b"01", b"1"), "longtext"),
        (Kind.DATE, (b"0000-00-00", b"2026-02-31", b"9999-12-31"), "date"),
        (Kind.DATE, (b"0999-12-31",), "longtext"),
        (Kind.DATE, (b"infinity",), "longtext"),
        (Kind.TIME, (b"-838:59:59", b"24:00:00", b"00:00:00.000001"), "time(6)"),
        (Kind.TIME, (b"839:00:00",), "longtext"),
        (Kind.TIMESTAMP, (b"1000-01-01 00:00:00.5", b"0000-00-00 00:00:00"), "datetime(1)"),
        (Kind.TIMESTAMP, (b"2026-11-22 01:02:03.1234567",), "longtext"),
        (Kind.TIMESTAMPTZ, (b"2026-11-22 01:02:03.25+00", b"1970-01-01 00:00:01+00"), "timestamp(2)"),
        (Kind.TIMESTAMPTZ, (b"1969-12-31 23:59:59+00",), "datetime"),
        (Kind.TEXT, ("\U0001f469\u200d\u2695\ufe0f \U00020bb7".encode(), b"a\\'\"\0\x1a%_", b"trailing  "), "longtext"),
        (Kind.BYTES, (b"\\x", b"\\x00275c22ff", b"\\x" + b"e4" * 9), "longblob"),
        (Kind.UUID, (b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",), "char(36)"),
        (Kind.BOOL, (b"t", b"f"), "tinyint(1)"),
    ],
)
def test_a_column_gets_the_type_that_holds_all_its_values(
    url: str, query: Query, kind: Kind, values: tuple[bytes, ...], type_: str
) -> None:
    report = _restore(url, _column(kind, "x", *values))
    assert report.is_equal, report.tables
    assert _types(query, "t")["x"] == type_


_HOSPITAL = (
    "CREATE TABLE 患者 (id bigint unsigned PRIMARY KEY, 姓名 varchar(40) CHARACTER SET gbk, fee decimal(10,2), z int(6) zerofill, "
    "seen datetime(3) NOT NULL, stamp timestamp(2) NULL, scan longblob, flags bit(5), ratio float, exact double, wide "
    "double(9,3), born date, lasted time(1), kind enum('急','普','it''s'), tags set('a','b'), note json, y year, b "
    "binary(4), place point, net inet6, u uuid, fixed char(8), gen int AS (fee * 2) STORED);"
    "INSERT INTO 患者 (id, 姓名, fee, z, seen, stamp, scan, flags, ratio, exact, wide, born, lasted, kind, tags, note, y, b, "
    "place, net, u, fixed) SELECT seq, CONCAT('病人', seq), seq / 7, seq, '2026-11-22 01:02:03.5' + INTERVAL seq SECOND, "
    "'2026-11-22 01:02:03.25', IF(seq % 100 = 0, REPEAT(X'00ff', 100000), X'0102'), seq % 32, seq / 3, seq / 3, seq / 3, "
    "'0000-00-00', '-800:00:01.5', ELT(1 + seq % 3, '急', '普', 'it''s'), 'a,b', JSON_OBJECT('n', seq), 1901 + seq % 200, "
    "'x', POINT(seq, 1e-9), '2001:db8::1', '123e4567-e89b-12d3-a456-426655440000', 'pad ' FROM seq_1_to_300;"
    "INSERT INTO 患者 (id, seen) VALUES (18446744073709551615, '0000-00-00');"
    "CREATE TABLE no_key (a varchar(20), b double, c longtext);"
    "INSERT INTO no_key VALUES ('same', 1, 'x'), ('same', 1, 'x'), (NULL, NULL, NULL), ('', -0e0, ''), ('same ', 1, 'x');"
    "CREATE TABLE `odd.name``s` (`select` varchar(10) PRIMARY KEY, `b c` tinyint(1)) COLLATE utf8mb4_general_ci;"
    "INSERT INTO `odd.name``s` VALUES ('b', 1), ('A', 0), ('c', NULL);"
    "CREATE SEQUENCE numbers"
)


def test_a_mariadb_comes_back_in_its_own_types_and_the_copy_has_the_same_roots(
    mariadb_server: MariadbServer, mariadb_database: str, url: str, query: Query, tmp_path: Path
) -> None:
    source = f"{mariadb_database}_source"
    mariadb_server.create_database(source)
    try:
        mariadb_server.execute(_HOSPITAL, database=source, sql_mode="ALLOW_INVALID_DATES")
        snapshot = take_with_agent(SourceHistory(), MysqlCollector(settings_for(mariadb_server, source)), tmp_path)
        with closing(open_target(url)) as target:
            report = restore(snapshot, target)
        assert [(t.name, t.error, t.differences) for t in report.tables if not t.is_equal] == []
        own = {row[0]: row[1] for row in mariadb_server.execute("SHOW COLUMNS FROM 患者", database=source)}
        copied = _types(query, "患者")
        assert copied == own
        # The copy, snapshotted by the agent under the source's names, is what was registered.
        names = {f"{mariadb_database}.{t}": f"{source}.{t}" for t in ("患者", "no_key", "odd.name`s")}
        assert {t.where.en for t in report.tables} >= {"table `患者`", "table `no_key`", "table `odd.name``s`"}
        again = take_with_agent(
            SourceHistory(), MysqlCollector(settings_for(mariadb_server, mariadb_database)), tmp_path / "again"
        )
        rows = {t.name: t.claim.rows for t in again.tables()}
        assert {names.get(name, name): count for name, count in rows.items() if name in names} == {
            t.name: t.claim.rows for t in snapshot.tables() if t.name in names.values()
        }
    finally:
        mariadb_server.drop_database(source)


def test_values_that_the_own_type_refuses_are_kept_in_another(url: str, query: Query) -> None:
    content = _column(Kind.TEXT, "enum('a','b')", b"a", b"", b"neither")
    report = _restore(url, content, position="mysql x:4")
    assert report.is_equal
    assert any("not in the source's own types" in note.en for note in report.tables[0].notes)
    assert _types(query, "t")["x"] == "longtext"


def test_a_type_text_from_outside_is_no_way_into_the_sql(url: str, query: Query) -> None:
    query("CREATE TABLE precious (x int)")
    evil = "int); DROP TABLE precious; --"
    assert _restore(url, _column(Kind.INT, evil, b"1"), position="mysql x:4", overwrite=True).is_equal
    assert find_own_type(evil) is None
    for text in ("enum('a') , y int, z enum('b')", "enum('a\\')", "varchar(20) CHARACTER SET gbk", "int\n"):
        assert find_own_type(text) is None, text
    assert query("SELECT count(*) FROM precious") == [(0,)]


def test_a_key_that_no_index_can_hold_is_said_and_the_rows_are_there(url: str) -> None:
    columns = (Column("k", Kind.TEXT, False, "text"), Column("x", Kind.INT, True, "int"))
    content = TableContent(Schema("t", columns, ("k",)), [encode_line([b"x" * 900, b"1"]), encode_line([b"y", b"2"])])
    report = _restore(url, content)
    assert report.is_equal
    assert any("too long for an index" in note.en for note in report.tables[0].notes)


def test_keys_that_differ_in_blanks_case_or_accent_alone_are_kept_apart(url: str, query: Query) -> None:
    columns = (Column("k", Kind.TEXT, False, "text"),)
    keys = [b"a", b"a ", b"A", "\u00e1".encode(), b"a\0"]
    report = _restore(url, TableContent(Schema("t", columns, ("k",)), [encode_line([k]) for k in keys]))
    assert report.is_equal
    assert query("SHOW KEYS FROM t")
    assert report.tables[0].notes == ()


def test_large_cells_of_a_table_without_key_come_back_in_bounded_memory(url: str) -> None:
    columns = (
        Column("n", Kind.INT, True, "int"),
        Column("scan", Kind.BYTES, True, "bytea"),
        Column("t", Kind.TEXT, True, "t"),
    )
    blob = bytes(range(256)) * (24 << 12)
    text = "病程".encode() * (3 << 20)
    lines = [encode_line([b"%d" % n, b"\\x" + blob.hex().encode(), text if n else None]) for n in (1, 1, 0)]
    snapshot = SourceHistory().take(TableContent(Schema("t", columns), lines))
    del lines
    tracemalloc.start()
    try:
        with closing(open_target(url)) as target:
            report = restore(snapshot, target)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.is_equal, report.tables
    assert peak < 3 * len(blob), peak


def test_a_cell_over_the_servers_packet_is_refused_with_what_to_set(mariadb_server: MariadbServer, url: str) -> None:
    content = _column(Kind.BYTES, "longblob", b"\\x" + b"00" * (2 << 20))
    mariadb_server.execute("SET GLOBAL max_allowed_packet = 2097152")
    try:
        report = _restore(url, content)
    finally:
        mariadb_server.execute("SET GLOBAL max_allowed_packet = 67108864")
    assert not report.is_equal
    assert "over max_allowed_packet" in report.tables[0].error.en


@pytest.mark.long
def test_a_cell_of_300_mb_comes_back(mariadb_server: MariadbServer, url: str) -> None:
    snapshot = SourceHistory().take(_column(Kind.BYTES, "longblob", b"\\x" + b"5a" * (300 << 20)))
    mariadb_server.execute("SET GLOBAL max_allowed_packet = 1073741824")
    try:
        with closing(open_target(url)) as target:
            assert restore(snapshot, target).is_equal
    finally:
        mariadb_server.execute("SET GLOBAL max_allowed_packet = 67108864")


def test_what_stands_there_is_untouched_until_everything_is_loaded(url: str, query: Query) -> None:
    query("CREATE TABLE visit_item (x int); INSERT INTO visit_item VALUES (7); CREATE VIEW every AS SELECT 1 AS one")
    with closing(open_target(url)) as target:
        snapshot = SourceHistory().take(nasty.composite(), TableContent(nasty.keyless("every").schema, []))
        from center.restore.rows import TableRows

        target.load(TableRows(snapshot, snapshot.table("visit_item")), lambda _: None)
        assert query("SELECT x FROM visit_item") == [(7,)]
    assert query("SHOW TABLES LIKE '~jinsuo~%'") == []
    with closing(open_target(url)) as target:
        assert restore(snapshot, target, overwrite=True).is_equal
    assert len(query("SELECT * FROM visit_item")) == 40
    assert query("SELECT * FROM every") == []


def test_what_a_broken_restore_left_is_dropped_by_the_next_and_one_restores_at_a_time(url: str, query: Query) -> None:
    query("CREATE TABLE `~jinsuo~0` (x int); CREATE TABLE `~jinsuo~7` (x int)")
    with closing(open_target(url)) as target:
        assert target.find_content() is None
        assert restore(SourceHistory().take(nasty.composite()), target).is_equal
        assert query("SHOW TABLES") == [("visit_item",)]
        with closing(open_target(url)) as other, pytest.raises(TargetError, match="another restore"):
            restore(SourceHistory().take(nasty.keyless()), other, overwrite=True)


def test_a_database_that_is_not_there_or_an_account_that_is_refused_is_said(url: str) -> None:
    for text in (url + "_absent", url.replace("admin@", "nobody@")):
        with pytest.raises(TargetError, match="cannot be opened") as caught:
            open_target(text)
        assert "MYSQL_PWD" in caught.value.hint
        assert "secret" not in str(caught.value)


def test_names_are_as_long_as_their_files_may_be() -> None:
    assert _size_of_table("a" * 64) == 64
    assert _size_of_table("表" * 48) == 64
    assert _size_of_table("表" * 49) > 64


def test_a_written_text_is_what_the_server_reads(mariadb_server: MariadbServer) -> None:
    value = bytes(b for b in range(1, 128)) + "字".encode()
    with closing(mariadb_server.connect()) as connection:
        connection.query(b"SELECT " + write_text(value + b"\0"))
        ((found,),) = connection.store_result().fetch_row(maxrows=0)
    assert found.encode() if isinstance(found, str) else found == value + b"\0"
    assert MySQLdb.version_info


def test_an_own_text_type_compares_by_code_points() -> None:
    planned, note = plan_column(
        "x", Column("x", Kind.TEXT, True, "varchar(9)"), Survey(Kind.TEXT), is_key=False, is_own=True, is_content=False,
        text="COLLATE y",
    )  # fmt: skip
    assert (planned.type, note) == ("varchar(9) COLLATE y", NOTHING)


def test_the_server_never_gets_a_file_of_ours(
    url: str, query: Query, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "master.key"
    secret.write_text("secret\n")
    (tmp_path / ".my.cnf").write_text("[client]\nlocal-infile=1\n")
    (tmp_path / ".my.cnf").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    query("CREATE TABLE stolen (line text)")
    with closing(open_target(url)) as target:
        assert isinstance(target, MysqlTarget)
        with pytest.raises(MySQLdb.Error):
            target._session.query(f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE stolen")
    assert query("SELECT * FROM stolen") == []


def test_the_password_may_stand_in_the_option_file(
    mariadb_server: MariadbServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".my.cnf").write_text(f"[client]\npassword={mariadb_server.password}\ndefault-character-set=latin1\n")
    (tmp_path / ".my.cnf").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MYSQL_PWD")
    assert _restore(url, nasty.composite(), nasty.large_cells()).is_equal
