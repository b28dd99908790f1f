# SPDX-License-Identifier: Apache-2.0
"""Whether the rows of a block ascend. Pure; exact for every key, and fast for the keys that most tables have.

`check_order` of `evidence.rows.line` defines the order of two keys; this module finds all places in a block where it
does not hold: compiled (`evidence.kernel`), unless a key is of a kind, or holds a value, that only the reference here
compares. Source: design section 2, "Order".
"""

import re
from itertools import pairwise

from evidence.errors import TreeError
from evidence.kernel import Ends, find_kernel
from evidence.rows.line import KeySpec
from evidence.rows.values import Kind

_INTEGERS = re.compile(rb"(?:0|-?[1-9][0-9]{0,400})(?:\n(?:0|-?[1-9][0-9]{0,400}))*")
_NUMERIC = frozenset({Kind.INT, Kind.DECIMAL})
_MOST_COLUMNS, _MOST_KEYS = 256, 16


def find_disorder(spec: KeySpec, block: bytes, ends: Ends, *, compiled: bool = True) -> list[int]:
    """Give each row i >= 1 of a block whose key does not follow that of row i-1 (keyless: whose line precedes it).

    `block` is lines each ended by LF, `ends[i]` where line i ends, after its LF. `compiled` False: by the reference.
    Raises: TreeError if a key cell is NULL or a token; FormatError if one is not a value of its kind.
    """
    kernel = find_kernel() if compiled else None
    if kernel is not None and _is_simple(spec):
        integers = bytes(kind is Kind.INT for kind in spec.kinds)
        found = kernel.find_disorder(block, ends, bytes(spec.columns), integers)
        if found is not None:
            return found
    return _find_one_by_one(spec, block)


def check_ascends(spec: KeySpec, block: bytes, ends: Ends) -> None:
    """Raises: TreeError at the first row of a block that is out of order, or as `find_disorder`."""
    found = find_disorder(spec, block, ends)
    if found:
        raise TreeError(
            f"rows are out of order: the key of row {found[0]} of a block does not follow the one before it"
        )


def _is_simple(spec: KeySpec) -> bool:
    """Tell whether keys compare field by field, as integers or as bytes."""
    return (
        Kind.DECIMAL not in spec.kinds
        and len(spec.columns) <= _MOST_KEYS
        and all(column < _MOST_COLUMNS for column in spec.columns)
    )


def _find_one_by_one(spec: KeySpec, block: bytes) -> list[int]:
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
