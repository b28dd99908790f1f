# SPDX-License-Identifier: Apache-2.0
"""The bundle's bytes: one encoding, bounds, order; nothing is verified here."""

import json
from dataclasses import replace
from typing import Any

import pytest

from evidence.encode import encode_json
from evidence.errors import FormatError, LimitError, UnsupportedError
from evidence.manifest.entry import Level
from evidence.rows.line import Token
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.verify.bundle import MAX_BUNDLE_BYTES, BundleTimestamp, parse_bundle
from tests.builders.bundles import MadeLog, MadeSnapshot, as_json, make_bundle, with_checksum

BUNDLE = make_bundle()


def test_bundle_reads_as_it_is_written() -> None:
    full = replace(
        BUNDLE,
        later=(BUNDLE.receipt,),
        timestamps=(BundleTimestamp(b"token", (b"certificate",), (b"list",)),),
        blobs="记录.blobs",
    )

    assert parse_bundle(full.encode()) == full


def test_bundle_cut_anywhere_is_refused() -> None:
    raw = BUNDLE.encode()
    for size in range(len(raw)):
        with pytest.raises(FormatError):
            parse_bundle(raw[:size])


def test_damage_is_told_from_falsehood() -> None:
    value = as_json(BUNDLE)
    value["claims"][0]["index"] = 7

    with pytest.raises(FormatError, match="ask for another copy"):
        parse_bundle(encode_json(value))
    assert parse_bundle(with_checksum(value)).claims[0].index == 7


@pytest.mark.parametrize("tail", [b"\n", b" ", b"\x00", b"{}"])
def test_trailing_bytes_are_refused(tail: bytes) -> None:
    with pytest.raises(FormatError):
        parse_bundle(BUNDLE.encode() + tail)


def test_other_encodings_of_the_same_json_are_refused() -> None:
    value = as_json(BUNDLE)
    reordered = {name: value[name] for name in reversed(value)}
    for raw in (
        json.dumps(value, ensure_ascii=False).encode(),
        json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode(),
        json.dumps(reordered, ensure_ascii=False, separators=(",", ":")).encode(),
        b"\xef\xbb\xbf" + BUNDLE.encode(),
        BUNDLE.encode().decode().encode("utf-16"),
        BUNDLE.encode().replace(b'"blobs":null', b'"blobs":null,"blobs":null'),
    ):
        with pytest.raises(FormatError):
            parse_bundle(raw)


@pytest.mark.parametrize("name", sorted(as_json(BUNDLE)))
def test_missing_member_is_refused(name: str) -> None:
    value = as_json(BUNDLE)
    del value[name]

    with pytest.raises(FormatError):
        parse_bundle(json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode())


@pytest.mark.parametrize(
    "path",
    [[], ["rows", 0], ["rows", 0, "path", 0], ["claims", 0], ["claims", 0, "claim"], ["schemas", 0], ["receipt"]],
    ids=lambda path: ".".join(map(str, path)) or "top",
)
def test_unknown_member_is_refused_at_every_level(path: list[Any]) -> None:
    value = as_json(BUNDLE)
    place = value
    for step in path:
        place = place[step]
    place["colour"] = "red"

    with pytest.raises(FormatError, match="colour"):
        parse_bundle(with_checksum(value))


def test_newer_version_asks_for_an_update_and_another_file_is_none() -> None:
    with pytest.raises(UnsupportedError, match="update Jinsuo"):
        parse_bundle(with_checksum({**as_json(BUNDLE), "format": "jinsuo/bundle@v2"}))
    with pytest.raises(FormatError, match="not a bundle"):
        parse_bundle(b'{"format":"jinsuo/receipt@v1"}')
    with pytest.raises(FormatError, match="not a bundle"):
        parse_bundle(b"[]")


def test_oversized_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitError, match="over the bound"):
        parse_bundle(b" " * (MAX_BUNDLE_BYTES + 1))


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(FormatError):
        parse_bundle(b"[" * 100_000 + b"]" * 100_000)


def test_rows_and_claims_out_of_order_twice_or_missing_are_refused() -> None:
    rows, claims, schemas = BUNDLE.rows, BUNDLE.claims, BUNDLE.schemas
    for changes in (
        {"rows": rows[::-1]},
        {"rows": (rows[0], rows[0], rows[1])},
        {"rows": rows[:1]},
        {"rows": ()},
        {"claims": claims[::-1], "schemas": schemas[::-1]},
        {"claims": (claims[0], *claims), "schemas": (schemas[0], *schemas)},
        {"claims": claims[:1], "schemas": schemas[:1]},
        {"schemas": schemas[:1]},
    ):
        with pytest.raises(FormatError):
            replace(BUNDLE, **changes)


def test_later_entries_out_of_order_or_twice_are_refused() -> None:
    log = MadeLog()
    first, second = (log.receipt(log.add("check", Level.NONE, MadeSnapshot(contents={}).note())) for _ in range(2))

    assert replace(BUNDLE, later=(first, second)).later
    for later in ((second, first), (first, first)):
        with pytest.raises(FormatError, match="later entries"):
            replace(BUNDLE, later=later)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\\b", "C:", ".hidden", "a\nb", "x" * 64])
def test_folder_of_large_cells_is_a_plain_name(name: str) -> None:
    with pytest.raises(FormatError, match="folder beside"):
        replace(BUNDLE, blobs=name)


def test_bundle_names_the_large_cells_of_its_rows_each_once() -> None:
    token = Token(b"h" * 32, 70_000)
    schema = Schema("t", (Column("id", Kind.INT, False, "int"), Column("x", Kind.TEXT, True, "text")), ("id",))
    snapshot = MadeSnapshot(contents={schema: [b"1\t" + token.encode(), b"2\t" + token.encode(), b"3\tsmall"]})
    bundle = make_bundle(snapshot, [("t", b"1"), ("t", b"2"), ("t", b"3")])

    assert bundle.tokens() == (token,)
    assert BUNDLE.tokens() == ()
