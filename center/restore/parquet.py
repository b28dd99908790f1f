# SPDX-License-Identifier: Apache-2.0
"""Tables as Parquet files, and back. Imports pyarrow (extra `parquet`), so it is itself imported only when used.

Row groups are bounded in rows and bytes, so memory is, but for a row with its large cells. NULLs are NULLs; types are
those of `center.restore.parquet_cells`. The file says who wrote it and of which table; the schema lies beside it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from center.restore.parquet_cells import Held, Survey, plan_column
from center.restore.rows import TableRows, is_always_token, join_cells, raw_as_value
from center.restore.target import Advance
from evidence.errors import FormatError
from evidence.rows.line import Cell, Token
from evidence.rows.values import Kind
from terminal.language import NOTHING, Text

_GROUP_ROWS: Final = 50_000
_GROUP_BYTES: Final = 32 << 20
_READ_ROWS: Final = 1000
_TYPES: Final[dict[str, Any]] = {  # Any: pyarrow has no types
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "float32": pa.float32(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    # With 64-bit offsets: a row group of large cells may hold more than 2 GiB.
    "string": pa.large_string(),
    "binary": pa.large_binary(),
}


class ParquetForm:
    """How a folder keeps tables: as Parquet."""

    suffix = ".parquet"

    def __init__(self) -> None:
        self._held: dict[str, list[Held]] = {}

    def write(self, rows: TableRows, file: BinaryIO, advance: Advance) -> tuple[Text, ...]:
        """Write a table; give notes. Raises: OSError."""
        held, notes = _plan(rows)
        self._held[rows.name] = held
        fields = [pa.field(c.name, _type_of(h.type)) for c, h in zip(rows.schema.columns, held, strict=True)]
        schema = pa.schema(fields, metadata={"jinsuo.table": rows.name})
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for columns, count in _groups(rows, held):
                arrays = [pa.array(values, type=f.type) for values, f in zip(columns, fields, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                advance(count)
        return notes

    def read(self, rows: TableRows, path: Path) -> Iterator[bytes]:
        """Yield the lines of a table. Raises: OSError; FormatError if the file is of another shape."""
        held = self._held[rows.name]
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.names != [c.name for c in rows.schema.columns]:
                raise FormatError(f"the columns of {path} are not the table's")
            for batch in file.iter_batches(batch_size=_READ_ROWS):
                columns = [column.to_pylist() for column in batch.columns]
                for values in zip(*columns, strict=True):
                    cells: list[Cell] = [None if v is None else h.read(v) for h, v in zip(held, values, strict=True)]
                    yield join_cells(rows.schema, cells)


def _plan(rows: TableRows) -> tuple[list[Held], tuple[Text, ...]]:
    surveys = [Survey(c.kind) for c in rows.schema.columns]
    for line in rows.lines():
        for survey, cell in zip(surveys, rows.cells(line), strict=True):
            if isinstance(cell, Token):
                survey.look_at_large(cell, rows.blob(cell))
            elif cell is not None:
                survey.look(cell)
    planned = [
        plan_column(column, survey, is_content=is_always_token(rows.schema, i))
        for i, (column, survey) in enumerate(zip(rows.schema.columns, surveys, strict=True))
    ]
    return [held for held, _ in planned], tuple(note for _, note in planned if note != NOTHING)


def _groups(rows: TableRows, held: Sequence[Held]) -> Iterator[tuple[list[list[object]], int]]:
    """Yield columns of so many rows as a row group has."""
    columns: list[list[object]] = [[] for _ in held]
    count = size = 0
    for line in rows.lines():
        size += len(line)
        for i, cell in enumerate(rows.cells(line)):
            if isinstance(cell, Token):
                size += cell.size
                columns[i].append(_large(rows, rows.schema.columns[i].kind, held[i], cell))
            else:
                columns[i].append(None if cell is None else held[i].write(cell))
        count += 1
        if count == _GROUP_ROWS or size >= _GROUP_BYTES:
            yield columns, count
            columns = [[] for _ in held]
            count = size = 0
    if count:
        yield columns, count


def _large(rows: TableRows, kind: Kind, held: Held, token: Token) -> object:
    raw = rows.raw(token)
    if token.prefix and not held.prefix:
        return held.write(raw_as_value(kind, token, raw))
    return raw if held.is_binary else raw.decode("utf-8")


def _type_of(name: str) -> Any:
    word, _, numbers = name.partition(":")
    if word != "decimal":
        return _TYPES[name]
    precision, scale = map(int, numbers.split(","))
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
