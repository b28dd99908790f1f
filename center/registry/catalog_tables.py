# SPDX-License-Identifier: Apache-2.0
"""What stands in a catalog: its rows as values, its tables, and the way from one to the other. No I/O.

    sources     (id, unit, source)                          units and sources become small integers
    packs       (id, source, name[32])
    objects     (source, id[32]) → pack, offset, stored, raw, kind, codec, base[32]
    specs       (id, name)                                  orders of rows, `KeySpec.name`
    facts       (source, id[32], spec) → what `registry.validity` computed: root, level, items, rows, bytes, keys, ended
    statements  (source, sequence) → head of the statement, log indexes, the note verbatim

Times are texts as in statements, so that they compare as they stand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from evidence.digest import ObjectId, Sha256
from evidence.encode import encode_time, parse_time
from evidence.manifest.entry import Level

VERSION: Final = 2
APPLICATION: Final = 0x4A53_4301
MANIFEST_SPEC: Final = "@manifest"
"""Facts of manifests: `root` is the SHA-256 of the body."""
BLOBS_SPEC: Final = "@blobs"
"""Facts of pages and nodes of `@blobs`, which are ordered as a table of text keys but checked against chunks too."""
BLOB_SPEC: Final = "@blob"
"""Facts of chunk lists: `root` is the SHA-256 of the blob's bytes, `bytes_` their number."""
TOKENS_SPEC: Final = "@tokens"
"""Marks of pages and nodes that have tokens of large cells in them or below: a fact of any order, repeated."""


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Where an object stands: frame at `offset` of `pack` (64 hex digits), `stored` bytes of data for `raw` of body."""

    pack: str
    offset: int
    stored: int
    raw: int
    kind: int
    codec: int
    base: ObjectId | None


@dataclass(frozen=True, slots=True)
class Fact:
    """What the center itself computed of a page or node under one order of rows.

    `items`: rows of a page, entries of a node. `bytes_` is Σ(len(line)+1) below. Keys are in full. `ended`: by the cut
    rule, so more rows may follow.
    """

    root: Sha256
    level: int
    items: int
    rows: int
    bytes_: int
    first_key: bytes
    last_key: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class StatementRow:
    """A statement as the ledger has it. `note` is the signed note verbatim.

    `level` is the newest: `stored_index` is the leaf that says `stored` (`index` itself where the content was there at
    once), None while only registered. For kinds other than snapshot: `tables`, `rows`, `bytes_` are 0, the hashes and
    `consistency` None, `began` and `ended` the span or the one time that the statement gives.
    """

    unit: str
    source: str
    sequence: int
    kind: str
    digest: Sha256
    previous: Sha256 | None
    level: Level
    index: int
    stored_index: int | None
    received: datetime
    began: datetime
    ended: datetime
    tables: int
    rows: int
    bytes_: int
    root: Sha256 | None
    manifest_sha256: Sha256 | None
    manifest_object: ObjectId | None
    consistency: str | None
    flags: tuple[str, ...]
    note: bytes


META = sa.MetaData()
SOURCES = sa.Table(
    "sources", META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.UniqueConstraint("unit", "source"),
)  # fmt: skip
PACKS = sa.Table(
    "packs", META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.Integer, nullable=False),
    sa.Column("name", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("source", "name"),
)  # fmt: skip
OBJECTS = sa.Table(
    "objects", META,
    sa.Column("source", sa.Integer, primary_key=True),
    sa.Column("id", sa.LargeBinary, primary_key=True),
    sa.Column("pack", sa.Integer, nullable=False, index=True),
    sa.Column("offset", sa.Integer, nullable=False),
    sa.Column("stored", sa.Integer, nullable=False),
    sa.Column("raw", sa.Integer, nullable=False),
    sa.Column("kind", sa.Integer, nullable=False),
    sa.Column("codec", sa.Integer, nullable=False),
    sa.Column("base", sa.LargeBinary),
    sqlite_with_rowid=False,
)  # fmt: skip
SPECS = sa.Table(
    "specs", META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)  # fmt: skip
FACTS = sa.Table(
    "facts", META,
    sa.Column("source", sa.Integer, primary_key=True),
    sa.Column("id", sa.LargeBinary, primary_key=True),
    sa.Column("spec", sa.Integer, primary_key=True),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("items", sa.Integer, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column("first_key", sa.LargeBinary, nullable=False),
    sa.Column("last_key", sa.LargeBinary, nullable=False),
    sa.Column("ended", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)  # fmt: skip
MANIFEST_SPEC_ID: Final = 1  # fixed, so that an index can name it
IS_MANIFEST = FACTS.c.spec == sa.literal_column(str(MANIFEST_SPEC_ID))
sa.Index("facts_of_manifests", FACTS.c.source, FACTS.c.root, sqlite_where=IS_MANIFEST)
STATEMENTS = sa.Table(
    "statements", META,
    sa.Column("source", sa.Integer, primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("previous", sa.LargeBinary),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("log_index", sa.Integer, nullable=False, unique=True),
    sa.Column("stored_index", sa.Integer),
    sa.Column("received", sa.Text, nullable=False),
    sa.Column("began", sa.Text, nullable=False),
    sa.Column("ended", sa.Text, nullable=False),
    sa.Column("tables", sa.Integer, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column("root", sa.LargeBinary),
    sa.Column("manifest_sha256", sa.LargeBinary),
    sa.Column("manifest_object", sa.LargeBinary),
    sa.Column("consistency", sa.Text),
    sa.Column("flags", sa.Text, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
)  # fmt: skip


# Hot paths are plain SQL: through Core, adding 80,000 objects with facts took 2.8 s, so it takes 0.6 s.
ADD_OBJECT: Final = """
    INSERT INTO objects (source, id, pack, "offset", stored, raw, kind, codec, base) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (source, id) DO UPDATE SET pack = excluded.pack, "offset" = excluded."offset",
        stored = excluded.stored, raw = excluded.raw, codec = excluded.codec, base = excluded.base
    WHERE (excluded.base IS NULL) > (objects.base IS NULL)
       OR (excluded.base IS NULL) = (objects.base IS NULL)
          AND (SELECT name FROM packs WHERE id = excluded.pack) < (SELECT name FROM packs WHERE id = objects.pack)
"""
ADD_FACT: Final = "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)  # Any: a list of ids
FIND_PLACES = (
    sa.select(
        OBJECTS.c.id, PACKS.c.name, OBJECTS.c.offset, OBJECTS.c.stored, OBJECTS.c.raw, OBJECTS.c.kind,
        OBJECTS.c.codec, OBJECTS.c.base,
    )
    .join(PACKS, PACKS.c.id == OBJECTS.c.pack)
)  # fmt: skip
FIND_PRESENT = sa.select(OBJECTS.c.id).where(OBJECTS.c.source == sa.bindparam("src"), OBJECTS.c.id.in_(IDS))
_FACT_COLUMNS = (
    FACTS.c.id, FACTS.c.root, FACTS.c.level, FACTS.c["items"], FACTS.c.rows, FACTS.c.bytes, FACTS.c.first_key,
    FACTS.c.last_key, FACTS.c.ended,
)  # fmt: skip
FIND_FACTS = sa.select(*_FACT_COLUMNS).where(
    FACTS.c.source == sa.bindparam("src"), FACTS.c.spec == sa.bindparam("spec"), FACTS.c.id.in_(IDS)
)
FIND_STATEMENTS = sa.select(SOURCES.c.unit, SOURCES.c.source.label("source_name"), STATEMENTS).join(
    SOURCES, SOURCES.c.id == STATEMENTS.c.source
)


def read_place(row: Sequence[Any]) -> ObjectPlace:  # Any: columns of any type
    """Read a row of `FIND_PLACES`."""
    base = None if row[7] is None else ObjectId(row[7])
    return ObjectPlace(row[1].hex(), row[2], row[3], row[4], row[5], row[6], base)


def read_fact(row: Sequence[Any]) -> Fact:  # Any: columns of any type
    """Read a row of `FIND_FACTS`."""
    return Fact(Sha256(row[1]), row[2], row[3], row[4], row[5], row[6], row[7], bool(row[8]))


def statement_values(source_id: int, row: StatementRow) -> Mapping[str, Any]:  # Any: columns of any type
    """Give the columns of `STATEMENTS`."""
    return {
        "source": source_id, "sequence": row.sequence, "kind": row.kind, "digest": row.digest,
        "previous": row.previous, "level": row.level.value, "log_index": row.index, "stored_index": row.stored_index,
        "received": encode_time(row.received), "began": encode_time(row.began), "ended": encode_time(row.ended),
        "tables": row.tables, "rows": row.rows, "bytes": row.bytes_, "root": row.root,
        "manifest_sha256": row.manifest_sha256, "manifest_object": row.manifest_object,
        "consistency": row.consistency, "flags": " ".join(row.flags), "note": row.note,
    }  # fmt: skip


def read_statement(row: sa.Row[Any]) -> StatementRow:  # Any: columns of any type
    """Read a row of `FIND_STATEMENTS`."""
    return StatementRow(
        unit=row.unit,
        source=row.source_name,
        sequence=row.sequence,
        kind=row.kind,
        digest=Sha256(row.digest),
        previous=row.previous,
        level=Level(row.level),
        index=row.log_index,
        stored_index=row.stored_index,
        received=parse_time(row.received, "received"),
        began=parse_time(row.began, "began"),
        ended=parse_time(row.ended, "ended"),
        tables=row.tables,
        rows=row.rows,
        bytes_=row.bytes,
        root=row.root,
        manifest_sha256=row.manifest_sha256,
        manifest_object=row.manifest_object,
        consistency=row.consistency,
        flags=tuple(row.flags.split()),
        note=row.note,
    )
