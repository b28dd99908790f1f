# SPDX-License-Identifier: Apache-2.0
"""Texts made of lines `name value` under a header line: how statements, heads of entries and acts are spelled. Pure.

    <header> LF  (<name> SP <value> LF)*        value: 1 to 4096 bytes of UTF-8 without controls, no space at its ends

Invariant: one text has one spelling. Readers of a kind parse with `split_lines`, build their value, write it again and
compare (`expect_same`); so the order of the lines and the form of each value are checked in one place.
Source: design section 5, formats.md.
"""

import re
import unicodedata
from collections.abc import Iterable

from evidence.errors import FormatError, LimitError

MAX_VALUE_BYTES = 4096
MAX_TEXT_LINES = 512
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")

Lines = list[tuple[str, str]]
"""Names and values of a text's lines, in order."""


def check_unit_name(name: str) -> None:
    """Raises: FormatError unless `name` can name a unit: `[A-Za-z0-9._-]{1,64}`."""
    _check_name(name, "a unit")


def check_source_name(name: str) -> None:
    """Raises: FormatError unless `name` can name a source: `[A-Za-z0-9._-]{1,64}`."""
    _check_name(name, "a source")


def check_line_value(value: str, what: str) -> None:
    """Raises: FormatError unless `value` can stand on a line (see the module)."""
    if not value or len(value) > MAX_VALUE_BYTES or value != value.strip():
        raise FormatError(
            f"{what} must be one line of 1 to {MAX_VALUE_BYTES} bytes without spaces at its ends: {value!r:.80}"
        )
    if any(unicodedata.category(c) in _CONTROLS for c in value):
        raise FormatError(f"{what} must have no control characters or line breaks: {value!r:.80}")
    if len(value.encode()) > MAX_VALUE_BYTES:
        raise LimitError(f"{what} has {len(value.encode())} bytes; at most {MAX_VALUE_BYTES} are allowed")


def encode_lines(header: str, lines: Iterable[tuple[str, str]]) -> bytes:
    """Write a text. Raises: FormatError if a value cannot stand on a line."""
    parts = [header]
    for name, value in lines:
        check_line_value(value, f"{name} of {header}")
        parts.append(f"{name} {value}")
    return ("\n".join(parts) + "\n").encode()


def split_lines(text: bytes, header: str, what: str) -> Lines:
    """Read the lines under `header`. Raises: FormatError, LimitError."""
    try:
        content = text.decode("utf-8")
    except UnicodeDecodeError as err:
        raise FormatError(f"{what} must be UTF-8: byte {err.start} is not") from err
    first, *rest = content.split("\n")
    if first != header:
        raise FormatError(f"{what} must begin with the line {header!r}, found {first!r:.80}")
    if not rest or rest.pop() != "":
        raise FormatError(f"{what} must end in a line end")
    if len(rest) > MAX_TEXT_LINES:
        raise LimitError(f"{what} has {len(rest)} lines; at most {MAX_TEXT_LINES} are read")
    return [(name, value) for name, _, value in (line.partition(" ") for line in rest)]


def take_values(lines: Lines, names: Iterable[str], what: str) -> dict[str, str]:
    """Give the values of the lines, whose names must be `names`, each once, in this order. Raises: FormatError."""
    expected = list(names)
    found = [name for name, _ in lines]
    if found != expected:
        raise FormatError(f"{what} must have the lines {', '.join(expected)}; found {', '.join(found)!r:.300}")
    return dict(lines)


def expect_same(encoded: bytes, text: bytes, what: str) -> None:
    """Raises: FormatError unless `text` is what its own reading is written as."""
    if encoded != text:
        raise FormatError(f"{what} is readable, but not in its one canonical form")


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise FormatError(f"the name of {what} is 1 to 64 of A-Z a-z 0-9 . _ -, found {name!r:.80}")
