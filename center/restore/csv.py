# SPDX-License-Identifier: Apache-2.0
r"""Tables as CSV files that lose nothing, and back.

RFC 4180: comma, CRLF, quotes doubled; UTF-8 without a byte order mark; the first record names the columns. A cell is
the canonical value before escaping (formats.md), so bytes are `\x…`, an any-kind cell keeps its prefix. NULL is an
empty field, an empty text is `""`, as in PostgreSQL's COPY … CSV; in a table of one column a NULL is an empty record.
Large cells stand in full. Bytes that are not UTF-8, where the schema notes them, stand as they are. Writing is in
bounded memory; reading holds one record.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from evidence.errors import FormatError

_SPECIAL = re.compile(rb'[",\r\n]')
_FIELD = re.compile(rb'(?:"((?:[^"]+|"")*)"|([^",]*))(,|\Z)')


def encode_field(value: bytes | None) -> bytes:
    """Write one field.

    >>> encode_field(None), encode_field(b""), encode_field(b'a"b'), encode_field(b"ab")
    (b'', b'""', b'"a""b"', b'ab')
    """
    if value is None:
        return b""
    if not value or _SPECIAL.search(value):
        return b'"' + value.replace(b'"', b'""') + b'"'
    return value


def encode_record(values: Sequence[bytes | None]) -> bytes:
    """Write one record, with its CRLF."""
    return b",".join(map(encode_field, values)) + b"\r\n"


def encode_large(chunks: Iterable[bytes], *, head: bytes, is_hex: bool) -> Iterator[bytes]:
    """Write one field that comes in parts: `head`, then the chunks as they are or in hexadecimal."""
    yield b'"' + head
    for chunk in chunks:
        yield chunk.hex().encode() if is_hex else chunk.replace(b'"', b'""')
    yield b'"'


def read_records(file: BinaryIO) -> Iterator[list[bytes | None]]:
    """Yield the records of a file. Raises: FormatError for what `encode_record` does not write."""
    parts: list[bytes] = []
    quotes = 0
    for line in file:
        parts.append(line)
        quotes += line.count(b'"')
        # Inside of quotes a quote is doubled, so a record ends at the first CRLF before which their number is even.
        if quotes % 2 == 0 and line.endswith(b"\r\n"):
            yield _parse_record(b"".join(parts)[:-2])
            parts, quotes = [], 0
    if parts:
        raise FormatError(f"the CSV file ends within a record: {b''.join(parts)[:60]!r}")


def _parse_record(record: bytes) -> list[bytes | None]:
    if b'"' not in record:
        return [field or None for field in record.split(b",")]
    fields: list[bytes | None] = []
    at = 0
    while True:
        match = _FIELD.match(record, at)
        if match is None:
            raise FormatError(f"a CSV record has a quote out of place: {record[at : at + 60]!r}")
        fields.append(match[2] or None if match[1] is None else match[1].replace(b'""', b'"'))
        at = match.end()
        if not match[3]:
            return fields
