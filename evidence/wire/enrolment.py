# SPDX-License-Identifier: Apache-2.0
"""Enrolment codes: what a unit gets on paper to introduce its agent to the center, once. Pure.

    raw    version u8 (1) ‖ sha256(center's SPKI)[0:16] ‖ sha256(vkey text)[0:16] ‖ secret[16] ‖ sha256(all before)[0:6]
    text   `JS1-` ‖ Crockford base32 of raw[55], 88 digits, in 17 groups of five and one of three, joined by `-`

So the code itself says whom to talk to (the TLS key and the log's key), and the secret is sent only to them. 55 bytes
are 88 base32 digits without a bit to spare: each code has one canonical text. What people type is read kindly (lower
case, spaces, dashes anywhere, O for 0, I and L for 1), because the checksum of 48 bits decides, not the spelling.
Source: formats.md; Crockford, "Base 32".
"""

from dataclasses import dataclass
from typing import Final

from evidence.digest import sha256
from evidence.errors import FormatError, UnsupportedError

PREFIX: Final = "JS1-"
PIN_BYTES: Final = 16
SECRET_BYTES: Final = 16
MAX_FILE_BYTES: Final = 4096
_VERSION = 1
_CHECK_BYTES = 6
_RAW_BYTES = 1 + 2 * PIN_BYTES + SECRET_BYTES + _CHECK_BYTES
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_COUNT = _RAW_BYTES * 8 // 5
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)} | {"O": 0, "I": 1, "L": 1}


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """`spki_pin[16]` of the center's TLS key, `vkey_pin[16]` of the log's vkey, and the `secret[16]`."""

    spki_pin: bytes
    vkey_pin: bytes
    secret: bytes

    def __post_init__(self) -> None:
        sizes = (len(self.spki_pin), len(self.vkey_pin), len(self.secret))
        if sizes != (PIN_BYTES, PIN_BYTES, SECRET_BYTES):
            raise FormatError(f"an enrolment code has two pins and a secret of 16 bytes each, found {sizes}")

    def __repr__(self) -> str:
        return f"EnrolmentCode(spki_pin={self.spki_pin.hex()}, vkey_pin={self.vkey_pin.hex()}, secret=…)"

    @classmethod
    def of(cls, spki_sha256: bytes, vkey: str, secret: bytes) -> "EnrolmentCode":
        """Make a code for the center with this hash of its TLS key, and this log."""
        return cls(spki_sha256[:PIN_BYTES], pin_of_vkey(vkey), secret)

    def encode(self) -> str:
        """Write the code in its canonical form."""
        body = bytes((_VERSION,)) + self.spki_pin + self.vkey_pin + self.secret
        number = int.from_bytes(body + sha256(body)[:_CHECK_BYTES], "big")
        digits = "".join(_DIGITS[number >> 5 * place & 31] for place in range(_COUNT - 1, -1, -1))
        return PREFIX + "-".join(digits[start : start + 5] for start in range(0, _COUNT, 5))


def pin_of_vkey(vkey: str) -> bytes:
    """Give the 16 bytes by which a code names a log."""
    return sha256(vkey.encode())[:PIN_BYTES]


def parse_code(text: str) -> EnrolmentCode:
    """Read a code as a person typed it.

    Raises:
        FormatError: a digit is missing, is none of the alphabet, or one was mistyped (the checksum tells).
        UnsupportedError: a later version of the code.
    """
    digits = "".join(text.split()).replace("-", "").upper()
    if not digits.startswith("JS"):
        raise FormatError(f"an enrolment code begins with {PREFIX}, found {text.strip()[:8]!r}")
    if not digits.startswith("JS1"):
        raise UnsupportedError(f"the enrolment code is of version {digits[2:3]!r}, this program reads 1: update Jinsuo")
    digits = digits[3:]
    for place, digit in enumerate(digits, 1):
        if digit not in _VALUES:
            raise FormatError(f"character {place} after {PREFIX} is {digit!r}, which no enrolment code contains")
    if len(digits) != _COUNT:
        raise FormatError(f"an enrolment code has {_COUNT} characters after {PREFIX}, found {len(digits)}")
    number = 0
    for digit in digits:
        number = number << 5 | _VALUES[digit]
    raw = number.to_bytes(_RAW_BYTES, "big")
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if sha256(body)[:_CHECK_BYTES] != check:
        raise FormatError("the enrolment code has a typing error: its checksum does not fit; compare group by group")
    if body[0] != _VERSION:
        raise UnsupportedError(f"the enrolment code is of version {body[0]}, this program reads {_VERSION}")
    return EnrolmentCode(body[1:17], body[17:33], body[33:49])


def encode_code_file(code: EnrolmentCode) -> bytes:
    """Write a code as a file that is handed over on a medium: the code's text and a line end."""
    return code.encode().encode() + b"\n"


def parse_code_file(raw: bytes) -> EnrolmentCode:
    """Read a code's file; an editor's byte order mark and line ends do no harm.

    Raises: FormatError, UnsupportedError.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise FormatError(f"a file of {len(raw)} bytes is no enrolment code; at most {MAX_FILE_BYTES} are read")
    try:
        return parse_code(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as err:
        raise FormatError("the file is no enrolment code: it is not text in UTF-8") from err
