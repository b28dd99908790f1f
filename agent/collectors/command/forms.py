# SPDX-License-Identifier: Apache-2.0
"""Tell by its first bytes, or by the words that make it, that a dump is compressed or encrypted. Pure.

Such a dump shares no bytes with yesterday's: one changed row changes all that follows. It is kept all the same, at its
full size every day. What is not recognised here may be compressed, too.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

HEAD_BYTES: Final = 32

_SIGNS: Final = (
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)"),
    (b"\xfd7zXZ\x00", "compressed (xz)"),
    (b"BZh", "compressed (bzip2)"),
    (b"\x04\x22\x4d\x18", "compressed (lz4)"),
    (b"PK\x03\x04", "compressed (zip)"),
    (b"7z\xbc\xaf\x27\x1c", "compressed (7z)"),
    (b"Rar!\x1a\x07", "compressed (rar)"),
    (b"MSSQLBAK", "compressed (SQL Server backup)"),
    (b"Salted__", "encrypted (openssl)"),
    (b"-----BEGIN PGP MESSAGE-----", "encrypted (OpenPGP)"),
    (b"age-encryption.org/", "encrypted (age)"),
)
_OPENPGP: Final = frozenset({0x84, 0x85, 0x86, 0x8C, 0x8D, 0xC1, 0xC3})
"""First byte of an OpenPGP message whose first packet is an encrypted session key. Source: RFC 9580, section 4.2."""
_COMPRESSING: Final = re.compile(
    r"(?:.*[/\\])?(?:gzip|pigz|zstd|xz|bzip2|lz4|zip|7z|gpg|age)(?:\.exe)?|--gzip|-Z[1-9].*|--compress(?:ion)?(?:=.*)?|"
    r"(?i:compression=(?!none).*|.*\bwith\b.*(?<!no_)compression.*)|.*\.(?:gz|tgz|zst|xz|bz2|lz4|zip|7z|gpg|age)"
)
_PG_CUSTOM: Final = re.compile(r"-[A-Za-z]*F ?[cd].*|--format=[cd].*")
_PG_PLAIN: Final = re.compile(r"-Z ?0|--compress=(?:0|none)")


def describe_form(head: bytes) -> str | None:
    """Give how a dump that begins with `head` is packed, or None if nothing is recognised."""
    if head.startswith(b"PGDMP"):
        return "compressed (pg_dump's own)" if _is_pg_compressed(head) else None
    if len(head) > 2 and head[0] in _OPENPGP and _is_session_key(head):
        return "encrypted (OpenPGP)"
    return next((what for sign, what in _SIGNS if head.startswith(sign)), None)


def find_compressing_word(argv: Sequence[str]) -> str | None:
    """Give the word of a command that asks for compression or encryption, or None if none is recognised."""
    for before, word in pairwise(("", *argv)):
        if _COMPRESSING.fullmatch(word):
            return None if word.startswith("--compress") and _PG_PLAIN.fullmatch(word) else word
        # Custom and directory archives of pg_dump are compressed unless told not to be.
        if _PG_CUSTOM.fullmatch(f"{before} {word}" if before in ("-F", "--format") else word):
            joined = [*argv, *(f"{a} {b}" for a, b in pairwise(argv))]
            return None if any(_PG_PLAIN.fullmatch(w) for w in joined) else word
    return None


def _is_pg_compressed(head: bytes) -> bool:
    """Read the header of a custom archive: "PGDMP", version[3], size of integers, of offsets, format, compression.

    Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c, ReadHead; before 1.15 the compression is an integer.
    """
    if len(head) < 13:
        return False
    if (head[5], head[6]) >= (1, 15):
        return head[11] != 0
    return any(head[11 : 12 + head[8]])


def _is_session_key(head: bytes) -> bool:
    """Tell whether the body of the first packet says a version of an encrypted session key: 3, 4, 5 or 6."""
    body = 3 if head[0] in (0x85, 0x8D) else 5 if head[0] == 0x86 else 2
    return body < len(head) and head[body] in (3, 4, 5, 6)
