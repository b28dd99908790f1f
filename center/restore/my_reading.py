# SPDX-License-Identifier: Apache-2.0
"""The rows of a table of MySQL as canonical lines, in bounded memory: what a restore reads back. Knows nothing of loading.

A session has one result at a time, so the slices of a large cell come through another one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from center.restore.my_large import WHOLE_BYTES, read_slices
from center.restore.my_plan import MyColumn
from center.restore.my_session import MySession, Row, quote
from center.restore.rows import join_cells
from evidence.rows.line import Cell
from evidence.rows.schema import Schema

_READ_BYTES: Final = 8 << 20
_MOST_READ: Final = 1000


def read_table(
    session: MySession, aside: MySession, name: str, columns: Sequence[MyColumn], schema: Schema, *, has_key: bool
) -> Iterator[bytes]:
    """Yield the lines; cells over `WHOLE_BYTES` are fetched in slices, by another session and the row's place."""
    long = [i for i, c in enumerate(columns) if c.longest > WHOLE_BYTES]
    cells = [c.expression.format(quote(c.name)) for c in columns]
    lengths = [f"OCTET_LENGTH({quote(columns[i].name)})" for i in long]
    for i, length in zip(long, lengths, strict=True):
        cells[i] = f"IF({length} > {WHOLE_BYTES}, NULL, {cells[i]})"
    hint = " FORCE INDEX (PRIMARY)" if has_key else ""
    source = f"{quote(name)}{hint}"
    sql = f"SELECT {', '.join([*cells, *lengths])} FROM {source}"  # noqa: S608 - quoted names
    row_bytes = sum(min(c.longest, WHOLE_BYTES) for c in columns) + 1
    reads: list[Callable[[bytes], bytes]] = [c.read for c in columns]
    for number, row in enumerate(session.stream(sql, max(1, min(_MOST_READ, _READ_BYTES // row_bytes)))):
        found: list[Cell] = [None if v is None else read(v) for read, v in zip(reads, row, strict=False)]
        for i, length_at in zip(long, range(len(columns), len(row)), strict=True):
            if row[i] is None and row[length_at] is not None:
                found[i] = read_slices(aside, source, columns[i], number, _count(row, length_at))
        yield join_cells(schema, found)


def _count(row: Row, at: int) -> int:
    return int(row[at] or 0)
