# SPDX-License-Identifier: Apache-2.0
"""Promise 4, whole: the agent snapshots a real source, the center restores it, the agent snapshots the copy."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.collectors.files import FilesCollector, FilesSettings
from agent.collectors.postgresql import PostgresqlCollector, PostgresqlSettings
from agent.collectors.sqlite.collector import SqliteCollector
from agent.collectors.sqlite.settings import SqliteSettings
from center.registry.snapshots import Snapshot
from center.restore import RestoreReport, open_target, restore
from evidence.digest import Sha256
from tests.fakes.recipe import take_with_agent
from tests.fakes.snapshot import SourceHistory
from tests.servers.postgresql import PostgresServer

_HOSPITAL = """
    CREATE TABLE 患者 (编号 INTEGER PRIMARY KEY, 姓名 TEXT NOT NULL, "住院 号" VARCHAR(20), 余额 NUMERIC, 照片 BLOB, x);
    CREATE TABLE no_key (a TEXT, b REAL);
    CREATE TABLE typed (code TEXT, n INT, part INTEGER, r REAL, bin BLOB, v ANY, PRIMARY KEY (code, n)) STRICT;
    CREATE TABLE text_key (code TEXT PRIMARY KEY, v) WITHOUT ROWID;
    CREATE TABLE empty (id INTEGER PRIMARY KEY, "select" TEXT);
    CREATE TABLE "odd.name" ("a""b" TEXT, gen AS (a"b || '!')) -- generated
"""


_TYPES = """
    CREATE TYPE public.mood AS ENUM ('ok', 'sad');
    CREATE DOMAIN public.positive AS integer CHECK (VALUE > 0);
"""


def _make_hospital(path: Path) -> None:
    script = _HOSPITAL.replace('gen AS (a"b', 'gen AS ("a""b"')
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)
        database.executemany(
            "INSERT INTO 患者 VALUES (?, ?, ?, ?, ?, ?)",
            [
                (1, "张三", "\\N", 12.50, b"\x00\xff", None),
                (-5, "", None, "not a number", b"", 1 << 62),
                (2**63 - 1, "a\tb\nc\\", "👩‍⚕️", 1e300, None, "text"),
                (7, "nul\0inside", "  x ", -0.0, os.urandom(200_000), float("inf")),
                (8, "长" * 50_000, "", 0.1, b"x", b"blob"),
            ],
        )
        database.execute("INSERT INTO 患者 VALUES (9, CAST(x'd5c5' AS TEXT), 'gbk', 1, NULL, NULL)")
        database.executemany("INSERT INTO no_key VALUES (?, ?)", [("same", 1), ("same", 1), (None, None), ("", 2.5)])
        database.executemany(
            "INSERT INTO typed VALUES (?, ?, ?, ?, ?, ?)",
            [
                ("b", 2, 1, 1.5, b"", "5"),
                ("b", 10, None, 1, None, 5),
                ("B", 3, 2**40, None, b"\x01", 5.0),
                ("中", 1, 1, 0, b"", b""),
            ],
        )
        database.execute("INSERT INTO text_key VALUES ('k', 1)")
        database.execute("""INSERT INTO "odd.name" ("a""b") VALUES ('y'), (NULL)""")
        database.commit()


def _roots(snapshot: Snapshot) -> dict[str, Sha256]:
    return {t.name: t.claim.root for t in snapshot.tables()}


def _restore(snapshot: Snapshot, target: str, *, overwrite: bool = False) -> RestoreReport:
    place = open_target(target)
    try:
        report = restore(snapshot, place, overwrite=overwrite)
    finally:
        place.close()
    assert report.tables
    assert [(t.name, t.error, t.differences, t.notes) for t in report.tables if not t.is_equal] == []
    return report


def test_a_sqlite_database_comes_back_as_the_agent_sees_it(tmp_path: Path) -> None:
    _make_hospital(tmp_path / "live.db")
    original = take_with_agent(SourceHistory(), SqliteCollector(SqliteSettings(tmp_path / "live.db")), tmp_path)
    _restore(original, f"sqlite:///{tmp_path / 'copy.db'}")
    copy = take_with_agent(SourceHistory(), SqliteCollector(SqliteSettings(tmp_path / "copy.db")), tmp_path)
    assert _roots(copy) == _roots(original)
    schemas = {t.name: t.schema for t in copy.tables()}
    for table in original.tables():
        if not any(note.startswith("generated") for note in table.schema.notes):
            assert schemas[table.name] == table.schema


def test_files_come_back_as_the_agent_sees_them(tmp_path: Path) -> None:
    live = tmp_path / "live"
    (live / "病案/2026").mkdir(parents=True)
    (live / "病案/2026/扫描 1.tif").write_bytes(os.urandom(700_000))
    (live / "病案/空.txt").write_bytes(b"")
    (live / "病案.txt").write_bytes(b"sorts before the folder's content")
    (live / "link").symlink_to("病案/nowhere")
    os.utime(live / "病案/空.txt", ns=(1, 1_234_567_890_123_456_789))
    (live / "病案").chmod(0o750)
    history = SourceHistory()
    original = take_with_agent(history, FilesCollector(FilesSettings(live)), tmp_path)
    report = _restore(original, str(tmp_path / "copy"))
    assert report.tables[0].notes == ()
    copy = take_with_agent(SourceHistory(), FilesCollector(FilesSettings(tmp_path / "copy")), tmp_path)
    assert _roots(copy) == _roots(original)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGPASSWORD", postgres_server.password)
    return f"postgresql://{postgres_server.user}@{postgres_server.host}:{postgres_server.port}/{postgres_database}"


def test_a_sqlite_database_fits_into_postgresql(tmp_path: Path, postgres_url: str) -> None:
    _make_hospital(tmp_path / "live.db")
    original = take_with_agent(SourceHistory(), SqliteCollector(SqliteSettings(tmp_path / "live.db")), tmp_path)
    report = _restore(original, postgres_url)
    assert report.target == postgres_url


_LIVE = r'''
    CREATE SCHEMA "病案";
    CREATE TYPE public.mood AS ENUM ('ok', 'sad');
    CREATE DOMAIN public.positive AS integer CHECK (VALUE > 0);
    CREATE SEQUENCE public.numbers INCREMENT 5;
    SELECT nextval('public.numbers');
    CREATE TABLE "病案"."住院 ""首页""" (
        编号 bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, 姓名 varchar(20) NOT NULL, pad char(5), ok boolean,
        price numeric(12,2), exact numeric, cash money, f4 real, f8 double precision, day date, at time(3),
        zone time with time zone, stamp timestamp, stamptz timestamptz, took interval, id uuid, doc json, docb jsonb,
        bin bytea, bits bit(3), varbits bit varying, tags text[], span int4range, ip inet, c "char", m public.mood,
        p public.positive, twice integer GENERATED ALWAYS AS (length(pad) * 2) STORED, x xml);
    INSERT INTO "病案"."住院 ""首页""" VALUES
        (1, '张三', 'ab', true, 12.5, 1.10, 1234.5, 0.1, 1e23, '0044-03-15 BC', '01:02:03.5', '01:02:03+08',
         '2026-11-22 01:02:03.5', 'infinity', '1 year -2 days', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
         '{"a" : 1,  "a": 2}', '{"b": [1, 2.50]}', '\x00ff', '101', '', '{"a,b",NULL,"\\"}', '[1,10)',
         '192.168.0.1/24', 'y', 'sad', 5, DEFAULT, '<a/>'),
        (-7, E'\\N\t\n', NULL, NULL, 'NaN', '-Infinity', NULL, '-0', 'NaN', 'infinity', '24:00', NULL, '-infinity',
         '1900-01-01', NULL, NULL, NULL, NULL, '', NULL, NULL, '{}', 'empty', NULL, NULL, NULL, NULL, DEFAULT, NULL),
        (3, '', '', false, 0, 0.00, 0, 3.4e38, 5e-324, '5874897-12-31', '0:0', NULL, '294276-12-31 23:59:59.999999',
         NULL, '178000000 years', NULL, 'null', 'null', decode(repeat('00ff', 100000), 'hex'), '000',
         repeat('1', 100)::varbit, NULL, NULL, NULL, NULL, NULL, NULL, DEFAULT, NULL);
    CREATE TABLE public.log (line text, n integer);
    INSERT INTO public.log VALUES ('same', 1), ('same', 1), (NULL, NULL), ('', NULL), (repeat('长', 50000), 2);
    CREATE TABLE public.parts (region text, id integer, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
    CREATE TABLE public.north PARTITION OF public.parts FOR VALUES IN ('n', 'N', '北');
    INSERT INTO public.parts SELECT r, i, 'v' || i FROM unnest(ARRAY['n', 'N', '北']) r, generate_series(-5, 12) i;
    CREATE TABLE public.empty (id integer PRIMARY KEY);
    SELECT lo_from_bytea(16500, '\x0001'), lo_from_bytea(16501, decode(repeat('ab', 200000), 'hex'));
'''


def _take(server: PostgresServer, database: str, folder: Path) -> Snapshot:
    settings = PostgresqlSettings(server.host, database, server.user, server.password, server.port)
    return take_with_agent(SourceHistory(), PostgresqlCollector(settings), folder)


def test_a_postgresql_database_comes_back_as_the_agent_sees_it(
    tmp_path: Path, postgres_server: PostgresServer, postgres_database: str, postgres_url: str
) -> None:
    postgres_server.create_database("live")
    try:
        postgres_server.execute(_LIVE, database="live")
        original = _take(postgres_server, "live", tmp_path)
    finally:
        postgres_server.drop_database("live")
    assert [(o.name, o.reason) for o in original.manifest.omitted] == []
    postgres_server.execute(_TYPES, database=postgres_database)
    report = _restore(original, postgres_url, overwrite=True)
    copy = _take(postgres_server, postgres_database, tmp_path)
    assert _roots(copy) == _roots(original)
    for name in ("public.log", "public.parts", "public.empty", "@sequences", "@large_objects"):
        assert copy.table(name).schema == original.table(name).schema
    own = {t.name: tuple(note.en for note in t.notes) for t in report.tables}
    assert own['病案.住院 "首页"'] == ("column 'c' is text: its own type '\"char\"' is not used here",)


@pytest.mark.parametrize("target", ["sqlite:///{0}/copy.db", "{0}/copy", "{1}"])
def test_a_postgresql_database_fits_into_any_target(
    target: str, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    postgres_server.create_database("live")
    try:
        postgres_server.execute(_LIVE, database="live")
        original = _take(postgres_server, "live", tmp_path)
    finally:
        postgres_server.drop_database("live")
    # The types mood and positive are not there: the values are.
    report = _restore(original, target.format(tmp_path, postgres_url))
    assert {t.name for t in report.tables} >= {"@large_objects", "@sequences", "public.log", "public.parts"}


@pytest.mark.parametrize("target", ["sqlite:///{0}/copy.db", "{0}/copy", "{1}"])
def test_files_fit_into_any_target(target: str, tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "live/scan.tif").write_bytes(b"\xff\x00" * 50_000)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/live/gbk-\xd5\xc5")).write_bytes(b"x")
    files = take_with_agent(SourceHistory(), FilesCollector(FilesSettings(tmp_path / "live")), tmp_path)
    _restore(files, target.format(tmp_path, postgres_url))


def test_a_sqlite_database_fits_into_csv_files(tmp_path: Path) -> None:
    _make_hospital(tmp_path / "live.db")
    original = take_with_agent(SourceHistory(), SqliteCollector(SqliteSettings(tmp_path / "live.db")), tmp_path)
    report = _restore(original, str(tmp_path / "copy"))
    assert (tmp_path / "copy/患者.csv").exists()
    assert (tmp_path / "copy/odd.name.csv").exists()
    assert str(tmp_path / "copy/ddl.sql") in report.documents
