# SPDX-License-Identifier: Apache-2.0
"""One canonical writer and one strict reader for each small encoding: JCS, base64, hex, decimals, times, integers.

Everything here has exactly one spelling: a reader parses, re-encodes and compares, because lenient parsers
(`int("+7")`, `b64decode("QR==")`, JSON with two equal members) would let one statement have two texts.
Pure. Source: RFC 8785 (JCS; our member names are ASCII, numbers are integers below 2^53), RFC 4648.
"""

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Final, NoReturn, TypeAlias

from evidence.errors import FormatError, LimitError

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

MAX_INTEGER: Final = 2**53 - 1
_DECIMAL = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_HEX = re.compile(r"[0-9a-f]*", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", re.ASCII)


def encode_json(value: Json) -> bytes:
    """Write `value` in its one canonical form (RFC 8785).

    Raises:
        FormatError: a number is not an integer of at most 53 bits, a member name is not ASCII, or a text has an
            unpaired surrogate.

    >>> encode_json({"b": [1, None], "a": "张"}).decode()
    '{"a":"张","b":[1,null]}'
    """
    _check_json(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as err:
        raise FormatError("a text in the JSON has an unpaired surrogate; write it as bytes instead") from err


def parse_json(raw: bytes, what: str) -> Json:
    """Read canonical JSON; `what` names it in errors.

    Raises:
        FormatError: not JSON, not in canonical form, a member twice, a fraction, or an integer over 53 bits.
    """
    try:
        value: Json = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_float=_no_fraction, parse_constant=_no_fraction
        )
        is_canonical = encode_json(value) == raw
    except FormatError:
        raise
    except (ValueError, RecursionError) as err:
        raise FormatError(f"{what} is not strict JSON: {err}") from err
    if not is_canonical:
        raise FormatError(f"{what} is JSON, but not in its one canonical form (RFC 8785)")
    return value


def parse_members(
    value: Json, what: str, required: set[str], optional: frozenset[str] = frozenset()
) -> dict[str, Json]:
    """Give the members of a JSON object that has all of `required` and none but `required` and `optional`.

    Raises:
        FormatError: not an object, a member is missing, or one is unknown.
    """
    if not isinstance(value, dict):
        raise FormatError(f"{what} must be a JSON object, found {type(value).__name__}")
    missing = sorted(required - value.keys())
    unknown = sorted(value.keys() - required - optional)
    if missing or unknown:
        raise FormatError(f"{what} lacks members {missing} and has unknown members {unknown}")
    return value


def expect_text(value: Json, what: str) -> str:
    """Give `value` if it is a text. Raises: FormatError."""
    if not isinstance(value, str):
        raise FormatError(f"{what} must be a text, found {type(value).__name__}")
    return value


def expect_integer(value: Json, what: str, most: int = MAX_INTEGER) -> int:
    """Give `value` if it is an integer in 0..most. Raises: FormatError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise FormatError(f"{what} must be an integer from 0 to {most}, found {value!r:.80}")
    return value


def expect_list(value: Json, what: str, most: int) -> list[Json]:
    """Give `value` if it is a list of at most `most` items. Raises: FormatError, LimitError."""
    if not isinstance(value, list):
        raise FormatError(f"{what} must be a list, found {type(value).__name__}")
    if len(value) > most:
        raise LimitError(f"{what} has {len(value)} items; at most {most} are allowed")
    return value


def encode_base64(raw: bytes) -> str:
    """Write standard base64 with padding."""
    return base64.b64encode(raw).decode("ascii")


def parse_base64(text: str, what: str, size: int | None = None) -> bytes:
    """Read canonical base64, of `size` bytes if given. Raises: FormatError."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as err:
        raise FormatError(f"{what} is not base64: {text!r:.80}") from err
    if encode_base64(raw) != text:
        raise FormatError(f"{what} is base64, but not in its canonical form: {text!r:.80}")
    if size is not None and len(raw) != size:
        raise FormatError(f"{what} has {len(raw)} bytes, expected {size}")
    return raw


def parse_hex(text: str, what: str, size: int) -> bytes:
    """Read `2·size` lower-case hex digits. Raises: FormatError."""
    if len(text) != 2 * size or not _HEX.fullmatch(text):
        raise FormatError(f"{what} must be {2 * size} lower-case hex digits, found {text!r:.80}")
    return bytes.fromhex(text)


def parse_decimal(text: str, what: str, most: int = MAX_INTEGER) -> int:
    """Read a decimal number in 0..most without sign or leading zeros. Raises: FormatError."""
    if len(text) > 20 or not _DECIMAL.fullmatch(text) or int(text) > most:
        raise FormatError(f"{what} must be a decimal number from 0 to {most}, found {text!r:.80}")
    return int(text)


def encode_time(moment: datetime) -> str:
    """Write an aware time as `YYYY-MM-DDTHH:MM:SS.ffffffZ` in UTC.

    >>> encode_time(datetime(2026, 11, 22, 1, tzinfo=UTC))
    '2026-11-22T01:00:00.000000Z'
    """
    if moment.tzinfo is None:
        raise FormatError(f"the time {moment} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def parse_time(text: str, what: str) -> datetime:
    """Read what `encode_time` writes. Raises: FormatError."""
    if not _TIME.fullmatch(text):
        raise FormatError(f"{what} must look like 2026-11-22T01:00:00.000000Z, found {text!r:.80}")
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError as err:
        raise FormatError(f"{what} is not a time of the calendar: {text}") from err


class ByteReader:
    """Read big-endian fields from bytes, refusing to pass the end. Not thread-safe.

    Attributes: `offset`, the position in bytes of the next field.
    """

    __slots__ = ("_data", "_what", "offset")

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self._data = memoryview(data)
        self._what = what
        self.offset = 0

    def take(self, size: int) -> bytes:
        """Give the next `size` bytes. Raises: FormatError at the end."""
        end = self.offset + size
        if end > len(self._data):
            raise FormatError(f"{self._what} ends at byte {len(self._data)}, {end} bytes were expected")
        part = bytes(self._data[self.offset : end])
        self.offset = end
        return part

    def integer(self, size: int) -> int:
        """Give the next `size` bytes as an unsigned big-endian integer."""
        return int.from_bytes(self.take(size), "big")

    def at_end(self) -> bool:
        """Tell whether all bytes are read."""
        return self.offset == len(self._data)

    def expect_end(self) -> None:
        """Raises: FormatError if bytes are left."""
        if not self.at_end():
            raise FormatError(f"{self._what} has {len(self._data) - self.offset} bytes after its end")


def _check_json(value: Json) -> None:
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise FormatError(f"the integer {value} is over 53 bits; write it as a text")
    elif isinstance(value, list):
        for item in value:
            _check_json(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str) or not name.isascii():
                raise FormatError(f"the member name {name!r:.80} is not ASCII")
            _check_json(item)
    else:
        raise FormatError(f"{type(value).__name__} has no place in canonical JSON")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_fraction(text: str) -> NoReturn:
    raise ValueError(f"the number {text[:40]} is not an integer")
