# SPDX-License-Identifier: Apache-2.0
"""The frozen numbers of design section 3: salts, leaves, pages, whole tables, by both implementations."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evidence.digest import ObjectId, tree_head
from evidence.rows.commit import commit_lines, commit_page, row_key, row_leaf, row_salt
from evidence.tree.build import TreeBuilder
from evidence.tree.nodes import parse_node
from tests.builders.trees import BY_LINE, K, MemoryObjects, build, family

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))


def lines_of(table: dict[str, Any]) -> list[bytes]:
    if "n" in table:
        return family(table["n"], table["seed"])
    spelled = {
        "3000 equal lines of 65535 x 'd'": [b"d" * 65535] * 3000,
        "50000 equal lines 'x'": [b"x"] * 50000,
        "4095 x 'e', then 'z'": [b"e" * 4095, b"z"],
        "40 equal lines '00174' + 65530 x 'd'": [b"00174" + b"d" * 65530] * 40,
    }
    return spelled[table["lines"].split(" (")[0]]


def test_the_row_key_is_the_frozen_one() -> None:
    assert row_key(bytes.fromhex(VECTORS["row_secret"])).hex() == VECTORS["k"]


def test_salts_and_leaves_of_rows_are_the_frozen_ones() -> None:
    for row in VECTORS["rows"]:
        line = row["line"].encode()
        salt = row_salt(K, line)
        assert salt.hex() == row["salt"]
        assert row_leaf(salt, line).hex() == row["leaf"]


def test_the_page_of_the_frozen_rows_has_the_frozen_root() -> None:
    body = b"\n".join(row["line"].encode() for row in VECTORS["rows"])
    assert tree_head(commit_page(K, body)).hex() == VECTORS["page_of_these_rows"]


@pytest.mark.parametrize("compiled", [False, True], ids=["hashlib", "compiled"])
@pytest.mark.parametrize("table", VECTORS["tables"], ids=lambda t: t["root"][:8])
def test_tables_have_the_frozen_roots_pages_and_nodes(table: dict[str, Any], compiled: bool) -> None:
    lines = lines_of(table)
    objects = _Recording()
    tree = build(lines, objects, BY_LINE, compiled=compiled, block_rows=7001)
    found = {
        "root": tree.root.hex(),
        "height": tree.height,
        "items": tree.items,
        "rows": tree.rows,
        "bytes": tree.bytes_,
    }
    assert found == {name: table[name] for name in found}
    assert objects.page_rows[: len(table.get("first_page_rows", []))] == table.get("first_page_rows", [])
    assert len(objects.page_rows) == table["pages"]
    if table["rows"]:
        assert objects.node_items == table["nodes"]


def test_lines_given_one_at_a_time_build_the_same_tree() -> None:
    lines = family(1000, "a")
    whole = build(lines, MemoryObjects())
    builder = TreeBuilder(MemoryObjects(), lambda line: line[:1])
    for line in lines:
        leaves = commit_lines(K, line + b"\n")
        builder.add(line + b"\n", leaves.ends, leaves.hashes)
    assert builder.finish().root == whole.root


class _Recording(MemoryObjects):
    """Also notes how many rows each page and how many entries each node has, in order of level."""

    def __init__(self) -> None:
        super().__init__()
        self.page_rows: list[int] = []
        self.node_items: list[list[int]] = []

    def put_pages(self, bodies: Sequence[bytes]) -> list[ObjectId]:
        self.page_rows += [body.count(b"\n") + 1 for body in bodies]
        return super().put_pages(bodies)

    def put_node(self, body: bytes) -> ObjectId:
        level, entries = parse_node(body)
        while len(self.node_items) <= level:
            self.node_items.append([])
        self.node_items[level].append(len(entries))
        return super().put_node(body)
