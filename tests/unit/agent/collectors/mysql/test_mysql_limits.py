# SPDX-License-Identifier: Apache-2.0
"""A view does the live server little harm: bounded age, bounded waits, nothing left behind; and errors say what to do."""

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator

import MySQLdb
import pytest

from agent.collectors.mysql import MysqlCollector, MysqlSettings
from agent.collectors.mysql.catalog import read_server
from agent.collectors.mysql.connect import Session
from agent.collectors.mysql.failures import Error, refuse
from agent.collectors.mysql.snapshot import Snapshot
from agent.collectors.mysql.view import MysqlView
from agent.errors import AgentError, BudgetError, LoginError, SourceDownError, SourceError, TableLostError
from tests.servers.mariadb import MariadbServer
from tests.servers.ports import free_port
from tests.servers.reading import Clock, KeptBlobs, find_table, read_lines, standing_still, wait_for
from tests.servers.reading_mysql import count_sessions, session, settings_for

MANY_ROWS = "CREATE TABLE t (id int PRIMARY KEY, pad text) ENGINE={}; INSERT INTO t SELECT seq, REPEAT('x', 500) FROM seq_1_to_80000"


@pytest.fixture
def large(mariadb_server: MariadbServer, mariadb_database: str) -> str:
    """Give a database whose table is far larger than all buffers between server and reader."""
    mariadb_server.execute(MANY_ROWS.format("InnoDB"), database=mariadb_database)
    mariadb_server.execute("CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1)", database=mariadb_database)
    return mariadb_database


@pytest.fixture
def account(mariadb_server: MariadbServer, large: str) -> Iterator[str]:
    """Give an account that may read `large` and see who waits, and nothing else."""
    mariadb_server.execute(
        f"CREATE USER 'reader'@'%' IDENTIFIED BY 'secret'; GRANT SELECT ON `{large}`.* TO 'reader'@'%';"
        "GRANT PROCESS ON *.* TO 'reader'@'%'"
    )
    try:
        yield "reader"
    finally:
        mariadb_server.execute("DROP USER 'reader'@'%'")


def _wait_for(server: MariadbServer, state: str) -> None:
    wait_for(lambda: [row for row in server.execute("SHOW FULL PROCESSLIST") if str(row[6]).startswith(state)])


def _start(server: MariadbServer, sql: str, database: str) -> threading.Thread:
    thread = threading.Thread(target=server.execute, args=(sql,), kwargs={"database": database})
    thread.start()
    return thread


def test_table_locked_by_others_is_lost_after_lock_timeout(mariadb_server: MariadbServer, large: str) -> None:
    settings = settings_for(mariadb_server, large, lock_timeout_s=1)
    with MysqlCollector(settings).open_view() as view, session(mariadb_server, large) as cursor:
        cursor.execute("LOCK TABLES t WRITE")
        with pytest.raises(TableLostError, match="locked longer than lock_timeout"):
            read_lines(view, f"{large}.t")
        assert read_lines(view, f"{large}.u") == [b"1"]


def test_snapshot_over_its_age_is_given_up(mariadb_server: MariadbServer, large: str) -> None:
    clock = Clock()
    settings = settings_for(mariadb_server, large, snapshot_age_limit_s=100)
    with MysqlCollector(settings, clock).open_view() as view:
        blocks = view.read(find_table(view, f"{large}.t"), KeptBlobs())
        assert next(blocks)
        clock.now += 101
        with pytest.raises(BudgetError, match=f"101 s old at table {large}.t, over its limit of 100 s"):
            next(blocks)
        with pytest.raises(BudgetError):
            read_lines(view, f"{large}.t")
    wait_for(lambda: not count_sessions(mariadb_server, large))


def test_reading_that_is_dropped_leaves_the_snapshot_usable_and_no_query(
    mariadb_server: MariadbServer, large: str
) -> None:
    reading = "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT t.%%' AND ID <> CONNECTION_ID()"
    with MysqlCollector(settings_for(mariadb_server, large)).open_view() as view:
        for _ in range(3):
            blocks = view.read(find_table(view, f"{large}.t"), KeptBlobs())
            assert next(blocks)
            assert mariadb_server.execute(reading)
            assert isinstance(blocks, Generator)
            blocks.close()
            assert not mariadb_server.execute(reading)
            assert read_lines(view, f"{large}.u") == [b"1"]
        assert len(read_lines(view, f"{large}.t")) == 80_000
    wait_for(lambda: not count_sessions(mariadb_server, large))


def test_view_left_within_a_reading_ends_all_sessions_at_once(mariadb_server: MariadbServer, large: str) -> None:
    view = MysqlView(settings_for(mariadb_server, large), Clock())
    blocks = view.read(find_table(view, f"{large}.t"), KeptBlobs())
    assert next(blocks)
    view.close()
    wait_for(lambda: not count_sessions(mariadb_server, large))
    with pytest.raises(AgentError):
        list(blocks)


def test_second_reading_within_a_first_ends_the_first(mariadb_server: MariadbServer, large: str) -> None:
    with MysqlCollector(settings_for(mariadb_server, large)).open_view() as view:
        first = view.read(find_table(view, f"{large}.t"), KeptBlobs())
        assert next(first)
        assert read_lines(view, f"{large}.u") == [b"1"]
        with pytest.raises(AgentError):
            list(first)
        assert len(read_lines(view, f"{large}.t")) == 80_000


def test_query_that_the_operator_cancels_costs_its_table_alone(mariadb_server: MariadbServer, large: str) -> None:
    view = MysqlView(settings_for(mariadb_server, large), Clock())
    try:
        assert view._snapshot is not None
        blocks = view.read(find_table(view, f"{large}.t"), KeptBlobs())
        assert next(blocks)
        mariadb_server.execute(f"KILL QUERY {view._snapshot.reader.id}")
        with pytest.raises(TableLostError, match="operator cancelled"):
            list(blocks)
        assert read_lines(view, f"{large}.u") == [b"1"]
    finally:
        view.close()


@pytest.mark.parametrize("which", ["reader", "watcher"])
def test_session_that_the_operator_ends_is_a_source_that_is_down(
    mariadb_server: MariadbServer, large: str, which: str
) -> None:
    view = MysqlView(settings_for(mariadb_server, large), Clock())
    try:
        assert view._snapshot is not None
        victim = view._snapshot.reader if which == "reader" else view._watcher
        blocks = view.read(find_table(view, f"{large}.t"), KeptBlobs())
        assert next(blocks)
        mariadb_server.execute(f"KILL {victim.id}")
        with pytest.raises(SourceDownError, match="broke"):
            list(blocks)
            read_lines(view, f"{large}.u")
    finally:
        view.close()
    wait_for(lambda: not count_sessions(mariadb_server, large))


def test_server_that_dies_is_down_and_comes_back() -> None:
    server = MariadbServer.create()
    try:
        server.create_database("d")
        server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        server.execute(MANY_ROWS.format("InnoDB"), database="d")
        with MysqlCollector(settings_for(server, "d")).open_view() as view:
            blocks = view.read(find_table(view, "d.t"), KeptBlobs())
            assert next(blocks)
            server.kill()
            with pytest.raises(SourceDownError):
                list(blocks)
        with pytest.raises(SourceDownError), MysqlCollector(settings_for(server, "d")).open_view():
            pass
        server.start()
        with MysqlCollector(settings_for(server, "d")).open_view() as view:
            assert len(read_lines(view, "d.t")) == 80_000
    finally:
        server.stop()


def test_view_of_a_server_that_stands_still_ends(mariadb_server: MariadbServer, large: str) -> None:
    with MysqlCollector(settings_for(mariadb_server, large, patience_s=0.5)).open_view() as view:
        assert read_lines(view, f"{large}.u") == [b"1"]
        with standing_still(mariadb_server.pid):
            with pytest.raises(SourceDownError, match="and none to a new session either"):
                read_lines(view, f"{large}.u")
            view.close()
    wait_for(lambda: not count_sessions(mariadb_server, large))


def test_query_of_a_server_that_works_is_waited_for(mariadb_server: MariadbServer, large: str) -> None:
    with Session(settings_for(mariadb_server, large, patience_s=0.05)) as opened:
        assert opened.query("SELECT SLEEP(1)") == [(b"0",)]


def test_account_that_is_refused_meanwhile_is_not_asked_for_again_and_again(
    mariadb_server: MariadbServer, large: str, account: str
) -> None:
    refused = "SHOW GLOBAL STATUS LIKE 'Access_denied_errors'"
    with Session(settings_for(mariadb_server, large, user=account, patience_s=0.05)) as opened:
        mariadb_server.execute("ALTER USER 'reader'@'%' IDENTIFIED BY 'another'")
        before = int(mariadb_server.execute(refused)[0][1])
        assert opened.query("SELECT SLEEP(1)") == [(b"0",)]
        assert int(mariadb_server.execute(refused)[0][1]) == before + 1


def test_session_cannot_write_even_as_an_administrator(mariadb_server: MariadbServer, large: str) -> None:
    with Session(settings_for(mariadb_server, large)) as opened:
        for statement in ("INSERT INTO u VALUES (9)", "DROP TABLE u", "UPDATE u SET id = 9"):
            with pytest.raises(MySQLdb.Error, match="READ ONLY"):
                opened.execute(statement)


def test_limits_of_the_session_are_those_of_the_settings(mariadb_server: MariadbServer, large: str) -> None:
    settings = settings_for(mariadb_server, large, snapshot_age_limit_s=600, statement_timeout_s=30, lock_timeout_s=7)
    with Session(settings) as opened:
        names = (
            "wait_timeout",
            "max_statement_time",
            "lock_wait_timeout",
            "innodb_lock_wait_timeout",
            "idle_readonly_transaction_timeout",
            "net_write_timeout",
        )
        found = {name: float(opened.query(f"SELECT @@{name}")[0][0] or 0) for name in names}
    assert found == {
        "wait_timeout": 660, "max_statement_time": 30, "lock_wait_timeout": 7, "innodb_lock_wait_timeout": 7,
        "net_write_timeout": 660, "idle_readonly_transaction_timeout": 660,
    }  # fmt: skip
    with Session(settings_for(mariadb_server, large, snapshot_age_limit_s=600)) as opened:
        assert opened.query("SELECT @@max_statement_time") == [(b"660.000000",)]


def test_statement_over_its_limit_costs_its_table(mariadb_server: MariadbServer, large: str) -> None:
    with MysqlCollector(settings_for(mariadb_server, large, statement_timeout_s=1)).open_view() as view:
        blocks = view.read(find_table(view, f"{large}.t"), KeptBlobs())
        assert next(blocks)
        running = "SELECT TIME_MS FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT t.%%'"
        while mariadb_server.execute(running)[0][0] < 1500:
            pass
        with pytest.raises(TableLostError, match="max_statement_time"):
            list(blocks)


def _refused(settings: MysqlSettings) -> AgentError:
    with pytest.raises(SourceError) as caught, MysqlCollector(settings).open_view():
        pass
    assert caught.value.hint
    assert settings.password not in str(caught.value) + caught.value.hint
    assert "\n" not in str(caught.value)
    return caught.value


def test_wrong_password_is_a_login_error(mariadb_server: MariadbServer, large: str) -> None:
    assert type(_refused(settings_for(mariadb_server, large, password="falsch-9"))) is LoginError


def test_unknown_account_is_a_login_error(mariadb_server: MariadbServer, large: str) -> None:
    assert type(_refused(settings_for(mariadb_server, large, user="nobody-here"))) is LoginError


def test_missing_database_is_named(mariadb_server: MariadbServer) -> None:
    error = _refused(settings_for(mariadb_server, "不存在"))
    assert type(error) is SourceError
    assert "database" in error.hint


def test_account_without_any_right_to_the_database_is_told_to_grant(mariadb_server: MariadbServer, large: str) -> None:
    mariadb_server.execute("CREATE USER 'outside'@'%' IDENTIFIED BY 'secret'")
    try:
        error = _refused(settings_for(mariadb_server, large, user="outside"))
        assert type(error) is SourceError
        assert "grants" in error.hint
    finally:
        mariadb_server.execute("DROP USER 'outside'@'%'")


def test_account_whose_password_expired_is_a_login_error(
    mariadb_server: MariadbServer, large: str, account: str
) -> None:
    mariadb_server.execute("ALTER USER 'reader'@'%' PASSWORD EXPIRE")
    error = _refused(settings_for(mariadb_server, large, user=account))
    assert type(error) is LoginError
    assert "expired" in error.hint


def test_too_many_connections_is_tried_again_later(mariadb_server: MariadbServer, large: str, account: str) -> None:
    mariadb_server.execute("ALTER USER 'reader'@'%' WITH MAX_USER_CONNECTIONS 1")
    assert type(_refused(settings_for(mariadb_server, large, user=account))) is SourceDownError


def test_nobody_at_the_port_is_down() -> None:
    settings = MysqlSettings(host="127.0.0.1", port=free_port(), database="x", user="x", password="x-secret")
    assert type(_refused(settings)) is SourceDownError


def test_required_tls_that_the_server_has_not_is_named(mariadb_server: MariadbServer, large: str) -> None:
    error = _refused(settings_for(mariadb_server, large, ssl_mode="required"))
    assert "TLS" in str(error)
    assert "ssl_mode" in error.hint


def test_socket_in_a_folder_is_a_host_too(mariadb_server: MariadbServer, large: str) -> None:
    # As root the administrator's account comes from 127.0.0.1 only: that it is refused by name shows that somebody answered.
    settings = MysqlSettings(
        host=str(mariadb_server.folder / "socket"), database=large, user="admin", password="x-secret"
    )
    assert type(_refused(settings)) is LoginError


def test_lock_guard_is_refused_behind_a_long_query(mariadb_server: MariadbServer, large: str) -> None:
    def sleep() -> None:
        with contextlib.suppress(MySQLdb.Error):
            mariadb_server.execute("SELECT SLEEP(200)")

    thread = threading.Thread(target=sleep)
    thread.start()
    try:
        while not [
            row for row in mariadb_server.execute("SHOW PROCESSLIST") if row[7] == "SELECT SLEEP(200)" and row[5] > 1
        ]:
            pass
        error = _refused(settings_for(mariadb_server, large, lock_guard=True))
        assert type(error) is SourceDownError
        assert "busy" in str(error)
    finally:
        for row in mariadb_server.execute("SHOW PROCESSLIST"):
            if row[7] == "SELECT SLEEP(200)":
                mariadb_server.execute(f"KILL {row[0]}")
        thread.join()


def test_lock_guard_without_the_right_says_which(mariadb_server: MariadbServer, large: str, account: str) -> None:
    error = _refused(settings_for(mariadb_server, large, user=account, lock_guard=True))
    assert "RELOAD" in error.hint


class _Lost(Snapshot):
    """A snapshot of an agent that is lost to the network while it has stopped all writing."""

    def _find_position(self, *, is_stopped: bool) -> None:
        assert is_stopped
        self._server_goes_on()
        super()._find_position(is_stopped=is_stopped)

    _server_goes_on: Callable[[], object]


def test_writing_goes_on_soon_when_the_agent_is_lost_while_it_has_stopped_it(
    mariadb_server: MariadbServer, large: str
) -> None:
    settings = settings_for(mariadb_server, large, lock_guard=True)
    write = "SET SESSION lock_wait_timeout = 20; INSERT INTO u VALUES (2)"
    _Lost._server_goes_on = lambda _: mariadb_server.execute(write, database=large)  # type: ignore[method-assign,misc,assignment]
    with Session(settings) as watcher, pytest.raises(MySQLdb.OperationalError) as caught:
        _Lost(settings, watcher, read_server(watcher, large))
    assert type(refuse(Error.of(caught.value), settings.address)) is SourceDownError, "no state came of it"
    assert mariadb_server.execute("SELECT count(*) FROM u", database=large) == [(2,)]
