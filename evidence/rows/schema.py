# SPDX-License-Identifier: Apache-2.0
"""The shape of a table: its columns, kinds and key, as one canonical document whose hash stands in the claim. Pure.

    {"columns":[{"kind","name","null","type","scale"?,"comment"?}],"format":"jinsuo/schema@v1","key":[names],
     "name":…,"notes":[…]}

Nothing volatile and nothing of the host is in it. Unknown members are refused. Source: formats.md.
"""

from dataclasses import dataclass

from evidence.digest import Sha256, sha256
from evidence.encode import Json, encode_json, expect_integer, expect_list, expect_text, parse_json, parse_members
from evidence.errors import FormatError
from evidence.rows.values import UNORDERED_KINDS, Kind

FORMAT = "jinsuo/schema@v1"
MAX_COLUMNS = 4096
RAW_TEXT_NOTE = "not-utf-8 "
"""`notes` says `not-utf-8 <column>` of each text column in which the source has bytes that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `type` is the source's own text of its type; `scale` the decimals of a decimal, if declared."""

    name: str
    kind: Kind
    null: bool
    type: str
    scale: int | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """A table's shape. `key` names the columns that order the rows, or is empty: lines are ordered by their bytes."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if not 1 <= len(names) <= MAX_COLUMNS or len(set(names)) != len(names):
            raise FormatError(f"table {self.name!r} must have 1 to {MAX_COLUMNS} columns of different names")
        if len(set(self.key)) != len(self.key) or not set(self.key) <= set(names):
            raise FormatError(f"the key {list(self.key)} of table {self.name!r} does not name different columns of it")
        if any(self.column(k).kind in UNORDERED_KINDS for k in self.key):
            raise FormatError(
                f"the key of table {self.name!r} has a column of kind float or any, which cannot order rows"
            )

    def column(self, name: str) -> Column:
        """Give the column `name`. Raises: KeyError."""
        return self.columns[self.index(name)]

    def index(self, name: str) -> int:
        """Give the position of column `name`, from 0. Raises: KeyError."""
        for i, column in enumerate(self.columns):
            if column.name == name:
                return i
        raise KeyError(name)

    def is_raw_text(self, column: str) -> bool:
        """Tell whether the notes say that `column` has texts that are not UTF-8."""
        return RAW_TEXT_NOTE + column in self.notes

    def without_key(self, note: str | None = None) -> "Schema":
        """Give the schema with key [], for data that break the declared key; `note` says why, in one line."""
        return Schema(self.name, self.columns, (), (*self.notes, note) if note else self.notes)

    def encode(self) -> bytes:
        """Write the schema object's body."""
        return encode_json(
            {
                "columns": [_encode_column(c) for c in self.columns],
                "format": FORMAT,
                "key": list(self.key),
                "name": self.name,
                "notes": list(self.notes),
            }
        )

    @property
    def digest(self) -> Sha256:
        """SHA-256 over the JCS body, as the claim names it."""
        return sha256(self.encode())


def parse_schema(raw: bytes) -> Schema:
    """Read a schema object's body. Raises: FormatError."""
    return read_schema(parse_json(raw, "a schema"))


def read_schema(value: Json) -> Schema:
    """Read a schema from JSON that has been parsed strictly (a bundle holds schemas inline). Raises: FormatError."""
    members = parse_members(value, "a schema", {"columns", "format", "key", "name", "notes"})
    if members["format"] != FORMAT:
        raise FormatError(f"a schema's format must be {FORMAT}, found {members['format']!r:.60}")
    return Schema(
        name=expect_text(members["name"], "a schema's name"),
        columns=tuple(_read_column(c) for c in expect_list(members["columns"], "a schema's columns", MAX_COLUMNS)),
        key=tuple(expect_text(k, "a key column") for k in expect_list(members["key"], "a schema's key", MAX_COLUMNS)),
        notes=tuple(expect_text(n, "a note") for n in expect_list(members["notes"], "a schema's notes", 65536)),
    )


def _encode_column(column: Column) -> Json:
    value: dict[str, Json] = {"kind": column.kind.value, "name": column.name, "null": column.null, "type": column.type}
    if column.scale is not None:
        value["scale"] = column.scale
    if column.comment is not None:
        value["comment"] = column.comment
    return value


def _read_column(value: Json) -> Column:
    members = parse_members(value, "a column", {"kind", "name", "null", "type"}, frozenset({"scale", "comment"}))
    name = expect_text(members["name"], "a column's name")
    if not isinstance(members["null"], bool):
        raise FormatError(f"column {name!r}: null must be true or false")
    try:
        kind = Kind(expect_text(members["kind"], f"the kind of column {name!r}"))
    except ValueError as err:
        raise FormatError(f"column {name!r} has an unknown kind {members['kind']!r:.40}") from err
    scale = members.get("scale")
    if scale is not None and (kind is not Kind.DECIMAL or isinstance(scale, bool) or not isinstance(scale, int)):
        raise FormatError(f"column {name!r}: only a decimal has a scale, an integer")
    if "scale" in members and scale is None:
        raise FormatError(f"column {name!r}: a scale that is not declared is left out")
    comment = members.get("comment")
    if "comment" in members and comment is None:
        raise FormatError(f"column {name!r}: a comment that is not there is left out")
    return Column(
        name,
        kind,
        members["null"],
        expect_text(members["type"], f"the type of column {name!r}"),
        expect_scale(scale),
        None if comment is None else expect_text(comment, f"the comment of column {name!r}"),
    )


def expect_scale(value: Json) -> int | None:
    """Give a scale in -1000..16383 (PostgreSQL's range), or None. Raises: FormatError."""
    if value is None:
        return None
    if isinstance(value, int) and value < 0:
        return -expect_integer(-value, "a negative scale", 1000)
    return expect_integer(value, "a scale", 16383)
