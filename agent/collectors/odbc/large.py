# SPDX-License-Identifier: Apache-2.0
"""Cells too large to pass with their row: they are fetched in parts, by the row's locator, into the blob sink.

The server reads a value anew for each part of it, so parts are as large as memory allows. Their sum must be what the
server said was the length: a driver that cuts a part short costs the table, not its truth.
"""

import codecs
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Final, cast

from agent.collectors.base import BlobSink
from agent.collectors.lost import lose_because
from agent.collectors.odbc.cells import CellError, Convert
from agent.collectors.odbc.dialect import Form
from agent.collectors.odbc.session import Session
from agent.collectors.odbc.tables import OfferedTable, ReadColumn
from agent.collectors.parts import PartStream
from evidence.rows.line import MAX_CELL_BYTES, Token
from evidence.rows.values import Kind

_PART: Final = 512 << 10
"""Units (bytes, or what the server counts of a text) in one part."""


@dataclass(frozen=True, slots=True)
class LargeCell:
    """What a large cell became: a token, or its canonical value if it is not that large; and whether a text is UTF-8."""

    cell: bytes | Token
    is_utf8: bool


class LargeCells:
    """Fetch large cells of one table. `watch` is called between parts, and may raise."""

    def __init__(self, session: Session, offered: OfferedTable, blobs: BlobSink, watch: Callable[[], None]) -> None:
        self._session = session
        self._offered = offered
        self._blobs = blobs
        self._watch = watch

    def put(self, column: ReadColumn, length: int, at: Sequence[str]) -> LargeCell:
        """Put a cell into the sink; `at` are the locator's values (SQL). Raises: TableLostError, StatementError."""
        parts = self._texts(column, length, at)
        first = next(parts)
        prefix = b""
        if column.cast.form is Form.SQLITE:
            prefix = first[:2].encode()
        is_text = prefix == b"t:" or (not prefix and column.cast.kind is not Kind.BYTES)
        stream = PartStream(self._decode(column, first, parts, strip=len(prefix)), is_text=is_text)
        file = cast(BinaryIO, stream.buffered())
        if length <= MAX_CELL_BYTES:
            raw = file.read()
            is_hex = prefix == b"b:" or column.cast.kind is Kind.BYTES
            return LargeCell(prefix + (b"\\x" + raw.hex().encode() if is_hex else raw), stream.is_utf8)
        return LargeCell(replace(self._blobs.put(file), prefix=prefix), stream.is_utf8)

    def _texts(self, column: ReadColumn, length: int, at: Sequence[str]) -> Iterator[str]:
        name = self._offered.schema.name
        long = column.cast.long
        step = min(_PART, (long.most if long is not None else None) or _PART)
        for start in range(1, length + 1, step):
            self._watch()
            count = min(step, length + 1 - start)
            rows = self._session.query(self._offered.row(column.part(start, count), at))
            if len(rows) != 1 or rows[0][0] is None:
                raise lose_because(
                    name, f"a part of a large value in column {column.source.name} came as {len(rows)} rows or NULL"
                )
            yield rows[0][0]

    def _decode(self, column: ReadColumn, first: str, rest: Iterator[str], *, strip: int) -> Iterator[bytes]:
        form = column.cast.form
        raw = form in (Form.HEX, Form.HEX_UTF16, Form.SQLITE) or column.cast.kind is Kind.BYTES
        decode: Convert = bytes.fromhex if raw else _wide
        wide = codecs.getincrementaldecoder("utf-16-le")("surrogatepass") if form is Form.HEX_UTF16 or not raw else None
        try:
            for text in _chain(first, rest):
                part = decode(text[strip:])
                if wide is not None:
                    # A character may lie across two parts, its halves in each.
                    part = wide.decode(part).encode("utf-8", "surrogatepass")
                yield part
            if wide is not None:
                yield wide.decode(b"", final=True).encode("utf-8", "surrogatepass")
        except (ValueError, CellError) as err:
            raise lose_because(
                self._offered.schema.name,
                f"a part of a large value in column {column.source.name} is not spelled as it must be",
            ) from err


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _wide(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")
