# SPDX-License-Identifier: Apache-2.0
"""Whether the rows of a block ascend. Pure; exact for every key, and fast for the keys that most tables have.

`check_order` of `evidence.rows.line` defines the order of two keys; this module finds all places in a block where it
does not hold. A single integer key, the usual one, is compared over all rows at once (0.2 µs a row instead of 2).
Source: design section 2, "Order".
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from evidence import batch
from evidence.errors import FormatError, TreeError
from evidence.rows.line import KeySpec
from evidence.rows.values import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_INTEGERS = re.compile(rb"(?:0|-?[1-9][0-9]{0,400})(?:\n(?:0|-?[1-9][0-9]{0,400}))*")
_NUMERIC = frozenset({Kind.INT, Kind.DECIMAL})
_MAX_DIGITS = 18
"""Integers of more digits may not fit 63 bits; blocks that have them are compared one by one."""


def find_disorder(spec: KeySpec, block: bytes, ends: "Sequence[int] | NDArray[np.int64]") -> list[int]:
    """Give each row i >= 1 of a block whose key does not follow that of row i-1 (keyless: whose line precedes it).

    `block` is lines each ended by LF, `ends[i]` where line i ends, after its LF.
    Raises: TreeError if a key cell is NULL or a token; FormatError if one is not a value of its kind.
    """
    if spec.kinds == (Kind.INT,) and not isinstance(ends, Sequence) and len(ends) >= batch.WORTHWHILE:
        found = _find_by_integers(spec.columns[0], block, ends)
        if found is not None:
            return found
    keys = [spec.key_of(line) for line in block.split(b"\n")[:-1]]
    if spec.kinds == (Kind.INT,) and _INTEGERS.fullmatch(b"\n".join(keys)):
        numbers = [int(key) for key in keys]
        return [i for i, (a, b) in enumerate(pairwise(numbers), start=1) if b <= a]
    if not spec.columns:
        return [i for i, (a, b) in enumerate(pairwise(keys), start=1) if b < a]
    if len(spec.columns) == 1 and spec.kinds[0] not in _NUMERIC and b"\\" not in b"".join(keys):
        return [i for i, (a, b) in enumerate(pairwise(keys), start=1) if b <= a]
    orders = [spec.order_of(key) for key in keys]
    return [i for i, (a, b) in enumerate(pairwise(orders), start=1) if b <= a]


def check_ascends(spec: KeySpec, block: bytes, ends: "Sequence[int] | NDArray[np.int64]") -> None:
    """Raises: TreeError at the first row of a block that is out of order, or as `find_disorder`."""
    found = find_disorder(spec, block, ends)
    if found:
        raise TreeError(
            f"rows are out of order: the key of row {found[0]} of a block does not follow the one before it"
        )


def _find_by_integers(column: int, block: bytes, ends: "NDArray[np.int64]") -> list[int] | None:
    """Compare by one integer column; None if a number is too long for that."""
    import numpy as np

    data = np.frombuffer(block, np.uint8)
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    if column:
        starts = _field_starts(data, starts, ends, column)
    # The digits stand in a window of 20 bytes: sign, 18 digits, and the TAB or LF behind them.
    padded = np.frombuffer(block + bytes(_MAX_DIGITS + 2), np.uint8)
    negative = padded[starts] == ord("-")
    starts = starts + negative
    values = np.zeros(len(starts), np.int64)
    alive = np.ones(len(starts), np.bool_)
    lengths = np.zeros(len(starts), np.int64)
    for k in range(_MAX_DIGITS + 1):
        byte = padded[starts + k]
        digit = byte - np.uint8(0x30)
        is_digit = digit < 10
        ended = (byte == 0x09) | (byte == 0x0A)
        if (alive & ~is_digit & ~ended).any():
            raise FormatError("a key is not an integer in its canonical form, or is NULL")
        alive &= is_digit
        if not alive.any():
            break
        if k == _MAX_DIGITS:
            return None
        np.copyto(values, values * 10 + digit, where=alive)
        lengths += alive
    leading = padded[starts] == 0x30
    if (lengths == 0).any() or (leading & ((lengths > 1) | negative)).any():
        raise FormatError("a key is not an integer in its canonical form")
    np.negative(values, out=values, where=negative)
    found: list[int] = (np.flatnonzero(values[1:] <= values[:-1]) + 1).tolist()
    return found


def _field_starts(
    data: "NDArray[np.uint8]", starts: "NDArray[np.int64]", ends: "NDArray[np.int64]", column: int
) -> "NDArray[np.int64]":
    import numpy as np

    tabs = np.flatnonzero(data == 0x09)
    at = np.searchsorted(tabs, starts) + column - 1
    inside = at < len(tabs)
    fields = np.where(inside, tabs[np.minimum(at, max(len(tabs) - 1, 0))], ends) if len(tabs) else ends
    if (fields >= ends).any():
        raise TreeError("a key cell is NULL; such a table has key []")
    return fields + 1
