# SPDX-License-Identifier: Apache-2.0
"""From rows to the stated root: claims, schemas, rows, values and large cells of a bundle. Pure.

Source: design sections 2 and 3.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256 as sha256_state
from itertools import groupby, pairwise
from typing import TypeAlias

from evidence.digest import root_from_path
from evidence.errors import (
    FormatError,
    ProofError,
)
from evidence.manifest.claim import claim_leaf
from evidence.manifest.statement import (
    SnapshotStatement,
)
from evidence.rows.commit import row_leaf
from evidence.rows.line import MAX_CELL_BYTES, Cell, KeySpec, Token, check_order, parse_line, shorten_line
from evidence.rows.schema import RAW_TEXT_NOTE, Schema
from evidence.rows.values import check_value
from evidence.tree.proof import root_of_row
from evidence.verify.bundle import Bundle, BundleClaim, BundleRow
from evidence.verify.findings import Findings

FindBlob: TypeAlias = Callable[[str, Token], Iterable[bytes] | None]
"""Give the bytes of a large cell from the folder that the bundle names beside itself, or None if they are not there."""


def verify_claims(claims: Iterable[BundleClaim], statement: SnapshotStatement) -> None:
    """Raises: ProofError unless every claim is a leaf of the statement's tree, in order, and the sums allow it."""
    rows = size_bytes = 0
    before = -1
    for shown in claims:
        root = root_from_path(claim_leaf(shown.salt, shown.claim), shown.index, statement.tables, shown.hashes)
        if root != statement.root:
            raise ProofError(
                f"the claim of {shown.claim.name!r:.80} leads to the root {root.hex()}, the statement has"
                f" {statement.root.hex()}"
            )
        if shown.index <= before:
            raise ProofError(
                f"the claim of {shown.claim.name!r:.80} stands at {shown.index}, out of the order of names"
            )
        before = shown.index
        rows, size_bytes = rows + shown.claim.rows, size_bytes + shown.claim.bytes_
    if rows > statement.rows or size_bytes > statement.bytes_:
        raise ProofError(
            f"the tables shown have {rows} rows and {size_bytes} bytes, all tables of the statement"
            f" {statement.rows} and {statement.bytes_}"
        )


def verify_schema(shown: BundleClaim, schema: Schema) -> None:
    """Raises: ProofError unless `schema` is the one that the claim names by hash, for the same table."""
    if schema.digest != shown.claim.schema:
        raise ProofError(
            f"the schema of {shown.claim.name!r:.80} has the hash {schema.digest.hex()}, its claim says"
            f" {shown.claim.schema.hex()}"
        )
    if schema.name != shown.claim.name:
        raise ProofError(f"the claim of {shown.claim.name!r:.80} names the schema of {schema.name!r:.80}")


def verify_row(row: BundleRow, shown: BundleClaim) -> None:
    """Raises: ProofError unless the row, under its salt, is a leaf of the tree that the claim describes."""
    claim = shown.claim
    top = root_of_row(row_leaf(row.salt, row.line), row.path)
    if (top.root, top.height, top.items) != (claim.root, claim.height, claim.items):
        raise ProofError(
            f"a row leads to the root {top.root.hex()} of height {top.height} with {top.items} items; the claim of"
            f" {claim.name!r:.80} has {claim.root.hex()}, {claim.height} and {claim.items}"
        )
    below = row.path[-1].rows
    if below is not None and below + claim.items - 1 > claim.rows:
        raise ProofError(
            f"a row's path says {below} rows below one of {claim.items} items; the claim has {claim.rows} rows"
        )


def read_row(row: BundleRow, schema: Schema) -> list[Cell]:
    """Give the row's cells. Raises: FormatError if the line is not the one spelling of a row of the schema."""
    cells = parse_line(row.line, schema)
    # As sets: a stranger's schema may have 4,096 columns and 65,536 notes, and its bundle 10,000 rows.
    notes, key = frozenset(schema.notes), frozenset(schema.key)
    for cell, column in zip(cells, schema.columns, strict=True):
        if isinstance(cell, bytes):
            check_value(column.kind, column.scale, cell, raw_text=RAW_TEXT_NOTE + column.name in notes)
        elif column.name in key:
            raise FormatError(f"the key column {column.name!r:.80} of {schema.name!r:.80} is NULL or a token")
    if len(row.line) > MAX_CELL_BYTES and shorten_line(row.line, schema)[0] != row.line:
        raise FormatError(f"a row of {schema.name!r:.80} has a large cell written out that must be a token")
    return cells


def verify_order(bundle: Bundle) -> None:
    """Raises: TreeError unless the rows shown of each table ascend as the table's must.

    Which rows lie between two that are shown is not known; but a key that stands twice, or out of order, is no row's of a
    table that has one tree.
    """
    for table, rows in groupby(bundle.rows, key=lambda row: row.table):
        spec = KeySpec.of(bundle.schema_of(table))
        for before, after in pairwise(row.line for row in rows):
            check_order(spec, spec.key_of(before), spec.key_of(after))


def verify_blobs(bundle: Bundle, find_blob: FindBlob, findings: Findings) -> None:
    """Hash the large cells that are at hand.

    Raises: ProofError if one is not what its row says; FormatError if `blobs` is named without need, or not named.
    """
    tokens = bundle.tokens()
    if bool(tokens) != (bundle.blobs is not None):
        raise FormatError(
            f"the rows have {len(tokens)} large cells, and the bundle names the folder {bundle.blobs!r:.80}"
        )
    for token in tokens:
        parts = None if bundle.blobs is None else find_blob(bundle.blobs, token)
        if parts is None:
            findings.blobs_absent += 1
            continue
        state, size = sha256_state(), 0
        for part in parts:
            state.update(part)
            size += len(part)
        if (state.digest(), size) != (token.sha256, token.size):
            raise ProofError(
                f"the large cell {token.sha256.hex()} of {token.size} bytes has {size} bytes and the hash"
                f" {state.hexdigest()} beside the bundle"
            )
        findings.blobs_present += 1


def describe_blobs(findings: Findings) -> tuple[str, str]:
    """Say how many large cells hold and how many are absent, in Chinese and English."""
    present, absent = findings.blobs_present, findings.blobs_absent
    if not present and not absent:
        return "这些记录没有大字段", "these rows have no large cells"
    return f"{present} 个相符，{absent} 个未附带", f"{present} hold, {absent} are not beside the bundle"
