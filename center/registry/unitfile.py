# SPDX-License-Identifier: Apache-2.0
"""The two files that the registry keeps of a unit, as values and as bytes. Pure; strict both ways.

    unit.json     {"added":time,"codes":[{"expires":time,"secret_sha256":hex,"used":time|null}],"disabled":bool,
                   "format":"jinsuo/unit@v1","keys":[{"cosigner":vkey,"since":time,"statement":vkey}],"name","unit"}
    SOURCE.json   {"format":"jinsuo/source@v1","registered":time,"secrets":base64 (wrapped),"source","unit"}

`keys` stand oldest first; the last pair is the one that counts now, the others are kept for what they signed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evidence.encode import (
    Json,
    encode_base64,
    encode_json,
    encode_time,
    expect_list,
    expect_text,
    parse_base64,
    parse_hex,
    parse_json,
    parse_members,
    parse_time,
)
from evidence.errors import FormatError
from evidence.keys.key import KeyType, VerificationKey, parse_vkey
from evidence.manifest.grammar import check_line_value, check_source_name, check_unit_name

MAX_FILE_BYTES: Final = 1 << 20
_UNIT_FORMAT: Final = "jinsuo/unit@v1"
_SOURCE_FORMAT: Final = "jinsuo/source@v1"
_MOST_KEYS: Final = 1000


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The keys of a unit's agent, both named UNIT: for statements and tokens (type 01), for cosignatures (type 04)."""

    statement: VerificationKey
    cosigner: VerificationKey
    since: datetime

    def __post_init__(self) -> None:
        kinds = (self.statement.kind, self.cosigner.kind)
        if kinds != (KeyType.ED25519, KeyType.COSIGNATURE) or self.statement.name != self.cosigner.name:
            raise FormatError(f"a unit has a key of type 01 and one of type 04 of its name, found {kinds}")


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """An enrolment code as the center remembers it; `used` None: not yet."""

    secret_sha256: bytes
    expires: datetime
    used: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """What is durable of a unit."""

    unit: str
    name: str
    added: datetime
    disabled: bool = False
    keys: tuple[KeyPair, ...] = ()
    codes: tuple[IssuedCode, ...] = ()

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        check_line_value(self.name, "the name of a unit")
        if any(pair.statement.name != self.unit for pair in self.keys):
            raise FormatError(f"the keys of unit {self.unit} must have its name")

    def encode(self) -> bytes:
        """Write unit.json."""
        codes: list[Json] = [
            {
                "expires": encode_time(code.expires),
                "secret_sha256": code.secret_sha256.hex(),
                "used": None if code.used is None else encode_time(code.used),
            }
            for code in self.codes
        ]
        keys: list[Json] = [
            {"cosigner": pair.cosigner.vkey, "since": encode_time(pair.since), "statement": pair.statement.vkey}
            for pair in self.keys
        ]
        return encode_json(
            {
                "added": encode_time(self.added),
                "codes": codes,
                "disabled": self.disabled,
                "format": _UNIT_FORMAT,
                "keys": keys,
                "name": self.name,
                "unit": self.unit,
            }
        )


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What is durable of a source: its secrets, wrapped by the master key."""

    unit: str
    source: str
    registered: datetime
    wrapped: bytes

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        check_source_name(self.source)

    def encode(self) -> bytes:
        """Write SOURCE.json."""
        return encode_json(
            {
                "format": _SOURCE_FORMAT,
                "registered": encode_time(self.registered),
                "secrets": encode_base64(self.wrapped),
                "source": self.source,
                "unit": self.unit,
            }
        )


def parse_unit(raw: bytes) -> UnitRecord:
    """Read unit.json. Raises: FormatError."""
    what = "the record of a unit"
    members = parse_members(
        parse_json(raw, what), what, {"added", "codes", "disabled", "format", "keys", "name", "unit"}
    )
    _check_format(members, _UNIT_FORMAT, what)
    disabled = members["disabled"]
    if not isinstance(disabled, bool):
        raise FormatError(f"disabled must be true or false in {what}")
    return UnitRecord(
        expect_text(members["unit"], "unit"),
        expect_text(members["name"], "name"),
        parse_time(expect_text(members["added"], "added"), "added"),
        disabled,
        tuple(_read_keys(item) for item in expect_list(members["keys"], "keys", _MOST_KEYS)),
        tuple(_read_code(item) for item in expect_list(members["codes"], "codes", _MOST_KEYS)),
    )


def parse_source(raw: bytes) -> SourceRecord:
    """Read SOURCE.json. Raises: FormatError."""
    what = "the record of a source"
    members = parse_members(parse_json(raw, what), what, {"format", "registered", "secrets", "source", "unit"})
    _check_format(members, _SOURCE_FORMAT, what)
    return SourceRecord(
        expect_text(members["unit"], "unit"),
        expect_text(members["source"], "source"),
        parse_time(expect_text(members["registered"], "registered"), "registered"),
        parse_base64(expect_text(members["secrets"], "secrets"), "secrets"),
    )


def _check_format(members: dict[str, Json], expected: str, what: str) -> None:
    if members["format"] != expected:
        raise FormatError(f"the format of {what} must be {expected}, found {members['format']!r:.60}")


def _read_keys(value: Json) -> KeyPair:
    members = parse_members(value, "a key pair", {"cosigner", "since", "statement"})
    return KeyPair(
        parse_vkey(expect_text(members["statement"], "statement")),
        parse_vkey(expect_text(members["cosigner"], "cosigner")),
        parse_time(expect_text(members["since"], "since"), "since"),
    )


def _read_code(value: Json) -> IssuedCode:
    members = parse_members(value, "an enrolment code", {"expires", "secret_sha256", "used"})
    used = members["used"]
    return IssuedCode(
        parse_hex(expect_text(members["secret_sha256"], "secret_sha256"), "secret_sha256", 32),
        parse_time(expect_text(members["expires"], "expires"), "expires"),
        None if used is None else parse_time(expect_text(used, "used"), "used"),
    )
