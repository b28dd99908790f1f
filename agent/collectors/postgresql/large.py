# SPDX-License-Identifier: Apache-2.0
"""Values too large to pass whole: cells over about 1 MiB, and large objects. They are fetched in slices, into the blob sink.

The driver holds a row in memory several times over, and COPY cannot send a part of one. So where a table keeps anything
out of line, the query prints a *marker* instead of a large cell: a random word that no cell can hold, and where the row
lies (table, ctid). The marker's place on the line takes the token of what is then fetched in slices from that row, by
the connection that holds the snapshot; a savepoint gives the lock on the table back after each slice. A ctid is good for
as long as the snapshot is, if the table is not rewritten, as it may be once reading has given way: so each slice comes
with the check that it is still the table of the snapshot.
A slice of a compressed value makes the server decompress all before it; pictures and documents do not compress.
"""

import codecs
import contextlib
import io
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from psycopg2.extensions import connection as Connection

from agent.collectors.base import BlobSink
from agent.collectors.postgresql.catalog import quote
from agent.collectors.postgresql.connect import execute, query, use_raw_encoding
from agent.collectors.postgresql.mapping import expression_of, kind_of, marked_expression, may_exceed, raw_expression
from agent.collectors.postgresql.tables import OfferedTable, check_still
from evidence.rows.line import MAX_CELL_BYTES, Token
from evidence.rows.values import Kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_INLINE_BYTES: Final = 1 << 20
"""Cells up to this size stand on the line in full, if there are few in a row that may be so large."""

_ROW_BYTES: Final = 8 << 20
_SLICE_BYTES: Final = 4 << 20
_BUFFER_BYTES: Final = 256 << 10

Fetch = Callable[[int, int], bytes]
"""Give at most so many bytes (second) of a value from an offset (first); fewer only at its end."""


class MarkedCells:
    """Mark large cells in a query, and put tokens for the marks. For one reading of one table.

    Attribute: `raw_columns`, names of text columns that had something else than UTF-8.
    """

    def __init__(self, offered: OfferedTable, holder: Connection, blobs: BlobSink, *, is_raw: bool) -> None:
        """`is_raw`: the database's texts have no encoding and are taken as bytes."""
        self._offered = offered
        self._is_raw = is_raw
        self._holder = holder
        self._blobs = blobs
        word = secrets.token_hex(16)
        self._word = word.encode()
        # A bytea is printed as hex, behind an escaped backslash and x.
        self._hex_word = b"\\\\x" + self._word.hex().encode()
        self.raw_columns: set[str] = set()

    def query(self, after: Sequence[str] = (), within: str = "") -> str:
        """Give the table's query with marks for large cells; `after` and `within` as in that of the table."""
        limit = inline_limit(self._offered)
        expressions = []
        for i, column in enumerate(self._offered.source.columns):
            name = f"t.{quote(column.name)}"
            if may_exceed(column.type, limit):
                marker = f"'{self._word.decode()};{i};' || t.tableoid::text || ';' || t.ctid::text"
                expressions.append(marked_expression(column.type, name, limit, marker))
            else:
                expressions.append(expression_of(column.type, name))
        return self._offered.query(expressions, after, within)

    def put_tokens(self, block: bytes) -> bytes:
        """Put tokens for the marks of a block, and the cells into the sink. Raises: psycopg2.Error."""
        if self._word not in block and self._hex_word not in block:
            return block
        return b"\n".join([self._put_in_line(line) for line in block.split(b"\n")])

    def _put_in_line(self, line: bytes) -> bytes:
        if self._word not in line and self._hex_word not in line:
            return line
        fields = line.split(b"\t")
        for i, field in enumerate(fields):
            if field.startswith(self._word):
                fields[i] = self._put(field).encode()
            elif field.startswith(self._hex_word):
                fields[i] = self._put(bytes.fromhex(field[3:].decode())).encode()
        return b"\t".join(fields)

    def _put(self, marker: bytes) -> Token:
        _, number, table, place = marker.decode().split(";")
        column = self._offered.source.columns[int(number)]
        raw = raw_expression(column.type, f"t.{quote(column.name)}")
        where = f"FROM {self._offered.relation} AS t WHERE t.tableoid = {int(table)} AND t.ctid = '{place}'::tid"

        def fetch(offset: int, size: int) -> bytes:
            with aside(self._holder):
                check_still(self._holder, self._offered)
                if self._is_raw:
                    use_raw_encoding(self._holder)
                ((part,),) = query(self._holder, f"SELECT substring({raw} FROM {offset + 1} FOR {size}) {where}")  # noqa: S608
                return bytes(part)

        is_text = kind_of(column.type) is not Kind.BYTES
        token, is_utf8 = put_slices(fetch, self._blobs, is_text=is_text)
        if not is_utf8:
            self.raw_columns.add(column.name)
        return token


def inline_limit(offered: OfferedTable) -> int:
    """Give the size up to which cells stand on the line, so that a row stays small enough to be held several times.

    Never less than the design's 65,536: a cell over that becomes a token wherever it is found, one below it never does.
    """
    count = sum(may_exceed(column.type, MAX_CELL_BYTES) for column in offered.source.columns)
    return max(MAX_CELL_BYTES, min(MAX_INLINE_BYTES, _ROW_BYTES // max(count, 1)))


def keeps_long_cells(reader: Connection, offered: OfferedTable) -> bool:
    """Tell whether a table may have large cells, as far as marks can be used for them.

    Without anything out of line a row fits a page of 8 KiB, compressed at most 255 times. Marks need the system columns
    of a row, which a right to single columns does not give.
    """
    oids = offered.source.storage.oids
    ((size, has_right),) = query(
        reader,
        "SELECT sum(pg_relation_size(reltoastrelid)), has_table_privilege(%s::oid, 'SELECT')"
        " FROM pg_class WHERE oid = ANY(%s::oid[]) AND reltoastrelid <> 0",
        [offered.source.oid, oids],
    )
    return bool(size) and bool(has_right)


@contextlib.contextmanager
def aside(holder: Connection) -> Iterator[None]:
    """Do something within the snapshot that leaves no lock, no setting and, if it fails, no failed transaction behind."""
    execute(holder, "SAVEPOINT aside")
    try:
        yield
    finally:
        if not holder.closed:
            execute(holder, "ROLLBACK TO SAVEPOINT aside; RELEASE SAVEPOINT aside")


def put_slices(fetch: Fetch, blobs: BlobSink, *, is_text: bool) -> tuple[Token, bool]:
    """Put a value into the sink, slice by slice; give its token, and whether it is UTF-8 (True for what is no text)."""
    stream = _Slices(fetch, is_text=is_text)
    # A buffered reader has all of BinaryIO but `mode` and `name`, which no sink asks for.
    token = blobs.put(cast(BinaryIO, io.BufferedReader(stream, _BUFFER_BYTES)))
    return token, stream.is_utf8


class _Slices(io.RawIOBase):
    """A value that is fetched slice by slice; tells afterwards whether a text was UTF-8."""

    def __init__(self, fetch: Fetch, *, is_text: bool) -> None:
        super().__init__()
        self._fetch = fetch
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._offset = 0
        self._slice = memoryview(b"")
        self._is_last = False
        self.is_utf8 = True

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill `buffer`; 0 at the end."""
        if not self._slice and not self._is_last:
            self._load()
        target = memoryview(buffer)
        part = self._slice[: len(target)]
        target[: len(part)] = part
        self._slice = self._slice[len(part) :]
        return len(part)

    def _load(self) -> None:
        part = self._fetch(self._offset, _SLICE_BYTES)
        self._offset += len(part)
        self._is_last = len(part) < _SLICE_BYTES
        self._slice = memoryview(part)
        if self._decoder is not None:
            try:
                self._decoder.decode(part, final=self._is_last)
            except UnicodeDecodeError:
                self.is_utf8, self._decoder = False, None


def find_raw_columns(names: Sequence[str], block: bytes) -> set[str]:
    """Give the names of the columns of a block that have something else than UTF-8."""
    if block.isascii() or is_utf8(block):
        return set()
    found: set[str] = set()
    for line in block.split(b"\n"):
        if not is_utf8(line):
            found.update(name for name, field in zip(names, line.split(b"\t"), strict=False) if not is_utf8(field))
    return found


def is_utf8(raw: bytes) -> bool:
    """Tell whether bytes are UTF-8."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
