# SPDX-License-Identifier: Apache-2.0
"""A weekly native backup, from the vendor's program to a database that is whole again: pg_dump against a real server.

Everything is real: settings, secret, agent, line, center, restore. What rows alone do not bring back (a function, a
view, a sequence, a default) must be there afterwards, and the second dump must send only what is new.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import CommandFailedError
from agent.snapshot.progress import Silent
from center.app import Center
from center.restore import open_target, restore
from center.restore.restore import RestoreReport
from tests.builders.commands import is_running, pids_in, wait_until
from tests.builders.world import World, agent_process, check_kept, stored_pack_bytes
from tests.servers.postgresql import PostgresServer, find_binary

UNIT = "X013"
SCHEMA = """
CREATE TABLE patient (id int PRIMARY KEY, name text NOT NULL, born date DEFAULT '1980-01-01');
CREATE SEQUENCE ticket START 4711;
CREATE FUNCTION greet(text) RETURNS text LANGUAGE sql AS $$ SELECT '您好 ' || $1 $$;
CREATE VIEW elders AS SELECT * FROM patient WHERE born < '1950-01-01';
INSERT INTO patient SELECT i, md5(i::text) || md5((i * 7)::text) || md5((i * 13)::text) FROM generate_series(1, 60000) i;
SELECT nextval('ticket');
"""


def _argv(*words: object) -> str:
    return json.dumps([str(word) for word in words])


def _restore(center: Center, source: str, sequence: int, folder: Path) -> RestoreReport:
    target = open_target(str(folder))
    try:
        return restore(center.open_snapshot(UNIT, source, sequence), target)
    finally:
        target.close()


def _psql(server: PostgresServer, database: str, file: Path) -> None:
    command = [find_binary("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.dsn_of(database), "-f", str(file)]
    subprocess.run(command, check=True, capture_output=True)


def test_weekly_dump_brings_a_whole_database_back_and_the_next_one_shares_its_bytes(
    tmp_path: Path, postgres_server: PostgresServer, postgres_database: str
) -> None:
    server = postgres_server
    server.execute(SCHEMA, database=postgres_database)
    dump = [
        find_binary("pg_dump"),
        "-v",
        "-w",
        "-h",
        server.host,
        "-p",
        server.port,
        "-U",
        server.user,
        postgres_database,
    ]
    archive = [*dump[:-1], "-Fc", "-f", tmp_path / "his.dump", postgres_database]
    env = "env: {PGPASSWORD: secret:pg}"
    sources = (
        f"  - {{name: full, kind: command, argv: {_argv(*dump)}, {env}, dump: his.sql, consistency: consistent}}\n"
        f"  - {{name: archive, kind: command, argv: {_argv(*archive)}, {env}, output: file, path: {tmp_path}/his.dump,"
        " remove: true}\n"
    )
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, sources)
        environ = {"JINSUO_SECRET_PG": server.password, "PATH": os.environ["PATH"]}
        with Agent.open(folder, environ=environ) as agent:
            first = agent.snapshot("full", Silent())
            assert first.trouble is None
            assert (first.tables, first.rows, first.consistency) == (1, 1, "consistent")
            stored = stored_pack_bytes(center, UNIT, "full")

            # The next week: some rows are new, one is gone. Where pg_dump writes is a matter of the table's pages.
            server.execute("INSERT INTO patient VALUES (60001, 'new')", database=postgres_database)
            second = agent.snapshot("full", Silent())
            assert second.root != first.root
            assert stored_pack_bytes(center, UNIT, "full") - stored < stored / 5
            again = agent.snapshot("full", Silent())
            assert again.sent_bytes < stored / 5

            packed = agent.snapshot("archive", Silent())
            assert any("his.dump is compressed (pg_dump's own)" in note for note in packed.notes)
            assert not (tmp_path / "his.dump").exists()
        check_kept(center, folder, UNIT, "full")

        report = _restore(center, "full", 1, tmp_path / "copy")
        assert report.is_equal
        assert [path.name for path in (tmp_path / "copy").iterdir()] == ["his.sql"]
        words = (tmp_path / "copy.documents" / "stderr.txt").read_bytes()
        assert b"dumping contents of table" in words
        assert server.password.encode() not in words
        report = _restore(center, "archive", 1, tmp_path / "packed")
        assert report.is_equal

        server.create_database("whole")
        try:
            _psql(server, "whole", tmp_path / "copy" / "his.sql")
            assert server.execute("SELECT count(*), greet('张三') FROM patient GROUP BY 2", database="whole") == [
                (60_000, "您好 张三")
            ]
            assert server.execute("SELECT nextval('ticket')", database="whole") == [(4712,)]
            assert server.execute("SELECT count(*) FROM elders", database="whole") == [(0,)]
        finally:
            server.drop_database("whole")
        listed = subprocess.run(
            [find_binary("pg_restore"), "-l", tmp_path / "packed" / "his.dump"], capture_output=True, check=True
        )
        assert b"FUNCTION public greet(text)" in listed.stdout


_DUMP = """
import hashlib, sys
for i in range(int(sys.argv[1])):
    word = b"changed" if i == int(sys.argv[2]) else b"row %d" % i
    sys.stdout.buffer.write(word + b" " + hashlib.shake_256(b"%d" % i).digest(1000) + b"\\n")
"""


def test_large_dump_with_one_row_more_sends_a_few_chunks(tmp_path: Path) -> None:
    def source(*words: object) -> str:
        return f"  - {{name: his, kind: command, argv: {_argv(sys.executable, '-I', '-S', '-c', _DUMP, *words)}}}\n"

    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, source(40_000, -1))
        first = world.snapshot(UNIT)
        assert first.sent_bytes > 40_000_000
        with Agent.open(folder) as agent:
            assert agent.compare("his", 1, Silent()).is_equal
        same = world.snapshot(UNIT)
        assert same.root == first.root  # nothing of another day is in the row
        assert same.sent_bytes < 50_000
        settings = folder / "agent.yaml"
        settings.write_text(settings.read_text().replace('"40000", "-1"', '"40001", "20000"'))
        second = world.snapshot(UNIT)
        assert second.root != first.root
        # A row in the middle and one at the end are two chunks of 2 MiB at most each, their list and small talk.
        assert second.sent_bytes < 3 << 20
        check_kept(center, folder, UNIT, "his")
        assert _restore(center, "his", 3, tmp_path / "copy").is_equal
        content = (tmp_path / "copy" / "his").read_bytes()
        expected = subprocess.run(
            [sys.executable, "-c", _DUMP, "40001", "20000"], capture_output=True, check=True
        ).stdout
        assert hashlib.sha256(content).digest() == hashlib.sha256(expected).digest()


def test_failing_dump_makes_no_statement_and_says_no_password(tmp_path: Path) -> None:
    code = "import os, sys; print('half'); sys.exit('login ' + os.environ['DB_PASSWORD'] + ' refused')"
    source = (
        f"  - {{name: his, kind: command, argv: {_argv(sys.executable, '-c', code)}, env: {{DB_PASSWORD: env:PW}}}}\n"
    )
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, source)
        with Agent.open(folder, environ={"PW": "hunter2-e61f4d"}) as agent:
            with pytest.raises(CommandFailedError) as caught:
                agent.snapshot("his", Silent())
            assert caught.value.hint == "it said: login *** refused"
            assert agent.last_outcome("his") is None
            assert not [f for f in agent.check() if "hunter2" in repr(f)]
        center.replay.catch_up()
        assert center.catalog.latest(UNIT, "his") is None


def test_killed_agent_leaves_no_dump_command_running(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()}\\n'); print(1, flush=True); time.sleep(600)"
    )
    with World.make(tmp_path / "world") as world, world.serving() as center:
        source = f"  - {{name: his, kind: command, argv: {_argv(sys.executable, '-c', code, pids)}}}\n"
        folder = world.add_agent(center, UNIT, source)
        agent = agent_process(folder, "snapshot", "his")
        assert wait_until(lambda: bool(pids_in(pids)))
        agent.kill()
        agent.communicate()
    assert wait_until(lambda: not is_running(pids_in(pids)[0])), "the command would run for ten minutes"
