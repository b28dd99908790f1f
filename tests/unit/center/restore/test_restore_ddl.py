# SPDX-License-Identifier: Apache-2.0
"""A database restored with its own DDL, compared with the original by the product's own tools."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.collectors.mysql import MysqlCollector
from agent.collectors.mysql.sequences import SEQUENCES
from agent.collectors.postgresql import PostgresqlCollector, PostgresqlSettings
from center.errors import TargetError
from center.restore import Ddl, RestoreReport, open_target, restore
from center.restore.ddl import Made, MadeWith, Stage, parse_mysql, rename_table, split_postgresql, stage_of, unqualify
from tests.fakes import nasty
from tests.fakes.recipe import take_with_agent
from tests.fakes.snapshot import SourceHistory, TableContent
from tests.servers import mariadb
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer, find_binary
from tests.servers.reading_mysql import settings_for

_POSTGRESQL = r"""
    CREATE SCHEMA "病案";
    CREATE TYPE public.mood AS ENUM ('ok', 'sad;');
    CREATE DOMAIN public.positive AS integer CHECK (VALUE > 0);
    CREATE SEQUENCE public.numbers INCREMENT 5;
    SELECT nextval('public.numbers');
    CREATE FUNCTION public.twice(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $body$ SELECT n * 2; $body$;
    CREATE FUNCTION public.thrice(n integer) RETURNS integer LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT n; SELECT n * 3; END;
    CREATE TABLE public.ward (code char(4) PRIMARY KEY, name text DEFAULT 'none; yet' NOT NULL);
    CREATE TABLE "病案"."首页" (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ward char(4) REFERENCES public.ward, m public.mood,
        p public.positive, number integer DEFAULT nextval('public.numbers'), fee numeric(10,2) CHECK (fee >= 0),
        double numeric GENERATED ALWAYS AS (fee * 2) STORED, name varchar(20) COLLATE "C", UNIQUE (ward, number));
    CREATE INDEX by_name ON "病案"."首页" (lower(name)) WHERE fee > 1;
    CREATE VIEW public.dear AS SELECT id, fee FROM "病案"."首页" WHERE fee > 100;
    CREATE MATERIALIZED VIEW public.sums AS SELECT ward, sum(fee) FROM "病案"."首页" GROUP BY ward WITH NO DATA;
    COMMENT ON TABLE public.ward IS 'it''s; a ward';
    COMMENT ON COLUMN public.ward.name IS $$a -- name$$;
    CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := 'touched'; RETURN NEW; END $$;
    INSERT INTO public.ward VALUES ('A', 'a'), ('B', 'b');
    INSERT INTO "病案"."首页" (ward, m, p, fee, name) SELECT 'A', 'sad;', i, i * 1.5, 'n' || i FROM generate_series(1, 200) i;
    CREATE TRIGGER touch BEFORE INSERT ON public.ward FOR EACH ROW EXECUTE FUNCTION public.touch();
    CREATE TABLE public.parts (region text, id integer, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
    CREATE TABLE public.north PARTITION OF public.parts FOR VALUES IN ('n', 'N');
    INSERT INTO public.parts SELECT r, i, 'v' || i FROM unnest(ARRAY['n', 'N']) r, generate_series(1, 12) i;
"""


@pytest.fixture
def copy(postgres_server: PostgresServer, postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the address of the empty database that is restored to."""
    monkeypatch.setenv("PGPASSWORD", postgres_server.password)
    return f"postgresql://{postgres_server.user}@{postgres_server.host}:{postgres_server.port}/{postgres_database}"


@pytest.fixture
def live(postgres_server: PostgresServer, postgres_database: str) -> Iterator[str]:
    name = f"{postgres_database}_live"
    postgres_server.create_database(name)
    try:
        postgres_server.execute(_POSTGRESQL, database=name)
        yield name
    finally:
        postgres_server.drop_database(name)


def _dump(server: PostgresServer, database: str) -> list[str]:
    """Give what pg_dump says, without what it makes up anew each time; rows of a table in any order."""
    environment = os.environ | {"PGPASSWORD": server.password}
    command = [find_binary("pg_dump"), "-h", server.host, "-p", str(server.port), "-U", server.user, database]
    text = subprocess.run(command, check=True, capture_output=True, env=environment).stdout.decode()
    return sorted(line for line in text.splitlines() if not line.startswith("\\"))


def _restore_postgresql(server: PostgresServer, live: str, copy: str, folder: Path, ddl: Ddl) -> RestoreReport:
    settings = PostgresqlSettings(server.host, live, server.user, server.password, server.port)
    snapshot = take_with_agent(SourceHistory(), PostgresqlCollector(settings), folder)
    with closing(open_target(copy)) as target:
        report = restore(snapshot, target, ddl=ddl)
    assert [(t.name, t.error, t.differences, t.notes) for t in report.tables if not t.is_equal or t.notes] == []
    return report


def test_pg_dump_finds_no_difference_between_original_and_copy(
    postgres_server: PostgresServer, postgres_database: str, live: str, copy: str, tmp_path: Path
) -> None:
    report = _restore_postgresql(postgres_server, live, copy, tmp_path, Ddl.PROGRAMS)
    assert report.notes == ()
    assert _dump(postgres_server, postgres_database) == _dump(postgres_server, live)


def test_programs_are_listed_and_not_made_unless_asked_for(
    postgres_server: PostgresServer, postgres_database: str, live: str, copy: str, tmp_path: Path
) -> None:
    report = _restore_postgresql(postgres_server, live, copy, tmp_path, Ddl.SHAPES)
    listed = [note for note in report.notes if note.en.startswith("not run, for it is a program")]
    assert len(listed) == len(report.notes) == 4
    missing = set(_dump(postgres_server, live)) - set(_dump(postgres_server, postgres_database))
    assert any("CREATE TRIGGER touch" in line for line in missing)
    assert not any(
        re.search("INDEX|CONSTRAINT|VIEW|COMMENT ON TABLE", line) for line in missing if "TRIGGER" not in line
    )


def test_a_target_that_is_not_empty_or_of_another_product_takes_no_ddl(
    postgres_server: PostgresServer, postgres_database: str, copy: str, tmp_path: Path
) -> None:
    snapshot = SourceHistory().take(nasty.composite(), documents={"ddl.sql": b"CREATE TABLE x (y int);"})
    with closing(open_target(f"sqlite:///{tmp_path}/x.db")) as target, pytest.raises(TargetError, match="takes no DDL"):
        restore(snapshot, target, ddl=Ddl.SHAPES)
    with closing(open_target(copy)) as target, pytest.raises(TargetError, match="no PostgreSQL"):
        restore(snapshot, target, ddl=Ddl.SHAPES)
    postgres_server.execute("CREATE TABLE t (x int)", database=postgres_database)
    with closing(open_target(copy)) as target, pytest.raises(TargetError, match="is not empty"):
        restore(snapshot, target, overwrite=True, ddl=Ddl.SHAPES)


def test_ddl_that_is_refused_is_noted_and_the_rows_are_there(copy: str) -> None:
    ddl = b"CREATE TABLE public.t (x nosuchtype); CREATE INDEX i ON public.visit_item (note); GRANT ALL ON x TO y;"
    snapshot = SourceHistory(position="pg 0/1").take(nasty.composite(), documents={"ddl.sql": ddl})
    with closing(open_target(copy)) as target:
        report = restore(snapshot, target, ddl=Ddl.SHAPES)
    assert report.is_equal
    assert [note.en[:30] for note in report.notes] == ["refused: CREATE TABLE public.t"]


_MARIADB = (
    "CREATE TABLE ward (code char(4) CHARACTER SET latin1 PRIMARY KEY, name varchar(20) COLLATE utf8mb4_general_ci DEFAULT "
    "'none; yet' NOT NULL COMMENT 'it''s; a \\\\ name') COMMENT='wards';"
    "CREATE TABLE 首页 (id bigint AUTO_INCREMENT PRIMARY KEY, ward char(4) CHARACTER SET latin1, name varchar(20) CHARACTER "
    "SET gbk, fee decimal(10,2) CHECK (fee >= 0), twice decimal(11,2) AS (fee * 2) STORED, v int AS (id + 1) VIRTUAL, "
    "seen timestamp(3) NULL DEFAULT current_timestamp(3) ON UPDATE current_timestamp(3), place point NOT NULL, flags bit(9), "
    "note json, doc longtext, UNIQUE (ward, id), KEY by_name (name(5)), SPATIAL KEY (place), FULLTEXT KEY (doc), "
    "CONSTRAINT of_ward FOREIGN KEY (ward) REFERENCES ward (code) ON DELETE CASCADE);"
    "CREATE TABLE old (a int, b varchar(10)) ENGINE=MyISAM ROW_FORMAT=FIXED;"
    "CREATE TABLE split (id int PRIMARY KEY, x int) PARTITION BY HASH (id) PARTITIONS 3;"
    "CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 10; SELECT NEXTVAL(numbers);"
    "CREATE TABLE counted (id bigint DEFAULT nextval(numbers) PRIMARY KEY, x int); INSERT INTO counted (x) VALUES (1), (2);"
    "CREATE VIEW z_all AS SELECT id, fee, ward FROM 首页; CREATE VIEW a_dear AS SELECT id, fee FROM z_all WHERE fee > 100;"
    "INSERT INTO ward VALUES ('A', 'a'), ('é', 'b');"
    "INSERT INTO 首页 (ward, name, fee, seen, place, flags, note, doc) SELECT IF(seq % 2, 'A', 'é'), CONCAT('病人', seq), "
    "seq * 1.5, '2026-11-22 01:02:03.25', POINT(seq, -seq), seq, JSON_OBJECT('n', seq), IF(seq = 7, REPEAT('长', 40000), 'x') "
    "FROM seq_1_to_200; INSERT INTO old VALUES (1, 'x'), (1, 'x'), (NULL, NULL); INSERT INTO split VALUES (1, 2), (5, 6);"
    "CREATE TRIGGER touch BEFORE INSERT ON ward FOR EACH ROW SET NEW.name = 'touched';"
    "CREATE FUNCTION f (n int) RETURNS int DETERMINISTIC RETURN n * 2;"
    "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 1"
)


@pytest.fixture
def mariadb_copy(mariadb_server: MariadbServer, mariadb_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the address of the empty database that is restored to."""
    monkeypatch.setenv("MYSQL_PWD", mariadb_server.password)
    return f"mysql://{mariadb_server.user}@{mariadb_server.host}:{mariadb_server.port}/{mariadb_database}"


@pytest.fixture
def mariadb_live(mariadb_server: MariadbServer, mariadb_database: str) -> Iterator[str]:
    name = f"{mariadb_database}_live"
    mariadb_server.create_database(name)
    try:
        mariadb_server.execute(_MARIADB, database=name)
        yield name
    finally:
        mariadb_server.drop_database(name)


def _dump_mariadb(server: MariadbServer, database: str) -> list[str]:
    """Give what mariadb-dump says; rows of a table in any order."""
    command = [
        mariadb.find_binary("mariadb-dump"), "--no-defaults", "-h", server.host, "-P", str(server.port), "-u", server.user,
        "--skip-dump-date", "--skip-extended-insert", "--routines", "--events", "--triggers", "--hex-blob", database,
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, env=os.environ | {"MYSQL_PWD": server.password})
    return sorted(done.stdout.decode(errors="surrogateescape").replace(database, "DB").splitlines())


def _restore_mariadb(server: MariadbServer, live: str, copy: str, folder: Path, ddl: Ddl) -> RestoreReport:
    snapshot = take_with_agent(SourceHistory(), MysqlCollector(settings_for(server, live)), folder)
    with closing(open_target(copy)) as target:
        report = restore(snapshot, target, ddl=ddl)
    assert [(t.name, t.error, t.differences, t.notes) for t in report.tables if not t.is_equal or t.notes] == []
    return report


def test_mariadb_dump_finds_no_difference_between_original_and_copy(
    mariadb_server: MariadbServer, mariadb_database: str, mariadb_live: str, mariadb_copy: str, tmp_path: Path
) -> None:
    report = _restore_mariadb(mariadb_server, mariadb_live, mariadb_copy, tmp_path, Ddl.PROGRAMS)
    assert report.notes == ()
    assert _dump_mariadb(mariadb_server, mariadb_database) == _dump_mariadb(mariadb_server, mariadb_live)


def test_sequences_whose_values_nobody_saw_are_said_to_begin_anew(mariadb_copy: str) -> None:
    ddl = b"USE `d`;\nCREATE SEQUENCE `s` start with 5;\n"
    taken = SourceHistory(position="mysql 1").take(TableContent(SEQUENCES, [b"d.s"]), documents={"ddl.sql": ddl})
    with closing(open_target(mariadb_copy)) as target:
        report = restore(taken, target, ddl=Ddl.SHAPES)
    assert report.is_equal
    assert [note.en for table in report.tables for note in table.notes] == [
        "1 sequence(s) begin anew, for the agent's account could not see where they stood: d.s"
    ]


def _make_oddly(server: MariadbServer, live: str) -> None:
    """Make programs and views in modes, character sets and time zones that are not the server's own."""
    gbk, concat = {"charset": "gbk"}, {"sql_mode": "PIPES_AS_CONCAT,ANSI_QUOTES,NO_BACKSLASH_ESCAPES"}
    joined = "FUNCTION joined (a varchar(9)) RETURNS varchar(30) DETERMINISTIC RETURN a || '中' || '\\'"
    for sql, options in (
        (f"CREATE {joined}", gbk | concat),
        ('CREATE FUNCTION "plain" (a int) RETURNS int DETERMINISTIC RETURN "a" - 1', gbk | concat),
        ("CREATE PROCEDURE dollars () BEGIN SELECT '$$; 中', '$$$'; SELECT ';'; END", {}),
        ("CREATE TRIGGER later AFTER UPDATE ON ward FOR EACH ROW SET @x = '病' || NEW.code", gbk | concat),
        ("CREATE VIEW in_gbk AS SELECT id, '中' AS c FROM 首页 WHERE name = '病人1'", gbk),
        ("CREATE EVENT at_eight ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 08:00:00' DISABLE DO SELECT 1",
         {"init_command": "SET time_zone = '+08:00'"}),
        (f"ALTER DATABASE {live} COLLATE utf8mb4_bin", {}),
        ("CREATE PROCEDURE of_bin (a varchar(9)) SELECT a = 'A'", {}),
        (f"ALTER DATABASE {live} COLLATE utf8mb4_general_ci", {}),
    ):  # fmt: skip
        server.execute(sql, database=live, **options)


def test_programs_and_views_of_any_mode_and_character_set_mean_in_the_copy_what_they_meant(
    mariadb_server: MariadbServer, mariadb_database: str, mariadb_live: str, mariadb_copy: str, tmp_path: Path
) -> None:
    for name in (mariadb_live, mariadb_database):
        mariadb_server.execute(f"ALTER DATABASE {name} COLLATE utf8mb4_general_ci")
    _make_oddly(mariadb_server, mariadb_live)
    # Neither server's own settings nor the collation of the target count.
    mariadb_server.execute(f"ALTER DATABASE {mariadb_database} COLLATE utf8mb4_unicode_ci")
    report = _restore_mariadb(mariadb_server, mariadb_live, mariadb_copy, tmp_path, Ddl.PROGRAMS)
    assert report.notes == ()
    collation = (
        f"SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{mariadb_database}'"
    )
    assert mariadb_server.execute(collation) == [("utf8mb4_unicode_ci",)]
    mariadb_server.execute(f"ALTER DATABASE {mariadb_database} COLLATE utf8mb4_general_ci")
    assert _dump_mariadb(mariadb_server, mariadb_database) == _dump_mariadb(mariadb_server, mariadb_live)
    for name in (mariadb_live, mariadb_database):
        assert mariadb_server.execute("SELECT joined('a'), plain(3)", database=name) == [("a中\\", 2)]


def test_a_copy_of_a_mariadb_never_refers_to_the_original(
    mariadb_server: MariadbServer, mariadb_database: str, mariadb_live: str, mariadb_copy: str, tmp_path: Path
) -> None:
    _restore_mariadb(mariadb_server, mariadb_live, mariadb_copy, tmp_path, Ddl.SHAPES)
    before = mariadb_server.execute("SELECT * FROM numbers", database=mariadb_live)
    mariadb_server.execute("INSERT INTO counted (x) VALUES (3)", database=mariadb_database)
    assert mariadb_server.execute("SELECT * FROM numbers", database=mariadb_live) == before
    assert (
        unqualify("nextval(`d`.`s`) DEFAULT '`d`.' `d` `e`.`d`.x", "d") == "nextval(`s`) DEFAULT '`d`.' `d` `e`.`d`.x"
    )


def test_a_restore_with_ddl_that_breaks_off_leaves_nothing(
    mariadb_server: MariadbServer, mariadb_database: str, mariadb_live: str, mariadb_copy: str, tmp_path: Path
) -> None:
    snapshot = take_with_agent(SourceHistory(), MysqlCollector(settings_for(mariadb_server, mariadb_live)), tmp_path)

    def break_off(phase: str, table: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with closing(open_target(mariadb_copy)) as target, pytest.raises(KeyboardInterrupt):
        restore(snapshot, target, progress=break_off, ddl=Ddl.SHAPES)
    assert mariadb_server.execute("SHOW TABLES", database=mariadb_database) == []


def test_programs_of_a_mariadb_are_listed_and_not_made_unless_asked_for(
    mariadb_server: MariadbServer, mariadb_database: str, mariadb_live: str, mariadb_copy: str, tmp_path: Path
) -> None:
    report = _restore_mariadb(mariadb_server, mariadb_live, mariadb_copy, tmp_path, Ddl.SHAPES)
    assert len([note for note in report.notes if note.en.startswith("not run, for it is a program")]) == 3
    assert mariadb_server.execute("SHOW TRIGGERS", database=mariadb_database) == []
    assert ("a_dear", "VIEW") in mariadb_server.execute("SHOW FULL TABLES", database=mariadb_database)


def test_statements_are_split_where_they_end() -> None:
    text = (
        "\\restrict abc\n-- a; b\nSET x = 1;\n\n/* c; */ SELECT ';', E'\\';', \"a;b\", $x$;$y$;$x$;\n"
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT 2; END;\n\\unrestrict abc\n"
    )
    assert list(split_postgresql(text)) == [
        "SET x = 1", "/* c; */ SELECT ';', E'\\';', \"a;b\", $x$;$y$;$x$",
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT 2; END",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "stage"),
    [
        ("SET statement_timeout = 0", Stage.NONE),
        ("SELECT pg_catalog.set_config('search_path', '', false)", Stage.NONE),
        ("ALTER TABLE public.t OWNER TO postgres", Stage.NONE),
        ('ALTER TABLE public.t OWNER TO "my user"', Stage.NONE),
        ("GRANT ALL ON TABLE t TO x", Stage.NONE),
        ("CREATE TABLE t (owner int)", Stage.SHAPE),
        ("CREATE TYPE public.mood AS ENUM ('a')", Stage.SHAPE),
        ("ALTER TABLE ONLY t ATTACH PARTITION u FOR VALUES IN ('a')", Stage.SHAPE),
        ("ALTER TABLE t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (START WITH 1)", Stage.SHAPE),
        ("ALTER TABLE ONLY t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id)", Stage.RULE),
        ("CREATE UNIQUE INDEX i ON t USING btree (x)", Stage.RULE),
        ("CREATE VIEW v AS SELECT 1", Stage.RULE),
        ("CREATE FUNCTION f() RETURNS int", Stage.PROGRAM),
        ("CREATE TRIGGER t BEFORE INSERT ON x", Stage.PROGRAM),
        ("CREATE EVENT TRIGGER t ON ddl_command_start", Stage.PROGRAM),
        ("ALTER TABLE t DISABLE TRIGGER x", Stage.PROGRAM),
    ],
)
def test_each_statement_has_its_stage(statement: str, stage: Stage) -> None:
    assert stage_of(statement) is stage


def test_show_create_is_read_by_names() -> None:
    text = (
        "-- Written by SHOW CREATE\nSET NAMES utf8mb4;\nCREATE DATABASE `d`;\nUSE `d`;\n\n-- tables\n"
        "CREATE TABLE `a``;b` (\n  `x` varchar(9) DEFAULT ';\\';' COMMENT 'it''s;'\n) ENGINE=InnoDB;\n"
        "CREATE SEQUENCE `s` start with 1;\n"
        "CREATE ALGORITHM=UNDEFINED DEFINER=`u`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1;\n"
        "DELIMITER $$\nCREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET @x = 1; END$$\nDELIMITER ;\n"
    )
    ddl = parse_mysql(text)
    assert (list(ddl.tables), list(ddl.sequences), list(ddl.views)) == (["a`;b"], ["s"], ["v"])
    assert ddl.programs == (Made("CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET @x = 1; END", None),)
    assert ddl.views["v"].made_with is None
    assert rename_table(ddl.tables["a`;b"], "`n`").startswith("CREATE TABLE `n` (\n  `x`")


def test_with_what_programs_and_views_were_made_is_read_and_nothing_else_is_believed() -> None:
    text = (
        "USE `d`;\nALTER DATABASE `d` COLLATE utf8mb4_bin;\n"
        "SET sql_mode = 'ANSI_QUOTES', character_set_client = utf8mb4 /* gbk */, collation_connection = gbk_chinese_ci;\n"
        "DELIMITER $$$\nCREATE FUNCTION f() RETURNS int RETURN '$$;'\n$$$\nDELIMITER ;\n"
        "SET sql_mode = '', character_set_client = latin1, collation_connection = latin1_bin;\nCREATE VIEW `v` AS select 1;\n"
        "SET sql_mode = '', character_set_client = utf8, collation_connection = utf8_bin, time_zone = 'Asia/Shanghai';\n"
        "DELIMITER $$\nCREATE EVENT e\n$$\nDELIMITER ;\n"
        "DELIMITER $$\nCREATE FUNCTION g\n$$\nDELIMITER ;\n"
        "SET sql_mode = '' || USER(), character_set_client = utf8, collation_connection = utf8_bin;\n"
        "DELIMITER $$\nCREATE FUNCTION h\n$$\nDELIMITER ;\n"
    )
    ddl = parse_mysql(text)
    assert ddl.programs == (
        Made("CREATE FUNCTION f() RETURNS int RETURN '$$;'", MadeWith("ANSI_QUOTES", "gbk", "gbk_chinese_ci", None, "utf8mb4_bin")),
        Made("CREATE EVENT e", MadeWith("", "utf8", "utf8_bin", "Asia/Shanghai", "utf8mb4_bin")),
        Made("CREATE FUNCTION g", None),
        Made("CREATE FUNCTION h", None),
    )  # fmt: skip
    assert ddl.views == {"v": Made("CREATE VIEW `v` AS select 1", MadeWith("", "latin1", "latin1_bin", None, None))}
