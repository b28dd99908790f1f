# SPDX-License-Identifier: Apache-2.0
"""Large cells on their way into MySQL and back, in pieces: neither we nor a statement ever hold a whole one.

In: a cell over 1 MiB is put together in a variable of the session, piece by piece, and the INSERT names that. The server
bounds every value that it computes by max_allowed_packet, so a cell over that is refused with what to set. Out: slices
of the row at a place, for a table may have no key; the hash decides whether they were the right ones.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from center.errors import TargetError
from center.restore.my_plan import MyColumn, write_binary
from center.restore.my_session import MySession, quote
from center.restore.rows import TableRows, raw_as_value
from evidence.rows.line import Cell, Token
from evidence.rows.values import Kind
from terminal.language import Text

WHOLE_BYTES: Final = 4 << 20
"""The largest cell that is read with its row."""
_DIRECT_BYTES: Final = 1 << 20
_SLICE_BYTES: Final = 16 << 20
_MARGIN: Final = 1024


class LargeCells:
    """What writes the large cells of one table. `is_used`: the next INSERT names variables; `forget` them after it."""

    def __init__(self, session: MySession, rows: TableRows) -> None:
        self._session = session
        self._rows = rows
        self._count = 0
        self._direct = min(_DIRECT_BYTES, session.max_packet // 16)
        self._piece = min(_SLICE_BYTES, session.max_packet // 4)

    @property
    def is_used(self) -> bool:
        """Tell whether a variable holds a cell."""
        return self._count > 0

    def put(self, column: MyColumn, token: Token) -> bytes:
        """Give the SQL of a large cell. Raises: TargetError if the server cannot take it; MySQLdb.Error."""
        # In a column of several classes each cell stands behind the prefix of its own.
        head = b"" if column.prefix else token.prefix
        if token.size <= self._direct:
            raw = self._rows.raw(token)
            return write_binary(raw_as_value(column.kind, token, raw) if head else raw)
        return self._put_in_pieces(column, token, head)

    def forget(self) -> None:
        """Let the server drop what the variables hold."""
        for number in range(self._count):
            self._session.query(f"SET @jinsuo_{number} = NULL")
        self._count = 0

    def _put_in_pieces(self, column: MyColumn, token: Token, head: bytes) -> bytes:
        is_hex = head == b"b:"
        head += b"\\x" if is_hex else b""
        size = len(head) + token.size * (2 if is_hex else 1)
        if size > self._session.max_packet - _MARGIN:
            raise TargetError(
                Text(
                    zh=f"列 {column.name!r} 的一个单元格有 {size} 字节，"
                    f"超过 {self._session.place.description} 的 max_allowed_packet（{self._session.max_packet}）",
                    en=f"a cell of column {column.name!r} has {size} bytes, over max_allowed_packet "
                    f"({self._session.max_packet}) of {self._session.place.description}",
                ),
                hint=Text(
                    zh=f"执行 SET GLOBAL max_allowed_packet = {min(1 << 30, -(-2 * size // 1024) * 1024)}，再重新恢复",
                    en=f"SET GLOBAL max_allowed_packet = {min(1 << 30, -(-2 * size // 1024) * 1024)}, then restore again",
                ),
            )
        name = f"@jinsuo_{self._count}"
        self._count += 1
        # A variable has the character set of what it was given: bytes.
        self._session.execute(b"SET %s = _binary'%s'" % (name.encode(), head.replace(b"\\", b"\\\\")))
        for piece in self._pieces(token):
            part = write_binary(piece.hex().encode() if is_hex else piece)
            self._session.execute(b"SET %s = CONCAT(%s, %s)" % (name.encode(), name.encode(), part))
        return name.encode()

    def _pieces(self, token: Token) -> Iterator[bytes]:
        for chunk in self._rows.blob(token):
            for at in range(0, len(chunk), self._piece):
                yield chunk[at : at + self._piece]


def read_slices(session: MySession, source: str, column: MyColumn, number: int, size: int) -> Cell:
    """Give the cell of row `number` of what `source` names, as it stands on the line. Raises: MySQLdb.Error."""
    state, read = hashlib.sha256(), 0
    whole = f"CAST({quote(column.name)} AS BINARY)"
    is_mixed = column.kind is Kind.ANY and not column.prefix
    parts: list[bytes] = []
    while read < size:
        sql = f"SELECT SUBSTRING({whole}, {read + 1}, {_SLICE_BYTES}) FROM {source} LIMIT {number}, 1"  # noqa: S608 - quoted names
        part = (session.query(sql) or [(None,)])[0][0]
        if not part:
            raise TargetError(
                Text(
                    zh=f"列 {column.name!r} 一个单元格的片段读不回来",
                    en=f"a slice of a cell of column {column.name!r} cannot be read back",
                ),
                hint=Text(zh="确认没有人在那里写入", en="see that nobody writes there"),
            )
        state.update(part)
        read += len(part)
        if is_mixed:
            parts.append(part)
    return b"".join(parts) if is_mixed else Token(state.digest(), read, column.prefix)
