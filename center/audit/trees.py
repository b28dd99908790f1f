# SPDX-License-Identifier: Apache-2.0
"""The audit of snapshots: from rows to page roots, up to table roots, to the root that the unit's key signed.

Everything below a stored statement is read and judged as at admission (`registry.validity`): order, cuts, counts,
roots. What was judged once counts for later snapshots (facts in the audit's own catalog), what is damaged is met again
by each of them, so the report says which snapshots it touches. A share instead of all: every node is read, and held
against the entry that names it, and so is the chosen share of pages. Damage never stops the walk: the rest is judged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from center.audit.blobs import BlobAudit
from center.audit.entries import LoggedStatement
from center.audit.findings import Findings, KeyRange, Reading, SnapshotName, Thing
from center.audit.reader import Reader
from center.errors import CenterError
from center.registry.carried import check_carried
from center.registry.catalog import Catalog
from center.registry.catalog_tables import BLOBS_SPEC, TOKENS_SPEC, Fact
from center.registry.validity import check_top, judge_node, judge_pages
from evidence.digest import ObjectId, Sha256, leaf_hash, sha256, tree_head
from evidence.errors import EvidenceError, FormatError, TreeError
from evidence.manifest.blobtable import ORDERING as BLOBS
from evidence.manifest.claim import snapshot_root
from evidence.manifest.manifest import Manifest, ManifestTable, parse_manifest
from evidence.manifest.statement import SnapshotStatement
from evidence.objects.object import ObjectKind
from evidence.rows.commit import row_key
from evidence.rows.line import KeySpec, Token, parse_line
from evidence.rows.schema import Schema, parse_schema
from evidence.tree.nodes import Entry, Tree, parse_node
from evidence.wire.secrets import SourceSecrets
from terminal.language import Text

_GROUP = 128
_TOKEN = b"\\@sha256:"


@dataclass(frozen=True, slots=True)
class _Table:
    """What is being walked: a table of a snapshot, or its `@blobs` (`schema` None)."""

    name: str
    spec: KeySpec
    schema: Schema | None
    snapshot: SnapshotName

    @property
    def spec_name(self) -> str:
        """Give the name under which facts are kept."""
        return BLOBS_SPEC if self.schema is None else self.spec.name


@dataclass(slots=True)
class TreeAudit:
    """Judge the snapshots of one source, in the order of their sequences. `facts` None: a share of the pages only."""

    reader: Reader
    secrets: SourceSecrets
    catalog: Catalog | None
    facts: Catalog | None
    is_chosen: Callable[[], bool]
    findings: Findings
    reading: Reading
    _sound: set[ObjectId] = field(default_factory=set)
    _blobs: BlobAudit = field(init=False)
    _manifests: dict[int, Sha256] = field(default_factory=dict)
    _before: Manifest | None = None

    def __post_init__(self) -> None:
        self._blobs = BlobAudit(self.reader, self.facts, self.findings, self.reading)

    def judge(self, logged: LoggedStatement) -> None:
        """Judge a stored snapshot."""
        statement = logged.statement
        assert isinstance(statement, SnapshotStatement)
        name = logged.name
        manifest = self._read_manifest(statement, name)
        self.reading.snapshots += 1
        self._manifests[name.sequence] = statement.manifest_sha256
        if manifest is None:
            return
        self._judge_carried(manifest, name)
        self._judge_documents(manifest, name)
        self._judge_blobs(manifest, name)
        for table in manifest.tables:
            try:
                self._judge_table(manifest, table, name)
            except (EvidenceError, CenterError) as err:
                self._blame(Thing.SNAPSHOT, name, err, table.claim.name)

    def _read_manifest(self, statement: SnapshotStatement, name: SnapshotName) -> Manifest | None:
        top = self.reader.find_manifest(statement.manifest_sha256)
        if top is None:
            self._blame(
                Thing.SNAPSHOT,
                name,
                Text(
                    zh=f"它的清单 {statement.manifest_sha256.hex()[:16]}… 不在存储中",
                    en=f"its manifest {statement.manifest_sha256.hex()[:16]}… is not in the store",
                ),
            )
            return None
        self._check_statement(top, name)
        body = self.reader.read(top, ObjectKind.MANIFEST, name)
        if body is None:
            return None
        try:
            if sha256(body) != statement.manifest_sha256:
                raise FormatError(f"its manifest has the hash {sha256(body).hex()}")
            manifest = parse_manifest(body)
            root = snapshot_root([table.claim for table in manifest.tables], self.secrets.row_secret)
            if root != statement.root:
                raise TreeError(f"its claims lead to the root {root.hex()}, the statement says {statement.root.hex()}")
        except EvidenceError as err:
            self._blame(Thing.SNAPSHOT, name, err)
            return None
        return manifest

    def _judge_carried(self, manifest: Manifest, name: SnapshotName) -> None:
        """Judge what it says of tables that it did not read. Snapshots that were named as damaged are passed over."""
        try:
            check_carried(manifest, self._before, lambda sequence: self._find_earlier(sequence, name))
        except EvidenceError as err:
            self._blame(Thing.SNAPSHOT, name, err)
        else:
            self._before = manifest

    def _find_earlier(self, sequence: int, name: SnapshotName) -> Manifest | None:
        """Give the manifest of a snapshot that was judged before; None if it is damaged, which was named there."""
        claimed = self._manifests.get(sequence)
        if claimed is None or sequence == name.sequence:
            raise FormatError(
                f"a table is said to be carried over from {sequence}, which is no stored snapshot before it"
            )
        top = self.reader.find_manifest(claimed)
        body = None if top is None else self.reader.read(top, ObjectKind.MANIFEST, name)
        if body is None or sha256(body) != claimed:
            return None
        try:
            return parse_manifest(body)
        except EvidenceError:
            return None

    def _judge_documents(self, manifest: Manifest, name: SnapshotName) -> None:
        for document in manifest.documents:
            body = self.reader.read(document.object, ObjectKind.DOCUMENT, name, document.name)
            if body is not None and sha256(body) != document.sha256:
                self._blame(
                    Thing.SNAPSHOT,
                    name,
                    Text(
                        zh=f"它的文档 {document.name!r} 不是所指的那一份",
                        en=f"its document {document.name!r} is not the one that it names",
                    ),
                )

    def _judge_blobs(self, manifest: Manifest, name: SnapshotName) -> None:
        self._blobs.begin(name)
        if manifest.blobs is None:
            self._blobs.finish(None, 0)
            return
        table = _Table("@blobs", BLOBS, None, name)
        try:
            height = self.reader.height_of(manifest.blobs, name, table.name)
            if height is not None:
                self._walk(table, manifest.blobs, height, None, KeyRange(b"", None))
            self._blobs.finish(manifest.blobs, height)
        except (EvidenceError, CenterError) as err:
            self._blame(Thing.SNAPSHOT, name, err, "@blobs")

    def _judge_table(self, manifest: Manifest, table: ManifestTable, name: SnapshotName) -> None:
        claim = table.claim
        document = manifest.schema_document(claim.name)
        body = self.reader.read(document.object, ObjectKind.DOCUMENT, name, document.name)
        if body is None:
            return
        schema = parse_schema(body)
        if schema.digest != claim.schema or schema.name != claim.name:
            raise FormatError("its schema is not the one that its claim names")
        if table.top is None:
            return
        walked = _Table(claim.name, KeySpec.of(schema), schema, name)
        expected = Entry(claim.items, claim.rows, claim.root, table.top, b"")
        is_sound = self._walk(walked, table.top, claim.height, expected, KeyRange(b"", None))
        if is_sound and self.facts is not None:
            fact = self._known(walked, [table.top])[table.top]
            check_top(
                claim.name, fact, Tree(table.top, claim.root, claim.height, claim.items, claim.rows, claim.bytes_)
            )

    def _walk(self, table: _Table, top: ObjectId, level: int, entry: Entry | None, keys: KeyRange) -> bool:
        """Judge an object of `level` with all below it; tell whether it is sound. `entry` is what names it."""
        if self._known(table, [top]) or top in self._sound:
            return True
        if level == 0:
            return self._judge_pages(table, [(top, entry, keys)])
        body = self.reader.read(top, ObjectKind.NODE, table.snapshot, table.name, keys)
        if body is None:
            return False
        try:
            entries = _check_node(body, level, entry)
        except EvidenceError as err:
            self._blame_object(table, top, keys, err)
            return False
        self._check_catalog(table, [e.child for e in entries])
        is_sound = self._walk_children(table, entries, level - 1, keys)
        if not is_sound:
            return False
        return self._keep(table, top, body, entries, keys)

    def _walk_children(self, table: _Table, entries: Sequence[Entry], level: int, keys: KeyRange) -> bool:
        known = self._known(table, [e.child for e in entries])
        unknown = [
            (entry, _range_of(entries, i, keys))
            for i, entry in enumerate(entries)
            if entry.child not in known and entry.child not in self._sound
        ]
        is_sound = True
        if level > 0:
            for entry, span in unknown:
                is_sound = self._walk(table, entry.child, level, entry, span) and is_sound
            return is_sound
        chosen = [item for item in unknown if self.facts is not None or self.is_chosen()]
        self.reading.skipped_pages += len(unknown) - len(chosen)
        for start in range(0, len(chosen), _GROUP):
            pages = [(e.child, e, span) for e, span in chosen[start : start + _GROUP]]
            is_sound = self._judge_pages(table, pages) and is_sound
        return is_sound

    def _judge_pages(self, table: _Table, pages: Sequence[tuple[ObjectId, Entry | None, KeyRange]]) -> bool:
        """Judge pages together; keep the facts of those that are sound, tell whether all are."""
        unique = {page: (entry, keys) for page, entry, keys in pages}
        bodies: dict[ObjectId, bytes] = {}
        for page, (_, keys) in unique.items():
            body = self.reader.read(page, ObjectKind.PAGE, table.snapshot, table.name, keys)
            if body is not None:
                bodies[page] = body
        if not bodies:
            return False
        # Whether lines are rows of the table was asked when they came; what was admitted before that was asked stays whole.
        verdicts = judge_pages(list(bodies.values()), table.spec, row_key(self.secrets.row_secret), None)
        facts: list[tuple[ObjectId, str, Fact]] = []
        for (page, body), verdict in zip(bodies.items(), verdicts, strict=True):
            entry, keys = unique[page]
            self.reading.pages += 1
            if self.facts is None:  # else its pack was read whole, and counted
                self.reading.bytes_ += len(body)
            if verdict.fact is None:
                self._blame_object(table, page, keys, verdict.reason)
            elif entry is not None and (verdict.fact.root, verdict.fact.rows) != (entry.root, entry.rows):
                self._blame_object(
                    table,
                    page,
                    keys,
                    Text(
                        zh=f"其中各行得出的根是 {verdict.fact.root.hex()}，不是所指的",
                        en=f"its rows give the root {verdict.fact.root.hex()}, not the one named",
                    ),
                )
            else:
                self.reading.rows += verdict.fact.rows
                if self._check_content(table, page, body):
                    facts.append((page, self._spec_for(table, body), verdict.fact))
        if self.facts is not None:
            self._save(table, facts)
        else:
            self._sound.update(page for page, _, _ in facts)
        return len(facts) == len(unique)

    def _check_content(self, table: _Table, page: ObjectId, body: bytes) -> bool:
        """Judge the blobs of a page: those that a page of `@blobs` lists, or those that a table's tokens name."""
        if table.schema is None:
            return self._blobs.judge_page(body)
        if _TOKEN not in body:
            return True
        tokens = [
            (cell, table.spec.key_of(line))
            for line in body.split(b"\n")
            if _TOKEN in line
            for cell in parse_line(line, table.schema)
            if isinstance(cell, Token)
        ]
        return self._blobs.judge_tokens(tokens, table.name, self.reader.locate(page))

    def _spec_for(self, table: _Table, body: bytes) -> str:
        """Give the name for the fact of a page: one with tokens counts only as long as its blobs are listed."""
        if table.schema is not None and _TOKEN in body:
            return f"{table.spec_name}+{self._blobs.generation}"
        return table.spec_name

    def _known(self, table: _Table, ids: Sequence[ObjectId]) -> dict[ObjectId, Fact]:
        if self.facts is None:
            return {}
        unit, source = self.reader.unit, self.reader.source
        known = self.facts.find_facts(unit, source, table.spec_name, ids)
        rest = [name for name in ids if name not in known]
        if table.schema is not None and rest:
            known |= self.facts.find_facts(unit, source, f"{table.spec_name}+{self._blobs.generation}", rest)
        return known

    def _keep(self, table: _Table, top: ObjectId, body: bytes, entries: Sequence[Entry], keys: KeyRange) -> bool:
        """Judge a node whose children are sound, and remember it."""
        if self.facts is None:
            self._sound.add(top)
            return True
        plain = self.facts.find_facts(self.reader.unit, self.reader.source, table.spec_name, [e.child for e in entries])
        try:
            fact = judge_node(top, body, self._known(table, [e.child for e in entries]), table.spec)
        except EvidenceError as err:
            self._blame_object(table, top, keys, err)
            return False
        has_tokens = any(e.child not in plain for e in entries)
        name = f"{table.spec_name}+{self._blobs.generation}" if has_tokens else table.spec_name
        self._save(table, [(top, name, fact)])
        return True

    def _save(self, table: _Table, facts: list[tuple[ObjectId, str, Fact]]) -> None:
        """Keep facts; and hold what the center's catalog remembers of the same objects against them."""
        assert self.facts is not None
        unit, source = self.reader.unit, self.reader.source
        self.facts.add_facts(unit, source, facts)
        if self.catalog is None:
            return
        try:
            remembered = self.catalog.find_facts(unit, source, table.spec_name, [name for name, _, _ in facts])
            tokened = [name for name, spec, _ in facts if spec != table.spec_name and name in remembered]
            marked = self.catalog.find_facts(unit, source, TOKENS_SPEC, tokened)
        except CenterError as err:
            self.findings.add(Thing.CATALOG, "catalog.sqlite", err)
            return
        for name, _, fact in facts:
            if remembered.get(name, fact) != fact or (name in tokened and name not in marked):
                reason = Text(
                    zh=f"它关于 {unit}/{source} 的对象 {name.hex()[:16]}… 所记的不符",
                    en=f"what it remembers of object {name.hex()[:16]}… of {unit}/{source} is false",
                )
                self.findings.add(Thing.CATALOG, "catalog.sqlite", reason)

    def _check_statement(self, manifest: ObjectId, name: SnapshotName) -> None:
        """Name a catalog that would open a stored snapshot by another object than its manifest."""
        if self.catalog is None:
            return
        try:
            row = self.catalog.statement(name.unit, name.source, name.sequence)
        except CenterError:
            return  # that it lacks the statement is said where statements are compared
        if row.stored_index is not None and row.manifest_object != manifest:
            reason = f"its row of statement {name} names another object than the snapshot's manifest"
            self.findings.add(Thing.CATALOG, "catalog.sqlite", reason, snapshots=[name])

    def _check_catalog(self, table: _Table, ids: Sequence[ObjectId]) -> None:
        """Name objects of a stored snapshot that the center's catalog does not know."""
        if self.catalog is None:
            return
        try:
            absent = self.catalog.absent(self.reader.unit, self.reader.source, ids)
        except CenterError as err:
            self.findings.add(Thing.CATALOG, "catalog.sqlite", err)
            return
        if absent:
            reason = Text(
                zh=f"缺少 {self.reader.unit}/{self.reader.source} 的表 {table.name!r} 的对象",
                en=f"it lacks objects of table {table.name!r} of {self.reader.unit}/{self.reader.source}",
            )
            self.findings.add(Thing.CATALOG, "catalog.sqlite", reason, snapshots=[table.snapshot])

    def _blame(
        self, thing: Thing, name: SnapshotName, reason: Text | Exception | str, table: str | None = None
    ) -> None:
        self.findings.add(thing, f"{name}", reason, table=table, snapshots=[name])

    def _blame_object(self, table: _Table, wanted: ObjectId, keys: KeyRange, reason: Text | Exception | str) -> None:
        self.findings.add(
            Thing.PAGE, self.reader.locate(wanted), reason, table=table.name, keys=keys, snapshots=[table.snapshot]
        )


def _check_node(body: bytes, level: int, entry: Entry | None) -> Sequence[Entry]:
    """Give the entries of a node of `level` that `entry` names. Raises: FormatError, TreeError."""
    child_level, entries = parse_node(body)
    if child_level != level - 1:
        raise TreeError(f"its children are of level {child_level}, expected {level - 1}")
    root = tree_head([leaf_hash(e.leaf_data(child_level)) for e in entries])
    found = (len(entries), sum(e.rows for e in entries), root)
    if entry is not None and found != (entry.items, entry.rows, Sha256(entry.root)):
        raise TreeError(
            f"it has {found[0]} entries, {found[1]} rows and root {root.hex()[:16]}…, other than its parent says"
        )
    return entries


def _range_of(entries: Sequence[Entry], position: int, outer: KeyRange) -> KeyRange:
    following = entries[position + 1].hint if position + 1 < len(entries) else outer.next
    return KeyRange(entries[position].hint, following)
