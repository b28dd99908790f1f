# SPDX-License-Identifier: Apache-2.0
"""SQLite through libsqliteodbc. Data. A source of kind `sqlite` reads it better: it opens the file read-only.

Any column holds any type, so each cell tells its own. Texts come as the bytes that they are, in hexadecimal, for the driver
would end them at NUL. A float is printed with 20 digits, which read back as the same double.
"""

from typing import Final

from agent.collectors.odbc.dialect import Cast, Dialect, Form, Long, Requirement
from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text

_RAW: Final = Long("length(CAST({c} AS BLOB))", "hex(substr(CAST({c} AS BLOB), {start}, {count}))")
_PREFIX: Final = "CASE typeof({c}) WHEN 'text' THEN 't:' ELSE 'b:' END"
_ANY: Final = (
    "CASE typeof({c}) WHEN 'null' THEN NULL WHEN 'integer' THEN 'i:' || {c} "
    "WHEN 'real' THEN 'r:' || printf('%!.20g', {c}) ELSE " + _PREFIX + " || hex(CAST({c} AS BLOB)) END"
)

_CASTS: Final = {
    "$int": Cast(Kind.INT, "CAST({c} AS TEXT)"),
    # `printf` and `hex` make 0 and '' of NULL.
    "$real": Cast(Kind.FLOAT8, "CASE WHEN {c} IS NOT NULL THEN printf('%!.20g', {c}) END"),
    "$text": Cast(Kind.TEXT, "CASE WHEN {c} IS NOT NULL THEN hex(CAST({c} AS BLOB)) END", Form.HEX, _RAW),
    "$blob": Cast(Kind.BYTES, "CASE WHEN {c} IS NOT NULL THEN hex({c}) END", Form.HEX, _RAW),
}

_TABLES: Final = """
    SELECT '' AS s, t.name AS n, NULL AS e,
        CASE t.type WHEN 'virtual' THEN 'a virtual table: its rows are made by a module, often from other tables'
                    WHEN 'shadow' THEN 'a shadow table: the inner storage of a virtual table' END AS o,
        CASE WHEN t.wr = 0 AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(t.name) x WHERE lower(x.name) = 'rowid')
             THEN 't.rowid' END AS a, '1' AS c, NULL AS f, NULL AS b
    FROM pragma_table_list t
    WHERE t.schema = 'main' AND t.type <> 'view' AND lower(substr(t.name, 1, 7)) <> 'sqlite_' ORDER BY t.name"""

# A rowid alias is the one INTEGER column of a key for which SQLite made no index.
_COLUMNS: Final = """
    SELECT '' AS s, t.name AS n, x.name AS c,
        CASE WHEN x.is_alias THEN '$int' WHEN t.strict = 0 THEN '$any'
             ELSE CASE upper(x.type) WHEN 'INT' THEN '$int' WHEN 'INTEGER' THEN '$int' WHEN 'REAL' THEN '$real'
                                     WHEN 'TEXT' THEN '$text' WHEN 'BLOB' THEN '$blob' ELSE '$any' END END AS k,
        x.type AS d, NULL AS o, NULL AS l, CASE WHEN x."notnull" OR x.is_alias THEN '0' ELSE '1' END AS u,
        x.hidden AS h, NULL AS m
    FROM pragma_table_list t JOIN (
        SELECT u.name AS owner, i.*, (i.pk = 1 AND upper(i.type) = 'INTEGER' AND u.wr = 0
            AND (SELECT count(*) FROM pragma_table_xinfo(u.name) WHERE pk > 0) = 1
            AND NOT EXISTS (SELECT 1 FROM pragma_index_list(u.name) WHERE origin = 'pk')) AS is_alias
        FROM pragma_table_list u, pragma_table_xinfo(u.name) i WHERE u.schema = 'main') x ON x.owner = t.name
    WHERE t.schema = 'main' AND t.type = 'table' ORDER BY t.name, x.cid"""

_KEYS: Final = """
    SELECT '' AS s, t.name AS n, i.name AS c FROM pragma_table_list t, pragma_table_xinfo(t.name) i
    WHERE t.schema = 'main' AND t.type = 'table' AND i.pk > 0 ORDER BY t.name, i.pk"""

SQLITE: Final = Dialect(
    name="sqlite",
    title=Text(zh="SQLite", en="SQLite"),
    driver="SQLite3",
    seen="SQLite 3.40, libsqliteodbc 0.9998",
    needs=Text(zh="libsqliteodbc（Debian 的 libsqliteodbc 包）", en="libsqliteodbc (Debian: libsqliteodbc)"),
    casts=_CASTS,
    other=Cast(Kind.ANY, _ANY, Form.SQLITE, Long(f"CASE WHEN typeof({{c}}) IN ('text', 'blob') THEN {_RAW.length} END",
                                                 _PREFIX + " || " + _RAW.part)),
    consistency=Consistency.CONSISTENT,
    tables=_TABLES,
    columns=_COLUMNS,
    keys=_KEYS,
    options=(("StepAPI", "1"), ("NoTXN", "1"), ("Timeout", "{lock_ms}")),
    # Else the driver makes a file that is not there, and may write to one that is.
    must=(
        "mode=ro",
        Text(
            zh="写作 `Driver=SQLite3;Database=file:/path/his.db?mode=ro`",
            en="write it as `Driver=SQLite3;Database=file:/path/his.db?mode=ro`",
        ),
    ),
    session=("PRAGMA query_only = 1",),
    begins=("BEGIN", "SELECT count(*) AS n FROM sqlite_schema"),
    begins_itself=True,
    requirements=(
        Requirement(
            "PRAGMA encoding", frozenset({"UTF-8"}), Text(zh="该数据库以 UTF-16 存放文字", en="the database keeps its texts in UTF-16"),
            Text(zh="用 kind: sqlite 的来源读取", en="read it by a source of kind sqlite"),
        ),
    ),
    notes=("SQLite prints no sign of a zero: a float -0 stands here as 0; a source of kind sqlite tells them apart",),
    ddl_whole="SELECT sql || ';' AS d FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid",
    grants="zh|-- SQLite 没有账户：采集端的账户要能读取该文件及其目录。\n"
    "en|-- SQLite knows no accounts: the agent's account needs the right to read the file and its folder.\n",
)  # fmt: skip
