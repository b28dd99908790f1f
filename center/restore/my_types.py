# SPDX-License-Identifier: Apache-2.0
"""The types of a MySQL or MariaDB source, as another such server understands them. Pure.

A type text comes from outside and is put into SQL: only what matches a pattern here is. Character sets are not part of
it; a text column is made in utf8mb4. A type that is not known here is none of ours, and the kind's type is taken.
"""

import re
from dataclasses import dataclass
from typing import Final

_INT: Final = re.compile(
    r"(?:tiny|small|medium|big)?int(?:\(\d{1,3}\))?(?: unsigned)?(?: zerofill)?|year(?:\(4\))?", re.A
)
_NUMBER: Final = re.compile(
    r"(?:decimal|float|double)(?:\(\d{1,3}(?:,\d{1,2})?\))?(?: unsigned)?(?: zerofill)?", re.ASCII
)
_BIT: Final = re.compile(r"bit\((\d{1,2})\)", re.ASCII)
_TIME: Final = re.compile(r"(?:date|time|datetime|timestamp)(?:\([0-6]\))?", re.ASCII)
_TEXT: Final = re.compile(r"(?:var)?char\(\d{1,5}\)|(?:tiny|medium|long)?text", re.ASCII)
_BYTES: Final = re.compile(r"(?:var)?binary\(\d{1,5}\)|(?:tiny|medium|long)?blob", re.ASCII)
_LIST: Final = re.compile(r"(?:enum|set)\('(?:[^'\\]|'')*'(?:,'(?:[^'\\]|'')*')*\)", re.ASCII)
_WORDS: Final = frozenset({
    "json", "uuid", "inet4", "inet6", "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
    "multipolygon", "geometrycollection", "geomcollection",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class OwnType:
    """A type of the source: its SQL, whether it is text, and the SQL of its cells (`{}` is the column)."""

    sql: str
    is_text: bool = False
    expression: str = "{}"


def find_own_type(text: str) -> OwnType | None:
    """Give the type that `text` names; None if it is not one that is known here."""
    if _INT.fullmatch(text):
        return OwnType(text, expression="{} + 0" if "zerofill" in text or text.startswith("year") else "{}")
    if _NUMBER.fullmatch(text):
        if text.startswith(("float", "double")):
            # What is declared with digits is printed with so many; not `+ 0e0`, which makes 0 of -0.
            return OwnType(text, expression="{} * 1e0")
        return OwnType(text, expression="{} + 0" if "zerofill" in text else "{}")
    bits = _BIT.fullmatch(text)
    if bits is not None:
        return OwnType(text, expression=bits_expression(int(bits[1])))
    if _TIME.fullmatch(text):
        # Else the first of these in a table would change with every UPDATE, on older servers.
        return OwnType(f"{text} NULL" if text.startswith("timestamp") else text)
    if _TEXT.fullmatch(text) or _LIST.fullmatch(text):
        return OwnType(text, is_text=True)
    return OwnType(text) if _BYTES.fullmatch(text) or text in _WORDS else None


def bits_expression(width: int) -> str:
    """Give the SQL that prints a BIT in `0` and `1`."""
    return f"LPAD(BIN({{}} + 0), {width}, '0')"
