# SPDX-License-Identifier: Apache-2.0
"""C2SP tiles: coordinates and paths both ways, bundles of entries."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.errors import FormatError, LimitError
from evidence.log import tiles
from evidence.log.tiles import (
    MAX_TREE_SIZE,
    Tile,
    all_tiles,
    encode_bundle,
    new_tiles,
    parse_bundle,
    parse_tile_path,
    split_hashes,
    tile_width,
)

PATHS = [
    (Tile(0, 0), "tile/0/000"),
    (Tile(0, 999, 1), "tile/0/999.p/1"),
    (Tile(1, 1000, 255), "tile/1/x001/000.p/255"),
    (Tile(0, 1234067), "tile/0/x001/x234/067"),
    (Tile(None, 273, 112), "tile/entries/273.p/112"),
    (Tile(None, 1_000_000), "tile/entries/x001/x000/000"),
    (Tile(5, 0, 8), "tile/5/000.p/8"),
]


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(tiles).failed == 0


@pytest.mark.parametrize(("tile", "path"), PATHS)
def test_tile_has_one_path_both_ways(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_tile_path(path) == tile


@given(st.integers(0, 3), st.integers(0, 10**6), st.integers(1, 256), st.booleans())
def test_every_tile_survives_its_path(level: int, index: int, width: int, is_bundle: bool) -> None:
    tile = Tile(None if is_bundle else level, index, width)
    assert parse_tile_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/+0/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/8/0/000",
        "tile/0/x000/000",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/0/x01/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/00",
        "tile/0/000.p/256",
        "tile/0/000.p/07",
        "tile/0/000.p/٣",
        "tile/0/٣٣٣",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/entries/000.p/1.p/1",
        "tile/0/../../checkpoint",
        "tile/0/" + "x001/" * 8 + "000",
    ],
)
def test_other_spellings_of_paths_are_refused(path: str) -> None:
    with pytest.raises(FormatError):
        parse_tile_path(path)


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257), (63, 0, 1), (0, MAX_TREE_SIZE // 256 + 1, 1)],
)
def test_tiles_beyond_any_log_are_refused(level: int, index: int, width: int) -> None:
    with pytest.raises(FormatError):
        Tile(level, index, width)


@given(st.integers(0, 200_000), st.integers(0, 70_000))
def test_new_tiles_are_those_that_the_new_size_has_and_the_old_had_not(old: int, more: int) -> None:
    new = old + more
    assert set(new_tiles(old, new)) == set(all_tiles(new)) - set(all_tiles(old))


def test_tiles_cover_every_entry_once_at_each_level() -> None:
    for size in (0, 1, 255, 256, 257, 65536, 65537, 70000):
        found = list(all_tiles(size))
        assert len(found) == len(set(found))
        assert sum(tile.width for tile in found if tile.level is None) == size
        for level in range(4):
            assert sum(tile.width for tile in found if tile.level == level) == size >> (8 * level)


def test_width_of_tiles_at_and_beyond_the_edge() -> None:
    assert [tile_width(300, 0, index) for index in range(3)] == [256, 44, 0]
    assert tile_width(300, 1, 0) == 1


BUNDLE = [b"", b"a", b"bc" * 300, b"\x00" * 65535]


def test_bundle_round_trip() -> None:
    assert parse_bundle(encode_bundle(BUNDLE), len(BUNDLE)) == BUNDLE
    assert encode_bundle([b"ab"]) == b"\x00\x02ab"


def test_bundle_cut_at_any_byte_is_refused() -> None:
    data = encode_bundle(BUNDLE[:3])
    for end in range(len(data)):
        with pytest.raises(FormatError):
            parse_bundle(data[:end], 3)


def test_bundle_with_more_or_fewer_entries_than_its_width_is_refused() -> None:
    data = encode_bundle(BUNDLE[:3])
    for width in (0, 1, 2, 4):
        with pytest.raises(FormatError):
            parse_bundle(data, width)


def test_no_two_bundles_have_the_same_bytes_after_a_flipped_bit() -> None:
    data = encode_bundle([b"abc", b"", b"d"])
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            entries = parse_bundle(bytes(flipped), 3)
        except FormatError:
            continue
        assert encode_bundle(entries) == flipped


def test_entry_over_65535_bytes_does_not_fit() -> None:
    with pytest.raises(LimitError, match="65536"):
        encode_bundle([b"x" * 65536])


@pytest.mark.parametrize("size", [0, 31, 63, 65])
def test_hash_tile_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(FormatError, match="64 bytes"):
        split_hashes(bytes(size), 2)
