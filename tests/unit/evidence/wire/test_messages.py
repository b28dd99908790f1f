# SPDX-License-Identifier: Apache-2.0
"""Bodies of /v1: each has one encoding, and nothing else is read as it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import pytest

from evidence.digest import EMPTY_ROOT, ObjectId, Sha256, leaf_hash
from evidence.encode import encode_json
from evidence.errors import EvidenceError, FormatError, LimitError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, sign_checkpoint
from evidence.log.tlog_proof import TlogProof
from evidence.manifest.entry import Entry, Level
from evidence.manifest.receipt import Receipt
from evidence.note.cosign import cosign
from evidence.note.signed import sign_note
from evidence.wire import introduction, paths
from evidence.wire import messages as m
from evidence.wire.body import MAX_IDS, MAX_JSON_BYTES
from evidence.wire.token import Nonce

ORIGIN = "log.example/t"
LOG = Ed25519Signer.from_seed(ORIGIN, KeyType.ED25519, bytes(range(32)))
OPERATOR = Ed25519Signer.from_seed(f"{ORIGIN}/operator", KeyType.ED25519, bytes(32))
WITNESS = Ed25519Signer.from_seed("X013", KeyType.COSIGNATURE, bytes(range(1, 33)))
NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)
NOTE = sign_note(b"jinsuo/statement@v1\n\xe9\x87\x91\xe9\x94\x81\n", [LOG]).encode()
ENTRY = Entry("statement", Level.STORED, NOW, NOTE).encode()
CHECKPOINT = sign_checkpoint(Checkpoint(ORIGIN, 1, leaf_hash(ENTRY)), LOG)
RECEIPT = Receipt(ENTRY, TlogProof(0, (), CHECKPOINT.encode()))
IDS = (ObjectId(bytes(32)), ObjectId(bytes(range(32))))


class Encodable(Protocol):
    def encode(self) -> bytes: ...


CASES: list[tuple[Encodable, Callable[[bytes], object]]] = [
    (introduction.CenterInfo(LOG.key, OPERATOR.key, bytes(32), "0.1.0"), introduction.parse_center_info),
    (introduction.NonceAnswer(Nonce(bytes(32), NOW)), introduction.parse_nonce_answer),
    (introduction.EnrolRequest(bytes(16), bytes(32), bytes(range(32)), bytes(64)), introduction.parse_enrol_request),
    (introduction.EnrolAnswer("X013", "市第一人民医院", ("his", "scans")), introduction.parse_enrol_answer),
    (m.DepositRequest(bytes(112)), m.parse_deposit_request),
    (m.DepositAnswer(True), m.parse_deposit_answer),
    (m.RecoverRequest(bytes(32)), m.parse_recover_request),
    (m.RecoverAnswer(bytes(112)), m.parse_recover_answer),
    (m.MissingRequest("his", IDS), m.parse_missing_request),
    (m.MissingAnswer(()), m.parse_missing_answer),
    (m.PackAnswer(False, 7), m.parse_pack_answer),
    (m.StatementAnswer(Level.NONE, None, IDS), m.parse_statement_answer),
    (m.StatementAnswer(Level.STORED, RECEIPT, ()), m.parse_statement_answer),
    (m.LatestAnswer(NOTE, RECEIPT), m.parse_latest_answer),
    (m.LatestAnswer(None, None), m.parse_latest_answer),
    (m.CosignRequest(1, cosign(CHECKPOINT.text, WITNESS, 1_700_000_000)), m.parse_cosign_request),
    (m.CosignAnswer(True), m.parse_cosign_answer),
    (m.Refusal("JS-3104", "没有令牌", "enrol"), m.parse_refusal),
]
each_message = pytest.mark.parametrize(
    ("message", "parse"), CASES, ids=[type(c[0]).__name__ + str(i) for i, c in enumerate(CASES)]
)


@each_message
def test_what_is_written_is_read_as_itself(message: Encodable, parse: Callable[[bytes], object]) -> None:
    assert parse(message.encode()) == message


@each_message
def test_a_body_cut_at_any_byte_is_refused(message: Encodable, parse: Callable[[bytes], object]) -> None:
    raw = message.encode()
    for length in range(len(raw)):
        with pytest.raises(EvidenceError):
            parse(raw[:length])


@each_message
def test_a_flipped_bit_is_refused_or_gives_another_message(
    message: Encodable, parse: Callable[[bytes], object]
) -> None:
    raw = message.encode()
    for place in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[place // 8] ^= 1 << place % 8
        try:
            other = parse(bytes(flipped))
        except EvidenceError:
            continue
        assert other != message
        assert other.encode() == bytes(flipped)  # type: ignore[attr-defined]  # every message encodes


@each_message
def test_an_unknown_member_is_refused(message: Encodable, parse: Callable[[bytes], object]) -> None:
    raw = message.encode()
    with pytest.raises(FormatError, match="unknown members"):
        parse(raw[:-1] + b',"zzz":1}')


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"null", b"\xff", b'{"format":"jinsuo/missing@v2","ids":"","source":"his"}']
)
def test_another_body_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        m.parse_missing_request(raw)


def test_an_oversized_body_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitError):
        m.parse_missing_request(b" " * (MAX_JSON_BYTES + 1))


def test_more_ids_than_a_message_names_are_refused_both_ways() -> None:
    ids = (ObjectId(bytes(32)),) * (MAX_IDS + 1)
    with pytest.raises(LimitError):
        m.MissingRequest("his", ids).encode()
    with pytest.raises(LimitError):
        m.MissingAnswer(ids).encode()


def test_ids_of_another_length_are_refused() -> None:
    raw = encode_json({"format": "jinsuo/absent@v1", "ids": "QQ=="})
    with pytest.raises(LimitError, match="32 bytes"):
        m.parse_missing_answer(raw)


def test_a_full_request_for_missing_objects_fits_the_bound_of_a_body() -> None:
    raw = m.MissingRequest("h" * 64, (ObjectId(bytes(32)),) * MAX_IDS).encode()
    assert len(raw) <= MAX_JSON_BYTES
    assert len(m.parse_missing_request(raw).ids) == MAX_IDS


def test_a_center_whose_operator_has_another_name_is_refused() -> None:
    with pytest.raises(FormatError, match="operator"):
        introduction.CenterInfo(LOG.key, OPERATOR.key.renamed("other/operator"), bytes(32), "0")


def test_a_center_that_says_another_origin_is_refused() -> None:
    raw = CASES[0][0].encode().replace(b'"origin":"log.example/t"', b'"origin":"log.example/u"')
    with pytest.raises(FormatError, match="not the name of the log's key"):
        introduction.parse_center_info(raw)


def test_a_cosignature_is_one_line() -> None:
    line = cosign(CHECKPOINT.text, WITNESS, 1).encode()
    raw = encode_json({"format": "jinsuo/cosign@v1", "line": line + line, "size": 1})
    with pytest.raises(FormatError):
        m.parse_cosign_request(raw)


def test_a_latest_statement_comes_with_its_receipt() -> None:
    with pytest.raises(FormatError):
        m.LatestAnswer(NOTE, None)


def test_paths_are_those_of_the_documentation() -> None:
    digest = Sha256(bytes(32))
    assert [
        paths.path_of_source("his"),
        paths.path_of_recovery("his"),
        paths.path_of_pack("his", "0" * 64),
        paths.path_of_statements("his"),
        paths.path_of_statements("his", register_only=True),
        paths.path_of_latest("his"),
        paths.path_of_receipt(digest),
    ] == [
        "/v1/sources/his",
        "/v1/sources/his/recover",
        f"/v1/packs/{'0' * 64}?source=his",
        "/v1/statements?source=his",
        "/v1/statements?source=his&register=1",
        "/v1/statements/latest?source=his",
        f"/v1/receipts/{'0' * 64}",
    ]
    with pytest.raises(FormatError):
        paths.path_of_pack("a/b", "0" * 64)
    assert digest != EMPTY_ROOT


def test_an_enrolment_request_does_not_show_its_secret() -> None:
    assert (b"\xab" * 16).hex() not in repr(introduction.EnrolRequest(b"\xab" * 16, bytes(32), bytes(32), bytes(64)))


def test_a_cosigner_s_proof_has_this_text() -> None:
    text = introduction.cosigner_proof_text(ORIGIN, bytes(32), b"\xff" * 32)
    assert text == (
        b"jinsuo/cosigner@v1\nlog.example/t\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        b"//////////////////////////////////////////8=\n"
    )
