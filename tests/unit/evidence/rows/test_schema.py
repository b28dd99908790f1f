# SPDX-License-Identifier: Apache-2.0
"""Schemas: one spelling, strict members, impossible shapes."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.encode import encode_json
from evidence.errors import FormatError
from evidence.rows.schema import MAX_COLUMNS, RAW_TEXT_NOTE, Column, Schema, parse_schema
from evidence.rows.values import UNORDERED_KINDS, Kind

SCHEMA = Schema(
    "public.visit",
    (
        Column("id", Kind.INT, False, "bigint"),
        Column("姓名", Kind.TEXT, True, "character varying(40)", comment="患者姓名"),
        Column("fee", Kind.DECIMAL, True, "numeric(10,2)", scale=2),
        Column("weight", Kind.FLOAT8, True, "double precision"),
    ),
    ("id",),
    (f"{RAW_TEXT_NOTE}姓名",),
)


def test_schema_reads_as_it_is_written() -> None:
    assert parse_schema(SCHEMA.encode()) == SCHEMA


def test_what_is_not_declared_is_not_written() -> None:
    columns = json.loads(SCHEMA.encode())["columns"]

    assert set(columns[0]) == {"kind", "name", "null", "type"}
    assert columns[1]["comment"] == "患者姓名" and columns[2]["scale"] == 2


def test_columns_are_found_by_name() -> None:
    assert SCHEMA.index("fee") == 2 and SCHEMA.column("fee").scale == 2
    assert SCHEMA.is_raw_text("姓名") and not SCHEMA.is_raw_text("id")
    with pytest.raises(KeyError):
        SCHEMA.index("none")


def test_schema_without_its_key_says_why() -> None:
    assert SCHEMA.without_key("two rows with key 7").key == ()
    assert SCHEMA.without_key("two rows with key 7").notes[-1] == "two rows with key 7"
    assert SCHEMA.without_key().notes == SCHEMA.notes


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": ()},
        {"columns": SCHEMA.columns[:1] * 2},
        {"columns": tuple(Column(f"c{i}", Kind.INT, True, "int") for i in range(MAX_COLUMNS + 1)), "key": ()},
        {"key": ("none",)},
        {"key": ("id", "id")},
        {"key": ("weight",)},
    ],
)
def test_impossible_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=r"public\.visit"):
        replace(SCHEMA, **changes)


@pytest.mark.parametrize("kind", sorted(UNORDERED_KINDS))
def test_key_of_a_kind_that_cannot_order_is_refused(kind: Kind) -> None:
    with pytest.raises(FormatError, match="cannot order"):
        Schema("t", (Column("x", kind, False, "x"),), ("x",))


def _edit(path: list[Any], value: Any) -> bytes:
    whole = json.loads(SCHEMA.encode())
    place = whole
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return encode_json(whole)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "jinsuo/schema@v2"),
        (["colour"], "red"),
        (["columns", 0, "colour"], "red"),
        (["columns", 0, "kind"], "integer"),
        (["columns", 0, "null"], 0),
        (["columns", 0, "scale"], 2),
        (["columns", 2, "scale"], None),
        (["columns", 2, "scale"], True),
        (["columns", 2, "scale"], 16384),
        (["columns", 2, "scale"], -1001),
        (["columns", 1, "comment"], None),
        (["columns", 1, "comment"], 5),
        (["columns", 0, "name"], 5),
        (["columns"], {}),
        (["key"], "id"),
        (["key"], [1]),
        (["name"], None),
        (["notes"], [None]),
    ],
)
def test_wrong_member_is_refused(path: list[Any], value: Any) -> None:
    with pytest.raises(FormatError):
        parse_schema(_edit(path, value))


def test_scale_below_zero_is_kept() -> None:
    assert parse_schema(_edit(["columns", 2, "scale"], -2)).column("fee").scale == -2


@pytest.mark.parametrize("name", ["columns", "format", "key", "name", "notes"])
def test_missing_member_is_refused(name: str) -> None:
    whole = json.loads(SCHEMA.encode())
    del whole[name]

    with pytest.raises(FormatError, match=name):
        parse_schema(encode_json(whole))


def test_other_spelling_is_refused() -> None:
    with pytest.raises(FormatError, match="canonical"):
        parse_schema(json.dumps(json.loads(SCHEMA.encode())).encode())


@given(st.text(min_size=1), st.text(), st.sampled_from(sorted(Kind)), st.booleans(), st.none() | st.text())
def test_every_schema_round_trips(name: str, type_: str, kind: Kind, null: bool, comment: str | None) -> None:
    try:
        schema = Schema(name, (Column(name, kind, null, type_, comment=comment),))
        raw = schema.encode()
    except FormatError:
        return
    assert parse_schema(raw) == schema
    assert parse_schema(raw).encode() == raw
