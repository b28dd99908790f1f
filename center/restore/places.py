# SPDX-License-Identifier: Apache-2.0
"""What `--to TARGET` names: `sqlite:///PATH`, `postgresql://…`, `mysql://…`, `csv:DIR`, `parquet:DIR`, or a folder.

`sqlite:///copy.db` is relative, `sqlite:////srv/copy.db` absolute. A URL of a server has no password: command lines are
seen by others; it comes from PGPASSWORD or ~/.pgpass as libpq reads them, from MYSQL_PWD or ~/.my.cnf.
"""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from center.errors import TargetError
from center.restore.folder import FolderTarget
from center.restore.sqlite import SqliteTarget
from center.restore.target import Target
from terminal.errors import UsageError
from terminal.language import Text

_FORMS = Text(
    zh="写作 sqlite:///PATH、postgresql://USER@HOST:PORT/DATABASE、mysql://USER@HOST:PORT/DATABASE，或目录的路径",
    en="write sqlite:///PATH, postgresql://USER@HOST:PORT/DATABASE, mysql://USER@HOST:PORT/DATABASE, or the path of a folder",
)
_PGPASSWORD = Text(zh="设置 PGPASSWORD，或写入 ~/.pgpass", en="PGPASSWORD or write it into ~/.pgpass")
_MYSQL_PWD = Text(zh="设置 MYSQL_PWD，或写入 ~/.my.cnf", en="MYSQL_PWD or write it into ~/.my.cnf")
_MYSQL_OPTIONS = frozenset({"socket", "ssl_mode", "ssl_ca"})


def open_target(text: str) -> Target:
    """Open what `text` names. Raises: UsageError for another form; TargetError if it cannot be opened."""
    scheme, sign, _ = text.partition("://")
    if not sign:
        if not text:
            raise UsageError(Text(zh="恢复的目标是空的", en="the target of the restore is empty"), hint=_FORMS)
        return _open_folder(text)
    if scheme == "sqlite":
        return SqliteTarget(_sqlite_path(text))
    if scheme in ("postgresql", "postgres"):
        _check_no_password(text, _PGPASSWORD)
        return _open_postgresql(text)
    if scheme in ("mysql", "mariadb"):
        _check_no_password(text, _MYSQL_PWD)
        return _open_mysql(text)
    raise UsageError(
        Text(zh=f"恢复不支持 {scheme}:// 这种目标", en=f"{scheme}:// is no kind of target that a restore knows"),
        hint=_FORMS,
    )


def _open_folder(text: str) -> Target:
    form, sign, path = text.partition(":")
    if not sign or form not in ("csv", "parquet"):
        return FolderTarget(Path(text))
    if not path:
        raise UsageError(Text(zh=f"{text} 没有指明目录", en=f"{text} names no folder"), hint=_FORMS)
    if form == "csv":
        return FolderTarget(Path(path))
    if find_spec("pyarrow") is None:  # pragma: no cover - the tests' environment has it
        raise TargetError(
            Text(
                zh="恢复为 Parquet 需要 pyarrow，本机没有安装",
                en="restoring to Parquet needs pyarrow, which is not installed",
            ),
            hint=Text(zh="执行 pip install 'jinsuo[parquet]'", en="pip install 'jinsuo[parquet]'"),
        )
    from center.restore.parquet import ParquetForm

    return FolderTarget(Path(path), ParquetForm())


def _sqlite_path(text: str) -> Path:
    rest = text.removeprefix("sqlite://")
    if not rest.startswith("/") or len(rest) == 1:
        raise UsageError(
            Text(zh=f"{text} 没有指明 SQLite 文件", en=f"{text} names no SQLite file"),
            hint=Text(
                zh="写作 sqlite:///PATH，路径前有三个斜杠",
                en="write sqlite:///PATH, with three slashes before the path",
            ),
        )
    return Path(unquote(rest[1:]))


def _open_postgresql(text: str) -> Target:
    if find_spec("psycopg2") is None:  # pragma: no cover - the tests' environment has it
        raise TargetError(
            Text(
                zh="恢复到 PostgreSQL 需要 psycopg2，本机没有安装",
                en="restoring to PostgreSQL needs psycopg2, which is not installed",
            ),
            hint=Text(zh="执行 pip install 'jinsuo[postgresql]'", en="pip install 'jinsuo[postgresql]'"),
        )
    from center.restore.postgresql import PostgresqlTarget

    return PostgresqlTarget(text, text.split("?")[0])


def _open_mysql(text: str) -> Target:
    parts = urlsplit(text)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    database = unquote(parts.path.removeprefix("/"))
    try:
        port = parts.port or 3306
    except ValueError as err:
        raise UsageError(
            Text(zh=f"目标的端口不是数字：{err}", en=f"the target's port is no number: {err}"), hint=_FORMS
        ) from err
    if not database or not parts.username or not set(options) <= _MYSQL_OPTIONS:
        raise UsageError(
            Text(
                zh=f"{text} 没有指明账户或数据库，或有不认识的选项",
                en=f"{text} names no account or no database, or has an option that is not known",
            ),
            hint=Text(
                zh=f"{_FORMS.zh}；mysql:// 的选项有 {', '.join(sorted(_MYSQL_OPTIONS))}",
                en=f"{_FORMS.en}; options of mysql:// are {', '.join(sorted(_MYSQL_OPTIONS))}",
            ),
        )
    if find_spec("MySQLdb") is None:  # pragma: no cover - the tests' environment has it
        raise TargetError(
            Text(
                zh="恢复到 MySQL 需要 mysqlclient，本机没有安装",
                en="restoring to MySQL needs mysqlclient, which is not installed",
            ),
            hint=Text(zh="执行 pip install 'jinsuo[mysql]'", en="pip install 'jinsuo[mysql]'"),
        )
    from center.restore.my_session import MyPlace
    from center.restore.mysql import MysqlTarget

    return MysqlTarget(MyPlace(unquote(parts.username), parts.hostname or "127.0.0.1", port, database, **options))


def _check_no_password(text: str, where: Text) -> None:
    try:
        parts = urlsplit(text)
        has_password = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError as err:
        raise UsageError(
            Text(zh=f"目标不是读得懂的 URL：{err}", en=f"the target is not a URL that can be read: {err}"), hint=_FORMS
        ) from err
    if has_password:
        raise UsageError(
            Text(
                zh="目标的 URL 中有口令，本机的其他人看得到",
                en="the target's URL has a password, which others on this machine can see",
            ),
            hint=Text(zh=f"从 URL 中去掉，改为{where.zh}", en=f"leave it out of the URL, and set {where.en}"),
        )
