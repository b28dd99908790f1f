# SPDX-License-Identifier: Apache-2.0
"""The catalog's file: how it is made, opened, read and written, and who may replace it. What the tables mean is not known here.

WAL mode with `synchronous=FULL`: readers never wait, and what was committed survives power loss. Every open catalog
holds a shared lock on `<catalog>.lock`, and a rebuild an exclusive one, so a file is never replaced under a reader.
"""

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

import sqlalchemy as sa

from center.errors import FullError, StoreError
from center.registry.catalog_tables import (
    APPLICATION,
    FACTS,
    MANIFEST_SPEC,
    MANIFEST_SPEC_ID,
    META,
    OBJECTS,
    PACKS,
    SPECS,
    STATEMENTS,
    VERSION,
)
from terminal.language import Text

REBUILD: Final = Text(
    zh="运行 `jinsuo-center rebuild`：从存储和日志重建目录库，不会丢失任何内容",
    en="run `jinsuo-center rebuild`: it makes the catalog again from store and ledger; nothing is lost",
)
_BUSY_S: Final = 60


class CatalogLock:
    """The right to use the catalog at a path, or alone to replace it. Ends with the process. A context manager."""

    def __init__(self, path: Path, exclusive: bool = False) -> None:
        """Take the lock. Raises: StoreError if somebody else has it; nobody waits."""
        self._file: BinaryIO = path.with_name(path.name + ".lock").open("ab")
        try:
            fcntl.flock(self._file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as err:
            self._file.close()
            raise StoreError(
                Text(zh=f"目录库 {path} 正被另一个进程使用", en=f"the catalog {path} is in use by another process"),
                hint=Text(
                    zh="停止中心（`jinsuo-center serve`）和其他命令，再重试",
                    en="stop the center (`jinsuo-center serve`) and other commands, then try again",
                )
                if exclusive
                else Text(zh="正在重建；等它结束后重试", en="a rebuild is under way; try again when it has ended"),
            ) from err

    def close(self) -> None:
        """Let go."""
        self._file.close()

    def __enter__(self) -> "CatalogLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CatalogFile:
    """The file of one catalog, opened. Thread-safe; `close` it."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises: StoreError if it is not there, is damaged, or is of another version: `rebuild` mends all three.
        """
        if not path.is_file():
            raise StoreError(Text(zh=f"没有目录库 {path}", en=f"there is no catalog {path}"), hint=REBUILD)
        self.path = path
        self._in_use = CatalogLock(path)
        self._engine = _open_engine(path)
        self._write = threading.Lock()
        try:
            with self.reading() as connection:
                application = connection.exec_driver_sql("PRAGMA application_id").scalar()
                version = connection.exec_driver_sql("PRAGMA user_version").scalar()
        except StoreError:
            self.close()
            raise
        if (application, version) != (APPLICATION, VERSION):
            self.close()
            raise StoreError(
                Text(
                    zh=f"目录库 {path} 的版本是 {version}，本程序读版本 {VERSION}",
                    en=f"the catalog {path} is of version {version}, this program reads version {VERSION}",
                ),
                hint=REBUILD,
            )

    @staticmethod
    def create(path: Path) -> None:
        """Make an empty catalog. Raises: StoreError if there is one."""
        if path.exists():
            raise StoreError(
                Text(zh=f"已有目录库 {path}", en=f"there is a catalog {path} already"),
                hint=Text(zh="打开它，或删去后新建", en="open it, or remove it to make a new one"),
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = _open_engine(path)
        try:
            with _translated(path), engine.begin() as connection:
                META.create_all(connection)
                connection.execute(SPECS.insert(), {"id": MANIFEST_SPEC_ID, "name": MANIFEST_SPEC})
                connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION}")
                connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
        finally:
            engine.dispose()

    def close(self) -> None:
        """Close all connections. Call when no thread uses the file any more."""
        self._engine.dispose()
        self._in_use.close()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection that sees one state of the file. Raises: StoreError."""
        with _translated(self.path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a transaction of one's own, committed at the end: threads take turns by a lock, processes by BEGIN IMMEDIATE.

        Raises: StoreError, FullError; nothing was written then.
        """
        with self._write, _translated(self.path), self._engine.connect() as connection:
            connection.execution_options(jinsuo_write=True)
            with connection.begin():
                yield connection

    def check(self) -> list[str]:
        """Give what SQLite finds wrong with the file, one sentence each; nothing: it is sound."""
        try:
            with self.reading() as connection:
                found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
        except StoreError as err:
            return [str(err)]
        return [] if found == ["ok"] else found

    def settle(self) -> None:
        """Bring all that was committed into the one file, so that it can be moved."""
        with _translated(self.path), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def dump(self) -> Iterator[str]:
        """Yield the whole content, a line per row, in an order that depends on the content alone."""
        names = {"source": "(SELECT unit || '/' || source FROM sources WHERE id = t.source)"}
        names["pack"] = "(SELECT hex(name) FROM packs WHERE id = t.pack)"
        names["spec"] = "(SELECT name FROM specs WHERE id = t.spec)"
        with self.reading() as connection:
            for table in (PACKS, OBJECTS, FACTS, STATEMENTS):
                columns = [c for c in table.columns if not (table is PACKS and c.name == "id")]
                parts = [
                    names.get(c.name) or (f"hex({c.name})" if isinstance(c.type, sa.LargeBinary) else f'"{c.name}"')
                    for c in columns
                ]
                order = ", ".join(str(i + 1) for i in range(len(parts)))
                query = f"SELECT {', '.join(parts)} FROM {table.name} AS t ORDER BY {order}"  # noqa: S608 - names of ours
                for row in connection.exec_driver_sql(query):
                    yield f"{table.name}\t" + "\t".join("-" if value is None else str(value) for value in row)


def _open_engine(path: Path) -> sa.Engine:
    """Give connections to the file, a new one per thread that needs one; it need not exist yet."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        pool_size=4,
        max_overflow=60,
        connect_args={"timeout": _BUSY_S, "check_same_thread": False},
    )

    def connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # else sqlite3 begins transactions of its own, and late
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-16384", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: sa.Connection) -> None:
        is_write = connection.get_execution_options().get("jinsuo_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    sa.event.listen(engine, "connect", connect)
    sa.event.listen(engine, "begin", begin)
    return engine


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what SQLite says into what an operator can act on."""
    try:
        yield
    except sa.exc.DBAPIError as err:
        text = str(err.orig)
        if "full" in text:
            raise FullError(
                Text(zh=f"目录库 {path} 所在的磁盘已满", en=f"the disk of the catalog {path} is full"),
                hint=Text(zh="腾出空间后重试", en="free some space and try again"),
            ) from err
        raise StoreError(
            Text(zh=f"目录库 {path} 不能读写：{text}", en=f"the catalog {path} cannot be read or written: {text}"),
            hint=REBUILD,
        ) from err
    except sqlite3.Error as err:
        raise StoreError(
            Text(zh=f"目录库 {path} 打不开：{err}", en=f"the catalog {path} cannot be opened: {err}"), hint=REBUILD
        ) from err
