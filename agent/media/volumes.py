# SPDX-License-Identifier: Apache-2.0
"""Which packs go on which volume. Pure.

Packs keep their order: later ones may be coded against earlier ones, so whoever reads volume after volume can use each
at once. A volume is filled until the next pack would not fit, counting what each file costs beside its bytes (sectors,
names, digests in five lists) and the recovery data. Invariant: every pack on exactly one volume, none over its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.errors import MediumError
from evidence.medium.listing import MOST_FILES
from evidence.medium.number import MOST_VOLUMES
from evidence.medium.recovery import MOST_BLOCKS, plan_recovery
from terminal.language import Text
from terminal.printer import format_size

PER_FILE_BYTES: Final = 7 << 10
"""A file's last sector and its UDF entry (2 KiB each), its names (1 KiB), its lines in manifests and lists (2 KiB)."""
MOST_PACKS: Final = min(MOST_FILES, MOST_BLOCKS) - 1_000
"""On a volume: PAR2 needs a block for each file."""


@dataclass(frozen=True, slots=True)
class Item:
    """A pack and its size on the medium, at most."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Room:
    """What a volume holds: `capacity` bytes, of which `fixed` in `fixed_files` files go for what is on each; PAR2 `percent`."""

    capacity: int
    fixed: int
    fixed_files: int
    percent: int


def plan_volumes(items: Sequence[Item], room: Room) -> list[tuple[Item, ...]]:
    """Put packs on volumes, in their order; at least one volume, which may have none. O(n log n) for each volume.

    Raises: MediumError: a pack fits on no volume, or there would be too many volumes.
    """
    volumes: list[tuple[Item, ...]] = []
    start = 0
    while start < len(items) or not volumes:
        count = _count_fitting(items, start, room)
        if count == 0 and start < len(items):
            raise _too_small(room, items[start])
        volumes.append(tuple(items[start : start + count]))
        start += count
        if len(volumes) > MOST_VOLUMES:
            raise _too_small(room, items[0])
    return volumes


def needed_bytes(items: Sequence[Item], room: Room) -> int:
    """Give what a volume of these packs takes, at most."""
    sizes = [item.size for item in items]
    beside = [-(-room.fixed // room.fixed_files)] * room.fixed_files
    recovery = plan_recovery([*beside, *sizes], room.percent)
    files = len(sizes) + room.fixed_files
    return room.fixed + sum(sizes) + files * PER_FILE_BYTES + (recovery.size_bytes if recovery else 0)


def _count_fitting(items: Sequence[Item], start: int, room: Room) -> int:
    """Give how many packs from `start` on fit; that many were found to fit, whatever rounding does in between."""
    most = min(len(items) - start, MOST_PACKS)
    if needed_bytes([], room) > room.capacity:
        return 0
    low, high = 0, 1
    while high <= most and needed_bytes(items[start : start + high], room) <= room.capacity:
        low, high = high, high * 2
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if needed_bytes(items[start : start + middle], room) <= room.capacity:
            low = middle
        else:
            high = middle
    return low


def _too_small(room: Room, item: Item) -> MediumError:
    size = format_size(room.capacity)
    return MediumError(
        Text(
            zh=f"每卷 {size} 太小：放不下一个 {format_size(item.size)} 的数据包，或卷数超过 {MOST_VOLUMES}",
            en=f"volumes of {size} are too small: a pack of {format_size(item.size)} does not fit, or there would be more"
            f" than {MOST_VOLUMES} of them",
        ),
        hint=Text(zh="用更大的 --volume-size", en="name a larger --volume-size"),
    )
