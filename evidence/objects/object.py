# SPDX-License-Identifier: Apache-2.0
"""Objects: what is addressed. `kind u8 ‖ body`, at most 4 MiB; id = BLAKE3 over both, keyed per source. Pure.

Ids never leave agent and center: they are keyed with the source's `storage_key`, so that equal content of two units
cannot be told from ids. Source: design section 4.
"""

from enum import IntEnum
from typing import Protocol

from evidence.digest import ObjectId, object_id
from evidence.errors import IdentityError, LimitError

MAX_OBJECT_BYTES = 4 << 20


class ObjectKind(IntEnum):
    """What an object's body is."""

    PAGE = 1
    NODE = 2
    CHUNK = 3
    CHUNK_LIST = 4
    MANIFEST = 5
    DOCUMENT = 6


class ObjectSource(Protocol):
    """Give the bodies of objects whose bytes have been checked against their ids."""

    def read(self, wanted: ObjectId, kind: ObjectKind) -> bytes:
        """Give the body. Raises: MissingObjectError."""


def name_object(storage_key: bytes, kind: ObjectKind, body: bytes) -> ObjectId:
    """Give the id of an object. Raises: LimitError if it is over 4 MiB."""
    if len(body) >= MAX_OBJECT_BYTES:
        raise LimitError(
            f"an object of kind {kind.name} has {len(body) + 1} bytes; at most {MAX_OBJECT_BYTES} are allowed"
        )
    return object_id(storage_key, kind, body)


def check_object(storage_key: bytes, kind: ObjectKind, wanted: ObjectId, body: bytes) -> None:
    """Raises: IdentityError unless `body` has the id `wanted` under `storage_key`."""
    found = object_id(storage_key, kind, body)
    if found != wanted:
        raise IdentityError(
            f"an object of kind {kind.name} came as {wanted.hex()[:16]}…, but its bytes give {found.hex()[:16]}…; "
            "it is damaged, or belongs to another source",
            expected=wanted,
            found=found,
        )
