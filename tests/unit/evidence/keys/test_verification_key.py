# SPDX-License-Identifier: Apache-2.0
"""A public key for which nobody needs a secret is none: its owner could disown what it has signed."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evidence.errors import FormatError
from evidence.keys.key import KeyType, VerificationKey, parse_vkey
from evidence.keys.signer import Ed25519Signer

P = 2**255 - 19
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
Y = int.from_bytes(ORDER_8, "little")
SMALL = [0, 1, Y, P - Y, P - 1, P, P + 1]


def test_such_a_key_verifies_what_nobody_has_signed() -> None:
    """What is refused below is a danger: the library itself takes such keys."""
    neutral = (1).to_bytes(32, "little")
    Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), b"any message at all")


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", SMALL)
@pytest.mark.parametrize("kind", KeyType)
def test_keys_of_small_order_are_refused(kind: KeyType, y: int, sign: int) -> None:
    with pytest.raises(FormatError, match=r"small order.*anybody can sign"):
        VerificationKey("X013", kind, (y | sign << 255).to_bytes(32, "little"))


def test_other_keys_are_not() -> None:
    key = Ed25519Signer.from_seed("X013", KeyType.ED25519, bytes(range(32))).key
    assert parse_vkey(key.vkey) == key
    VerificationKey("X013", KeyType.ED25519, (2).to_bytes(32, "little"))
