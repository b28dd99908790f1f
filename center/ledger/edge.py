# SPDX-License-Identifier: Apache-2.0
"""The right edge of the log: what must be known to add entries, and which tiles that makes. Pure.

For each level of tiles the hashes of its last, partial tile (fewer than 256), and the entries of the last, partial
bundle: some hundred kilobytes, whatever the log's size. Invariant: `root` is RFC 6962's tree head over all entries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evidence.digest import EMPTY_ROOT, Sha256, leaf_hash, tree_head
from evidence.log.tiles import (
    TILE_WIDTH,
    Tile,
    count_nodes,
    encode_bundle,
    new_tiles,
    parse_bundle,
    split_hashes,
    tile_width,
)


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge of a log of `size` entries: `rows[L]` holds the hashes of level L's partial tile."""

    size: int
    rows: tuple[tuple[bytes, ...], ...]
    bundle: tuple[bytes, ...]

    @property
    def root(self) -> Sha256:
        """Give the tree head. What hangs over at a level is one more, incomplete, node of the level above."""
        rest: list[bytes] = []
        for row in self.rows:
            nodes = [*row, *rest]
            rest = [tree_head(nodes)] if nodes else []
        return Sha256(rest[0]) if rest else EMPTY_ROOT

    def grow(self, entries: Sequence[bytes]) -> "Growth":
        """Add `entries` and give the new edge with the tiles to write, in the order of `new_tiles`."""
        rows = [list(row) for row in self.rows]
        bundle = list(self.bundle)
        full: dict[Tile, bytes] = {}
        for size, entry in enumerate(entries, self.size + 1):
            bundle.append(entry)
            _add_hash(rows, 0, leaf_hash(entry), size, full)
            if len(bundle) == TILE_WIDTH:
                full[Tile(None, size // TILE_WIDTH - 1)] = encode_bundle(bundle)
                bundle.clear()
        edge = Edge(self.size + len(entries), tuple(map(tuple, rows)), tuple(bundle))
        due = new_tiles(self.size, edge.size)
        return Growth(edge, tuple((tile, full[tile] if tile.is_full else edge.encode(tile)) for tile in due))

    def encode(self, tile: Tile) -> bytes:
        """Give the content of one of this edge's partial tiles."""
        if tile.level is None:
            return encode_bundle(self.bundle)
        return b"".join(self.rows[tile.level])


@dataclass(frozen=True, slots=True)
class Growth:
    """The edge after entries were added, and the tiles that came about by it."""

    edge: Edge
    tiles: tuple[tuple[Tile, bytes], ...]


EMPTY_EDGE = Edge(0, (), ())


def read_edge(read_tile: Callable[[Tile], bytes], size: int) -> Edge:
    """Read the edge of a log of `size` entries from its tiles. Raises: FormatError, and whatever `read_tile` raises."""
    rows: list[tuple[bytes, ...]] = []
    bundle: tuple[bytes, ...] = ()
    level = 0
    while count_nodes(size, level):
        index = count_nodes(size, level) // TILE_WIDTH
        width = tile_width(size, level, index)
        rows.append(tuple(split_hashes(read_tile(Tile(level, index, width)), width)) if width else ())
        level += 1
    if size % TILE_WIDTH:
        tile = Tile(None, size // TILE_WIDTH, size % TILE_WIDTH)
        bundle = tuple(parse_bundle(read_tile(tile), tile.width))
    return Edge(size, tuple(rows), bundle)


def _add_hash(rows: list[list[bytes]], level: int, value: bytes, size: int, full: dict[Tile, bytes]) -> None:
    if level == len(rows):
        rows.append([])
    row = rows[level]
    row.append(value)
    if len(row) == TILE_WIDTH:
        full[Tile(level, (count_nodes(size, level) - 1) // TILE_WIDTH)] = b"".join(row)
        above = tree_head(row)
        row.clear()
        _add_hash(rows, level + 1, above, size, full)
