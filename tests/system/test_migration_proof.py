# SPDX-License-Identifier: Apache-2.0
"""A hospital's MariaDB is moved to PostgreSQL by hand; the center says what differs, and by what cause."""

from pathlib import Path

import pytest

from agent.collectors.mysql import MysqlCollector
from agent.collectors.postgresql import PostgresqlCollector, PostgresqlSettings
from center.compare.causes import Cause
from center.compare.migration import TableMatch, compare_systems
from center.registry.snapshots import Snapshot
from tests.fakes.recipe import take_with_agent
from tests.fakes.snapshot import SourceHistory
from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer
from tests.servers.reading_mysql import settings_for

_OLD = (
    "CREATE TABLE PATIENT (ID bigint PRIMARY KEY, NAME varchar(20), CODE binary(2), ACTIVE tinyint(1), FEE decimal(12,4), "
    "RATIO float, BORN datetime, SEEN timestamp(3) NULL, UID char(36), DOC json, NOTE text);"
    "INSERT INTO PATIENT SELECT seq, CONCAT('病人', seq), UNHEX(LPAD(HEX(seq), 4, '0')), seq % 2, seq / 8, seq / 3, "
    "'1980-01-02', '2026-11-22 01:02:03.25', '123E4567-E89B-12D3-A456-426655440000', JSON_OBJECT('n', seq, 'a', seq / 2), "
    "IF(seq % 3, 'x', '') FROM seq_1_to_3000;"
    "CREATE TABLE LOG (line varchar(40), n int);"
    "INSERT INTO LOG SELECT CONCAT('line ', seq % 7), seq % 5 FROM seq_1_to_500"
)
_NEW = """
    CREATE TABLE patient (note text, id integer PRIMARY KEY, name text, code bytea, active boolean, fee numeric(12,2),
                          ratio real, born date, seen timestamptz(3), uid uuid, doc jsonb);
    INSERT INTO patient SELECT CASE WHEN i % 3 > 0 THEN 'x' END, i, '病人' || i, decode(lpad(to_hex(i), 4, '0'), 'hex'),
        i % 2 = 1, i / 8.0, i / 3.0::real, '1980-01-02', '2026-11-22 01:02:03.25+00',
        '123e4567-e89b-12d3-a456-426655440000', json_build_object('a', to_char(i / 2.0, 'FM999990.0000')::numeric, 'n', i)
    FROM generate_series(1, 3000) i;
    UPDATE patient SET name = 'another' WHERE id = 217;
    DELETE FROM patient WHERE id = 218;
    CREATE TABLE log (n smallint, line text);
    INSERT INTO log SELECT i % 5, 'line ' || (i % 7) FROM generate_series(1, 500) i ORDER BY random();
"""


@pytest.fixture
def systems(
    mariadb_server: MariadbServer, mariadb_database: str, postgres_server: PostgresServer, postgres_database: str,
    tmp_path: Path,
) -> tuple[Snapshot, Snapshot]:  # fmt: skip
    mariadb_server.execute(_OLD, database=mariadb_database)
    postgres_server.execute(_NEW, database=postgres_database)
    settings = PostgresqlSettings(
        postgres_server.host, postgres_database, postgres_server.user, postgres_server.password, postgres_server.port
    )
    old = MysqlCollector(settings_for(mariadb_server, mariadb_database))
    return (
        take_with_agent(SourceHistory(), old, tmp_path / "old"),
        take_with_agent(SourceHistory(), PostgresqlCollector(settings), tmp_path / "new"),
    )


def test_one_changed_and_one_lost_record_stand_out_among_thousands_written_otherwise(
    systems: tuple[Snapshot, Snapshot],
) -> None:
    matches = {m.after: m for m in compare_systems(*systems) if isinstance(m, TableMatch)}
    patient = matches["public.patient"]
    causes = {(column, cause): group.count for (column, cause), group in patient.groups.items()}
    assert causes.pop(("NAME", Cause.DIFFERENT)) == 1
    assert [e.key for e in patient.groups["NAME", Cause.DIFFERENT].examples] == [("217",)]
    assert (patient.only_before, patient.first_before, patient.only_after) == (1, [("218",)], 0)
    assert (patient.missing, patient.added) == ((), ())
    forms = {
        ("ACTIVE", Cause.BOOLEAN), ("FEE", Cause.SCALE), ("BORN", Cause.DATE_TIME), ("UID", Cause.UUID),
        ("DOC", Cause.JSON), ("NOTE", Cause.EMPTY_NULL), ("FEE", Cause.DIFFERENT),
    }  # fmt: skip
    # The new table has two digits: an eighth was rounded.
    assert set(causes) == forms
    assert causes["NOTE", Cause.EMPTY_NULL] == 1000
    assert causes["FEE", Cause.SCALE] + causes["FEE", Cause.DIFFERENT] == 2999
    log = matches["public.log"]
    assert log.by == ()
    assert log.is_equal()
    assert log.equal == 500
