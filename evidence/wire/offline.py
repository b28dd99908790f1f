# SPDX-License-Identifier: Apache-2.0
"""Enrolment by two files, for an agent that no line leads to: a request there, an answer back. Pure.

    request   JCS {"cosigner","format":"jinsuo/enrol-file@v1","mac","proof","recovery","signature","statement","vkey_pin"}
    text      `jinsuo/enrol-file@v1` LF base64(statement key) LF base64(cosigner key) LF base64(recovery key) LF hex(vkey_pin) LF
    signature, proof   Ed25519 over the text, by the statement key and by the cosigner key: the agent holds both
    answer    JCS {"body":base64 of the body,"format":"jinsuo/enrolled-file@v1","mac"}
    body      JCS {"name","operator","origin","sealing","sources":[{"latest":{"receipt","statement"}|null,"sealed","source"}],
              "spki_sha256","unit","url","vkey"}
    mac       HMAC-SHA256(key, text) in the request, HMAC-SHA256(key, text ‖ body) in the answer; key = SHA-256(code's secret)

The secret of the code never travels: each side shows by a MAC that it knows it, or what the center keeps of it. So neither
file can be another's, and an answer belongs to one request. `sealed` are the secrets of sources that the unit had before,
sealed to the recovery key (X25519) of the request. Source: `evidence.wire.enrolment`, RFC 2104.
"""

from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from evidence.digest import HASH_SIZE, Sha256, hmac_sha256
from evidence.encode import (
    Json,
    encode_base64,
    encode_json,
    expect_list,
    expect_text,
    parse_base64,
    parse_hex,
    parse_json,
    parse_members,
)
from evidence.errors import FormatError, LimitError, SignatureError
from evidence.keys.key import KeyType, VerificationKey, parse_vkey
from evidence.keys.signer import Signer
from evidence.manifest.grammar import check_source_name, check_unit_name
from evidence.manifest.receipt import Receipt, read_receipt
from evidence.wire.enrolment import PIN_BYTES
from evidence.wire.secrets import SEALED_BYTES

REQUEST_FORMAT: Final = "jinsuo/enrol-file@v1"
ANSWER_FORMAT: Final = "jinsuo/enrolled-file@v1"
MAX_REQUEST_BYTES: Final = 4096
MAX_ANSWER_BYTES: Final = 64 << 20
_MOST_SOURCES: Final = 10_000
_REQUEST: Final = {"cosigner", "format", "mac", "proof", "recovery", "signature", "statement", "vkey_pin"}
_BODY: Final = {"name", "operator", "origin", "sealing", "sources", "spki_sha256", "unit", "url", "vkey"}


@dataclass(frozen=True, slots=True)
class EnrolFile:
    """A request. `vkey_pin[16]` says which log the code is for; that the code is known is shown by `mac`."""

    statement_key: bytes
    cosigner_key: bytes
    recovery_key: bytes
    vkey_pin: bytes
    signature: bytes
    proof: bytes
    mac: bytes

    @property
    def text(self) -> bytes:
        """Give what is signed."""
        return request_text(self.statement_key, self.cosigner_key, self.recovery_key, self.vkey_pin)

    def fits(self, code_sha256: bytes) -> bool:
        """Tell whether it was made by who knows the code whose secret has this SHA-256."""
        return compare_digest(hmac_sha256(code_sha256, self.text), self.mac)

    def encode(self) -> bytes:
        """Write the file."""
        return encode_json(
            {
                "cosigner": encode_base64(self.cosigner_key),
                "format": REQUEST_FORMAT,
                "mac": encode_base64(self.mac),
                "proof": encode_base64(self.proof),
                "recovery": encode_base64(self.recovery_key),
                "signature": encode_base64(self.signature),
                "statement": encode_base64(self.statement_key),
                "vkey_pin": self.vkey_pin.hex(),
            }
        )


def request_text(statement: bytes, cosigner: bytes, recovery: bytes, vkey_pin: bytes) -> bytes:
    """Give what an agent signs with both keys."""
    keys = "\n".join(encode_base64(key) for key in (statement, cosigner, recovery))
    return f"{REQUEST_FORMAT}\n{keys}\n{vkey_pin.hex()}\n".encode()


def make_request(
    code_sha256: bytes, vkey_pin: bytes, statement: Signer, cosigner: Signer, recovery_key: bytes
) -> EnrolFile:
    """Make a request; `code_sha256` is the SHA-256 of the code's secret."""
    keys = (statement.key.public, cosigner.key.public, recovery_key, vkey_pin)
    text = request_text(*keys)
    return EnrolFile(*keys, statement.sign(text), cosigner.sign(text), hmac_sha256(code_sha256, text))


def parse_request(raw: bytes) -> EnrolFile:
    """Read a request, and verify that its maker holds both keys.

    Raises: FormatError, LimitError; SignatureError. Whether the code is one of ours is for `fits`.
    """
    if len(raw) > MAX_REQUEST_BYTES:
        raise LimitError(f"a request for enrolment has at most {MAX_REQUEST_BYTES} bytes, found {len(raw)}")
    what = "a request for enrolment"
    members = parse_members(parse_json(raw, what), what, _REQUEST)
    if members["format"] != REQUEST_FORMAT:
        raise FormatError(f"the format of {what} must be {REQUEST_FORMAT}, found {members['format']!r:.60}")

    def read(name: str, size: int) -> bytes:
        return parse_base64(expect_text(members[name], name), name, size)

    request = EnrolFile(
        read("statement", 32), read("cosigner", 32), read("recovery", 32),
        parse_hex(expect_text(members["vkey_pin"], "vkey_pin"), "vkey_pin", PIN_BYTES),
        read("signature", 64), read("proof", 64), read("mac", HASH_SIZE),
    )  # fmt: skip
    for key, signature in ((request.statement_key, request.signature), (request.cosigner_key, request.proof)):
        VerificationKey("-", KeyType.ED25519, key).verify(signature, request.text)
    return request


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source that the unit had before: its secrets, sealed to the recovery key, and its newest statement with receipt."""

    source: str
    sealed: bytes
    latest: tuple[bytes, Receipt] | None

    def __post_init__(self) -> None:
        check_source_name(self.source)
        if len(self.sealed) != SEALED_BYTES:
            raise FormatError(f"sealed secrets have {SEALED_BYTES} bytes, found {len(self.sealed)}")

    def to_json(self) -> dict[str, Json]:
        """Give it as JSON."""
        latest: Json = None
        if self.latest is not None:
            latest = {"receipt": self.latest[1].to_json(), "statement": self.latest[0].decode()}
        return {"latest": latest, "sealed": encode_base64(self.sealed), "source": self.source}


@dataclass(frozen=True, slots=True)
class EnrolledFile:
    """What an agent is told: who the center is, which unit it is now, and what the unit had before."""

    url: str
    spki_sha256: Sha256
    log_key: VerificationKey
    operator_key: VerificationKey
    sealing_key: bytes
    unit: str
    name: str
    sources: tuple[KnownSource, ...] = ()

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        if self.operator_key.name != f"{self.log_key.name}/operator":
            raise FormatError(f"the operator's key of {self.log_key.name} is named {self.operator_key.name}")

    def encode(self, request: EnrolFile, code_sha256: bytes) -> bytes:
        """Write the answer to `request`."""
        body = encode_json(
            {
                "name": self.name,
                "operator": self.operator_key.vkey,
                "origin": self.log_key.name,
                "sealing": encode_base64(self.sealing_key),
                "sources": [source.to_json() for source in self.sources],
                "spki_sha256": self.spki_sha256.hex(),
                "unit": self.unit,
                "url": self.url,
                "vkey": self.log_key.vkey,
            }
        )
        mac = hmac_sha256(code_sha256, request.text, body)
        return encode_json({"body": encode_base64(body), "format": ANSWER_FORMAT, "mac": encode_base64(mac)})


def parse_answer(raw: bytes, text: bytes, code_sha256: bytes) -> EnrolledFile:
    """Read the answer to the request with this `text`, by the center that gave the code.

    Raises: FormatError, LimitError; SignatureError: it is another's, or to another request.
    """
    if len(raw) > MAX_ANSWER_BYTES:
        raise LimitError(f"an answer to an enrolment has at most {MAX_ANSWER_BYTES} bytes, found {len(raw)}")
    what = "an answer to an enrolment"
    members = parse_members(parse_json(raw, what), what, {"body", "format", "mac"})
    if members["format"] != ANSWER_FORMAT:
        raise FormatError(f"the format of {what} must be {ANSWER_FORMAT}, found {members['format']!r:.60}")
    body = parse_base64(expect_text(members["body"], "body"), "body")
    mac = parse_base64(expect_text(members["mac"], "mac"), "mac", HASH_SIZE)
    if not compare_digest(hmac_sha256(code_sha256, text, body), mac):
        raise SignatureError(f"{what} is not by the center that gave the code, or not to this agent's request")
    values = parse_members(parse_json(body, what), what, _BODY)
    texts = {name: expect_text(values[name], name) for name in _BODY - {"sources"}}
    answer = EnrolledFile(
        texts["url"], Sha256(parse_hex(texts["spki_sha256"], "spki_sha256", HASH_SIZE)), parse_vkey(texts["vkey"]),
        parse_vkey(texts["operator"]), parse_base64(texts["sealing"], "sealing", 32), texts["unit"], texts["name"],
        tuple(_source(item) for item in expect_list(values["sources"], "sources", _MOST_SOURCES)),
    )  # fmt: skip
    if texts["origin"] != answer.log_key.name:
        raise FormatError(f"the origin {texts['origin']!r:.80} is not the name of the log's key")
    return answer


def _source(value: Json) -> KnownSource:
    members = parse_members(value, "a source", {"latest", "sealed", "source"})
    latest: tuple[bytes, Receipt] | None = None
    if members["latest"] is not None:
        pair = parse_members(members["latest"], "the latest statement", {"receipt", "statement"})
        latest = expect_text(pair["statement"], "statement").encode(), read_receipt(pair["receipt"])
    sealed = parse_base64(expect_text(members["sealed"], "sealed"), "sealed", SEALED_BYTES)
    return KnownSource(expect_text(members["source"], "source"), sealed, latest)
