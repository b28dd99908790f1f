# SPDX-License-Identifier: Apache-2.0
"""One stored snapshot, opened for reading: its statement, manifest, tables, rows, blobs and documents.

Everything read is checked against ids on the way. What the archivist's side (compare, restore, certify, audit) needs,
and nothing of how it is presented. Not thread-safe.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from center.errors import NotFoundError, StoreError
from center.registry.catalog_tables import StatementRow
from center.registry.objects import SourceObjects
from evidence.digest import ObjectId, sha256
from evidence.manifest.blobtable import ORDERING as BLOBS
from evidence.manifest.blobtable import parse_blob_line
from evidence.manifest.claim import Claim
from evidence.manifest.manifest import Manifest, ManifestTable, parse_manifest
from evidence.manifest.statement import SnapshotStatement
from evidence.objects.blobs import read_blob
from evidence.objects.object import ObjectKind
from evidence.rows.commit import row_key
from evidence.rows.line import KeySpec, Token
from evidence.rows.schema import Schema, parse_schema
from evidence.tree.diff import TreeTop
from evidence.tree.read import find_line, walk_lines
from evidence.wire.secrets import SourceSecrets
from terminal.language import Text


@dataclass(frozen=True, slots=True)
class SnapshotTable:
    """A table of a snapshot. `top` None: it has no rows."""

    claim: Claim
    schema: Schema
    top: ObjectId | None
    read_at: tuple[datetime, datetime]
    carried_from: int | None

    @property
    def name(self) -> str:
        """Give the table's name."""
        return self.claim.name

    @property
    def ordering(self) -> KeySpec:
        """Give how its rows are ordered."""
        return KeySpec.of(self.schema)


class Snapshot:
    """A stored snapshot of one source."""

    def __init__(
        self, statement: SnapshotStatement, row: StatementRow, objects: SourceObjects, secrets: SourceSecrets
    ) -> None:
        if row.manifest_object is None:
            raise NotFoundError(
                Text(
                    zh=f"{row.unit} 的 {row.source}#{row.sequence} 已登记，但内容还没有到",
                    en=f"{row.source}#{row.sequence} of {row.unit} is registered, but its content has not come yet",
                ),
                hint=Text(
                    zh="问该单位何时送来内容，或改用已入库的快照",
                    en="ask the unit when the content will be sent, or name a stored snapshot",
                ),
            )
        self.statement = statement
        self.row = row
        self.objects = objects
        self.secrets = secrets
        self.row_key = row_key(secrets.row_secret)
        raw = objects.read(ObjectId(row.manifest_object), ObjectKind.MANIFEST)
        if sha256(raw) != statement.manifest_sha256:
            raise StoreError(
                Text(
                    zh=f"{row.source}#{row.sequence} 的清单不是其声明所指的那一份",
                    en=f"the manifest of {row.source}#{row.sequence} is not the one that its statement names",
                ),
                hint=Text(zh="运行 `jinsuo-center audit`", en="run `jinsuo-center audit`"),
            )
        self.manifest: Manifest = parse_manifest(raw)
        self._opened: dict[str, SnapshotTable] = {}

    @cached_property
    def _entries(self) -> dict[str, ManifestTable]:
        return {entry.claim.name: entry for entry in self.manifest.tables}

    def tables(self) -> Sequence[SnapshotTable]:
        """Give the tables in the order of their names' bytes."""
        return [self.table(name) for name in self._entries]

    def has_table(self, name: str) -> bool:
        """Tell whether the snapshot has a table `name`."""
        return name in self._entries

    def table(self, name: str) -> SnapshotTable:
        """Give a table; no other one's schema is read. Raises: NotFoundError, which names the tables that there are."""
        if name not in self._entries:
            known = ", ".join(list(self._entries)[:20])
            raise NotFoundError(
                Text(
                    zh=f"{self.row.source}#{self.row.sequence} 没有表 {name!r}",
                    en=f"{self.row.source}#{self.row.sequence} has no table {name!r}",
                ),
                hint=Text(zh=f"它的表有：{known}", en=f"its tables are: {known}"),
            )
        if name not in self._opened:
            self._opened[name] = self._open(self._entries[name])
        return self._opened[name]

    def tree(self, table: SnapshotTable) -> TreeTop:
        """Give where a table's tree is read from."""
        return TreeTop(self.objects, table.top, table.claim.height, table.claim.root)

    def lines(self, table: SnapshotTable) -> Iterator[bytes]:
        """Yield a table's lines in order, without LF."""
        return walk_lines(self.objects, table.top, table.claim.height)

    def find(self, table: SnapshotTable, key: bytes) -> bytes | None:
        """Give the line that has `key` (what `KeySpec.key_of` gives), or None."""
        return find_line(self.objects, table.ordering, table.top, table.claim.height, key)

    def blob(self, token: Token) -> Iterator[bytes]:
        """Yield the bytes that a token stands for, and check at the end that they are those.

        Raises: NotFoundError if the snapshot has no such blob; StoreError if the bytes are others.
        """
        digest = token.sha256.hex().encode()
        top = self.manifest.blobs
        line = None if top is None else find_line(self.objects, BLOBS, top, self.objects.height_of(top), digest)
        if line is None:
            raise NotFoundError(
                Text(
                    zh=f"{self.row.source}#{self.row.sequence} 没有内容 {token.sha256.hex()[:16]}…",
                    en=f"{self.row.source}#{self.row.sequence} has no content {token.sha256.hex()[:16]}…",
                ),
                hint=Text(zh="运行 `jinsuo-center audit`", en="run `jinsuo-center audit`"),
            )
        _, size, chunks = parse_blob_line(line)
        state, read = hashlib.sha256(), 0
        for chunk in read_blob(self.objects, chunks):
            state.update(chunk)
            read += len(chunk)
            yield chunk
        if not size == token.size == read or state.digest() != token.sha256:
            raise StoreError(
                Text(
                    zh=f"{self.row.source}#{self.row.sequence} 的内容 {token.sha256.hex()[:16]}… 与其标记不符",
                    en=f"the content {token.sha256.hex()[:16]}… of {self.row.source}#{self.row.sequence} is not what its token says",
                ),
                hint=Text(zh="运行 `jinsuo-center audit`", en="run `jinsuo-center audit`"),
            )

    def document(self, name: str) -> bytes:
        """Give a document of the manifest, such as `ddl.sql`. Raises: NotFoundError."""
        for document in self.manifest.documents:
            if document.name == name:
                return self.objects.read(document.object, ObjectKind.DOCUMENT)
        known = ", ".join(document.name for document in self.manifest.documents[:20])
        raise NotFoundError(
            Text(
                zh=f"{self.row.source}#{self.row.sequence} 没有文档 {name!r}",
                en=f"{self.row.source}#{self.row.sequence} has no document {name!r}",
            ),
            hint=Text(zh=f"它的文档有：{known}", en=f"its documents are: {known}"),
        )

    def _open(self, entry: ManifestTable) -> SnapshotTable:
        document = self.manifest.schema_document(entry.claim.name)
        schema = parse_schema(self.objects.read(document.object, ObjectKind.DOCUMENT))
        if schema.digest != entry.claim.schema:
            raise StoreError(
                Text(
                    zh=f"表 {entry.claim.name!r} 的结构不是其声明所指的那一份",
                    en=f"the schema of table {entry.claim.name!r} is not the one that its claim names",
                ),
                hint=Text(zh="运行 `jinsuo-center audit`", en="run `jinsuo-center audit`"),
            )
        return SnapshotTable(entry.claim, schema, entry.top, entry.read_at, entry.carried_from)
