# SPDX-License-Identifier: Apache-2.0
"""How a body of `/v1` is written and read: JCS with a member `format`, nothing unknown, one encoding. Pure.

Lists of ids are one base64 text of 32 bytes each, in order. Source: design section 6.
"""

from collections.abc import Sequence
from typing import Final

from evidence.digest import HASH_SIZE, ObjectId
from evidence.encode import Json, encode_base64, encode_json, expect_text, parse_base64, parse_json, parse_members
from evidence.errors import FormatError, LimitError

MAX_JSON_BYTES: Final = 4 << 20
MAX_IDS: Final = 65_536


def encode_body(format_: str, **members: Json) -> bytes:
    """Write a body."""
    return encode_json({"format": format_, **members})


def parse_body(raw: bytes, format_: str, names: set[str]) -> dict[str, Json]:
    """Read a body of one format with exactly these members beside `format`. Raises: FormatError, LimitError."""
    if len(raw) > MAX_JSON_BYTES:
        raise LimitError(f"a body of {len(raw)} bytes is over the bound of {MAX_JSON_BYTES}")
    members = parse_members(parse_json(raw, f"a body of {format_}"), f"a body of {format_}", names | {"format"})
    if members["format"] != format_:
        raise FormatError(f"the body must have the format {format_}, found {members['format']!r:.60}")
    return members


def get_text(members: dict[str, Json], name: str) -> str:
    """Give a member that is a text. Raises: FormatError."""
    return expect_text(members[name], name)


def get_bytes(members: dict[str, Json], name: str, size: int) -> bytes:
    """Give a member that is the base64 of `size` bytes. Raises: FormatError."""
    return parse_base64(get_text(members, name), name, size)


def get_flag(members: dict[str, Json], name: str) -> bool:
    """Give a member that is true or false. Raises: FormatError."""
    value = members[name]
    if not isinstance(value, bool):
        raise FormatError(f"{name} must be true or false, found {value!r:.40}")
    return value


def encode_ids(ids: Sequence[ObjectId]) -> str:
    """Write ids as one text. Raises: LimitError."""
    if len(ids) > MAX_IDS:
        raise LimitError(f"a message names at most {MAX_IDS} objects, found {len(ids)}")
    return encode_base64(b"".join(ids))


def parse_ids(value: Json, what: str) -> tuple[ObjectId, ...]:
    """Read such a text. Raises: FormatError, LimitError."""
    raw = parse_base64(expect_text(value, what), what)
    if len(raw) % HASH_SIZE or len(raw) > MAX_IDS * HASH_SIZE:
        raise LimitError(f"{what} must be at most {MAX_IDS} ids of {HASH_SIZE} bytes, found {len(raw)} bytes")
    return tuple(ObjectId(raw[start : start + HASH_SIZE]) for start in range(0, len(raw), HASH_SIZE))
