# SPDX-License-Identifier: Apache-2.0
"""Cells too large to pass with their row: they are fetched in parts, by the row's locator, into the blob sink.

The server reads a value anew for each part of it, so parts are as large as memory allows. Their sum must be what the
server said was the length: a driver that cuts a part short costs the table, not its truth.
"""

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from agent.collectors.base import BlobSink
from agent.collectors.odbc.cells import CellError, Convert
from agent.collectors.odbc.dialect import Form
from agent.collectors.odbc.failures import lose_because
from agent.collectors.odbc.session import Session
from agent.collectors.odbc.tables import OfferedTable, ReadColumn
from evidence.rows.line import Token
from evidence.rows.values import Kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PART: Final = 512 << 10
"""Units (bytes, or what the server counts of a text) in one part."""
_BUFFER_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class LargeCell:
    """What a large cell became, and whether a text is UTF-8."""

    token: Token
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
        stream = _Stream(self._decode(column, first, parts, strip=len(prefix)), is_text=is_text)
        # A buffered reader has all of BinaryIO but `mode` and `name`, which no sink asks for.
        token = self._blobs.put(cast(BinaryIO, io.BufferedReader(stream, _BUFFER_BYTES)))
        return LargeCell(replace(token, prefix=prefix), stream.is_utf8)

    def _texts(self, column: ReadColumn, length: int, at: Sequence[str]) -> Iterator[str]:
        name = self._offered.schema.name
        for start in range(1, length + 1, _PART):
            self._watch()
            count = min(_PART, length + 1 - start)
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


class _Stream(io.RawIOBase):
    """A value that comes in parts; tells afterwards whether a text was UTF-8."""

    def __init__(self, parts: Iterator[bytes], *, is_text: bool) -> None:
        super().__init__()
        self._parts = parts
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._part = memoryview(b"")
        self.is_utf8 = True

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill `buffer`; 0 at the end."""
        while not self._part:
            part = next(self._parts, None)
            self._check(part or b"", final=part is None)
            if part is None:
                return 0
            self._part = memoryview(part)
        target = memoryview(buffer)
        part_now = self._part[: len(target)]
        target[: len(part_now)] = part_now
        self._part = self._part[len(part_now) :]
        return len(part_now)

    def _check(self, part: bytes, *, final: bool) -> None:
        if self._decoder is not None:
            try:
                self._decoder.decode(part, final=final)
            except UnicodeDecodeError:
                self.is_utf8, self._decoder = False, None
