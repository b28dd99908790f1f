# SPDX-License-Identifier: Apache-2.0
"""Manifests: round trip, one spelling, what contradicts itself."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evidence.digest import EMPTY_ROOT, ObjectId, Sha256
from evidence.encode import encode_json
from evidence.errors import FormatError, UnsupportedError
from evidence.manifest.claim import Claim
from evidence.manifest.manifest import Document, Manifest, ManifestTable, Omitted, Parameters, parse_manifest
from evidence.manifest.statement import Consistency

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SCHEMA = Sha256(b"s" * 32)
TOP = ObjectId(b"t" * 32)
VISIT = ManifestTable(Claim("public.visit", SCHEMA, Sha256(b"r" * 32), 1, 3, 1000, 70182), SCHEMA, TOP, (NOON, NOON))
EMPTY = ManifestTable(Claim("public.empty", SCHEMA, EMPTY_ROOT, 0, 0, 0, 0), SCHEMA, None, (NOON, NOON))
MANIFEST = Manifest(
    unit="X013",
    source="his",
    sequence=17,
    consistency=Consistency.PER_TABLE,
    position="-",
    parameters=Parameters(),
    tables=(EMPTY, replace(VISIT, carried_from=16)),
    omitted=(Omitted("public.secret", "no right to read"),),
    documents=(
        Document("ddl.sql", Sha256(b"d" * 32), ObjectId(b"D" * 32)),
        Document("schema/public.empty", SCHEMA, ObjectId(b"S" * 32)),
        Document("schema/public.visit", SCHEMA, ObjectId(b"S" * 32)),
    ),
    blobs=ObjectId(b"b" * 32),
    notes=("a note", "一条说明"),
    agent="0.1.0",
)


def test_manifest_reads_as_it_is_written() -> None:
    assert parse_manifest(MANIFEST.encode()) == MANIFEST


def test_manifest_finds_tables_and_schemas() -> None:
    assert MANIFEST.table("public.empty") == EMPTY
    assert MANIFEST.table("public.none") is None
    assert MANIFEST.schema_document("public.visit").object == ObjectId(b"S" * 32)
    with pytest.raises(FormatError, match=r"no table 'public\.none'"):
        MANIFEST.schema_document("public.none")


@pytest.mark.parametrize(
    "changes",
    [
        {"tables": (VISIT, EMPTY)},
        {"tables": (EMPTY, EMPTY)},
        {"documents": tuple(reversed(MANIFEST.documents))},
        {"documents": MANIFEST.documents[:2]},
        {"documents": (*MANIFEST.documents[:2], replace(MANIFEST.documents[2], sha256=Sha256(b"x" * 32)))},
        {"tables": (replace(VISIT, carried_from=17),)},
        {"tables": (replace(VISIT, carried_from=0),)},
        {"omitted": MANIFEST.omitted * 2},
        {"sequence": 0},
        {"unit": "X 13"},
        {"position": ""},
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        replace(MANIFEST, **changes)


def test_table_whose_parts_disagree_is_refused() -> None:
    with pytest.raises(FormatError, match="names the schema"):
        replace(VISIT, schema=Sha256(b"x" * 32))
    with pytest.raises(FormatError, match="no top object"):
        replace(VISIT, top=None)
    with pytest.raises(FormatError, match="a top object"):
        replace(EMPTY, top=TOP)
    with pytest.raises(FormatError, match="before it begins"):
        replace(VISIT, read_at=(NOON, NOON - timedelta(seconds=1)))


@pytest.mark.parametrize("name", sorted(json.loads(MANIFEST.encode())))
def test_missing_member_is_refused(name: str) -> None:
    value = json.loads(MANIFEST.encode())
    del value[name]

    with pytest.raises(FormatError, match=name):
        parse_manifest(encode_json(value))


def test_unknown_members_are_refused_at_every_level() -> None:
    for path in (["tables", 0], ["tables", 0, "claim"], ["documents", 0], ["omitted", 0], ["parameters"], []):
        value = json.loads(MANIFEST.encode())
        place = value
        for step in path:
            place = place[step]
        place["colour"] = "red"
        with pytest.raises(FormatError, match="colour"):
            parse_manifest(encode_json(value))


def test_other_parameters_ask_for_an_update() -> None:
    value = json.loads(MANIFEST.encode())
    value["parameters"]["target"] = 16384

    with pytest.raises(UnsupportedError, match="update Jinsuo"):
        parse_manifest(encode_json(value))


def test_other_format_and_non_canonical_json_are_refused() -> None:
    raw = MANIFEST.encode()
    with pytest.raises(FormatError, match="format"):
        parse_manifest(raw.replace(b"manifest@v1", b"manifest@v2"))
    with pytest.raises(FormatError, match="canonical"):
        parse_manifest(raw.replace(b":", b": ", 1))
