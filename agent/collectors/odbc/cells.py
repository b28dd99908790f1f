# SPDX-License-Identifier: Apache-2.0
r"""From the text that a server made of a value to its canonical form, by kind. Pure; runs per cell, so it is quick.

Nothing is guessed: what is not spelled as expected is a CellError, and the table is not taken. No error says what a cell
holds. Source: formats.md, "Kinds of values".
"""

import re
import struct
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final, TypeAlias

from agent.collectors.odbc.dialect import Form
from evidence.rows.values import Kind, format_float4, format_float8

Convert: TypeAlias = Callable[[str], bytes]

_INT: Final = re.compile(r"0|-?[1-9][0-9]*")
_LOOSE_INT: Final = re.compile(r"([+-]?)0*([0-9]+)(?:\.0*)?")
_PLAIN_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_BITS: Final = re.compile(r"[01]*")
_DATE: Final = re.compile(r"([0-9]{4,}-[0-9]{2}-[0-9]{2})(?:[ T]00:00:00(?:\.0*)?)?( BC)?|-?infinity")
_TIME: Final = re.compile(r"(-?[0-9]{2,}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?")
_MOMENT: Final = re.compile(
    r"([0-9]{4,}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{0,9}))?"
    r" ?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?( BC)?"
)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRUE: Final = frozenset({"1", "t", "true", "T", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "false", "F", "FALSE", "False"})
_NOT_FINITE: Final = {
    "nan": b"NaN", "inf": b"Infinity", "infinity": b"Infinity", "-inf": b"-Infinity", "-infinity": b"-Infinity",
    "+inf": b"Infinity", "+infinity": b"Infinity", "-nan": b"NaN",
}  # fmt: skip
_DOUBLE: Final = struct.Struct(">d")
_SINGLE: Final = struct.Struct(">f")


class CellError(ValueError):
    """A cell is not spelled as its type is."""


def converter(kind: Kind, form: Form, scale: int | None = None, width: int | None = None) -> Convert:
    """Give what makes the canonical value of a cell's text. `scale` of a decimal, `width` of bits, if declared.

    >>> converter(Kind.DECIMAL, Form.PLAIN, 2)(".5"), converter(Kind.FLOAT8, Form.IEEE)("3FB999999999999A")
    (b'0.50', b'0.1')
    """
    if form is Form.SQLITE:
        return convert_sqlite
    if form is Form.IEEE:
        return convert_ieee8 if kind is Kind.FLOAT8 else convert_ieee4
    if form in (Form.HEX, Form.HEX_UTF16) and kind is not Kind.BYTES:
        return convert_hex_text if form is Form.HEX else convert_hex_utf16
    if kind is Kind.DECIMAL:
        return lambda text: convert_decimal(text, scale)
    if kind is Kind.BITS:
        return lambda text: convert_bits(text, width)
    if kind is Kind.FLOAT4 and form is Form.SINGLE:
        return convert_float4
    return _CONVERTS.get(kind, convert_text)


def convert_text(text: str) -> bytes:
    """Write a text; what has unpaired surrogates is not UTF-8, and is kept as the three bytes that each would be."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Halves that a driver gave apart are one character.
        return (
            text.encode("utf-16-le", "surrogatepass")
            .decode("utf-16-le", "surrogatepass")
            .encode("utf-8", "surrogatepass")
        )


def convert_hex_text(text: str) -> bytes:
    """Read the bytes of a text."""
    return _unhex(text)


def convert_hex_utf16(text: str) -> bytes:
    """Read a text in UTF-16, little-endian."""
    raw = _unhex(text)
    if len(raw) % 2:
        raise CellError("an odd number of bytes in a text of UTF-16")
    return raw.decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass")


def convert_bytes(text: str) -> bytes:
    r"""Write bytes, given in hexadecimal with or without `0x` or `\x`.

    >>> convert_bytes("0x00FF")
    b'\\x00ff'
    """
    digits = text[2:] if text[:2] in ("0x", "0X", "\\x") else text
    if not _HEX.fullmatch(digits):
        raise CellError("bytes that are not hexadecimal")
    return b"\\x" + digits.lower().encode()


def convert_int(text: str) -> bytes:
    """Write an integer."""
    if _INT.fullmatch(text):
        return text.encode()
    match = _LOOSE_INT.fullmatch(text.strip(" "))
    if match is None:
        raise CellError("an integer that is none")
    return (b"-" if match[1] == "-" and match[2] != "0" else b"") + match[2].encode()


def convert_decimal(text: str, scale: int | None) -> bytes:
    """Write a decimal with its declared scale; without one, with the source's digits.

    >>> [convert_decimal(t, s) for t, s in (("1E+3", None), ("-0.00", 2), ("7", 2), ("1.50", None), ("12300", -2))]
    [b'1000', b'0.00', b'7.00', b'1.50', b'12300']
    """
    plain = _PLAIN_DECIMAL.fullmatch(text)
    if plain is not None and (scale is None or len(plain[1] or "") == scale) and not text.startswith("-0"):
        return text.encode()
    stripped = text.strip(" ")
    if (other := _NOT_FINITE.get(stripped.lower())) is not None:
        return other
    if not _NUMBER.fullmatch(stripped):
        raise CellError("a decimal that is none")
    try:
        number = Decimal(stripped)
    except InvalidOperation as err:
        raise CellError("a decimal that is none") from err
    written = f"{number:f}"
    whole, _, fraction = written.lstrip("+-").partition(".")
    if scale is not None:
        fraction = fraction.ljust(max(scale, 0), "0")
        if fraction[max(scale, 0) :].strip("0"):
            raise CellError(f"a decimal with more than its {scale} declared places")
        fraction = fraction[: max(scale, 0)]
    digits = (whole.lstrip("0") or "0") + ("." + fraction if fraction else "")
    return (b"-" if number.is_signed() and digits.strip("0.") else b"") + digits.encode()


def convert_float8(text: str) -> bytes:
    """Write a double, given by at least seventeen digits or the shortest that read back."""
    return format_float8(_float(text))


def convert_float4(text: str) -> bytes:
    """Write a single-precision value, given as the double that equals it or the shortest digits that read back."""
    number = _float(text)
    try:
        return format_float4(_SINGLE.unpack(_SINGLE.pack(number))[0])
    except OverflowError as err:
        raise CellError("a number beyond single precision") from err


def convert_ieee8(text: str) -> bytes:
    """Write a double, given by its bytes."""
    raw = _unhex(text.removeprefix("0x"))
    if len(raw) != _DOUBLE.size:
        raise CellError(f"a double of {len(raw)} bytes")
    return format_float8(_DOUBLE.unpack(raw)[0])


def convert_ieee4(text: str) -> bytes:
    """Write a single-precision value, given by its bytes."""
    raw = _unhex(text.removeprefix("0x"))
    if len(raw) != _SINGLE.size:
        raise CellError(f"a single-precision value of {len(raw)} bytes")
    return format_float4(_SINGLE.unpack(raw)[0])


def convert_bool(text: str) -> bytes:
    """Write a boolean."""
    if text in _TRUE:
        return b"t"
    if text in _FALSE:
        return b"f"
    raise CellError("a boolean that is neither true nor false")


def convert_bits(text: str, width: int | None) -> bytes:
    """Write bits in full width."""
    if not _BITS.fullmatch(text):
        raise CellError("bits that are neither 0 nor 1")
    return text.zfill(width or 0).encode()


def convert_date(text: str) -> bytes:
    """Write a date; a time of day behind it must be midnight."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise CellError("a date that is none")
    return ((match[1] or text) + (match[2] or "")).encode()


def convert_time(text: str) -> bytes:
    """Write a time of day or of hours, without zeros at its end."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise CellError("a time that is none")
    return _with_fraction(match[1], match[2]).encode()


def convert_timestamp(text: str) -> bytes:
    """Write a timestamp without zone."""
    if text.endswith("infinity"):
        return text.encode()
    moment, zone, era = _split(text)
    if zone:
        raise CellError("a timestamp with a zone where none belongs")
    return (moment + era).encode()


def convert_timestamptz(text: str) -> bytes:
    """Write a timestamp that the server gave in UTC, with or without saying so."""
    if text.endswith("infinity"):
        return text.encode()
    moment, zone, era = _split(text)
    if zone.strip("+-0:Z"):
        raise CellError("a timestamp that is not in UTC")
    return (moment + "+00" + era).encode()


def convert_timestampoffset(text: str) -> bytes:
    """Write a local time with its offset."""
    moment, zone, era = _split(text)
    if not zone or era:
        raise CellError("a timestamp without an offset")
    digits = "+0000" if zone == "Z" else zone.replace(":", "").ljust(5, "0")
    return f"{moment}{digits[:3]}:{digits[3:]}".encode()


def convert_uuid(text: str) -> bytes:
    """Write a UUID."""
    lower = text.strip("{} ").lower()
    if not _UUID.fullmatch(lower):
        raise CellError("a UUID that is none")
    return lower.encode()


def convert_sqlite(text: str) -> bytes:
    """Write a value of kind any: see `Form.SQLITE`."""
    prefix, value = text[:2], text[2:]
    if prefix == "i:":
        return b"i:" + convert_int(value)
    if prefix == "r:":
        return b"r:" + convert_float8(value)
    if prefix == "t:":
        return b"t:" + _unhex(value)
    if prefix == "b:":
        return b"b:" + convert_bytes(value)
    raise CellError("a value without its storage class")


def _float(text: str) -> float:
    stripped = text.strip(" ")
    if stripped.lower() in _NOT_FINITE:
        return float(stripped)
    if not _NUMBER.fullmatch(stripped):
        raise CellError("a number that is none")
    return float(stripped)


def _unhex(text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise CellError("text that is not hexadecimal")
    return bytes.fromhex(text)


def _with_fraction(whole: str, fraction: str | None) -> str:
    digits = (fraction or "").rstrip("0")
    return f"{whole}.{digits}" if digits else whole


def _split(text: str) -> tuple[str, str, str]:
    """Give moment, zone and era of a timestamp."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise CellError("a timestamp that is none")
    return _with_fraction(f"{match[1]} {match[2]}", match[3]), match[4] or "", match[5] or ""


_CONVERTS: Final[dict[Kind, Convert]] = {
    Kind.INT: convert_int, Kind.FLOAT8: convert_float8, Kind.FLOAT4: convert_float4, Kind.BOOL: convert_bool,
    Kind.BYTES: convert_bytes, Kind.DATE: convert_date, Kind.TIME: convert_time, Kind.TIMESTAMP: convert_timestamp,
    Kind.TIMESTAMPTZ: convert_timestamptz, Kind.TIMESTAMPOFFSET: convert_timestampoffset, Kind.UUID: convert_uuid,
}  # fmt: skip
