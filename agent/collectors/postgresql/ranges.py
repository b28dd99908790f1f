# SPDX-License-Identifier: Apache-2.0
"""Where a table is cut, so that several sessions can read it at once. Looks at catalogs and the ends of an index only.

A range is a part of the key's order: the rows from one bound of the key's first column to below the next. Any ascending
bounds give the same rows in the same order, whether they are in the table or not; good ones make ranges of equal size, so
small that the session behind is not stopped by its full pipe while it waits for its turn.

A table is one range where that does not help, or would ask more of the server than one reading does: if it is small; if
rows do not come in the order of a key; if the key does not begin with a whole number, for between two others nobody can
say where the middle is; if the server would sort the table to read it in order, which it then would do for each range.
Source: decision 0082.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, Final

import psycopg2.errors
from psycopg2.extensions import connection as Connection

from agent.collectors.postgresql.catalog import RelationKind, SourceColumn, quote
from agent.collectors.postgresql.connect import execute, query
from agent.collectors.postgresql.copy import AHEAD_BYTES
from agent.collectors.postgresql.large import aside
from agent.collectors.postgresql.mapping import find_literal
from agent.collectors.postgresql.tables import OfferedTable

LEAST_BYTES: Final = 32 << 20
"""What a table takes at least, at the source, to be worth a second session."""

_MOST_RANGES: Final = 1 << 18
_WHOLE_NUMBERS: Final = frozenset({"int2", "int4", "int8", "numeric"})
LOOK_S: Final = 1.0
"""An index may begin with many dead entries: nobody waits until we have walked them."""

_SIZE: Final = "SELECT sum(pg_table_size(o))::int8 FROM unnest(%s::oid[]) AS u(o)"
_HISTOGRAM: Final = """
    SELECT histogram_bounds::text::text[] FROM pg_stats
    WHERE schemaname = %s AND tablename = %s AND attname = %s AND inherited = %s"""


@dataclass(frozen=True, slots=True)
class Ranges:
    """How a table is cut: ascending bounds (canonical values) of the first column of its key. Without bounds: not at all."""

    column: SourceColumn | None = None
    bounds: Sequence[object] = ()

    def __len__(self) -> int:
        return len(self.bounds) + 1

    def condition(self, number: int) -> str:
        """Give the condition (SQL) of the rows of a range, for a table that is called t; empty if it has all rows."""
        if self.column is None:
            return ""
        name = f"t.{quote(self.column.name)}"
        parts = [f"{name} >= {self._literal(number - 1)}"] if number > 0 else []
        parts += [f"{name} < {self._literal(number)}"] if number < len(self.bounds) else []
        return " AND ".join(parts)

    def _literal(self, place: int) -> str:
        assert self.column is not None
        literal = find_literal(self.column.type, str(self.bounds[place]).encode())
        assert literal is not None
        return literal


WHOLE: Final = Ranges()


def find_ranges(session: Connection, offered: OfferedTable, sessions: int, look_s: float = LOOK_S) -> Ranges:
    """Give where to cut a table for so many sessions. Call under its lock. Raises: psycopg2.Error.

    `look_s`: how long a query may take; after that the table is not cut.
    """
    if sessions == 1 or not offered.orders:
        return WHOLE
    column = next(c for c in offered.source.columns if c.name == offered.schema.key[0])
    # NULL would be in no range.
    if not column.type.is_builtin or column.type.name not in _WHOLE_NUMBERS or column.is_null:
        return WHOLE
    try:
        with aside(session):
            execute(session, f"SET LOCAL statement_timeout = {round(look_s * 1000)}")
            return _look(session, offered, column, sessions)
    except psycopg2.errors.QueryCanceled:
        return WHOLE


def cut(histogram: Sequence[int], lowest: int, highest: int, count: int) -> list[int]:
    """Give ascending bounds between keys, for about `count` ranges of as many rows each.

    `histogram`: keys with equally many rows between each two, from some time ago; or nothing, then rows are taken to be
    spread evenly from the lowest key to the highest.

    >>> cut([], 1, 100, 4)
    [25, 50, 75]
    >>> cut([1, 10, 100], 1, 150, 4)
    [5, 10, 55, 100, 124, 148]
    """
    points = sorted(set(histogram)) if len(set(histogram)) > 1 else [lowest, highest]
    last = len(points) - 1
    inner: list[int] = []
    for number in range(1, count):
        place, rest = divmod(number * last, count)
        inner.append(points[place] + (points[place + 1] - points[place]) * rest // count)
    # What is outside of the histogram came later. Keys far away must not make ranges without end.
    width = (points[-1] - points[0]) // count
    below, above = (max(1, width, span // count) for span in (points[0] - lowest, highest - points[-1]))
    bounds = chain(
        reversed(range(points[0], lowest, -below)), inner, range(points[-1], highest, above)
    )  # fmt: skip
    return sorted(set(bounds))


def _look(session: Connection, offered: OfferedTable, column: SourceColumn, sessions: int) -> Ranges:
    ((size_bytes,),) = query(session, _SIZE, [offered.source.storage.oids])
    if size_bytes is None or size_bytes < LEAST_BYTES or _sorts(session, offered):
        return WHOLE
    name = f"t.{quote(column.name)}"
    ((lowest, highest),) = query(session, f"SELECT min({name})::text, max({name})::text FROM {offered.relation} AS t")  # noqa: S608
    source = offered.source
    found = query(
        session, _HISTOGRAM, [source.schema, source.name, column.name, source.kind is RelationKind.PARTITIONED]
    )
    histogram = (found[0][0] or []) if found else []
    try:
        keys = [_whole(key) for key in (lowest, highest, *histogram)]
    except (InvalidOperation, OverflowError, ValueError, TypeError):
        # Not a number, infinite, or no row at all.
        return WHOLE
    # Half of a session's pipe: so it has room for the next range while this one waits for its turn.
    count = min(_MOST_RANGES, size_bytes // (AHEAD_BYTES // sessions // 2))
    return Ranges(column, cut(keys[2:], keys[0], keys[1], count))


def _whole(key: str) -> int:
    return int(Decimal(key))


def _sorts(session: Connection, offered: OfferedTable) -> bool:
    """Tell whether the server would sort all rows to give them in the key's order, instead of walking an index."""
    ((plans,),) = query(session, f"EXPLAIN (FORMAT JSON) {offered.query()}")
    return any(_has_sort(plan["Plan"]) for plan in plans)


def _has_sort(plan: dict[str, Any]) -> bool:  # EXPLAIN's JSON has no fixed shape
    return plan["Node Type"] == "Sort" or any(_has_sort(part) for part in plan.get("Plans", ()))
