# SPDX-License-Identifier: Apache-2.0
"""Claims: vectors, order, what no tree can have, one spelling."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evidence.digest import EMPTY_ROOT, Sha256
from evidence.encode import parse_json
from evidence.errors import FormatError
from evidence.manifest.claim import (
    Claim,
    claim_leaf,
    claim_salt,
    order_claims,
    read_claim,
    snapshot_leaves,
    snapshot_root,
)
from evidence.rows.schema import read_schema
from tests.builders.bundles import ROW_SECRET

VECTORS: Any = json.loads((Path(__file__).parents[3] / "vectors" / "vectors.json").read_text(encoding="utf-8"))
SNAPSHOT = VECTORS["snapshot"]
CLAIM = Claim("public.visit", Sha256(b"s" * 32), Sha256(b"r" * 32), 1, 3, 1000, 70182)


def test_schemas_of_the_vectors_hash_to_what_their_claims_name() -> None:
    for schema, claim in zip(SNAPSHOT["schemas"], SNAPSHOT["claims"], strict=True):
        assert read_schema(schema).digest.hex() == claim["schema"]
        assert read_schema(schema).name == claim["name"]


def test_salts_of_the_vectors_hold() -> None:
    salts = [claim_salt(ROW_SECRET, read_claim(claim)).hex() for claim in SNAPSHOT["claims"]]

    assert salts == SNAPSHOT["claim_salts"]


def test_root_of_the_vectors_holds_in_any_order_of_claims() -> None:
    claims = [read_claim(claim) for claim in SNAPSHOT["claims"]]

    assert snapshot_root(claims, ROW_SECRET).hex() == SNAPSHOT["root"]
    assert snapshot_root(reversed(claims), ROW_SECRET).hex() == SNAPSHOT["root"]


def test_claims_are_ordered_by_the_bytes_of_their_names() -> None:
    names = ["é", "a", "Z", "@files", "张", "a.b"]

    assert [c.name for c in order_claims(replace(CLAIM, name=n) for n in names)] == [
        "@files",
        "Z",
        "a",
        "a.b",
        "é",
        "张",
    ]


def test_two_claims_of_one_name_are_refused() -> None:
    with pytest.raises(FormatError, match=r"two tables have the name 'public\.visit'"):
        snapshot_root([CLAIM, replace(CLAIM, rows=1001)], ROW_SECRET)


def test_claim_reads_as_it_is_written() -> None:
    assert read_claim(parse_json(CLAIM.encode(), "a claim")) == CLAIM


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 0},
        {"rows": 0, "items": 0, "height": 0, "bytes_": 0},
        {"items": 1},
        {"items": 2049},
        {"height": 0},
        {"height": 13},
        {"bytes_": 999},
        {"rows": 2},
        {"name": ""},
        {"name": "\ud800"},
    ],
)
def test_figures_that_no_tree_has_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        replace(CLAIM, **changes)


def test_empty_table_has_no_tree() -> None:
    empty = Claim("empty", Sha256(b"s" * 32), EMPTY_ROOT, 0, 0, 0, 0)

    assert read_claim(empty.to_json()) == empty


@pytest.mark.parametrize("name", ["bytes", "height", "items", "name", "root", "rows", "schema"])
def test_missing_or_mistyped_member_is_refused(name: str) -> None:
    value = CLAIM.to_json()
    with pytest.raises(FormatError, match=name):
        read_claim({k: v for k, v in value.items() if k != name})
    with pytest.raises(FormatError):
        read_claim({**value, name: True})


def test_unknown_member_is_refused() -> None:
    with pytest.raises(FormatError, match="colour"):
        read_claim({**CLAIM.to_json(), "colour": "red"})


def test_every_figure_changes_leaf_and_salt() -> None:
    others = [
        replace(CLAIM, name="x"),
        replace(CLAIM, schema=Sha256(b"t" * 32)),
        replace(CLAIM, root=Sha256(b"q" * 32)),
        replace(CLAIM, height=2),
        replace(CLAIM, items=4),
        replace(CLAIM, rows=1001),
        replace(CLAIM, bytes_=70183),
    ]

    assert len({*snapshot_leaves([CLAIM], ROW_SECRET), *(snapshot_leaves([o], ROW_SECRET)[0] for o in others)}) == 8
    assert len({claim_leaf(bytes(16), c) for c in (CLAIM, *others)}) == 8
