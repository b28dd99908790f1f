# SPDX-License-Identifier: Apache-2.0
"""Sequences and large objects of a PostgreSQL source, restored into a PostgreSQL as what they are, and read back.

`@sequences`: name, last_value, is_called, start, increment, min, max, cache, cycle, type. `@large_objects`: oid, owner,
content; the oid is kept, for rows refer to it, and the owner where there is such a role: accounts are not made. Any
other target holds both as plain tables. Memory: one slice of a large object.
"""

import hashlib
from collections.abc import Iterator
from typing import Final, Protocol

import psycopg2

from center.errors import TargetError
from center.restore.pg_session import Session, quote
from center.restore.rows import TableRows
from center.restore.target import Advance, note_unseen, one_line
from evidence.errors import FormatError
from evidence.rows.line import MAX_CELL_BYTES, Cell, Token, encode_line
from evidence.rows.names import encode_name, parse_name
from terminal.language import Text

_SLICE_BYTES: Final = 1 << 20
_TYPES: Final = frozenset({"smallint", "integer", "bigint"})
_SEQUENCE_COLUMNS: Final = (
    "name", "last_value", "is_called", "start", "increment", "min", "max", "cache", "cycle", "type",
)  # fmt: skip
_OBJECT_COLUMNS: Final = ("oid", "owner", "content")


class Extra(Protocol):
    """What stands as a table of ours in a snapshot, and is none in PostgreSQL."""

    def load(self, session: Session, rows: TableRows, advance: Advance) -> list[Text]:
        """Make what the rows say; give notes. Raises: psycopg2.Error, TargetError."""

    def read_back(self, session: Session) -> Iterator[bytes]:
        """Yield the lines of what there is. Raises: psycopg2.Error."""


def find_extra(rows: TableRows, *, is_shaped: bool = False) -> Extra | None:
    """Give how a table is restored that is none in PostgreSQL; None for any other.

    `is_shaped`: the source's DDL has made the sequences.
    """
    columns = tuple(column.name for column in rows.schema.columns)
    if not rows.is_postgresql:
        return None
    if (rows.name, columns) == ("@sequences", _SEQUENCE_COLUMNS):
        return Sequences(is_shaped=is_shaped)
    return LargeObjects() if (rows.name, columns) == ("@large_objects", _OBJECT_COLUMNS) else None


class Sequences:
    """Sequences, with their last values where the agent could see them."""

    def __init__(self, *, is_shaped: bool = False) -> None:
        self._names: dict[str, bool] = {}
        self._is_shaped = is_shaped

    def load(self, session: Session, rows: TableRows, advance: Advance) -> list[Text]:
        """Make each sequence, replacing an older one of the name."""
        for line in rows.lines():
            cells = [cell if isinstance(cell, bytes) else None for cell in rows.cells(line)]
            texts = dict(zip(_SEQUENCE_COLUMNS, (None if c is None else c.decode("utf-8") for c in cells), strict=True))
            self._make(session, texts)
            advance(1)
        return note_unseen([name for name, is_seen in self._names.items() if not is_seen])

    def read_back(self, session: Session) -> Iterator[bytes]:
        """Yield the sequences that were made, as they are."""
        for name in sorted(self._names, key=lambda n: n.encode("utf-8")):
            schema, sequence = parse_name(name)
            found = session.query(_DECLARED, (schema, sequence))
            last, is_called = session.query(f"SELECT last_value, is_called FROM {_sql(name)}")[0]  # noqa: S608 - quoted
            for *numbers, is_cycle, type_ in found:
                value: list[Cell] = [b"%d" % last, _bool(is_called)] if self._names[name] else [None, None]
                cells = [name.encode("utf-8"), *value, *(b"%d" % n for n in numbers), _bool(is_cycle), type_.encode()]
                yield encode_line(cells)

    def _make(self, session: Session, texts: dict[str, str | None]) -> None:
        name = texts["name"] or ""
        numbers = {k: int(texts[k] or "0") for k in ("start", "increment", "min", "max", "cache")}
        if texts["type"] not in _TYPES or len(_parts(name)) != 2:
            raise TargetError(
                Text(
                    zh=f"序列 {name!r} 的类型是 {texts['type']!r}",
                    en=f"the sequence {name!r} has the type {texts['type']!r}",
                ),
                hint=Text(zh="用 DDL 恢复它", en="restore it by the DDL"),
            )
        if not (self._is_shaped and session.query("SELECT pg_catalog.to_regclass(%s)", (_sql(name),))[0][0]):
            self._create(session, name, texts, numbers)
        last = texts["last_value"]
        self._names[name] = last is not None
        if last is not None:
            session.query("SELECT pg_catalog.setval(%s, %s, %s)", (_sql(name), int(last), texts["is_called"] == "t"))

    def _create(self, session: Session, name: str, texts: dict[str, str | None], numbers: dict[str, int]) -> None:
        session.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(_parts(name)[0])}")
        session.execute(f"DROP SEQUENCE IF EXISTS {_sql(name)}")
        session.execute(
            f"CREATE SEQUENCE {_sql(name)} AS {texts['type']} INCREMENT {numbers['increment']}"
            f" MINVALUE {numbers['min']} MAXVALUE {numbers['max']} START {numbers['start']} CACHE {numbers['cache']}"
            f" {'CYCLE' if texts['cycle'] == 't' else 'NO CYCLE'}"
        )


class LargeObjects:
    """Large objects under their own oids."""

    def load(self, session: Session, rows: TableRows, advance: Advance) -> list[Text]:
        """Make each object, replacing an older one of the oid."""
        strangers: dict[str, str] = {}
        for line in rows.lines():
            oid, owner, content = rows.cells(line)
            if not isinstance(oid, bytes) or not isinstance(owner, bytes):
                raise FormatError(f"a large object has no oid or no owner: {line[:60]!r}")
            number = int(oid)
            session.query(
                "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = %s", (number,)
            )
            session.query("SELECT pg_catalog.lo_create(%s)", (number,))
            self._put(session, rows, number, content)
            self._give(session, number, owner.decode("utf-8"), strangers)
            advance(1)
        return [
            Text(
                zh=f"{owner} 的大对象在副本中属于别的账户：{why}",
                en=f"large objects of {owner} have another owner in the copy: {why}",
            )
            for owner, why in strangers.items()
        ]

    def read_back(self, session: Session) -> Iterator[bytes]:
        """Yield all large objects of the database."""
        objects = session.query(
            "SELECT oid, pg_catalog.pg_get_userbyid(lomowner) FROM pg_catalog.pg_largeobject_metadata ORDER BY oid"
        )
        for oid, owner in objects:
            yield encode_line([b"%d" % oid, owner.encode("utf-8"), _read_object(session, oid)])

    def _put(self, session: Session, rows: TableRows, oid: int, content: Cell) -> None:
        if isinstance(content, Token):
            parts: Iterator[bytes] = rows.blob(content)
        else:
            parts = iter([bytes.fromhex((content or b"\\x")[2:].decode("ascii"))])
        offset = 0
        for part in parts:
            session.query("SELECT pg_catalog.lo_put(%s, %s, %s)", (oid, offset, psycopg2.Binary(part)))
            offset += len(part)

    def _give(self, session: Session, oid: int, owner: str, strangers: dict[str, str]) -> None:
        if owner in strangers:
            return
        try:
            with session.savepoint():
                session.execute(f"ALTER LARGE OBJECT {oid} OWNER TO {quote(owner)}")
        except psycopg2.Error as err:
            strangers[owner] = one_line(err)


_DECLARED: Final = """
    SELECT s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
           pg_catalog.format_type(s.seqtypid, NULL)
    FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
                                  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s"""


def _read_object(session: Session, oid: int) -> Cell:
    """Give the content as it stands on the line: whole, or as a token if it is large."""
    state, size, first = hashlib.sha256(), 0, b""
    while True:
        ((part,),) = session.query("SELECT pg_catalog.lo_get(%s, %s, %s)", (oid, size, _SLICE_BYTES))
        raw = bytes(part)
        first = first if size else raw
        state.update(raw)
        size += len(raw)
        if len(raw) < _SLICE_BYTES:
            break
    return Token(state.digest(), size) if size > MAX_CELL_BYTES else b"\\x" + first.hex().encode()


def _parts(name: str) -> list[str]:
    parts = parse_name(name)
    assert encode_name(parts) == name
    return parts


def _sql(name: str) -> str:
    return ".".join(quote(part) for part in _parts(name))


def _bool(value: bool) -> bytes:
    return b"t" if value else b"f"
