# SPDX-License-Identifier: Apache-2.0
"""Any other database, by what ODBC and SQL-92 promise alone. Data.

Tables and columns come from ODBC's catalog functions; types are ODBC's numbers. Texts and numbers are cast in the query;
binary values and doubles come as the driver's bytes and doubles, for there is no portable text of them. Nothing is known of
isolation, so nothing is claimed: the class is live.
"""

from typing import Final

from agent.collectors.odbc.dialect import Cast, Dialect, Form, Long
from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text

_LENGTH: Final = "{fn LENGTH({c})}"
_TEXT: Final = Cast(Kind.TEXT, "{c}", long=Long(_LENGTH, "{fn SUBSTRING({c}, {start}, {count})}"))
_BYTES: Final = Cast(Kind.BYTES, "{c}", Form.HEX)
_NUMBER: Final = "CAST({c} AS VARCHAR(80))"

_CASTS: Final = {
    **dict.fromkeys(("4", "5", "-5", "-6"), Cast(Kind.INT, _NUMBER)),
    **dict.fromkeys(("2", "3"), Cast(Kind.DECIMAL, _NUMBER)),
    **dict.fromkeys(("6", "8"), Cast(Kind.FLOAT8, "{c}")),
    "7": Cast(Kind.FLOAT4, "{c}", Form.SINGLE),
    "-7": Cast(Kind.BOOL, _NUMBER),
    **dict.fromkeys(("1", "12", "-1", "-8", "-9", "-10"), _TEXT),
    **dict.fromkeys(("-2", "-3", "-4"), _BYTES),
    **dict.fromkeys(("9", "91"), Cast(Kind.DATE, _NUMBER)),
    **dict.fromkeys(("10", "92"), Cast(Kind.TIME, _NUMBER)),
    **dict.fromkeys(("11", "93"), Cast(Kind.TIMESTAMP, _NUMBER)),
    "-11": Cast(Kind.UUID, _NUMBER),
}

GENERIC: Final = Dialect(
    name="generic",
    title=Text(zh="经 ODBC 的数据库", en="a database over ODBC"),
    driver="",
    seen="PostgreSQL 15, psqlodbc 13.02",
    needs=Text(zh="该数据库自己的 ODBC 驱动", en="the database's own ODBC driver"),
    casts=_CASTS,
    other=Cast(Kind.OTHER, "CAST({c} AS VARCHAR(4000))"),
    consistency=Consistency.LIVE,
    page="",
    notes=("the dialect is generic: nothing is known of how the database isolates transactions, so the class is live",),
    grants="zh|-- 准许账户 {user} 对各表 SELECT，不给其他权限。\n"
    "en|-- Give the account {user} the right to SELECT from the tables, and no other right.\n",
)
