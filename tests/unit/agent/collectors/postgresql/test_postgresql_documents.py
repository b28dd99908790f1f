# SPDX-License-Identifier: Apache-2.0
"""The DDL: pg_dump's under the same snapshot, or the catalogs'; both rebuild the shapes, and equal DDL is equal bytes."""

import os
import subprocess
from pathlib import Path

import pytest

from agent.collectors.postgresql import PostgresqlCollector, PostgresqlSettings
from agent.collectors.postgresql.documents import find_pg_dump, pin_restriction
from evidence.rows.schema import Schema
from tests.servers.postgresql import PostgresServer, find_binary
from tests.servers.reading import settings_for

DDL = """
    CREATE SCHEMA "医院"; CREATE TYPE "医院".mood AS ENUM ('好', 'it''s'); CREATE DOMAIN price AS numeric(9,2) NOT NULL CHECK (VALUE > 0);
    CREATE TYPE pair AS (a int, "b c" text);
    CREATE TABLE "医院"."病人 1" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL DEFAULT '张''三',
        m "医院".mood, p price, q pair, twice int GENERATED ALWAYS AS (length(name) * 2) STORED, CHECK (length(name) > 0));
    COMMENT ON TABLE "医院"."病人 1" IS '病人\n表'; COMMENT ON COLUMN "医院"."病人 1".name IS '姓名';
    CREATE TABLE visit (id serial PRIMARY KEY, patient bigint REFERENCES "医院"."病人 1", at timestamptz) ;
    CREATE INDEX by_patient ON visit (patient, at DESC);
    CREATE TABLE part (k int, v text, PRIMARY KEY (k)) PARTITION BY RANGE (k);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10) PARTITION BY LIST (k);
    CREATE TABLE part_1a PARTITION OF part_1 DEFAULT;
    CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);
    CREATE VIEW v AS SELECT id FROM visit; CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM visit;
    CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
    CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
    CREATE TRIGGER tr BEFORE INSERT ON visit FOR EACH ROW EXECUTE FUNCTION t();
    CREATE SEQUENCE free START 7; CREATE POLICY pol ON visit USING (id > 0)
"""


@pytest.fixture
def source(postgres_server: PostgresServer, postgres_database: str) -> str:
    postgres_server.execute(DDL, database=postgres_database)
    return postgres_database


def _read_ddl(settings: PostgresqlSettings) -> tuple[bytes, list[Schema], list[str]]:
    with PostgresqlCollector(settings).open_view() as view:
        (document,) = view.documents()
        assert document.name == "ddl.sql"
        return document.body, [table.schema for table in view.tables()], list(view.notes())


def _rebuild(server: PostgresServer, body: bytes, name: str) -> list[Schema]:
    """Run the DDL in a new database; give the schemas that it then has."""
    server.create_database(name)
    try:
        command = [find_binary("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.dsn_of(name)]
        quiet = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
        done = subprocess.run(command, input=body, capture_output=True, env=quiet)
        assert (done.returncode, done.stderr) == (0, b"")
        return _read_ddl(settings_for(server, name))[1]
    finally:
        server.drop_database(name)


@pytest.mark.parametrize("pg_dump", [None, Path("/nowhere/pg_dump")], ids=["pg_dump", "catalogs"])
def test_ddl_rebuilds_the_same_schemas(postgres_server: PostgresServer, source: str, pg_dump: Path | None) -> None:
    settings = settings_for(postgres_server, source, pg_dump=pg_dump)
    body, schemas, notes = _read_ddl(settings)
    assert any("written from the catalogs" in note for note in notes) == (pg_dump is not None)
    rebuilt = _rebuild(postgres_server, body, f"{source}_again")
    assert {s.name: s for s in rebuilt} == {s.name: s for s in schemas}
    for word in (
        b"by_patient",
        b"FOREIGN KEY",
        b"CREATE TRIGGER tr",
        b"CREATE POLICY pol",
        b"twice",
        b"CREATE SEQUENCE",
    ):
        assert word in body


def test_same_shapes_give_the_same_bytes(postgres_server: PostgresServer, source: str) -> None:
    settings = settings_for(postgres_server, source)
    assert _read_ddl(settings)[0] == _read_ddl(settings)[0]


def test_ddl_is_that_of_the_snapshot(postgres_server: PostgresServer, source: str) -> None:
    with PostgresqlCollector(settings_for(postgres_server, source)).open_view() as view:
        view.documents()
        postgres_server.execute("CREATE TABLE later (id int)", database=source)
    with PostgresqlCollector(settings_for(postgres_server, source, pg_dump=Path("/nowhere"))).open_view() as view:
        postgres_server.execute("CREATE TABLE even_later (id int)", database=source)
        body = view.documents()[0].body
        assert b"TABLE public.later" in body
        assert b"even_later" not in body


def test_failing_pg_dump_is_told_and_made_up_for(postgres_server: PostgresServer, source: str, tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'no room' >&2\nexit 3\n")
    program.chmod(0o755)
    body, _, notes = _read_ddl(settings_for(postgres_server, source, pg_dump=program))
    assert b"CREATE TABLE" in body
    assert notes[-1].endswith("pg_dump ended with 3: no room")


def test_slow_pg_dump_is_ended_with_the_view(postgres_server: PostgresServer, source: str, tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\nexec cat /dev/zero > /dev/null\n")
    program.chmod(0o755)
    with PostgresqlCollector(settings_for(postgres_server, source, pg_dump=program)).open_view() as view:
        assert view._ddl is not None
        process = view._ddl._process
        assert process is not None
        assert process.poll() is None
    assert process.poll() is not None


def test_pg_dump_older_than_the_server_is_not_taken() -> None:
    assert find_pg_dump(None, 15) is not None
    assert find_pg_dump(None, 99) is None


def test_word_that_restricts_psql_depends_on_the_rest_alone() -> None:
    def dump(word: bytes, table: bytes) -> bytes:
        return b"--\n\n\\restrict %s\n\nCREATE TABLE %s ();\n\n\\unrestrict %s\n\n" % (word, table, word)

    pinned = pin_restriction(dump(b"abc123", b"t"))
    assert pinned == pin_restriction(dump(b"Zz9", b"t"))
    assert b"abc123" not in pinned
    words = [line.split()[1] for line in pinned.splitlines() if b"restrict" in line]
    assert len(words) == 2
    assert words[0] == words[1]
    assert words[0] not in pin_restriction(dump(b"abc123", b"u"))
    assert pin_restriction(b"CREATE TABLE t ();") == b"CREATE TABLE t ();"
