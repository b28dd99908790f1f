# SPDX-License-Identifier: Apache-2.0
"""The recipe: one consistent view of a source → trees → packs in the spool → a signed statement.

    1. open a view of the source            5. put @blobs, schemas, documents, manifest
    2. begin packs in the spool             6. make the last pack durable
    3. read every table into its tree,      7. sign the statement
       or carry over what need not be read;
       what others need now comes last
    4. close the view, as early as can be

A crash before 7 leaves whole packs, which serve the next run, and no statement. Nothing here knows the line: packs are
handed to `committed` as they become durable, and a sender may be at work on them meanwhile. Clock, keys and the pace of
reading come in as arguments. Source: design sections 2 to 5.
"""

import shutil
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from agent.collectors.base import Collector, Document, Omission, Table, View
from agent.errors import BudgetError, SourceError, TableBusyError, TableLostError
from agent.holdings import Holdings
from agent.journal import SourceKeys
from agent.snapshot.blobs import BlobMemory, BlobWriter, read_lines
from agent.snapshot.carrying import Carried, Carrying
from agent.snapshot.fitting import check_manifest_fits, too_large
from agent.snapshot.objects import Ask, ObjectSink
from agent.snapshot.progress import Pace, Progress, unpaced
from agent.snapshot.splitting import SplitView
from agent.snapshot.tables import BuiltTable, build_table, build_tree
from agent.spool import PackSpooler
from evidence.digest import ObjectId, Sha256, sha256
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.blobtable import ORDERING as BLOBS
from evidence.manifest.claim import Claim, order_claims, snapshot_root
from evidence.manifest.manifest import (
    SCHEMA_PREFIX,
    Manifest,
    ManifestTable,
    Omitted,
    Parameters,
)
from evidence.manifest.manifest import Document as ManifestDocument
from evidence.manifest.statement import Channel, Consistency, SnapshotStatement
from evidence.note.signed import sign_note
from evidence.objects.object import MAX_OBJECT_BYTES, ObjectKind
from evidence.rows.commit import row_key
from terminal.language import Text

FILES: Final = "@files"
_TRIES: Final = 3
"""How often a table is begun that others want for themselves."""
_NAMED: Final = 20
"""How many tables a note names."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the statement stands in its source's chain, and who signs it (the signer is named UNIT/SOURCE), and by what channel."""

    unit: str
    source: str
    sequence: int
    previous: Sha256 | None
    signer: Ed25519Signer
    version: str
    channel: Channel = Channel.ONLINE


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot that is whole in the spool: its statement, signed, its manifest, and what a person wants to know."""

    statement: SnapshotStatement
    note: bytes
    manifest: Manifest
    omitted: tuple[Omission, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    built: BuiltTable
    read_at: tuple[datetime, datetime]


def take_snapshot(
    collector: Collector,
    place: Place,
    keys: SourceKeys,
    spooler: PackSpooler,
    holdings: Holdings,
    folder: Path,
    *,
    ask: Ask | None,
    clock: Callable[[], datetime],
    progress: Progress,
    pace: Pace = unpaced,
    began: datetime | None = None,
    remarks: Sequence[str] = (),
    carrying: Carrying | None = None,
) -> Taken:
    """Take one snapshot; `folder` is a place for temporary files.

    `began`: when the view was opened, if it was before this; `remarks` go into the manifest's notes, behind the view's;
    `carrying` says which tables need not be read.

    Raises: SourceError and its kin (no statement then), SpoolError, CenterDownError (from `ask`), what `pace` raises.
    """
    key = row_key(keys.row_secret)
    sink = ObjectSink(place.source, keys.storage_key, spooler, holdings, ask)
    blobs = BlobWriter(sink, folder, BlobMemory(place.source, holdings, knows=ask is None), pace)
    began = began or clock()
    try:
        with collector.open_view() as view:
            names = [table.schema.name for table in view.tables()]
            check_manifest_fits(place.source, names, view.omitted())
            reads, carried, omitted = _read_tables(view, key, sink, blobs, folder, clock, progress, pace, carrying)
            documents = view.documents()
            lost = {o.name for o in omitted}
            omitted += {o.name: o for o in view.omitted() if o.name not in lost}.values()
            notes, consistency, position = (*view.notes(), *_tell(carried), *remarks), view.consistency, view.position
            if carried and consistency is Consistency.CONSISTENT:
                consistency = Consistency.PER_TABLE
        ended = clock()
        top = build_tree(blobs.sorted_blocks(), BLOBS, key, sink).top if blobs.count else None
    finally:
        blobs.close()
        shutil.rmtree(folder, ignore_errors=True)
    manifest = _encode_manifest(place, sink, reads, carried, omitted, documents, notes, top, consistency, position)
    body = manifest.encode()
    if len(body) >= MAX_OBJECT_BYTES:
        # Lost tables and notes of an odd source were more than the estimate allows for.
        raise too_large(place.source, names, omitted, len(body))
    sink.put(ObjectKind.MANIFEST, body)
    sink.flush()
    spooler.flush()
    claims = [table.claim for table in manifest.tables]
    statement = SnapshotStatement(
        place.unit, place.source, place.sequence, place.previous, began, max(ended, began), consistency, position,
        place.channel, len(claims), sum(c.rows for c in claims), sum(c.bytes_ for c in claims), sha256(body),
        snapshot_root(claims, keys.row_secret),
    )  # fmt: skip
    note = sign_note(statement.encode(), [place.signer]).encode()
    return Taken(statement, note, manifest, tuple(omitted), notes)


def _read_tables(
    view: View, key: bytes, sink: ObjectSink, blobs: BlobWriter, folder: Path, clock: Callable[[], datetime],
    progress: Progress, pace: Pace, carrying: Carrying | None,
) -> tuple[list[_Read], list[Carried], list[Omission]]:  # fmt: skip
    reads: list[_Read] = []
    carried: list[Carried] = []
    omitted: list[Omission] = []
    tries: Counter[str] = Counter()
    waiting = deque(_in_order(view.tables()))
    while waiting:
        table = waiting.popleft()
        name = table.schema.name
        found = None if carrying is None else carrying.find(table)
        if carrying is not None and found is not None:
            for line in carrying.blob_lines(name):
                blobs.put_line(line)
            carried.append(found)
            continue
        progress.begin(name, table.estimated_rows)
        blobs.remembers = name == FILES
        began = clock()
        try:
            with blobs.noting() as noted:
                declared, built = _read_table(view, table, key, sink, blobs, folder, progress, pace)
        except TableLostError as err:
            tries[name] += 1
            if isinstance(err, TableBusyError) and tries[name] < _TRIES:
                # Others need it now; when all else has been read they may have done what they wanted.
                waiting.append(table)
                continue
            omitted.append(Omission(name, " ".join(err.reason.split())))
            continue
        reads.append(_Read(built, (began, max(clock(), began))))
        if carrying is not None and carrying.is_scheduled(name):
            carrying.note(declared, _claim_of(built), read_lines(noted))
    if omitted and not reads and not carried:
        raise SourceError(
            Text(
                zh=f"该来源没有一张表能读：{omitted[0].name}：{omitted[0].reason}",
                en=f"no table of the source could be read: {omitted[0].name}: {omitted[0].reason}",
            ),
            hint=Text(
                zh="运行 `jinsuo-agent check`；账户所需的权限见 `jinsuo-agent grants`",
                en="run `jinsuo-agent check` and `jinsuo-agent grants` for the rights that the account needs",
            ),
        )
    return reads, carried, omitted


def _read_table(
    view: View,
    table: Table,
    key: bytes,
    sink: ObjectSink,
    blobs: BlobWriter,
    folder: Path,
    progress: Progress,
    pace: Pace,
) -> tuple[Table, BuiltTable]:
    """Read a table; if the view is over its limit and can be renewed, read it in a new one. Give how it was declared."""
    if not isinstance(view, SplitView):
        return table, build_table(view, table, key, sink, blobs, folder, progress.advance, pace)
    table = view.find(table.schema.name)
    try:
        return table, build_table(view, table, key, sink, blobs, folder, progress.advance, pace)
    except BudgetError:
        # Once: a table that takes longer than the limit by itself is over it in every view.
        sink.end_table()
        table = view.renew(table.schema.name)
        return table, build_table(view, table, key, sink, blobs, folder, progress.advance, pace)


def _in_order(tables: Sequence[Table]) -> list[Table]:
    return sorted(tables, key=lambda table: table.schema.name.encode())


def _claim_of(built: BuiltTable) -> Claim:
    tree = built.tree
    return Claim(built.schema.name, built.schema.digest, tree.root, tree.height, tree.items, tree.rows, tree.bytes_)


def _tell(carried: Sequence[Carried]) -> list[str]:
    """Give the note on tables that were carried over, if there are any."""
    if not carried:
        return []
    names = [found.entry.claim.name for found in carried]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"not read but carried over from an earlier snapshot: {', '.join(names[:_NAMED])}{more}"]


def _encode_manifest(
    place: Place, sink: ObjectSink, reads: Sequence[_Read], carried: Sequence[Carried], omitted: Sequence[Omission],
    documents: Sequence[Document], notes: Sequence[str], blobs: ObjectId | None, consistency: Consistency, position: str,
) -> Manifest:  # fmt: skip
    named: list[ManifestDocument] = []
    for read in reads:
        schema = read.built.schema
        name = sink.put(ObjectKind.DOCUMENT, schema.encode())
        named.append(ManifestDocument(SCHEMA_PREFIX + schema.name, schema.digest, name))
    for document in documents:
        for title, body in _parts(document):
            named.append(ManifestDocument(title, sha256(body), sink.put(ObjectKind.DOCUMENT, body)))
    entries = {found.entry.claim.name: found.entry for found in carried}
    named += [found.schema for found in carried]
    for read in reads:
        claim = _claim_of(read.built)
        entries[claim.name] = ManifestTable(claim, claim.schema, read.built.tree.top, read.read_at)
    tables = [entries[claim.name] for claim in order_claims(entry.claim for entry in entries.values())]
    return Manifest(
        unit=place.unit,
        source=place.source,
        sequence=place.sequence,
        consistency=consistency,
        position=position,
        parameters=Parameters(),
        tables=tuple(tables),
        omitted=tuple(sorted((Omitted(o.name, o.reason) for o in omitted), key=lambda o: o.name.encode())),
        documents=tuple(sorted(named, key=lambda d: d.name.encode())),
        blobs=blobs,
        notes=tuple(notes),
        agent=place.version,
    )


def _parts(document: Document) -> list[tuple[str, bytes]]:
    """Give a document in parts that fit objects: `ddl.sql`, `ddl.sql.part2` and so on."""
    size = MAX_OBJECT_BYTES // 2
    bodies = [document.body[i : i + size] for i in range(0, len(document.body), size)] or [b""]
    return [(document.name if i == 1 else f"{document.name}.part{i}", body) for i, body in enumerate(bodies, start=1)]
