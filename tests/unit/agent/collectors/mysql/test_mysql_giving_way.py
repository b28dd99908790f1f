# SPDX-License-Identifier: Apache-2.0
"""Who wants a table that is being read gets it, wherever the reading is; and what is read is right, or lost by name.

What must be let through at once runs while the generator of blocks stands still, far from the table's end: it can only
return if the lock was given up for it. `lock_wait_timeout` makes a failure an error instead of a hang.
"""

import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest

from agent.collectors.base import View
from agent.collectors.mysql import MysqlCollector
from agent.collectors.mysql.lookout import find_waiting
from agent.collectors.mysql.view import MysqlView
from agent.errors import BudgetError, SourceDownError, TableBusyError, TableLostError
from tests.servers.mariadb import MariadbServer
from tests.servers.reading import Clock, KeptBlobs, find_table, read_lines, standing_still, wait_for
from tests.servers.reading_mysql import session, settings_for

MANY_ROWS = "CREATE TABLE t (id int PRIMARY KEY, pad text) ENGINE={}; INSERT INTO t SELECT seq, REPEAT('x', 500) FROM seq_1_to_80000"


@pytest.fixture
def large(mariadb_server: MariadbServer, mariadb_database: str) -> str:
    """Give a database whose table is far larger than all buffers between server and reader."""
    mariadb_server.execute(MANY_ROWS.format("InnoDB"), database=mariadb_database)
    mariadb_server.execute("CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1)", database=mariadb_database)
    return mariadb_database


@pytest.fixture
def account(mariadb_server: MariadbServer, large: str) -> Iterator[str]:
    """Give an account that may read `large` and see who waits, and nothing else: MariaDB keeps its locks then."""
    mariadb_server.execute(
        f"CREATE USER 'reader'@'%' IDENTIFIED BY 'secret'; GRANT SELECT ON `{large}`.* TO 'reader'@'%';"
        "GRANT PROCESS ON *.* TO 'reader'@'%'"
    )
    try:
        yield "reader"
    finally:
        mariadb_server.execute("DROP USER 'reader'@'%'")


def begin(view: View, name: str) -> Iterator[bytes]:
    """Begin to read a table; give the blocks behind the first."""
    blocks = iter(view.read(find_table(view, name), KeptBlobs()))
    assert next(blocks)
    return blocks


def want(server: MariadbServer, database: str, sql: str) -> None:
    """Run what needs the table for itself; an error if it does not get it."""
    with session(server, database) as cursor:
        cursor.execute("SET lock_wait_timeout = 60")
        cursor.execute(sql)


@pytest.mark.parametrize("sql", ["LOCK TABLES t WRITE", "CREATE TRIGGER g BEFORE DELETE ON t FOR EACH ROW SET @x = 1"])
def test_who_wants_the_table_gets_it_and_the_table_can_be_read_anew_later(
    mariadb_server: MariadbServer, large: str, sql: str
) -> None:
    with MysqlCollector(settings_for(mariadb_server, large)).open_view() as view:
        undisturbed = read_lines(view, f"{large}.t")
        blocks = begin(view, f"{large}.t")
        want(mariadb_server, large, sql)
        mariadb_server.execute("DELETE FROM t WHERE id % 2 = 0", database=large)
        with pytest.raises(TableBusyError, match="1 sessions waited for it: reading gave way"):
            list(blocks)
        assert read_lines(view, f"{large}.u") == [b"1"]
        assert read_lines(view, f"{large}.t") == undisturbed
        assert view.strain().gave_way == 1
        assert view.strain().blocked_s > 0


@pytest.mark.parametrize(
    "sql", ["ALTER TABLE t ADD c int", "TRUNCATE t", "OPTIMIZE TABLE t", "DROP TABLE t", "ALTER TABLE t RENAME TO v"]
)
def test_table_that_is_another_one_after_giving_way_is_lost_by_name(
    mariadb_server: MariadbServer, large: str, sql: str
) -> None:
    with MysqlCollector(settings_for(mariadb_server, large)).open_view() as view:
        blocks = begin(view, f"{large}.t")
        want(mariadb_server, large, sql)
        with pytest.raises(TableBusyError):
            list(blocks)
        with pytest.raises(TableLostError) as caught:
            read_lines(view, f"{large}.t")
        assert not isinstance(caught.value, TableBusyError)
        assert read_lines(view, f"{large}.u") == [b"1"]


def test_large_cells_that_are_fetched_in_slices_give_way_too(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    mariadb_server.execute(
        "CREATE TABLE t (id int PRIMARY KEY, picture longblob);"
        "INSERT INTO t SELECT seq, REPEAT('x', 3000000) FROM seq_1_to_12",
        database=mariadb_database,
    )
    wanted: list[bool] = []

    class Altering(KeptBlobs):
        def put(self, raw):  # type: ignore[no-untyped-def]  # as its base
            if not wanted:
                wanted.append(True)
                want(mariadb_server, mariadb_database, "LOCK TABLES t WRITE")
            return super().put(raw)

    with MysqlCollector(settings_for(mariadb_server, mariadb_database)).open_view() as view:
        name = f"{mariadb_database}.t"
        with pytest.raises(TableBusyError):
            list(view.read(find_table(view, name), Altering()))
        assert wanted
        assert len(read_lines(view, name)) == 12


def test_guarded_snapshot_gives_way_with_both_of_its_sessions(mariadb_server: MariadbServer, large: str) -> None:
    with MysqlCollector(settings_for(mariadb_server, large, lock_guard=True)).open_view() as view:
        undisturbed = read_lines(view, f"{large}.t")
        blocks = begin(view, f"{large}.t")
        want(mariadb_server, large, "LOCK TABLES t WRITE")
        with pytest.raises(TableBusyError):
            list(blocks)
        assert read_lines(view, f"{large}.t") == undisturbed


def _want_later(server: MariadbServer, sql: str, database: str) -> threading.Thread:
    thread = threading.Thread(target=server.execute, args=(sql,), kwargs={"database": database})
    thread.start()
    return thread


def _let_time_pass(thread: threading.Thread, clock: Clock) -> None:
    """Let hours pass, a few seconds at a time, until `thread` has got what it waits for."""
    while thread.is_alive():
        clock.now += 6
        thread.join(0.05)


def test_writers_of_a_table_without_transactions_wait_a_while_and_then_get_it(
    mariadb_server: MariadbServer, mariadb_database: str
) -> None:
    mariadb_server.execute(MANY_ROWS.format("MyISAM"), database=mariadb_database)
    clock = Clock()
    with MysqlCollector(settings_for(mariadb_server, mariadb_database), clock).open_view() as view:
        blocks = begin(view, f"{mariadb_database}.t")
        began = clock.now
        _let_time_pass(_want_later(mariadb_server, "UPDATE t SET pad = 'y' WHERE id = 80000", mariadb_database), clock)
        assert clock.now - began >= 15
        with pytest.raises(TableBusyError, match="reading gave way"):
            list(blocks)


def test_snapshot_gives_way_after_a_while_to_those_who_wait_for_a_table_that_it_cannot_free(
    mariadb_server: MariadbServer, large: str, account: str
) -> None:
    clock = Clock()
    with MysqlCollector(settings_for(mariadb_server, large, user=account), clock).open_view() as view:
        assert read_lines(view, f"{large}.u") == [b"1"]
        blocks = begin(view, f"{large}.t")
        began = clock.now
        _let_time_pass(_want_later(mariadb_server, "ALTER TABLE u ADD c int", large), clock)
        assert clock.now - began >= 15
        with pytest.raises(BudgetError, match="1 sessions had waited for table u, which only the end of the snapshot"):
            list(blocks)
        with pytest.raises(BudgetError):
            read_lines(view, f"{large}.t")


def test_reading_ends_when_nobody_can_look_out_any_more(mariadb_server: MariadbServer, large: str) -> None:
    view = MysqlView(settings_for(mariadb_server, large), Clock())
    try:
        blocks = begin(view, f"{large}.t")
        lookout = wait_for(lambda: view._lookout._session)
        assert lookout is not None
        mariadb_server.execute(f"KILL {lookout.id}")
        with pytest.raises(SourceDownError, match="broke"):
            for _ in count():
                view.attend()
        with pytest.raises(SourceDownError, match="broke"):
            list(blocks)
    finally:
        view.close()


def test_reading_ends_when_the_server_does_not_tell_who_waits(mariadb_server: MariadbServer, large: str) -> None:
    with MysqlCollector(settings_for(mariadb_server, large)).open_view() as view:
        blocks = begin(view, f"{large}.t")
        assert isinstance(view, MysqlView)
        wait_for(lambda: view._lookout._session)
        began = time.monotonic()
        with standing_still(mariadb_server.pid), pytest.raises(SourceDownError, match="broke"):
            while time.monotonic() - began < 50:
                view.attend()
                time.sleep(0.1)
        with pytest.raises(SourceDownError, match="broke"):
            list(blocks)


def test_those_who_wait_for_another_table_of_the_same_name_are_not_counted() -> None:
    def row(number: int, database: str | None, state: str, statement: str | None) -> tuple[bytes | None, ...]:
        texts = (str(number), "u", "h", database, "Query", "1", state, statement)
        return tuple(None if text is None else text.encode() for text in texts)

    waiting = "Waiting for table metadata lock"
    rows = [
        row(1, "his", waiting, "ALTER TABLE visit ADD c int"),
        row(2, "lis", waiting, "ALTER TABLE visit ADD d int"),
        row(3, "lis", waiting, "ALTER TABLE his.visit ADD e int"),
        row(4, None, waiting, "FLUSH TABLES WITH READ LOCK"),
        row(5, "lis", waiting, None),
        row(6, "his", "Sending data", "SELECT 1 FROM visit"),
        row(7, "his", waiting, "SELECT * FROM `visit` LIMIT 0"),
    ]
    assert find_waiting(rows, "his", frozenset({7})) == [
        "alter table visit add c int", "alter table his.visit add e int", "flush tables with read lock", None,
    ]  # fmt: skip
