# SPDX-License-Identifier: Apache-2.0
"""A view does the live server little harm: bounded age, bounded waits, nothing left behind; and errors say what to do."""

import itertools
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from agent.collectors.base import Heeding, Straining
from agent.collectors.postgresql import PostgresqlCollector, PostgresqlSettings
from agent.collectors.postgresql.connect import Session, execute, is_answering, open_connection, query
from agent.collectors.postgresql.failures import refuse
from agent.errors import (
    AgentError,
    BudgetError,
    LoginError,
    PausedError,
    SourceChangedError,
    SourceDownError,
    SourceError,
    TableLostError,
)
from tests.builders.threads import threads_now
from tests.servers.ports import free_port
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import (
    Clock,
    KeptBlobs,
    count_our_sessions,
    find_table,
    read_lines,
    session,
    settings_for,
    standing_still,
    wait_for,
)

MANY_ROWS = """
    CREATE TABLE t (id int PRIMARY KEY, pad text);
    INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 80000) n; ANALYZE t"""
NOWHERE = Path("/nowhere/pg_dump")
COPYING = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'jinsuo' AND query LIKE 'COPY%' ORDER BY backend_start"
)


@pytest.fixture
def large(postgres_server: PostgresServer, postgres_database: str) -> str:
    """Give a database whose table is far larger than all buffers between server and reader."""
    postgres_server.execute(MANY_ROWS, database=postgres_database)
    return postgres_database


@pytest.fixture(params=(1, 2), ids=("one session", "two sessions"))
def sessions(request: pytest.FixtureRequest) -> int:
    """Give by how many sessions the table is read."""
    return int(request.param)


def test_table_locked_by_others_is_lost_after_lock_timeout(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute("CREATE TABLE t (id int); CREATE TABLE u (id int)", database=postgres_database)
    settings = settings_for(postgres_server, postgres_database, lock_timeout_s=0.05)
    with PostgresqlCollector(settings).open_view() as view, session(postgres_server, postgres_database) as cursor:
        cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TableLostError, match="locked longer than lock_timeout"):
            read_lines(view, "public.t")
        assert read_lines(view, "public.u") == []


def test_snapshot_over_its_age_is_given_up(postgres_server: PostgresServer, large: str, sessions: int) -> None:
    clock = Clock()
    settings = settings_for(postgres_server, large, snapshot_age_limit_s=100, read_sessions=sessions)
    with PostgresqlCollector(settings, clock).open_view() as view:
        blocks = view.read(find_table(view, "public.t"), KeptBlobs())
        assert next(blocks)
        clock.now += 101
        with pytest.raises(BudgetError, match="101 s old at table public.t, over its limit of 100 s"):
            next(blocks)
        with pytest.raises(BudgetError):
            read_lines(view, "public.t")
    wait_for(lambda: not count_our_sessions(postgres_server))


def test_reading_that_is_dropped_leaves_no_transaction_and_no_thread(
    postgres_server: PostgresServer, large: str, sessions: int
) -> None:
    before = threads_now()
    with PostgresqlCollector(settings_for(postgres_server, large, read_sessions=sessions)).open_view() as view:
        blocks = view.read(find_table(view, "public.t"), KeptBlobs())
        assert next(blocks)
        wait_for(lambda: len(postgres_server.execute(COPYING)) == sessions)
        assert [thread.name for thread in threading.enumerate()].count("copy") == sessions
        assert isinstance(blocks, Generator)
        blocks.close()
        assert "copy" not in [thread.name for thread in threading.enumerate()]
        wait_for(lambda: not postgres_server.execute(COPYING))
        assert len(read_lines(view, "public.t")) == 80000
    assert threads_now() <= before
    wait_for(lambda: not count_our_sessions(postgres_server))


def test_view_closed_amid_a_reading_ends_it_on_the_server(
    postgres_server: PostgresServer, large: str, sessions: int
) -> None:
    with PostgresqlCollector(settings_for(postgres_server, large, read_sessions=sessions)).open_view() as view:
        blocks = view.read(find_table(view, "public.t"), KeptBlobs())
        assert next(blocks)
    # Closing cancels the COPY and cuts the line: which of the two the reader sees first is the server's affair.
    with pytest.raises((SourceDownError, TableLostError)):
        list(blocks)
    wait_for(lambda: not count_our_sessions(postgres_server))


def test_reading_is_dropped_although_the_server_takes_no_connections_any_more(
    postgres_server: PostgresServer, large: str
) -> None:
    ticks = [time.monotonic()]
    is_over = threading.Event()

    def tick() -> None:
        while not is_over.wait(0.05):
            ticks.append(time.monotonic())

    other = threading.Thread(target=tick)
    with PostgresqlCollector(settings_for(postgres_server, large, pg_dump=NOWHERE)).open_view() as view:
        blocks = view.read(find_table(view, "public.t"), KeptBlobs())
        assert next(blocks)
        assert isinstance(blocks, Generator)
        other.start()
        try:
            with standing_still(postgres_server.pid):
                began = time.monotonic()
                blocks.close()
                assert time.monotonic() - began < 30
        finally:
            is_over.set()
            other.join()
    assert max(b - a for a, b in itertools.pairwise(ticks)) < 30, "no other thread could run meanwhile"
    wait_for(lambda: not count_our_sessions(postgres_server))


def test_server_that_does_not_tell_who_waits_ends_the_reading_and_the_view(
    postgres_server: PostgresServer, large: str
) -> None:
    looking = "SELECT pid FROM pg_stat_activity WHERE application_name = 'jinsuo' AND query LIKE '%pg_blocking_pids%'"
    with PostgresqlCollector(settings_for(postgres_server, large, pg_dump=NOWHERE)).open_view() as view:
        blocks = view.read(find_table(view, "public.t"), KeptBlobs())
        assert next(blocks)
        ((pid,),) = wait_for(lambda: postgres_server.execute(looking))
        with standing_still(pid):
            began = time.monotonic()
            with pytest.raises(SourceDownError, match="who waits for what we have locked"):
                while time.monotonic() - began < 50:
                    time.sleep(0.1)
                    view.attend()
            with pytest.raises(SourceDownError):
                list(blocks)
            view.close()
            assert time.monotonic() - began < 50
    wait_for(lambda: not count_our_sessions(postgres_server))


def test_query_of_a_server_that_stands_still_is_not_waited_for(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    # The kernel of such a server acknowledges all that comes, and its own limits stand still, too.
    connection = open_connection(settings_for(postgres_server, postgres_database, patience_s=0.5))
    try:
        with standing_still(postgres_server.pid, connection.info.backend_pid):
            with pytest.raises(psycopg2.OperationalError, match="and none to a new session either") as caught:
                query(connection, "SELECT 1")
            assert type(refuse(caught.value, "his")) is SourceDownError
    finally:
        connection.close()


def test_view_of_a_server_that_stands_still_ends(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute("CREATE TABLE t (id int)", database=postgres_database)
    settings = settings_for(postgres_server, postgres_database, pg_dump=NOWHERE, patience_s=0.5)
    ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'jinsuo'"
    with PostgresqlCollector(settings).open_view() as view:
        assert read_lines(view, "public.t") == []
        pids = [pid for (pid,) in postgres_server.execute(ours)]
        with standing_still(postgres_server.pid, *pids):
            with pytest.raises(SourceDownError):
                view.documents()
            view.close()
    wait_for(lambda: not count_our_sessions(postgres_server))


def test_query_of_a_server_that_works_is_waited_for(postgres_server: PostgresServer, postgres_database: str) -> None:
    settings = settings_for(postgres_server, postgres_database, patience_s=0.05)
    connection = open_connection(settings)
    try:
        assert isinstance(connection, Session)
        began = len(postgres_server.log)
        assert query(connection, "SELECT pg_sleep(1)") == [("",)]
        assert connection.vigil.why is None
    finally:
        connection.close()
    assert is_answering(settings.host, settings.port)
    assert postgres_server.log[began:] == [], "who asks whether it answers leaves nothing in the server's log"
    assert is_answering("127.0.0.1", free_port()), "that nobody listens is no silence: the kernel says so"


def test_reader_who_is_told_to_stop_does_not_wait_for_the_next_block(
    postgres_server: PostgresServer, large: str
) -> None:
    def heed() -> None:
        raise PausedError("paused", hint="wait")

    with PostgresqlCollector(settings_for(postgres_server, large, pg_dump=NOWHERE)).open_view() as view:
        assert isinstance(view, Heeding)
        view.heed = heed
        blocks = view.read(find_table(view, "public.t"), KeptBlobs())
        assert next(blocks)
        ((pid,),) = postgres_server.execute(COPYING)
        with standing_still(pid), pytest.raises(PausedError):
            list(blocks)
    wait_for(lambda: not count_our_sessions(postgres_server))


def test_two_readings_at_a_time_do_not_disturb_each_other(
    postgres_server: PostgresServer, large: str, sessions: int
) -> None:
    with PostgresqlCollector(settings_for(postgres_server, large, read_sessions=sessions)).open_view() as view:
        blocks = view.read(find_table(view, "public.t"), KeptBlobs())
        first = next(blocks)
        again = b"".join(view.read(find_table(view, "public.t"), KeptBlobs()))
        assert first + b"".join(blocks) == again


def test_cancel_by_the_operator_loses_the_table(postgres_server: PostgresServer, large: str, sessions: int) -> None:
    cancel = f"SELECT pg_cancel_backend(pid) FROM ({COPYING}) AS c"
    is_over = threading.Event()

    def cancel_again() -> None:
        # Between two ranges there is nothing that could be cancelled, and a range may be sent within milliseconds.
        with closing(psycopg2.connect(postgres_server.dsn)) as operator, operator.cursor() as cursor:
            operator.autocommit = True
            while not is_over.is_set():
                cursor.execute(cancel)

    with PostgresqlCollector(settings_for(postgres_server, large, read_sessions=sessions)).open_view() as view:
        blocks = view.read(find_table(view, "public.t"), KeptBlobs())
        assert next(blocks)
        with ThreadPoolExecutor(1) as threads:
            cancelling = threads.submit(cancel_again)
            try:
                with pytest.raises(TableLostError, match="the server cancelled reading it"):
                    for _ in itertools.chain([b""], blocks):
                        time.sleep(0.05)
            finally:
                is_over.set()
            cancelling.result()
        assert len(read_lines(view, "public.t")) == 80000


def test_statement_timeout_is_the_sessions(postgres_server: PostgresServer, large: str) -> None:
    settings = settings_for(postgres_server, large, statement_timeout_s=0.001)
    with pytest.raises(AgentError, match="statement timeout"), PostgresqlCollector(settings).open_view() as view:
        read_lines(view, "public.t")


def test_ended_reader_session_is_a_broken_connection(
    postgres_server: PostgresServer, large: str, sessions: int
) -> None:
    with PostgresqlCollector(settings_for(postgres_server, large, read_sessions=sessions)).open_view() as view:
        blocks = view.read(find_table(view, "public.t"), KeptBlobs())
        assert next(blocks)
        # The last to come reads what is far behind the rows that are taken.
        (pid,) = postgres_server.execute(COPYING)[-1]
        postgres_server.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(SourceDownError):
            list(blocks)


def test_ended_holder_session_is_a_lost_snapshot(postgres_server: PostgresServer, large: str) -> None:
    # Without pg_dump nothing is locked, so the lookout opens no session of its own meanwhile, which would stay.
    with PostgresqlCollector(settings_for(postgres_server, large, pg_dump=NOWHERE)).open_view() as view:
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jinsuo'"
        )
        wait_for(lambda: not count_our_sessions(postgres_server))
        with pytest.raises(SourceChangedError, match="no longer holds the snapshot"):
            read_lines(view, "public.t")


def test_server_killed_while_it_is_read_is_down(sessions: int) -> None:
    server = PostgresServer.create()
    try:
        server.execute(MANY_ROWS)
        server.execute("CHECKPOINT")
        settings = settings_for(server, "postgres", read_sessions=sessions)
        with PostgresqlCollector(settings).open_view() as view:
            blocks = view.read(find_table(view, "public.t"), KeptBlobs())
            assert next(blocks)
            server.kill()
            with pytest.raises(SourceDownError) as caught:
                list(blocks)
            assert caught.value.hint
        with pytest.raises(SourceDownError, match="does not answer"), PostgresqlCollector(settings).open_view():
            pass
        server.start()
        with PostgresqlCollector(settings).open_view() as view:
            assert len(read_lines(view, "public.t")) == 80000
    finally:
        server.stop()


def test_sessions_cannot_write_and_end_by_themselves(postgres_server: PostgresServer, postgres_database: str) -> None:
    settings = settings_for(postgres_server, postgres_database, snapshot_age_limit_s=600, statement_timeout_s=30)
    connection = open_connection(settings)
    try:
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            execute(connection, "CREATE TABLE public.x (id int)")
        found = [
            query(connection, f"SHOW {name}")[0][0]
            for name in ("idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout", "application_name")
        ]
        assert found == ["11min", "30s", "10s", "jinsuo"]
    finally:
        connection.close()


@pytest.mark.parametrize(("own", "expected"), [("0", "11min"), ("1h", "11min"), ("90s", "90s")])
def test_no_statement_outlives_the_age_limit_and_no_session_an_agent_that_is_gone(
    postgres_server: PostgresServer, postgres_database: str, own: str, expected: str
) -> None:
    postgres_server.execute(f"ALTER DATABASE \"{postgres_database}\" SET statement_timeout = '{own}'")
    connection = open_connection(settings_for(postgres_server, postgres_database, snapshot_age_limit_s=600))
    try:
        names = ("statement_timeout", "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
        found = [query(connection, f"SHOW {name}")[0][0] for name in names]
        assert found == [expected, "30", "10", "3"]
    finally:
        connection.close()


def _refused(settings: PostgresqlSettings) -> AgentError:
    with pytest.raises(SourceError) as caught, PostgresqlCollector(settings).open_view():
        pass
    assert caught.value.hint
    assert settings.password not in str(caught.value) + caught.value.hint
    assert "\n" not in str(caught.value)
    return caught.value


def test_wrong_password_is_a_login_error(postgres_server: PostgresServer) -> None:
    error = _refused(settings_for(postgres_server, "postgres", password="falsch-9"))
    assert type(error) is LoginError


def test_unknown_account_is_a_login_error(postgres_server: PostgresServer) -> None:
    assert type(_refused(settings_for(postgres_server, "postgres", user="nobody-here"))) is LoginError


def test_missing_database_is_named(postgres_server: PostgresServer) -> None:
    error = _refused(settings_for(postgres_server, "不存在"))
    assert type(error) is SourceError
    assert "database" in error.hint


def test_account_that_may_not_connect_is_told_to_grant(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute("CREATE ROLE outside LOGIN PASSWORD 'secret'")
    try:
        postgres_server.execute(f'REVOKE CONNECT ON DATABASE "{postgres_database}" FROM PUBLIC')
        error = _refused(settings_for(postgres_server, postgres_database, user="outside"))
        assert type(error) is SourceError
        assert "grants" in error.hint
    finally:
        postgres_server.execute("DROP ROLE outside")


def test_second_session_that_is_refused_is_done_without(postgres_server: PostgresServer, large: str) -> None:
    # The view's holder and lookout, and one reader.
    postgres_server.execute("CREATE ROLE few LOGIN PASSWORD 'secret' CONNECTION LIMIT 3")
    try:
        postgres_server.execute("GRANT pg_read_all_data TO few")
        settings = settings_for(postgres_server, large, user="few", read_sessions=2, pg_dump=NOWHERE)
        threads = threads_now()
        with PostgresqlCollector(settings).open_view() as view:
            assert isinstance(view, Straining)
            assert view.strain().refused_sessions == 0
            assert len(read_lines(view, "public.t")) == 80000
            assert view.strain().refused_sessions == 1
            assert len(read_lines(view, "public.t")) == 80000
            assert view.strain().refused_sessions == 1
        assert threads_now() <= threads
        wait_for(lambda: not count_our_sessions(postgres_server))
    finally:
        postgres_server.execute("DROP OWNED BY few; DROP ROLE few")


def test_too_many_connections_is_tried_again_later(postgres_server: PostgresServer, postgres_database: str) -> None:
    postgres_server.execute(f'ALTER DATABASE "{postgres_database}" CONNECTION LIMIT 0')
    postgres_server.execute("CREATE ROLE one LOGIN PASSWORD 'secret'")
    try:
        assert type(_refused(settings_for(postgres_server, postgres_database, user="one"))) is SourceDownError
    finally:
        postgres_server.execute("DROP ROLE one")


def test_nobody_at_the_port_is_down(postgres_server: PostgresServer) -> None:
    settings = PostgresqlSettings(host="127.0.0.1", port=free_port(), database="x", user="x", password="x-secret")
    assert type(_refused(settings)) is SourceDownError


def test_required_tls_that_the_server_has_not_is_named(postgres_server: PostgresServer) -> None:
    error = _refused(settings_for(postgres_server, "postgres", sslmode="require"))
    assert "TLS" in str(error)
    assert "sslmode" in error.hint


@pytest.mark.parametrize("rows", [3_000, 6_000, 12_000])
def test_reading_that_was_broken_off_leaves_no_half_dead_session_to_the_next_table(
    postgres_server: PostgresServer, postgres_database: str, rows: int
) -> None:
    # What the server has sent already may still be read from a socket that was shut down: the session then looks
    # alive for one more answer, and breaks in the middle of the next table.
    postgres_server.execute(
        f"CREATE TABLE a (id int PRIMARY KEY, t text); INSERT INTO a SELECT i, repeat('x', 1000) FROM "
        f"generate_series(1, {rows}) i; CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1)",
        database=postgres_database,
    )
    with PostgresqlCollector(settings_for(postgres_server, postgres_database)).open_view() as view:
        first = next(table for table in view.tables() if table.schema.name == "public.a")
        for _ in range(20):
            blocks = view.read(first, KeptBlobs())
            assert isinstance(blocks, Generator)
            next(blocks)
            blocks.close()
            assert read_lines(view, "public.b") == [b"1"]
