# SPDX-License-Identifier: Apache-2.0
"""What `--to TARGET` names: `sqlite:///PATH`, `postgresql://…`, or a folder.

`sqlite:///copy.db` is relative, `sqlite:////srv/copy.db` absolute. A PostgreSQL URL has no password: command lines are
seen by others; it comes from PGPASSWORD or ~/.pgpass, as libpq reads them.
"""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from center.errors import TargetError
from center.restore.folder import FolderTarget
from center.restore.sqlite import SqliteTarget
from center.restore.target import Target
from terminal.errors import UsageError

_FORMS = "write sqlite:///PATH, postgresql://USER@HOST:PORT/DATABASE, or the path of a folder"


def open_target(text: str) -> Target:
    """Open what `text` names. Raises: UsageError for another form; TargetError if it cannot be opened."""
    scheme, sign, _ = text.partition("://")
    if not sign:
        if not text:
            raise UsageError("the target of the restore is empty", hint=_FORMS)
        return FolderTarget(Path(text))
    if scheme == "sqlite":
        return SqliteTarget(_sqlite_path(text))
    if scheme in ("postgresql", "postgres"):
        _check_no_password(text)
        return _open_postgresql(text)
    raise UsageError(f"{scheme}:// is no kind of target that a restore knows", hint=_FORMS)


def _sqlite_path(text: str) -> Path:
    rest = text.removeprefix("sqlite://")
    if not rest.startswith("/") or len(rest) == 1:
        raise UsageError(
            f"{text} names no SQLite file", hint="write sqlite:///PATH, with three slashes before the path"
        )
    return Path(unquote(rest[1:]))


def _open_postgresql(text: str) -> Target:
    if find_spec("psycopg2") is None:  # pragma: no cover - the tests' environment has it
        raise TargetError(
            "restoring to PostgreSQL needs psycopg2, which is not installed", hint="pip install 'jinsuo[postgresql]'"
        )
    from center.restore.postgresql import PostgresqlTarget

    return PostgresqlTarget(text, text.split("?")[0])


def _check_no_password(text: str) -> None:
    try:
        parts = urlsplit(text)
        has_password = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError as err:
        raise UsageError(f"the target is not a URL that can be read: {err}", hint=_FORMS) from err
    if has_password:
        raise UsageError(
            "the target's URL has a password, which others on this machine can see",
            hint="leave it out of the URL, and set PGPASSWORD or write it into ~/.pgpass",
        )
