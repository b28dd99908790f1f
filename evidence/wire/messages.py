# SPDX-License-Identifier: Apache-2.0
"""What an enrolled agent says over `/v1` and is answered, as bodies: secrets, objects, packs, statements, cosignatures. Pure.

Notes (statements, checkpoints) travel verbatim, inside a body as base64 or text. Which body goes on which path is in
`paths.py`, how a body is written in `body.py`. Source: design section 6.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from evidence.digest import ObjectId
from evidence.encode import encode_base64, encode_json, expect_integer, parse_json, parse_members
from evidence.errors import FormatError
from evidence.manifest.entry import Level
from evidence.manifest.grammar import check_source_name
from evidence.manifest.receipt import Receipt, read_receipt
from evidence.note.signed import SignatureLine, parse_note
from evidence.wire.body import encode_body, encode_ids, get_bytes, get_flag, get_text, parse_body, parse_ids
from evidence.wire.secrets import SEALED_BYTES

_CODE = re.compile(r"JS-[0-9]{4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DepositRequest:
    """A source's secrets, sealed to the center's sealing key (`evidence.wire.secrets`)."""

    sealed: bytes

    format: ClassVar[str] = "jinsuo/deposit@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(self.format, sealed=encode_base64(self.sealed))


def parse_deposit_request(raw: bytes) -> DepositRequest:
    """Read a DepositRequest. Raises: FormatError."""
    return DepositRequest(get_bytes(parse_body(raw, DepositRequest.format, {"sealed"}), "sealed", SEALED_BYTES))


@dataclass(frozen=True, slots=True)
class DepositAnswer:
    """The secrets are kept; `new` False: they were before."""

    new: bool

    format: ClassVar[str] = "jinsuo/deposited@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(self.format, new=self.new)


def parse_deposit_answer(raw: bytes) -> DepositAnswer:
    """Read a DepositAnswer. Raises: FormatError."""
    return DepositAnswer(get_flag(parse_body(raw, DepositAnswer.format, {"new"}), "new"))


@dataclass(frozen=True, slots=True)
class RecoverRequest:
    """An X25519 key, made for this request, to which the center seals a source's secrets."""

    public: bytes

    format: ClassVar[str] = "jinsuo/recover@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(self.format, public=encode_base64(self.public))


def parse_recover_request(raw: bytes) -> RecoverRequest:
    """Read a RecoverRequest. Raises: FormatError."""
    return RecoverRequest(get_bytes(parse_body(raw, RecoverRequest.format, {"public"}), "public", 32))


@dataclass(frozen=True, slots=True)
class RecoverAnswer:
    """A source's secrets, sealed to the request's key."""

    sealed: bytes

    format: ClassVar[str] = "jinsuo/recovered@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(self.format, sealed=encode_base64(self.sealed))


def parse_recover_answer(raw: bytes) -> RecoverAnswer:
    """Read a RecoverAnswer. Raises: FormatError."""
    return RecoverAnswer(get_bytes(parse_body(raw, RecoverAnswer.format, {"sealed"}), "sealed", SEALED_BYTES))


@dataclass(frozen=True, slots=True)
class MissingRequest:
    """Which of these objects (at most 65,536) does the center not have?"""

    source: str
    ids: tuple[ObjectId, ...]

    format: ClassVar[str] = "jinsuo/missing@v1"

    def __post_init__(self) -> None:
        check_source_name(self.source)

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(self.format, ids=encode_ids(self.ids), source=self.source)


def parse_missing_request(raw: bytes) -> MissingRequest:
    """Read a MissingRequest. Raises: FormatError, LimitError."""
    members = parse_body(raw, MissingRequest.format, {"ids", "source"})
    return MissingRequest(get_text(members, "source"), parse_ids(members["ids"], "ids"))


@dataclass(frozen=True, slots=True)
class MissingAnswer:
    """The ids that are absent at the center."""

    ids: tuple[ObjectId, ...]

    format: ClassVar[str] = "jinsuo/absent@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(self.format, ids=encode_ids(self.ids))


def parse_missing_answer(raw: bytes) -> MissingAnswer:
    """Read a MissingAnswer. Raises: FormatError, LimitError."""
    return MissingAnswer(parse_ids(parse_body(raw, MissingAnswer.format, {"ids"})["ids"], "ids"))


@dataclass(frozen=True, slots=True)
class PackAnswer:
    """The pack is durable, each of its objects re-hashed; `new` False: it was there before."""

    new: bool
    objects: int

    format: ClassVar[str] = "jinsuo/pack@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(self.format, new=self.new, objects=self.objects)


def parse_pack_answer(raw: bytes) -> PackAnswer:
    """Read a PackAnswer. Raises: FormatError."""
    members = parse_body(raw, PackAnswer.format, {"new", "objects"})
    return PackAnswer(get_flag(members, "new"), expect_integer(members["objects"], "objects"))


@dataclass(frozen=True, slots=True)
class StatementAnswer:
    """What became of a statement: the receipt once it is logged, and what is still missing of its content."""

    level: Level
    receipt: Receipt | None
    missing: tuple[ObjectId, ...]

    format: ClassVar[str] = "jinsuo/submitted@v1"

    def encode(self) -> bytes:
        """Write the body."""
        receipt = None if self.receipt is None else self.receipt.to_json()
        return encode_body(self.format, level=self.level.value, missing=encode_ids(self.missing), receipt=receipt)


def parse_statement_answer(raw: bytes) -> StatementAnswer:
    """Read a StatementAnswer; the receipt is not verified. Raises: FormatError, LimitError."""
    members = parse_body(raw, StatementAnswer.format, {"level", "missing", "receipt"})
    level = members["level"]
    if level not in list(Level):
        raise FormatError(f"a level is one of {', '.join(Level)}, found {level!r:.40}")
    receipt = None if members["receipt"] is None else read_receipt(members["receipt"])
    return StatementAnswer(Level(str(level)), receipt, parse_ids(members["missing"], "missing"))


@dataclass(frozen=True, slots=True)
class LatestAnswer:
    """The newest statement that the center has of a source, with its receipt; both None: it has none."""

    statement: bytes | None
    receipt: Receipt | None

    format: ClassVar[str] = "jinsuo/latest@v1"

    def __post_init__(self) -> None:
        if (self.statement is None) != (self.receipt is None):
            raise FormatError("a latest statement comes with its receipt")

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(
            self.format,
            receipt=None if self.receipt is None else self.receipt.to_json(),
            statement=None if self.statement is None else self.statement.decode(),
        )


def parse_latest_answer(raw: bytes) -> LatestAnswer:
    """Read a LatestAnswer; nothing is verified. Raises: FormatError, LimitError."""
    members = parse_body(raw, LatestAnswer.format, {"receipt", "statement"})
    receipt = None if members["receipt"] is None else read_receipt(members["receipt"])
    return LatestAnswer(None if members["statement"] is None else get_text(members, "statement").encode(), receipt)


@dataclass(frozen=True, slots=True)
class CosignRequest:
    """A cosignature by the unit's cosigner key over the checkpoint of `size`."""

    size: int
    line: SignatureLine

    format: ClassVar[str] = "jinsuo/cosign@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(self.format, line=self.line.encode(), size=self.size)


def parse_cosign_request(raw: bytes) -> CosignRequest:
    """Read a CosignRequest; the signature is not verified. Raises: FormatError."""
    members = parse_body(raw, CosignRequest.format, {"line", "size"})
    line = get_text(members, "line")
    note = parse_note(b"-\n\n" + line.encode())  # a signature line stands only under a note; read it as one
    if len(note.signatures) != 1:
        raise FormatError(f"a cosignature is one line, found {len(note.signatures)}")
    return CosignRequest(expect_integer(members["size"], "size"), note.signatures[0])


@dataclass(frozen=True, slots=True)
class CosignAnswer:
    """The cosignature is kept and published; `new` False: it, or a newer checkpoint's, was there before."""

    new: bool

    format: ClassVar[str] = "jinsuo/cosigned@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return encode_body(self.format, new=self.new)


def parse_cosign_answer(raw: bytes) -> CosignAnswer:
    """Read a CosignAnswer. Raises: FormatError."""
    return CosignAnswer(get_flag(parse_body(raw, CosignAnswer.format, {"new"}), "new"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request failed: a code that can be read over a phone, one sentence, and what to do next."""

    code: str
    message: str
    hint: str

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise FormatError(f"the code of a refusal looks like JS-3104, found {self.code!r:.40}")

    def encode(self) -> bytes:
        """Write the body."""
        return encode_json({"code": self.code, "hint": self.hint, "message": self.message})


def parse_refusal(raw: bytes) -> Refusal:
    """Read a Refusal. Raises: FormatError."""
    members = parse_members(parse_json(raw, "a refusal"), "a refusal", {"code", "hint", "message"})
    return Refusal(get_text(members, "code"), get_text(members, "message"), get_text(members, "hint"))
