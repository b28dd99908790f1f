# SPDX-License-Identifier: Apache-2.0
"""Secrets of sources on their way: sealed to one key, for one place, in one direction."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evidence.errors import FormatError, SignatureError
from evidence.wire.secrets import Direction, SealedFor, SourceSecrets, open_secrets, parse_secrets, seal_secrets

SECRETS = SourceSecrets(bytes(range(32)), bytes(range(32, 64)))
PLACE = SealedFor(Direction.DEPOSIT, "log.example/t", "X013", "his")
PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()


def test_sealed_secrets_open_for_their_key_and_place() -> None:
    assert open_secrets(seal_secrets(SECRETS, PLACE, PUBLIC), PLACE, PRIVATE) == SECRETS


@pytest.mark.parametrize(
    "place",
    [
        SealedFor(Direction.RECOVER, "log.example/t", "X013", "his"),
        SealedFor(Direction.DEPOSIT, "log.example/u", "X013", "his"),
        SealedFor(Direction.DEPOSIT, "log.example/t", "X014", "his"),
        SealedFor(Direction.DEPOSIT, "log.example/t", "X013", "lis"),
    ],
)
def test_sealed_secrets_do_not_open_for_another_place(place: SealedFor) -> None:
    with pytest.raises(SignatureError, match="do not open"):
        open_secrets(seal_secrets(SECRETS, PLACE, PUBLIC), place, PRIVATE)


def test_sealed_secrets_do_not_open_for_another_key() -> None:
    with pytest.raises(SignatureError):
        open_secrets(seal_secrets(SECRETS, PLACE, PUBLIC), PLACE, X25519PrivateKey.generate())


def test_every_altered_byte_is_found() -> None:
    sealed = seal_secrets(SECRETS, PLACE, PUBLIC)
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(SignatureError):
            open_secrets(bytes(altered), PLACE, PRIVATE)


def test_another_size_is_refused() -> None:
    sealed = seal_secrets(SECRETS, PLACE, PUBLIC)
    for bad in (b"", sealed[:-1], sealed + b"\0"):
        with pytest.raises(FormatError, match="112 bytes"):
            open_secrets(bad, PLACE, PRIVATE)


def test_a_key_of_low_order_is_refused() -> None:
    with pytest.raises(FormatError, match="not a usable X25519 key"):
        seal_secrets(SECRETS, PLACE, bytes(32))


def test_secrets_have_two_times_32_bytes_and_do_not_show_themselves() -> None:
    assert parse_secrets(SECRETS.encode()) == SECRETS
    assert SECRETS.row_secret.hex() not in repr(SECRETS)
    with pytest.raises(FormatError):
        parse_secrets(bytes(63))
    with pytest.raises(FormatError):
        SourceSecrets(bytes(32), bytes(31))
