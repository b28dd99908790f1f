# SPDX-License-Identifier: Apache-2.0
"""达梦 DM8 through its own ODBC driver. Data, by DM8's manuals (SQL 语言使用手册, 系统管理员手册); no server was at hand.

A transaction that is SERIALIZABLE sees one state, by row versions, and one that only reads locks nobody out.
"""

from typing import Final

from agent.collectors.odbc.dialect import Cast, Dialect, Form, Long
from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text

_MOST: Final = 16_000
"""What DBMS_LOB.SUBSTR and RAWTOHEX give at once, with room to spare: 32,767 bytes, two characters a byte in hexadecimal."""

_TEXT: Final = Cast(Kind.TEXT, "{c}")
_PADDED: Final = Cast(Kind.TEXT, "{c}", is_padded=True)
_CLOB: Final = Cast(
    Kind.TEXT, "DBMS_LOB.SUBSTR({c}, 8000, 1)",
    long=Long("DBMS_LOB.GETLENGTH({c})", "DBMS_LOB.SUBSTR({c}, {count}, {start})", most=8000),
)  # fmt: skip
_BLOB: Final = Cast(
    Kind.BYTES, f"RAWTOHEX(DBMS_LOB.SUBSTR({{c}}, {_MOST}, 1))", Form.HEX,
    Long("DBMS_LOB.GETLENGTH({c})", "RAWTOHEX(DBMS_LOB.SUBSTR({c}, {count}, {start}))", most=_MOST),
)  # fmt: skip
_CHAR: Final = "CAST({c} AS VARCHAR(80))"
_MOMENT: Final = "TO_CHAR({c}, 'YYYY-MM-DD HH24:MI:SS.FF6')"

_CASTS: Final = {
    **{n: Cast(Kind.INT, _CHAR) for n in ("tinyint", "byte", "smallint", "int", "integer", "bigint")},
    "bit": Cast(Kind.BOOL, _CHAR),
    **{n: Cast(Kind.DECIMAL, _CHAR) for n in ("decimal", "dec", "numeric", "number")},
    **{n: Cast(Kind.FLOAT8, "TO_CHAR({c}, '9.9999999999999999EEEE')") for n in ("float", "double", "double precision")},
    "real": Cast(Kind.FLOAT4, "TO_CHAR({c}, '9.99999999EEEE')"),
    **dict.fromkeys(("varchar", "varchar2", "nvarchar", "nvarchar2", "rowid"), _TEXT),
    **dict.fromkeys(("char", "character", "nchar"), _PADDED),
    **dict.fromkeys(("clob", "text", "longvarchar", "long"), _CLOB),
    **dict.fromkeys(("blob", "image", "longvarbinary", "bfile"), _BLOB),
    **dict.fromkeys(("binary", "varbinary", "raw"), Cast(Kind.BYTES, "RAWTOHEX({c})", Form.HEX)),
    "date": Cast(Kind.DATE, "TO_CHAR({c}, 'YYYY-MM-DD')"),
    "time": Cast(Kind.TIME, _CHAR),
    **{n: Cast(Kind.TIMESTAMP, _MOMENT) for n in ("timestamp", "datetime")},
    **dict.fromkeys(
        ("timestamp with time zone", "datetime with time zone"),
        Cast(Kind.TIMESTAMPOFFSET, "TO_CHAR({c}, 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM')"),
    ),
}

_OWN: Final = "t.OWNER NOT IN ('SYS', 'SYSAUDITOR', 'SYSSSO', 'CTISYS')"
_TABLES: Final = f"""
    SELECT t.OWNER AS S, t.TABLE_NAME AS N, CAST(t.NUM_ROWS AS VARCHAR(20)) AS E, NULL AS O, 't.ROWID' AS A, '1' AS C,
        NULL AS F, NULL AS B
    FROM ALL_TABLES t WHERE {_OWN} AND t.TEMPORARY = 'N' ORDER BY 1, 2"""  # noqa: S608 - constants
_COLUMNS: Final = f"""
    SELECT t.OWNER AS S, t.TABLE_NAME AS N, t.COLUMN_NAME AS C,
        CASE WHEN t.DATA_TYPE LIKE 'TIMESTAMP%WITH TIME ZONE' THEN 'TIMESTAMP WITH TIME ZONE'
             WHEN t.DATA_TYPE LIKE 'TIMESTAMP%' THEN 'TIMESTAMP' ELSE t.DATA_TYPE END AS K,
        t.DATA_TYPE AS D, CAST(t.DATA_LENGTH AS VARCHAR(20)) AS O, CAST(t.DATA_SCALE AS VARCHAR(20)) AS L,
        CASE t.NULLABLE WHEN 'N' THEN '0' ELSE '1' END AS U, '0' AS G, m.COMMENTS AS M
    FROM ALL_TAB_COLUMNS t LEFT JOIN ALL_COL_COMMENTS m
        ON m.OWNER = t.OWNER AND m.TABLE_NAME = t.TABLE_NAME AND m.COLUMN_NAME = t.COLUMN_NAME
    WHERE {_OWN} ORDER BY 1, 2, t.COLUMN_ID"""  # noqa: S608 - constants
_KEYS: Final = f"""
    SELECT t.OWNER AS S, t.TABLE_NAME AS N, k.COLUMN_NAME AS C
    FROM ALL_CONSTRAINTS t JOIN ALL_CONS_COLUMNS k ON k.OWNER = t.OWNER AND k.CONSTRAINT_NAME = t.CONSTRAINT_NAME
    WHERE t.CONSTRAINT_TYPE = 'P' AND {_OWN} ORDER BY 1, 2, k.POSITION"""  # noqa: S608 - constants

DM8: Final = Dialect(
    name="dm8",
    title=Text(zh="达梦 DM8", en="DM8"),
    driver="DM8",
    seen=None,
    needs=Text(zh="达梦 DM8 ODBC 驱动（由厂商提供）", en="DM8 ODBC driver (from the vendor)"),
    casts=_CASTS,
    other=Cast(Kind.OTHER, "CAST({c} AS VARCHAR(8000))"),
    consistency=Consistency.CONSISTENT,
    tables=_TABLES,
    columns=_COLUMNS,
    keys=_KEYS,
    first=("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",),
    position=("lsn", "SELECT CAST(CUR_LSN AS VARCHAR(30)) AS P FROM V$RLOG"),
    address_kind=Kind.TEXT,
    ddl="SELECT DBMS_METADATA.GET_DDL('TABLE', {n'}, {s'}) AS D FROM DUAL",
    notes=("if the instance was made with BLANK_PAD_MODE or COMPATIBLE_MODE of Oracle, an empty text may be NULL",),
    grants=(
        "zh|-- 以 SYSDBA 身份执行：\nen|-- As SYSDBA:\nCREATE USER {user} IDENTIFIED BY \"...\";\nGRANT SELECT ANY TABLE TO {user};\n"
        "GRANT SELECT ON V$RLOG TO {user};\n"
    ),
)  # fmt: skip
