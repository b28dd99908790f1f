# SPDX-License-Identifier: Apache-2.0
"""Large cells pass in slices, by key; what stands for them is the token of exactly their bytes."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from agent.collectors.mysql import MysqlCollector
from agent.collectors.mysql.large import LargeCells
from agent.collectors.mysql.view import MysqlView
from agent.errors import TableLostError
from evidence.rows.line import Cell, Token
from tests.fakes.blobsink import MemorySink
from tests.servers.mariadb import MariadbServer
from tests.servers.reading import KeptBlobs, column_of, find_table, read_lines, read_rows
from tests.servers.reading_mysql import settings_for


@contextmanager
def small_packets(mariadb_server: MariadbServer) -> Iterator[None]:
    """Let new sessions have a max_allowed_packet of 1 MiB, as servers of old have."""
    before = mariadb_server.execute("SELECT @@GLOBAL.max_allowed_packet")[0][0]
    mariadb_server.execute("SET GLOBAL max_allowed_packet = 1048576")
    try:
        yield
    finally:
        mariadb_server.execute(f"SET GLOBAL max_allowed_packet = {before}")


def token_of(raw: bytes) -> Token:
    return Token(hashlib.sha256(raw).digest(), len(raw))


def run_as_writer(server: MariadbServer, database: str) -> Callable[..., None]:
    def run(sql: str, parameters: object = None) -> None:
        server.execute(sql, parameters, database=database)

    return run


@pytest.mark.parametrize("lock_guard", [False, True])
def test_cells_of_all_sizes_around_the_limits_come_whole_or_as_tokens(
    mariadb_server: MariadbServer, mariadb_database: str, lock_guard: bool
) -> None:
    run = run_as_writer(mariadb_server, mariadb_database)
    run("CREATE TABLE t (id int PRIMARY KEY, text_ longtext, bytes_ longblob, json_ json, small text)")
    sizes = [
        0,
        1,
        65_535,
        65_536,
        65_537,
        262_143,
        262_144,
        262_145,
        1_048_576,
        1_048_577,
        4_194_304,
        4_194_305,
        9_000_000,
    ]
    for n, size in enumerate(sizes):
        text, raw = ("张x" * size)[:size], (b"\\\x00\xff\t" * size)[:size]
        run("INSERT INTO t VALUES (%s, %s, %s, %s, 'end')", (n, text, raw, f'"{text}"'))
    run("INSERT INTO t VALUES (99, NULL, NULL, NULL, NULL)")
    with MysqlCollector(settings_for(mariadb_server, mariadb_database, lock_guard=lock_guard)).open_view() as view:
        rows = read_rows(view, f"{mariadb_database}.t")
    assert rows[-1] == [b"99", None, None, None, None]
    for n, size in enumerate(sizes):
        text, raw = ("张x" * size)[:size].encode(), (b"\\\x00\xff\t" * size)[:size]
        expected: list[Cell] = [b"%d" % n]
        for value, inline in ((text, text), (raw, b"\\x" + raw.hex().encode()), (b'"%b"' % text,) * 2):
            expected.append(token_of(value) if len(value) > 65_536 else inline)
        assert rows[n][1] == expected[1], f"text of {size} characters"
        assert rows[n] == [*expected, b"end"]


def test_slices_are_as_small_as_the_servers_packets_ask(mariadb_server: MariadbServer, mariadb_database: str) -> None:
    run = run_as_writer(mariadb_server, mariadb_database)
    run("CREATE TABLE t (k varchar(20) CHARACTER SET gbk, n int, a longtext, b longblob, c longtext CHARACTER SET gbk, "
        "d longtext CHARACTER SET ucs2, PRIMARY KEY (k, n))")  # fmt: skip
    text = "病程记录👩‍⚕️ abc?" * 60_000
    plain = "病程记录 abc?" * 60_000
    run("INSERT INTO t VALUES ('键', 1, %s, %s, %s, %s)", (text, text.encode(), plain, plain))
    # 40,000 characters are 80,000 bytes of ucs2, and 40,000 in UTF-8: no token.
    run("INSERT INTO t VALUES ('键', 2, '', '', '', REPEAT('y', 40000))")
    run("INSERT INTO t VALUES ('键', 3, '', '', '', REPEAT('y', 200000))")
    with (
        small_packets(mariadb_server),
        MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view,
    ):
        rows = read_rows(view, f"{mariadb_database}.t")
        assert not [note for note in find_table(view, f"{mariadb_database}.t").schema.notes if "not-utf-8" in note]
    assert rows[0][2:] == [
        token_of(text.encode()), token_of(text.encode()), token_of(plain.encode()), token_of(plain.encode()),
    ]  # fmt: skip
    assert rows[1][2:] == [b"", b"\\x", b"", b"y" * 40_000]
    assert rows[2][5] == token_of(b"y" * 200_000)


def test_dense_and_rare_large_cells_lose_no_row(mariadb_server: MariadbServer, mariadb_database: str) -> None:
    run = run_as_writer(mariadb_server, mariadb_database)
    run("CREATE TABLE dense (id int PRIMARY KEY, scan longblob)")
    run("INSERT INTO dense SELECT seq, REPEAT(CHAR(seq % 251), 270000) FROM seq_1_to_120")
    run("CREATE TABLE rare (id int PRIMARY KEY, scan longblob, pad varchar(2000))")
    run(
        "INSERT INTO rare SELECT seq, IF(seq % 1000 = 0, REPEAT('r', 270000), 'x'), REPEAT('p', 1500) FROM seq_1_to_6000"
    )
    sink = KeptBlobs()
    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        dense = read_rows(view, f"{mariadb_database}.dense", sink)
        rare = read_rows(view, f"{mariadb_database}.rare", sink)
    assert dense == [[b"%d" % i, token_of(bytes((i % 251,)) * 270_000)] for i in range(1, 121)]
    assert [row[0] for row in rare] == [b"%d" % i for i in range(1, 6001)]
    assert [row[0] for row in rare if isinstance(row[1], Token)] == [b"%d" % i for i in range(1000, 6001, 1000)]


def test_table_without_a_key_has_its_cells_whole_and_a_note_says_up_to_what(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    run = run_as_writer(mariadb_server, mariadb_database)
    run("CREATE TABLE whole (a longblob)")
    run("CREATE TABLE unique_ (a longblob, id int NOT NULL UNIQUE)")
    run("CREATE TABLE beyond (a longblob)")
    for table, values in (("whole", "(REPEAT('x', 10485760)), ('y')"), ("unique_", "(REPEAT('x', 10485760), 1)"),
                          ("beyond", "('a'), (REPEAT('x', 34000000))")):  # fmt: skip
        run(f"INSERT INTO {table} VALUES {values}")
    big = token_of(b"x" * 10_485_760)
    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        assert sorted(column_of(read_rows(view, f"{mariadb_database}.whole"), 0), key=str) == [big, b"\\x79"]
        assert read_rows(view, f"{mariadb_database}.unique_") == [[big, b"1"]]
        with pytest.raises(TableLostError, match="a cell of column a has 34000000 bytes, and without a key"):
            read_lines(view, f"{mariadb_database}.beyond")
        note = next(note for note in view.notes() if "up to 32 MiB" in note)
        assert f"{mariadb_database}.whole" in note and "unique_" not in note


def test_large_text_that_the_server_cannot_decode_comes_as_its_bytes(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    # See the test of small ones: the file of a table of another character set. MyISAM has no pages, so this asks directly.
    run = run_as_writer(mariadb_server, mariadb_database)
    for name, charset in (("a", "latin1"), ("b", "gbk")):
        run(f"CREATE TABLE {name} (id int PRIMARY KEY, v longtext CHARACTER SET {charset}) ENGINE=MyISAM")
    raw = "病程记录".encode("gbk") * 60_000 + b"\xff" + "记录".encode("gbk") * 300_000
    run(f"INSERT INTO a VALUES (1, X'{raw.hex()}')")
    run("FLUSH TABLES a, b")
    folder = mariadb_server.folder / "data" / mariadb_database
    for ending in ("MYD", "MYI"):
        shutil.copyfile(folder / f"a.{ending}", folder / f"b.{ending}")
    sink = MemorySink()
    view = MysqlView(settings_for(mariadb_server, mariadb_database), lambda: 0.0)
    try:
        offered = view._offered[f"{mariadb_database}.b"]
        located = replace(offered, locator=offered.source.locators[0])
        assert view._snapshot is not None
        cells = LargeCells(view._snapshot.reader, located, sink, 1 << 20, lambda: None)
        large = cells.put(offered.source.columns[1], ["1"])
    finally:
        view.close()
    assert (large.cell, large.is_raw) == (token_of(raw), True)
    assert sink.blobs[hashlib.sha256(raw).digest()] == raw
