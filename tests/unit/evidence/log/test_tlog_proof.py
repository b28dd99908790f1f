# SPDX-License-Identifier: Apache-2.0
"""C2SP tlog-proof: one form, both ways."""

import pytest

from evidence.digest import Sha256
from evidence.errors import FormatError, LimitError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, sign_checkpoint
from evidence.log.tlog_proof import MAX_PROOF_BYTES, TlogProof, parse_tlog_proof

LOG = Ed25519Signer.from_seed("log.example/a", KeyType.ED25519, bytes(32))
NOTE = sign_checkpoint(Checkpoint("log.example/a", 4, Sha256(bytes(32))), LOG).encode()
HASHES = (Sha256(bytes(32)), Sha256(bytes(range(32))))
PROOF = TlogProof(2, HASHES, NOTE)
TEXT = (
    b"c2sp.org/tlog-proof@v1\nindex 2\n"
    b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n" + NOTE
)


def test_proof_has_one_spelling() -> None:
    assert PROOF.encode() == TEXT
    assert parse_tlog_proof(TEXT) == PROOF


def test_proof_of_the_only_entry_has_no_hashes() -> None:
    proof = TlogProof(0, (), NOTE)
    assert proof.encode().startswith(b"c2sp.org/tlog-proof@v1\nindex 0\n\nlog.example/a\n")
    assert parse_tlog_proof(proof.encode()) == proof


def test_extra_data_stands_before_the_index() -> None:
    proof = TlogProof(2, HASHES, NOTE, b"hello")
    assert proof.encode() == TEXT.replace(b"index", b"extra aGVsbG8=\nindex", 1)
    assert parse_tlog_proof(proof.encode()) == proof


@pytest.mark.parametrize("extra", [None, b"x"])
def test_proof_cut_at_any_byte_is_refused(extra: bytes | None) -> None:
    text = TlogProof(2, HASHES, NOTE, extra).encode()
    for end in range(len(text)):
        with pytest.raises(FormatError):
            parse_tlog_proof(text[:end])


def test_flipped_bit_never_gives_the_same_proof_nor_a_second_spelling() -> None:
    for bit in range(8 * len(TEXT)):
        flipped = bytearray(TEXT)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            found = parse_tlog_proof(bytes(flipped))
        except FormatError:
            continue
        assert found != PROOF
        assert found.encode() == flipped


@pytest.mark.parametrize(
    "text",
    [
        TEXT + b"\n",
        b"\n" + TEXT,
        TEXT.replace(b"@v1", b"@v2"),
        TEXT.replace(b"index 2", b"index 02"),
        TEXT.replace(b"index 2", b"index +2"),
        TEXT.replace(b"index 2", b"index  2"),
        TEXT.replace(b"index 2\n", b"index 2\nindex 2\n"),
        TEXT.replace(b"index 2\n", b"index 2\nextra aGVsbG8=\n"),
        TEXT.replace(b"index 2\n", b"extra \nindex 2\n"),
        TEXT.replace(b"index 2\n", b"extra aGVsbG9=\nindex 2\n"),
        TEXT.replace(b"index 2\n", b"extra QQ==\nextra QQ==\nindex 2\n"),
        TEXT.replace(b"index 2\n", b""),
        TEXT.replace(b"AAA=\n", b"AAB=\n"),
        TEXT.replace(b"AAA=\n", b"AAA\n"),
        TEXT.replace(b"\n", b"\r\n"),
        TEXT.replace(b"index 2\n", "index 2\n键\n".encode()),
    ],
)
def test_other_texts_are_refused(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse_tlog_proof(text)


def test_sizes_are_bounded_before_anything_is_read() -> None:
    line = b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    parse_tlog_proof(b"c2sp.org/tlog-proof@v1\nindex 2\n" + 63 * line + b"\n" + NOTE)
    with pytest.raises(LimitError, match="64 hashes"):
        parse_tlog_proof(b"c2sp.org/tlog-proof@v1\nindex 2\n" + 64 * line + b"\n" + NOTE)
    with pytest.raises(LimitError, match="over the bound"):
        parse_tlog_proof(b"x" * (MAX_PROOF_BYTES + 1))


@pytest.mark.parametrize(
    ("index", "hashes", "note", "extra"),
    [
        (-1, HASHES, NOTE, None),
        (2**53, HASHES, NOTE, None),
        (2, (Sha256(b"short"),), NOTE, None),
        (2, HASHES * 32, NOTE, None),
        (2, HASHES, NOTE[:-1], None),
        (2, HASHES, NOTE, b""),
        (2, HASHES, NOTE, bytes(65536)),
    ],
)
def test_proof_is_valid_by_construction(
    index: int, hashes: tuple[Sha256, ...], note: bytes, extra: bytes | None
) -> None:
    with pytest.raises(FormatError):
        TlogProof(index, hashes, note, extra)
