# SPDX-License-Identifier: Apache-2.0
"""The frozen numbers of the log's formats: RFC 6962 trees, tiles, a signed note, a cosigned checkpoint."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from center.ledger.edge import EMPTY_EDGE
from evidence.digest import leaf_hash, tree_head
from evidence.keys.key import KeyType, parse_vkey
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from evidence.log.merkle import (
    consistency_proof,
    inclusion_proof,
    prove_consistency,
    prove_inclusion,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from evidence.log.tiles import Tile, all_tiles
from evidence.note.cosign import cosign, verify_cosignatures
from evidence.note.signed import parse_note, verify_note

V: dict[str, Any] = json.loads((Path(__file__).parent / "c2sp.json").read_text(encoding="utf-8"))
DATA = [bytes.fromhex(leaf) for leaf in V["leaves"]]
LEAVES = [leaf_hash(data) for data in DATA]
ROOTS = [bytes.fromhex(root) for root in V["roots"]]


@cache
def decimal_tiles(size: int) -> tuple[dict[str, bytes], bytes]:
    """Give the tiles and the root of the log whose entries are 0, 1, … in ASCII."""
    growth = EMPTY_EDGE.grow([b"%d" % i for i in range(size)])
    return {tile.path: data for tile, data in growth.tiles}, growth.edge.root


def reader(tiles: dict[str, bytes]) -> Callable[[Tile], bytes]:
    return lambda tile: tiles[tile.path]


def test_roots_of_the_first_leaves() -> None:
    assert [tree_head(LEAVES[:n]) for n in range(9)] == ROOTS


def test_inclusion_proof_of_leaf_5_of_8() -> None:
    expected = [bytes.fromhex(value) for value in V["inclusion"]["hashes"]]
    assert inclusion_proof(LEAVES, 5) == expected
    verify_inclusion(LEAVES[5], 5, 8, expected, ROOTS[8])


def test_consistency_proof_from_6_to_8() -> None:
    expected = [bytes.fromhex(value) for value in V["consistency"]["hashes"]]
    assert consistency_proof(LEAVES, 6) == expected
    verify_consistency(6, ROOTS[6], 8, ROOTS[8], expected)


def test_tile_of_eight_leaves_has_the_frozen_bytes() -> None:
    tiles = dict(EMPTY_EDGE.grow(DATA).tiles)
    assert hashlib.sha256(tiles[Tile(0, 0, 8)]).hexdigest() == V["tile_0_000_p_8"]


@pytest.mark.parametrize("size", [256, 257, 70000])
def test_roots_of_decimal_entries_from_the_edge_and_from_tiles(size: int) -> None:
    tiles, root = decimal_tiles(size)
    assert root.hex() == V["decimal_entries"][str(size)]
    assert tree_root(reader(tiles), size) == root


def test_log_of_70000_entries_has_the_frozen_tiles() -> None:
    found: dict[str, list[int]] = {}
    for tile in all_tiles(70000):
        if tile.level is not None:
            counts = found.setdefault(str(tile.level), [0, 0])
            if tile.is_full:
                counts[0] += 1
            else:
                counts[1] = tile.width
    assert found == V["widths_of_70000"]
    assert set(decimal_tiles(70000)[0]) == {tile.path for tile in all_tiles(70000)}


def test_all_proofs_of_a_large_log_as_one_number() -> None:
    """Accumulated: inclusion of every 97th entry and consistency from every 1009th size, in order, into one hash."""
    tiles, root = decimal_tiles(70000)
    state = hashlib.sha256()
    for index in range(0, 70000, 97):
        path = prove_inclusion(reader(tiles), index, 70000)
        verify_inclusion(leaf_hash(b"%d" % index), index, 70000, path, root)
        state.update(b"".join(path))
    for old in range(1, 70000, 1009):
        proof = prove_consistency(reader(tiles), old, 70000)
        verify_consistency(old, _old_root(old), 70000, root, proof)
        state.update(b"".join(proof))
    assert state.hexdigest() == "b38ccf79c71f8422e62467befbdc48e3df324e224afe077f06a9ae9918f4eab1"


@cache
def _leaves() -> list[bytes]:
    return [leaf_hash(b"%d" % i) for i in range(70000)]


def _old_root(size: int) -> bytes:
    return tree_head(_leaves()[:size])


def test_note_of_another_implementation_verifies() -> None:
    note = V["note"]
    key = parse_vkey(note["vkey"])
    raw = f"{note['text']}\n— {key.name} {note['signature']}\n".encode()
    assert verify_note(parse_note(raw), [key]) == (key,)
    assert parse_note(raw).encode() == raw


def test_cosigned_checkpoint_is_made_and_verified_as_frozen() -> None:
    frozen = V["cosigned"]
    log = Ed25519Signer.from_seed("log.example/jinsuo-test", KeyType.ED25519, bytes(range(32)))
    witness = Ed25519Signer.from_seed("witness.example/w1", KeyType.COSIGNATURE, bytes(range(32, 64)))
    assert (log.key.vkey, witness.key.vkey) == (frozen["log_vkey"], frozen["witness_vkey"])

    note = sign_checkpoint(Checkpoint("log.example/jinsuo-test", 8, tree_head(LEAVES)), log)
    note = note.with_signatures([cosign(note.text, witness, frozen["time"])])

    assert note.encode().decode() == frozen["checkpoint"]
    assert verify_checkpoint(parse_note(note.encode()), parse_vkey(frozen["log_vkey"])).size == 8
    (cosignature,) = verify_cosignatures(note, [parse_vkey(frozen["witness_vkey"])])
    assert cosignature.unix_s == frozen["time"]
    assert parse_checkpoint(note.text).root == ROOTS[8]
