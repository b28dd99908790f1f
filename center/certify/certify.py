# SPDX-License-Identifier: Apache-2.0
"""Technical bundles for rows and files of a snapshot, and the policy text that a verifier takes.

A bundle is made from what is stored and logged, and checked as a stranger will check it before it leaves: a center
whose store is damaged says so instead of handing out a false proof. Not yet an issued certificate: that is an act of
the archives, this is its technical part. Reads snapshot and ledger; writes only where it is told to (`write_bundle`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from center.errors import NotFoundError, RefusedError, StoreError
from center.registry.catalog_tables import StatementRow
from center.registry.snapshots import Snapshot, SnapshotTable
from center.registry.units import Unit
from evidence.digest import Sha256, audit_path
from evidence.errors import EvidenceError, FormatError
from evidence.keys.key import VerificationKey
from evidence.keys.trust import SequenceRange, UnitKey
from evidence.log.checkpoint import parse_checkpoint
from evidence.manifest.claim import claim_salt, snapshot_leaves
from evidence.manifest.receipt import Receipt, verify_receipt
from evidence.manifest.statement import KeyStatement, WithdrawalStatement, key_name, parse_statement
from evidence.note.cosign import claimed_unix_s
from evidence.note.signed import Note, parse_note
from evidence.rows.commit import commit_page, row_salt
from evidence.rows.line import Cell, Token, encode_field, encode_line, parse_field
from evidence.rows.schema import Schema
from evidence.rows.values import check_value
from evidence.tree.proof import prove_row
from evidence.verify.bundle import Bundle, BundleClaim, BundleRow, BundleTimestamp, parse_bundle
from evidence.verify.contents import read_row, verify_claims, verify_row, verify_schema
from evidence.verify.policy import NO_QUORUM, Group, Policy, Witness
from terminal.language import Text

NULL_WORD = "\\N"
"""A value typed as `\\N` is NULL."""
_DOUBLED_TOKEN: Final = re.compile(rb"\A(|t:)\\(\\@sha256:[0-9a-f]{64}:[0-9]+)\Z")
_EQUALLY_EARLY_S: Final = 3600


class Log(Protocol):
    """What a bundle needs of the ledger. `center.ledger.ledger.Ledger` is one."""

    @property
    def log_key(self) -> VerificationKey:
        """The key that verifies the log's checkpoints."""

    def receipt(self, index: int, checkpoint: bytes | None = None) -> Receipt:
        """Prove the entry at `index` under the newest checkpoint, or under the one given."""

    def find_checkpoints(
        self, above: int = -1, cosigned_only: bool = False, most: int = 1000, *, oldest_first: bool = False
    ) -> list[bytes]:
        """Give up to `most` kept checkpoints that cover entry `above`, the newest first unless asked otherwise."""


Passage: TypeAlias = "dict[str, int | None]"
"""The last statement that a key has signed of each source; None: the source has not passed to the next key yet."""


def parse_key(schema: Schema, values: Sequence[str]) -> bytes:
    r"""Give what finds a row, from its key columns' canonical values (a keyless table: the values of all columns).

    In a keyless table `\N` is NULL, and what stands on the line for a large cell (`\@sha256:…:…`) is that cell; a text
    that reads so is typed with its first backslash doubled.

    Raises: NotFoundError if there are too few or too many values, or one is not of its column's kind.
    """
    names = schema.key or tuple(column.name for column in schema.columns)
    if len(values) != len(names):
        raise NotFoundError(
            Text(
                zh=f"{schema.name} 的一行由 {len(names)} 个值指明，得到 {len(values)} 个",
                en=f"a row of {schema.name} is named by {len(names)} values, found {len(values)}",
            ),
            hint=Text(
                zh=f"依次给出 {', '.join(names)} 的值", en=f"give the values of {', '.join(names)}, in this order"
            ),
        )
    cells = [_parse_cell(schema, name, value) for name, value in zip(names, values, strict=True)]
    if not schema.key:
        return encode_line(cells)
    return b"\t".join(encode_field(cell) for cell in cells)


def make_bundle(
    snapshot: Snapshot,
    ledger: Log,
    rows: Sequence[tuple[str, bytes]],
    *,
    blobs: str = "blobs",
    later: Sequence[int] = (),
    timestamps: Sequence[BundleTimestamp] = (),
) -> bytes:
    """Make the bundle that proves rows, each given by its table and key (`parse_key`), in any order.

    `blobs` names the folder beside the bundle for large cells, if any; `later` are log indexes of later entries about
    the statement (withdrawals, acts); that its content was stored later is added from the catalog.

    Raises:
        NotFoundError: no such table or row.
        StoreError: what is stored or logged does not prove what was stated.
    """
    shown = sorted({_find_row(snapshot, table, key) for table, key in rows}, key=lambda r: (r.table.encode(), r.place))
    names = list(dict.fromkeys(row.table for row in shown))
    indexes = sorted({i for i in (snapshot.row.stored_index, *later) if i is not None} - {snapshot.row.index})
    bundle = Bundle(
        rows=tuple(shown),
        claims=_find_claims(snapshot, names),
        schemas=tuple(snapshot.table(name).schema for name in names),
        statement=snapshot.row.note,
        receipt=ledger.receipt(snapshot.row.index, _choose_checkpoint(ledger, snapshot.row, as_kept=bool(timestamps))),
        later=tuple(ledger.receipt(i) for i in indexes),
        timestamps=tuple(timestamps),
    )
    if bundle.tokens():
        bundle = replace(bundle, blobs=blobs)
    _check_bundle(bundle, snapshot, ledger)
    return bundle.encode()


def write_bundle(path: Path, raw: bytes, snapshot: Snapshot) -> int:
    """Write the large cells of the rows into the folder that the bundle names, then the bundle; give their number.

    Raises: RefusedError if `path` is there: evidence is not written over. OSError.
    """
    bundle = parse_bundle(raw)
    tokens = () if bundle.blobs is None else bundle.tokens()
    for token in tokens:
        folder = path.parent / str(bundle.blobs)
        folder.mkdir(exist_ok=True)
        with (folder / token.sha256.hex()).open("wb") as file:
            file.writelines(snapshot.blob(token))
    try:
        with path.open("xb") as file:
            file.write(raw)
    except FileExistsError as err:
        raise RefusedError(
            Text(zh=f"{path} 已存在", en=f"{path} exists already"),
            hint=Text(zh="换一个文件名：证据不会被覆盖", en="name another file: evidence is not written over"),
        ) from err
    return len(tokens)


def find_withdrawal(statements: Iterable[StatementRow], digest: Sha256) -> StatementRow | None:
    """Find the first of a source's statements by which the unit has withdrawn the one with `digest`, if it has."""
    for row in statements:
        if row.kind == WithdrawalStatement.kind:
            statement = parse_statement(parse_note(row.note).text)
            if isinstance(statement, WithdrawalStatement) and statement.statement == digest:
                return row
    return None


def find_passages(units: Sequence[Unit], statements: Sequence[StatementRow]) -> dict[VerificationKey, Passage]:
    """Find up to which statement each key that gave way to an attested one has signed, source by source.

    Only of sources of which it has signed something: it does not speak for what came after it.
    """
    pairs = [pair for unit in units for pair in zip(unit.keys, unit.keys[1:], strict=False)]
    passages: dict[VerificationKey, Passage] = {
        first.statement: {} for first, second in pairs if first.cosigner == second.cosigner
    }
    for row in statements:
        note = parse_note(row.note)
        signers = {(line.name, line.key_id) for line in note.signatures}
        name = key_name(row.unit, row.source)
        statement = parse_statement(note.text) if row.kind == KeyStatement.kind else None
        for key, passage in passages.items():
            if key.name != row.unit:
                continue
            if (name, key.renamed(name).key_id) in signers:
                is_last = isinstance(statement, KeyStatement) and statement.old == key
                passage[row.source] = row.sequence if is_last else None
            elif passage.get(row.source, 0) is None:
                passage[row.source] = row.sequence - 1  # the chain went on under another without saying so
    return passages


def make_policy(
    log_key: VerificationKey,
    operator_key: VerificationKey,
    units: Sequence[Unit],
    passages: Mapping[VerificationKey, Passage] | None = None,
) -> str:
    """Write the policy that this center suggests: its log, its operator, its units, and any other unit as witness.

    A key that gave way to an attested one (`passages`) speaks up to the statement by which each source passed on, whenever
    that was received; one that was lost, until another was enrolled.

    A verifier should compare the keys with what the archives have published elsewhere: a policy from the center's own
    hands proves no more than that they all agree.
    """
    unit_keys: list[UnitKey] = []
    witnesses: list[Witness] = []
    for unit in units:
        for i, pair in enumerate(unit.keys):
            until = unit.keys[i + 1].since if i + 1 < len(unit.keys) else None
            passage = (passages or {}).get(pair.statement)
            ranges = tuple(SequenceRange(source, 1, last) for source, last in sorted((passage or {}).items()))
            # Cosignatures tell whole seconds: one of the second in which the key began must not seem to be before it.
            since = pair.since.replace(microsecond=0)
            unit_keys.append(UnitKey(pair.statement, since, None if ranges else until, ranges))
            if all(pair.cosigner != witness.key for witness in witnesses):
                witnesses.append(Witness(f"{unit.unit}/{i + 1}", pair.cosigner))
    groups = (Group("units", 1, tuple(w.name for w in witnesses)),) if witnesses else ()
    policy = Policy(
        logs=(log_key,),
        operators=(operator_key,),
        witnesses=tuple(witnesses),
        groups=groups,
        quorum="units" if witnesses else NO_QUORUM,
        units=tuple(unit_keys),
    )
    return _POLICY_HEAD + policy.encode()


_POLICY_HEAD = """\
# 金锁验证策略：验证者相信谁。请与档案部门另行公布的密钥核对后使用。
# Whom a verifier of Jinsuo bundles believes. Compare the keys with those that the archives publish elsewhere.
# A unit's own cosignature never counts for its own statements. Format: docs/format.md
"""


def _parse_cell(schema: Schema, name: str, text: str) -> Cell:
    column = schema.column(name)
    if text == NULL_WORD and not schema.key:
        return None
    value = text.encode("utf-8", "surrogateescape")
    if not schema.key:
        token = _find_token(value)
        if token is not None:
            return token
        value = rb"\N" if value == rb"\\N" else _DOUBLED_TOKEN.sub(rb"\1\2", value)
    try:
        check_value(column.kind, column.scale, value, raw_text=schema.is_raw_text(name))
    except FormatError as err:
        raise NotFoundError(
            Text(
                zh=f"{text!r:.80} 不是 {schema.name} 的列 {name} 的值",
                en=f"{text!r:.80} is not a value of column {name} of {schema.name}",
            ),
            hint=Text(
                zh=f"按快照中的写法；该列的类别是 {column.kind}",
                en=f"write it as the snapshot does; the column is of kind {column.kind}",
            ),
        ) from err
    return value


def _find_token(value: bytes) -> Token | None:
    with suppress(FormatError):
        cell = parse_field(value, "a value")
        if isinstance(cell, Token):
            return cell
    return None


def _find_row(snapshot: Snapshot, name: str, key: bytes) -> BundleRow:
    table = snapshot.table(name)
    proof = prove_row(
        snapshot.objects,
        table.ordering,
        lambda body: commit_page(snapshot.row_key, body),
        table.top,
        table.claim.height,
        key,
    )
    if proof is None:
        raise _no_row(snapshot, table, key)
    return BundleRow(name, proof.line, row_salt(snapshot.row_key, proof.line), proof.steps)


def _no_row(snapshot: Snapshot, table: SnapshotTable, key: bytes) -> NotFoundError:
    row = snapshot.row
    columns = ", ".join(table.schema.key) or "all columns"
    return NotFoundError(
        Text(
            zh=f"{row.source}#{row.sequence} 的表 {table.name} 中没有 {columns} = {key[:120]!r} 的行",
            en=f"table {table.name} of {row.source}#{row.sequence} has no row with {columns} = {key[:120]!r}",
        ),
        hint=Text(
            zh=f"`jinsuo-center find {row.unit} {row.source} {row.sequence} {table.name} --where …` 可按任意列查找",
            en=f"`jinsuo-center find {row.unit} {row.source} {row.sequence} {table.name} --where …` looks by any column",
        ),
    )


def _find_claims(snapshot: Snapshot, names: Sequence[str]) -> tuple[BundleClaim, ...]:
    secret = snapshot.secrets.row_secret
    claims = [table.claim for table in snapshot.manifest.tables]
    leaves = snapshot_leaves(claims, secret)
    places = {claim.name: i for i, claim in enumerate(claims)}
    return tuple(
        BundleClaim(
            claims[places[name]], claim_salt(secret, claims[places[name]]), places[name],
            tuple(audit_path(leaves, places[name])),
        )
        for name in names
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Seen:
    """A checkpoint with the Unix seconds at which others than the unit say that they saw it, at least one."""

    note: Note
    times: tuple[int, ...]

    @property
    def first(self) -> int:
        """When the first of them saw it."""
        return min(self.times)


def _choose_checkpoint(ledger: Log, row: StatementRow, *, as_kept: bool) -> bytes | None:
    """Give the kept checkpoint over the entry by which others prove it best.

    That is the earliest: of those that were cosigned within an hour of it, the one that most others have cosigned, of
    equals the oldest. Cosigners that state a time before the center had the statement have wrong clocks and would refute
    what they should prove: their lines are left out (`as_kept`: none is, for tokens cover them), and a checkpoint that
    has no other is taken only if there is no better one. None: nobody else has cosigned, and the newest will do.
    """
    received_s = int(row.received.timestamp())
    early: bytes | None = None
    for raws in _find_cosigned(ledger, row.index):
        seen: list[_Seen] = []
        for raw in raws:
            note = parse_note(raw)
            others = [line for line in note.signatures if line.name not in (row.unit, ledger.log_key.name)]
            times = {line: claimed_unix_s(line) for line in others}
            good = tuple(unix_s for unix_s in times.values() if unix_s >= received_s)
            if good:
                kept = tuple(line for line in note.signatures if as_kept or times.get(line, received_s) >= received_s)
                seen.append(_Seen(Note(note.text, kept), good))
            elif others and early is None:
                early = raw
        if seen:
            last = min(each.first for each in seen) + _EQUALLY_EARLY_S
            return max((each for each in seen if each.first <= last), key=lambda each: len(each.times)).note.encode()
    return early


def _find_cosigned(ledger: Log, index: int) -> Iterator[list[bytes]]:
    """Yield all kept cosigned checkpoints over entry `index`, the oldest first, some at a time."""
    above = index
    while raws := ledger.find_checkpoints(above=above, cosigned_only=True, oldest_first=True):
        yield raws
        above = parse_checkpoint(parse_note(raws[-1]).text).size


def _check_bundle(bundle: Bundle, snapshot: Snapshot, ledger: Log) -> None:
    """Raises: StoreError unless a stranger will find that rows, claims and entries hold."""
    try:
        verify_claims(bundle.claims, snapshot.statement)
        claims = {claim.claim.name: claim for claim in bundle.claims}
        for claim, schema in zip(bundle.claims, bundle.schemas, strict=True):
            verify_schema(claim, schema)
        for row in bundle.rows:
            verify_row(row, claims[row.table])
            read_row(row, bundle.schema_of(row.table))
        for receipt in (bundle.receipt, *bundle.later):
            verify_receipt(receipt, ledger.log_key)
        if not bundle.receipt.entry.endswith(b"\n\n" + bundle.statement):
            raise FormatError(f"log entry {bundle.receipt.proof.index} does not hold the statement")
    except EvidenceError as err:
        raise StoreError(
            Text(
                zh=f"{snapshot.row.unit} 的 {snapshot.row.source}#{snapshot.row.sequence} 不能出证：{err}",
                en=f"{snapshot.row.source}#{snapshot.row.sequence} of {snapshot.row.unit} cannot be certified: {err}",
            ),
            hint=Text(
                zh="运行 `jinsuo-center audit`，找出损坏之处", en="run `jinsuo-center audit` to find what is damaged"
            ),
        ) from err
