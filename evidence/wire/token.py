# SPDX-License-Identifier: Apache-2.0
"""Tokens: by which a unit's key says, for one request, that it means exactly this request. Pure.

A token is a signed note; its text:

    jinsuo/token@v1 LF
    origin <log's origin> LF  unit <UNIT> LF  method <METHOD> LF  path <path with query> LF  length <bytes of body> LF
    body <sha256 of the body, hex; of a pack: its name> LF  nonce <64 hex> LF  expires <time> LF

signed by the unit's statement key under the name UNIT; the header is `Authorization: Jinsuo <base64 of the note>`. A
pack's name is the BLAKE3 of its bytes and is checked while they stream, so a pack needs no second hash. Nonce and
expiry are the center's own words, repeated: so the agent's clock does not matter, and a token opens one request once.
A unit that is not enrolled yet has no name: its token says `unit -`, and its key signs under the name `-`; the
registry lets no unit have that name. Source: design section 6, formats.md.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evidence.digest import sha256
from evidence.encode import encode_base64, encode_time, parse_base64, parse_decimal, parse_hex, parse_time
from evidence.errors import FormatError, LimitError
from evidence.keys.key import VerificationKey, check_key_name
from evidence.keys.signer import Signer
from evidence.manifest.grammar import check_unit_name, encode_lines, expect_same, split_lines, take_values
from evidence.note.signed import Note, parse_note, sign_note, verify_note

SCHEME: Final = "Jinsuo"
NOBODY: Final = "-"
"""The unit of a request by an agent that is being enrolled."""

NONCE_BYTES: Final = 32
MAX_TOKEN_BYTES: Final = 2048
MAX_PATH_BYTES: Final = 512
_HEADER: Final = "jinsuo/token@v1"
_NAMES: Final = ("origin", "unit", "method", "path", "length", "body", "nonce", "expires")
_METHOD = re.compile(r"GET|POST|PUT", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9._/-]*(\?[A-Za-z0-9._=&-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Nonce:
    """A number used once, and until when, by the center's clock."""

    value: bytes
    expires: datetime

    def __post_init__(self) -> None:
        if len(self.value) != NONCE_BYTES:
            raise FormatError(f"a nonce has {NONCE_BYTES} bytes, found {len(self.value)}")

    def encode(self) -> str:
        """Write the nonce as it stands in the header `Jinsuo-Nonce`: `<64 hex> <time>`."""
        return f"{self.value.hex()} {encode_time(self.expires)}"


def parse_nonce(text: str) -> Nonce:
    """Read what `Nonce.encode` writes. Raises: FormatError."""
    value, _, expires = text.partition(" ")
    return Nonce(parse_hex(value, "a nonce", NONCE_BYTES), parse_time(expires, "a nonce's expiry"))


@dataclass(frozen=True, slots=True)
class Request:
    """What a token binds: method, path with query, the body's length, and its SHA-256 (of a pack: its name)[32]."""

    method: str
    path: str
    length: int
    body: bytes

    def __post_init__(self) -> None:
        if not _METHOD.fullmatch(self.method):
            raise FormatError(f"a request's method is GET, POST or PUT, found {self.method!r:.20}")
        check_path(self.path)
        if self.length < 0 or len(self.body) != 32:
            raise FormatError(f"a body has a length and a hash of 32 bytes, found {self.length} and {len(self.body)}")

    @classmethod
    def of(cls, method: str, path: str, body: bytes = b"") -> "Request":
        """Give the request that carries `body`."""
        return cls(method, path, len(body), sha256(body))


@dataclass(frozen=True, slots=True)
class Token:
    """A request as its sender means it, to one log's center, once."""

    origin: str
    unit: str
    request: Request
    nonce: Nonce

    def __post_init__(self) -> None:
        check_key_name(self.origin)
        check_unit_name(self.unit)

    def encode(self) -> bytes:
        """Write the text of the note."""
        request = self.request
        return encode_lines(
            _HEADER,
            (
                ("origin", self.origin),
                ("unit", self.unit),
                ("method", request.method),
                ("path", request.path),
                ("length", str(request.length)),
                ("body", request.body.hex()),
                ("nonce", self.nonce.value.hex()),
                ("expires", encode_time(self.nonce.expires)),
            ),
        )


def check_path(path: str) -> None:
    """Raises: FormatError unless `path` is a path with query that needs no escapes, of at most 512 bytes.

    No part of it is empty, `.` or `..`, so no reader can take it for another path than its neighbour does.
    """
    parts = path.partition("?")[0].split("/")[1:]
    if len(path) > MAX_PATH_BYTES or not _PATH.fullmatch(path) or any(part in ("", ".", "..") for part in parts):
        raise FormatError(f"a path is of A-Z a-z 0-9 . _ - / and has no empty or dotted parts, found {path!r:.120}")


def parse_token(text: bytes) -> Token:
    """Read a token's text. Raises: FormatError."""
    what = "a token"
    values = take_values(split_lines(text, _HEADER, what), _NAMES, what)
    request = Request(
        values["method"],
        values["path"],
        parse_decimal(values["length"], "a token's length"),
        parse_hex(values["body"], "a token's body", 32),
    )
    nonce = Nonce(parse_hex(values["nonce"], "a nonce", NONCE_BYTES), parse_time(values["expires"], "expires"))
    token = Token(values["origin"], values["unit"], request, nonce)
    expect_same(token.encode(), text, what)
    return token


def encode_authorization(token: Token, signer: Signer) -> str:
    """Sign `token` and give the header's value. `signer` is the unit's statement key, whatever name it carries."""
    key = VerificationKey(token.unit, signer.key.kind, signer.key.public)
    note = sign_note(token.encode(), [_Renamed(signer, key)])
    return f"{SCHEME} {encode_base64(note.encode())}"


def parse_authorization(value: str) -> tuple[Token, Note]:
    """Read the header's value; the signature is not verified yet. Raises: FormatError, LimitError."""
    scheme, _, encoded = value.partition(" ")
    if scheme != SCHEME:
        raise FormatError(f"the header Authorization must begin with {SCHEME}, found {scheme!r:.40}")
    if len(encoded) > MAX_TOKEN_BYTES * 4 // 3 + 4:
        raise LimitError(f"a token of {len(encoded)} characters is over the bound of {MAX_TOKEN_BYTES} bytes")
    note = parse_note(parse_base64(encoded, "a token"), MAX_TOKEN_BYTES)
    if len(note.signatures) != 1:
        raise FormatError(f"a token carries one signature, found {len(note.signatures)}")
    return parse_token(note.text), note


def verify_token(token: Token, note: Note, key: VerificationKey) -> None:
    """Verify that `key`, a unit's statement key under whatever name, signed the token under the name of its unit.

    Raises: SignatureError, UnknownSignerError.
    """
    verify_note(note, [key.renamed(token.unit)])


class _Renamed:
    """A signer under another name."""

    def __init__(self, signer: Signer, key: VerificationKey) -> None:
        self._signer = signer
        self._key = key

    @property
    def key(self) -> VerificationKey:
        return self._key

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message)
