# SPDX-License-Identifier: Apache-2.0
"""What a snapshot says of one table, and the root over all tables of a snapshot. Pure.

    claim  c = 0x03 ‖ salt_c[16] ‖ j,  j = JCS({"bytes","height","items","name","root","rows","schema"})
    salt_c   = HMAC-SHA256(row_secret, "jinsuo/claim@v1" ‖ 0x00 ‖ j)[0:16]
    snapshot root = MTH(c_1..c_k), tables in ascending order of the UTF-8 bytes of their names

The salt keeps the figures of tables that a bundle does not show from being guessed. A claim is valid by construction:
figures that no tree can have are refused here, before anybody hashes. Source: design section 3.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from evidence.digest import EMPTY_ROOT, Sha256, hmac_sha256, leaf_hash, tree_head
from evidence.encode import Json, encode_json, expect_integer, expect_text, parse_hex, parse_members
from evidence.errors import FormatError, LimitError
from evidence.tree.nodes import MAX_FANOUT, MAX_LEVEL

SALT_BYTES = 16
MAX_TABLES = 65_536
MAX_TABLE_NAME_BYTES = 4096
_MEMBERS = {"bytes", "height", "items", "name", "root", "rows", "schema"}


@dataclass(frozen=True, slots=True)
class Claim:
    """A table's figures: `schema` hashes its schema object; `height`, `items` and `root` are those of its top.

    `bytes_` is Σ(len(line)+1). An empty table has no tree: root H(""), all numbers 0.
    """

    name: str
    schema: Sha256
    root: Sha256
    height: int
    items: int
    rows: int
    bytes_: int

    def __post_init__(self) -> None:
        size = len(_name_order(self.name))
        if not 1 <= size <= MAX_TABLE_NAME_BYTES:
            raise LimitError(f"a table's name has 1 to {MAX_TABLE_NAME_BYTES} bytes, found {size}: {self.name!r:.80}")
        if not self._is_possible():
            raise FormatError(
                f"no tree has the figures claimed of table {self.name!r:.80}: rows {self.rows}, bytes {self.bytes_},"
                f" height {self.height}, items {self.items}, root {self.root.hex()[:16]}…"
            )

    def to_json(self) -> dict[str, Json]:
        """Give the claim as JSON."""
        return {
            "bytes": self.bytes_,
            "height": self.height,
            "items": self.items,
            "name": self.name,
            "root": self.root.hex(),
            "rows": self.rows,
            "schema": self.schema.hex(),
        }

    def encode(self) -> bytes:
        """Write j."""
        return encode_json(self.to_json())

    def _is_possible(self) -> bool:
        if self.rows == 0:
            return (self.bytes_, self.height, self.items, self.root) == (0, 0, 0, EMPTY_ROOT)
        if not 0 <= self.height <= MAX_LEVEL or self.bytes_ < self.rows:
            return False
        if self.height == 0:
            return self.items == self.rows
        return 2 <= self.items <= min(MAX_FANOUT, self.rows)


def read_claim(value: Json) -> Claim:
    """Read a claim from JSON that has been parsed strictly. Raises: FormatError."""
    members = parse_members(value, "a claim", _MEMBERS)
    name = expect_text(members["name"], "a claim's name")
    what = f"of the claim of {name!r:.80}"
    return Claim(
        name=name,
        schema=Sha256(parse_hex(expect_text(members["schema"], f"schema {what}"), f"schema {what}", 32)),
        root=Sha256(parse_hex(expect_text(members["root"], f"root {what}"), f"root {what}", 32)),
        height=expect_integer(members["height"], f"height {what}", MAX_LEVEL),
        items=expect_integer(members["items"], f"items {what}"),
        rows=expect_integer(members["rows"], f"rows {what}"),
        bytes_=expect_integer(members["bytes"], f"bytes {what}"),
    )


def claim_salt(row_secret: bytes, claim: Claim) -> bytes:
    """Give the salt of a claim, 16 bytes."""
    return hmac_sha256(row_secret, b"jinsuo/claim@v1\x00", claim.encode())[:SALT_BYTES]


def claim_leaf(salt: bytes, claim: Claim) -> Sha256:
    """Give the leaf hash of a claim under its salt."""
    return leaf_hash(b"\x03" + salt + claim.encode())


def order_claims(claims: Iterable[Claim]) -> list[Claim]:
    """Give the claims in the order of the snapshot's tree. Raises: FormatError if two have one name."""
    ordered = sorted(claims, key=lambda claim: _name_order(claim.name))
    for before, after in pairwise(ordered):
        if before.name == after.name:
            raise FormatError(f"two tables have the name {before.name!r:.80}")
    return ordered


def snapshot_leaves(claims: Iterable[Claim], row_secret: bytes) -> list[Sha256]:
    """Give the leaf hashes of the snapshot's tree in its order. Raises: FormatError if two claims have one name."""
    return [claim_leaf(claim_salt(row_secret, claim), claim) for claim in order_claims(claims)]


def snapshot_root(claims: Iterable[Claim], row_secret: bytes) -> Sha256:
    """Give the root over all `claims`, in any order. Raises: FormatError if two have one name."""
    return tree_head(snapshot_leaves(claims, row_secret))


def _name_order(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as err:
        raise FormatError(f"a table's name must be a text without unpaired surrogates, found {name!r:.80}") from err
