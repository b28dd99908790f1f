# SPDX-License-Identifier: Apache-2.0
"""Bags by the code of `evidence` alone: a unit's keys, a center's sealing key, packs with planted text."""

import io
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evidence.bag.envelope import Envelope
from evidence.bag.seal import BagPlace
from evidence.bag.write import BagWriter
from evidence.digest import ObjectId, sha256
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.objects.object import ObjectKind, name_object
from evidence.objects.pack import PackWriter
from evidence.wire.secrets import Direction, SealedFor, SourceSecrets, seal_secrets

ORIGIN = "archives.example/bags"
NOW = datetime(2026, 11, 26, 1, tzinfo=UTC)
BAG = "00112233445566778899aabbccddeeff"
PLANTED = "张三丰 planted-secret-7731".encode()
SECRETS = SourceSecrets(bytes(range(32)), bytes(range(32, 64)))


def make_pack(bodies: Sequence[bytes], base: bytes | None = None) -> tuple[str, bytes]:
    """Give a pack of pages, coded against `base` where that pays; its name and bytes."""
    out = io.BytesIO()
    writer = PackWriter(out.write)
    based = None if base is None else (page_id(base), base)
    for body in bodies:
        writer.add(ObjectKind.PAGE, page_id(body), body, based)
    return writer.name(), out.getvalue()


def page_id(body: bytes) -> ObjectId:
    """Name a page."""
    return name_object(SECRETS.storage_key, ObjectKind.PAGE, body)


def sample_packs() -> list[tuple[str, bytes]]:
    """Give three packs: one with planted text, one that does not shrink, one coded against the first."""
    first = b"\n".join(b"%d\t%s" % (i, PLANTED) for i in range(200))
    noise = random.Random(7).randbytes(70_000)
    return [make_pack([first, b""]), make_pack([noise]), make_pack([first + b"!"], first)]


@dataclass
class Sender:
    """A unit that makes bags for one center."""

    unit: str = "X013"
    source: str = "his"
    center: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    signer: Ed25519Signer = field(
        default_factory=lambda: Ed25519Signer.from_seed("X013", KeyType.ED25519, bytes(range(3, 35)))
    )

    def write(
        self, folder: Path, packs: Sequence[tuple[str, bytes]] | None = None, notes: Sequence[bytes] = (b"a note\n",)
    ) -> Envelope:
        """Write a bag into `folder`."""
        place = BagPlace(ORIGIN, self.unit, self.source, BAG)
        public = self.center.public_key().public_bytes_raw()
        writer = BagWriter(folder, place, public)
        plain = folder.with_name("plain.pack")
        for name, raw in sample_packs() if packs is None else packs:
            plain.write_bytes(raw)
            writer.add_pack(name, plain)
        for sequence, note in enumerate(notes, 1):
            writer.add_statement(sequence, sha256(note, b"text"), note)
        sealed = seal_secrets(SECRETS, SealedFor(Direction.DEPOSIT, ORIGIN, self.unit, self.source), public)
        return writer.finish(self.signer, NOW, "jinsuo test", secrets=sealed)


def all_bytes(folder: Path) -> bytes:
    """Give the bytes of all files below a folder, and their names."""
    paths = [Path(base) / name for base, _, names in os.walk(folder) for name in names]
    return b"\n".join(str(path).encode() + b"\n" + path.read_bytes() for path in paths)
