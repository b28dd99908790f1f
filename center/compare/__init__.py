# SPDX-License-Identifier: Apache-2.0
"""Compare: what changed between two snapshots, rows of one, all versions of one row."""

from center.compare.diff import (
    Action,
    CellChange,
    DiffEvent,
    Method,
    Presence,
    RowChange,
    SchemaChange,
    SchemaChangeKind,
    TableDiff,
    TableTotals,
    diff_snapshots,
)
from center.compare.find import find_rows, parse_key
from center.compare.history import Gap, GapKind, HistoryEvent, Reading, Version, gaps_between, read_history
from center.compare.rows import Row, cell_text

__all__ = [
    "Action",
    "CellChange",
    "DiffEvent",
    "Gap",
    "GapKind",
    "HistoryEvent",
    "Method",
    "Presence",
    "Reading",
    "Row",
    "RowChange",
    "SchemaChange",
    "SchemaChangeKind",
    "TableDiff",
    "TableTotals",
    "Version",
    "cell_text",
    "diff_snapshots",
    "find_rows",
    "gaps_between",
    "parse_key",
    "read_history",
]
