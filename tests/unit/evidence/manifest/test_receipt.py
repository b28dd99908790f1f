# SPDX-License-Identifier: Apache-2.0
"""Receipts: one spelling, and what verifying them refuses."""

from dataclasses import replace
from typing import Any

import pytest

from evidence.digest import sha256
from evidence.encode import encode_json
from evidence.errors import EvidenceError, FormatError, LimitError, ProofError, SignatureError, UnknownSignerError
from evidence.manifest.entry import Level
from evidence.manifest.receipt import MAX_RECEIPT_BYTES, parse_receipt, verify_receipt
from tests.builders.bundles import LOG, ORIGIN, MadeLog, MadeSnapshot, signer

NOTE = MadeSnapshot(contents={}).note()


def _receipt(log: MadeLog | None = None):  # type: ignore[no-untyped-def]  # the type is the builder's
    log = log or MadeLog()
    return log.receipt(log.add("statement", Level.STORED, NOTE))


def test_receipt_reads_as_it_is_written() -> None:
    receipt = _receipt()

    assert parse_receipt(receipt.encode()) == receipt


def test_verified_receipt_tells_entry_place_and_checkpoint() -> None:
    verified = verify_receipt(_receipt(), LOG.key)

    assert (verified.index, verified.checkpoint.size, verified.checkpoint.origin) == (5, 6, ORIGIN)
    assert verified.entry.note == NOTE.encode()
    assert len(verified.note.signatures) == 2


def test_every_flipped_bit_is_refused_or_read_as_another_receipt() -> None:
    raw = _receipt().encode()
    for position in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[position // 8] ^= 1 << position % 8
        try:
            verified = verify_receipt(parse_receipt(bytes(flipped)), LOG.key)
        except EvidenceError:
            continue
        # Only the line of a cosigner can differ: the log's key cannot speak for it; `evidence.verify` does.
        assert verified.entry_bytes == _receipt().entry
        assert verified.note.signatures[0] == verify_receipt(_receipt(), LOG.key).note.signatures[0]


def test_receipt_by_another_log_is_by_an_unknown_signer() -> None:
    with pytest.raises(UnknownSignerError):
        verify_receipt(_receipt(MadeLog(signer("other.example/log", 40))), LOG.key)


def test_receipt_signed_by_another_key_under_the_same_name_is_unknown() -> None:
    with pytest.raises(UnknownSignerError):
        verify_receipt(_receipt(MadeLog(signer(ORIGIN, 41))), LOG.key)


def test_false_signature_of_the_log_is_refused() -> None:
    receipt = _receipt()
    checkpoint = bytearray(receipt.proof.checkpoint)
    start = checkpoint.index(b"\n6\n")
    checkpoint[start + 1 : start + 2] = b"7"

    with pytest.raises(SignatureError):
        verify_receipt(replace(receipt, proof=replace(receipt.proof, checkpoint=bytes(checkpoint))), LOG.key)


def test_other_entry_index_or_path_is_refused() -> None:
    receipt = _receipt()
    proof = receipt.proof
    with pytest.raises(ProofError):
        verify_receipt(replace(receipt, entry=receipt.entry[:-1]), LOG.key)
    with pytest.raises(ProofError):
        verify_receipt(replace(receipt, proof=replace(proof, index=4)), LOG.key)
    with pytest.raises(ProofError):
        verify_receipt(replace(receipt, proof=replace(proof, hashes=proof.hashes[1:])), LOG.key)
    with pytest.raises(ProofError):
        verify_receipt(replace(receipt, proof=replace(proof, hashes=(*proof.hashes, sha256(b"")))), LOG.key)


@pytest.mark.parametrize("change", [{"format": "jinsuo/receipt@v2"}, {"entry": "QR=="}, {"extra": 1}, {"proof": 5}])
def test_other_members_and_encodings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        parse_receipt(encode_json({**_receipt().to_json(), **change}))


def test_extra_data_in_the_proof_is_refused() -> None:
    value = _receipt().to_json()
    value["proof"] = str(value["proof"]).replace("index ", "extra eHh4\nindex ", 1)

    with pytest.raises(FormatError, match="extra data"):
        parse_receipt(encode_json(value))


def test_receipt_with_white_space_is_refused() -> None:
    with pytest.raises(FormatError, match="canonical"):
        parse_receipt(_receipt().encode() + b"\n")


def test_oversized_receipt_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitError):
        parse_receipt(b"x" * (MAX_RECEIPT_BYTES + 1))
