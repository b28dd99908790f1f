# SPDX-License-Identifier: Apache-2.0
"""A sealed bag that was frozen: what was made then is opened now, by the key of then."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evidence.bag.envelope import read_envelope, verify_envelope
from evidence.bag.seal import open_key, unseal_pack
from evidence.digest import pack_name
from evidence.keys.key import parse_vkey
from evidence.wire.secrets import Direction, SealedFor, open_secrets

FROZEN = json.loads(Path(__file__).with_name("bag.json").read_text(encoding="utf-8"))


def test_a_frozen_bag_opens_with_its_key() -> None:
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(FROZEN["private"]))
    note, envelope = read_envelope(FROZEN["envelope"].encode())
    verify_envelope(note, envelope, parse_vkey(FROZEN["unit_vkey"]))
    data_key = open_key(envelope.key, envelope.place, private)
    assert envelope.encode() == note.text
    assert [pack.name for pack in envelope.packs] == [pack["name"] for pack in FROZEN["packs"]]
    for bagged, pack in zip(envelope.packs, FROZEN["packs"], strict=True):
        sealed = bytes.fromhex(pack["sealed"])
        assert (pack_name([sealed]), len(sealed)) == (bagged.sealed, bagged.size)
        plain = b"".join(unseal_pack([sealed], data_key))
        assert plain == bytes.fromhex(pack["plain"])
        assert pack_name([plain]) == bagged.name
    place = SealedFor(Direction.DEPOSIT, envelope.origin, envelope.unit, envelope.source)
    assert open_secrets(envelope.secrets, place, private).encode().hex() == FROZEN["secrets"]
