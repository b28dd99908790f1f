# SPDX-License-Identifier: Apache-2.0
"""Frozen vectors of lines, values, order, salted leaves and the snapshot root (vectors.json)."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from evidence.digest import tree_head
from evidence.errors import FormatError, TreeError
from evidence.rows.commit import commit_lines, row_key, row_leaf, row_salt
from evidence.rows.line import KeySpec, check_order, encode_line, parse_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind, check_value, format_float4, format_float8, order_key
from tests.builders.floats import single

VECTORS: Any = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


@pytest.mark.parametrize("vector", VECTORS["lines"], ids=lambda v: repr(v["line"]))
def test_line_is_written_and_read_as_the_vector_says(vector: Any) -> None:
    cells = [_text(field) for field in vector["fields"]]
    schema = Schema("t", tuple(Column(f"c{i}", Kind.TEXT, True, "text") for i in range(len(cells))))

    assert encode_line(cells) == vector["line"].encode()
    assert parse_line(vector["line"].encode(), schema) == cells


def _timestamp(text: str) -> bytes:
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}{'.' if fraction else ''}{fraction}".encode()


def _timestamptz(text: str) -> bytes:
    return _timestamp(f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}") + b"+00"


VALUES: dict[str, tuple[Kind, int | None, Callable[[str], bytes]]] = {
    "bool": (Kind.BOOL, None, lambda v: v[:1].encode()),
    "int": (Kind.INT, None, lambda v: str(int(v)).encode()),
    "decimal(10,2)": (Kind.DECIMAL, 2, lambda v: f"{Decimal(v):.2f}".encode()),
    "decimal(38,10)": (Kind.DECIMAL, 10, lambda v: f"{Decimal(v):.10f}".encode()),
    "numeric without scale": (Kind.DECIMAL, None, str.encode),
    "float8": (Kind.FLOAT8, None, lambda v: format_float8(float(v))),
    "float4": (Kind.FLOAT4, None, lambda v: format_float4(single(float(v)))),
    "bytes": (Kind.BYTES, None, lambda v: b"\\x" + v.encode()),
    "date": (Kind.DATE, None, str.encode),
    "time": (Kind.TIME, None, _timestamp),
    "timestamp": (Kind.TIMESTAMP, None, _timestamp),
    "timestamp(6)": (Kind.TIMESTAMP, None, _timestamp),
    "timestamp(7)": (Kind.TIMESTAMP, None, _timestamp),
    "timestamptz": (Kind.TIMESTAMPTZ, None, _timestamptz),
    "timestampoffset": (Kind.TIMESTAMPOFFSET, None, lambda v: _timestamp(v[:-7]) + v[-6:].encode()),
    "uuid": (Kind.UUID, None, lambda v: str(UUID(v)).encode()),
    "char(5), as PostgreSQL states it": (Kind.TEXT, None, lambda v: v.ljust(5).encode()),
    "sqlite any: integer 1": (Kind.ANY, None, lambda v: b"i:" + v.encode()),
    "sqlite any: text 1": (Kind.ANY, None, lambda v: b"t:" + v.encode()),
    "sqlite any: blob 31": (Kind.ANY, None, lambda v: b"b:\\x" + v.encode()),
    "sqlite any: real 1.5": (Kind.ANY, None, lambda v: b"r:" + format_float8(float(v))),
    "bits(5)": (Kind.BITS, None, lambda v: v[2:-1].encode()),
}
"""By the vector's name: kind, scale, and how the source's value gets its canonical form."""


@pytest.mark.parametrize(("name", "value", "canonical"), VECTORS["values"])
def test_value_is_written_and_taken_as_the_vector_says(name: str, value: str, canonical: str) -> None:
    kind, scale, write = VALUES[name]

    assert write(value) == canonical.encode()
    check_value(kind, scale, canonical.encode())


@pytest.mark.parametrize(("name", "value", "canonical"), VECTORS["values"])
def test_value_of_a_vector_has_no_spelling_with_one_byte_more(name: str, value: str, canonical: str) -> None:
    kind, scale, _ = VALUES[name]
    for other in (f" {canonical}", f"{canonical} ", f"+{canonical}", f"0{canonical}", f"{canonical}\n"):
        if kind in (Kind.TEXT, Kind.BITS) or (kind is Kind.ANY and canonical.startswith("t:")):
            continue
        if kind is Kind.DATE and other.startswith("0"):
            continue  # a year of five digits, however unlikely, is the source's word
        if kind in (Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.TIMESTAMPOFFSET) and other.startswith("0"):
            continue
        with pytest.raises(FormatError):
            check_value(kind, scale, other.encode())


@pytest.mark.parametrize("vector", VECTORS["order"], ids=lambda v: "+".join(v["kinds"]))
def test_values_ascend_as_the_vector_says(vector: Any) -> None:
    kinds = [Kind(kind) for kind in vector["kinds"]]
    keys = [tuple(order_key(k, v.encode()) for k, v in zip(kinds, row, strict=True)) for row in vector["ascending"]]
    shuffled = keys[:]
    random.Random(3).shuffle(shuffled)

    assert sorted(shuffled) == keys and len(set(keys)) == len(keys)


@pytest.mark.parametrize("vector", VECTORS["order"], ids=lambda v: "+".join(v["kinds"]))
def test_lines_ascend_as_the_vector_says(vector: Any) -> None:
    columns = tuple(Column(f"c{i}", Kind(kind), False, kind) for i, kind in enumerate(vector["kinds"]))
    spec = KeySpec.of(Schema("t", columns, tuple(column.name for column in columns)))
    keys = [spec.key_of(encode_line([value.encode() for value in row])) for row in vector["ascending"]]

    for before, after in pairwise(keys):
        check_order(spec, before, after)
        with pytest.raises(TreeError, match="does not follow"):
            check_order(spec, after, before)


def test_row_key_salts_and_leaves_are_those_of_the_vectors() -> None:
    key = row_key(bytes.fromhex(VECTORS["row_secret"]))

    assert key.hex() == VECTORS["k"]
    for row in VECTORS["rows"]:
        salt = row_salt(key, row["line"].encode())
        assert salt.hex() == row["salt"]
        assert row_leaf(salt, row["line"].encode()).hex() == row["leaf"]


@pytest.mark.parametrize("compiled", [False, True])
def test_page_of_these_rows_has_the_root_of_the_vectors_either_way(compiled: bool) -> None:
    key = row_key(bytes.fromhex(VECTORS["row_secret"]))
    block = "".join(row["line"] + "\n" for row in VECTORS["rows"]).encode()

    leaves = commit_lines(key, block, compiled=compiled).split()
    assert tree_head(leaves).hex() == VECTORS["page_of_these_rows"]
