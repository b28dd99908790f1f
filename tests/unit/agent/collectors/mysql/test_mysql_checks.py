# SPDX-License-Identifier: Apache-2.0
"""What `check` finds at a source, what the account may not see, and that the SQL of `grants` makes a sufficient account."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import MySQLdb
import pytest

from agent.collectors.base import Finding, Severity
from agent.collectors.mysql import MysqlCollector
from agent.collectors.mysql.rights import parse_rights
from agent.collectors.naming import TableChoice
from agent.errors import SourceError, TableLostError
from terminal.language import Language
from tests.servers.mariadb import MariadbServer
from tests.servers.reading import read_lines
from tests.servers.reading_mysql import settings_for

ACCOUNT = "ar'chive \\ read"


@pytest.fixture
def account(mariadb_server: MariadbServer) -> Iterator[str]:
    """Give the name of an account that a test makes, and remove it afterwards."""
    try:
        yield ACCOUNT
    finally:
        mariadb_server.execute("DROP USER IF EXISTS %s@'127.0.0.1'", (ACCOUNT,))


def _said(findings: Sequence[Finding], severity: Severity) -> str:
    return "\n".join(
        f"{f.subject}: {f.sentence(Language.EN)} -> {f.advice(Language.EN)}" for f in findings if f.severity is severity
    )


def test_grants_make_an_account_that_reads_all_and_writes_nothing(mariadb_server: MariadbServer, account: str) -> None:
    database = "h_is%"
    mariadb_server.create_database(database)
    mariadb_server.create_database("hxisx")
    try:
        mariadb_server.execute(
            "CREATE TABLE visit (id int PRIMARY KEY); INSERT INTO visit VALUES (1); CREATE VIEW v AS SELECT * FROM visit;"
            "CREATE SEQUENCE s; CREATE TRIGGER tr BEFORE INSERT ON visit FOR EACH ROW SET @x = 1;"
            "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO SELECT 1; CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1",
            database=database,
        )
        settings = settings_for(mariadb_server, database, user=account, lock_guard=True)
        collector = MysqlCollector(settings)
        sql = collector.grants().en.replace("'...'", "'secret'").replace("192.0.2.10", "127.0.0.1")
        sql = sql.replace("-- GRANT SELECT ON mysql.proc", "GRANT SELECT ON mysql.proc")
        mariadb_server.execute(sql)
        findings = collector.check()
        assert _said(findings, Severity.FAIL) == ""
        assert _said(findings, Severity.WARN) == ""
        assert "can only read" in _said(findings, Severity.OK)
        mariadb_server.execute("CREATE TABLE later (id int)", database=database)
        with collector.open_view() as view:
            assert {t.schema.name for t in view.tables()} == {f"{database}.visit", f"{database}.later", "@sequences"}
            assert read_lines(view, f"{database}.visit") == [b"1"]
            assert view.position.startswith("mysql binlog.")
            assert not [note for note in view.notes() if "account" in note]
            ddl = view.documents()[0].body.decode()
        for word in ("VIEW `v`", "TRIGGER tr", "EVENT `e`", "FUNCTION `f`", "SEQUENCE `s`"):
            assert word in ddl
        with pytest.raises(SourceError):
            MysqlCollector(settings_for(mariadb_server, "hxisx", user=account)).open_view().__enter__()
        with pytest.raises(MySQLdb.Error, match="denied"):
            mariadb_server.execute("INSERT INTO later VALUES (1)", database=database, user=account)
    finally:
        mariadb_server.drop_database(database)
        mariadb_server.drop_database("hxisx")


def test_check_warns_of_all_that_stands_in_the_way(
    mariadb_server: MariadbServer, mariadb_database: str, account: str
) -> None:
    mariadb_server.execute(
        "CREATE TABLE keyless (a int); CREATE TABLE texts (k varchar(9) PRIMARY KEY); CREATE TABLE closed (id int);"
        "CREATE TABLE part (id int PRIMARY KEY, hidden int, last int); CREATE TABLE old (id int PRIMARY KEY) ENGINE=MyISAM;"
        "CREATE TABLE gbk (id int PRIMARY KEY, v varchar(9) CHARACTER SET gbk, w text CHARACTER SET latin1)",
        database=mariadb_database,
    )
    name = "'ar''chive \\\\ read'@'127.0.0.1'"
    mariadb_server.execute(f"CREATE USER {name} IDENTIFIED BY 'secret'")
    for grant in ("SELECT ON keyless", "SELECT ON texts", "INSERT ON texts", "SELECT (id, last) ON part", "SELECT ON old",
                  "SELECT ON gbk", "INSERT ON closed"):  # fmt: skip
        mariadb_server.execute(f"GRANT {grant} TO {name}", database=mariadb_database)
    settings = settings_for(
        mariadb_server, mariadb_database, user=account, tables=TableChoice((f"{mariadb_database}.*", "x.absent"))
    )
    collector = MysqlCollector(settings)
    findings = collector.check()
    warned, fine, failed = (_said(findings, s) for s in (Severity.WARN, Severity.OK, Severity.FAIL))
    for words in (
        "can change something (INSERT)", f"{mariadb_database}.closed: not in the snapshot: the account has no right to SELECT",
        f"1 tables have no key: {mariadb_database}.keyless", "without the right PROCESS",
        "1 tables are of engines without transactions", "no right SHOW VIEW, TRIGGER, EVENT",
        "x.absent: not in the snapshot: named in the settings",
    ):  # fmt: skip
        assert words in warned
    assert "no right to SELECT from the whole of" in failed
    assert "tables are sorted by the agent" in fine
    assert "2 columns keep texts in other character sets" in fine
    assert "MariaDB 10." in fine
    assert "stay locked against ALTER until the snapshot ends" in fine
    with collector.open_view() as view:
        assert [note for note in view.notes() if "tables that it may not see are missing here" in note]
        assert "no right to SELECT" in {o.name: o.reason for o in view.omitted()}[f"{mariadb_database}.closed"]
        with pytest.raises(TableLostError, match="no right to SELECT"):
            read_lines(view, f"{mariadb_database}.part")
        assert read_lines(view, f"{mariadb_database}.keyless") == []


def test_password_that_will_expire_is_warned_of(
    mariadb_server: MariadbServer, mariadb_database: str, account: str
) -> None:
    name = "'ar''chive \\\\ read'@'127.0.0.1'"
    mariadb_server.execute(f"CREATE USER {name} IDENTIFIED BY 'secret' PASSWORD EXPIRE INTERVAL 90 DAY")
    mariadb_server.execute(f"GRANT SELECT ON *.* TO {name}")
    mariadb_server.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text CHARACTER SET utf8mb3)", database=mariadb_database
    )
    collector = MysqlCollector(settings_for(mariadb_server, mariadb_database, user=account))
    assert "the password expires every 90 days" in _said(collector.check(), Severity.WARN)
    assert "1 columns keep texts in utf8mb3" in _said(collector.check(), Severity.OK)
    mariadb_server.execute(f"ALTER USER {name} PASSWORD EXPIRE NEVER")
    mariadb_server.execute("SET GLOBAL default_password_lifetime = 30")
    try:
        assert "expires" not in _said(collector.check(), Severity.WARN)
        mariadb_server.execute(f"ALTER USER {name} PASSWORD EXPIRE DEFAULT")
        assert "the password expires every 30 days" in _said(collector.check(), Severity.WARN)
    finally:
        mariadb_server.execute("SET GLOBAL default_password_lifetime = 0")


def test_rights_that_a_role_gives_count(mariadb_server: MariadbServer, mariadb_database: str, account: str) -> None:
    name = "'ar''chive \\\\ read'@'127.0.0.1'"
    mariadb_server.execute(
        f"CREATE USER {name} IDENTIFIED BY 'secret'; CREATE ROLE readers; GRANT SELECT ON `{mariadb_database}`.* TO readers;"
        f"GRANT readers TO {name}; SET DEFAULT ROLE readers FOR {name}"
    )
    try:
        mariadb_server.execute("CREATE TABLE t (id int PRIMARY KEY)", database=mariadb_database)
        with MysqlCollector(settings_for(mariadb_server, mariadb_database, user=account)).open_view() as view:
            assert read_lines(view, f"{mariadb_database}.t") == []
            assert not [note for note in view.notes() if "no right to SELECT" in note]
    finally:
        mariadb_server.execute("DROP ROLE readers")


def test_administrator_is_warned_of(mariadb_server: MariadbServer, mariadb_database: str) -> None:
    findings = MysqlCollector(settings_for(mariadb_server, mariadb_database)).check()
    assert "can change something (ALL PRIVILEGES, GRANT OPTION)" in _said(findings, Severity.WARN)
    assert "no table is left to read" in _said(findings, Severity.FAIL)


def test_source_that_cannot_be_reached_is_a_finding(mariadb_server: MariadbServer) -> None:
    (finding,) = MysqlCollector(settings_for(mariadb_server, "mysql", password="wrong-one")).check()
    assert finding.severity is Severity.FAIL
    assert "refused the account" in finding.sentence(Language.EN)
    assert finding.advice(Language.EN)


def test_findings_come_in_chinese_too(mariadb_server: MariadbServer, mariadb_database: str) -> None:
    findings = MysqlCollector(settings_for(mariadb_server, mariadb_database)).check()
    assert any("账户可以更改" in f.sentence(Language.ZH) for f in findings)


@pytest.mark.parametrize(
    ("lines", "right", "database", "has"),
    [
        (["GRANT SELECT ON *.* TO `j`@`%`"], "SELECT", "his", True),
        (["GRANT ALL PRIVILEGES ON `his`.* TO `j`@`%` WITH GRANT OPTION"], "SELECT", "his", True),
        (["GRANT SELECT ON `his`.`t` TO `j`@`%`"], "SELECT", "his", False),
        (["GRANT SELECT (`a`, `b`) ON `his`.* TO `j`@`%`"], "SELECT", "his", False),
        (["GRANT SELECT (`a`), INSERT ON `his`.* TO `j`@`%`"], "INSERT", "his", True),
        (["GRANT SELECT ON `h%`.* TO `j`@`%`"], "SELECT", "his", True),
        (["GRANT SELECT ON `h\\_s`.* TO `j`@`%`"], "SELECT", "his", False),
        (["GRANT SELECT ON `a``b`.* TO `j`@`%`"], "SELECT", "a`b", True),
        (["GRANT SELECT ON *.* TO `j`@`%`", "REVOKE SELECT ON `his`.* FROM `j`@`%`"], "SELECT", "his", False),
        (
            ["GRANT `role` TO `j`@`%`", "GRANT USAGE ON *.* TO `j`@`%` IDENTIFIED BY PASSWORD '*X'"],
            "SELECT",
            "his",
            False,
        ),
        (["GRANT EXECUTE ON FUNCTION `his`.`f` TO `j`@`%`"], "EXECUTE", "his", False),
    ],
)
def test_rights_are_those_of_the_whole_database(lines: list[str], right: str, database: str, has: bool) -> None:
    assert parse_rights(lines).may(right, database) is has


def test_tls_is_used_and_checked_where_it_is_asked_for(tmp_path: Path) -> None:
    server = MariadbServer.create()
    try:
        server.create_database("d")
        server.execute("CREATE TABLE t (id int PRIMARY KEY)", database="d")
        server.kill()
        _make_certificate(server.folder / "ca", "/CN=ca", [])
        _make_certificate(server.folder / "server", "/CN=127.0.0.1", ["-addext", "subjectAltName=IP:127.0.0.1"])
        server.start(f"--ssl-cert={server.folder / 'server.pem'}", f"--ssl-key={server.folder / 'server.key'}")
        right, wrong = server.folder / "server.pem", server.folder / "ca.pem"
        for mode, authority in (
            ("required", None),
            ("verify-ca", right),
            ("verify-identity", right),
            ("preferred", None),
        ):
            settings = settings_for(server, "d", ssl_mode=mode, ssl_ca=authority)
            with MysqlCollector(settings).open_view() as view:
                assert read_lines(view, "d.t") == []
        for mode in ("verify-ca", "verify-identity"):
            with pytest.raises(SourceError, match="no TLS with") as caught:
                MysqlCollector(settings_for(server, "d", ssl_mode=mode, ssl_ca=wrong)).open_view().__enter__()
            assert "ssl_ca" in caught.value.hint
    finally:
        server.stop()


def _make_certificate(path: Path, subject: str, options: list[str]) -> None:
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", subject, "-keyout",
        f"{path}.key", "-out", f"{path}.pem", *options,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    Path(f"{path}.key").chmod(0o644)


def test_reason_of_a_refusal_comes_in_chinese_too(mariadb_server: MariadbServer) -> None:
    (finding,) = MysqlCollector(settings_for(mariadb_server, "mysql", password="wrong-one")).check()
    assert "拒绝账户" in finding.sentence(Language.ZH)
    assert "口令" in finding.advice(Language.ZH)
