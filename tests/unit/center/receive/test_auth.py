# SPDX-License-Identifier: Apache-2.0
"""Nonces and tokens at the center's door."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from center.errors import BusyError, CenterError, ForbiddenError, UnauthorizedError
from center.receive.auth import Doorkeeper, Nonces
from center.registry.units import Units
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.wire.introduction import EnrolRequest, cosigner_proof_text
from evidence.wire.token import NOBODY, Nonce, Request, Token, encode_authorization
from tests.builders.receivers import ORIGIN, MovableClock, make_units

KEY = Ed25519Signer.from_seed("X013", KeyType.ED25519, b"\1" * 32)
COSIGNER = Ed25519Signer.from_seed("X013", KeyType.COSIGNATURE, b"\2" * 32)
OTHER = Ed25519Signer.from_seed("X014", KeyType.ED25519, b"\3" * 32)
OTHER_COSIGNER = Ed25519Signer.from_seed("X014", KeyType.COSIGNATURE, b"\4" * 32)
REQUEST = Request.of("POST", "/v1/missing", b"body")


class Door:
    """A doorkeeper who knows X013 and X014."""

    def __init__(self, folder: Path) -> None:
        self.clock = MovableClock()
        self.units: Units = make_units(folder, self.clock)
        for name, key, cosigner in (("X013", KEY, COSIGNER), ("X014", OTHER, OTHER_COSIGNER)):
            self.units.enroll(self.units.add(name, name).secret, key.key.public, cosigner.key.public)
        self.nonces = Nonces(self.clock)
        self.keeper = Doorkeeper(ORIGIN, self.units, self.nonces)

    def token(self, unit: str = "X013") -> Token:
        return Token(ORIGIN, unit, REQUEST, self.nonces.give())

    def admit(self, token: Token, signer: Ed25519Signer = KEY, request: Request = REQUEST) -> str:
        header = encode_authorization(token, signer)
        admitted = self.keeper.admit(header, request.method, request.path, request.length)
        assert admitted.unit is not None
        return admitted.unit.unit


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_a_unit_s_own_token_is_taken(door: Door) -> None:
    assert door.admit(door.token()) == "X013"


def test_a_token_opens_one_request_once(door: Door) -> None:
    token = door.token()
    door.admit(token)
    with pytest.raises(UnauthorizedError, match="used before"):
        door.admit(token)


def test_a_used_nonce_does_not_become_good_when_the_clock_is_put_back(door: Door) -> None:
    token = door.token()
    door.admit(token)
    door.clock.now += timedelta(hours=1)
    door.admit(door.token())
    door.clock.now -= timedelta(hours=1)
    with pytest.raises(UnauthorizedError, match="expired"):
        door.admit(token)


def test_a_token_expires_with_its_nonce(door: Door) -> None:
    token = door.token()
    door.clock.now += timedelta(minutes=3)
    with pytest.raises(UnauthorizedError, match="expired"):
        door.admit(token)


def test_an_expiry_put_off_is_found(door: Door) -> None:
    token = door.token()
    later = Nonce(token.nonce.value, token.nonce.expires + timedelta(days=1))
    with pytest.raises(UnauthorizedError, match="does not expire at"):
        door.admit(replace(token, nonce=later))


def test_an_invented_nonce_is_refused(door: Door) -> None:
    token = door.token()
    for place in (0, 8, 16, 31):
        value = bytearray(token.nonce.value)
        value[place] ^= 1
        with pytest.raises(UnauthorizedError, match="not of this center"):
            door.admit(replace(token, nonce=Nonce(bytes(value), token.nonce.expires)))


def test_a_nonce_of_before_a_restart_is_refused(door: Door) -> None:
    token = door.token()
    door.keeper = Doorkeeper(ORIGIN, door.units, Nonces(door.clock))
    with pytest.raises(UnauthorizedError):
        door.admit(token)


@pytest.mark.parametrize(
    "request_",
    [
        Request("PUT", REQUEST.path, REQUEST.length, REQUEST.body),
        Request(REQUEST.method, "/v1/missing?source=his", REQUEST.length, REQUEST.body),
        Request(REQUEST.method, REQUEST.path, REQUEST.length + 1, REQUEST.body),
    ],
)
def test_a_token_for_another_request_is_refused(door: Door, request_: Request) -> None:
    with pytest.raises(UnauthorizedError, match="the token is for POST /v1/missing with 4 bytes"):
        door.admit(door.token(), request=request_)


def test_a_token_for_another_body_is_refused(door: Door) -> None:
    header = encode_authorization(door.token(), KEY)
    admitted = door.keeper.admit(header, REQUEST.method, REQUEST.path, REQUEST.length)
    admitted.check_body(b"body")
    with pytest.raises(UnauthorizedError, match="not the one"):
        admitted.check_body(b"bodY")


def test_a_token_for_another_center_is_refused(door: Door) -> None:
    with pytest.raises(UnauthorizedError, match=ORIGIN):
        door.admit(replace(door.token(), origin="other.example/log"))


def test_a_token_by_another_unit_s_key_is_refused_and_uses_nothing_up(door: Door) -> None:
    token = door.token()
    with pytest.raises(UnauthorizedError, match="not by the key of unit X013"):
        door.admit(token, OTHER)
    assert door.admit(token) == "X013"


def test_a_token_of_a_unit_that_is_not_there_is_refused(door: Door) -> None:
    door.units.add("X015", "not enrolled")
    for unit in ("X999", "X015"):
        with pytest.raises(UnauthorizedError, match=unit):
            door.admit(door.token(unit))


def test_a_disabled_unit_is_told_so_at_once(door: Door) -> None:
    door.units.disable("X013")
    with pytest.raises(ForbiddenError, match="X013 is disabled"):
        door.admit(door.token())


def test_old_keys_count_no_more_after_a_new_enrolment(door: Door) -> None:
    code = door.units.rekey("X013")
    door.admit(door.token())
    door.units.enroll(code.secret, b"\5" * 32, b"\6" * 32)
    with pytest.raises(UnauthorizedError):
        door.admit(door.token())


@pytest.mark.parametrize("header", [None, "", "Basic eDp5", "Jinsuo QQ==", "Jinsuo " + "A" * 9000])
def test_a_header_that_is_no_token_is_refused(door: Door, header: str | None) -> None:
    with pytest.raises(UnauthorizedError):
        door.keeper.admit(header, "GET", "/v1/a", 0)


def test_used_nonces_are_bounded_and_forgotten_in_time(tmp_path: Path) -> None:
    clock = MovableClock()
    nonces = Nonces(clock, most_used=3)
    first = [nonces.give() for _ in range(4)]
    for nonce in first[:3]:
        nonces.use(nonce)
    with pytest.raises(BusyError):
        nonces.use(first[3])
    clock.now += timedelta(minutes=5)
    later = nonces.give()
    nonces.check(later)
    nonces.use(later)
    with pytest.raises(UnauthorizedError):
        nonces.use(later)


def newcomer_request(statement: Ed25519Signer, cosigner: Ed25519Signer, proof_by: Ed25519Signer) -> EnrolRequest:
    keys = (statement.key.public, cosigner.key.public)
    return EnrolRequest(bytes(16), *keys, proof_by.sign(cosigner_proof_text(ORIGIN, *keys)))


def test_a_newcomer_shows_that_it_holds_both_keys(door: Door) -> None:
    token = door.token(NOBODY)
    request = newcomer_request(KEY, COSIGNER, COSIGNER)
    admitted = door.keeper.admit(encode_authorization(token, KEY), REQUEST.method, REQUEST.path, REQUEST.length)
    assert admitted.unit is None
    door.keeper.admit_newcomer(admitted, request)
    with pytest.raises(UnauthorizedError, match="used before"):
        door.keeper.admit_newcomer(admitted, request)


@pytest.mark.parametrize(
    ("signer", "request_"),
    [
        (OTHER, newcomer_request(KEY, COSIGNER, COSIGNER)),
        (KEY, newcomer_request(KEY, COSIGNER, OTHER_COSIGNER)),
        (KEY, replace(newcomer_request(KEY, COSIGNER, COSIGNER), cosigner_key=OTHER_COSIGNER.key.public)),
    ],
)
def test_a_newcomer_with_a_key_of_somebody_else_is_refused(
    door: Door, signer: Ed25519Signer, request_: EnrolRequest
) -> None:
    header = encode_authorization(door.token(NOBODY), signer)
    admitted = door.keeper.admit(header, REQUEST.method, REQUEST.path, REQUEST.length)
    with pytest.raises(CenterError, match="not those of who sends them"):
        door.keeper.admit_newcomer(admitted, request_)
