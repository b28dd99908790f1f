# SPDX-License-Identifier: Apache-2.0
"""MariaDB and MySQL through MariaDB's ODBC driver. Data.

The driver streams (`NO_CACHE`), so there is one result at a time. Texts are converted to UTF-8 by the server, which puts `?`
for what it cannot; a source of kind `mysql` keeps such bytes.
"""

from typing import Final

from agent.collectors.odbc.dialect import Cast, Dialect, Form, Long
from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text

_CHAR: Final = "CAST({c} AS CHAR)"
_UTF8: Final = "CONVERT({c} USING utf8mb4)"
_TEXT: Final = Cast(
    Kind.TEXT,
    "HEX(" + _UTF8 + ")",
    Form.HEX,
    Long("OCTET_LENGTH({c})", "HEX(SUBSTRING(" + _UTF8 + ", {start}, {count}))"),
)
_BYTES: Final = Cast(
    Kind.BYTES, "HEX({c})", Form.HEX, Long("OCTET_LENGTH({c})", "HEX(SUBSTRING({c}, {start}, {count}))")
)

_BINARIES: Final = ("varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_SHAPES: Final = (
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection",
)  # fmt: skip

_CASTS: Final = {
    **{name: Cast(Kind.INT, "CAST({c} + 0 AS CHAR)") for name in ("tinyint", "smallint", "mediumint", "int", "bigint", "year")},
    "decimal": Cast(Kind.DECIMAL, _CHAR),
    "double": Cast(Kind.FLOAT8, "CAST({c} * 1e0 AS CHAR)"),
    "float": Cast(Kind.FLOAT4, "CAST({c} * 1e0 AS CHAR)", Form.SINGLE),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"), _TEXT),
    "json": Cast(Kind.JSON, _TEXT.sql, Form.HEX, _TEXT.long),
    **dict.fromkeys((*_BINARIES, *_SHAPES), _BYTES),
    "binary": Cast(Kind.BYTES, _BYTES.sql, Form.HEX, _BYTES.long, is_padded=True),
    "bit": Cast(Kind.BITS, "CAST(BIN({c} + 0) AS CHAR)"),
    "date": Cast(Kind.DATE, _CHAR), "time": Cast(Kind.TIME, _CHAR), "datetime": Cast(Kind.TIMESTAMP, _CHAR),
    "timestamp": Cast(Kind.TIMESTAMPTZ, _CHAR),
    "uuid": Cast(Kind.UUID, _CHAR),
}  # fmt: skip

_TABLES: Final = """
    SELECT TABLE_SCHEMA AS s, TABLE_NAME AS n, CAST(TABLE_ROWS AS CHAR) AS e,
        CASE WHEN ENGINE IS NULL THEN CONCAT('the server cannot open it: ', TABLE_COMMENT)
             WHEN ENGINE IN ('FEDERATED', 'SPIDER', 'CONNECT') THEN 'its rows live outside of the server' END AS o,
        NULL AS a, IF(ENGINE IN ('InnoDB', 'ROCKSDB', 'TokuDB'), '1', '0') AS c, NULL AS f, NULL AS b
    FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW', 'SEQUENCE', 'TEMPORARY')
    ORDER BY 1, 2"""

_COLUMNS: Final = """
    SELECT c.TABLE_SCHEMA AS s, c.TABLE_NAME AS n, c.COLUMN_NAME AS c,
        IF(EXISTS (SELECT 1 FROM information_schema.CHECK_CONSTRAINTS k WHERE k.CONSTRAINT_SCHEMA = c.TABLE_SCHEMA
                   AND k.TABLE_NAME = c.TABLE_NAME AND k.CHECK_CLAUSE = CONCAT('json_valid(`', c.COLUMN_NAME, '`)')),
           'json', c.DATA_TYPE) AS k,
        c.COLUMN_TYPE AS d, CAST(c.CHARACTER_OCTET_LENGTH AS CHAR) AS o, CAST(c.NUMERIC_SCALE AS CHAR) AS l,
        IF(c.IS_NULLABLE = 'YES', '1', '0') AS u, IF(c.EXTRA LIKE '%GENERATED%', '1', '0') AS g,
        NULLIF(c.COLUMN_COMMENT, '') AS m
    FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = DATABASE() ORDER BY 1, 2, c.ORDINAL_POSITION"""

_KEYS: Final = """
    SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME = 'PRIMARY' ORDER BY 1, 2, SEQ_IN_INDEX"""

_GRANTS: Final = """\
CREATE USER {user}@'192.0.2.10' IDENTIFIED BY '...';
zh|-- 每个数据库一条；上面写采集端的地址：
en|-- For each database; the agent's address above:
GRANT SELECT, SHOW VIEW ON `database`.* TO {user}@'192.0.2.10';
zh|-- binlog 的位置，以及谁在等正在读取的表：
en|-- The position of the binary log, and who waits for a table that is being read:
GRANT BINLOG MONITOR, PROCESS ON *.* TO {user}@'192.0.2.10';
"""

MARIADB: Final = Dialect(
    name="mariadb",
    title=Text(zh="MariaDB、MySQL", en="MariaDB, MySQL"),
    driver="MariaDB",
    seen="MariaDB 10.11, Connector/ODBC 3.1",
    needs=Text(zh="MariaDB Connector/ODBC（Debian 的 odbc-mariadb 包）", en="MariaDB Connector/ODBC (Debian: odbc-mariadb)"),
    casts=_CASTS,
    other=Cast(Kind.OTHER, _CHAR),
    consistency=Consistency.CONSISTENT,
    tables=_TABLES,
    columns=_COLUMNS,
    keys=_KEYS,
    quotes=("`", "`"),
    options=(("FORWARDONLY", "1"), ("NO_CACHE", "1"), ("CHARSET", "utf8mb4")),
    session=(
        "SET SESSION time_zone = '+00:00'",
        "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES,NO_UNSIGNED_SUBTRACTION'",
        "SET SESSION lock_wait_timeout = {lock_s}", "SET SESSION net_write_timeout = 3600",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ),
    begins=("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",),
    begins_itself=True,
    position=(
        "mysql",
        "SELECT MAX(IF(VARIABLE_NAME = 'BINLOG_SNAPSHOT_FILE', VARIABLE_VALUE, NULL)) AS f, "
        "MAX(IF(VARIABLE_NAME = 'BINLOG_SNAPSHOT_POSITION', VARIABLE_VALUE, NULL)) AS p FROM information_schema.SESSION_STATUS "
        "WHERE VARIABLE_NAME IN ('BINLOG_SNAPSHOT_FILE', 'BINLOG_SNAPSHOT_POSITION')",
    ),
    locates=frozenset({Kind.INT, Kind.DECIMAL, Kind.DATE}),
    around=("SAVEPOINT jinsuo", "ROLLBACK TO SAVEPOINT jinsuo"),
    session_id="SELECT CAST(CONNECTION_ID() AS CHAR) AS i",
    # With a binary log, MariaDB gives no metadata lock back at ROLLBACK TO SAVEPOINT.
    waiting=(
        "SELECT CAST(COUNT(*) AS CHAR) AS n FROM information_schema.PROCESSLIST "
        "WHERE STATE = 'Waiting for table metadata lock' AND DB = DATABASE() AND ID <> {session}"
    ),
    keeps_locks=True,
    ddl="SHOW CREATE TABLE {t}",
    grants=_GRANTS,
)  # fmt: skip
