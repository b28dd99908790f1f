# SPDX-License-Identifier: Apache-2.0
"""Statements: what a unit's key says of a source, as texts of signed notes. Pure; nothing is signed here.

    jinsuo/statement@v1 LF, then `kind`, `unit`, `source`, `sequence`, `previous` in every kind, then by kind:
    snapshot    began ended consistency position channel tables rows bytes manifest-sha256 root
    gap         from to cause lost digest*          digest: of each statement given up
    plan        stated document-sha256
    withdrawal  stated statement reason             statement: the digest withdrawn; the data stays
    key         stated old new from-sequence attestation     attestation: both (two signatures) or unattested (one)

All lines are required, in this order; a time that is not there does not exist, a text that is not there is `-`.
`sequence` starts at 1 and runs through all kinds; `previous` is the digest of the statement before, `-` for the first.
A digest is SHA-256 over the text, without signatures. Source: design section 5, formats.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias, TypeVar

from evidence.digest import EMPTY_ROOT, Sha256, sha256
from evidence.encode import encode_time, parse_decimal, parse_hex, parse_time
from evidence.errors import FormatError
from evidence.keys.key import KeyType, VerificationKey, parse_vkey
from evidence.manifest.claim import MAX_TABLES
from evidence.manifest.grammar import (
    Lines,
    check_line_value,
    check_source_name,
    check_unit_name,
    encode_lines,
    expect_same,
    split_lines,
    take_values,
)

_E = TypeVar("_E", bound=StrEnum)
HEADER: Final = "jinsuo/statement@v1"
MAX_GIVEN_UP: Final = 256
_HEAD: Final = ("kind", "unit", "source", "sequence", "previous")


class Consistency(StrEnum):
    """How tables of one snapshot relate: one instant for all, one instant per table, or read while changing."""

    CONSISTENT = "consistent"
    PER_TABLE = "per-table"
    LIVE = "live"


class Channel(StrEnum):
    """The road on which the content travels."""

    ONLINE = "online"
    SSH = "ssh"
    SFTP = "sftp"
    FOLDER = "folder"
    MEDIA = "media"


class GapCause(StrEnum):
    """Why something between two statements is not covered."""

    OUTAGE = "outage"
    SLOT = "slot"
    BINLOG = "binlog"
    SPOOL = "spool"
    JOURNAL = "journal"
    KEY = "key"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SnapshotStatement:
    """A snapshot was taken. `tables`, `rows`, `bytes_`: count and sums of the claims; `position` `-`: there is none."""

    unit: str
    source: str
    sequence: int
    previous: Sha256 | None
    began: datetime
    ended: datetime
    consistency: Consistency
    position: str
    channel: Channel
    tables: int
    rows: int
    bytes_: int
    manifest_sha256: Sha256
    root: Sha256

    kind: ClassVar[str] = "snapshot"
    names: ClassVar[tuple[str, ...]] = (
        "began", "ended", "consistency", "position", "channel", "tables", "rows", "bytes", "manifest-sha256", "root",
    )  # fmt: skip

    def __post_init__(self) -> None:
        _check_head(self)
        _check_span(self.began, self.ended)
        check_line_value(self.position, "the position")
        if self.tables > MAX_TABLES or (self.tables == 0 and (self.rows, self.bytes_, self.root) != (0, 0, EMPTY_ROOT)):
            raise FormatError(
                f"no snapshot has {self.tables} tables, {self.rows} rows, {self.bytes_} bytes and this root"
            )

    def encode(self) -> bytes:
        """Write the text."""
        return _encode(
            self,
            ("began", encode_time(self.began)),
            ("ended", encode_time(self.ended)),
            ("consistency", self.consistency.value),
            ("position", self.position),
            ("channel", self.channel.value),
            ("tables", str(self.tables)),
            ("rows", str(self.rows)),
            ("bytes", str(self.bytes_)),
            ("manifest-sha256", self.manifest_sha256.hex()),
            ("root", self.root.hex()),
        )


@dataclass(frozen=True, slots=True)
class GapStatement:
    """Something is not covered: `lost` says what in one line; `given_up` are digests of statements never completed."""

    unit: str
    source: str
    sequence: int
    previous: Sha256 | None
    from_: datetime
    to: datetime
    cause: GapCause
    lost: str
    given_up: tuple[Sha256, ...] = ()

    kind: ClassVar[str] = "gap"
    names: ClassVar[tuple[str, ...]] = ("from", "to", "cause", "lost")

    def __post_init__(self) -> None:
        _check_head(self)
        _check_span(self.from_, self.to)
        check_line_value(self.lost, "what was lost")
        if len(self.given_up) > MAX_GIVEN_UP or len(set(self.given_up)) != len(self.given_up):
            raise FormatError(
                f"a gap names at most {MAX_GIVEN_UP} different statements given up, found {len(self.given_up)}"
            )

    def encode(self) -> bytes:
        """Write the text."""
        return _encode(
            self,
            ("from", encode_time(self.from_)),
            ("to", encode_time(self.to)),
            ("cause", self.cause.value),
            ("lost", self.lost),
            *(("digest", digest.hex()) for digest in self.given_up),
        )


@dataclass(frozen=True, slots=True)
class PlanStatement:
    """The approved plan for the source is the document with this hash."""

    unit: str
    source: str
    sequence: int
    previous: Sha256 | None
    stated: datetime
    document_sha256: Sha256

    kind: ClassVar[str] = "plan"
    names: ClassVar[tuple[str, ...]] = ("stated", "document-sha256")

    def __post_init__(self) -> None:
        _check_head(self)

    def encode(self) -> bytes:
        """Write the text."""
        return _encode(self, ("stated", encode_time(self.stated)), ("document-sha256", self.document_sha256.hex()))


@dataclass(frozen=True, slots=True)
class WithdrawalStatement:
    """The unit withdraws the statement with this digest, and says why; its data stays."""

    unit: str
    source: str
    sequence: int
    previous: Sha256 | None
    stated: datetime
    statement: Sha256
    reason: str

    kind: ClassVar[str] = "withdrawal"
    names: ClassVar[tuple[str, ...]] = ("stated", "statement", "reason")

    def __post_init__(self) -> None:
        _check_head(self)
        check_line_value(self.reason, "the reason")

    def encode(self) -> bytes:
        """Write the text."""
        return _encode(
            self,
            ("stated", encode_time(self.stated)),
            ("statement", self.statement.hex()),
            ("reason", self.reason),
        )


@dataclass(frozen=True, slots=True)
class KeyStatement:
    """From `from_sequence` on, statements of the source are signed by `new`. Both keys are of type 01, named UNIT.

    `attested`: the old key signs this too; else the old key was lost, and only the center's word joins the two.
    """

    unit: str
    source: str
    sequence: int
    previous: Sha256 | None
    stated: datetime
    old: VerificationKey
    new: VerificationKey
    from_sequence: int
    attested: bool

    kind: ClassVar[str] = "key"
    names: ClassVar[tuple[str, ...]] = ("stated", "old", "new", "from-sequence", "attestation")

    def __post_init__(self) -> None:
        _check_head(self)
        if any(key.kind is not KeyType.ED25519 or key.name != self.unit for key in (self.old, self.new)):
            raise FormatError(f"the keys of unit {self.unit} must be Ed25519 keys named {self.unit}")
        if self.old == self.new or self.from_sequence < self.sequence:
            raise FormatError(
                f"a key change at sequence {self.sequence} names another key, from this sequence or a later one"
            )

    def encode(self) -> bytes:
        """Write the text."""
        return _encode(
            self,
            ("stated", encode_time(self.stated)),
            ("old", self.old.vkey),
            ("new", self.new.vkey),
            ("from-sequence", str(self.from_sequence)),
            ("attestation", "both" if self.attested else "unattested"),
        )


Statement: TypeAlias = SnapshotStatement | GapStatement | PlanStatement | WithdrawalStatement | KeyStatement


def parse_statement(text: bytes) -> Statement:
    """Read a statement's text, of any kind. Raises: FormatError if it is not the one spelling of a statement."""
    what = "a statement"
    lines = split_lines(text, HEADER, what)
    kind = dict(lines[:1]).get("kind", "")
    reader = _READERS.get(kind)
    if reader is None:
        raise FormatError(f"a statement's kind is one of {', '.join(_READERS)}, found {kind!r:.60}")
    statement = reader(lines)
    expect_same(statement.encode(), text, what)
    return statement


def statement_digest(text: bytes) -> Sha256:
    """Give the digest that names a statement, from its text without signatures."""
    return sha256(text)


def key_name(unit: str, source: str) -> str:
    """Give the name under which a unit's key signs statements of one of its sources."""
    return f"{unit}/{source}"


def _read_snapshot(lines: Lines) -> SnapshotStatement:
    values = take_values(lines, _HEAD + SnapshotStatement.names, "a snapshot statement")
    return SnapshotStatement(
        values["unit"],
        values["source"],
        parse_decimal(values["sequence"], "sequence"),
        _read_previous(values["previous"]),
        parse_time(values["began"], "began"),
        parse_time(values["ended"], "ended"),
        _read_enum(Consistency, values["consistency"], "consistency"),
        values["position"],
        _read_enum(Channel, values["channel"], "channel"),
        parse_decimal(values["tables"], "tables"),
        parse_decimal(values["rows"], "rows"),
        parse_decimal(values["bytes"], "bytes"),
        _read_digest(values["manifest-sha256"], "manifest-sha256"),
        _read_digest(values["root"], "root"),
    )


def _read_gap(lines: Lines) -> GapStatement:
    fixed = len(_HEAD + GapStatement.names)
    values = take_values(lines[:fixed], _HEAD + GapStatement.names, "a gap statement")
    return GapStatement(
        values["unit"],
        values["source"],
        parse_decimal(values["sequence"], "sequence"),
        _read_previous(values["previous"]),
        parse_time(values["from"], "from"),
        parse_time(values["to"], "to"),
        _read_enum(GapCause, values["cause"], "cause"),
        values["lost"],
        tuple(_read_digest(value, "digest") for _, value in lines[fixed:]),
    )


def _read_plan(lines: Lines) -> PlanStatement:
    values = take_values(lines, _HEAD + PlanStatement.names, "a plan statement")
    return PlanStatement(
        values["unit"],
        values["source"],
        parse_decimal(values["sequence"], "sequence"),
        _read_previous(values["previous"]),
        parse_time(values["stated"], "stated"),
        _read_digest(values["document-sha256"], "document-sha256"),
    )


def _read_withdrawal(lines: Lines) -> WithdrawalStatement:
    values = take_values(lines, _HEAD + WithdrawalStatement.names, "a withdrawal statement")
    return WithdrawalStatement(
        values["unit"],
        values["source"],
        parse_decimal(values["sequence"], "sequence"),
        _read_previous(values["previous"]),
        parse_time(values["stated"], "stated"),
        _read_digest(values["statement"], "statement"),
        values["reason"],
    )


def _read_key(lines: Lines) -> KeyStatement:
    values = take_values(lines, _HEAD + KeyStatement.names, "a key statement")
    return KeyStatement(
        values["unit"],
        values["source"],
        parse_decimal(values["sequence"], "sequence"),
        _read_previous(values["previous"]),
        parse_time(values["stated"], "stated"),
        parse_vkey(values["old"]),
        parse_vkey(values["new"]),
        parse_decimal(values["from-sequence"], "from-sequence"),
        values["attestation"] == "both",
    )


_READERS: Final[dict[str, Callable[[Lines], Statement]]] = {
    SnapshotStatement.kind: _read_snapshot,
    GapStatement.kind: _read_gap,
    PlanStatement.kind: _read_plan,
    WithdrawalStatement.kind: _read_withdrawal,
    KeyStatement.kind: _read_key,
}


def _encode(statement: Statement, *lines: tuple[str, str]) -> bytes:
    previous = "-" if statement.previous is None else statement.previous.hex()
    head = (statement.kind, statement.unit, statement.source, str(statement.sequence), previous)
    return encode_lines(HEADER, (*zip(_HEAD, head, strict=True), *lines))


def _check_head(statement: Statement) -> None:
    check_unit_name(statement.unit)
    check_source_name(statement.source)
    if statement.sequence < 1 or (statement.sequence == 1) != (statement.previous is None):
        raise FormatError(
            f"statement {statement.sequence} of {statement.unit}/{statement.source}: sequences start at 1, and the"
            " first statement alone has no previous one"
        )


def _check_span(began: datetime, ended: datetime) -> None:
    if ended < began:
        raise FormatError(f"a span of time ends at {encode_time(ended)}, before it begins at {encode_time(began)}")


def _read_previous(text: str) -> Sha256 | None:
    return None if text == "-" else _read_digest(text, "previous")


def _read_digest(text: str, what: str) -> Sha256:
    return Sha256(parse_hex(text, what, 32))


def _read_enum(enum: type[_E], text: str, what: str) -> _E:
    try:
        return enum(text)
    except ValueError as err:
        raise FormatError(f"{what} must be one of {', '.join(enum)}, found {text!r:.60}") from err
