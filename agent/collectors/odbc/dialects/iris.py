# SPDX-License-Identifier: Apache-2.0
"""InterSystems IRIS (and Caché) through its own ODBC driver. Data, by InterSystems' SQL reference; no server was at hand.

IRIS has no snapshot of a database: READ COMMITTED shows each row as it was last committed when it was met. So the class is
live. Over ODBC, dates and times are in their external form. Binary values come as the driver's bytes.
"""

from typing import Final

from agent.collectors.odbc.dialect import Cast, Dialect, Form, Long
from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text

_CHAR: Final = "CAST({c} AS VARCHAR(80))"
_STREAM: Final = Cast(
    Kind.TEXT,
    "SUBSTRING({c}, 1, 65536)",
    long=Long("CHARACTER_LENGTH({c})", "SUBSTRING({c}, {start}, {count})", most=65_536),
)
_BYTES: Final = Cast(
    Kind.BYTES, "SUBSTRING({c}, 1, 65536)", Form.HEX,
    Long("CHARACTER_LENGTH({c})", "SUBSTRING({c}, {start}, {count})", most=65_536),
)  # fmt: skip

_CASTS: Final = {
    **{n: Cast(Kind.INT, _CHAR) for n in ("bigint", "integer", "smallint", "tinyint")},
    "bit": Cast(Kind.BOOL, _CHAR),
    **{n: Cast(Kind.DECIMAL, _CHAR) for n in ("decimal", "numeric", "money")},
    # %Double prints the shortest digits that read back.
    **{n: Cast(Kind.FLOAT8, _CHAR) for n in ("double", "float")},
    **{n: Cast(Kind.TEXT, "{c}") for n in ("varchar", "char")},
    "longvarchar": _STREAM,
    "varbinary": Cast(Kind.BYTES, "{c}", Form.HEX),
    "longvarbinary": _BYTES,
    "date": Cast(Kind.DATE, "TO_CHAR({c}, 'YYYY-MM-DD')"),
    "time": Cast(Kind.TIME, _CHAR),
    "timestamp": Cast(Kind.TIMESTAMP, _CHAR), "posixtime": Cast(Kind.TIMESTAMP, _CHAR),
    "uniqueidentifier": Cast(Kind.UUID, _CHAR),
}  # fmt: skip

IRIS: Final = Dialect(
    name="iris",
    title=Text(zh="InterSystems IRIS", en="InterSystems IRIS"),
    driver="InterSystems",
    seen=None,
    needs=Text(zh="InterSystems IRIS ODBC 驱动（由厂商提供）", en="InterSystems IRIS ODBC driver (from the vendor)"),
    casts=_CASTS,
    other=Cast(Kind.OTHER, "CAST({c} AS VARCHAR(32000))"),
    consistency=Consistency.LIVE,
    tables="""
    SELECT t.TABLE_SCHEMA AS S, t.TABLE_NAME AS N, NULL AS E, NULL AS O, 't.%ID' AS A, '1' AS C, NULL AS F, NULL AS B
    FROM INFORMATION_SCHEMA.TABLES t
    WHERE t.TABLE_TYPE = 'BASE TABLE' AND SUBSTRING(t.TABLE_SCHEMA, 1, 1) <> '%' AND t.TABLE_SCHEMA <> 'INFORMATION_SCHEMA'
    ORDER BY 1, 2""",
    columns="""
    SELECT t.TABLE_SCHEMA AS S, t.TABLE_NAME AS N, t.COLUMN_NAME AS C, t.DATA_TYPE AS K, t.DATA_TYPE AS D,
        CASE WHEN t.DATA_TYPE IN ('longvarchar', 'longvarbinary') THEN NULL ELSE t.CHARACTER_OCTET_LENGTH END AS O,
        t.NUMERIC_SCALE AS L, CASE t.IS_NULLABLE WHEN 'NO' THEN '0' ELSE '1' END AS U,
        CASE t.IS_GENERATED WHEN 'YES' THEN '1' ELSE '0' END AS G, t.DESCRIPTION AS M
    FROM INFORMATION_SCHEMA.COLUMNS t
    WHERE SUBSTRING(t.TABLE_SCHEMA, 1, 1) <> '%' AND t.TABLE_SCHEMA <> 'INFORMATION_SCHEMA'
    ORDER BY 1, 2, t.ORDINAL_POSITION""",
    keys="""
    SELECT t.TABLE_SCHEMA AS S, t.TABLE_NAME AS N, t.COLUMN_NAME AS C
    FROM INFORMATION_SCHEMA.KEY_COLUMN_USAGE t WHERE t.CONSTRAINT_TYPE = 'PRIMARY KEY'
    ORDER BY 1, 2, t.ORDINAL_POSITION""",
    session=("SET TRANSACTION ISOLATION LEVEL READ COMMITTED",),
    page="SELECT TOP {rows} {what} FROM {t} t{where} ORDER BY {order}",
    address_kind=Kind.TEXT,
    locates=frozenset({Kind.INT}),
    notes=("IRIS keeps an empty text and NULL apart; its collations do not matter here, for rows are sorted by us",),
    grants=(
        "zh|-- 在该命名空间的管理门户或 SQL 命令行中执行：\n"
        "en|-- In the Management Portal or the SQL shell of the namespace:\nCREATE USER {user} IDENTIFY BY ...;\n"
        "GRANT SELECT ON SCHEMA SQLUser TO {user};\n"
        "zh|-- ……应用有表的每个模式都如此。\nen|-- … and so for each schema with tables of the application.\n"
    ),
)  # fmt: skip
