# SPDX-License-Identifier: Apache-2.0
r"""Whether a block of lines is what its schema says: each line a row's one spelling, each cell canonical for its kind.

    block = lines, each ended by LF, as `evidence.rows.commit` takes them

`RowCheck` has the kernel vouch for lines that are surely sound; without it (`check_lines`) the whole block is held against
one regular expression made of the schema, and read as UTF-8 once. Only what these do not accept is read line by line,
by `parse_line`, `check_value` and `shorten_line`, which alone decide what is refused and why; so the fast ways can only
be too narrow, never too wide (a property test holds all three together). Floats are no regular language: the expression
takes their shape, and they are checked one by one. Every attempt to match begins at a line's start and no group is
tried twice, so the time is linear in the block whatever a stranger writes. No error says what a cell holds. Pure.
Source: design section 2; decision 0028 has the cost.
"""

import re
from array import array
from functools import lru_cache
from typing import Final

from evidence.errors import FormatError
from evidence.kernel import Ends, find_kernel
from evidence.rows.line import MAX_CELL_BYTES, parse_line, shorten_line
from evidence.rows.schema import RAW_TEXT_NOTE, Column, Schema
from evidence.rows.values import Kind, check_value

_TOKEN: Final = rb"\\@sha256:[0-9a-f]{64}:(?:0|[1-9][0-9]{0,18})"
_PLAIN: Final = rb"[^\x00\x08-\x0d\\]*"
_TEXT: Final = _PLAIN + rb"(?:\\[\\bfnrtv0]" + _PLAIN + rb")*"
_INT: Final = rb"0|-?[1-9][0-9]*"
_HEX: Final = rb"\\\\x(?:[0-9a-f]{2})*"
_FLOAT: Final = rb"-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]{2,3})?|NaN|-?Infinity"
_DATE: Final = rb"[0-9]{4,}-[0-9]{2}-[0-9]{2}"
_FRACTION: Final = rb"(?:\.[0-9]{0,8}[1-9])?"
_CLOCK: Final = rb"[0-9]{2}:[0-9]{2}:[0-9]{2}" + _FRACTION
_ENDLESS: Final = rb"(?: BC)?|-?infinity"
_FORMS: Final[dict[Kind, bytes]] = {
    Kind.BOOL: rb"[tf]",
    Kind.INT: _INT,
    Kind.FLOAT8: _FLOAT,
    Kind.FLOAT4: _FLOAT,
    Kind.BYTES: _HEX,
    Kind.BITS: rb"[01]*",
    Kind.DATE: _DATE + _ENDLESS,
    Kind.TIME: rb"-?[0-9]{2,}:[0-9]{2}:[0-9]{2}" + _FRACTION,
    Kind.TIMESTAMP: _DATE + rb" " + _CLOCK + _ENDLESS,
    Kind.TIMESTAMPTZ: _DATE + rb" " + _CLOCK + rb"\+00" + _ENDLESS,
    Kind.TIMESTAMPOFFSET: _DATE + rb" " + _CLOCK + rb"[+-][0-9]{2}:[0-9]{2}",
    Kind.UUID: rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    Kind.ANY: rb"i:(?:" + _INT + rb")|r:(?:" + _FLOAT + rb")|b:" + _HEX + rb"|t:" + _TEXT,
}
"""As the values stand on a line, escaped: a canonical `\\x00` is written `\\\\x00`. All kinds not here are texts."""
_WITH_FLOATS: Final = frozenset({Kind.FLOAT8, Kind.FLOAT4, Kind.ANY})


_LETTERS: Final[dict[Kind, bytes]] = {
    Kind.BOOL: b"b", Kind.INT: b"i", Kind.DECIMAL: b"d", Kind.FLOAT8: b"f", Kind.FLOAT4: b"g", Kind.TEXT: b"t",
    Kind.JSON: b"t", Kind.BYTES: b"x", Kind.BITS: b"0", Kind.DATE: b"D", Kind.TIME: b"T", Kind.TIMESTAMP: b"s",
    Kind.TIMESTAMPTZ: b"z", Kind.TIMESTAMPOFFSET: b"o", Kind.INTERVAL: b"t", Kind.UUID: b"u", Kind.ANY: b"a", Kind.OTHER: b"t",
}  # fmt: skip
"""What the kernel calls the kinds; one that it does not know it leaves to the reference."""
_RAW: Final[dict[Kind, bytes]] = dict.fromkeys((Kind.TEXT, Kind.JSON, Kind.INTERVAL, Kind.OTHER), b"r")
_UNKNOWN: Final = b"?"


class RowCheck:
    """What is asked of every line of one table; made once for a schema, in time that is linear in it."""

    def __init__(self, schema: Schema) -> None:
        notes = frozenset(schema.notes)
        self._schema = schema
        self._is_raw = [RAW_TEXT_NOTE + column.name in notes for column in schema.columns]
        letters = (
            (_RAW if raw else _LETTERS).get(column.kind, _UNKNOWN)
            for column, raw in zip(schema.columns, self._is_raw, strict=True)
        )
        self._letters = b"".join(letters)
        self._scales = array("q", (-1 if c.scale is None else max(c.scale, 0) for c in schema.columns))

    def check(self, block: bytes, ends: Ends) -> None:
        """Raises: FormatError as `check_lines`; `ends[i]` is where line i ends, after its LF."""
        kernel = find_kernel()
        if kernel is None:
            check_lines(self._schema, block)
            return
        for row in self.find_doubtful(block, ends):
            self.check_line(row, block[ends[row - 1] if row else 0 : ends[row] - 1])

    def find_doubtful(self, block: bytes, ends: Ends) -> list[int]:
        """Give the lines for which the kernel does not vouch; all, where there is none."""
        kernel = find_kernel()
        if kernel is None:
            return list(range(len(ends)))
        return kernel.find_doubtful(block, ends, self._letters, self._scales)

    def check_line(self, number: int, line: bytes) -> None:
        """Raises: FormatError unless a line is a row, by the definition."""
        schema = self._schema
        try:
            cells = parse_line(line, schema)
        except FormatError as err:
            raise FormatError(f"row {number} of {schema.name!r}: {err}") from err
        for i in range(line.count(b"\t") + 1):
            cell = cells[i]
            if isinstance(cell, bytes):
                _check_cell(schema, number, schema.columns[i], cell, self._is_raw[i])
        if len(line) > MAX_CELL_BYTES and shorten_line(line, schema)[1]:
            raise FormatError(f"row {number} of {schema.name!r} has a large cell that must be a token")


def check_lines(schema: Schema, block: bytes) -> None:
    r"""Raises: FormatError unless every line of `block` is a row of `schema`; it names the row, from 0, and the column.

    >>> check_lines(Schema("t", (Column("id", Kind.INT, False, "integer"),)), b"1\n2\n")
    >>> check_lines(Schema("t", (Column("id", Kind.INT, False, "integer"),)), b"1\n02\n")
    Traceback (most recent call last):
    evidence.errors.FormatError: row 1 of 't': column 'id' has 2 bytes that are no canonical int
    """
    if not block:
        return
    if not block.endswith(b"\n"):
        raise FormatError(f"a block of {len(block)} bytes of {schema.name!r} does not end with a line's end")
    lines = block[:-1].split(b"\n")
    if not _is_regular(schema, block) or max(map(len, lines)) > MAX_CELL_BYTES:
        whole = RowCheck(schema)
        for number, line in enumerate(lines):
            whole.check_line(number, line)
    elif any(column.kind in _WITH_FLOATS for column in schema.columns):
        _check_floats(schema, block)


def _is_regular(schema: Schema, block: bytes) -> bool:
    # What all lines match is nothing once each match is taken out: so matches lie edge to edge, from start to end.
    if _line_pattern(schema.columns).sub(b"", block):
        return False
    try:
        # Escapes, TAB and LF are ASCII, so the block is UTF-8 if and only if each cell is.
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(maxsize=64)
def _line_pattern(columns: tuple[Column, ...]) -> re.Pattern[bytes]:
    """Give what matches a line with its LF: fields up to the last that is written, which is not NULL unless alone."""
    first, *others = (_field_form(column) for column in columns)
    rest = b"".join(rb"(?:\t%s|(?=\n))" % form for form in others)
    return re.compile(rb"^" + first + rest + rb"(?<!\t\\N)\n", re.MULTILINE)


def _field_form(column: Column) -> bytes:
    # NULL and tokens come first: an atomic group keeps what it found, and a text may be empty.
    form = _decimal_form(column.scale) if column.kind is Kind.DECIMAL else _FORMS.get(column.kind, _TEXT)
    token = rb"[tb]:" + _TOKEN if column.kind is Kind.ANY else _TOKEN
    return rb"(?>\\N|" + token + rb"|" + form + rb")"


def _decimal_form(scale: int | None) -> bytes:
    fraction = rb"(?:\.[0-9]+)?" if scale is None else rb"\.[0-9]{%d}" % scale if scale > 0 else b""
    return rb"(?!-0(?:\.0+)?[\t\n])-?(?:0|[1-9][0-9]*)" + fraction + rb"|NaN|-?Infinity"


def _check_floats(schema: Schema, block: bytes) -> None:
    """Check what the expression leaves open in lines that match it: whether a float is the one spelling of its value."""
    places = [(i, column) for i, column in enumerate(schema.columns) if column.kind in _WITH_FLOATS]
    last = places[-1][0]
    for number, line in enumerate(block[:-1].split(b"\n")):
        fields = line.split(b"\t", last + 1)
        for i, column in places:
            if i >= len(fields):
                break
            cell = fields[i]
            if not cell.startswith(b"\\") and (column.kind is not Kind.ANY or cell.startswith(b"r:")):
                _check_cell(schema, number, column, cell, False)


def _check_cell(schema: Schema, number: int, column: Column, cell: bytes, raw_text: bool) -> None:
    try:
        check_value(column.kind, column.scale, cell, raw_text=raw_text)
    except FormatError:
        raise FormatError(
            f"row {number} of {schema.name!r}: column {column.name!r} has {len(cell)} bytes that are no canonical "
            f"{column.kind}"
        ) from None  # what it came from says what the cell holds
