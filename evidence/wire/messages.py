# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of `/v1`: what stands in the bodies, and on which paths. Pure.

Every body of ours is JCS with a member `format`, `jinsuo/<name>@v1`; unknown members are refused on both sides. Lists
of ids and hashes are one base64 text of 32 bytes each, in order. Notes (statements, checkpoints) travel verbatim.

    GET  /v1/center                                     -> CenterInfo            no token
    GET  /v1/nonce                                      -> NonceAnswer           no token
    GET  /v1/log/checkpoint, /v1/log/tile/…             -> the file, as C2SP tlog-tiles has it; no token
    GET  /v1/tls                                        -> announcements of TLS keys (`evidence.wire.announcement`); no token
    POST /v1/enroll                      EnrolRequest   -> EnrolAnswer           token of unit `-` by the new key
    POST /v1/sources/SOURCE              DepositRequest -> DepositAnswer
    POST /v1/sources/SOURCE/recover      RecoverRequest -> RecoverAnswer
    POST /v1/missing                     MissingRequest -> MissingAnswer
    PUT  /v1/packs/NAME?source=SOURCE    the pack       -> PackAnswer
    POST /v1/statements?source=SOURCE[&register=1]  the note -> StatementAnswer
    GET  /v1/statements/latest?source=SOURCE            -> LatestAnswer
    GET  /v1/receipts/DIGEST                            -> a receipt
    POST /v1/cosignatures                CosignRequest  -> CosignAnswer
    POST /v1/heartbeats                  Heartbeat      -> HeardAnswer           `evidence.wire.heartbeat`
    anything that fails                                 -> Refusal               {"code","hint","message"}

Headers: `Authorization: Jinsuo <token>`, `Jinsuo-Checkpoint: <base64 of the newest checkpoint's note that the agent has
seen>`, and in every answer `Jinsuo-Nonce: <nonce for a next request>`; where a TLS key has been announced, also `Jinsuo-Tls:
<hex SHA-256 of the newest one's SubjectPublicKeyInfo>`. Source: design section 6.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from evidence.digest import HASH_SIZE, ObjectId, Sha256
from evidence.encode import (
    Json,
    encode_base64,
    encode_json,
    expect_integer,
    expect_list,
    expect_text,
    parse_base64,
    parse_json,
    parse_members,
)
from evidence.errors import FormatError, LimitError
from evidence.keys.key import KeyType, VerificationKey, parse_vkey
from evidence.manifest.entry import Level
from evidence.manifest.grammar import check_source_name, check_unit_name
from evidence.manifest.receipt import Receipt, read_receipt
from evidence.note.signed import SignatureLine, parse_note
from evidence.wire.enrolment import SECRET_BYTES
from evidence.wire.secrets import SEALED_BYTES
from evidence.wire.token import Nonce, parse_nonce

HEADER_NONCE: Final = "Jinsuo-Nonce"
HEADER_CHECKPOINT: Final = "Jinsuo-Checkpoint"
HEADER_TLS: Final = "Jinsuo-Tls"

PATH_CENTER: Final = "/v1/center"
PATH_NONCE: Final = "/v1/nonce"
PATH_TLS: Final = "/v1/tls"
PATH_ENROLL: Final = "/v1/enroll"
PATH_MISSING: Final = "/v1/missing"
PATH_LATEST: Final = "/v1/statements/latest"
PATH_COSIGNATURES: Final = "/v1/cosignatures"
PATH_LOG: Final = "/v1/log/"

MAX_PACK_BYTES: Final = 16 << 20
MAX_NOTE_BYTES: Final = 64 << 10
MAX_JSON_BYTES: Final = 4 << 20
MAX_IDS: Final = 65_536
MAX_CHECKPOINT_BYTES: Final = 16 << 10
_MOST_SOURCES: Final = 10_000
_CODE = re.compile(r"JS-[0-9]{4}", re.ASCII)
_PROOF_HEADER = "jinsuo/cosigner@v1"


def path_of_source(source: str) -> str:
    """Give the path where a source's secrets are deposited."""
    check_source_name(source)
    return f"/v1/sources/{source}"


def path_of_recovery(source: str) -> str:
    """Give the path where a source's secrets are asked back."""
    return f"{path_of_source(source)}/recover"


def path_of_pack(source: str, name: str) -> str:
    """Give the path to put a pack."""
    check_source_name(source)
    return f"/v1/packs/{name}?source={source}"


def path_of_statements(source: str, register_only: bool = False) -> str:
    """Give the path to submit a statement; `register_only`: although content is missing."""
    check_source_name(source)
    return f"/v1/statements?source={source}{'&register=1' if register_only else ''}"


def path_of_latest(source: str) -> str:
    """Give the path of a source's latest statement."""
    check_source_name(source)
    return f"{PATH_LATEST}?source={source}"


def path_of_receipt(digest: Sha256) -> str:
    """Give the path of the receipt of the statement with this digest."""
    return f"/v1/receipts/{digest.hex()}"


@dataclass(frozen=True, slots=True)
class CenterInfo:
    """Who the center is: its log's key, its operator's key, the X25519 key to seal secrets to, and what it speaks."""

    log_key: VerificationKey
    operator_key: VerificationKey
    sealing_key: bytes
    software: str
    versions: tuple[str, ...] = ("v1",)

    format: ClassVar[str] = "jinsuo/center@v1"

    def __post_init__(self) -> None:
        kinds = (self.log_key.kind, self.operator_key.kind)
        if kinds != (KeyType.ED25519, KeyType.ED25519) or self.operator_key.name != f"{self.log_key.name}/operator":
            raise FormatError(f"the operator's key of {self.log_key.name} is named {self.operator_key.name}")

    @property
    def origin(self) -> str:
        """Give the log's origin."""
        return self.log_key.name

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(
            self.format,
            operator=self.operator_key.vkey,
            origin=self.origin,
            sealing=encode_base64(self.sealing_key),
            software=self.software,
            versions=list(self.versions),
            vkey=self.log_key.vkey,
        )


def parse_center_info(raw: bytes) -> CenterInfo:
    """Read a CenterInfo. Raises: FormatError."""
    members = _parse(raw, CenterInfo.format, {"operator", "origin", "sealing", "software", "versions", "vkey"})
    info = CenterInfo(
        parse_vkey(_text(members, "vkey")),
        parse_vkey(_text(members, "operator")),
        _bytes(members, "sealing", 32),
        _text(members, "software"),
        tuple(expect_text(item, "a version") for item in expect_list(members["versions"], "versions", 16)),
    )
    if members["origin"] != info.origin:
        raise FormatError(f"the origin {members['origin']!r:.80} is not the name of the log's key, {info.origin}")
    return info


@dataclass(frozen=True, slots=True)
class NonceAnswer:
    """A nonce for a next request."""

    nonce: Nonce

    format: ClassVar[str] = "jinsuo/nonce@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(self.format, nonce=self.nonce.encode())


def parse_nonce_answer(raw: bytes) -> NonceAnswer:
    """Read a NonceAnswer. Raises: FormatError."""
    return NonceAnswer(parse_nonce(_text(_parse(raw, NonceAnswer.format, {"nonce"}), "nonce")))


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """The secret of a code, and the new agent's public keys. `proof`: the cosigner key's over `cosigner_proof_text`."""

    secret: bytes
    statement_key: bytes
    cosigner_key: bytes
    proof: bytes

    format: ClassVar[str] = "jinsuo/enrol@v1"

    def __repr__(self) -> str:
        return f"EnrolRequest(secret=…, statement_key={self.statement_key.hex()})"

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(
            self.format,
            cosigner=encode_base64(self.cosigner_key),
            proof=encode_base64(self.proof),
            secret=encode_base64(self.secret),
            statement=encode_base64(self.statement_key),
        )


def parse_enrol_request(raw: bytes) -> EnrolRequest:
    """Read an EnrolRequest; nothing is verified. Raises: FormatError."""
    members = _parse(raw, EnrolRequest.format, {"cosigner", "proof", "secret", "statement"})
    return EnrolRequest(
        _bytes(members, "secret", SECRET_BYTES),
        _bytes(members, "statement", 32),
        _bytes(members, "cosigner", 32),
        _bytes(members, "proof", 64),
    )


def cosigner_proof_text(origin: str, statement_key: bytes, cosigner_key: bytes) -> bytes:
    """Give what a cosigner key signs at enrolment, so that no unit can pass another's cosigner key off as its own.

    `jinsuo/cosigner@v1 LF origin LF base64(statement key) LF base64(cosigner key) LF`
    """
    keys = f"{encode_base64(statement_key)}\n{encode_base64(cosigner_key)}"
    return f"{_PROOF_HEADER}\n{origin}\n{keys}\n".encode()


@dataclass(frozen=True, slots=True)
class EnrolAnswer:
    """Which unit the agent is now, and which sources the unit has had."""

    unit: str
    name: str
    sources: tuple[str, ...]

    format: ClassVar[str] = "jinsuo/enrolled@v1"

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        for source in self.sources:
            check_source_name(source)

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(self.format, name=self.name, sources=list(self.sources), unit=self.unit)


def parse_enrol_answer(raw: bytes) -> EnrolAnswer:
    """Read an EnrolAnswer. Raises: FormatError."""
    members = _parse(raw, EnrolAnswer.format, {"name", "sources", "unit"})
    sources = expect_list(members["sources"], "sources", _MOST_SOURCES)
    return EnrolAnswer(
        _text(members, "unit"), _text(members, "name"), tuple(expect_text(item, "a source") for item in sources)
    )


@dataclass(frozen=True, slots=True)
class DepositRequest:
    """A source's secrets, sealed to the center's sealing key (`evidence.wire.secrets`)."""

    sealed: bytes

    format: ClassVar[str] = "jinsuo/deposit@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(self.format, sealed=encode_base64(self.sealed))


def parse_deposit_request(raw: bytes) -> DepositRequest:
    """Read a DepositRequest. Raises: FormatError."""
    return DepositRequest(_bytes(_parse(raw, DepositRequest.format, {"sealed"}), "sealed", SEALED_BYTES))


@dataclass(frozen=True, slots=True)
class DepositAnswer:
    """The secrets are kept; `new` False: they were before."""

    new: bool

    format: ClassVar[str] = "jinsuo/deposited@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(self.format, new=self.new)


def parse_deposit_answer(raw: bytes) -> DepositAnswer:
    """Read a DepositAnswer. Raises: FormatError."""
    return DepositAnswer(_flag(_parse(raw, DepositAnswer.format, {"new"}), "new"))


@dataclass(frozen=True, slots=True)
class RecoverRequest:
    """An X25519 key, made for this request, to which the center seals a source's secrets."""

    public: bytes

    format: ClassVar[str] = "jinsuo/recover@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(self.format, public=encode_base64(self.public))


def parse_recover_request(raw: bytes) -> RecoverRequest:
    """Read a RecoverRequest. Raises: FormatError."""
    return RecoverRequest(_bytes(_parse(raw, RecoverRequest.format, {"public"}), "public", 32))


@dataclass(frozen=True, slots=True)
class RecoverAnswer:
    """A source's secrets, sealed to the request's key."""

    sealed: bytes

    format: ClassVar[str] = "jinsuo/recovered@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(self.format, sealed=encode_base64(self.sealed))


def parse_recover_answer(raw: bytes) -> RecoverAnswer:
    """Read a RecoverAnswer. Raises: FormatError."""
    return RecoverAnswer(_bytes(_parse(raw, RecoverAnswer.format, {"sealed"}), "sealed", SEALED_BYTES))


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
        return _encode(self.format, ids=_encode_ids(self.ids), source=self.source)


def parse_missing_request(raw: bytes) -> MissingRequest:
    """Read a MissingRequest. Raises: FormatError, LimitError."""
    members = _parse(raw, MissingRequest.format, {"ids", "source"})
    return MissingRequest(_text(members, "source"), _parse_ids(members["ids"], "ids"))


@dataclass(frozen=True, slots=True)
class MissingAnswer:
    """The ids that are absent at the center."""

    ids: tuple[ObjectId, ...]

    format: ClassVar[str] = "jinsuo/absent@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(self.format, ids=_encode_ids(self.ids))


def parse_missing_answer(raw: bytes) -> MissingAnswer:
    """Read a MissingAnswer. Raises: FormatError, LimitError."""
    return MissingAnswer(_parse_ids(_parse(raw, MissingAnswer.format, {"ids"})["ids"], "ids"))


@dataclass(frozen=True, slots=True)
class PackAnswer:
    """The pack is durable, each of its objects re-hashed; `new` False: it was there before."""

    new: bool
    objects: int

    format: ClassVar[str] = "jinsuo/pack@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(self.format, new=self.new, objects=self.objects)


def parse_pack_answer(raw: bytes) -> PackAnswer:
    """Read a PackAnswer. Raises: FormatError."""
    members = _parse(raw, PackAnswer.format, {"new", "objects"})
    return PackAnswer(_flag(members, "new"), expect_integer(members["objects"], "objects"))


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
        return _encode(self.format, level=self.level.value, missing=_encode_ids(self.missing), receipt=receipt)


def parse_statement_answer(raw: bytes) -> StatementAnswer:
    """Read a StatementAnswer; the receipt is not verified. Raises: FormatError, LimitError."""
    members = _parse(raw, StatementAnswer.format, {"level", "missing", "receipt"})
    level = members["level"]
    if level not in list(Level):
        raise FormatError(f"a level is one of {', '.join(Level)}, found {level!r:.40}")
    receipt = None if members["receipt"] is None else read_receipt(members["receipt"])
    return StatementAnswer(Level(str(level)), receipt, _parse_ids(members["missing"], "missing"))


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
        return _encode(
            self.format,
            receipt=None if self.receipt is None else self.receipt.to_json(),
            statement=None if self.statement is None else self.statement.decode(),
        )


def parse_latest_answer(raw: bytes) -> LatestAnswer:
    """Read a LatestAnswer; nothing is verified. Raises: FormatError, LimitError."""
    members = _parse(raw, LatestAnswer.format, {"receipt", "statement"})
    receipt = None if members["receipt"] is None else read_receipt(members["receipt"])
    return LatestAnswer(None if members["statement"] is None else _text(members, "statement").encode(), receipt)


@dataclass(frozen=True, slots=True)
class CosignRequest:
    """A cosignature by the unit's cosigner key over the checkpoint of `size`."""

    size: int
    line: SignatureLine

    format: ClassVar[str] = "jinsuo/cosign@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return _encode(self.format, line=self.line.encode(), size=self.size)


def parse_cosign_request(raw: bytes) -> CosignRequest:
    """Read a CosignRequest; the signature is not verified. Raises: FormatError."""
    members = _parse(raw, CosignRequest.format, {"line", "size"})
    line = _text(members, "line")
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
        return _encode(self.format, new=self.new)


def parse_cosign_answer(raw: bytes) -> CosignAnswer:
    """Read a CosignAnswer. Raises: FormatError."""
    return CosignAnswer(_flag(_parse(raw, CosignAnswer.format, {"new"}), "new"))


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
    return Refusal(_text(members, "code"), _text(members, "message"), _text(members, "hint"))


def _encode(format_: str, **members: Json) -> bytes:
    return encode_json({"format": format_, **members})


def _parse(raw: bytes, format_: str, names: set[str]) -> dict[str, Json]:
    """Read a body of one format with exactly these members beside `format`."""
    if len(raw) > MAX_JSON_BYTES:
        raise LimitError(f"a body of {len(raw)} bytes is over the bound of {MAX_JSON_BYTES}")
    members = parse_members(parse_json(raw, f"a body of {format_}"), f"a body of {format_}", names | {"format"})
    if members["format"] != format_:
        raise FormatError(f"the body must have the format {format_}, found {members['format']!r:.60}")
    return members


def _text(members: dict[str, Json], name: str) -> str:
    return expect_text(members[name], name)


def _bytes(members: dict[str, Json], name: str, size: int) -> bytes:
    return parse_base64(_text(members, name), name, size)


def _flag(members: dict[str, Json], name: str) -> bool:
    value = members[name]
    if not isinstance(value, bool):
        raise FormatError(f"{name} must be true or false, found {value!r:.40}")
    return value


def _encode_ids(ids: Sequence[ObjectId]) -> str:
    if len(ids) > MAX_IDS:
        raise LimitError(f"a message names at most {MAX_IDS} objects, found {len(ids)}")
    return encode_base64(b"".join(ids))


def _parse_ids(value: Json, what: str) -> tuple[ObjectId, ...]:
    raw = parse_base64(expect_text(value, what), what)
    if len(raw) % HASH_SIZE or len(raw) > MAX_IDS * HASH_SIZE:
        raise LimitError(f"{what} must be at most {MAX_IDS} ids of {HASH_SIZE} bytes, found {len(raw)} bytes")
    return tuple(ObjectId(raw[start : start + HASH_SIZE]) for start in range(0, len(raw), HASH_SIZE))
