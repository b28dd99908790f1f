# SPDX-License-Identifier: Apache-2.0
"""What is altered, dropped or written while a view is open never shows as something that was not."""

import pytest

from agent.collectors.mysql import MysqlCollector
from agent.collectors.naming import TableChoice
from agent.errors import TableLostError
from evidence.manifest.statement import Consistency
from terminal.language import Language
from tests.servers.mariadb import MariadbServer
from tests.servers.reading import find_table, read_lines
from tests.servers.reading_mysql import session, settings_for


@pytest.fixture
def database(mariadb_server: MariadbServer, mariadb_database: str) -> str:
    """Give a database with a table `t` of two rows."""
    mariadb_server.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v varchar(20)); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        database=mariadb_database,
    )
    return mariadb_database


CHANGES = {
    "truncated": "TRUNCATE t",
    "emptied and filled by another": "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v varchar(20)); INSERT INTO t VALUES (9, 'z')",
    "rebuilt": "ALTER TABLE t FORCE",
    "given a column": "ALTER TABLE t ADD COLUMN c int DEFAULT 5",
    "given a column elsewhere": "ALTER TABLE t ADD COLUMN c int DEFAULT 5 FIRST",
    "robbed of a column": "ALTER TABLE t DROP COLUMN v",
    "of another type": "ALTER TABLE t MODIFY v varchar(90)",
    "renamed in a column": "ALTER TABLE t RENAME COLUMN v TO w",
    "commented": "ALTER TABLE t MODIFY v varchar(20) COMMENT 'new'",
    "of another key": "ALTER TABLE t DROP PRIMARY KEY",
    "of another engine": "ALTER TABLE t ENGINE=MyISAM",
    "of another character set": "ALTER TABLE t CONVERT TO CHARACTER SET gbk",
    "dropped": "DROP TABLE t",
    "renamed": "RENAME TABLE t TO u",
    "swapped": "CREATE TABLE u LIKE t; INSERT INTO u VALUES (9, 'z'); RENAME TABLE t TO old, u TO t",
}


@pytest.mark.parametrize("change", CHANGES)
def test_table_that_was_changed_after_the_snapshot_began_is_lost_and_not_read_as_another(
    mariadb_server: MariadbServer, database: str, change: str
) -> None:
    with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
        mariadb_server.execute(CHANGES[change], database=database)
        with pytest.raises(TableLostError, match="cannot be read: it was|cannot be read: a column"):
            read_lines(view, f"{database}.t")


def test_rows_written_after_the_snapshot_began_are_not_seen(mariadb_server: MariadbServer, database: str) -> None:
    with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
        mariadb_server.execute(
            "UPDATE t SET v = 'changed'; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 'c')", database=database
        )
        assert read_lines(view, f"{database}.t") == [b"1\ta", b"2\tb"]


def test_transaction_that_was_open_when_the_snapshot_began_is_not_seen(
    mariadb_server: MariadbServer, database: str
) -> None:
    with session(mariadb_server, database) as cursor:
        cursor.execute("UPDATE t SET v = 'half'")
        with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
            cursor.connection.commit()
            assert read_lines(view, f"{database}.t") == [b"1\ta", b"2\tb"]


@pytest.mark.parametrize("lock_guard", [False, True])
def test_table_that_was_read_can_be_altered_while_the_view_is_open(
    mariadb_server: MariadbServer, database: str, lock_guard: bool
) -> None:
    mariadb_server.execute(
        "CREATE TABLE big (id int PRIMARY KEY, b longblob); INSERT INTO big VALUES (1, REPEAT('x', 900000));"
        "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (5)",
        database=database,
    )
    with MysqlCollector(settings_for(mariadb_server, database, lock_guard=lock_guard)).open_view() as view:
        read_lines(view, f"{database}.t")
        read_lines(view, f"{database}.big")
        mariadb_server.execute(
            "SET lock_wait_timeout = 2; ALTER TABLE t ADD c int; ALTER TABLE big ADD c int", database=database
        )
        assert read_lines(view, f"{database}.other") == [b"5"]


def test_position_is_that_of_the_snapshot(mariadb_server: MariadbServer, database: str) -> None:
    for lock_guard in (False, True):
        ((file, offset, *_),) = mariadb_server.execute("SHOW MASTER STATUS")
        gtid = mariadb_server.execute("SELECT @@gtid_binlog_pos")[0][0]
        with MysqlCollector(settings_for(mariadb_server, database, lock_guard=lock_guard)).open_view() as view:
            mariadb_server.execute("INSERT INTO t VALUES (%s, 'later')", (10 + lock_guard,), database=database)
            assert view.position == f"mysql {file}:{offset}"
            assert f"gtid {gtid}" in view.notes()
            assert not [note for note in view.notes() if "just after" in note]


def test_tables_without_transactions_make_the_class_per_table_and_are_named(
    mariadb_server: MariadbServer, database: str
) -> None:
    for engine in ("MyISAM", "Aria", "MEMORY", "CSV"):
        key = "" if engine == "CSV" else ", PRIMARY KEY (id)"
        mariadb_server.execute(
            f"CREATE TABLE {engine.lower()} (id int NOT NULL, v varchar(20) NOT NULL{key}) ENGINE={engine};"
            f"INSERT INTO {engine.lower()} VALUES (2, 'b'), (1, 'a')",
            database=database,
        )
    with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
        assert view.consistency is Consistency.PER_TABLE
        note = next(note for note in view.notes() if "each read at its own time" in note)
        for name in ("myisam", "aria", "memory", "csv"):
            assert f"{database}.{name}" in note
            assert not find_table(view, f"{database}.{name}").ordered
            assert sorted(read_lines(view, f"{database}.{name}")) == [b"1\ta", b"2\tb"]
        assert f"{database}.t" not in note
        assert find_table(view, f"{database}.t").ordered
    settings = settings_for(mariadb_server, database, tables=TableChoice((f"{database}.t",)))
    with MysqlCollector(settings).open_view() as view:
        assert view.consistency is Consistency.CONSISTENT


def test_version_history_is_said_to_be_missing(mariadb_server: MariadbServer, database: str) -> None:
    mariadb_server.execute(
        "CREATE TABLE h (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING; INSERT INTO h VALUES (1, 1); UPDATE h SET v = 2",
        database=database,
    )
    mariadb_server.execute("SET GLOBAL system_versioning_asof = '2020-01-01 00:00:00'")
    try:
        with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
            assert read_lines(view, f"{database}.h") == [b"1\t2"]
            assert [note for note in view.notes() if "system-versioned" in note and f"{database}.h" in note]
    finally:
        mariadb_server.execute("SET GLOBAL system_versioning_asof = DEFAULT")


def test_partitioned_table_comes_in_the_order_of_its_key(mariadb_server: MariadbServer, database: str) -> None:
    mariadb_server.execute(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 4; INSERT INTO p SELECT seq FROM seq_1_to_99",
        database=database,
    )
    with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
        assert find_table(view, f"{database}.p").ordered
        assert read_lines(view, f"{database}.p") == [b"%d" % i for i in range(1, 100)]


def test_read_only_server_is_said_to_be_one(mariadb_server: MariadbServer, database: str) -> None:
    mariadb_server.execute("SET GLOBAL read_only = 1")
    try:
        with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
            assert [note for note in view.notes() if "read_only, as replicas are" in note]
        findings = MysqlCollector(settings_for(mariadb_server, database)).check()
        assert any("a replica?" in finding.sentence(Language.EN) for finding in findings)
    finally:
        mariadb_server.execute("SET GLOBAL read_only = 0")
