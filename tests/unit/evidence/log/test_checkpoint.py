# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one form, verified under the log's key."""

import pytest

from evidence.digest import EMPTY_ROOT, Sha256
from evidence.errors import EvidenceError, FormatError, SignatureError, UnknownSignerError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from evidence.note.signed import parse_note, sign_note

LOG = Ed25519Signer.from_seed("log.example/a", KeyType.ED25519, bytes(32))
OTHER = Ed25519Signer.from_seed("log.example/b", KeyType.ED25519, bytes(range(32)))
ROOT = Sha256(bytes(range(32)))
CHECKPOINT = Checkpoint("log.example/a", 70000, ROOT)
TEXT = b"log.example/a\n70000\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"


def test_checkpoint_has_one_spelling() -> None:
    assert CHECKPOINT.encode() == TEXT
    assert parse_checkpoint(TEXT) == CHECKPOINT


def test_checkpoint_cut_at_any_byte_is_refused() -> None:
    for end in range(len(TEXT)):
        with pytest.raises(FormatError):
            parse_checkpoint(TEXT[:end])


def test_flipped_bit_never_gives_the_same_checkpoint_nor_a_second_spelling() -> None:
    for bit in range(8 * len(TEXT)):
        flipped = bytearray(TEXT)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            found = parse_checkpoint(bytes(flipped))
        except FormatError:
            continue
        assert found != CHECKPOINT
        assert found.encode() == flipped


@pytest.mark.parametrize(
    "text",
    [
        TEXT + b"extension\n",
        TEXT + b"\n",
        b"\n" + TEXT,
        TEXT.replace(b"70000", b"070000"),
        TEXT.replace(b"70000", b"+70000"),
        TEXT.replace(b"70000", b" 70000"),
        TEXT.replace(b"70000", b"-1"),
        TEXT.replace(b"70000", b"7_0000"),
        TEXT.replace(b"70000", b"9007199254740992"),
        TEXT.replace(b"70000", "７0000".encode()),
        TEXT.replace(b"70000", b"0"),
        TEXT.replace(b"log.example/a", b"log example/a"),
        TEXT.replace(b"log.example/a", b"log+example/a"),
        TEXT.replace(b"log.example/a", b""),
        TEXT.replace(b"log.example/a", b"\xff"),
        TEXT.replace(b"8=\n", b"8\n"),
        TEXT.replace(b"8=\n", b"9=\n"),
        TEXT.replace(b"AAEC", b"AA E"),
    ],
)
def test_other_texts_are_refused(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_checkpoint(text)


def test_empty_log_has_one_root() -> None:
    assert parse_checkpoint(Checkpoint("a", 0, EMPTY_ROOT).encode()).size == 0
    with pytest.raises(FormatError, match="size 0"):
        Checkpoint("a", 0, ROOT)


def test_signed_checkpoint_verifies_under_its_log_s_key_alone() -> None:
    note = sign_checkpoint(CHECKPOINT, LOG)
    assert verify_checkpoint(note, LOG.key) == CHECKPOINT
    with pytest.raises(UnknownSignerError):
        verify_checkpoint(note, OTHER.key)
    with pytest.raises(UnknownSignerError):
        verify_checkpoint(note, OTHER.renamed("log.example/a").key)


def test_log_cannot_sign_for_another() -> None:
    with pytest.raises(FormatError, match="cannot sign"):
        sign_checkpoint(CHECKPOINT, OTHER)
    foreign = sign_note(CHECKPOINT.encode(), [OTHER])
    with pytest.raises(SignatureError, match="for the log"):
        verify_checkpoint(foreign, OTHER.key)


def test_any_flipped_bit_of_a_signed_checkpoint_is_refused() -> None:
    raw = sign_checkpoint(CHECKPOINT, LOG).encode()
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(EvidenceError):
            verify_checkpoint(parse_note(bytes(flipped)), LOG.key)
