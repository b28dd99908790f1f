# SPDX-License-Identifier: Apache-2.0
"""The right edge of the log's tree: what is kept to go on from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.ledger.edge import EMPTY_EDGE, Edge, read_edge
from evidence.digest import EMPTY_ROOT, leaf_hash, tree_head
from evidence.errors import FormatError
from evidence.log.tiles import Tile, all_tiles

ENTRIES = [b"entry %d" % i for i in range(66_600)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def grow_to(cuts: list[int]) -> tuple[Edge, dict[Tile, bytes]]:
    """Grow an edge to each of the sizes `cuts`; give it with all tiles written on the way."""
    edge = EMPTY_EDGE
    tiles: dict[Tile, bytes] = {}
    for size in cuts:
        growth = edge.grow(ENTRIES[edge.size : size])
        tiles.update(growth.tiles)
        edge = growth.edge
    return edge, tiles


def test_empty_log_has_the_empty_root_and_no_tiles() -> None:
    assert EMPTY_EDGE.root == EMPTY_ROOT
    assert EMPTY_EDGE.grow([]).tiles == ()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2000), min_size=1, max_size=6))
def test_batches_make_the_same_tree_and_tiles_as_one_by_one(sizes: list[int]) -> None:
    cuts = sorted(sizes)
    edge, tiles = grow_to(cuts)
    assert edge.root == tree_head(LEAVES[: cuts[-1]])
    whole, expected = grow_to([cuts[-1]])
    assert whole == edge
    assert {tile: tiles[tile] for tile in all_tiles(cuts[-1])} == expected


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792, 66_600])
def test_edge_is_read_back_from_its_tiles(size: int) -> None:
    edge, tiles = grow_to([size])
    assert edge.root == tree_head(LEAVES[:size])
    assert read_edge(lambda tile: tiles[tile], size) == edge
    assert read_edge(lambda tile: tiles[tile], size).grow(ENTRIES[size : size + 300]) == edge.grow(
        ENTRIES[size : size + 300]
    )


def test_edge_reads_only_the_last_tiles() -> None:
    _, tiles = grow_to([66_600])
    read: list[Tile] = []

    def reader(tile: Tile) -> bytes:
        read.append(tile)
        return tiles[tile]

    read_edge(reader, 66_600)
    assert len(read) == 4


def test_edge_from_a_tile_of_a_false_length_is_refused() -> None:
    with pytest.raises(FormatError):
        read_edge(lambda _: b"short", 300)
