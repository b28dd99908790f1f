# SPDX-License-Identifier: Apache-2.0
"""JSON nested to any depth is refused as what it is; no depth gets between two limits of the interpreter."""

import sys

import pytest

from evidence.encode import parse_json
from evidence.errors import FormatError


def test_json_nested_to_any_depth_is_refused_or_read() -> None:
    refused = 0
    for depth in range(sys.getrecursionlimit() - 120, sys.getrecursionlimit() + 20):
        try:
            parse_json(b"[" * depth + b"]" * depth, "a list")
        except FormatError:
            refused += 1
    assert refused


def test_what_is_not_canonical_is_still_called_so() -> None:
    with pytest.raises(FormatError, match="canonical form"):
        parse_json(b"[1, 2]", "a list")
