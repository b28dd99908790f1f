# SPDX-License-Identifier: Apache-2.0
"""What must be known of all values of a column before MySQL's type for it is chosen. Pure.

What is called unfit here is what MySQL or MariaDB would refuse, cut, or change in silence. Source: MySQL manual chapter 11,
MariaDB "Data Types".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from center.restore.pg_plan import is_utf8_stream
from center.restore.rows import TableRows
from evidence.rows.line import Token
from evidence.rows.values import Kind

_DAY: Final = rb"(?:[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])|0000-00-00)"
_CLOCK: Final = rb"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_DATE = re.compile(_DAY)
_DATETIME = re.compile(_DAY + rb" " + _CLOCK + rb"(?:\.([0-9]{1,6}))?")
_TIME = re.compile(
    rb"-?(?:(?:[0-9]{2}|[1-7][0-9]{2}|8[0-2][0-9]|83[0-7]):[0-5][0-9]:[0-5][0-9](?:\.([0-9]{1,6}))?|838:[0-5][0-9]:[0-5][0-9])"
)
_FIRST_STAMP, _LAST_STAMP = b"1970-01-01 00:00:01", b"2038-01-19 03:14:07"
_NOT_FINITE: Final = frozenset({b"NaN", b"Infinity", b"-Infinity"})
_UNHELD_FLOATS: Final = _NOT_FINITE | {b"-0"}
"""MariaDB stores 0 for -0."""
CLASSES: Final = {b"i:": Kind.INT, b"r:": Kind.FLOAT8, b"t:": Kind.TEXT, b"b:": Kind.BYTES}
TEXTS: Final = frozenset({Kind.TEXT, Kind.JSON, Kind.OTHER, Kind.INTERVAL, Kind.TIMESTAMPOFFSET})
PATTERNS: Final = {Kind.DATE: _DATE, Kind.TIME: _TIME, Kind.TIMESTAMP: _DATETIME, Kind.TIMESTAMPTZ: _DATETIME}


@dataclass(slots=True)
class Survey:
    """What must be known of all values of a column to choose its type."""

    kind: Kind
    prefixes: set[bytes] = field(default_factory=set)
    lowest: int = 0
    highest: int = 0
    whole: int = 1
    scales: set[int] = field(default_factory=set)
    widths: set[int] = field(default_factory=set)
    precision: int = 0
    characters: int = 0
    longest: int = 0
    is_unfit: bool = False
    is_not_text: bool = False
    is_beyond_stamp: bool = False
    has_large: bool = False

    def look(self, value: bytes) -> None:
        """Take in a canonical value."""
        kind = self.kind
        self.longest = max(self.longest, len(value))
        if kind is Kind.ANY:
            self.prefixes.add(value[:2])
            kind, value = CLASSES[value[:2]], value[2:]
        if kind is Kind.INT:
            number = int(value)
            self.lowest, self.highest = min(self.lowest, number), max(self.highest, number)
        elif kind is Kind.DECIMAL:
            self._look_at_decimal(value)
        elif kind in (Kind.FLOAT8, Kind.FLOAT4):
            self.is_unfit = self.is_unfit or value in _UNHELD_FLOATS
        elif kind is Kind.BITS:
            self.widths.add(len(value))
        elif kind in PATTERNS:
            self._look_at_time(kind, value)
        elif kind in TEXTS:
            try:
                self.characters = max(self.characters, len(value.decode("utf-8")))
            except UnicodeDecodeError:
                self.is_not_text = True

    def look_at_large(self, token: Token, chunks: Iterable[bytes]) -> None:
        """Take in a large cell by its raw bytes."""
        self.has_large = True
        self.longest = max(self.longest, token.size)
        if token.prefix:
            self.prefixes.add(token.prefix)
        if self.kind is Kind.BYTES or token.prefix == b"b:":
            return
        self.is_unfit = self.is_unfit or self.kind not in (*TEXTS, Kind.ANY)
        self.is_not_text = self.is_not_text or not is_utf8_stream(chunks)

    def _look_at_decimal(self, value: bytes) -> None:
        if value in _NOT_FINITE:
            self.is_unfit = True
            return
        whole, _, fraction = value.lstrip(b"-").partition(b".")
        self.whole = max(self.whole, len(whole))
        self.scales.add(len(fraction))

    def _look_at_time(self, kind: Kind, value: bytes) -> None:
        if kind is Kind.TIMESTAMPTZ:
            value = value[:-3] if value.endswith(b"+00") else b""
            is_zero = value == b"0000-00-00 00:00:00"
            self.is_beyond_stamp = self.is_beyond_stamp or not (is_zero or _FIRST_STAMP <= value[:19] <= _LAST_STAMP)
        match = PATTERNS[kind].fullmatch(value)
        if match is None or (
            kind is not Kind.DATE and value[:10] == b"0000-00-00" != value[11:] and value[11:] != b"00:00:00"
        ):
            self.is_unfit = True
        elif kind is not Kind.DATE:
            self.precision = max(self.precision, len(match[1] or b""))


def survey_rows(rows: TableRows) -> list[Survey]:
    """Look at all values of a table, column by column."""
    surveys = [Survey(c.kind) for c in rows.schema.columns]
    for line in rows.lines():
        for survey, cell in zip(surveys, rows.cells(line), strict=True):
            if isinstance(cell, Token):
                survey.look_at_large(cell, rows.blob(cell))
            elif cell is not None:
                survey.look(cell)
    return surveys
