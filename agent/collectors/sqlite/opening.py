# SPDX-License-Identifier: Apache-2.0
"""Open a SQLite file to read one state of it, and leave no trace beside it. Does I/O; knows no tables.

What SQLite does by itself with `mode=ro` on a database in WAL mode, and what is done about it:

1. A connection needs the files `-wal` and `-shm`; where they are missing, `mode=ro` *creates* them, and cannot remove
   them when it closes. So the mode is asked first, through a connection with `nolock=1`: it reads page 1 only, and
   refuses a WAL database (SQLITE_CANTOPEN) before it would open a WAL.
   The file is not opened by ourselves: closing it would drop every POSIX lock this process has on it.
2. Both files are there: the database is live. `mode=ro` joins the readers. The index in `-shm` is SQLite's shared
   memory, in which a reader marks its place if it may write there (it need not); database and `-wal` stay as they are.
3. No `-wal`: nobody has the database open and all is in one file. It is read with `immutable=1`, which creates
   nothing. SQLite then neither locks nor looks for changes, so we do: after each table the file must be the same
   (inode, size, times) and no `-wal` may have appeared; else what was read counts for nothing (SourceChangedError)
   and the next try takes way 2. A database that is live is never opened as immutable.
4. A `-wal` without `-shm`: either a program holds the database for itself alone, or it was not closed cleanly.
   Reading would create a file there: refused, with what to do.

A rollback-mode database is read under SQLite's shared lock; nothing is created, but writers wait.
Source: sqlite.org/wal.html ("Read-Only Databases"), sqlite.org/uri.html, sqlite.org/howtocorrupt.html section 2.2.
"""

import os
import sqlite3
import stat
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from agent.errors import SourceChangedError, SourceDownError, SourceError, TableLostError
from terminal.language import Text

LEAST_VERSION = (3, 37, 0)
"""PRAGMA table_list and STRICT tables came with this version."""

_LEAST_BYTES = 512
"""The smallest page, and so the smallest database."""

_SETTLE_NS = 50_000_000
"""Times of files advance in ticks; a change within the tick of the last one could not be told apart."""

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


class Mode(StrEnum):
    """How the file is read."""

    WAL = "live WAL"
    IDLE = "idle WAL"
    ROLLBACK = "rollback journal"


@dataclass(frozen=True, slots=True)
class Stillness:
    """What must not change while an idle database is read without locks."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    wal: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection within its read transaction. `still` is the file's state if it is read as idle."""

    connection: sqlite3.Connection
    path: Path
    mode: Mode
    still: Stillness | None

    def check_still(self) -> None:
        """Raises: SourceChangedError if an idle database was touched since it was opened."""
        if self.still is not None and _look(self.path) != self.still:
            raise SourceChangedError(
                Text(
                    zh=f"数据库 {self.path} 原按无人使用来读，读取时却被别的程序打开了",
                    en=f"the database {self.path} was opened by another program while it was read as one that nobody uses",
                ),
                hint=Text(
                    zh="不必处理：会按在用的数据库重新读取", en="nothing to do: it is read again as a live database"
                ),
            )

    def close(self) -> None:
        """End the transaction and the connection, whatever is still open on it."""
        self.connection.close()


def open_read(path: Path, busy_timeout_s: float) -> Opened:
    """Open `path` and begin a read transaction that has really started.

    The connection gives TEXT as bytearray and BLOB as bytes: that tells them apart without asking typeof().
    Raises: SourceError, SourceDownError, SourceChangedError.
    """
    real = _check_file(path)
    mode = find_mode(real)
    still = _settled(real) if mode is Mode.IDLE else None
    if still is not None and still.wal:
        mode, still = Mode.WAL, None
    connection = _connect(real, "immutable=1" if mode is Mode.IDLE else "", busy_timeout_s)
    opened = Opened(connection, real, mode, still)
    try:
        connection.text_factory = bytearray
        connection.execute("PRAGMA query_only=1")
        connection.execute("PRAGMA trusted_schema=0")
        connection.execute("BEGIN")
        # BEGIN alone takes no snapshot; the first read does.
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if mode is not Mode.WAL:
            _check_whole(connection, real)
    except SourceError:
        connection.close()
        opened.check_still()
        raise
    except sqlite3.Error as err:
        connection.close()
        opened.check_still()
        raise refuse(err, real) from err
    return opened


def open_beside(path: Path, mode: Mode | None) -> sqlite3.Connection | None:
    """Open a connection without a transaction to a database that its application uses; None if nobody uses it.

    `mode`: of the view that this process has open on the file; None only if it has none. For looking for the mode opens
    and closes the file without SQLite's care for POSIX locks, and closing any descriptor of a file drops all locks that
    the process has on it: under an open view that would let the application write into what is being read.
    Raises: SourceError, SourceDownError.
    """
    real = _check_file(path)
    return None if (mode or find_mode(real)) is Mode.IDLE else _connect(real, "", 0)


def find_mode(real: Path) -> Mode:
    """Tell how the file `real` can be read now. Creates nothing. Raises: SourceError, SourceDownError."""
    connection = _connect(real, "nolock=1", 0)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as err:
        if _primary(err) != sqlite3.SQLITE_CANTOPEN:
            raise refuse(err, real) from err
    else:
        return Mode.ROLLBACK
    finally:
        connection.close()
    wal, shm = _beside(real, "-wal").exists(), _beside(real, "-shm").exists()
    if wal and not shm:
        raise SourceDownError(
            Text(
                zh=f"数据库 {real} 有 -wal 文件而没有 -shm 文件：有程序独占它（locking_mode=EXCLUSIVE），或上次没有正常关闭",
                en=f"the database {real} has a -wal file but no -shm file: a program holds it for itself alone "
                "(locking_mode=EXCLUSIVE), or it was not closed cleanly",
            ),
            hint=Text(
                zh="让应用使用普通锁定模式，或用应用打开再关闭一次该数据库；采集端不会在来源旁边新建任何文件",
                en="let the application use normal locking, or open and close the database once with it; "
                "the agent creates no file beside a source",
            ),
        )
    return Mode.WAL if wal else Mode.IDLE


def refuse(err: sqlite3.Error, path: Path) -> SourceError:
    """Turn SQLite's refusal of a whole file into what a person can act on."""
    code = _primary(err)
    if code in _BUSY:
        return SourceDownError(
            Text(
                zh=f"数据库 {path} 被别的程序锁住：{err}", en=f"the database {path} is locked by another program: {err}"
            ),
            hint=Text(
                zh="稍后重试；若总是如此，调大 lock_timeout，或让应用使用 WAL 模式",
                en="try again later; if it is always so, raise lock_timeout, or let the application use WAL mode",
            ),
        )
    if code == sqlite3.SQLITE_NOTADB:
        return SourceError(
            Text(
                zh=f"文件 {path} 不是 SQLite 数据库，或已加密：{err}",
                en=f"the file {path} is not a SQLite database, or it is encrypted: {err}",
            ),
            hint=Text(
                zh="检查 `path`；加密的数据库（如 SQLCipher）要由其应用导出",
                en="check `path`; an encrypted database (SQLCipher and the like) must be exported by its application",
            ),
        )
    if code in _DAMAGED:
        return SourceError(
            Text(zh=f"数据库 {path} 已损坏：{err}", en=f"the database {path} is damaged: {err}"),
            hint=Text(
                zh="停止应用后运行 `PRAGMA integrity_check`，并恢复最近一份完好的副本",
                en="run `PRAGMA integrity_check` with the application stopped, and restore its last good copy",
            ),
        )
    if code == sqlite3.SQLITE_CANTOPEN or code == sqlite3.SQLITE_READONLY:
        return SourceError(
            Text(
                zh=f"本账户读不了数据库 {path}：{err}", en=f"the database {path} cannot be read by this account: {err}"
            ),
            hint=Text(
                zh="准许采集端的账户读取该数据库、它的 -wal 和 -shm 文件及所在目录；崩溃留下的 journal 要先由应用回滚",
                en="give the agent's account the right to read the database, its -wal and -shm file and their folder; a "
                " journal left by a crash must first be rolled back by the application",
            ),
        )
    return SourceError(
        Text(zh=f"数据库 {path} 读不了：{err}", en=f"the database {path} cannot be read: {err}"),
        hint=Text(zh="检查磁盘和该文件", en="check the disk and the file"),
    )


def lose(err: sqlite3.Error, path: Path, table: str) -> SourceError | TableLostError:
    """Turn SQLite's refusal while `table` is read into what the recipe can act on."""
    code = _primary(err)
    if code in _BUSY or code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM):
        return refuse(err, path)
    word = "damaged: " if code in _DAMAGED else "cannot be read: "
    return TableLostError(
        Text(
            zh=f"{path} 的表 {table} 无法进入本次快照：{err}",
            en=f"table {table} of {path} is lost to this snapshot: {err}",
        ),
        hint=Text(
            zh="运行 `PRAGMA integrity_check`；若该表要用应用自己的函数或排序规则，用 exclude 排除它",
            en="run `PRAGMA integrity_check`; if the table needs functions or collations of its application, exclude it",
        ),
        reason=word + str(err),
    )


def is_too_big(err: sqlite3.Error) -> bool:
    """Tell whether a value was over the connection's length limit."""
    return _primary(err) == sqlite3.SQLITE_TOOBIG


def _check_file(path: Path) -> Path:
    try:
        real = path.resolve(strict=True)
        status = real.stat()
    except OSError as err:
        raise SourceError(
            Text(zh=f"找不到数据库 {path}：{err.strerror}", en=f"the database {path} cannot be found: {err.strerror}"),
            hint=Text(zh="检查 `path` 和各级目录的权限", en="check `path` and the rights on its folders"),
        ) from err
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(
            Text(zh=f"{path} 不是文件", en=f"{path} is not a file"),
            hint=Text(zh="让 `path` 指向数据库文件本身", en="let `path` name the database file itself"),
        )
    if not os.access(real, os.R_OK):
        raise SourceError(
            Text(zh=f"本账户无权读取数据库 {path}", en=f"the database {path} may not be read by this account"),
            hint=Text(zh="准许采集端的账户读取它", en="give the agent's account the right to read it"),
        )
    if status.st_size < _LEAST_BYTES:
        # SQLite takes a file of 0 or 1 bytes for a database without tables: a backup of nothing, in silence.
        raise SourceError(
            Text(
                zh=f"数据库 {path} 是空的或被截断：只有 {status.st_size} 字节",
                en=f"the database {path} is empty or cut short: it has {status.st_size} bytes",
            ),
            hint=Text(zh="检查 `path`：这不是数据库，或还没有建好", en="check `path`: this is no database, or not yet"),
        )
    if sqlite3.sqlite_version_info < LEAST_VERSION:
        raise SourceError(
            Text(
                zh=f"本机的 SQLite 库是 {sqlite3.sqlite_version}，需要 3.37 或更新",
                en=f"the SQLite library here is {sqlite3.sqlite_version}; 3.37 or newer is needed",
            ),
            hint=Text(zh="安装更新的 Python 或 SQLite", en="install a newer Python or SQLite"),
        )
    return real


def _check_whole(connection: sqlite3.Connection, real: Path) -> None:
    """Refuse a file whose last page is cut short, which SQLite would fill with zeros in silence."""
    (pages,), (page_size,) = (connection.execute(f"PRAGMA {p}").fetchone() for p in ("page_count", "page_size"))
    size = real.stat().st_size
    if size < pages * page_size:
        raise SourceError(
            Text(
                zh=f"数据库 {real} 被截断：有 {size} 字节，文件头说有 {pages * page_size} 字节",
                en=f"the database {real} is cut short: it has {size} bytes, its header says {pages * page_size}",
            ),
            hint=Text(
                zh="恢复应用最近一份完好的副本；检查存放它的磁盘",
                en="restore the application's last good copy; check the disk that held it",
            ),
        )


def _connect(real: Path, option: str, timeout_s: float) -> sqlite3.Connection:
    name = f"///{quote(real.as_posix(), safe='/:')}" if os.name == "nt" else quote(os.fsencode(real))
    uri = f"file:{name}?mode=ro{'&' + option if option else ''}"
    try:
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=timeout_s, check_same_thread=False)
    except sqlite3.Error as err:
        raise refuse(err, real) from err


def _settled(real: Path) -> Stillness:
    age_ns = time.time_ns() - real.stat().st_mtime_ns
    if 0 <= age_ns < _SETTLE_NS:
        time.sleep((_SETTLE_NS - age_ns) / 1e9)
    return _look(real)


def _look(real: Path) -> Stillness:
    try:
        status = real.stat()
    except OSError:
        return Stillness(0, -1, 0, 0, wal=False)
    wal = _beside(real, "-wal").exists() or _beside(real, "-journal").exists()
    return Stillness(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, wal)


def _beside(real: Path, suffix: str) -> Path:
    return real.with_name(real.name + suffix)


def _primary(err: sqlite3.Error) -> int:
    """Give SQLite's primary result code; the module's own errors have none and count as SQLITE_ERROR."""
    code: int = getattr(err, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF
