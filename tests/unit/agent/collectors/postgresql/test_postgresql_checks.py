# SPDX-License-Identifier: Apache-2.0
"""What `check` finds at a source, and that the SQL of `grants` makes an account that can read all and write nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import psycopg2
import pytest

from agent.collectors.base import Finding, Severity
from agent.collectors.naming import TableChoice
from agent.collectors.postgresql import PostgresqlCollector
from agent.errors import TableLostError
from terminal.language import Language
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import read_lines, settings_for

ACCOUNT = 'archive "read"'
QUOTED = '"archive ""read"""'


@pytest.fixture
def account(postgres_server: PostgresServer, postgres_database: str) -> Iterator[str]:
    """Give the name of an account that a test makes, and remove it afterwards."""
    try:
        yield ACCOUNT
    finally:
        postgres_server.execute(
            f"""DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ACCOUNT}') THEN
            DROP OWNED BY {QUOTED}; END IF; END $$""",
            database=postgres_database,
        )
        postgres_server.execute(f"DROP ROLE IF EXISTS {QUOTED}")


def _said(findings: Sequence[Finding], severity: Severity) -> str:
    return "\n".join(
        f"{f.subject}: {f.sentence(Language.EN)} -> {f.advice(Language.EN)}" for f in findings if f.severity is severity
    )


def test_grants_make_an_account_that_reads_all_and_writes_nothing(
    postgres_server: PostgresServer, postgres_database: str, account: str
) -> None:
    postgres_server.execute(
        """CREATE SCHEMA his; CREATE TABLE his.visit (id serial PRIMARY KEY); INSERT INTO his.visit DEFAULT VALUES;
        ALTER TABLE his.visit ENABLE ROW LEVEL SECURITY; SELECT lo_from_bytea(5, 'a')""",
        database=postgres_database,
    )
    settings = settings_for(postgres_server, postgres_database, user=account)
    collector = PostgresqlCollector(settings)
    sql = collector.grants().en.replace("'...'", "'secret'").replace("-- ALTER ROLE", "ALTER ROLE")
    head, _, block = sql.partition("-- DO $$")
    block = "DO $$" + block.partition("-- In pg_hba")[0].replace("\n--", "\n")
    for statement in (head, block):
        postgres_server.execute(statement, database=postgres_database)
    postgres_server.execute("CREATE TABLE his.later (id int)", database=postgres_database)
    findings = collector.check()
    assert _said(findings, Severity.FAIL) == ""
    assert "can only read" in _said(findings, Severity.OK)
    with collector.open_view() as view:
        assert {t.schema.name for t in view.tables()} == {"his.visit", "his.later", "@sequences", "@large_objects"}
        assert read_lines(view, "his.visit") == [b"1"]
        assert read_lines(view, "@large_objects")[0].startswith(b"5\tadmin\t")
        assert not [note for note in view.notes() if "lacks" in note]
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        connection = psycopg2.connect(postgres_server.dsn_of(postgres_database), user=account)
        try:
            connection.cursor().execute("INSERT INTO his.later VALUES (1)")
        finally:
            connection.close()


def test_check_warns_of_all_that_stands_in_the_way(
    postgres_server: PostgresServer, postgres_database: str, account: str
) -> None:
    postgres_server.execute(
        f"""CREATE ROLE {QUOTED} LOGIN PASSWORD 'secret';
        CREATE TABLE keyless (a int); CREATE TABLE texts (k text PRIMARY KEY); CREATE TABLE closed (id int);
        CREATE TABLE writable (id int PRIMARY KEY); CREATE SEQUENCE hidden; SELECT lo_from_bytea(7, 'a');
        GRANT SELECT ON keyless, texts, writable TO {QUOTED}; GRANT UPDATE ON writable TO {QUOTED};
        CREATE TABLE secured (id int); GRANT SELECT ON secured TO {QUOTED};
        ALTER TABLE secured ENABLE ROW LEVEL SECURITY""",
        database=postgres_database,
    )
    settings = settings_for(
        postgres_server, postgres_database, user=account, tables=TableChoice(("public.*", "public.absent"))
    )
    findings = PostgresqlCollector(settings).check()
    warned, fine = _said(findings, Severity.WARN), _said(findings, Severity.OK)
    for words in (
        "can change 1 tables, such as public.writable", "public.closed: not in the snapshot: the account has no right",
        "1 tables have no key: public.keyless",
        "the values of 1 sequences cannot be read: public.hidden", "1 large objects cannot be read, such as 7",
        "public.absent: not in the snapshot: named in the settings",
    ):  # fmt: skip
        assert words in warned
    assert "1 tables are sorted by the agent" in fine
    assert "UTF8, a primary" in fine
    assert "the DDL comes from" in fine
    assert _said(findings, Severity.FAIL).startswith(
        f"{settings.host}:{settings.port}/{postgres_database}: public.secured: not in the snapshot: row-level security"
    )


def test_rows_that_a_policy_hides_are_never_read_as_all_there_are(
    postgres_server: PostgresServer, postgres_database: str, account: str
) -> None:
    postgres_server.execute(
        f"""CREATE ROLE {QUOTED} LOGIN PASSWORD 'secret';
        CREATE TABLE visit (id int PRIMARY KEY, ward text); INSERT INTO visit VALUES (1, 'a'), (2, 'b');
        CREATE TABLE plain (id int PRIMARY KEY);
        GRANT SELECT ON visit, plain TO {QUOTED}; CREATE POLICY own ON visit FOR SELECT USING (ward = 'a')""",
        database=postgres_database,
    )
    collector = PostgresqlCollector(settings_for(postgres_server, postgres_database, user=account))
    with collector.open_view() as view:
        # 1. The policy comes into force after the snapshot began: the reading is refused, not filtered.
        postgres_server.execute("ALTER TABLE visit ENABLE ROW LEVEL SECURITY", database=postgres_database)
        with pytest.raises(TableLostError):
            read_lines(view, "public.visit")
        assert read_lines(view, "public.plain") == []
    with collector.open_view() as view:
        # 2. It is in force: the table is left out, and the manifest says why.
        assert {t.schema.name for t in view.tables()} == {"public.plain"}
        assert "row-level security" in view.omitted()[0].reason


def test_role_that_would_be_refused_or_cut_off_is_found_beforehand(
    postgres_server: PostgresServer, postgres_database: str, account: str
) -> None:
    postgres_server.execute(
        f"""CREATE ROLE {QUOTED} LOGIN PASSWORD 'secret' CONNECTION LIMIT 2;
        CREATE TABLE visit (id int PRIMARY KEY); GRANT SELECT ON visit TO {QUOTED};
        ALTER ROLE {QUOTED} SET statement_timeout = '5s'""",
        database=postgres_database,
    )
    # VALID UNTIL takes no expression.
    ((until,),) = postgres_server.execute("SELECT (now() + interval '9 days 1 hour')::text")
    postgres_server.execute(f"ALTER ROLE {QUOTED} VALID UNTIL '{until}'")
    settings = settings_for(postgres_server, postgres_database, user=account)
    findings = PostgresqlCollector(settings).check()
    warned = _said(findings, Severity.WARN)
    assert "the password is valid for 9 more days" in warned
    assert "statement_timeout is 5 s" in warned
    assert "may have 2 sessions; a snapshot needs 5" in _said(findings, Severity.FAIL)

    postgres_server.execute(f"ALTER ROLE {QUOTED} VALID UNTIL 'infinity' CONNECTION LIMIT 8")
    mended = PostgresqlCollector(replace(settings, statement_timeout_s=3600.0)).check()
    for words in ("password", "statement_timeout", "sessions"):
        assert words not in _said(mended, Severity.WARN) + _said(mended, Severity.FAIL)


def test_more_sessions_take_more_cores_and_connections_which_check_and_grants_say(
    postgres_server: PostgresServer, postgres_database: str, account: str
) -> None:
    postgres_server.execute(
        f"CREATE ROLE {QUOTED} LOGIN PASSWORD 'secret' CONNECTION LIMIT 8; CREATE TABLE visit (id int PRIMARY KEY);"
        f"GRANT SELECT ON visit TO {QUOTED}",
        database=postgres_database,
    )
    one = settings_for(postgres_server, postgres_database, user=account)
    three = replace(one, read_sessions=3)
    found = PostgresqlCollector(one).check()
    assert "cores" not in _said(found, Severity.OK) + _said(found, Severity.WARN)
    found = PostgresqlCollector(three).check()
    assert "3 cores of this live server are kept busy" in _said(found, Severity.WARN)
    assert "may have 8 sessions; a snapshot needs 9 -> ALTER ROLE … CONNECTION LIMIT 12" in _said(found, Severity.WARN)
    assert "CONNECTION LIMIT 8;" in PostgresqlCollector(one).grants().en
    assert "CONNECTION LIMIT 12;" in PostgresqlCollector(three).grants().en


def test_limits_that_a_role_sets_on_idle_sessions_do_not_end_a_reading(
    postgres_server: PostgresServer, postgres_database: str, account: str
) -> None:
    postgres_server.execute(
        f"""CREATE ROLE {QUOTED} LOGIN PASSWORD 'secret'; CREATE TABLE visit (id int PRIMARY KEY);
        INSERT INTO visit VALUES (1); GRANT SELECT ON visit TO {QUOTED};
        ALTER ROLE {QUOTED} SET idle_in_transaction_session_timeout = '2s';
        ALTER ROLE {QUOTED} SET idle_session_timeout = '2s'""",
        database=postgres_database,
    )
    collector = PostgresqlCollector(settings_for(postgres_server, postgres_database, user=account))
    with collector.open_view() as view:
        assert read_lines(view, "public.visit") == [b"1"]
        postgres_server.execute("SELECT pg_sleep(2.5)")
        assert read_lines(view, "public.visit") == [b"1"]


def test_views_that_stand_for_tables_and_tables_that_a_crash_empties_are_named(
    postgres_server: PostgresServer, postgres_database: str, account: str
) -> None:
    postgres_server.execute(
        f"""CREATE ROLE {QUOTED} LOGIN PASSWORD 'secret';
        CREATE TABLE visit (id int PRIMARY KEY, ward text); CREATE VIEW visit_of_a AS SELECT * FROM visit WHERE ward = 'a';
        CREATE UNLOGGED TABLE light (id int PRIMARY KEY);
        GRANT SELECT ON visit_of_a, light TO {QUOTED}""",
        database=postgres_database,
    )
    settings = settings_for(postgres_server, postgres_database, user=account)
    warned = _said(PostgresqlCollector(settings).check(), Severity.WARN)
    assert "may read 1 views, but not the tables behind them: public.visit_of_a" in warned
    assert "1 tables are unlogged: public.light" in warned
    excluded = PostgresqlCollector(replace(settings, tables=TableChoice(exclude=("public.visit",)))).check()
    assert "views" not in _said(excluded, Severity.WARN)


def test_data_folder_is_told_to_those_who_may_see_settings_and_to_nobody_else(
    postgres_server: PostgresServer, postgres_database: str, account: str
) -> None:
    postgres_server.execute(f"CREATE ROLE {QUOTED} LOGIN PASSWORD 'secret'")
    settings = settings_for(postgres_server, postgres_database)
    assert PostgresqlCollector(settings).data_folder() == postgres_server.data
    assert PostgresqlCollector(replace(settings, user=account)).data_folder() is None
    assert PostgresqlCollector(replace(settings, password="wrong-one")).data_folder() is None


def test_superuser_is_warned_of(postgres_server: PostgresServer, postgres_database: str) -> None:
    findings = PostgresqlCollector(settings_for(postgres_server, postgres_database)).check()
    assert "is a superuser" in _said(findings, Severity.WARN)
    assert "no table is left to read" in _said(findings, Severity.FAIL)


def test_source_that_cannot_be_reached_is_a_finding(postgres_server: PostgresServer) -> None:
    (finding,) = PostgresqlCollector(settings_for(postgres_server, "postgres", password="wrong-one")).check()
    assert finding.severity is Severity.FAIL
    assert "refused the account" in finding.sentence(Language.EN)
    assert finding.advice(Language.EN)


def test_findings_come_in_chinese_too(postgres_server: PostgresServer, postgres_database: str) -> None:
    findings = PostgresqlCollector(settings_for(postgres_server, postgres_database)).check()
    assert any("超级用户" in f.sentence(Language.ZH) for f in findings)
