# SPDX-License-Identifier: Apache-2.0
"""The names of one folder in the order of their bytes, in bounded memory, however many there are.

What fits is sorted in memory. Of more the names become lines of one field, which the agent's sort (`agent.sorting`) takes
through files: a name may hold any byte but `/` and NUL, also LF, and a line's escapes bring it back as it was.
"""

from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeAlias

from agent.sorting import sort_lines
from evidence.rows.line import KeySpec, encode_rows, parse_field
from evidence.rows.values import Kind

MOST_BYTES: Final = 16 << 20
"""What the names of one folder may take in memory before they go to disk: some 200,000 of them."""

_NAME_COST: Final = 41
"""What a name takes beside its bytes: the object's head, and its place in a list."""

_BATCH: Final = 1_000
_ORDER: Final = KeySpec((0,), (Kind.TEXT,))

Names: TypeAlias = Generator[bytes, None, None]


def sort_names(names: Iterable[bytes], workspace: Path | None, most_bytes: int = MOST_BYTES) -> Names:
    """Yield names in ascending order of their bytes, the first one when all were taken.

    `workspace` is a folder for what does not fit; None: all is held in memory. Raises: SpoolError if it is full, what `names` raises.
    """
    held: list[bytes] = []
    cost = 0
    rest = iter(names)
    for name in rest:
        held.append(name)
        cost += len(name) + _NAME_COST
        if cost >= most_bytes and workspace is not None:
            yield from _sort_on_disk(chain(_take_all(held), rest), workspace, 2 * most_bytes)
            return
    held.sort(reverse=True)
    yield from _take_all(held)


def _take_all(names: list[bytes]) -> Iterator[bytes]:
    """Yield names from the last to the first; none is held any more when its turn has come."""
    while names:
        yield names.pop()


def _sort_on_disk(names: Iterator[bytes], workspace: Path, memory_bytes: int) -> Names:
    blocks = iter(lambda: encode_rows([(name,) for name in islice(names, _BATCH)]), b"")
    for block in sort_lines(blocks, _ORDER, workspace, memory_bytes):
        for line in block.split(b"\n")[:-1]:
            name = parse_field(line, "a name")
            assert isinstance(name, bytes)
            yield name
