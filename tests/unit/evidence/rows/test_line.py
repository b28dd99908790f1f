# SPDX-License-Identifier: Apache-2.0
"""Lines: one row has one line; keys, order, and the tokens of large cells."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evidence.errors import FormatError, TreeError
from evidence.rows.line import (
    MAX_CELL_BYTES,
    MAX_KEPT_BYTES,
    MAX_LINE_BYTES,
    Cell,
    KeySpec,
    Token,
    check_order,
    encode_field,
    encode_line,
    parse_field,
    parse_line,
    shorten_line,
)
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind

DIGEST = bytes(range(32))
cells = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.sampled_from(
        [b"\\N", b"", b"\\@sha256:" + b"0" * 64 + b":1", b"t:\\@sha256:" + b"0" * 64 + b":1", b"\t", b"\\"]
    ),
    st.builds(Token, st.binary(min_size=32, max_size=32), st.integers(0, 10**18)),
)


def table(*kinds: Kind, key: tuple[str, ...] = ()) -> Schema:
    return Schema("t", tuple(Column(f"c{i}", kind, True, "x") for i, kind in enumerate(kinds)), key)


@given(st.lists(cells, min_size=1, max_size=8))
@example([None])
@example([None, None])
@example([b""])
def test_every_row_round_trips(row: list[Cell]) -> None:
    line = encode_line(row)

    assert b"\n" not in line and b"\r" not in line and b"\x00" not in line
    assert parse_line(line, table(*[Kind.TEXT] * len(row))) == row


@given(st.lists(cells, min_size=1, max_size=5), st.lists(cells, min_size=1, max_size=5))
def test_two_rows_have_two_lines(one: list[Cell], other: list[Cell]) -> None:
    size = max(len(one), len(other))
    padded = [row + [None] * (size - len(row)) for row in (one, other)]

    assert (encode_line(one) == encode_line(other)) == (padded[0] == padded[1])


@settings(max_examples=500)
@given(st.binary(max_size=60))
@example(b"a\\qb")
@example(b"a\\")
@example(b"\\\\N\t\\N")
@example(b"\\@sha256:" + b"0" * 64 + b":01")
@example(b"\\@sha256:" + b"A" * 64 + b":1")
def test_whatever_is_read_is_written_the_same(line: bytes) -> None:
    schema = table(*[Kind.TEXT] * 4)
    try:
        row = parse_line(line, schema)
    except FormatError:
        return
    assert encode_line(row) == line


@pytest.mark.parametrize(
    "line",
    [
        b"a\nb",
        b"a\rb",
        b"a\x00b",
        b"a\x0bb",
        b"a\x0cb",
        b"a\x08b",
        b"\\",
        b"a\\",
        b"\\q",
        b"\\x41",
        b"\\0\\",
        b"\\n\\n\n",
        b"a\t\\N",
        b"\\N\t\\N",
        b"1\t2\t3\t4",
        b"\\@sha256:00:1",
        b"\\@sha256:" + b"0" * 64 + b":",
        b"\\@",
        b"\\@sha256:" + b"0" * 64,
        b"t:\\@sha256:" + b"0" * 64 + b":1",
    ],
)
def test_other_spellings_are_refused(line: bytes) -> None:
    with pytest.raises(FormatError):
        parse_line(line, table(Kind.TEXT, Kind.TEXT, Kind.TEXT))


def test_fields_that_are_not_written_are_null() -> None:
    assert parse_line(b"a", table(Kind.TEXT, Kind.TEXT, Kind.TEXT)) == [b"a", None, None]


def test_first_field_is_written_even_if_it_is_null() -> None:
    assert encode_line([None, None]) == b"\\N"
    assert encode_line([b""]) == b""


def test_text_that_looks_like_a_token_is_escaped_and_so_differs() -> None:
    token = Token(DIGEST, 70_000)
    assert encode_field(token) != encode_field(token.encode())
    assert parse_field(token.encode(), "x") == token
    assert parse_field(encode_field(token.encode()), "x") == token.encode()


def test_token_of_an_any_cell_has_its_prefix_and_no_other_token_has() -> None:
    prefixed = Token(DIGEST, 70_000, b"b:").encode()

    assert parse_line(prefixed, table(Kind.ANY)) == [Token(DIGEST, 70_000, b"b:")]
    for line, kind in ((prefixed, Kind.TEXT), (Token(DIGEST, 70_000).encode(), Kind.ANY)):
        with pytest.raises(FormatError, match="prefix"):
            parse_line(line, table(kind))


# Keys and order


def test_key_is_taken_in_key_order() -> None:
    spec = KeySpec.of(table(Kind.TEXT, Kind.INT, Kind.TEXT, key=("c2", "c1")))

    assert spec.name == "2:text,1:int"
    assert spec.key_of(b"a\t7\tz\\t") == b"z\\t\t7"
    assert spec.key_of(b"a") == b"\\N\t\\N"
    assert KeySpec.of(table(Kind.TEXT)).name == "-"


def test_order_is_of_values_before_escaping() -> None:
    spec = KeySpec.of(table(Kind.TEXT, key=("c0",)))

    check_order(spec, encode_field(b"a\t"), b"a ")
    with pytest.raises(TreeError, match="does not follow"):
        check_order(spec, b"a ", encode_field(b"a\t"))


def test_equal_keys_are_out_of_order_and_equal_lines_are_not() -> None:
    with pytest.raises(TreeError, match="equals"):
        check_order(KeySpec.of(table(Kind.INT, key=("c0",))), b"7", b"7")
    check_order(KeySpec.of(table(Kind.INT)), b"7", b"7")
    with pytest.raises(TreeError):
        check_order(KeySpec.of(table(Kind.INT)), b"8", b"7")


@pytest.mark.parametrize("key", [b"\\N", Token(DIGEST, 70_000).encode()])
def test_key_that_is_null_or_a_token_is_refused(key: bytes) -> None:
    with pytest.raises(TreeError, match="NULL or a token"):
        KeySpec.of(table(Kind.TEXT, key=("c0",))).order_of(key)


@pytest.mark.parametrize(
    ("kind", "key"), [(Kind.INT, b"007"), (Kind.INT, b"x"), (Kind.DECIMAL, b"1e5"), (Kind.TEXT, b"\\q")]
)
def test_key_that_is_not_canonical_is_refused(kind: Kind, key: bytes) -> None:
    with pytest.raises(FormatError):
        KeySpec.of(table(kind, key=("c0",))).order_of(key)


@given(st.lists(st.tuples(st.integers(), st.binary(max_size=5)), min_size=2, max_size=8, unique=True))
def test_rows_sorted_by_their_values_are_in_order(rows: list[tuple[int, bytes]]) -> None:
    spec = KeySpec.of(table(Kind.INT, Kind.BITS, key=("c0", "c1")))
    keys = [spec.key_of(encode_line([b"%d" % number, text])) for number, text in sorted(rows)]

    for before, after in pairwise(keys):
        check_order(spec, before, after)


# Large cells


def _shorten(row: list[Cell], schema: Schema) -> tuple[list[Cell], dict[bytes, bytes]]:
    line, blobs = shorten_line(encode_line(row), schema)
    for token, raw in blobs:
        assert (token.sha256, token.size) == (hashlib.sha256(raw).digest(), len(raw))
    return parse_line(line, schema), {token.sha256: raw for token, raw in blobs}


def test_text_over_the_bound_becomes_a_token_of_its_bytes() -> None:
    at, over = b"x" * MAX_CELL_BYTES, b"x" * (MAX_CELL_BYTES + 1)
    row, blobs = _shorten([at, over], table(Kind.TEXT, Kind.TEXT))

    assert row[0] == at and isinstance(row[1], Token)
    assert list(blobs.values()) == [over]


def test_size_is_that_of_the_raw_value_not_of_its_spelling() -> None:
    """65,536 bytes take 131,074 characters in hex, and stay; escapes do not count either."""
    at, over = b"\xff" * MAX_CELL_BYTES, b"\xff" * (MAX_CELL_BYTES + 1)
    row, blobs = _shorten(
        [b"\\x" + at.hex().encode(), b"\\x" + over.hex().encode(), b"\n" * MAX_CELL_BYTES],
        table(Kind.BYTES, Kind.BYTES, Kind.TEXT),
    )

    assert isinstance(row[0], bytes) and isinstance(row[1], Token) and isinstance(row[2], bytes)
    assert list(blobs.values()) == [over]


def test_any_cell_keeps_its_prefix_and_gives_its_raw_value() -> None:
    text, binary = b"x" * 70_000, b"\x00" * 70_000
    row, blobs = _shorten([b"t:" + text, b"b:\\x" + binary.hex().encode()], table(Kind.ANY, Kind.ANY))

    assert [cell.prefix for cell in row if isinstance(cell, Token)] == [b"t:", b"b:"]
    assert list(blobs.values()) == [text, binary]


def test_long_line_gives_up_its_longest_fields_leftmost_first() -> None:
    width = MAX_CELL_BYTES
    row, _ = _shorten([b"k" * 200, *[b"x" * width] * 17], table(*[Kind.TEXT] * 18, key=("c0",)))

    assert [i for i, cell in enumerate(row) if isinstance(cell, Token)] == [1, 2]
    assert row[0] == b"k" * 200


def test_key_null_and_short_fields_are_never_given_up() -> None:
    key = b"k" * (MAX_LINE_BYTES // 20)
    row, _ = _shorten(
        [key] * 21 + [b"s" * MAX_KEPT_BYTES], table(*[Kind.TEXT] * 22, key=tuple(f"c{i}" for i in range(21)))
    )

    assert not any(isinstance(cell, Token) for cell in row)


def test_shortening_again_changes_nothing() -> None:
    schema = table(*[Kind.TEXT] * 18)
    line, blobs = shorten_line(encode_line([b"x" * MAX_CELL_BYTES] * 18), schema)

    assert blobs and shorten_line(line, schema) == (line, [])
    assert len(line) <= MAX_LINE_BYTES
