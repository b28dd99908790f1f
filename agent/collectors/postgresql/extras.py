# SPDX-License-Identifier: Apache-2.0
"""What is no table in PostgreSQL but belongs to the data: sequences and large objects, as tables of ours.

`@sequences`: a sequence is not part of any snapshot; its values are those of the moment of reading, at or after it
(never behind the rows that used them). `@large_objects`: content over 64 KiB goes to the blob sink as a stream.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import psycopg2
from psycopg2.extensions import connection as Connection

from agent.collectors.base import BlobSink
from agent.collectors.lost import lose_because
from agent.collectors.postgresql.catalog import quote
from agent.collectors.postgresql.connect import query
from agent.collectors.postgresql.failures import is_down
from agent.collectors.postgresql.large import aside, put_slices
from evidence.rows.line import MAX_CELL_BYTES, Cell, encode_line
from evidence.rows.names import encode_name
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind

_BATCH: Final = 64
_BLOCK_BYTES: Final = 1 << 20

SEQUENCES: Final = Schema(
    "@sequences",
    (
        Column("name", Kind.TEXT, False, "text"),
        Column("last_value", Kind.INT, True, "bigint"),
        Column("is_called", Kind.BOOL, True, "boolean"),
        Column("start", Kind.INT, False, "bigint"),
        Column("increment", Kind.INT, False, "bigint"),
        Column("min", Kind.INT, False, "bigint"),
        Column("max", Kind.INT, False, "bigint"),
        Column("cache", Kind.INT, False, "bigint"),
        Column("cycle", Kind.BOOL, False, "boolean"),
        Column("type", Kind.TEXT, False, "text"),
    ),
    ("name",),
    ("last_value and is_called are those of the moment of reading, NULL where the account may not see them",),
)
LARGE_OBJECTS: Final = Schema(
    "@large_objects",
    (
        Column("oid", Kind.INT, False, "oid"),
        Column("owner", Kind.TEXT, False, "name"),
        Column("content", Kind.BYTES, False, "bytea"),
    ),
    ("oid",),
)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence as declared. `numbers`: start, increment, min, max, cache. `owner`: the oid of its table, or None."""

    oid: int
    schema: str
    name: str
    numbers: tuple[int, ...]
    is_cycle: bool
    type: str
    is_readable: bool
    owner: int | None

    @property
    def full_name(self) -> str:
        """Give the name of design section 2."""
        return encode_name([self.schema, self.name])


_SEQUENCES: Final = """
    SELECT c.oid, n.nspname, c.relname, ARRAY[s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache], s.seqcycle,
           format_type(s.seqtypid, NULL), coalesce(has_schema_privilege(n.oid, 'USAGE')
           AND has_sequence_privilege(c.oid, 'SELECT'), false), d.refobjid
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                         AND d.refclassid = 'pg_class'::regclass
    WHERE c.relpersistence <> 't'"""

_LARGE_OBJECTS: Final = """
    SELECT m.oid, pg_get_userbyid(m.lomowner), lo_get(m.oid, 0, %s)
    FROM pg_largeobject_metadata m WHERE m.oid > %s::oid ORDER BY m.oid LIMIT %s"""

# lo_get fails as a whole at the first object without rights: who has none is asked before.
_UNREADABLE: Final = """
    SELECT count(*), min(m.oid) FROM pg_largeobject_metadata m
    WHERE NOT (current_setting('lo_compat_privileges')::boolean OR pg_has_role(m.lomowner, 'USAGE')
               OR EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
                          AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE'))))"""


def list_sequences(holder: Connection) -> list[Sequence]:
    """Give all sequences, by the bytes of their names. Raises: psycopg2.Error."""
    found = [Sequence(oid, schema, name, tuple(numbers), *rest) for oid, schema, name, numbers, *rest
             in query(holder, _SEQUENCES)]  # fmt: skip
    return sorted(found, key=lambda sequence: sequence.full_name.encode())


def read_sequences(holder: Connection, sequences: list[Sequence]) -> bytes:
    """Give the lines of `@sequences`. Raises: psycopg2.Error."""
    values = _read_values(holder, [s for s in sequences if s.is_readable])
    lines = []
    for sequence in sequences:
        last, is_called = values.get(sequence.oid, (None, None))
        cells: list[Cell] = [
            sequence.full_name.encode(), None if last is None else b"%d" % last,
            None if is_called is None else _bool(is_called), *(b"%d" % number for number in sequence.numbers),
            _bool(sequence.is_cycle), sequence.type.encode(),
        ]  # fmt: skip
        lines.append(encode_line(cells) + b"\n")
    return b"".join(lines)


def count_large_objects(holder: Connection) -> int:
    """Give how many there are. Raises: psycopg2.Error."""
    return int(query(holder, "SELECT count(*) FROM pg_largeobject_metadata")[0][0])


def find_unreadable_objects(holder: Connection) -> tuple[int, int | None]:
    """Give how many large objects the account may not read, and the first of them. Raises: psycopg2.Error."""
    ((count, first),) = query(holder, _UNREADABLE)
    return count, first


def read_large_objects(holder: Connection, blobs: BlobSink) -> Iterator[bytes]:
    """Yield blocks of the lines of `@large_objects`. Raises: TableLostError, psycopg2.Error."""
    count, first = find_unreadable_objects(holder)
    if count:
        raise lose_because(
            LARGE_OBJECTS.name, f"the account may not read {count} large objects, {first} is the first of them"
        )
    block: list[bytes] = []
    size = 0
    last = 0
    while rows := _read_batch(holder, last):
        for oid, owner, start in rows:
            last = oid
            content: Cell = b"\\x" + bytes(start).hex().encode()
            if len(start) > MAX_CELL_BYTES:
                content = _put_object(holder, oid, blobs)
            block.append(encode_line([b"%d" % oid, owner.encode(), content]) + b"\n")
            size += len(block[-1])
        if size >= _BLOCK_BYTES:
            yield b"".join(block)
            block, size = [], 0
    if block:
        yield b"".join(block)


def _read_values(holder: Connection, sequences: list[Sequence]) -> dict[int, tuple[int, bool]]:
    """Give last_value and is_called by oid, without those that are gone or cannot be read."""
    found: dict[int, tuple[int, bool]] = {}
    for start in range(0, len(sequences), _BATCH):
        batch = sequences[start : start + _BATCH]
        try:
            found |= _read_values_at_once(holder, batch)
        except psycopg2.Error as err:
            if is_down(err):
                raise
            for sequence in batch:
                with contextlib.suppress(
                    psycopg2.ProgrammingError, psycopg2.NotSupportedError, psycopg2.errors.LockNotAvailable
                ):
                    found |= _read_values_at_once(holder, [sequence])
    return found


def _read_values_at_once(holder: Connection, sequences: list[Sequence]) -> dict[int, tuple[int, bool]]:
    parts = [
        f"SELECT {s.oid}::oid, last_value, is_called FROM {quote(s.schema)}.{quote(s.name)}"  # noqa: S608 - quoted names
        for s in sequences
    ]
    with aside(holder):
        return {oid: (last, is_called) for oid, last, is_called in query(holder, " UNION ALL ".join(parts))}


def _read_batch(holder: Connection, last: int) -> list[tuple[int, str, bytes]]:
    with aside(holder):
        rows = query(holder, _LARGE_OBJECTS, [MAX_CELL_BYTES + 1, last, _BATCH])
    return [(oid, owner, bytes(start)) for oid, owner, start in rows]


def _put_object(holder: Connection, oid: int, blobs: BlobSink) -> Cell:
    def fetch(offset: int, size: int) -> bytes:
        ((part,),) = query(holder, "SELECT lo_get(%s::oid, %s, %s)", [oid, offset, size])
        return bytes(part)

    with aside(holder):
        return put_slices(fetch, blobs, is_text=False)[0]


def _bool(value: bool) -> bytes:
    return b"t" if value else b"f"
