# SPDX-License-Identifier: Apache-2.0
"""The server's order is used where it is the canonical one, and never costs it a sort; else rows come as they lie."""

from itertools import pairwise

import pytest

from agent.collectors.mysql import MysqlCollector
from evidence.rows.line import KeySpec, check_order
from tests.servers.mariadb import MariadbServer
from tests.servers.reading import find_table, read_lines
from tests.servers.reading_mysql import settings_for

# columns and key, values, whether the server orders, the schema's key
KEYS: tuple[tuple[str, list[str], bool, tuple[str, ...]], ...] = (
    ("id int PRIMARY KEY", ["(10)", "(9)", "(-1)", "(100)"], True, ("id",)),
    ("id bigint unsigned PRIMARY KEY", ["(18446744073709551615)", "(9)", "(10)"], True, ("id",)),
    ("id int zerofill PRIMARY KEY", ["(10)", "(9)"], True, ("id",)),
    ("id year PRIMARY KEY", ["(2024)", "(0)", "(1999)"], True, ("id",)),
    ("id decimal(9,2) PRIMARY KEY", ["(10)", "(9.5)", "(-1)"], True, ("id",)),
    ("id date PRIMARY KEY", ["('2026-01-02')", "('2026-01-01')", "('1000-01-01')"], True, ("id",)),
    ("id datetime(6) PRIMARY KEY", ["('2026-01-01 00:00:00.5')", "('2026-01-01')", "('2026-01-01 00:00:00.05')"], True,
     ("id",)),
    ("id timestamp(2) PRIMARY KEY", ["('2026-01-01 00:00:00.5')", "('2026-01-01')"], True, ("id",)),
    ("id bit(9) PRIMARY KEY", ["(b'100000000')", "(b'1')", "(b'11')"], True, ("id",)),
    ("id varbinary(9) PRIMARY KEY", ["('b')", "('a')", "(X'6100')", "('')", "(X'ff')"], True, ("id",)),
    ("id varchar(9) COLLATE utf8mb4_nopad_bin PRIMARY KEY", ["('b')", "('a')", "(X'6101')", "('a ')", "('中')", "('B')"],
     True, ("id",)),
    ("id varchar(9) COLLATE utf8mb4_bin PRIMARY KEY", ["('b')", "('a')", "(X'6101')"], False, ("id",)),
    ("id varchar(9) COLLATE utf8mb4_general_ci PRIMARY KEY", ["('b')", "('a')", "('C')"], False, ("id",)),
    ("id varchar(9) CHARACTER SET latin1 COLLATE latin1_nopad_bin PRIMARY KEY", ["('é')", "('€')"], False, ("id",)),
    ("id varchar(9) CHARACTER SET gbk COLLATE gbk_nopad_bin PRIMARY KEY", ["('张')", "('三')"], False, ("id",)),
    ("id enum('z','a') PRIMARY KEY", ["('a')", "('z')"], False, ("id",)),
    ("id time PRIMARY KEY", ["('-01:00:00')", "('100:00:00')", "('99:00:00')"], False, ("id",)),
    ("id uuid PRIMARY KEY", ["(uuid())", "(uuid())"], False, ("id",)),
    ("id double PRIMARY KEY", ["(1)", "(0.5)"], False, ()),
    ("id text, PRIMARY KEY (id(3))", ["('b')", "('abcdef')"], False, ("id",)),
    ("a int, b varbinary(3), c date, PRIMARY KEY (c, a, b)",
     ["(2, 'a', '2026-01-01')", "(10, 'a', '2026-01-01')", "(2, 'A', '2026-01-01')", "(1, 'z', '2025-01-01')"], True,
     ("c", "a", "b")),
    ("a int, b varchar(3), PRIMARY KEY (a, b)", ["(2, 'a')", "(1, 'B')"], False, ("a", "b")),
    ("id int NOT NULL UNIQUE", ["(2)", "(1)"], False, ()),
    ("id int", ["(2)", "(2)"], False, ()),
)  # fmt: skip


@pytest.mark.parametrize("engine", ["InnoDB", "MyISAM"])
def test_order_of_the_server_is_used_where_it_is_the_canonical_one(
    mariadb_server: MariadbServer, mariadb_database: str, engine: str
) -> None:
    for i, (columns, values, *_) in enumerate(KEYS):
        mariadb_server.execute(f"CREATE TABLE t{i} ({columns}) ENGINE={engine}", database=mariadb_database)
        mariadb_server.execute(f"INSERT INTO t{i} VALUES {', '.join(values)}", database=mariadb_database)
    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        for i, (columns, values, is_ordered, key) in enumerate(KEYS):
            table = find_table(view, f"{mariadb_database}.t{i}")
            assert (columns, table.schema.key) == (columns, key)
            assert (columns, table.ordered) == (columns, is_ordered and engine == "InnoDB")
            lines = read_lines(view, table.schema.name)
            assert len(lines) == len(values)
            if table.ordered:
                spec = KeySpec.of(table.schema)
                for before, after in pairwise(lines):
                    check_order(spec, spec.key_of(before), spec.key_of(after))


def test_server_never_sorts_for_us(mariadb_server: MariadbServer, mariadb_database: str) -> None:
    mariadb_server.execute(
        "CREATE TABLE a (id int PRIMARY KEY, x int, KEY (x, id));"
        "CREATE TABLE b (a int, b date, body longtext, PRIMARY KEY (b, a), KEY (a));"
        "CREATE TABLE c (k varchar(20), n bigint unsigned, body longblob, PRIMARY KEY (k, n));"
        "CREATE TABLE d (k varchar(20) PRIMARY KEY, x int);"
        "INSERT INTO a SELECT seq, seq FROM seq_1_to_500;"
        "INSERT INTO b SELECT seq, '2026-01-01' + INTERVAL seq % 9 DAY, 'x' FROM seq_1_to_500;"
        "INSERT INTO c SELECT seq, seq, 'x' FROM seq_1_to_5000;"
        "INSERT INTO d SELECT seq, seq FROM seq_1_to_500",
        database=mariadb_database,
    )
    settings = settings_for(mariadb_server, mariadb_database)
    with MysqlCollector(settings).open_view() as view:
        for name, offered in view._offered.items():
            columns = [f"t.{c.name}" for c in offered.source.columns]
            after = ["'500'", "3"] if name.endswith(".c") else ["_utf8mb4 X'323032362d30312d3033'", "7"]
            queries = [offered.query(columns)]
            if name.endswith((".b", ".c")):
                queries += [offered.page(columns, (), 100), offered.page(columns, after, 100)]
            for query in queries:
                for row in mariadb_server.execute(f"EXPLAIN {query}", database=mariadb_database):
                    assert "filesort" not in str(row) and "temporary" not in str(row), (query, row)


def test_rows_of_a_table_read_in_pages_come_once_each_whatever_their_key(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    keys = [
        "a int, b varchar(20) COLLATE utf8mb4_general_ci", "a varchar(20) CHARACTER SET gbk, b bit(7)",
        "a varbinary(20), b decimal(9,2)", "a datetime(3), b time(1)", "a date, b bigint unsigned", "a year, b char(7)",
    ]  # fmt: skip
    values = [
        "seq % 3, CONCAT(IF(seq % 2, 'K\\'\\\\ ', 'k %_中é'), seq)", "CONCAT('医', seq DIV 100), seq % 128",
        "UNHEX(LPAD(HEX(seq % 50), 8, '0')), seq / 100 - 5",
        "'2026-01-01 00:00:00.5' + INTERVAL seq % 20 SECOND, SEC_TO_TIME(CAST(seq AS SIGNED) - 300 + 0.5)",
        "'2026-01-01' + INTERVAL seq % 20 DAY, 18446744073709551615 - seq", "2000 + seq % 20, CONCAT('a', seq)",
    ]  # fmt: skip
    for i, (columns, value) in enumerate(zip(keys, values, strict=True)):
        mariadb_server.execute(
            f"CREATE TABLE t{i} ({columns}, body longtext, n int, PRIMARY KEY (a, b));"
            f"INSERT INTO t{i} SELECT {value}, IF(seq % 37 = 0, REPEAT('x', 300000 + seq), 'short'), seq FROM seq_1_to_900",
            database=mariadb_database,
        )
    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        for i in range(len(keys)):
            lines = read_lines(view, f"{mariadb_database}.t{i}")
            assert sorted(int(line.rpartition(b"\t")[2]) for line in lines) == list(range(1, 901)), keys[i]
            assert sum(b"@sha256:" in line for line in lines) == 24
