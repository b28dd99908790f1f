# SPDX-License-Identifier: Apache-2.0
r"""From what the server prints to canonical values, for the columns where that is not the same. Pure; runs per cell.

Each function takes a value that is not NULL. Floats: a FLOAT is read as the double that equals it (`* 1e0`), for its own
text has six digits; both are printed as `evidence.rows.values` prints them, by a quicker way where that gives the same.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

from evidence.rows.values import format_float4, format_float8

Convert: TypeAlias = Callable[[bytes], bytes]

_SINGLE: Final = struct.Struct("<f")
_BITS: Final = struct.Struct("<I")
_DIGITS: Final = (7, 8, 9)
_OCTETS: Final = tuple(f"{octet:08b}".encode() for octet in range(256))


def convert_bytes(value: bytes) -> bytes:
    r"""Write bytes in hex.

    >>> convert_bytes(b"\x00\xff")
    b'\\x00ff'
    """
    return b"\\x" + value.hex().encode()


def convert_bits(width: int) -> Convert:
    """Give what writes BIT(`width`), which comes as whole bytes, big-endian.

    >>> convert_bits(10)(bytes((0, 5)))
    b'0000000101'
    """
    start = -width % 8

    def convert(value: bytes) -> bytes:
        return b"".join([_OCTETS[octet] for octet in value])[start:]

    return convert


def convert_fraction(value: bytes) -> bytes:
    """Take the zeros from the end of a fraction that is always printed in full.

    >>> convert_fraction(b"10:00:00.500"), convert_fraction(b"10:00:00.000")
    (b'10:00:00.5', b'10:00:00')
    """
    return value.rstrip(b"0").rstrip(b".")


def convert_utc(value: bytes) -> bytes:
    """Mark a time that is printed in UTC."""
    return value + b"+00"


def convert_utc_fraction(value: bytes) -> bytes:
    """Mark a time that is printed in UTC, with a fraction."""
    return value.rstrip(b"0").rstrip(b".") + b"+00"


def convert_float8(value: bytes) -> bytes:
    """Write a double.

    >>> [convert_float8(v).decode() for v in (b"1e23", b"0.5", b"-0", b"100000000000000000")]
    ['9.999999999999999e+22', '0.5', '-0', '1e+17']
    """
    # The server's text has the shortest digits too, and in this range no bound of a rounding interval is one of them.
    whole = value.partition(b".")[0]
    if b"e" not in value and len(whole) < 15 and not value.startswith((b"0.0000", b"-0.0000")):
        return value
    return format_float8(float(value))


@lru_cache(maxsize=4096)
def convert_float4(value: bytes) -> bytes:
    """Write a single-precision value, given as the double that equals it.

    >>> [convert_float4(v).decode() for v in (b"0.10000000149011612", b"16777216", b"0.25", b"-1000000")]
    ['0.1', '1.6777216e+07', '0.25', '-1e+06']
    """
    x = float(value)
    bits = _BITS.unpack(_SINGLE.pack(x))[0]
    # At a power of two the rounding interval is not symmetric; below 0.001 two decimals of seven digits may lie in it.
    if not (1e-3 <= x < 1e6 or -1e6 < x <= -1e-3) or not bits & 0x7FFFFF:
        return format_float4(x)
    # Else the nearest decimal of the fewest digits that reads back is the shortest; `g` writes no zeros behind it.
    for digits in _DIGITS:
        text = f"{x:.{digits}g}"
        if _SINGLE.unpack(_SINGLE.pack(float(text)))[0] == x and "e" not in text:
            return text.encode()
    return format_float4(x)
