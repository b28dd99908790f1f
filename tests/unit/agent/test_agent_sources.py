# SPDX-License-Identifier: Apache-2.0
"""The agent makes a collector of what the settings say, for databases that are read by a driver of their vendor."""

import sqlite3
from pathlib import Path

import pytest

from agent.app import Agent
from agent.collectors.oracle import OracleCollector
from agent.collectors.sqlserver import SqlserverCollector
from agent.errors import LoginError, LoginsStoppedError, SecretError
from agent.finding import Severity
from evidence.manifest.statement import Consistency


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    connection = sqlite3.connect(tmp_path / "his.db")
    connection.execute("CREATE TABLE visit(id INTEGER PRIMARY KEY, a)")
    connection.commit()
    connection.close()
    (tmp_path / "agent.yaml").write_text(
        f"""
sources:
- {{name: his, kind: odbc, dialect: sqlite, connection: "Driver=SQLite3;Database=file:{tmp_path}/his.db?mode=ro"}}
- {{name: emr, kind: sqlserver, host: 127.0.0.1, port: 1, database: emr, user: u, password: env:EMR, consistency: live,
   encrypt: optional, connect_timeout: 2 s}}
- {{name: ris, kind: oracle, host: 127.0.0.1, port: 1, service: s, user: u, password: env:EMR, connect_timeout: 2 s}}
"""
    )
    return tmp_path


def test_source_over_odbc_is_planned_and_found_healthy(folder: Path) -> None:
    with Agent.open(folder) as agent:
        with agent.collector("his").open_view() as view:
            assert [(t.schema.name, t.ordered, t.schema.key) for t in view.tables()] == [("visit", True, ("id",))]
            assert view.consistency is Consistency.CONSISTENT
        findings = agent.collector("his").check()
    assert [f.severity for f in findings] == [Severity.OK, Severity.OK]


def test_settings_of_sql_server_and_oracle_reach_their_collectors(folder: Path) -> None:
    with Agent.open(folder, environ={"EMR": "hunter2"}) as agent:
        emr, ris = agent.collector("emr"), agent.collector("ris")
        assert isinstance(emr, SqlserverCollector)
        assert isinstance(ris, OracleCollector)
        assert emr._settings.accepts is Consistency.LIVE
        assert emr._settings.password == ris._settings.password == "hunter2"
        assert "Encrypt=no" in emr._settings.connection
        assert "ALLOW_SNAPSHOT_ISOLATION" in agent.grants("emr").en
        assert "FLASHBACK" in agent.grants("ris").en
        for collector in (emr, ris):
            findings = collector.check()
            assert findings
            assert findings[0].severity is Severity.FAIL
            assert findings[0].hint
            assert "hunter2" not in str(findings)


def test_grants_are_printed_before_there_is_a_password(tmp_path: Path) -> None:
    """They make the account: its password comes after them, as the handbook's first day has it."""
    (tmp_path / "agent.yaml").write_text(
        """
sources:
- {name: his, kind: postgresql, database: hospital, user: jinsuo, password: secret:his}
- {name: pacs, kind: mysql, database: pacs, user: jinsuo, password: secret:pacs}
- {name: emr, kind: sqlserver, database: emr, user: jinsuo, password: env:EMR}
- {name: ris, kind: oracle, service: s, user: jinsuo, password: file:ris.password}
- {name: lis, kind: odbc, dialect: dm8, connection: DSN=lis, user: JINSUO, password: credential:lis}
- {name: his-full, kind: command, argv: [pg_dump, hospital], env: {PGPASSWORD: secret:his-full}}
"""
    )
    with Agent.open(tmp_path, environ={}) as agent:
        for source in agent.config.sources:
            assert "jinsuo" in agent.grants(source.name).en.lower() or source.kind == "command"
        assert "pg_dump" in agent.grants("his-full").en
        with pytest.raises(SecretError):
            agent.collector("his")


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_check_and_snapshot_together_try_a_refused_login_twice(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("mariadb_server" if kind == "mysql" else "postgres_server")
    (tmp_path / "agent.yaml").write_text(
        f"sources:\n- {{name: his, kind: {kind}, host: {server.host}, port: {server.port}, database: d, user: nobody-here, "
        "password: env:PW}\n"
    )
    with Agent.open(tmp_path, environ={"PW": "falsch-9"}) as agent:
        first, second, third = ([f for f in agent.check() if f.code] for _ in range(3))
    assert [f.code for f in first] == [f.code for f in second] == [LoginError.code]
    assert [f.code for f in third] == [LoginsStoppedError.code]


def test_source_whose_password_only_the_service_is_given_is_not_examined(tmp_path: Path) -> None:
    settings = "sources: [{name: dump, kind: command, argv: ['true'], env: {PGPASSWORD: 'credential:his'}}]"
    (tmp_path / "agent.yaml").write_text(settings)
    with Agent.open(tmp_path) as agent:
        found = [finding for finding in agent.check(as_service=True) if finding.subject == "dump"]
    assert [finding.severity for finding in found] == [Severity.NOT_EXAMINED]
