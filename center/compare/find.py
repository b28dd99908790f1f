# SPDX-License-Identifier: Apache-2.0
r"""Rows of one snapshot by any column. Values are compared in canonical form; a whole key is looked up, not searched.

Conditions are written `COLUMN=VALUE`; all must hold. `\N` is NULL (`center.compare.rows`). Streams.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from center.compare.rows import Row, Wanted, parse_wanted
from center.errors import NotFoundError
from evidence.errors import FormatError
from evidence.rows.line import encode_field
from evidence.rows.schema import Schema
from terminal.errors import UsageError
from terminal.language import Text

if TYPE_CHECKING:
    from center.registry.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Condition:
    """What the cell of one column must be."""

    column: str
    wanted: Wanted

    def holds(self, row: Row) -> bool:
        """Tell whether `row` has it."""
        return self.wanted.matches(row.cell(self.column))


def parse_conditions(schema: Schema, where: Sequence[str]) -> tuple[Condition, ...]:
    """Read `COLUMN=VALUE` texts; a column's name may itself contain `=`.

    Raises: UsageError for another form or a value that the column's kind does not have; NotFoundError for a column.
    """
    return tuple(_parse_condition(schema, text) for text in where)


def find_rows(snapshot: "Snapshot", table: str, where: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of `table` for which all conditions hold, in the table's order.

    Raises: NotFoundError for the table or a column, UsageError for a condition; at once, before the first row.
    """
    found = snapshot.table(table)
    conditions = parse_conditions(found.schema, where)
    key = encode_key(found.schema, {c.column: c.wanted for c in conditions})
    if key is None:
        lines = _matching_bytes(snapshot.lines(found), conditions)
    else:
        line = snapshot.find(found, key)
        lines = iter(() if line is None else (line,))
    return (row for row in (Row.read(found.schema, line) for line in lines) if all(c.holds(row) for c in conditions))


def encode_key(schema: Schema, wanted: dict[str, Wanted]) -> bytes | None:
    """Give the key as `KeySpec.key_of` gives it, if `wanted` says exactly one value for each column of the key."""
    fields: list[bytes] = []
    for name in schema.key:
        values = wanted[name].values if name in wanted else frozenset()
        if len(values) != 1:
            return None
        fields.append(encode_field(next(iter(values))))
    return b"\t".join(fields) if fields else None


def parse_key(schema: Schema, key: Sequence[str]) -> bytes:
    """Read a key as a person types it, one text per key column, and give it as `KeySpec.key_of` gives it.

    Raises: UsageError if the table has no key, another number of key columns, or a text is no value of its column.
    """
    columns = ", ".join(schema.key)
    if not schema.key:
        raise UsageError(
            Text(
                zh=f"表 {schema.name!r} 没有主键，无法指明一行",
                en=f"table {schema.name!r} has no key by which one row could be named",
            ),
            hint=Text(
                zh="用 `jinsuo-center find … --where COLUMN=VALUE`",
                en="use `jinsuo-center find … --where COLUMN=VALUE`",
            ),
        )
    if len(key) != len(schema.key):
        raise UsageError(
            Text(
                zh=f"表 {schema.name!r} 的主键有 {len(schema.key)} 列（{columns}），给出了 {len(key)} 个值",
                en=f"the key of table {schema.name!r} has {len(schema.key)} columns ({columns}), given were {len(key)}",
            ),
            hint=Text(zh=f"每列给一个值，依次为：{columns}", en=f"give one value for each, in this order: {columns}"),
        )
    wanted = {
        name: _parse_condition(schema, f"{name}={text}").wanted for name, text in zip(schema.key, key, strict=True)
    }
    encoded = encode_key(schema, wanted)
    if encoded is None:
        raise UsageError(
            Text(
                zh=f"{' '.join(key)!r} 不是表 {schema.name!r} 的一个主键",
                en=f"{' '.join(key)!r} does not name one key of table {schema.name!r}",
            ),
            hint=Text(
                zh=f"主键没有空值；每列给一个值：{columns}",
                en=f"a key has no NULL; give one value for each of: {columns}",
            ),
        )
    return encoded


def _parse_condition(schema: Schema, text: str) -> Condition:
    names = [c.name for c in schema.columns if text.startswith(c.name + "=")]
    if not names:
        name, sign, _ = text.partition("=")
        if not sign:
            raise UsageError(
                Text(zh=f"条件 {text!r} 中没有 `=`", en=f"the condition {text!r} has no `=`"),
                hint=Text(zh="写作 COLUMN=VALUE，空值写作 COLUMN=\\N", en="write COLUMN=VALUE, or COLUMN=\\N for NULL"),
            )
        near = difflib.get_close_matches(name, [c.name for c in schema.columns])
        known = ", ".join(near or [c.name for c in schema.columns][:20])
        raise NotFoundError(
            Text(zh=f"表 {schema.name!r} 没有列 {name!r}", en=f"table {schema.name!r} has no column {name!r}"),
            hint=Text(zh=f"是否指：{known}", en=f"did you mean: {known}"),
        )
    name = max(names, key=len)
    try:
        return Condition(name, parse_wanted(schema.column(name), text[len(name) + 1 :]))
    except FormatError as err:
        raise UsageError(
            Text(zh=f"{text!r} 中的值不合该列的写法：{err}", en=str(err)),
            hint=Text(
                zh=f"来源称该类型为 {schema.column(name).type!r}",
                en=f"the source calls its type {schema.column(name).type!r}",
            ),
        ) from err


def _matching_bytes(lines: Iterator[bytes], conditions: Sequence[Condition]) -> Iterator[bytes]:
    """Drop most lines that cannot match before they are parsed: a wanted value, or its hash, stands on the line."""
    needles = [
        (*map(encode_field, c.wanted.values), *(digest.hex().encode() for digest in c.wanted.hashes))
        for c in conditions
        if not c.wanted.null
    ]
    return (line for line in lines if all(any(n in line for n in alternatives) for alternatives in needles))
