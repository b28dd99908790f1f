# SPDX-License-Identifier: Apache-2.0
"""Tokens: one text for one request; nothing else is read as one."""

import base64
from datetime import UTC, datetime

import pytest

from evidence.digest import sha256
from evidence.errors import EvidenceError, FormatError, LimitError, SignatureError, UnknownSignerError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.note.signed import parse_note, sign_note
from evidence.wire.token import (
    NOBODY,
    Nonce,
    Request,
    Token,
    check_path,
    encode_authorization,
    parse_authorization,
    parse_nonce,
    parse_token,
    verify_token,
)

SIGNER = Ed25519Signer.from_seed("X013", KeyType.ED25519, bytes(range(32)))
NONCE = Nonce(bytes(range(32)), datetime(2026, 11, 22, 1, 3, tzinfo=UTC))
TOKEN = Token("log.example/t", "X013", Request.of("POST", "/v1/statements?source=his", b"body"), NONCE)
TEXT = (
    b"jinsuo/token@v1\norigin log.example/t\nunit X013\nmethod POST\npath /v1/statements?source=his\nlength 4\n"
    b"body 230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5\n"
    b"nonce 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\nexpires 2026-11-22T01:03:00.000000Z\n"
)


def test_a_token_has_this_text() -> None:
    assert TOKEN.encode() == TEXT
    assert parse_token(TEXT) == TOKEN


def test_a_signed_token_is_read_and_verified() -> None:
    token, note = parse_authorization(encode_authorization(TOKEN, SIGNER))
    assert token == TOKEN
    verify_token(token, note, SIGNER.key)


def test_a_key_signs_under_the_name_of_the_token_s_unit() -> None:
    newcomer = Token("log.example/t", NOBODY, TOKEN.request, NONCE)
    _, note = parse_authorization(encode_authorization(newcomer, SIGNER))
    assert note.signatures[0].name == NOBODY


def test_another_unit_s_signature_does_not_verify() -> None:
    other = Ed25519Signer.from_seed("X014", KeyType.ED25519, bytes(32))
    token, note = parse_authorization(encode_authorization(TOKEN, other))
    with pytest.raises(UnknownSignerError):
        verify_token(token, note, SIGNER.key)


def test_an_altered_signature_does_not_verify() -> None:
    _, note = parse_authorization(encode_authorization(TOKEN, SIGNER))
    line = note.signatures[0]
    altered = type(line)(line.name, line.key_id, line.signature[:-1] + bytes((line.signature[-1] ^ 1,)))
    with pytest.raises(SignatureError):
        verify_token(TOKEN, type(note)(note.text, (altered,)), SIGNER.key)


def test_every_truncated_text_is_refused() -> None:
    for length in range(len(TEXT)):
        with pytest.raises(EvidenceError):
            parse_token(TEXT[:length])


def test_every_flipped_bit_gives_another_token_or_none() -> None:
    for place in range(len(TEXT) * 8):
        flipped = bytearray(TEXT)
        flipped[place // 8] ^= 1 << place % 8
        try:
            token = parse_token(bytes(flipped))
        except EvidenceError:
            continue
        assert token != TOKEN
        assert token.encode() == bytes(flipped)


@pytest.mark.parametrize(
    "change",
    [
        (b"length 4", b"length 04"),
        (b"length 4", b"length +4"),
        (b"length 4", b"length 4\nlength 4"),
        (b"method POST", b"method DELETE"),
        (b"path /v1", b"path //v1"),
        (b"path /v1/statements", b"path /v1/../statements"),
        (b"unit X013", b"unit X013/his"),
        (b"body 23", b"body 2F"),
        (b"expires 2026", b"expires 2026-"),
        (b"jinsuo/token@v1", b"jinsuo/token@v2"),
        (b"jinsuo/token@v1", b"jinsuo/statement@v1"),
    ],
)
def test_another_spelling_is_refused(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(FormatError):
        parse_token(TEXT.replace(*change))


@pytest.mark.parametrize(
    "path", ["", "v1", "/v1/a b", "/v1/%2e", "/v1/a//b", "/v1/./a", "/v1/a/..", "/v1?a?b", "/v1/é"]
)
def test_a_path_that_two_readers_could_take_differently_is_refused(path: str) -> None:
    with pytest.raises(FormatError):
        check_path(path)


def test_a_path_of_ours_is_taken() -> None:
    check_path("/v1/packs/" + "0" * 64 + "?source=his.2026-11_x")


@pytest.mark.parametrize("value", ["", "Bearer x", "Jinsuo", "Jinsuo !", "Jinsuo QR==", "jinsuo " + "QQ=="])
def test_a_header_that_is_no_token_is_refused(value: str) -> None:
    with pytest.raises(FormatError):
        parse_authorization(value)


def test_an_oversized_header_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(LimitError):
        parse_authorization("Jinsuo " + "A" * 10_000)


def test_a_token_with_two_signatures_is_refused() -> None:
    note = sign_note(TEXT, [SIGNER, SIGNER.renamed("X014")])
    with pytest.raises(FormatError, match="one signature"):
        parse_authorization("Jinsuo " + base64.b64encode(note.encode()).decode())


def test_a_statement_is_no_token() -> None:
    note = sign_note(b"jinsuo/statement@v1\nkind snapshot\n", [SIGNER])
    with pytest.raises(FormatError, match="jinsuo/token@v1"):
        parse_authorization("Jinsuo " + base64.b64encode(note.encode()).decode())
    assert parse_note(note.encode()) == note


def test_a_nonce_has_one_text() -> None:
    text = NONCE.encode()
    assert parse_nonce(text) == NONCE
    for bad in (text.upper(), text + " ", text.replace(" ", "  "), text[1:], text.partition(" ")[0]):
        with pytest.raises(FormatError):
            parse_nonce(bad)
    with pytest.raises(FormatError):
        Nonce(b"short", NONCE.expires)


def test_a_request_binds_the_hash_of_its_body() -> None:
    assert Request.of("GET", "/v1/a").body == sha256(b"")
    with pytest.raises(FormatError):
        Request("GET", "/v1/a", -1, bytes(32))
