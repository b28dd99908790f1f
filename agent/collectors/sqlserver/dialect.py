# SPDX-License-Identifier: Apache-2.0
"""SQL Server 2008 and later through Microsoft's driver. Data, by Microsoft's Transact-SQL reference; no server was at hand.

One state by SNAPSHOT isolation, which takes no locks and blocks no writer; never NOLOCK, which shows what was never there. A
table that is altered meanwhile is refused by the server (error 3961). Floats come as their bytes, texts as their UTF-16:
both in hexadecimal, so that no style, code page or half of a surrogate pair is lost on the way.
Source: Transact-SQL "CAST and CONVERT", "SET TRANSACTION ISOLATION LEVEL", "sys.databases".
"""

from typing import Final

from agent.collectors.odbc.dialect import Cast, Dialect, Form, Literal, Long, Requirement
from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text

_WIDE: Final = "CONVERT(varbinary(max), CONVERT(nvarchar(max), {c}))"
_TEXT: Final = Cast(
    Kind.TEXT, f"CONVERT(varchar(max), {_WIDE}, 2)", Form.HEX_UTF16,
    Long(
        "DATALENGTH(CONVERT(nvarchar(max), {c})) / 2",
        f"CONVERT(varchar(max), SUBSTRING({_WIDE}, 2 * {{start}} - 1, 2 * {{count}}), 2)",
    ),
)  # fmt: skip
_RAW: Final = "CONVERT(varbinary(max), {c})"
_BYTES: Final = Cast(
    Kind.BYTES, f"CONVERT(varchar(max), {_RAW}, 2)", Form.HEX,
    Long(f"DATALENGTH({_RAW})", f"CONVERT(varchar(max), SUBSTRING({_RAW}, {{start}}, {{count}}), 2)"),
)  # fmt: skip
_KIND_OF: Final = "CONVERT(varchar(128), SQL_VARIANT_PROPERTY({c}, 'BaseType'))"
_VARIANT: Final = (
    f"{_KIND_OF} + ':' + CASE WHEN {_KIND_OF} IN ('binary', 'varbinary') THEN CONVERT(varchar(max), "
    f"CONVERT(varbinary(8000), {{c}}), 2) WHEN {_KIND_OF} IN ('float', 'real') THEN CONVERT(varchar(16), "
    "CAST(CONVERT(float, {c}) AS binary(8)), 2) ELSE CONVERT(nvarchar(4000), {c}, 121) END"
)

_CASTS: Final = {
    "bit": Cast(Kind.BOOL, "CONVERT(varchar(1), {c})"),
    **{name: Cast(Kind.INT, "CONVERT(varchar(20), {c})") for name in ("tinyint", "smallint", "int", "bigint")},
    "decimal": Cast(Kind.DECIMAL, "CONVERT(varchar(50), {c})"), "numeric": Cast(Kind.DECIMAL, "CONVERT(varchar(50), {c})"),
    # Style 2: all four places, no commas.
    "money": Cast(Kind.DECIMAL, "CONVERT(varchar(30), {c}, 2)"), "smallmoney": Cast(Kind.DECIMAL, "CONVERT(varchar(30), {c}, 2)"),
    "float": Cast(Kind.FLOAT8, "CONVERT(varchar(16), CAST({c} AS binary(8)), 2)", Form.IEEE),
    "real": Cast(Kind.FLOAT4, "CONVERT(varchar(8), CAST({c} AS binary(4)), 2)", Form.IEEE),
    **dict.fromkeys(("varchar", "nvarchar", "text", "ntext", "xml"), _TEXT),
    **dict.fromkeys(("char", "nchar"), Cast(Kind.TEXT, _TEXT.sql, Form.HEX_UTF16, _TEXT.long, is_padded=True)),
    "json": Cast(Kind.JSON, _TEXT.sql, Form.HEX_UTF16, _TEXT.long),
    **dict.fromkeys(("varbinary", "image", "hierarchyid", "geometry", "geography"), _BYTES),
    "binary": Cast(Kind.BYTES, _BYTES.sql, Form.HEX, _BYTES.long, is_padded=True),
    # rowversion; the catalog keeps its old name.
    "timestamp": Cast(Kind.BYTES, "CONVERT(varchar(16), CAST({c} AS binary(8)), 2)", Form.HEX),
    "date": Cast(Kind.DATE, "CONVERT(varchar(10), {c}, 23)"),
    "time": Cast(Kind.TIME, "CONVERT(varchar(16), {c}, 121)"),
    "datetime": Cast(Kind.TIMESTAMP, "CONVERT(varchar(23), {c}, 121)"),
    "smalldatetime": Cast(Kind.TIMESTAMP, "CONVERT(varchar(19), {c}, 120)"),
    "datetime2": Cast(Kind.TIMESTAMP, "CONVERT(varchar(27), {c}, 121)"),
    "datetimeoffset": Cast(Kind.TIMESTAMPOFFSET, "CONVERT(varchar(34), {c}, 121)"),
    "uniqueidentifier": Cast(Kind.UUID, "CONVERT(varchar(36), {c})"),
    "sql_variant": Cast(Kind.OTHER, _VARIANT),
}  # fmt: skip

_TABLES: Final = """
    SELECT s.name AS s, t.name AS n, CONVERT(varchar(20), (SELECT SUM(p.rows) FROM sys.partitions p
            WHERE p.object_id = t.object_id AND p.index_id IN (0, 1))) AS e,
        CASE WHEN OBJECTPROPERTY(t.object_id, 'TableIsMemoryOptimized') = 1
                 THEN 'a memory-optimized table, which SNAPSHOT isolation of a session does not read'
             WHEN HAS_PERMS_BY_NAME(QUOTENAME(s.name) + '.' + QUOTENAME(t.name), 'OBJECT', 'SELECT') = 0
                 THEN 'the account has no right to SELECT from it' END AS o,
        NULL AS a, '1' AS c, NULL AS f, NULL AS b
    FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE t.is_ms_shipped = 0 ORDER BY s.name, t.name"""

# A type of one's own stands on a type of the system; 240 are those written in .NET, which have names alone.
_COLUMNS: Final = """
    SELECT s.name AS s, t.name AS n, c.name AS c, CASE WHEN c.system_type_id = 240 THEN y.name ELSE b.name END AS k,
        y.name + CASE WHEN b.name IN ('decimal', 'numeric') THEN '(' + CONVERT(varchar(3), c.precision) + ','
                           + CONVERT(varchar(3), c.scale) + ')'
                      WHEN b.name IN ('time', 'datetime2', 'datetimeoffset') THEN '(' + CONVERT(varchar(3), c.scale) + ')'
                      WHEN b.name NOT IN ('char', 'varchar', 'binary', 'varbinary', 'nchar', 'nvarchar')
                          OR y.name <> b.name THEN ''
                      WHEN c.max_length = -1 THEN '(max)'
                      ELSE '(' + CONVERT(varchar(5), c.max_length / CASE WHEN b.name LIKE 'n%' THEN 2 ELSE 1 END) + ')'
                 END AS d,
        CASE WHEN c.max_length > 0 AND b.name NOT IN ('text', 'ntext', 'image', 'xml') AND c.system_type_id <> 240
             THEN CONVERT(varchar(9), c.max_length * 3) END AS o,
        CASE WHEN b.name IN ('decimal', 'numeric', 'money', 'smallmoney') THEN CONVERT(varchar(3), c.scale) END AS l,
        CONVERT(varchar(1), c.is_nullable) AS u, CONVERT(varchar(1), c.is_computed) AS g,
        CONVERT(nvarchar(4000), d.value) AS m
    FROM sys.columns c JOIN sys.tables t ON t.object_id = c.object_id JOIN sys.schemas s ON s.schema_id = t.schema_id
        JOIN sys.types y ON y.user_type_id = c.user_type_id
        LEFT JOIN sys.types b ON b.user_type_id = c.system_type_id AND b.system_type_id = c.system_type_id
        LEFT JOIN sys.extended_properties d ON d.class = 1 AND d.major_id = c.object_id AND d.minor_id = c.column_id
            AND d.name = 'MS_Description'
    WHERE t.is_ms_shipped = 0 ORDER BY s.name, t.name, c.column_id"""

_KEYS: Final = """
    SELECT s.name AS s, t.name AS n, c.name AS c
    FROM sys.indexes i JOIN sys.tables t ON t.object_id = i.object_id JOIN sys.schemas s ON s.schema_id = t.schema_id
        JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id AND k.key_ordinal > 0
        JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id
    WHERE i.is_primary_key = 1 AND t.is_ms_shipped = 0 ORDER BY s.name, t.name, k.key_ordinal"""

_GRANTS: Final = """\
zh|-- 以管理员身份，在来源的数据库中执行：
en|-- As an administrator, in the database of the source:
CREATE LOGIN {user} WITH PASSWORD = '...';
CREATE USER {user} FOR LOGIN {user};
ALTER ROLE db_datareader ADD MEMBER {user};
GRANT VIEW DEFINITION TO {user};
zh|-- 读取日志的位置：
en|-- For the position of the log:
GRANT VIEW DATABASE STATE TO {user};
zh|-- 仅用于让读取给等表的人让路（在 master 中执行）：
en|-- Only so that reading gives way to whoever waits for a table (in master):
-- GRANT VIEW SERVER STATE TO {user};
zh|-- 使所有表为同一状态；此后写入会在 tempdb 中保留行的旧版本：
en|-- For one state of all tables; writers then keep old versions of rows in tempdb:
ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON;
"""

SQLSERVER: Final = Dialect(
    name="sqlserver",
    title=Text(zh="SQL Server", en="SQL Server"),
    driver="SQL Server",
    seen=None,
    needs=Text(zh="微软的 ODBC Driver 18 for SQL Server", en="Microsoft ODBC Driver 18 for SQL Server (from Microsoft)"),
    casts=_CASTS,
    other=Cast(Kind.OTHER, _TEXT.sql, Form.HEX_UTF16, _TEXT.long),
    consistency=Consistency.CONSISTENT,
    tables=_TABLES,
    columns=_COLUMNS,
    keys=_KEYS,
    quotes=("[", "]"),
    options=(("ApplicationIntent", "ReadOnly"), ("APP", "jinsuo")),
    session=(
        "SET NOCOUNT ON", "SET TEXTSIZE 2147483647", "SET DATEFORMAT ymd", "SET DEADLOCK_PRIORITY LOW",
        "SET LOCK_TIMEOUT {lock_ms}",
    ),
    begins=("SET TRANSACTION ISOLATION LEVEL SNAPSHOT",),
    position=("lsn", "SELECT CONVERT(varchar(40), log_end_lsn) AS p FROM sys.dm_db_log_stats(DB_ID())"),
    requirements=(
        Requirement(
            "SELECT CASE WHEN CONVERT(int, PARSENAME(CONVERT(varchar(20), SERVERPROPERTY('ProductVersion')), 4)) >= 10 "
            "THEN '1' ELSE '0' END AS v",
            frozenset({"1"}), Text(zh="能读的最早版本是 SQL Server 2008", en="the oldest SQL Server that can be read is 2008"),
            Text(zh="读它的导出文件，或读一个较新版本的副本", en="read a dump of it, or a newer copy"),
        ),
        Requirement(
            "SELECT CONVERT(varchar(1), snapshot_isolation_state) AS i FROM sys.databases WHERE database_id = DB_ID()",
            frozenset({"1"}), Text(zh="该数据库不允许 SNAPSHOT 隔离级别", en="the database does not allow SNAPSHOT isolation"),
            Text(
                zh="请管理员执行 `ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON`（此后写入会在 tempdb 中保留行的旧版本），"
                "或设 `consistency: live`",
                en="have an administrator run `ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON` (writers then keep old "
                "versions of rows in tempdb), or set `consistency: live`",
            ),
            (Consistency.LIVE, ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED",)),
        ),
    ),
    page="SELECT TOP ({rows}) {what} FROM {t} t{where} ORDER BY {order}",
    literal=Literal.NATIONAL,
    locates=frozenset({Kind.INT, Kind.DECIMAL, Kind.UUID}),
    session_id="SELECT CONVERT(varchar(10), @@SPID) AS i",
    waiting="SELECT CONVERT(varchar(10), COUNT(*)) AS n FROM sys.dm_exec_requests WHERE blocking_session_id = {session}",
    grants=_GRANTS,
)  # fmt: skip
