# SPDX-License-Identifier: Apache-2.0
"""The catalog: where objects stand, what was computed of them, which statements there are. An index, never a source.

Everything in it follows from the store and the ledger, so the file may be dropped: `rebuild` makes an equal one. It is
one SQLite file (`catalog_file.py`), durable at each answer: what `missing` leaves out is not sent again. Safe for many threads
and several processes: writers take turns, readers never wait.
Which place of an object counts does not depend on the order in which packs came: one without a base is better than one
with, then the lesser name of the pack. So a base never comes to have a base, and rebuilt catalogs are equal.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from center.errors import ConflictError, NotFoundError
from center.registry.catalog_file import CatalogFile
from center.registry.catalog_tables import (
    ADD_FACT,
    ADD_OBJECT,
    FACTS,
    FIND_FACTS,
    FIND_PLACES,
    FIND_PRESENT,
    FIND_STATEMENTS,
    IDS,
    IS_MANIFEST,
    OBJECTS,
    PACKS,
    SOURCES,
    SPECS,
    STATEMENTS,
    Fact,
    ObjectPlace,
    StatementRow,
    read_fact,
    read_place,
    read_statement,
    statement_values,
)
from evidence.digest import ObjectId, Sha256
from evidence.encode import encode_time
from evidence.manifest.entry import Level
from terminal.language import Text

_MOST_IDS: Final = 4_000


class Catalog:
    """The catalog of one center. Thread-safe; `close` it. Attribute: `file`, the catalog as a whole."""

    def __init__(self, path: Path) -> None:
        """Open the catalog. Raises: StoreError as `CatalogFile`."""
        self.file = CatalogFile(path)
        self._sources: dict[tuple[str, str], int] = {}

    @classmethod
    def create(cls, path: Path) -> "Catalog":
        """Make an empty catalog and open it. Raises: StoreError if there is one."""
        CatalogFile.create(path)
        return cls(path)

    def close(self) -> None:
        """Close all connections. Call when no thread uses the catalog any more."""
        self.file.close()

    def __enter__(self) -> "Catalog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Objects and facts

    def find_places(self, unit: str, source: str, ids: Iterable[ObjectId]) -> dict[ObjectId, ObjectPlace]:
        """Find where objects stand; those that the source does not have are left out."""
        query = FIND_PLACES.where(OBJECTS.c.source == sa.bindparam("src"), OBJECTS.c.id.in_(IDS))
        return {ObjectId(row[0]): read_place(row) for row in self._by_ids(query, unit, source, ids)}

    def absent(self, unit: str, source: str, ids: Iterable[ObjectId]) -> list[ObjectId]:
        """Give those of `ids` that the source does not have, each once, in the order given."""
        asked = list(dict.fromkeys(ids))
        present = {row[0] for row in self._by_ids(FIND_PRESENT, unit, source, asked)}
        return [name for name in asked if name not in present]

    def has_pack(self, unit: str, source: str, name: str) -> bool:
        """Tell whether the pack was added."""
        query = sa.select(PACKS.c.id).where(
            PACKS.c.source == self._source_id(unit, source), PACKS.c.name == bytes.fromhex(name)
        )
        with self.file.reading() as connection:
            return connection.execute(query).first() is not None

    def add_pack(
        self,
        unit: str,
        source: str,
        name: str,
        places: Sequence[tuple[ObjectId, ObjectPlace]],
        facts: Sequence[tuple[ObjectId, str, Fact]] = (),
    ) -> None:
        """Add a pack with its objects' places, and facts (id, name of the spec, fact), in one transaction.

        Repeating it changes nothing. An object that stands elsewhere too keeps its better place (module docstring).
        Raises: FullError; nothing was added then.
        """
        with self.file.writing() as connection:
            source_id = self._make_source(connection, unit, source)
            pack = {"source": source_id, "name": bytes.fromhex(name)}
            connection.execute(insert(PACKS).on_conflict_do_nothing(), pack)
            pack_id = connection.execute(
                sa.select(PACKS.c.id).where(PACKS.c.source == source_id, PACKS.c.name == pack["name"])
            ).scalar_one()
            rows = [
                (source_id, object_id, pack_id, p.offset, p.stored, p.raw, int(p.kind), p.codec, p.base)
                for object_id, p in sorted(places, key=lambda item: item[0])
            ]
            if rows:
                connection.exec_driver_sql(ADD_OBJECT, rows)
            _put_facts(connection, source_id, facts)

    def find_facts(self, unit: str, source: str, spec: str, ids: Iterable[ObjectId]) -> dict[ObjectId, Fact]:
        """Find what was computed of objects under the order `spec`; those never computed are left out."""
        query = sa.select(SPECS.c.id).where(SPECS.c.name == spec)
        with self.file.reading() as connection:
            spec_id = connection.execute(query).scalar()
        if spec_id is None:
            return {}
        return {ObjectId(row[0]): read_fact(row) for row in self._by_ids(FIND_FACTS, unit, source, ids, spec=spec_id)}

    def add_facts(self, unit: str, source: str, facts: Sequence[tuple[ObjectId, str, Fact]]) -> None:
        """Keep facts (id, name of the spec, fact) in one transaction; those already kept stay as they are."""
        with self.file.writing() as connection:
            _put_facts(connection, self._make_source(connection, unit, source), facts)

    def find_manifest(self, unit: str, source: str, digest: Sha256) -> ObjectId | None:
        """Find the manifest whose body has the SHA-256 `digest`, among those added with a fact of `MANIFEST_SPEC`."""
        query = sa.select(FACTS.c.id).where(
            FACTS.c.source == self._source_id(unit, source), IS_MANIFEST, FACTS.c.root == digest
        )
        with self.file.reading() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else ObjectId(found)

    def forget_objects(self, unit: str, source: str, ids: Iterable[ObjectId]) -> None:
        """Forget places and facts of objects that are damaged in the store, so that `absent` asks for them again."""
        source_id = self._source_id(unit, source)
        names = [{"obj": object_id} for object_id in ids]
        if not names:
            return
        with self.file.writing() as connection:
            for table in (OBJECTS, FACTS):
                query = sa.delete(table).where(table.c.source == source_id, table.c.id == sa.bindparam("obj"))
                connection.execute(query, names)

    def sources(self) -> list[tuple[str, str]]:
        """Give (unit, source) of all that the catalog knows anything of."""
        query = sa.select(SOURCES.c.unit, SOURCES.c.source).order_by(SOURCES.c.unit, SOURCES.c.source)
        with self.file.reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    def packs(self, unit: str, source: str) -> list[str]:
        """Give the names of a source's packs, ascending."""
        query = sa.select(PACKS.c.name).where(PACKS.c.source == self._source_id(unit, source))
        with self.file.reading() as connection:
            return [row[0].hex() for row in connection.execute(query.order_by(PACKS.c.name))]

    def newest_packs(self, most: int) -> list[tuple[str, str, str]]:
        """Give (unit, source, name) of the packs that were added last, at most so many."""
        query = (
            sa.select(SOURCES.c.unit, SOURCES.c.source, PACKS.c.name)
            .join(SOURCES, SOURCES.c.id == PACKS.c.source)
            .order_by(PACKS.c.id.desc())
            .limit(most)
        )
        with self.file.reading() as connection:
            return [(row[0], row[1], row[2].hex()) for row in connection.execute(query)]

    def pack_places(self, unit: str, source: str, name: str) -> list[tuple[ObjectId, ObjectPlace]]:
        """Give the objects whose place is in a pack, in the order in which they stand."""
        query = FIND_PLACES.where(
            PACKS.c.source == self._source_id(unit, source), PACKS.c.name == bytes.fromhex(name)
        ).order_by(OBJECTS.c.offset)
        with self.file.reading() as connection:
            return [(ObjectId(row[0]), read_place(row)) for row in connection.execute(query)]

    def walk_places(self, unit: str, source: str) -> Iterator[tuple[ObjectId, ObjectPlace]]:
        """Yield all of a source's objects with their places, ascending by id."""
        query = FIND_PLACES.where(OBJECTS.c.source == self._source_id(unit, source)).order_by(OBJECTS.c.id)
        with self.file.reading() as connection:
            for row in connection.execution_options(yield_per=_MOST_IDS).execute(query):
                yield ObjectId(row[0]), read_place(row)

    def count_objects(self, unit: str, source: str) -> int:
        """Give the number of a source's objects."""
        query = sa.select(sa.func.count()).where(OBJECTS.c.source == self._source_id(unit, source))
        with self.file.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def count_lost_packs(self) -> int:
        """Give the number of packs in which objects stand, and which are not among the packs; looks at all objects."""
        used = sa.select(OBJECTS.c.pack).distinct().subquery()
        query = sa.select(sa.func.count()).where(used.c.pack.not_in(sa.select(PACKS.c.id)))
        with self.file.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def objects_of_kind(self, unit: str, source: str, kind: int) -> list[ObjectId]:
        """Give a source's objects of one kind; looks at all of its objects."""
        query = sa.select(OBJECTS.c.id).where(
            OBJECTS.c.source == self._source_id(unit, source), OBJECTS.c.kind == int(kind)
        )
        with self.file.reading() as connection:
            return [ObjectId(row[0]) for row in connection.execute(query)]

    def count_bytes(self, unit: str, source: str, kind: int) -> int:
        """Give the bytes of a source's objects of one kind, as they are when read; looks at all of its objects."""
        query = sa.select(sa.func.coalesce(sa.func.sum(OBJECTS.c.raw), 0)).where(
            OBJECTS.c.source == self._source_id(unit, source), OBJECTS.c.kind == int(kind)
        )
        with self.file.reading() as connection:
            return int(connection.execute(query).scalar_one())

    # Statements

    def add_statement(self, row: StatementRow, flagged: Iterable[Sha256] = (), flag: str = "") -> None:
        """Add a statement. The same again changes nothing.

        In the same step, registered snapshots of its source with the digests `flagged` get `flag`; others are left alone.

        Raises: ConflictError if the source has another statement under this sequence.
        """
        with self.file.writing() as connection:
            source_id = self._make_source(connection, row.unit, row.source)
            there = connection.execute(
                sa.select(STATEMENTS.c.digest).where(
                    STATEMENTS.c.source == source_id, STATEMENTS.c.sequence == row.sequence
                )
            ).scalar()
            if there is None:
                connection.execute(STATEMENTS.insert(), statement_values(source_id, row))
            elif there != row.digest:
                raise ConflictError(
                    Text(
                        zh=f"{row.unit} 的 {row.source}#{row.sequence} 是声明 {there.hex()[:16]}…，不是 {row.digest.hex()[:16]}…",
                        en=f"{row.source}#{row.sequence} of {row.unit} is statement {there.hex()[:16]}…, not"
                        f" {row.digest.hex()[:16]}…",
                    ),
                    hint=Text(
                        zh="同一序号以先受理的声明为准；采集端要从它接着做",
                        en="the first statement admitted under a sequence wins; the agent must go on from it",
                    ),
                )
            _add_flag(connection, source_id, flagged, flag)

    def set_stored(
        self,
        unit: str,
        source: str,
        sequence: int,
        stored_index: int,
        manifest_object: ObjectId | None,
        flags: Sequence[str] | None = None,
    ) -> None:
        """Say that a registered statement's content is stored, by the leaf `stored_index`; `flags` replace the old."""
        values: dict[str, Any] = {"level": Level.STORED.value, "stored_index": stored_index}  # Any: column values
        values["manifest_object"] = manifest_object
        if flags is not None:
            values["flags"] = " ".join(flags)
        query = sa.update(STATEMENTS).where(
            STATEMENTS.c.source == self._source_id(unit, source), STATEMENTS.c.sequence == sequence
        )
        with self.file.writing() as connection:
            if connection.execute(query.values(values)).rowcount == 0:
                raise _no_statement(unit, source, sequence)

    def statement(self, unit: str, source: str, sequence: int | None = None) -> StatementRow:
        """Give a statement; `sequence` None: the latest stored snapshot. Raises: NotFoundError."""
        if sequence is None:
            found = self._find(unit, source, _is_stored_snapshot(), newest=True)
        else:
            found = self._find(unit, source, STATEMENTS.c.sequence == sequence)
        if found is None:
            raise _no_statement(unit, source, sequence)
        return found

    def statements(self, unit: str | None = None, source: str | None = None) -> list[StatementRow]:
        """Give the statements (of a unit, of a source), ascending by unit, source and sequence."""
        query = FIND_STATEMENTS
        if unit is not None:
            query = query.where(SOURCES.c.unit == unit)
        if source is not None:
            query = query.where(SOURCES.c.source == source)
        query = query.order_by(SOURCES.c.unit, SOURCES.c.source, STATEMENTS.c.sequence)
        with self.file.reading() as connection:
            return [read_statement(row) for row in connection.execute(query)]

    def by_digest(self, digest: Sha256) -> StatementRow | None:
        """Find a statement by the digest of its text."""
        with self.file.reading() as connection:
            row = connection.execute(FIND_STATEMENTS.where(STATEMENTS.c.digest == digest)).first()
        return None if row is None else read_statement(row)

    def latest(self, unit: str, source: str) -> StatementRow | None:
        """Find the statement with the highest sequence, of any kind and level."""
        return self._find(unit, source, newest=True)

    def stored_before(self, unit: str, source: str, sequence: int) -> StatementRow | None:
        """Find the latest stored snapshot with a lesser sequence."""
        return self._find(unit, source, _is_stored_snapshot(), STATEMENTS.c.sequence < sequence, newest=True)

    def newest_snapshot(self, unit: str, source: str, stored_only: bool = False) -> StatementRow | None:
        """Find the snapshot with the highest sequence, whatever its level, or among the stored ones."""
        where = _is_stored_snapshot() if stored_only else STATEMENTS.c.kind == "snapshot"
        return self._find(unit, source, where, newest=True)

    def registered(self) -> list[StatementRow]:
        """Give the snapshots whose content has not come, ascending by unit, source and sequence; looks at all statements."""
        query = FIND_STATEMENTS.where(
            STATEMENTS.c.kind == "snapshot", STATEMENTS.c.level == Level.REGISTERED.value
        ).order_by(SOURCES.c.unit, SOURCES.c.source, STATEMENTS.c.sequence)
        with self.file.reading() as connection:
            return [read_statement(row) for row in connection.execute(query)]

    def gaps_after(self, unit: str, source: str, sequence: int) -> list[StatementRow]:
        """Give a source's gap statements above `sequence`, ascending."""
        query = FIND_STATEMENTS.where(
            STATEMENTS.c.source == self._source_id(unit, source), STATEMENTS.c.kind == "gap",
            STATEMENTS.c.sequence > sequence,
        ).order_by(STATEMENTS.c.sequence)  # fmt: skip
        with self.file.reading() as connection:
            return [read_statement(row) for row in connection.execute(query)]

    def count_levels(self) -> dict[tuple[str, str, str], int]:
        """Give the number of statements by unit, kind and level; looks at all statements."""
        columns = (SOURCES.c.unit, STATEMENTS.c.kind, STATEMENTS.c.level)
        query = sa.select(*columns, sa.func.count()).join(SOURCES, SOURCES.c.id == STATEMENTS.c.source)
        with self.file.reading() as connection:
            rows = connection.execute(query.group_by(*columns)).all()
        return {(str(row[0]), str(row[1]), str(row[2])): int(row[3]) for row in rows}

    def at_time(self, unit: str, source: str, when: datetime) -> StatementRow:
        """Give the latest stored snapshot that shows the source as it was at `when` or before.

        A consistent snapshot shows the moment it began; another one shows no single moment, so it must have ended.
        Raises: NotFoundError if the first one is later.
        """
        shown = sa.case((STATEMENTS.c.consistency == "consistent", STATEMENTS.c.began), else_=STATEMENTS.c.ended)
        found = self._find(unit, source, _is_stored_snapshot(), shown <= encode_time(when), newest=True)
        if found is None:
            raise NotFoundError(
                Text(
                    zh=f"{unit}/{source} 没有早至 {encode_time(when)} 的已入库快照",
                    en=f"no stored snapshot of {unit}/{source} is as old as {encode_time(when)}",
                ),
                hint=Text(
                    zh="`jinsuo-center snapshots` 列出已有的及其时间",
                    en="`jinsuo-center snapshots` lists what there is, with times",
                ),
            )
        return found

    def newest_index(self) -> int:
        """Give the highest log index that the catalog knows of, -1 if none."""
        query = sa.select(sa.func.max(STATEMENTS.c.log_index), sa.func.max(STATEMENTS.c.stored_index))
        with self.file.reading() as connection:
            row = connection.execute(query).one()
        return max((value for value in row if value is not None), default=-1)

    # Inside

    def _find(
        self, unit: str, source: str, *where: sa.ColumnElement[bool], newest: bool = False
    ) -> StatementRow | None:
        query = FIND_STATEMENTS.where(STATEMENTS.c.source == self._source_id(unit, source), *where)
        if newest:
            query = query.order_by(STATEMENTS.c.sequence.desc()).limit(1)
        with self.file.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else read_statement(row)

    def _by_ids(
        self, query: sa.Select[Any], unit: str, source: str, ids: Iterable[ObjectId], **values: int
    ) -> Iterator[Sequence[Any]]:  # Any: columns of any type
        asked = list(ids)
        if not asked:
            return
        source_id = self._source_id(unit, source)
        with self.file.reading() as connection:
            for start in range(0, len(asked), _MOST_IDS):
                parameters = {"src": source_id, "ids": asked[start : start + _MOST_IDS], **values}
                yield from connection.execute(query, parameters).all()

    def _source_id(self, unit: str, source: str) -> int:
        """Give a source's number, 0 (which none has) if the catalog does not know it."""
        known = self._sources.get((unit, source))
        if known is None:
            with self.file.reading() as connection:
                known = connection.execute(_source_query(unit, source)).scalar()
            if known is None:
                return 0
            self._sources[unit, source] = known  # a reader sees only what was committed, so this stays true
        return known

    def _make_source(self, connection: sa.Connection, unit: str, source: str) -> int:
        known = self._sources.get((unit, source)) or connection.execute(_source_query(unit, source)).scalar()
        if known is None:
            connection.execute(SOURCES.insert(), {"unit": unit, "source": source})
            known = int(connection.execute(_source_query(unit, source)).scalar_one())
        return known


def _put_facts(connection: sa.Connection, source_id: int, facts: Sequence[tuple[ObjectId, str, Fact]]) -> None:
    if not facts:
        return
    specs: dict[str, int] = {}
    for name in {spec for _, spec, _ in facts}:
        connection.execute(insert(SPECS).on_conflict_do_nothing(), {"name": name})
        specs[name] = connection.execute(sa.select(SPECS.c.id).where(SPECS.c.name == name)).scalar_one()
    rows = [
        (
            source_id, object_id, specs[spec], f.root, f.level, f.items, f.rows, f.bytes_, f.first_key, f.last_key,
            int(f.ended),
        )
        for object_id, spec, f in sorted(facts, key=lambda item: item[0])
    ]  # fmt: skip
    connection.exec_driver_sql(ADD_FACT, rows)


def _add_flag(connection: sa.Connection, source_id: int, digests: Iterable[Sha256], flag: str) -> None:
    for digest in digests:
        snapshot = sa.and_(
            STATEMENTS.c.source == source_id, STATEMENTS.c.digest == digest, STATEMENTS.c.level == Level.REGISTERED.value
        )  # fmt: skip
        flags = connection.execute(sa.select(STATEMENTS.c.flags).where(snapshot)).scalar()
        if flags is not None and flag not in flags.split():
            connection.execute(sa.update(STATEMENTS).where(snapshot).values(flags=" ".join([*flags.split(), flag])))


def _is_stored_snapshot() -> sa.ColumnElement[bool]:
    return sa.and_(STATEMENTS.c.kind == "snapshot", STATEMENTS.c.level == Level.STORED.value)


def _source_query(unit: str, source: str) -> sa.Select[Any]:  # Any: typed otherwise in SQLAlchemy 2.0 and 2.1
    return sa.select(SOURCES.c.id).where(SOURCES.c.unit == unit, SOURCES.c.source == source)


def _no_statement(unit: str, source: str, sequence: int | None) -> NotFoundError:
    what = Text(zh=f"{unit} 没有声明 {source}#{sequence}", en=f"there is no statement {source}#{sequence} of {unit}")
    if sequence is None:
        what = Text(zh=f"{unit}/{source} 没有已入库的快照", en=f"there is no stored snapshot of {unit}/{source}")
    return NotFoundError(
        what, hint=Text(zh="`jinsuo-center snapshots` 列出已有的", en="`jinsuo-center snapshots` lists what there is")
    )
