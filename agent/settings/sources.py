# SPDX-License-Identifier: Apache-2.0
"""`sources:` in agent.yaml: one frozen model for each kind, and what is asked of a source whatever its kind.

No secret stands here, only the name of one. Collectors have settings of their own; `agent.sources` makes them from these.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from agent.settings.names import Name, Text1
from agent.settings.reference import REFERENCE, SecretReference, is_reference
from agent.settings.schedule import Schedule
from agent.settings.throttle import SourceThrottle
from terminal.language import Text
from terminal.settings import Seconds, Settings, mistake

UNFINISHED = (
    "*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.download", "*.swp", "*~", "~$*", ".~*", ".#*",
    ".nfs*",
)  # fmt: skip
"""Names that programs give to what they are downloading, copying or editing."""


class _Source(Settings):
    """What every source has."""

    name: Name
    schedule: Schedule | None = None
    throttle: SourceThrottle | None = None
    include: tuple[Text1, ...] = ()
    exclude: tuple[Text1, ...] = ()


class TableSource(_Source):
    """What every database has. `as_names`: a table's own name → its logical name in the evidence.

    `read`: patterns of names in the evidence → how often such tables are read; the first that fits counts.
    """

    as_names: dict[Text1, Text1] = Field(default_factory=dict, alias="as")
    snapshot_age_limit: Annotated[Seconds, Field(ge=1)] = 3600
    split: bool = False
    read: dict[Text1, Literal["each run", "weekly", "monthly"]] = Field(default_factory=dict)


class WatchSettings(Settings):
    """How `jinsuo-agent watch` follows a source. `ignore` are patterns of names that are not finished yet."""

    settle: Annotated[Seconds, Field(ge=1)] = 30
    most_wait: Annotated[Seconds, Field(ge=1)] = 15 * 60
    poll: Annotated[Seconds, Field(ge=1)] = 60
    ignore: tuple[Text1, ...] = UNFINISHED

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.most_wait < self.settle:
            raise mistake(Text(zh="most_wait 不小于 settle", en="`most_wait` not less than `settle`"))
        return self


class SqliteSource(TableSource):
    """A SQLite database file."""

    kind: Literal["sqlite"]
    path: Path
    watch: WatchSettings | None = None
    lock_timeout: Annotated[Seconds, Field(ge=0)] = 10


class PostgresqlSource(TableSource):
    """A PostgreSQL database. A host that begins with `/` is the folder of a Unix socket."""

    kind: Literal["postgresql"]
    host: Text1 = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    database: Text1
    user: Text1
    password: SecretReference | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    sslrootcert: Path | None = None
    materialized_views: bool = False
    large_objects: bool = True
    lock_timeout: Annotated[Seconds, Field(ge=1)] = 10
    give_way_after: Annotated[Seconds, Field(ge=0)] = 0
    statement_timeout: Annotated[Seconds, Field(ge=1)] | None = None
    connect_timeout: Annotated[Seconds, Field(ge=1)] = 10
    snapshot_age_limit: Annotated[Seconds, Field(ge=1)] = 4 * 3600
    read_sessions: Annotated[int, Field(ge=1, le=8)] = 1
    pg_dump: Path | None = None


class MysqlSource(TableSource):
    """A database of a MySQL or MariaDB server. A host that begins with `/` is a Unix socket."""

    kind: Literal["mysql"]
    host: Text1 = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 3306
    database: Text1
    user: Text1
    password: SecretReference | None = None
    ssl_mode: Literal["disabled", "preferred", "required", "verify-ca", "verify-identity"] = "preferred"
    ssl_ca: Path | None = None
    lock_guard: bool = False
    lock_timeout: Annotated[Seconds, Field(ge=1)] = 10
    give_way_after: Annotated[Seconds, Field(ge=0)] = 0
    statement_timeout: Annotated[Seconds, Field(ge=1)] | None = None
    connect_timeout: Annotated[Seconds, Field(ge=1)] = 10
    snapshot_age_limit: Annotated[Seconds, Field(ge=1)] = 4 * 3600


_HOLDS_PASSWORD = re.compile(r"(?i)(?:^|;)\s*(?:pwd|password)\s*=")


def _check_connection(connection: str) -> str:
    if _HOLDS_PASSWORD.search(connection) or re.search(r"(?i)(?:^|;)\s*(?:uid|user|username)\s*=", connection):
        raise mistake(
            Text(
                zh="不含账户与口令的连接串：账户写在 user，口令写在 password",
                en="a connection string without account and password: they stand in `user` and `password`",
            ),
            hidden=True,
        )
    return connection


class _ServerSource(TableSource):
    """What databases read through a driver of their vendor have in common."""

    password: SecretReference | None = None
    stall_timeout: Annotated[Seconds, Field(ge=1)] = 30 * 60
    connect_timeout: Annotated[Seconds, Field(ge=1)] = 10
    snapshot_age_limit: Annotated[Seconds, Field(ge=1)] = 4 * 3600


class OdbcSource(_ServerSource):
    """Any database with an ODBC driver, by a dialect of `agent.collectors.odbc`."""

    kind: Literal["odbc"]
    dialect: Literal["postgresql", "mariadb", "sqlite", "dm8", "kingbase", "iris", "db2", "gbase", "generic"]
    connection: Annotated[Text1, AfterValidator(_check_connection)]
    user: Text1 | None = None
    lock_timeout: Annotated[Seconds, Field(ge=1)] = 10
    give_way_after: Annotated[Seconds, Field(ge=1)] = 15


class SqlserverSource(_ServerSource):
    r"""A database of Microsoft SQL Server. A host with `\` names an instance, and the port does not count."""

    kind: Literal["sqlserver"]
    host: Text1 = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 1433
    database: Text1
    user: Text1
    driver: Text1 = "ODBC Driver 18 for SQL Server"
    encrypt: Literal["strict", "mandatory", "optional"] = "mandatory"
    trust_certificate: bool = False
    consistency: Literal["consistent", "live"] = "consistent"
    lock_timeout: Annotated[Seconds, Field(ge=1)] = 10
    give_way_after: Annotated[Seconds, Field(ge=1)] = 15


class OracleSource(_ServerSource):
    """A database of Oracle. `client`: the folder of an Instant Client, which 11g needs; None: the driver's own protocol."""

    kind: Literal["oracle"]
    host: Text1 = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 1521
    service: Text1
    user: Text1
    client: Path | None = None
    snapshot_age_limit: Annotated[Seconds, Field(ge=1)] = 3600


class FilesSource(_Source):
    """A folder of files. A file that changes while it is read is tried `attempts` times.

    `reread`: a file that is as it was by size, times and inode is opened again only so often, spread over the runs.
    """

    kind: Literal["files"]
    path: Path
    watch: WatchSettings | None = None
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    reread: Literal["each run", "weekly", "monthly"] = "monthly"


_PRIVATE = re.compile(r"(?i)pass|pwd|secret|token|credential")


def _check_env(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not re.fullmatch(r"[^=\0]+", name) or "\0" in value:
            raise mistake(Text(zh="环境变量的名称和值", en="the name and value of a variable"), at=(name,), hidden=True)
        if _PRIVATE.search(name) and not is_reference(value):
            raise mistake(REFERENCE, at=(name,), hidden=True)
    return env


def _check_dump(name: str) -> str:
    if name in (".", "..") or set(name) & set("/\\") or not name.isprintable():
        raise mistake(Text(zh="不含 / 与 \\ 的名称，例如 his.dmp", en="a name without / and \\, such as his.dmp"))
    return name


class CommandSource(Settings):
    """A vendor's dump command. A value of `env` may be a reference to a secret."""

    kind: Literal["command"]
    name: Name
    schedule: Schedule | None = None
    throttle: SourceThrottle | None = None
    argv: Annotated[tuple[Text1, ...], Field(min_length=1)]
    output: Literal["stdout", "file"] = "stdout"
    path: Path | None = None
    remove: bool = False
    dump: Annotated[Text1, AfterValidator(_check_dump)] | None = None
    env: Annotated[dict[Text1, str], AfterValidator(_check_env)] = Field(default_factory=dict)
    cwd: Path | None = None
    timeout: Annotated[Seconds, Field(ge=1)] = 12 * 3600
    stall_timeout: Annotated[Seconds, Field(ge=1)] = 30 * 60
    exit_codes: Annotated[tuple[Annotated[int, Field(ge=0, le=0xFFFFFFFF)], ...], Field(min_length=1)] = (0,)
    consistency: Literal["consistent", "live"] = "live"

    @model_validator(mode="after")
    def _check_output(self) -> Self:
        if self.output == "file" and self.path is None:
            raise mistake(Text(zh="output: file 需要 path", en="`path`, for `output: file`"))
        if self.output == "stdout" and (self.path is not None or self.remove):
            raise mistake(
                Text(zh="path 与 remove 只用于 output: file", en="`path` and `remove` only with `output: file`")
            )
        if self.dump is not None and self.path is not None and set("*?[") & set(self.path.name):
            raise mistake(
                Text(
                    zh="path 是模式时不设 dump：每个文件以自己的名称登记",
                    en="no `dump` where `path` is a pattern: each file has its own name",
                )
            )
        return self


AnySource = (
    SqliteSource
    | PostgresqlSource
    | MysqlSource
    | SqlserverSource
    | OracleSource
    | OdbcSource
    | FilesSource
    | CommandSource
)
Source = Annotated[AnySource, Field(discriminator="kind")]


def age_limit_of(source: Source) -> int | None:
    """Give how long a reading may keep a source waiting: its view's age, or its command's time; None: nothing waits."""
    if isinstance(source, TableSource):
        return source.snapshot_age_limit
    return source.timeout if isinstance(source, CommandSource) else None


def login_of(
    source: PostgresqlSource | MysqlSource | SqlserverSource | OracleSource | OdbcSource,
) -> tuple[str, ...]:
    """Give what tells one account from another, but for the secret."""
    if isinstance(source, OdbcSource):
        return (source.kind, source.connection, source.user or "")
    name = source.service if isinstance(source, OracleSource) else source.database
    return (source.kind, source.host, str(source.port), name, source.user)


def within(source: Source, base: Path) -> Source:
    """Give a source with every relative path taken from `base`."""
    if isinstance(source, PostgresqlSource):
        paths = {"sslrootcert": source.sslrootcert, "pg_dump": source.pg_dump}
        return source.model_copy(update={name: base / path for name, path in paths.items() if path is not None})
    if isinstance(source, MysqlSource):
        return source.model_copy(update={"ssl_ca": base / source.ssl_ca}) if source.ssl_ca is not None else source
    if isinstance(source, OracleSource):
        return source.model_copy(update={"client": base / source.client if source.client is not None else None})
    if isinstance(source, OdbcSource | SqlserverSource):
        return source
    if isinstance(source, CommandSource):
        paths = {"path": source.path, "cwd": source.cwd}
        return source.model_copy(update={name: base / path for name, path in paths.items() if path is not None})
    return source.model_copy(update={"path": base / source.path})
