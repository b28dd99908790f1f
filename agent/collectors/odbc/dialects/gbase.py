# SPDX-License-Identifier: Apache-2.0
"""GBase 8s (南大通用), of Informix's family, through its own ODBC driver. Data, by the manuals; no server was at hand.

COMMITTED READ LAST COMMITTED waits for nobody and shows each row as it was last committed: the class is live. Types stand in
the catalog as numbers; 256 is added where a column is NOT NULL. Binary values come as the driver's bytes.
"""

from typing import Final

from agent.collectors.odbc.dialect import Cast, Dialect, Form
from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text

_CHAR: Final = "{c}::LVARCHAR"
_BYTES: Final = Cast(Kind.BYTES, "{c}", Form.HEX)

_CASTS: Final = {
    **{n: Cast(Kind.INT, _CHAR) for n in ("1", "2", "6", "17", "18", "52", "53")},
    "5": Cast(Kind.DECIMAL, _CHAR), "8": Cast(Kind.DECIMAL, "{c}::DECIMAL(32,2)::LVARCHAR"),
    "3": Cast(Kind.FLOAT8, "{c}"), "4": Cast(Kind.FLOAT4, "{c}", Form.SINGLE),
    **{n: Cast(Kind.TEXT, "{c}", is_padded=True) for n in ("0", "15")},
    **{n: Cast(Kind.TEXT, "{c}") for n in ("12", "13", "16", "43", "$clob")},
    "11": _BYTES, "$blob": _BYTES,
    "45": Cast(Kind.BOOL, _CHAR),
    "7": Cast(Kind.DATE, "TO_CHAR({c}, '%Y-%m-%d')"),
    "10": Cast(Kind.OTHER, _CHAR),
    "14": Cast(Kind.INTERVAL, _CHAR),
}  # fmt: skip

_KEYS: Final = " UNION ALL ".join(
    f"SELECT TRIM(t.owner) AS s, t.tabname AS n, k.colname AS c, {part} AS p FROM systables t "  # noqa: S608 - constants
    "JOIN sysconstraints c ON c.tabid = t.tabid AND c.constrtype = 'P' "
    "JOIN sysindexes i ON i.idxname = c.idxname AND i.tabid = t.tabid "
    f"JOIN syscolumns k ON k.tabid = t.tabid AND k.colno = ABS(i.part{part}) WHERE t.tabid >= 100"
    for part in range(1, 17)
)

GBASE: Final = Dialect(
    name="gbase",
    title=Text(zh="南大通用 GBase 8s", en="GBase 8s"),
    driver="GBase",
    seen=None,
    needs=Text(zh="南大通用 GBase 8s ODBC 驱动（由厂商提供）", en="GBase 8s ODBC driver (from the vendor)"),
    casts=_CASTS,
    other=Cast(Kind.OTHER, _CHAR),
    consistency=Consistency.LIVE,
    tables="""
    SELECT TRIM(t.owner) AS s, t.tabname AS n, t.nrows::DECIMAL(20,0)::LVARCHAR AS e, NULL::LVARCHAR AS o, NULL::LVARCHAR AS a,
        '1' AS c, NULL::LVARCHAR AS f, NULL::LVARCHAR AS b
    FROM systables t WHERE t.tabtype = 'T' AND t.tabid >= 100 ORDER BY 1, 2""",
    columns="""
    SELECT TRIM(t.owner) AS s, t.tabname AS n, k.colname AS c,
        CASE WHEN MOD(k.coltype, 256) IN (40, 41) AND x.name IN ('blob', 'clob') THEN '$' || TRIM(x.name)
             WHEN MOD(k.coltype, 256) = 41 AND x.name = 'boolean' THEN '45'
             ELSE MOD(k.coltype, 256)::LVARCHAR END AS k,
        MOD(k.coltype, 256)::LVARCHAR || '(' || k.collength::LVARCHAR || ')' AS d, NULL::LVARCHAR AS o,
        CASE WHEN MOD(k.coltype, 256) = 5 AND MOD(k.collength, 256) <> 255 THEN MOD(k.collength, 256)::LVARCHAR
             WHEN MOD(k.coltype, 256) = 8 THEN '2' END AS l,
        CASE WHEN k.coltype >= 256 THEN '0' ELSE '1' END AS u, '0' AS g, NULL::LVARCHAR AS m, k.colno AS p
    FROM systables t JOIN syscolumns k ON k.tabid = t.tabid LEFT JOIN sysxtdtypes x ON x.extended_id = k.extended_id
    WHERE t.tabtype = 'T' AND t.tabid >= 100 ORDER BY 1, 2, 11""",
    keys=f"SELECT s, n, c, p FROM ({_KEYS}) ORDER BY 1, 2, 4",  # noqa: S608 - constants
    session=("SET LOCK MODE TO WAIT {lock_s}", "SET ISOLATION TO COMMITTED READ LAST COMMITTED"),
    page="SELECT FIRST {rows} {what} FROM {t} t{where} ORDER BY {order}",
    options=(("DELIMIDENT", "y"),),
    notes=(
        "GBase 8s was read with isolation COMMITTED READ LAST COMMITTED: each row as it was last committed, not all of one instant",
        "columns of type DATETIME stand here as the server prints them in their own precision",
    ),
    grants=(
        "zh|-- GBase 8s 使用主机的账户：先在主机上建 {account}，再以 DBA 身份执行：\n"
        "en|-- GBase 8s knows the accounts of its host: make {account} there, then as DBA:\nGRANT CONNECT TO {user};\n"
        "zh|-- 每张表一条：GRANT SELECT ON table TO {user};\n"
        "en|-- for each table: GRANT SELECT ON table TO {user};\n"
    ),
)  # fmt: skip
