# SPDX-License-Identifier: Apache-2.0
"""Cells too large to pass whole: they are fetched in slices, by the row's key, into the blob sink.

The server reads the whole value for each slice of it, so slices are as large as memory and `max_allowed_packet` allow (a
function's result over that is NULL, in silence: hence half of it, and the sum of the slices is compared with the length).
Texts are cut by characters. Of a text in another character set, it is found out first whether the server can make UTF-8 of
all of it; if not, all its slices come as the bytes they are.
"""

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from agent.collectors.base import BlobSink
from agent.collectors.lost import lose_because
from agent.collectors.mysql.catalog import SourceColumn, quote
from agent.collectors.mysql.connect import Session
from agent.collectors.mysql.mapping import expression_of, keeps_other_text, kind_of, undecoded
from agent.collectors.mysql.tables import OfferedTable
from evidence.rows.line import MAX_CELL_BYTES, Token
from evidence.rows.values import Kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_SLICE_BYTES: Final = 4 << 20
_BUFFER_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class LargeCell:
    """What a large cell became: a token, or its raw value if that is not large; and whether a text is not UTF-8."""

    cell: bytes | Token
    is_raw: bool


class LargeCells:
    """Fetch large cells of one table by `session`. `watch` is called between slices, and may raise."""

    def __init__(
        self, session: Session, offered: OfferedTable, blobs: BlobSink, max_packet: int, watch: Callable[[], None]
    ) -> None:
        self._session = session
        self._offered = offered
        self._blobs = blobs
        self._slice_bytes = max(4096, min(_SLICE_BYTES, max_packet // 2))
        self._watch = watch
        self._is_own = False

    def put(self, column: SourceColumn, at: Sequence[str]) -> LargeCell:
        """Put a cell into the sink; `at` are the locator's values (SQL). Raises: TableLostError, MySQLdb.Error."""
        is_text = kind_of(column) is not Kind.BYTES
        self._is_own = False
        # A slice of a text may grow to three bytes a byte on its way to UTF-8; a character has at most four.
        units = self._slice_bytes // 4 if is_text else self._slice_bytes
        parts = _Parts(self._slices(column, at, units, is_text=is_text), is_text=is_text)
        start = parts.take_first()
        if parts.is_whole and len(start) <= MAX_CELL_BYTES:
            return LargeCell(start, self._is_own or not parts.is_utf8)
        # A buffered reader has all of BinaryIO but `mode` and `name`, which no sink asks for.
        token = self._blobs.put(cast(BinaryIO, io.BufferedReader(parts, _BUFFER_BYTES)))
        return LargeCell(token, self._is_own or not parts.is_utf8)

    def _slices(self, column: SourceColumn, at: Sequence[str], units: int, *, is_text: bool) -> Iterator[bytes]:
        name = f"t.{quote(column.name)}"
        measure = "CHAR_LENGTH" if is_text else "OCTET_LENGTH"
        octets, length = self._ask(f"OCTET_LENGTH({name}), {measure}({name})", at)
        starts = range(1, max(1, int(length or 0)) + 1, units)
        pieces = [f"SUBSTRING({name}, {start}, {units})" for start in starts]
        is_converted = keeps_other_text(column)
        if is_converted and any(self._ask(undecoded(column, piece), at)[0] == b"1" for piece in pieces):
            self._is_own, is_converted = True, False
            pieces = [f"CAST({piece} AS BINARY)" for piece in pieces]
        elif is_converted:
            pieces = [expression_of(column, piece) for piece in pieces]
        size = 0
        for piece in pieces:
            self._watch()
            (part,) = self._ask(piece, at)
            if part is None:
                raise self._lose("a slice came as NULL: is the server's max_allowed_packet changing?")
            size += len(part)
            yield part
        if not is_converted and size != int(octets or 0):
            raise self._lose(f"{size} bytes of a cell of {int(octets or 0)} came in slices")

    def _ask(self, expression: str, at: Sequence[str]) -> tuple[bytes | None, ...]:
        rows = self._session.query(self._offered.row(expression, at))
        if len(rows) != 1:
            raise self._lose(f"{len(rows)} rows were found by the key of one")
        return rows[0]

    def _lose(self, detail: str) -> Exception:
        return lose_because(self._offered.source.full_name, "a large cell of it could not be read", detail)


class _Parts(io.RawIOBase):
    """A value that comes in parts; tells whether a text was UTF-8 as far as it was read."""

    def __init__(self, parts: Iterator[bytes], *, is_text: bool) -> None:
        super().__init__()
        self._parts = parts
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._part = memoryview(b"")
        self._next: bytes | None = None
        self.is_whole = False
        self.is_utf8 = True

    def take_first(self) -> bytes:
        """Look at the first part; `is_whole` says whether it is all. It will still be read."""
        first = next(self._parts)
        self._next = next(self._parts, None)
        self.is_whole = self._next is None
        self._check(first, final=self.is_whole)
        self._part = memoryview(first)
        return first

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill `buffer`; 0 at the end."""
        while not self._part and self._next is not None:
            part = self._next
            self._part = memoryview(part)
            self._next = next(self._parts, None)
            self._check(part, final=self._next is None)
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
