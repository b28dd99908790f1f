# SPDX-License-Identifier: Apache-2.0
"""What comes back for bags: receipts, the newest checkpoint with proofs, what was missing or refused. Pure.

    receipts-UNIT-SOURCE-BAG.note   a signed note by the center's operator key, ORIGIN/operator; its text is one line:
    JCS {"bags":[{"bag","missing":[names],"refusal","refused":[{"pack","refusal"}]}],"checkpoint","created",
         "format":"jinsuo/receipts@v1","latest":{"receipt","statement"}|null,"origin","proofs":[{"hashes","size"}],
         "receipts":[…],"source","statements":[{"digest","missing","refusal"}],"unit"} LF

    bags         the bag that is answered first, then those before it: packs that were missing or damaged in it by their own
                 names, packs that were refused, or why all of it was (null: it was taken). All others of its packs are durable
    receipts     of statements of this source, under `checkpoint`, each in a place that the checkpoint shown did not cover
    statements   those that are not all here: what objects are missing (base64, 32 bytes each), or why it was refused
    proofs       hashes (base64, 32 bytes each) by which `checkpoint` continues the one of `size`: that which the agent
                 showed, and those that files before this one have brought; ascending
    latest       the newest statement of the source at the center, and its receipt
    refusal      {"code","hint","message"}

Receipts and checkpoint bear the log's own signature, and the reader verifies that; the operator's is for the rest, so
that nobody can drop a file that makes an agent give something up. Each file stands for those before it, too.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evidence.bag.envelope import MAX_CHECKPOINT_BYTES, MAX_PACKS, MAX_STATEMENTS, PACK_NAME, check_source
from evidence.digest import HASH_SIZE, ObjectId, Sha256
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
from evidence.keys.key import VerificationKey
from evidence.keys.signer import Signer
from evidence.log.checkpoint import parse_checkpoint
from evidence.manifest.grammar import check_unit_name
from evidence.manifest.receipt import Receipt, read_receipt
from evidence.note.signed import parse_note, sign_note, verify_note

FORMAT: Final = "jinsuo/receipts@v1"
MAX_FILE_BYTES: Final = 16 << 20
MAX_BAGS: Final = 256
MAX_RECEIPTS: Final = 512
MAX_PROOFS: Final = 256
MAX_IDS: Final = 4_096
"""Of one statement; after these are sent, the next file names more."""
_MAX_PROOF_HASHES: Final = 64
_CODE = re.compile(r"JS-[0-9]{4}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_NAME = re.compile(r"receipts-[A-Za-z0-9._-]{3,162}\.note", re.ASCII)
_MEMBERS: Final = {
    "bags", "checkpoint", "created", "format", "latest", "origin", "proofs", "receipts", "source", "statements", "unit",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was refused: the center's code, one sentence, what to do."""

    code: str
    message: str
    hint: str

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise FormatError(f"an error code looks like JS-3101, found {self.code!r:.60}")

    def to_json(self) -> dict[str, Json]:
        """Give it as JSON."""
        return {"code": self.code, "hint": self.hint, "message": self.message}


@dataclass(frozen=True, slots=True)
class BagAnswer:
    """What became of a bag. `missing`: packs that were absent or damaged; `refused`: packs whose content was not taken."""

    bag: str
    missing: tuple[str, ...] = ()
    refused: tuple[tuple[str, Refusal], ...] = ()
    refusal: Refusal | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.bag):
            raise FormatError(f"the id of a bag is 32 lower-case hex digits, found {self.bag!r:.80}")
        names = [*self.missing, *(name for name, _ in self.refused)]
        if len(names) > MAX_PACKS or len(set(names)) != len(names):
            raise FormatError(f"the answer to bag {self.bag} names a pack twice, or more than {MAX_PACKS}")
        if not all(PACK_NAME.fullmatch(name) for name in names):
            raise FormatError(f"the answer to bag {self.bag} names something that is no pack")

    def to_json(self) -> dict[str, Json]:
        """Give it as JSON."""
        return {
            "bag": self.bag,
            "missing": list(self.missing),
            "refusal": None if self.refusal is None else self.refusal.to_json(),
            "refused": [{"pack": name, "refusal": refusal.to_json()} for name, refusal in self.refused],
        }


@dataclass(frozen=True, slots=True)
class StatementAnswer:
    """A statement that is not all at the center: `missing` objects of its content, or why it was refused."""

    digest: Sha256
    missing: tuple[ObjectId, ...] = ()
    refusal: Refusal | None = None

    def to_json(self) -> dict[str, Json]:
        """Give it as JSON."""
        return {
            "digest": self.digest.hex(),
            "missing": encode_base64(b"".join(self.missing)),
            "refusal": None if self.refusal is None else self.refusal.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Proof:
    """The hashes by which the checkpoint continues that of `size` entries."""

    size: int
    hashes: tuple[Sha256, ...]

    def to_json(self) -> dict[str, Json]:
        """Give it as JSON."""
        return {"hashes": encode_base64(b"".join(self.hashes)), "size": self.size}


@dataclass(frozen=True, slots=True)
class Receipts:
    """One file. What it says of the log is verified by whoever uses it."""

    origin: str
    unit: str
    source: str
    created: datetime
    checkpoint: bytes
    bags: tuple[BagAnswer, ...]
    receipts: tuple[Receipt, ...] = ()
    statements: tuple[StatementAnswer, ...] = ()
    proofs: tuple[Proof, ...] = ()
    latest: tuple[bytes, Receipt] | None = None

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        check_source(self.source)
        if len(self.checkpoint) > MAX_CHECKPOINT_BYTES:
            raise LimitError(f"a checkpoint has at most {MAX_CHECKPOINT_BYTES} bytes")
        size = self.size
        if not 1 <= len(self.bags) <= MAX_BAGS or len(self.receipts) > MAX_RECEIPTS:
            raise LimitError(f"a file of receipts is about 1 to {MAX_BAGS} bags, and at most {MAX_RECEIPTS} receipts")
        if len({answer.bag for answer in self.bags}) != len(self.bags):
            raise FormatError("a file of receipts answers a bag twice")
        sizes = [proof.size for proof in self.proofs]
        if sizes != sorted(set(sizes)) or any(not 0 < known < size for known in sizes):
            raise FormatError(f"the proofs of a file of receipts ascend, and are from sizes below its own, {size}")

    @property
    def size(self) -> int:
        """Give the size of the checkpoint."""
        return parse_checkpoint(parse_note(self.checkpoint).text).size

    @property
    def name(self) -> str:
        """Give the name that the file has."""
        return f"receipts-{self.unit}-{self.source}-{self.bags[0].bag}.note"

    def encode(self) -> bytes:
        """Write the note's text."""
        latest: Json = None
        if self.latest is not None:
            latest = {"receipt": self.latest[1].to_json(), "statement": self.latest[0].decode()}
        members: dict[str, Json] = {
            "bags": [answer.to_json() for answer in self.bags],
            "checkpoint": self.checkpoint.decode(),
            "created": encode_time(self.created),
            "format": FORMAT,
            "latest": latest,
            "origin": self.origin,
            "proofs": [proof.to_json() for proof in self.proofs],
            "receipts": [receipt.to_json() for receipt in self.receipts],
            "source": self.source,
            "statements": [answer.to_json() for answer in self.statements],
            "unit": self.unit,
        }
        return encode_json(members) + b"\n"


def sign_receipts(receipts: Receipts, operator: Signer) -> bytes:
    """Give the file, signed by the center's operator key. Raises: LimitError."""
    return sign_note(receipts.encode(), [operator], MAX_FILE_BYTES).encode()


def parse_receipts(raw: bytes, operator: VerificationKey) -> Receipts:
    """Read a file of receipts that the center with this operator key has signed.

    Raises: FormatError, LimitError; SignatureError; UnknownSignerError: it is another center's.
    """
    note = parse_note(raw, MAX_FILE_BYTES)
    verify_note(note, [operator])
    receipts = _parse(note.text)
    if f"{receipts.origin}/operator" != operator.name:
        raise FormatError(f"a file of receipts of {receipts.origin} is signed by {operator.name}")
    return receipts


def read_bag_answer(value: Json) -> BagAnswer:
    """Read the answer to a bag from JSON that has been parsed strictly. Raises: FormatError."""
    what = "the answer to a bag"
    members = parse_members(value, what, {"bag", "missing", "refusal", "refused"})
    refused: list[tuple[str, Refusal]] = []
    for item in expect_list(members["refused"], "refused", MAX_PACKS):
        one = parse_members(item, "a refused pack", {"pack", "refusal"})
        refused.append((expect_text(one["pack"], "pack"), _refusal(one["refusal"])))
    return BagAnswer(
        expect_text(members["bag"], "bag"),
        tuple(expect_text(name, "a missing pack") for name in expect_list(members["missing"], "missing", MAX_PACKS)),
        tuple(refused),
        None if members["refusal"] is None else _refusal(members["refusal"]),
    )


def is_receipts_name(name: str) -> bool:
    """Tell whether a file of this name may hold receipts. What it holds is told by its content alone."""
    return _NAME.fullmatch(name) is not None


def _parse(text: bytes) -> Receipts:
    what = "a file of receipts"
    if text.count(b"\n") != 1:
        raise FormatError(f"{what} has one line above its signature")
    members = parse_members(parse_json(text[:-1], what), what, _MEMBERS)
    if members["format"] != FORMAT:
        raise FormatError(f"the format of {what} must be {FORMAT}, found {members['format']!r:.60}")
    texts = {name: expect_text(members[name], f"{name} of {what}") for name in _TEXTS}
    receipts = Receipts(
        origin=texts["origin"],
        unit=texts["unit"],
        source=texts["source"],
        created=parse_time(texts["created"], f"created of {what}"),
        checkpoint=texts["checkpoint"].encode(),
        bags=tuple(read_bag_answer(item) for item in expect_list(members["bags"], "bags", MAX_BAGS)),
        receipts=tuple(read_receipt(item) for item in expect_list(members["receipts"], "receipts", MAX_RECEIPTS)),
        statements=tuple(_statement(item) for item in expect_list(members["statements"], "statements", MAX_STATEMENTS)),
        proofs=tuple(_proof(item) for item in expect_list(members["proofs"], "proofs", MAX_PROOFS)),
        latest=_latest(members["latest"]),
    )
    if receipts.encode() != text:
        raise FormatError(f"{what} is readable, but not in its one canonical form")
    return receipts


_TEXTS: Final = ("checkpoint", "created", "origin", "source", "unit")


def _refusal(value: Json) -> Refusal:
    members = parse_members(value, "a refusal", {"code", "hint", "message"})
    code, hint, message = (expect_text(members[name], name) for name in ("code", "hint", "message"))
    return Refusal(code, message, hint)


def _statement(value: Json) -> StatementAnswer:
    members = parse_members(value, "the answer to a statement", {"digest", "missing", "refusal"})
    return StatementAnswer(
        Sha256(parse_hex(expect_text(members["digest"], "digest"), "a statement's digest", 32)),
        tuple(ObjectId(part) for part in _split(members["missing"], "missing", MAX_IDS)),
        None if members["refusal"] is None else _refusal(members["refusal"]),
    )


def _proof(value: Json) -> Proof:
    members = parse_members(value, "a proof", {"hashes", "size"})
    hashes = tuple(Sha256(part) for part in _split(members["hashes"], "hashes", _MAX_PROOF_HASHES))
    return Proof(expect_integer(members["size"], "size"), hashes)


def _latest(value: Json) -> tuple[bytes, Receipt] | None:
    if value is None:
        return None
    members = parse_members(value, "the latest statement", {"receipt", "statement"})
    return expect_text(members["statement"], "statement").encode(), read_receipt(members["receipt"])


def _split(value: Json, what: str, most: int) -> list[bytes]:
    """Read hashes or ids, 32 bytes each, from one base64 text. Raises: FormatError, LimitError."""
    text = expect_text(value, what)
    if len(text) > (most * HASH_SIZE + 2) // 3 * 4:
        raise LimitError(f"{what} has more than {most} items")
    raw = parse_base64(text, what)
    if len(raw) % HASH_SIZE:
        raise FormatError(f"{what} are {HASH_SIZE} bytes each, found {len(raw)} bytes")
    return [raw[start : start + HASH_SIZE] for start in range(0, len(raw), HASH_SIZE)]
