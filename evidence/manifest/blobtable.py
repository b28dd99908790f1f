# SPDX-License-Identifier: Apache-2.0
"""The table `@blobs` of a snapshot: where the bytes of its large cells and files are. Pure.

    line = sha256 (64 hex) TAB size TAB id of the top chunk list (64 hex), keyed by sha256, ascending

It has no claim: the manifest names its top object, and each entry is proven by its token when it is read. Its tree is
cut and hashed like any other, so unchanged parts are shared from day to day. Source: design section 2, "Large cells".
"""

from typing import Final

from evidence.digest import ObjectId, Sha256
from evidence.encode import parse_decimal, parse_hex
from evidence.errors import FormatError
from evidence.rows.line import KeySpec
from evidence.rows.values import Kind

ORDERING: Final = KeySpec((0,), (Kind.TEXT,))


def encode_blob_line(digest: bytes, size: int, chunks: ObjectId) -> bytes:
    """Write the line of a blob of `size` bytes whose SHA-256 is `digest`."""
    return b"%s\t%d\t%s" % (digest.hex().encode(), size, chunks.hex().encode())


def parse_blob_line(line: bytes) -> tuple[Sha256, int, ObjectId]:
    """Give digest, size and chunk list of a line. Raises: FormatError."""
    try:
        fields = line.decode("ascii").split("\t")
    except UnicodeDecodeError as err:
        raise FormatError(f"a line of @blobs is not ASCII: {line[:60]!r}") from err
    if len(fields) != 3:
        raise FormatError(f"a line of @blobs has {len(fields)} fields, expected 3")
    return (
        Sha256(parse_hex(fields[0], "the digest of a blob", 32)),
        parse_decimal(fields[1], "the size of a blob", 2**63 - 1),
        ObjectId(parse_hex(fields[2], "the chunk list of a blob", 32)),
    )
