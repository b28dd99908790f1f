# SPDX-License-Identifier: Apache-2.0
"""A plan over a real server: its catalogs' sizes, a part read of a large table, and a table that gives nothing in time."""

from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from agent.app import Agent
from agent.finding import Severity
from agent.plan.figures import Plan, Question
from agent.snapshot.progress import Silent
from tests.builders.plans import MIB, find_advice
from tests.servers.postgresql import PostgresServer


def _plan(folder: Path, server: PostgresServer, database: str, sample_s: float, settings: str = "") -> Plan:
    (folder / "agent.yaml").write_text(
        f"sources: [{{name: his, kind: postgresql, host: {server.host}, port: {server.port}, database: {database}, "
        f"user: {server.user}, password: 'env:PW'{settings}}}]\n"
    )
    with Agent.open(folder, environ={"PW": server.password}) as agent:
        return agent.plan("his", Question(sample_s=sample_s), Silent())


def test_part_of_a_large_table_stands_for_what_the_catalog_says_is_there(
    tmp_path: Path, postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE visit (id int PRIMARY KEY, note text);
        INSERT INTO visit SELECT i, repeat(md5(i::text), 60) FROM generate_series(1, 45000) AS i;
        CREATE TABLE code (name text); INSERT INTO code VALUES ('a'); ANALYZE""",
        database=postgres_database,
    )
    plan = _plan(tmp_path, postgres_server, postgres_database, 40)
    visit = next(table for table in plan.tables if table.name == "public.visit")
    assert visit.size.rows == 45_000
    assert visit.size.disk_bytes is not None
    assert visit.sample is not None
    # Its 83 MiB are over the bound of a sample: what was read of it stands for all of it.
    assert not visit.sample.is_whole
    assert visit.content_bytes == pytest.approx(45_000 * 1926, rel=0.02)
    assert 64 * MIB <= visit.sample.content_bytes < 80 * MIB
    assert plan.unmeasured == ()
    assert not plan.is_copy
    assert plan.seconds is not None
    assert find_advice(plan, "read").severity is Severity.OK


def test_table_that_gives_no_row_in_its_time_is_not_measured_and_the_others_are(
    tmp_path: Path, postgres_server: PostgresServer, postgres_database: str
) -> None:
    postgres_server.execute(
        """CREATE TABLE held (id int PRIMARY KEY); INSERT INTO held VALUES (1);
        CREATE TABLE free (id int PRIMARY KEY); INSERT INTO free VALUES (1)""",
        database=postgres_database,
    )
    with closing(psycopg2.connect(postgres_server.dsn_of(postgres_database))) as other:
        other.cursor().execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        plan = _plan(tmp_path, postgres_server, postgres_database, 4, ", lock_timeout: 1")
    by_name = {table.name: table for table in plan.tables}
    held, free = by_name["public.held"], by_name["public.free"]
    assert plan.unmeasured == ("public.held",)
    assert held.size.disk_bytes is None
    assert held.sample is not None
    assert held.sample.trouble != ""
    assert free.sample is not None
    assert free.sample.is_whole
    assert "at least" in str(find_advice(plan, "read").message)
