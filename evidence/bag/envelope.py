# SPDX-License-Identifier: Apache-2.0
"""The envelope of a bag: who sends what, with which key it opens; signed by the unit, so nobody can drop forged bags. Pure.

    data/envelope.note   a signed note by the unit's statement key, named UNIT/SOURCE; its text is one line:
    JCS {"bag","checkpoint","cosignature","created","format":"jinsuo/bag@v1","key","origin","packs":[{"name","sealed","size"}],
         "sealing","secrets","set","source","statements":[{"digest","note","sequence"}],"unit","volume","volumes"} LF

    bag, set      ids, 32 hex digits each: of this bag, and of all volumes that were made together
    volume        1 to `volumes`
    key           base64, the bag's data key, sealed (`seal.py`); sealing: base64, the X25519 key to which it is
    secrets       base64, the source's secrets, sealed as in a deposit on the wire (112 bytes)
    packs         in the order in which they are to be taken in: the pack's own name, and name and size of the sealed one
    statements    by ascending sequence: the statement's digest, the SHA-256 of the note's file
    checkpoint    the note of the newest checkpoint that the agent has seen and verified, or null
    cosignature   the agent's cosignature line (with its LF) over it, or null

A bag is of one source. Everything in it that is read is named here: packs by BLAKE3, statements by SHA-256; so the lists
of hashes that BagIt asks for (`layout.py`) serve other tools and people. `created` is the agent's clock.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evidence.bag.seal import SEALED_KEY_BYTES, BagPlace
from evidence.digest import Sha256
from evidence.encode import (
    Json,
    encode_base64,
    encode_json,
    encode_time,
    expect_integer,
    expect_list,
    expect_text,
    parse_base64,
    parse_hex,
    parse_json,
    parse_members,
    parse_time,
)
from evidence.errors import FormatError, LimitError
from evidence.keys.key import VerificationKey, check_key_name
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.grammar import check_source_name, check_unit_name
from evidence.manifest.statement import key_name
from evidence.note.signed import Note, SignatureLine, parse_note, sign_note, verify_note
from evidence.objects.pack import MAX_SEALED_PACK_BYTES

FORMAT: Final = "jinsuo/bag@v1"
MAX_ENVELOPE_BYTES: Final = 8 << 20
MAX_PACKS: Final = 32_768
MAX_STATEMENTS: Final = 4_096
MAX_VOLUMES: Final = 9_999
MAX_NOTE_BYTES: Final = 32 << 10
"""Of a statement's note, as at the center's door."""
MAX_CHECKPOINT_BYTES: Final = 16 << 10
ID_BYTES: Final = 16
SEALED_SECRETS_BYTES: Final = 112
PACK_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MEMBERS: Final = {
    "bag", "checkpoint", "cosignature", "created", "format", "key", "origin", "packs", "sealing", "secrets", "set",
    "source", "statements", "unit", "volume", "volumes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BaggedPack:
    """A pack in a bag: its own `name`, name and size in bytes of the `sealed` one, which is the file in the bag."""

    name: str
    sealed: str
    size: int

    def __post_init__(self) -> None:
        for name in (self.name, self.sealed):
            if not PACK_NAME.fullmatch(name):
                raise FormatError(f"a pack's name is 64 lower-case hex digits, found {name!r:.80}")
        if not 0 < self.size <= MAX_SEALED_PACK_BYTES:
            raise LimitError(f"a sealed pack has 1 to {MAX_SEALED_PACK_BYTES} bytes, {self.sealed} has {self.size}")


@dataclass(frozen=True, slots=True)
class BaggedStatement:
    """A statement in a bag: its digest, and the SHA-256 of its note's file."""

    sequence: int
    digest: Sha256
    note: Sha256

    def __post_init__(self) -> None:
        if self.sequence < 1:
            raise FormatError(f"sequences begin at 1, found {self.sequence}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a bag says of itself. Nothing is verified by reading it."""

    bag: str
    origin: str
    unit: str
    source: str
    created: datetime
    sealing: bytes
    key: bytes
    secrets: bytes
    packs: tuple[BaggedPack, ...]
    statements: tuple[BaggedStatement, ...]
    checkpoint: bytes | None = None
    cosignature: bytes | None = None
    set_: str = ""
    volume: int = 1
    volumes: int = 1

    def __post_init__(self) -> None:
        check_key_name(self.origin)
        check_unit_name(self.unit)
        check_source(self.source)
        if not self.set_:
            object.__setattr__(self, "set_", self.bag)
        for value in (self.bag, self.set_):
            if not _ID.fullmatch(value):
                raise FormatError(f"the id of a bag is 32 lower-case hex digits, found {value!r:.80}")
        sizes = (len(self.sealing), len(self.key), len(self.secrets))
        if sizes != (32, SEALED_KEY_BYTES, SEALED_SECRETS_BYTES):
            raise FormatError(f"a bag's sealing key, sealed key and sealed secrets have {sizes} bytes")
        if not 1 <= self.volume <= self.volumes <= MAX_VOLUMES:
            raise FormatError(f"volume {self.volume} of {self.volumes} cannot be")
        self._check_lists()
        self._check_checkpoint()

    def _check_lists(self) -> None:
        if len(self.packs) > MAX_PACKS or len(self.statements) > MAX_STATEMENTS:
            raise LimitError(f"a bag has at most {MAX_PACKS} packs and {MAX_STATEMENTS} statements")
        for what, names in (("name", {p.name for p in self.packs}), ("file", {p.sealed for p in self.packs})):
            if len(names) != len(self.packs):
                raise FormatError(f"two packs of a bag have one {what}")
        sequences = [statement.sequence for statement in self.statements]
        if sequences != sorted(set(sequences)):
            raise FormatError("the statements of a bag do not ascend")

    def _check_checkpoint(self) -> None:
        if self.checkpoint is not None:
            if len(self.checkpoint) > MAX_CHECKPOINT_BYTES:
                raise LimitError(f"a checkpoint in a bag has at most {MAX_CHECKPOINT_BYTES} bytes")
            parse_note(self.checkpoint)
        if self.cosignature is not None:
            if self.checkpoint is None:
                raise FormatError("a bag has a cosignature, but no checkpoint that it is over")
            read_signature_line(self.cosignature)

    @property
    def place(self) -> BagPlace:
        """Give what the data key is bound to."""
        return BagPlace(self.origin, self.unit, self.source, self.bag)

    @property
    def folder_name(self) -> str:
        """Give the name that the bag's folder has where bags lie beside each other."""
        return f"{self.unit}-{self.source}-{self.bag}"

    def encode(self) -> bytes:
        """Write the note's text."""
        members: dict[str, Json] = {
            "bag": self.bag,
            "checkpoint": None if self.checkpoint is None else self.checkpoint.decode(),
            "cosignature": None if self.cosignature is None else self.cosignature.decode(),
            "created": encode_time(self.created),
            "format": FORMAT,
            "key": encode_base64(self.key),
            "origin": self.origin,
            "packs": [{"name": p.name, "sealed": p.sealed, "size": p.size} for p in self.packs],
            "sealing": encode_base64(self.sealing),
            "secrets": encode_base64(self.secrets),
            "set": self.set_,
            "source": self.source,
            "statements": [
                {"digest": s.digest.hex(), "note": s.note.hex(), "sequence": s.sequence} for s in self.statements
            ],
            "unit": self.unit,
            "volume": self.volume,
            "volumes": self.volumes,
        }
        return encode_json(members) + b"\n"


def check_source(source: str) -> None:
    """Raises: FormatError unless `source` can name a source, and a folder: `.` and `..` cannot."""
    check_source_name(source)
    if not source.strip("."):
        raise FormatError(f"a source of a bag cannot be named {source!r}: its name is a folder's")


def sign_envelope(envelope: Envelope, signer: Ed25519Signer) -> bytes:
    """Give the envelope's note; `signer` is the unit's statement key under any name. Raises: LimitError."""
    named = signer.renamed(key_name(envelope.unit, envelope.source))
    return sign_note(envelope.encode(), [named], MAX_ENVELOPE_BYTES).encode()


def read_envelope(raw: bytes) -> tuple[Note, Envelope]:
    """Read an envelope's note; nothing is verified yet. Raises: FormatError, LimitError."""
    note = parse_note(raw, MAX_ENVELOPE_BYTES)
    return note, _parse(note.text)


def verify_envelope(note: Note, envelope: Envelope, key: VerificationKey) -> None:
    """Verify that the unit whose statement key is `key` (under any name) has signed the envelope, and nobody else.

    Raises: FormatError, SignatureError, UnknownSignerError.
    """
    if len(note.signatures) != 1:
        raise FormatError(f"the envelope carries {len(note.signatures)} signatures, expected one")
    verify_note(note, [key.renamed(key_name(envelope.unit, envelope.source))])


def read_signature_line(raw: bytes) -> SignatureLine:
    """Read one signature line with its LF. Raises: FormatError."""
    if raw.count(b"\n") != 1 or not raw.endswith(b"\n"):
        raise FormatError("a signature line is one line that ends in LF")
    return parse_note(b"-\n\n" + raw).signatures[0]


def _parse(text: bytes) -> Envelope:
    what = "a bag's envelope"
    if text.count(b"\n") != 1:
        raise FormatError(f"{what} has one line above its signature")
    members = parse_members(parse_json(text[:-1], what), what, _MEMBERS)
    if members["format"] != FORMAT:
        raise FormatError(f"the format of {what} must be {FORMAT}, found {members['format']!r:.60}")
    texts = {name: expect_text(members[name], f"{name} of {what}") for name in _TEXTS}
    envelope = Envelope(
        bag=texts["bag"],
        origin=texts["origin"],
        unit=texts["unit"],
        source=texts["source"],
        created=parse_time(texts["created"], f"created of {what}"),
        sealing=parse_base64(texts["sealing"], "sealing", 32),
        key=parse_base64(texts["key"], "key", SEALED_KEY_BYTES),
        secrets=parse_base64(texts["secrets"], "secrets", SEALED_SECRETS_BYTES),
        packs=tuple(_pack(item) for item in expect_list(members["packs"], "packs", MAX_PACKS)),
        statements=tuple(_statement(item) for item in expect_list(members["statements"], "statements", MAX_STATEMENTS)),
        checkpoint=_bytes(members["checkpoint"], "checkpoint"),
        cosignature=_bytes(members["cosignature"], "cosignature"),
        set_=texts["set"],
        volume=expect_integer(members["volume"], "volume", MAX_VOLUMES),
        volumes=expect_integer(members["volumes"], "volumes", MAX_VOLUMES),
    )
    if envelope.encode() != text:
        raise FormatError(f"{what} is readable, but not in its one canonical form")
    return envelope


_TEXTS: Final = ("bag", "created", "key", "origin", "sealing", "secrets", "set", "source", "unit")


def _bytes(value: Json, what: str) -> bytes | None:
    return None if value is None else expect_text(value, what).encode()


def _pack(value: Json) -> BaggedPack:
    members = parse_members(value, "a pack of a bag", {"name", "sealed", "size"})
    return BaggedPack(
        expect_text(members["name"], "a pack's name"),
        expect_text(members["sealed"], "a sealed pack's name"),
        expect_integer(members["size"], "a sealed pack's size", MAX_SEALED_PACK_BYTES),
    )


def _statement(value: Json) -> BaggedStatement:
    members = parse_members(value, "a statement of a bag", {"digest", "note", "sequence"})
    return BaggedStatement(
        expect_integer(members["sequence"], "a statement's sequence"),
        Sha256(parse_hex(expect_text(members["digest"], "digest"), "a statement's digest", 32)),
        Sha256(parse_hex(expect_text(members["note"], "note"), "the SHA-256 of a statement's note", 32)),
    )
