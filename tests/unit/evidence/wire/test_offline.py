# SPDX-License-Identifier: Apache-2.0
"""Enrolment by files: who does not know the code makes neither; one encoding; an answer belongs to one request."""

from contextlib import suppress

import pytest

from evidence.digest import Sha256, sha256
from evidence.encode import encode_base64, encode_json, parse_json
from evidence.errors import EvidenceError, FormatError, SignatureError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.wire.offline import EnrolFile, EnrolledFile, KnownSource, make_request, parse_answer, parse_request

STATEMENT = Ed25519Signer.from_seed("-", KeyType.ED25519, bytes(range(32)))
COSIGNER = Ed25519Signer.from_seed("-", KeyType.COSIGNATURE, bytes(range(1, 33)))
LOG = Ed25519Signer.from_seed("archives.example/x", KeyType.ED25519, bytes(32))
OPERATOR = Ed25519Signer.from_seed("archives.example/x/operator", KeyType.ED25519, bytes(range(2, 34)))
CODE = sha256(b"the secret of a code")
PIN = bytes(range(16))


def request(code: bytes = CODE, recovery: bytes = bytes(32)) -> EnrolFile:
    return make_request(code, PIN, STATEMENT, COSIGNER, recovery)


def answer() -> EnrolledFile:
    known = KnownSource("his", bytes(112), None)
    spki = Sha256(bytes(range(32)))
    return EnrolledFile("https://a:1", spki, LOG.key, OPERATOR.key, bytes(32), "X013", "医院", (known,))


def test_a_request_comes_back_and_fits_its_own_code_alone() -> None:
    raw = request().encode()
    assert parse_request(raw) == request()
    assert parse_request(raw).fits(CODE)
    assert not parse_request(raw).fits(sha256(b"another"))
    assert b"secret" not in raw
    assert CODE not in raw
    assert encode_base64(CODE).encode() not in raw


def test_every_flipped_bit_of_a_request_is_found() -> None:
    raw = bytearray(request().encode())
    for place in range(len(raw) * 8):
        raw[place // 8] ^= 1 << place % 8
        with suppress(EvidenceError):
            assert not parse_request(bytes(raw)).fits(CODE)
        raw[place // 8] ^= 1 << place % 8


@pytest.mark.parametrize("name", ["signature", "proof"])
def test_a_request_with_a_key_that_its_maker_does_not_hold_is_refused(name: str) -> None:
    members = parse_json(request().encode(), "a request")
    assert isinstance(members, dict)
    members[name] = encode_base64(bytes(64))
    with pytest.raises(SignatureError):
        parse_request(encode_json(members))


def test_an_answer_comes_back_to_who_made_the_request_and_knows_the_code() -> None:
    raw = answer().encode(request(), CODE)
    assert parse_answer(raw, request().text, CODE) == answer()
    for text, code in ((request(recovery=bytes(range(32))).text, CODE), (request().text, sha256(b"another"))):
        with pytest.raises(SignatureError):
            parse_answer(raw, text, code)


def test_every_flipped_bit_and_every_cut_of_an_answer_is_found() -> None:
    raw = bytearray(answer().encode(request(), CODE))
    for place in range(len(raw) * 8):
        raw[place // 8] ^= 1 << place % 8
        with pytest.raises(EvidenceError):
            parse_answer(bytes(raw), request().text, CODE)
        raw[place // 8] ^= 1 << place % 8
    for size in range(len(raw)):
        with pytest.raises(FormatError):
            parse_answer(bytes(raw[:size]), request().text, CODE)
