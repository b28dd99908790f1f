# SPDX-License-Identifier: Apache-2.0
r"""Turn rows as SQLite gives them into canonical lines. Pure; the place where the time of a SQLite snapshot goes.

A row is a tuple of int, float, bytearray (TEXT), bytes (BLOB), None, or Token (a cell put away as a blob).

1. For each combination of types that occurs there is one template, `%d\ti:%d\tt:%b…`, which writes the prefixes of
   any-kind cells, NULLs, and leaves trailing NULLs away: the line is one bytes-format.
2. Escaping is rare, so it is looked for once per chunk: a template knows how many TABs and backslashes it writes; if
   the chunk has exactly these, as many LFs as rows, and none of BS FF CR VT NUL, no cell needs any.
3. Else the chunk is written again, with the texts of each row escaped.

Invariant: lines equal `evidence.rows.line.encode_line` of the canonical values (a property test).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from evidence.rows.line import Token
from evidence.rows.values import Kind, format_float8

Value: TypeAlias = int | float | bytearray | bytes | Token | None
Row: TypeAlias = tuple[Value, ...]

CHUNK_ROWS: Final = 128
CHUNK_BYTES: Final = 256 << 10

_UNSEEN: Final = b"\x00\x08\x0b\x0c\r"
_SPECIAL: Final = b"\\\t\n" + _UNSEEN
_ESCAPES: Final = (
    (b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"),
    (b"\x08", b"\\b"), (b"\x0b", b"\\v"), (b"\x0c", b"\\f"), (b"\x00", b"\\0"),
)  # fmt: skip
_TAB: Final = 1 << 32
"""Marks of templates are summed up in one integer: TABs above bit 32, backslashes below."""

_FORMS: Final[dict[tuple[Kind, type], str]] = {
    (Kind.INT, int): "%d",
    (Kind.FLOAT8, float): "%b",
    (Kind.TEXT, bytearray): "%b",
    (Kind.BYTES, bytes): "\\\\x%b",
    (Kind.ANY, int): "i:%d",
    (Kind.ANY, float): "r:%b",
    (Kind.ANY, bytearray): "t:%b",
    (Kind.ANY, bytes): "b:\\\\x%b",
}
_SKIP: Final = "%.0a"
"""Takes a value and writes nothing."""


class MistypedError(Exception):
    """A column holds a value of a type that its table cannot hold. Attribute: `column`, its index."""

    def __init__(self, column: int, found: str) -> None:
        super().__init__(f"column {column} holds a value of type {found}")
        self.column = column


class _Template(NamedTuple):
    """A tuple and not a dataclass: it is taken apart for every row."""

    form: bytes
    marks: int
    converts: tuple[tuple[int, Callable[[Any], bytes]], ...]


class LineWriter:
    """Write rows of one table. Not thread-safe.

    `kinds` are the columns' kinds (int, float8, text, bytes, any); `extra` values behind them are not written.
    """

    def __init__(self, kinds: Sequence[Kind], extra: int = 0) -> None:
        self._kinds = tuple(kinds)
        self._extra = extra
        self._templates: dict[tuple[type, ...], _Template] = {}

    def write(self, rows: Iterator[Row]) -> bytes:
        """Take the next rows, some hundred or about 256 KiB, and give their lines, each ended by LF; b"" at the end.

        Raises: MistypedError, and what `rows` raises.
        """
        taken, lines, marks = self._take(rows)
        chunk = b"\n".join([*lines, b""])
        if _is_clean(chunk, marks, len(taken)):
            return chunk
        escaped = (tuple(map(_escape, row)) for row in taken)
        lines = []
        while more := self._take(escaped)[1]:
            lines += more
        return b"\n".join([*lines, b""])

    def _take(self, rows: Iterator[Row]) -> tuple[list[Row], list[bytes], int]:
        """Give the next rows, their lines as the templates write them, and the sum of the templates' marks."""
        find = self._templates.get
        taken: list[Row] = []
        lines: list[bytes] = []
        marks = size = 0
        for row in rows:
            taken.append(row)
            types = tuple(map(type, row))
            template = find(types) or self._make(types)
            form, more, converts = template
            if converts:
                values = list(row)
                for i, convert in converts:
                    values[i] = convert(values[i])
                row = tuple(values)
            line = form % row
            lines.append(line)
            marks += more
            size += len(line)
            if size >= CHUNK_BYTES or len(lines) == CHUNK_ROWS:
                break
        return taken, lines, marks

    def _make(self, types: tuple[type, ...]) -> _Template:
        all_types, types = types, types[: len(types) - self._extra]
        written = 1 + max((i for i, t in enumerate(types) if t is not type(None)), default=0)
        fields = [self._field(i, t) for i, t in enumerate(types[:written])]
        skips = _SKIP * (len(types) - written + self._extra)
        form = "\t".join(fields) + skips
        tokens = sum(t is Token for t in types)
        template = _Template(
            form.encode(),
            (written - 1) * _TAB + form.count("\\") + tokens,
            tuple((i, _CONVERTERS[t]) for i, t in enumerate(types) if t in _CONVERTERS),
        )
        self._templates[all_types] = template
        return template

    def _field(self, i: int, found: type) -> str:
        if found is type(None):
            return "\\N" + _SKIP
        if found is Token:
            return "%b"
        form = _FORMS.get((self._kinds[i], found))
        if form is None:
            raise MistypedError(i, found.__name__)
        return form


def format_real(x: float) -> bytes:
    """Write a double as `format_float8` does, quicker where `repr` already writes it so: 1e-4 <= |x| < 1e15."""
    if 1e-4 <= x < 1e15 or -1e15 < x <= -1e-4:
        text = repr(x)
        return (text[:-2] if text.endswith(".0") else text).encode()
    return format_float8(x)


def _is_clean(chunk: bytes, marks: int, rows: int) -> bool:
    return (
        chunk.count(b"\\") == marks & (_TAB - 1)
        and chunk.count(b"\t") == marks >> 32
        and chunk.count(b"\n") == rows
        and len(chunk.translate(None, _UNSEEN)) == len(chunk)
    )


def _escape(value: Value) -> Value:
    if not isinstance(value, bytearray) or len(value.translate(None, _SPECIAL)) == len(value):
        return value
    for plain, escaped in _ESCAPES:
        value = value.replace(plain, escaped)
    return value


def _format_blob(raw: bytes) -> bytes:
    return raw.hex().encode()


# Each takes values of the one type that it stands for, which `Any` cannot say.
_CONVERTERS: Final[dict[type, Callable[[Any], bytes]]] = {float: format_real, bytes: _format_blob, Token: Token.encode}
