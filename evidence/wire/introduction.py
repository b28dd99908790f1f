# SPDX-License-Identifier: Apache-2.0
"""How center and agent make themselves known to each other over `/v1`: who the center is, nonces, enrolment. Pure.

Nothing here is verified: the agent holds the center's keys against its code, the center the newcomer's proof against
`cosigner_proof_text`. Source: design section 6.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from evidence.encode import encode_base64, expect_list, expect_text
from evidence.errors import FormatError
from evidence.keys.key import KeyType, VerificationKey, parse_vkey
from evidence.manifest.grammar import check_source_name, check_unit_name
from evidence.wire.body import encode_body, get_bytes, get_text, parse_body
from evidence.wire.enrolment import SECRET_BYTES
from evidence.wire.token import Nonce, parse_nonce

_MOST_SOURCES: Final = 10_000
_PROOF_HEADER = "jinsuo/cosigner@v1"


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
        return encode_body(
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
    members = parse_body(raw, CenterInfo.format, {"operator", "origin", "sealing", "software", "versions", "vkey"})
    info = CenterInfo(
        parse_vkey(get_text(members, "vkey")),
        parse_vkey(get_text(members, "operator")),
        get_bytes(members, "sealing", 32),
        get_text(members, "software"),
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
        return encode_body(self.format, nonce=self.nonce.encode())


def parse_nonce_answer(raw: bytes) -> NonceAnswer:
    """Read a NonceAnswer. Raises: FormatError."""
    return NonceAnswer(parse_nonce(get_text(parse_body(raw, NonceAnswer.format, {"nonce"}), "nonce")))


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
        return encode_body(
            self.format,
            cosigner=encode_base64(self.cosigner_key),
            proof=encode_base64(self.proof),
            secret=encode_base64(self.secret),
            statement=encode_base64(self.statement_key),
        )


def parse_enrol_request(raw: bytes) -> EnrolRequest:
    """Read an EnrolRequest; nothing is verified. Raises: FormatError."""
    members = parse_body(raw, EnrolRequest.format, {"cosigner", "proof", "secret", "statement"})
    return EnrolRequest(
        get_bytes(members, "secret", SECRET_BYTES),
        get_bytes(members, "statement", 32),
        get_bytes(members, "cosigner", 32),
        get_bytes(members, "proof", 64),
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
        return encode_body(self.format, name=self.name, sources=list(self.sources), unit=self.unit)


def parse_enrol_answer(raw: bytes) -> EnrolAnswer:
    """Read an EnrolAnswer. Raises: FormatError."""
    members = parse_body(raw, EnrolAnswer.format, {"name", "sources", "unit"})
    sources = expect_list(members["sources"], "sources", _MOST_SOURCES)
    return EnrolAnswer(
        get_text(members, "unit"), get_text(members, "name"), tuple(expect_text(item, "a source") for item in sources)
    )
