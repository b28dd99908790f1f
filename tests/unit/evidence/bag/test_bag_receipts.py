# SPDX-License-Identifier: Apache-2.0
"""Files of receipts: one encoding, signed by the center's operator, bounded."""

from datetime import UTC, datetime

import pytest

from evidence.bag.receipts import (
    MAX_BAGS,
    MAX_IDS,
    BagAnswer,
    Proof,
    Receipts,
    Refusal,
    StatementAnswer,
    is_receipts_name,
    parse_receipts,
    sign_receipts,
)
from evidence.digest import ObjectId, Sha256, leaf_hash, tree_head
from evidence.errors import EvidenceError, FormatError, LimitError, UnknownSignerError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, sign_checkpoint
from evidence.log.merkle import consistency_proof, inclusion_proof
from evidence.log.tlog_proof import TlogProof
from evidence.manifest.entry import Entry, Level
from evidence.manifest.receipt import Receipt
from evidence.note.signed import sign_note

ORIGIN = "archives.example/bags"
LOG = Ed25519Signer.from_seed(ORIGIN, KeyType.ED25519, bytes(32))
OPERATOR = Ed25519Signer.from_seed(f"{ORIGIN}/operator", KeyType.ED25519, bytes(range(32)))
UNIT = Ed25519Signer.from_seed("X013/his", KeyType.ED25519, bytes(range(1, 33)))
NOW = datetime(2026, 11, 26, 2, tzinfo=UTC)
NOTE = sign_note(b"a statement\n", [UNIT]).encode()
ENTRIES = [Entry("statement", Level.STORED, NOW, NOTE).encode() for _ in range(7)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
CHECKPOINT = sign_checkpoint(Checkpoint(ORIGIN, 7, tree_head(LEAVES)), LOG).encode()
RECEIPT = Receipt(ENTRIES[3], TlogProof(3, tuple(inclusion_proof(LEAVES, 3)), CHECKPOINT))
REFUSAL = Refusal("JS-3101", "pack ab is refused: 它坏了\nin two lines", "send it again")


def make(**changes: object) -> Receipts:
    values: dict[str, object] = {
        "origin": ORIGIN,
        "unit": "X013",
        "source": "his",
        "created": NOW,
        "checkpoint": CHECKPOINT,
        "bags": (
            BagAnswer("1" * 32, ("a" * 64,), (("b" * 64, REFUSAL),)),
            BagAnswer("2" * 32, refusal=REFUSAL),
        ),
        "receipts": (RECEIPT,),
        "statements": (StatementAnswer(Sha256(bytes(32)), (ObjectId(bytes(range(32))),), None),),
        "proofs": tuple(Proof(size, tuple(consistency_proof(LEAVES, size))) for size in (2, 5)),
        "latest": (NOTE, RECEIPT),
    }
    return Receipts(**(values | changes))  # type: ignore[arg-type]  # a test says which members differ


def test_receipts_come_back_as_they_were_signed() -> None:
    for receipts in (make(), make(receipts=(), statements=(), proofs=(), latest=None)):
        raw = sign_receipts(receipts, OPERATOR)
        assert parse_receipts(raw, OPERATOR.key) == receipts
        assert sign_receipts(parse_receipts(raw, OPERATOR.key), OPERATOR) == raw


def test_receipts_by_anybody_else_are_refused() -> None:
    raw = sign_receipts(make(), Ed25519Signer.from_seed(f"{ORIGIN}/operator", KeyType.ED25519, bytes(32)))
    with pytest.raises(UnknownSignerError):
        parse_receipts(raw, OPERATOR.key)
    other = Ed25519Signer.from_seed("other.example/operator", KeyType.ED25519, bytes(range(32)))
    with pytest.raises(FormatError, match=r"of archives\.example/bags is signed by other\.example"):
        parse_receipts(sign_receipts(make(), other), other.key)


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    raw = bytearray(sign_receipts(make(), OPERATOR))
    for place in range(0, len(raw) * 8, 7):
        raw[place // 8] ^= 1 << place % 8
        with pytest.raises(EvidenceError):
            parse_receipts(bytes(raw), OPERATOR.key)
        raw[place // 8] ^= 1 << place % 8
    for size in range(0, len(raw), 11):
        with pytest.raises(EvidenceError):
            parse_receipts(bytes(raw[:size]), OPERATOR.key)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"unit":"X013"', b'"unit":"../x"'),
        (b'"source":"his"', b'"source":"."'),
        (b'"unit":"X013"', b'"more":1,"unit":"X013"'),
        (b'receipts@v1","latest"', b'receipts@v2","latest"'),
        (b'"size":2', b'"size":0'),
        (b'"size":5', b'"size":7'),
        (b'"code":"JS-3101"', b'"code":"no"'),
        (b'{"bags"', b'{ "bags"'),
        (b'"missing":["' + b"a" * 64, b'"missing":["' + b"A" * 64),
    ],
)
def test_another_spelling_is_refused_whoever_signed_it(old: bytes, new: bytes) -> None:
    text = make().encode()
    assert old in text
    raw = sign_note(text.replace(old, new, 1), [OPERATOR]).encode()
    with pytest.raises(FormatError):
        parse_receipts(raw, OPERATOR.key)


def test_lists_are_bounded_and_name_nothing_twice() -> None:
    bags = tuple(BagAnswer(f"{number:032x}") for number in range(MAX_BAGS + 1))
    assert make(bags=bags[1:])
    with pytest.raises(LimitError):
        make(bags=bags)
    with pytest.raises(FormatError):
        make(bags=(bags[0], bags[0]))
    with pytest.raises(FormatError, match="a pack twice"):
        BagAnswer("1" * 32, ("a" * 64,), (("a" * 64, REFUSAL),))
    many = StatementAnswer(Sha256(bytes(32)), (ObjectId(bytes(32)),) * (MAX_IDS + 1))
    with pytest.raises(LimitError):
        parse_receipts(sign_receipts(make(statements=(many,)), OPERATOR), OPERATOR.key)


def test_the_files_name_says_whose_it_is() -> None:
    assert make().name == f"receipts-X013-his-{'1' * 32}.note"
    assert is_receipts_name(make().name)
    assert not any(is_receipts_name(name) for name in ("receipts-.note", ".receipts-a-b-c.note", "receipts-a/b.note"))
