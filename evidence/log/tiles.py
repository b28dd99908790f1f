# SPDX-License-Identifier: Apache-2.0
"""Tiles: which files a log of a given size consists of, how they are named, what is in them. Pure, no I/O.

    tile/<L>/<N>[.p/<W>]       hash tile: W × 32 bytes; hash i is the root over the 256^L leaves from (256·N+i)·256^L on
    tile/entries/<N>[.p/<W>]   entry bundle: W times `u16be length ‖ entry`

N stands in groups of three digits, all but the last with an `x` before them: 1234067 → x001/x234/067. A full tile is
256 wide, and then `.p/W` is not written; the last tile of a level is partial unless the size divides evenly.
Invariant: one tile has one path. Source: C2SP tlog-tiles.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from evidence.encode import MAX_INTEGER, ByteReader, parse_decimal
from evidence.errors import FormatError, LimitError

TILE_WIDTH: Final = 256
HASH_BYTES: Final = 32
MAX_LEVEL: Final = 63
MAX_ENTRY_BYTES: Final = 65_535
MAX_TREE_SIZE: Final = MAX_INTEGER
_GROUPS = re.compile(r"(?:x[0-9]{3}/)*[0-9]{3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile's coordinates. `level` is None for an entry bundle; `width` is 1 to 256."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        level = self.level or 0
        if not 0 <= level <= MAX_LEVEL or not 1 <= self.width <= TILE_WIDTH:
            raise FormatError(f"a tile has a level of 0 to {MAX_LEVEL} and 1 to 256 hashes, found {self!r}")
        if self.index < 0 or ((self.index * TILE_WIDTH + self.width) << (8 * level)) > MAX_TREE_SIZE:
            raise FormatError(f"a tile with index {self.index} at level {level} is beyond the largest log")

    @property
    def is_full(self) -> bool:
        """Tell whether the tile will never grow."""
        return self.width == TILE_WIDTH

    @property
    def path(self) -> str:
        """Give the tile's path.

        >>> Tile(0, 1234067, 7).path
        'tile/0/x001/x234/067.p/7'
        """
        stem = f"tile/{'entries' if self.level is None else self.level}/{_encode_index(self.index)}"
        return stem if self.is_full else f"{stem}.p/{self.width}"

    def full(self) -> "Tile":
        """Give the full tile that this one is or will become."""
        return Tile(self.level, self.index)


def parse_tile_path(path: str) -> Tile:
    """Read a tile's path strictly. Raises: FormatError."""
    what = "a tile's path"
    head, _, rest = path.partition("/")
    level_text, _, rest = rest.partition("/")
    groups, partial, width_text = rest.partition(".p/")
    if head != "tile" or len(groups) > 64 or not _GROUPS.fullmatch(groups):
        raise FormatError(f"{what} looks like tile/0/x001/234.p/7, found {path!r:.80}")
    level = None if level_text == "entries" else parse_decimal(level_text, f"the level in {what}", MAX_LEVEL)
    width = parse_decimal(width_text, f"the width in {what}", TILE_WIDTH - 1) if partial else TILE_WIDTH
    tile = Tile(level, int(groups.replace("x", "").replace("/", "")), width)
    if tile.path != path:
        raise FormatError(f"{what} must be {tile.path}, found {path!r:.80}")
    return tile


def count_nodes(size: int, level: int) -> int:
    """Give the number of hashes that level `level` of the tiles of a log of `size` entries has."""
    return size >> (8 * level)


def tile_width(size: int, level: int, index: int) -> int:
    """Give the width (0 to 256) that tile `index` at `level` has in a log of `size` entries."""
    return max(0, min(TILE_WIDTH, count_nodes(size, level) - TILE_WIDTH * index))


def new_tiles(old_size: int, new_size: int) -> Iterator[Tile]:
    """Give the tiles to write when a log grows from `old_size` to `new_size`: bundles, then hashes from level 0 up.

    Partial tiles of sizes in between are not among them; nobody has seen a checkpoint of those.
    """
    levels: list[int | None] = [None]
    levels += [level for level in range(MAX_LEVEL + 1) if count_nodes(new_size, level)]
    for level in levels:
        old, new = count_nodes(old_size, level or 0), count_nodes(new_size, level or 0)
        if old == new:
            continue
        for index in range(old // TILE_WIDTH, -(-new // TILE_WIDTH)):
            yield Tile(level, index, tile_width(new_size, level or 0, index))


def all_tiles(size: int) -> Iterator[Tile]:
    """Give every tile of a log of `size` entries."""
    return new_tiles(0, size)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Write an entry bundle. Raises: LimitError if an entry is over 65,535 bytes."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise LimitError(f"an entry has {len(entry)} bytes; at most {MAX_ENTRY_BYTES} fit into a log")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """Read an entry bundle of exactly `width` entries. Raises: FormatError."""
    reader = ByteReader(data, f"an entry bundle of {width} entries")
    entries = [reader.take(reader.integer(2)) for _ in range(width)]
    reader.expect_end()
    return entries


def split_hashes(data: bytes, width: int) -> list[bytes]:
    """Read a hash tile of exactly `width` hashes. Raises: FormatError."""
    if len(data) != width * HASH_BYTES:
        raise FormatError(f"a hash tile of width {width} has {width * HASH_BYTES} bytes, found {len(data)}")
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]


def _encode_index(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))
