# SPDX-License-Identifier: Apache-2.0
"""From a source's settings to its collector: the only place that names concrete collectors.

A driver is imported only when a source needs it. Each key of a source's model stands here (a test sees to it).
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from agent.collectors.base import Collector
from agent.collectors.files import FileMemory, FilesCollector, FilesSettings
from agent.collectors.naming import TableChoice
from agent.collectors.watch import FolderLook, Look, Pace, SourceWatch, SqliteLook, SystemHints
from agent.errors import SourceError
from agent.secrets import Secrets
from agent.settings.reference import is_reference
from agent.settings.sources import (
    AnySource,
    CommandSource,
    FilesSource,
    MysqlSource,
    OdbcSource,
    OracleSource,
    PostgresqlSource,
    SqliteSource,
    SqlserverSource,
    TableSource,
)
from agent.snapshot.carrying import PERIODS
from agent.snapshot.kept import watching_path
from evidence.manifest.statement import Consistency
from terminal.language import Text


class SourceMaker:
    """Make what reads the sources of an agent in `folder`; secrets come from there or from `environ`."""

    def __init__(self, folder: Path, environ: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._workspace = folder / "reading"
        self._environ = environ
        self._clock = clock

    def watch(self, source: FilesSource | SqliteSource) -> SourceWatch:
        """Make what tells when a watched source has changed and settled."""
        assert source.watch is not None
        pace = Pace(source.watch.settle, source.watch.most_wait, source.watch.poll)
        look: Look = (
            SqliteLook(source.path)
            if isinstance(source, SqliteSource)
            else FolderLook(
                FilesSettings(source.path, source.include, source.exclude, workspace=self._workspace),
                source.watch.ignore,
            )
        )
        return SourceWatch(
            source.name, look, pace, watching_path(self._folder, source.name),
            lambda look: SystemHints(look, time.monotonic), time.monotonic, is_consistent=isinstance(source, SqliteSource),
        )  # fmt: skip

    def collector(self, source: AnySource) -> Collector:
        """Make the collector of a source. Raises: SourceError if its driver is not installed, or its secret is not to be had."""
        if isinstance(source, SqliteSource):
            from agent.collectors.sqlite import SqliteCollector, SqliteSettings

            return SqliteCollector(
                SqliteSettings(
                    path=source.path,
                    tables=_choose_tables(source),
                    busy_timeout_s=source.lock_timeout,
                    snapshot_age_limit_s=source.snapshot_age_limit,
                )
            )
        if isinstance(source, FilesSource):
            period = PERIODS[source.reread]
            memory = None
            if period is not None:
                path = self._folder / "remembered" / f"{source.name}.sqlite"
                memory = FileMemory(path, period.total_seconds(), lambda: self._clock().timestamp())
            settings = FilesSettings(
                source.path, source.include, source.exclude, source.attempts, workspace=self._workspace
            )
            return FilesCollector(settings, memory=memory)
        if isinstance(source, CommandSource):
            return self._make_command(source)
        if isinstance(source, MysqlSource):
            return self._make_mysql(source)
        if isinstance(source, OdbcSource):
            return self._make_odbc(source)
        if isinstance(source, SqlserverSource):
            return self._make_sqlserver(source)
        if isinstance(source, OracleSource):
            return self._make_oracle(source)
        return self._make_postgresql(source)

    def password(self, source: PostgresqlSource | MysqlSource | SqlserverSource | OracleSource | OdbcSource) -> str:
        """Give the password of a source's account. Raises: SourceError."""
        return Secrets(self._folder, self._environ).find(source.password) if source.password else ""

    def _make_odbc(self, source: OdbcSource) -> Collector:
        from agent.collectors.odbc import OdbcCollector, OdbcSettings

        return OdbcCollector(
            OdbcSettings(
                dialect=source.dialect,
                connection=source.connection,
                user=source.user,
                password=self.password(source),
                tables=_choose_tables(source),
                lock_timeout_s=source.lock_timeout,
                give_way_after_s=source.give_way_after,
                stall_limit_s=source.stall_timeout,
                snapshot_age_limit_s=source.snapshot_age_limit,
                connect_timeout_s=source.connect_timeout,
            )
        )

    def _make_sqlserver(self, source: SqlserverSource) -> Collector:
        from agent.collectors.sqlserver import SqlserverCollector, SqlserverSettings

        return SqlserverCollector(
            SqlserverSettings(
                host=source.host,
                port=source.port,
                database=source.database,
                user=source.user,
                password=self.password(source),
                driver=source.driver,
                encrypt={"mandatory": "yes", "optional": "no", "strict": "strict"}[source.encrypt],
                trust_certificate=source.trust_certificate,
                tables=_choose_tables(source),
                lock_timeout_s=source.lock_timeout,
                give_way_after_s=source.give_way_after,
                stall_limit_s=source.stall_timeout,
                snapshot_age_limit_s=source.snapshot_age_limit,
                connect_timeout_s=source.connect_timeout,
                accepts=Consistency(source.consistency),
            )
        )

    def _make_oracle(self, source: OracleSource) -> Collector:
        try:
            from agent.collectors.oracle import OracleCollector, OracleSettings
        except ImportError as err:
            raise SourceError(
                Text(
                    zh=f"来源 {source.name!r} 所需的驱动加载不了：{err}",
                    en=f"the driver that source {source.name!r} needs cannot be loaded: {err}",
                ),
                hint=Text(
                    zh="执行 `pip install 'jinsuo[oracle]'` 安装", en="install it with `pip install 'jinsuo[oracle]'`"
                ),
            ) from err
        return OracleCollector(
            OracleSettings(
                host=source.host,
                port=source.port,
                service=source.service,
                user=source.user,
                password=self.password(source),
                client=source.client,
                tables=_choose_tables(source),
                stall_limit_s=source.stall_timeout,
                snapshot_age_limit_s=source.snapshot_age_limit,
                connect_timeout_s=source.connect_timeout,
            )
        )

    def _make_command(self, source: CommandSource) -> Collector:
        from agent.collectors.command import CommandCollector, CommandSettings, Output

        secrets = Secrets(self._folder, self._environ)
        found = {name: secrets.find(value) for name, value in source.env.items() if is_reference(value)}
        default = source.path.name if source.path else source.name
        return CommandCollector(
            CommandSettings(
                argv=source.argv,
                name=source.dump or default,
                output=Output(source.output),
                path=source.path,
                remove=source.remove,
                env=dict(source.env) | found,
                secrets=tuple(found.values()),
                cwd=source.cwd,
                timeout_s=source.timeout,
                stall_timeout_s=source.stall_timeout,
                exit_codes=source.exit_codes,
                consistency=Consistency(source.consistency),
            ),
            self._environ,
        )

    def _make_mysql(self, source: MysqlSource) -> Collector:
        try:
            from agent.collectors.mysql import MysqlCollector, MysqlSettings
        except ImportError as err:
            raise SourceError(
                Text(
                    zh=f"来源 {source.name!r} 所需的驱动加载不了：{err}",
                    en=f"the driver that source {source.name!r} needs cannot be loaded: {err}",
                ),
                hint=Text(
                    zh="执行 `pip install 'jinsuo[mysql]'` 安装；在 Linux 上会就地编译，需要 gcc、python3-dev、pkg-config 和 "
                    "libmariadb-dev（或 default-libmysqlclient-dev）",
                    en="install it with `pip install 'jinsuo[mysql]'`; on Linux that builds it, and needs gcc, "
                    "python3-dev, pkg-config and libmariadb-dev (or default-libmysqlclient-dev)",
                ),
            ) from err
        return MysqlCollector(
            MysqlSettings(
                host=source.host,
                port=source.port,
                database=source.database,
                user=source.user,
                password=self.password(source),
                ssl_mode=source.ssl_mode,
                ssl_ca=source.ssl_ca,
                tables=_choose_tables(source),
                lock_guard=source.lock_guard,
                lock_timeout_s=source.lock_timeout,
                give_way_after_s=source.give_way_after,
                statement_timeout_s=source.statement_timeout,
                snapshot_age_limit_s=source.snapshot_age_limit,
                connect_timeout_s=source.connect_timeout,
            )
        )

    def _make_postgresql(self, source: PostgresqlSource) -> Collector:
        from agent.collectors.postgresql import PostgresqlCollector, PostgresqlSettings

        options = {"sslrootcert": str(source.sslrootcert)} if source.sslrootcert else {}
        return PostgresqlCollector(
            PostgresqlSettings(
                host=source.host,
                port=source.port,
                database=source.database,
                user=source.user,
                password=self.password(source),
                sslmode=source.sslmode,
                connect_options=options,
                tables=_choose_tables(source),
                materialized_views=source.materialized_views,
                large_objects=source.large_objects,
                lock_timeout_s=source.lock_timeout,
                statement_timeout_s=source.statement_timeout,
                snapshot_age_limit_s=source.snapshot_age_limit,
                connect_timeout_s=source.connect_timeout,
                give_way_after_s=source.give_way_after,
                read_sessions=source.read_sessions,
                pg_dump=source.pg_dump,
            )
        )


def _choose_tables(source: TableSource) -> TableChoice:
    return TableChoice(source.include, source.exclude, dict(source.as_names))
