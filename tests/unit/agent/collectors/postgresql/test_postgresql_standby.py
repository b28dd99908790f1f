# SPDX-License-Identifier: Apache-2.0
"""A hot standby is read like its primary."""

from collections.abc import Iterator

import pytest

from agent.collectors.postgresql import PostgresqlCollector
from terminal.language import Language
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import read_lines, settings_for, wait_for


@pytest.fixture
def standby(postgres_server: PostgresServer, postgres_database: str) -> Iterator[PostgresServer]:
    """Give a standby of the shared server, whose database has a table, an unlogged one, and a sequence."""
    postgres_server.execute(
        "CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t VALUES (1), (2); CREATE UNLOGGED TABLE light (id int)",
        database=postgres_database,
    )
    server = postgres_server.copy_as_standby()
    try:
        yield server
    finally:
        server.stop()


def test_standby_gives_its_replayed_position_and_the_rows(standby: PostgresServer, postgres_database: str) -> None:
    with PostgresqlCollector(settings_for(standby, postgres_database)).open_view() as view:
        lsn = view.position.removeprefix("pg ")
        assert standby.execute("SELECT %s::pg_lsn <= pg_last_wal_replay_lsn()", (lsn,)) == [(True,)]
        assert read_lines(view, "public.t") == [b"1", b"2"]
        assert read_lines(view, "@sequences")[0].startswith(b"public.t_id_seq\t1\tf")
        assert [(o.name, o.reason) for o in view.omitted()] == [
            ("public.light", "an unlogged table has no rows on a standby")
        ]
        assert b"CREATE TABLE public.t" in view.documents()[0].body
        assert "read from a standby" in view.notes()


def test_standby_that_would_cancel_a_reading_is_found_beforehand(
    standby: PostgresServer, postgres_database: str
) -> None:
    def said() -> list[str]:
        findings = PostgresqlCollector(settings_for(standby, postgres_database)).check()
        return [f"{f.severity} {f.sentence(Language.EN)}" for f in findings if "standby" in f.sentence(Language.EN)]

    assert any(line.startswith("WARN the standby waits 30 s (max_standby_streaming_delay)") for line in said())
    standby.execute("ALTER SYSTEM SET hot_standby_feedback = on")
    standby.execute("SELECT pg_reload_conf()")
    wait_for(lambda: standby.execute("SHOW hot_standby_feedback") == [("on",)])
    assert "OK the standby lets a reading finish (hot_standby_feedback = on)" in said()
