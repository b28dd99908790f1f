# SPDX-License-Identifier: Apache-2.0
"""The bundle: one file by which a stranger can check one or more rows of a snapshot. Pure; reading verifies nothing.

    JCS {"blobs":null|folder,"checksum":hex,"claims":[{"claim":{…},"hashes":[hex…],"index","salt":hex}],
         "format":"jinsuo/bundle@v1","later":[receipts],"receipt":{…},
         "rows":[{"line":base64,"path":[{"hashes":[hex…],"index","items","rows"?}],"salt":hex,"table"}],
         "schemas":[{…}],"statement":note,"timestamps":[{"certificates":[…],"revocation":[…],"token":base64}]}

Claims ascend by the UTF-8 bytes of their names and are those of the rows' tables; `schemas` are theirs, in their order.
Rows stand in the order of the claims and, within a table, in that of their places; `later` in that of the log. A path
runs from the page to the top; its steps above the page give the rows below the entry. `blobs` names a folder beside the
file that holds the large cells, each under its SHA-256 in hex; null if no row has one. Certificates and revocation
lists are base64 DER.
`checksum` is SHA-256 over the JCS of all other members. It protects nothing from a forger; it tells a damaged file from
a false one, and covers the few bits that no signature covers (unsigned parts of tokens, cosignatures by strangers).
A bundle holds no trust anchors: those are the verifier's policy. Source: formats.md, "Receipt, bundle".
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeVar

from evidence.digest import Sha256, sha256
from evidence.encode import (
    Json,
    encode_base64,
    encode_json,
    expect_integer,
    expect_list,
    expect_text,
    parse_base64,
    parse_hex,
    parse_json,
    parse_members,
)
from evidence.errors import FormatError, LimitError, UnsupportedError
from evidence.manifest.claim import SALT_BYTES, Claim, order_claims, read_claim
from evidence.manifest.receipt import Receipt, read_receipt
from evidence.note.signed import MAX_NOTE_BYTES
from evidence.rows.line import Token, parse_line
from evidence.rows.schema import Schema, read_schema
from evidence.timestamp.rfc3161 import MAX_TOKEN_BYTES
from evidence.tree.proof import PathStep, read_steps

FORMAT: Final = "jinsuo/bundle@v1"
MAX_BUNDLE_BYTES: Final = 64 << 20
MAX_ROWS: Final = 10_000
MAX_CLAIMS: Final = 4_096
MAX_LATER: Final = 64
MAX_TIMESTAMPS: Final = 16
_MAX_CERTIFICATES: Final = 16
_MAX_HASHES: Final = 64
_MEMBERS = {"blobs", "checksum", "claims", "format", "later", "receipt", "rows", "schemas", "statement", "timestamps"}
_FOLDER = re.compile(r"[^/\\:\x00-\x1f.][^/\\:\x00-\x1f]{0,62}")
_FORMAT_NAME = re.compile(r"jinsuo/bundle@v[0-9]+", re.ASCII)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BundleRow:
    """A row: its line without LF, its salt[16], and its path from the page to the top of its table."""

    table: str
    line: bytes
    salt: bytes
    path: tuple[PathStep, ...]

    @property
    def place(self) -> tuple[int, ...]:
        """The row's place in its table, as indexes from the top down."""
        return tuple(step.index for step in reversed(self.path))


@dataclass(frozen=True, slots=True)
class BundleClaim:
    """A claim, its salt[16], and its path in the snapshot's tree; the tree's size is the statement's `tables`."""

    claim: Claim
    salt: bytes
    index: int
    hashes: tuple[Sha256, ...]


@dataclass(frozen=True, slots=True)
class BundleTimestamp:
    """A token over the receipt's checkpoint, with DER certificates of its chain and DER revocation lists."""

    token: bytes
    certificates: tuple[bytes, ...] = ()
    revocation: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle holds; members as in the module. `statement` is the note, verbatim."""

    rows: tuple[BundleRow, ...]
    claims: tuple[BundleClaim, ...]
    schemas: tuple[Schema, ...]
    statement: bytes
    receipt: Receipt
    later: tuple[Receipt, ...] = ()
    timestamps: tuple[BundleTimestamp, ...] = ()
    blobs: str | None = None

    def __post_init__(self) -> None:
        _check_counts(self)
        names = [c.claim.name for c in self.claims]
        if names != [c.name for c in order_claims(c.claim for c in self.claims)]:
            raise FormatError("the claims of a bundle must ascend by the bytes of their names")
        if {row.table for row in self.rows} != set(names):
            raise FormatError("the claims of a bundle must be those of its rows' tables")
        order = {name: i for i, name in enumerate(names)}
        for before, after in pairwise((order[row.table], row.place) for row in self.rows):
            if before >= after:
                raise FormatError("the rows of a bundle must ascend by table and place, each once")
        if any(a.proof.index >= b.proof.index for a, b in pairwise(self.later)):
            raise FormatError("the later entries of a bundle must ascend by their places in the log, each once")
        if self.blobs is not None and not _FOLDER.fullmatch(self.blobs):
            raise FormatError(f"`blobs` must name a folder beside the bundle, found {self.blobs!r:.80}")

    def schema_of(self, table: str) -> Schema:
        """Give the schema that stands for `table`, whose claim the bundle has."""
        return self.schemas[[c.claim.name for c in self.claims].index(table)]

    def tokens(self) -> tuple[Token, ...]:
        """Give the large cells of all rows, each once. Raises: FormatError if a line is not one of its schema."""
        cells = (cell for row in self.rows for cell in parse_line(row.line, self.schema_of(row.table)))
        return tuple(dict.fromkeys(cell for cell in cells if isinstance(cell, Token)))

    def encode(self) -> bytes:
        """Write the bundle."""
        members = self._members()
        return encode_json({**members, "checksum": sha256(encode_json(members)).hex()})

    def _members(self) -> dict[str, Json]:
        return {
            "blobs": self.blobs,
            "claims": [
                {"claim": c.claim.to_json(), "hashes": _hex(c.hashes), "index": c.index, "salt": c.salt.hex()}
                for c in self.claims
            ],
            "format": FORMAT,
            "later": [receipt.to_json() for receipt in self.later],
            "receipt": self.receipt.to_json(),
            "rows": [
                {
                    "line": encode_base64(row.line),
                    "path": [step.to_json() for step in row.path],
                    "salt": row.salt.hex(),
                    "table": row.table,
                }
                for row in self.rows
            ],
            "schemas": [parse_json(schema.encode(), "a schema") for schema in self.schemas],
            "statement": self.statement.decode(),
            "timestamps": [
                {
                    "certificates": [encode_base64(der) for der in t.certificates],
                    "revocation": [encode_base64(der) for der in t.revocation],
                    "token": encode_base64(t.token),
                }
                for t in self.timestamps
            ],
        }


def parse_bundle(raw: bytes) -> Bundle:
    """Read a bundle strictly.

    Raises:
        UnsupportedError: a version that this program does not know.
        LimitError: something is over its bound.
        FormatError: anything else that is not the one encoding of a bundle, or a checksum that is not its own.
    """
    if len(raw) > MAX_BUNDLE_BYTES:
        raise LimitError(f"a bundle of {len(raw)} bytes is over the bound of {MAX_BUNDLE_BYTES}")
    value = parse_json(raw, "the bundle")
    _check_format(value)
    members = parse_members(value, "the bundle", _MEMBERS)
    rest = {name: member for name, member in members.items() if name != "checksum"}
    if expect_text(members["checksum"], "the checksum") != sha256(encode_json(rest)).hex():
        raise FormatError("the bundle does not have its own checksum: it was damaged or altered; ask for another copy")
    bundle = Bundle(
        rows=_read_all(members, "rows", MAX_ROWS, _read_row),
        claims=_read_all(members, "claims", MAX_CLAIMS, _read_claim),
        schemas=_read_all(members, "schemas", MAX_CLAIMS, read_schema),
        statement=expect_text(members["statement"], "the statement").encode(),
        receipt=read_receipt(members["receipt"]),
        later=_read_all(members, "later", MAX_LATER, read_receipt),
        timestamps=_read_all(members, "timestamps", MAX_TIMESTAMPS, _read_timestamp),
        blobs=None if members["blobs"] is None else expect_text(members["blobs"], "`blobs`"),
    )
    if bundle.encode() != raw:
        raise FormatError("the bundle is readable, but not in its one canonical form")
    return bundle


def _check_format(value: Json) -> None:
    found = value.get("format") if isinstance(value, dict) else None
    if found == FORMAT:
        return
    if isinstance(found, str) and _FORMAT_NAME.fullmatch(found):
        raise UnsupportedError(f"the bundle has the format {found}; this version knows {FORMAT}; update Jinsuo")
    raise FormatError(f"this is not a bundle: its format must be {FORMAT}, found {found!r:.60}")


def _check_counts(bundle: Bundle) -> None:
    bounds: tuple[tuple[str, Sequence[object], int, int], ...] = (
        ("rows", bundle.rows, 1, MAX_ROWS),
        ("claims", bundle.claims, 1, MAX_CLAIMS),
        ("later", bundle.later, 0, MAX_LATER),
        ("timestamps", bundle.timestamps, 0, MAX_TIMESTAMPS),
    )
    for name, items, least, most in bounds:
        if not least <= len(items) <= most:
            raise LimitError(f"a bundle has {least} to {most} {name}, found {len(items)}")
    if len(bundle.schemas) != len(bundle.claims):
        raise FormatError(
            f"a bundle has one schema for each of its {len(bundle.claims)} claims, found {len(bundle.schemas)}"
        )
    if len(bundle.statement) > MAX_NOTE_BYTES:
        raise LimitError(f"the statement has {len(bundle.statement)} bytes; at most {MAX_NOTE_BYTES} are read")


def _read_all(members: dict[str, Json], name: str, most: int, read: Callable[[Json], _T]) -> tuple[_T, ...]:
    return tuple(read(item) for item in expect_list(members[name], f"`{name}`", most))


def _read_row(value: Json) -> BundleRow:
    members = parse_members(value, "a row", {"line", "path", "salt", "table"})
    return BundleRow(
        table=expect_text(members["table"], "a row's table"),
        line=parse_base64(expect_text(members["line"], "a row's line"), "a row's line"),
        salt=_read_salt(members["salt"], "a row's salt"),
        path=read_steps(members["path"]),
    )


def _read_claim(value: Json) -> BundleClaim:
    members = parse_members(value, "a bundle's claim", {"claim", "hashes", "index", "salt"})
    hashes = expect_list(members["hashes"], "the path of a claim", _MAX_HASHES)
    return BundleClaim(
        claim=read_claim(members["claim"]),
        salt=_read_salt(members["salt"], "a claim's salt"),
        index=expect_integer(members["index"], "the index of a claim"),
        hashes=tuple(Sha256(parse_hex(expect_text(h, "a hash"), "a hash in the path of a claim", 32)) for h in hashes),
    )


def _read_salt(value: Json, what: str) -> bytes:
    return parse_hex(expect_text(value, what), what, SALT_BYTES)


def _read_timestamp(value: Json) -> BundleTimestamp:
    members = parse_members(value, "a time stamp", {"certificates", "revocation", "token"})
    token = parse_base64(expect_text(members["token"], "a token"), "a token")
    if len(token) > MAX_TOKEN_BYTES:
        raise LimitError(f"a token of {len(token)} bytes is over the bound of {MAX_TOKEN_BYTES}")
    return BundleTimestamp(token, _read_ders(members, "certificates"), _read_ders(members, "revocation"))


def _read_ders(members: dict[str, Json], name: str) -> tuple[bytes, ...]:
    items = expect_list(members[name], f"`{name}` of a time stamp", _MAX_CERTIFICATES)
    return tuple(parse_base64(expect_text(item, f"one of `{name}`"), f"one of `{name}`") for item in items)


def _hex(hashes: Sequence[Sha256]) -> list[Json]:
    return [h.hex() for h in hashes]
