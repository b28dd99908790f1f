# SPDX-License-Identifier: Apache-2.0
"""ddl.sql holds all that SHOW CREATE knows, and runs; sequences are a table; what cannot be seen is said."""

import subprocess

import pytest

from agent.collectors.mysql import MysqlCollector
from agent.collectors.naming import TableChoice
from evidence.rows.schema import Schema
from tests.servers.mariadb import MariadbServer, find_binary
from tests.servers.reading import find_table, read_lines, read_rows
from tests.servers.reading_mysql import settings_for

OBJECTS = """
    CREATE TABLE `病 \\``a` (id int PRIMARY KEY AUTO_INCREMENT, v varchar(9) CHARACTER SET gbk COMMENT '说明 ''x' DEFAULT '张');
    CREATE TABLE child (id int PRIMARY KEY, parent int, KEY (parent), FOREIGN KEY (parent) REFERENCES `病 \\``a` (id));
    CREATE VIEW v AS SELECT id, v FROM `病 \\``a` WHERE v = '张';
    CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3 MAXVALUE 1000 CYCLE;
    CREATE FUNCTION twice(n int) RETURNS int DETERMINISTIC RETURN n * 2;
    CREATE PROCEDURE p(IN n int) BEGIN SELECT '$$; 中', '$$$'; SELECT twice(n); END;
    CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW BEGIN SET NEW.parent = NULL; END;
    CREATE EVENT ev ON SCHEDULE EVERY 1 YEAR DO BEGIN DELETE FROM child; END;
    INSERT INTO `病 \\``a` (v) VALUES ('张')
"""


@pytest.fixture
def database(mariadb_server: MariadbServer, mariadb_database: str) -> str:
    """Give a database with one of each kind of objects."""
    for statement in OBJECTS.strip().split(";\n"):
        mariadb_server.execute(statement, database=mariadb_database)
    return mariadb_database


def read_ddl(server: MariadbServer, database: str, **changes: str) -> bytes:
    with MysqlCollector(settings_for(server, database, **changes)).open_view() as view:
        (document,) = view.documents()
    assert document.name == "ddl.sql"
    return document.body


def test_ddl_has_every_kind_of_objects_and_runs(mariadb_server: MariadbServer, database: str) -> None:
    mariadb_server.execute(
        'CREATE FUNCTION minus(n int) RETURNS int DETERMINISTIC RETURN "n" - 1',
        database=database,
        charset="gbk",
        sql_mode="ANSI_QUOTES",
    )
    mariadb_server.execute(
        "CREATE EVENT at_eight ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 08:00:00' DO SELECT 1",
        database=database,
        init_command="SET time_zone = '+08:00'",
    )
    body = read_ddl(mariadb_server, database)
    text = body.decode()
    for words in ("CREATE DATABASE", "CREATE TABLE `病 \\``a`", "COMMENT '说明 ''x'", "FOREIGN KEY", "VIEW `v`", "CREATE SEQUENCE",
                  "FUNCTION `twice`", "SELECT '$$; 中', '$$$'", "TRIGGER tr", "EVENT `ev`",
                  "SET sql_mode = 'ANSI_QUOTES', character_set_client = gbk, collation_connection = gbk_chinese_ci;",
                  "time_zone = '+08:00';"):  # fmt: skip
        assert words in text
    mariadb_server.drop_database(database)
    command = [
        find_binary("mariadb"), "--no-defaults", f"--host={mariadb_server.host}", f"--port={mariadb_server.port}",
        "--protocol=tcp", f"--user={mariadb_server.user}", f"--password={mariadb_server.password}",
        "--default-character-set=utf8mb4",
    ]  # fmt: skip
    subprocess.run(command, input=body, check=True, capture_output=True)
    # The next value of a counter is state of the table that SHOW CREATE writes, too.
    again = read_ddl(mariadb_server, database)
    assert again == body


def test_ddl_is_the_same_whatever_the_servers_settings_are(mariadb_server: MariadbServer, database: str) -> None:
    body = read_ddl(mariadb_server, database)
    try:
        mariadb_server.execute("SET GLOBAL sql_mode = 'ANSI_QUOTES'; SET GLOBAL sql_quote_show_create = 0")
        assert read_ddl(mariadb_server, database) == body
    finally:
        mariadb_server.execute("SET GLOBAL sql_mode = DEFAULT; SET GLOBAL sql_quote_show_create = 1")


def test_what_the_account_may_not_see_is_named(mariadb_server: MariadbServer, database: str) -> None:
    mariadb_server.execute(
        f"CREATE USER 'reader'@'%' IDENTIFIED BY 'secret'; GRANT SELECT, EXECUTE ON `{database}`.* TO 'reader'@'%'"
    )
    try:
        with MysqlCollector(settings_for(mariadb_server, database, user="reader")).open_view() as view:
            text = view.documents()[0].body.decode()
            note = next(note for note in view.notes() if note.startswith("ddl.sql lacks"))
        assert "-- FUNCTION `twice`: the account may not see it" in text
        assert "-- VIEW `v`: the account may not see it" in text
        assert "3 objects" in note
    finally:
        mariadb_server.execute("DROP USER 'reader'@'%'")


def test_sequences_are_a_table_whose_values_stand_still_in_a_view(mariadb_server: MariadbServer, database: str) -> None:
    mariadb_server.execute("SELECT NEXTVAL(numbers); CREATE SEQUENCE a_first", database=database)
    with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
        schema = find_table(view, "@sequences").schema
        assert isinstance(schema, Schema) and schema.key == ("name",)
        first = read_lines(view, "@sequences")
        mariadb_server.execute("SELECT NEXTVAL(numbers), SETVAL(numbers, 500)", database=database)
        assert read_lines(view, "@sequences") == first
        rows = read_rows(view, "@sequences")
        assert f"{database}.numbers" not in {t.schema.name for t in view.tables()}
    assert [row[0] for row in rows] == [f"{database}.a_first".encode(), f"{database}.numbers".encode()]
    assert rows[1][2:6] == [b"1", b"1000", b"5", b"3"]
    assert rows[1][7] == b"1"
    settings = settings_for(mariadb_server, database, tables=TableChoice(exclude=("@sequences",)))
    with MysqlCollector(settings).open_view() as view:
        assert "@sequences" not in {t.schema.name for t in view.tables()}


def test_tables_are_selected_and_named_by_the_settings(mariadb_server: MariadbServer, database: str) -> None:
    mariadb_server.execute("CREATE TABLE `a.b` (id int); CREATE TABLE `@files` (id int)", database=database)
    odd, files = f"{database}.a\\.b", f"{database}.@files"
    with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
        assert {odd, files, f"{database}.病 \\\\`a"} <= {t.schema.name for t in view.tables()}
    settings = settings_for(
        mariadb_server,
        database,
        tables=TableChoice((f"{database}.c*", odd), (f"{database}.x",), {odd: "ward.bed"}),
    )
    with MysqlCollector(settings).open_view() as view:
        assert {t.schema.name for t in view.tables()} == {f"{database}.child", "ward.bed"}
        assert read_lines(view, "ward.bed") == []
        assert {o.reason for o in view.omitted()} == {"not among the tables that the settings include"}


def test_tables_whose_rows_live_elsewhere_or_cannot_be_opened_are_omitted(
    mariadb_server: MariadbServer, database: str
) -> None:
    mariadb_server.execute(
        "CREATE TABLE broken (id int PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE lost (id int PRIMARY KEY)",
        database=database,
    )
    folder = mariadb_server.folder / "data" / database
    mariadb_server.execute("FLUSH TABLES broken", database=database)
    (folder / "broken.MYI").write_bytes(b"")
    mariadb_server.execute("ALTER TABLE lost DISCARD TABLESPACE", database=database)
    with MysqlCollector(settings_for(mariadb_server, database)).open_view() as view:
        names = {t.schema.name for t in view.tables()}
        omitted = {o.name: o.reason for o in view.omitted()}
        assert f"{database}.broken" not in names
        assert "the server cannot open it" in omitted[f"{database}.broken"]
        assert f"{database}.child" in names
        if f"{database}.lost" in names:
            with pytest.raises(Exception, match="tablespace"):
                read_lines(view, f"{database}.lost")


def test_databases_and_tables_that_differ_in_case_alone_are_not_mixed_up(mariadb_server: MariadbServer) -> None:
    try:
        for name, value in (("case_his", 1), ("CASE_HIS", 2)):
            mariadb_server.create_database(name)
            mariadb_server.execute(
                f"CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES ({value});"
                f"CREATE TABLE T (a varchar(9), b int); INSERT INTO T VALUES ('big', {value});"
                "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @x = 1",
                database=name,
            )
        mariadb_server.execute("CREATE TABLE only_here (id int)", database="CASE_HIS")
        for name, value in (("case_his", b"1"), ("CASE_HIS", b"2")):
            with MysqlCollector(settings_for(mariadb_server, name)).open_view() as view:
                assert read_lines(view, f"{name}.t") == [value]
                assert read_lines(view, f"{name}.T") == [b"big\t" + value]
                assert len(view.tables()) == (2 if name == "case_his" else 3)
                assert view.documents()[0].body.count(b"TRIGGER") == 1
    finally:
        mariadb_server.drop_database("case_his")
        mariadb_server.drop_database("CASE_HIS")


def test_database_is_spelled_as_the_server_keeps_it_where_case_does_not_count() -> None:
    server = MariadbServer.create()
    try:
        server.kill()
        server.start("--lower-case-table-names=1")
        server.create_database("his")
        server.execute("CREATE TABLE Visit (id int PRIMARY KEY)", database="his")
        with MysqlCollector(settings_for(server, "HIS")).open_view() as view:
            assert [t.schema.name for t in view.tables()] == ["his.visit"]
            assert not [note for note in view.notes() if "no right" in note]
    finally:
        server.stop()
