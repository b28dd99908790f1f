# SPDX-License-Identifier: Apache-2.0
"""One table: from the collector's blocks of lines to its one tree.

Large cells become tokens, rows are brought into order if the source does not give them so, and their order is checked
as they pass. Data that break the declared key (NULL, a token, two equal keys) do not fail the snapshot: the table is
read again without a key, as the design says. Memory: a few blocks. Source: design sections 2 and 3.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.collectors.base import Table, View
from agent.errors import TableLostError
from agent.snapshot.blobs import BlobWriter
from agent.snapshot.objects import TableSink
from agent.snapshot.progress import Pace, unpaced
from agent.sorting import sort_lines
from evidence.errors import FormatError, TreeError
from evidence.rows.commit import commit_lines
from evidence.rows.line import MAX_CELL_BYTES, KeySpec, check_order, shorten_line
from evidence.rows.order import check_ascends
from evidence.rows.schema import Schema
from evidence.tree.build import TreeBuilder
from evidence.tree.nodes import Tree

_SORT_BYTES = 48 << 20
Advance = Callable[[int, int], None]
"""Told of rows and bytes as they pass."""


@dataclass(frozen=True, slots=True)
class BuiltTable:
    """A table's schema as it was used, and its tree."""

    schema: Schema
    tree: Tree


def build_table(
    view: View,
    table: Table,
    key: bytes,
    sink: TableSink,
    blobs: BlobWriter,
    folder: Path,
    advance: Advance,
    pace: Pace = unpaced,
) -> BuiltTable:
    """Read a table of a view and write its objects; `key` is K, `folder` a place for the sort.

    Raises: TableLostError and whatever else the view raises; FormatError if a line is not canonical.
    """
    schema, ordered = table.schema, table.ordered
    while True:
        try:
            tree = _build(view, table, schema, ordered, key, sink, blobs, folder, advance, pace)
        except TreeError:
            if ordered:
                # The source's order is not the one promised: bring the rows into order here.
                ordered = False
            elif schema.key:
                # No value of a row may reach the schema: only that the key was not used.
                schema = schema.without_key(
                    f"declared key ({', '.join(schema.key)}) not used: NULL, large or equal keys"
                )
            else:
                raise
            continue
        # A collector may know only after reading that some texts are not UTF-8: the notes are taken then.
        notes = next((t.schema.notes for t in view.tables() if t.schema.name == schema.name), ())
        added = tuple(note for note in notes if note not in schema.notes)
        if added:
            schema = Schema(schema.name, schema.columns, schema.key, (*schema.notes, *added))
        return BuiltTable(schema, tree)


def build_tree(
    blocks: Iterator[bytes], ordering: KeySpec, key: bytes, sink: TableSink, advance: Advance | None = None
) -> Tree:
    """Build a tree from ordered blocks of lines. Raises: TreeError at the first row that is out of order."""
    builder = TreeBuilder(sink, ordering.hint_of)
    last: bytes | None = None
    for block in blocks:
        leaves = commit_lines(key, block)
        check_ascends(ordering, block, leaves.ends)
        first = ordering.key_of(block[: block.index(b"\n")])
        if last is not None:
            check_order(ordering, last, first)
        elif ordering.columns:
            ordering.order_of(first)
        last = ordering.key_of(block[block.rfind(b"\n", 0, -1) + 1 : -1])
        builder.add(block, leaves.ends, leaves.hashes)
        if advance is not None:
            advance(len(leaves), len(block))
    return builder.finish()


def _build(
    view: View, table: Table, schema: Schema, ordered: bool, key: bytes, sink: TableSink, blobs: BlobWriter,
    folder: Path, advance: Advance, pace: Pace,
) -> Tree:  # fmt: skip
    ordering = KeySpec.of(schema)
    sink.begin_table(schema.name, schema.encode(), ordering.hint_of)
    try:
        blocks = _shorten(_paced(view.read(table, blobs), pace), schema, blobs)
        if not ordered or not ordering.columns:
            blocks = sort_lines(blocks, ordering, folder, _SORT_BYTES)
        tree = build_tree(blocks, ordering, key, sink, advance)
    except (TreeError, TableLostError):
        # Another table follows, or this one, read otherwise. After any other error nothing does, and it must be the
        # one that is told: a full disk would refuse what the sink still has to write, too.
        sink.end_table()
        raise
    sink.end_table()
    return tree


def _paced(blocks: Iterator[bytes], pace: Pace) -> Iterator[bytes]:
    try:
        for block in blocks:
            yield block
            pace(len(block))
    finally:
        # Where the pace ended it, the source must be let go of now, not when somebody collects the generator.
        if isinstance(blocks, Generator):
            blocks.close()


def _shorten(blocks: Iterator[bytes], schema: Schema, blobs: BlobWriter) -> Iterator[bytes]:
    """Put tokens for large cells, which only lines over 64 KiB can have."""
    for block in blocks:
        if not _has_long_line(block):
            yield block
            continue
        lines: list[bytes] = []
        for line in block.split(b"\n")[:-1]:
            if len(line) > MAX_CELL_BYTES:
                line, tokened = shorten_line(line, schema)
                for token, raw in tokened:
                    put = blobs.put_bytes(raw)
                    if (put.sha256, put.size) != (token.sha256, token.size):
                        raise FormatError("a large cell was read as other bytes than it was hashed as")
            lines.append(line)
        yield b"\n".join(lines) + b"\n"


def _has_long_line(block: bytes) -> bool:
    """Tell whether a line may be over 64 KiB: then some aligned 32 KiB window has no line end."""
    window = MAX_CELL_BYTES // 2
    return any(block.find(b"\n", i, i + window) < 0 for i in range(0, len(block) - window + 1, window))
