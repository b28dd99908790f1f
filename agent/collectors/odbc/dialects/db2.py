# SPDX-License-Identifier: Apache-2.0
"""IBM Db2 for Linux, UNIX and Windows, through IBM's CLI driver. Data, by IBM's SQL reference 11.5; no server was at hand.

Db2 holds one state only by locking (RR locks whole tables), which a live system must not suffer. CS with "currently
committed" waits for nobody and shows each row as it was last committed: the class is live. HEX() ends at 16 KB, so binary
values come as the driver's bytes.
"""

from typing import Final

from agent.collectors.odbc.dialect import Cast, Dialect, Form, Long
from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text

_CHAR: Final = "VARCHAR({c})"
# By characters: LENGTH and SUBSTR count bytes, and would cut a character in two.
_TEXT: Final = Cast(
    Kind.TEXT, "{c}", long=Long("LENGTH({c}, CODEUNITS32)", "SUBSTRING({c}, {start}, {count}, CODEUNITS32)")
)
_BYTES: Final = Cast(Kind.BYTES, "{c}", Form.HEX, Long("LENGTH({c})", "SUBSTR({c}, {start}, {count})"))

_CASTS: Final = {
    **{n: Cast(Kind.INT, _CHAR) for n in ("smallint", "integer", "bigint")},
    "boolean": Cast(Kind.BOOL, _CHAR),
    "decimal": Cast(Kind.DECIMAL, _CHAR), "decfloat": Cast(Kind.DECIMAL, _CHAR),
    "double": Cast(Kind.FLOAT8, _CHAR), "real": Cast(Kind.FLOAT4, _CHAR),
    **dict.fromkeys(("varchar", "long varchar", "clob", "vargraphic", "long vargraphic", "dbclob"), _TEXT),
    **{n: Cast(Kind.TEXT, "{c}", is_padded=True) for n in ("character", "graphic")},
    "xml": Cast(Kind.TEXT, "XMLSERIALIZE({c} AS CLOB)"),
    **dict.fromkeys(("varbinary", "blob", "$bits"), _BYTES),
    "binary": Cast(Kind.BYTES, "{c}", Form.HEX, is_padded=True),
    "date": Cast(Kind.DATE, "CHAR({c}, ISO)"), "time": Cast(Kind.TIME, "CHAR({c}, JIS)"),
    "timestamp": Cast(Kind.TIMESTAMP, "VARCHAR_FORMAT({c}, 'YYYY-MM-DD HH24:MI:SS.FF12')"),
}  # fmt: skip

_OWN: Final = "t.TABSCHEMA NOT LIKE 'SYS%'"

DB2: Final = Dialect(
    name="db2",
    title=Text(zh="IBM Db2", en="IBM Db2"),
    driver="DB2",
    seen=None,
    needs=Text(zh="IBM Data Server Driver（由 IBM 提供）", en="IBM Data Server Driver (from IBM)"),
    casts=_CASTS,
    other=Cast(Kind.OTHER, "VARCHAR({c})"),
    consistency=Consistency.LIVE,
    tables=f"""
    SELECT RTRIM(t.TABSCHEMA) AS S, t.TABNAME AS N, CASE WHEN t.CARD >= 0 THEN VARCHAR(t.CARD) END AS E, NULL AS O,
        NULL AS A, '1' AS C, NULL AS F, NULL AS B
    FROM SYSCAT.TABLES t WHERE t.TYPE = 'T' AND {_OWN} ORDER BY 1, 2""",  # noqa: S608 - constants
    columns=f"""
    SELECT RTRIM(t.TABSCHEMA) AS S, t.TABNAME AS N, t.COLNAME AS C,
        CASE WHEN t.CODEPAGE = 0 AND t.TYPENAME IN ('VARCHAR', 'CHARACTER', 'LONG VARCHAR') THEN '$bits'
             ELSE t.TYPENAME END AS K,
        t.TYPENAME AS D, VARCHAR(BIGINT(t.LENGTH) * CASE WHEN t.TYPENAME LIKE '%GRAPHIC' OR t.TYPENAME = 'DBCLOB' THEN 3
                                                         ELSE 1 END) AS O,
        VARCHAR(t.SCALE) AS L, CASE t.NULLS WHEN 'N' THEN '0' ELSE '1' END AS U,
        CASE WHEN t.GENERATED = '' THEN '0' ELSE '1' END AS G, t.REMARKS AS M
    FROM SYSCAT.COLUMNS t WHERE {_OWN} ORDER BY 1, 2, t.COLNO""",  # noqa: S608 - constants
    keys=f"""
    SELECT RTRIM(t.TABSCHEMA) AS S, t.TABNAME AS N, k.COLNAME AS C
    FROM SYSCAT.TABCONST t JOIN SYSCAT.KEYCOLUSE k
        ON k.CONSTNAME = t.CONSTNAME AND k.TABSCHEMA = t.TABSCHEMA AND k.TABNAME = t.TABNAME
    WHERE t.TYPE = 'P' AND {_OWN} ORDER BY 1, 2, k.COLSEQ""",  # noqa: S608 - constants
    session=("SET CURRENT LOCK TIMEOUT {lock_s}", "SET CURRENT ISOLATION CS"),
    page="SELECT {what} FROM {t} t{where} ORDER BY {order} FETCH FIRST {rows} ROWS ONLY",
    notes=("Db2 was read with isolation CS: each row as it was last committed, not all of one instant",),
    grants=(
        "zh|-- Db2 使用主机的账户：先在主机上建 {account}，再以 SECADM 或 DBADM 身份执行：\n"
        "en|-- Db2 knows the accounts of its host: make {account} there, then as SECADM or DBADM:\n"
        "GRANT CONNECT ON DATABASE TO USER {user};\nGRANT DATAACCESS ON DATABASE TO USER {user};\n"
        "zh|-- 或收窄，每张表一条：GRANT SELECT ON schema.table TO USER {user};\n"
        "en|-- or, narrower, for each table: GRANT SELECT ON schema.table TO USER {user};\n"
    ),
)  # fmt: skip
