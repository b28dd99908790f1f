# SPDX-License-Identifier: Apache-2.0
"""agent.yaml as frozen models: what a person sets. No secret stands here, only the name of one.

Which center this agent belongs to is not a setting: enrolment writes it beside the keys. Collectors have settings of
their own; `agent.sources` makes them from these. Invariant: a loaded configuration has absolute paths, and no two sources
whose names differ at most in case (a Windows folder could not keep their spools apart).
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from agent.settings.health import HealthSettings
from agent.settings.heartbeat import HeartbeatSettings
from agent.settings.media import MediaSettings
from agent.settings.reference import REFERENCE, SecretReference, is_reference
from agent.settings.rhythm import OnChange
from agent.settings.road import RoadSettings
from agent.settings.schedule import Schedule, TimeZone
from evidence.manifest.group import MAX_MEMBERS
from terminal.language import Language, Text
from terminal.log_settings import LogSettings
from terminal.settings import Seconds, Settings, SizeBytes, mistake, read_settings

CONFIG_NAME = "agent.yaml"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
UNFINISHED = (
    "*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.download", "*.swp", "*~", "~$*", ".~*", ".#*",
    ".nfs*",
)  # fmt: skip
"""Names that programs give to what they are downloading, copying or editing."""


def is_name(text: str) -> bool:
    """Tell whether `text` can name a source or a secret; `.` and `..` cannot, for folders are named after sources."""
    return _NAME.fullmatch(text) is not None and text.strip(".") != ""


def _check_name(name: str) -> str:
    if not is_name(name):
        raise mistake(Text(zh="1 至 64 个字母、数字或 . _ -", en="1 to 64 of the letters A-Z a-z, digits and . _ -"))
    return name


Name = Annotated[str, AfterValidator(_check_name)]
Text1 = Annotated[str, Field(min_length=1)]


_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")


def _check_hours(text: str) -> str:
    if not _HOURS.fullmatch(text) or text[:5] == text[6:]:
        raise mistake(Text(zh="本地时间的时段，例如 07:30-18:00", en="a part of the day, such as 07:30-18:00"))
    return text


Percent = Annotated[float, Field(gt=0, le=100)]
Rate = Annotated[SizeBytes, Field(ge=64 << 10)]
"""Bytes a second. Slower than 64 KiB/s, a pack would not be through before the center gives up on it."""


class SourceThrottle(Settings):
    """How a source is spared: what is written here goes before the global `throttle`. None: no such limit."""

    max_cpu: Percent | None = None
    max_io_wait: Percent | None = None
    min_free_memory: Annotated[SizeBytes, Field(ge=0)] | None = None
    max_load: Annotated[float, Field(gt=0)] | None = None
    begin_within: Annotated[Seconds, Field(ge=0)] = 30 * 60
    share: Percent | None = None
    read_rate: Rate | None = None
    send_rate: Rate | None = None
    quiet_hours: Annotated[str, AfterValidator(_check_hours)] | None = None
    quiet_rate: Rate | None = None
    max_latency: Annotated[float, Field(gt=1)] | None = 8.0


class ThrottleSettings(SourceThrottle):
    """How all sources are spared, and how far the agent's processes step back on their machine."""

    priority: Literal["low", "normal"] = "low"


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


class SpoolSettings(Settings):
    """The durable outbox. `max_size` caps what waits in it; `min_free` is left free on its volume.

    `keep`: so much of what each source has sent stays, so that changed pages travel as differences against it.
    `max_age`: content of middle days that has waited longer is given up; None: only the caps of size give it up.
    """

    folder: Path = Path("spool")
    max_size: Annotated[SizeBytes, Field(ge=64 << 20)] = 20 << 30
    min_free: Annotated[SizeBytes, Field(ge=0)] = 1 << 30
    keep: Annotated[SizeBytes, Field(ge=0)] = 2 << 30
    max_age: Annotated[Seconds, Field(ge=86400)] | None = None
    compression: Annotated[int, Field(ge=1, le=19)] = 1


def _check_sources(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    seen: dict[str, str] = {}
    for index, source in enumerate(sources):
        other = seen.setdefault(source.name.casefold(), source.name)
        if index and len(seen) <= index:
            raise mistake(
                Text(
                    zh=f"不同的名称：{source.name} 与另一个来源 {other} 同名（大小写不算不同）",
                    en=f"a name of its own: {source.name} is the name of another source, {other}, but for case",
                ),
                at=(index, "name"),
            )
    return sources


class GroupSettings(Settings):
    """Sources whose views are opened at one moment, in the order in which they are read."""

    name: Name
    sources: Annotated[tuple[Name, ...], Field(min_length=2, max_length=MAX_MEMBERS)]
    schedule: Schedule | None = None


class AgentConfig(Settings):
    """The whole file. Times are in seconds, sizes in bytes."""

    language: Language | None = None
    time_zone: TimeZone | None = None
    spool: SpoolSettings = SpoolSettings()
    throttle: ThrottleSettings = ThrottleSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()
    media: MediaSettings = MediaSettings()
    road: RoadSettings = RoadSettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    sources: Annotated[tuple[Source, ...], AfterValidator(_check_sources)] = ()
    groups: tuple[GroupSettings, ...] = ()

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        sources = [source.name for source in self.sources]
        taken = {name.casefold() for name in sources}
        for i, group in enumerate(self.groups):
            if group.name.casefold() in taken:
                text = Text(zh="与来源和其他组都不同的名称", en="a name that no source and no other group has")
                raise mistake(text, at=("groups", i, "name"))
            taken.add(group.name.casefold())
            for j, name in enumerate(group.sources):
                if name not in sources:
                    listed = ", ".join(sources) or "-"
                    text = Text(zh=f"sources 中的名称：{listed}", en=f"a name among the sources: {listed}")
                    raise mistake(text, at=("groups", i, "sources", j))
                if name in group.sources[:j]:
                    text = Text(zh="每个来源一次", en="each source once")
                    raise mistake(text, at=("groups", i, "sources", j))
        return self

    @model_validator(mode="after")
    def _check_changes(self) -> Self:
        """`on change` needs somebody who watches."""
        for i, source in enumerate(self.sources):
            is_watched = isinstance(source, SqliteSource | FilesSource) and source.watch is not None
            if source.schedule and isinstance(source.schedule.rhythm, OnChange) and not is_watched:
                text = Text(
                    zh="带 watch 的来源（files 或 sqlite）才能用“变动时”",
                    en="`on change` only where the source has `watch:` (files, sqlite)",
                )
                raise mistake(text, at=("sources", i, "schedule"))
        for i, group in enumerate(self.groups):
            if group.schedule and isinstance(group.schedule.rhythm, OnChange):
                text = Text(zh="按时间的计划：组不能“变动时”", en="a schedule by the clock: a group is not watched")
                raise mistake(text, at=("groups", i, "schedule"))
        return self

    def find_group(self, name: str) -> GroupSettings | None:
        """Give the group of this name, or None."""
        return next((group for group in self.groups if group.name == name), None)

    def find_source(self, name: str) -> AnySource | None:
        """Give the source of this name, or None."""
        return next((source for source in self.sources if source.name == name), None)

    def throttle_of(self, own: SourceThrottle | None) -> SourceThrottle:
        """Give how a source is spared: by its own settings where it has them, else the global ones."""
        names = SourceThrottle.model_fields
        kept = {name: getattr(self.throttle, name) for name in names}
        if own is not None:
            kept |= {name: getattr(own, name) for name in own.model_fields_set}
        return SourceThrottle.model_construct(**kept)

    def with_folder(self, folder: Path) -> Self:
        """Give the same with every relative path taken from `folder`."""
        base = folder.absolute()
        spool = self.spool.model_copy(update={"folder": base / self.spool.folder})
        sources = tuple(_absolute(source, base) for source in self.sources)
        return self.model_copy(update={"spool": spool, "road": self.road.within(base), "sources": sources})


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


def load_config(folder: Path) -> AgentConfig:
    """Read agent.yaml in `folder`. Raises: SettingsError."""
    return read_settings(folder / CONFIG_NAME, AgentConfig).with_folder(folder)


def _absolute(source: Source, base: Path) -> Source:
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
