# SPDX-License-Identifier: Apache-2.0
"""Closure: that everything below a manifest is here, and is the one tree of each table.

Top-down by what is known: an object with a fact was judged here before, with all below it, and is not read again. What
has no fact is read from the store and judged, pages in groups. What is missing is collected, not guessed. Source:
design section 3, "One table has exactly one tree", promise 1.

Facts are about rows alone, so that they hold under every later statement. Whether the bytes of large cells are among
*this* statement's `@blobs` is asked for each statement (`_check_tokens`); which pages and nodes have such cells below
is remembered, so a table without them costs nothing, and so does one that is as it was, with the same `@blobs`.

Work is bounded by what was sent: each object is gone through once, but a blob's bytes must be hashed in their order, and
a list may name one chunk thousands of times. So what new blobs claim is added up before any of it is read (decision 0027).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from center.registry.catalog import Catalog
from center.registry.catalog_tables import BLOB_SPEC, BLOBS_SPEC, TOKENS_SPEC, Fact
from center.registry.objects import SourceObjects
from center.registry.validity import MOST_KEPT_KEYS, PageVerdict, check_top, judge_node, judge_pages, key_bytes
from evidence.digest import ObjectId, Sha256
from evidence.errors import FormatError, LimitError, MissingObjectError, TreeError
from evidence.manifest.blobtable import ORDERING as BLOBS
from evidence.manifest.blobtable import parse_blob_line
from evidence.manifest.manifest import Manifest, ManifestTable
from evidence.objects.blobs import parse_chunk_list, read_blob
from evidence.objects.object import ObjectKind
from evidence.rows.check import RowCheck
from evidence.rows.line import KeySpec, Token, parse_line
from evidence.rows.schema import Schema, parse_schema
from evidence.tree.nodes import Tree, parse_node
from evidence.tree.read import find_line, walk_lines

_GROUP_PAGES = 128
MAX_MISSING = 4096
_TOKEN = b"\\@sha256:"
_KEY_ROOM = 64 << 20
"""So many bytes of keys a statement may have kept of nodes beyond what its new pages have."""
_MOST_KEYS_OF_NODE = 256 << 20
_BATCH_TOKENS = 200_000
"""Tokens looked up together: some 30 MB."""
_WALK_SHARE = 64
"""A batch of at least this share of `@blobs` is looked up by reading `@blobs` once, a smaller one token by token."""


class Closure:
    """Check the content of one manifest. Attributes: `missing`, objects that are not here, at most 4,096 of them."""

    def __init__(
        self,
        catalog: Catalog,
        objects: SourceObjects,
        unit: str,
        source: str,
        key: bytes,
        repeated_bytes: int | None = None,
    ) -> None:
        """Look up in `catalog`, read from `objects`; `key` salts the rows.

        `repeated_bytes`: so much more than the source's chunks have may its new blobs claim; None: without a bound, for
        what was admitted before.
        """
        self._catalog = catalog
        self._objects = objects
        self._unit = unit
        self._source = source
        self._key = key
        self._incomplete: set[ObjectId] = set()
        self._lists: set[ObjectId] = set()
        self._rows: tuple[Schema, RowCheck] | None = None
        self._room = _KEY_ROOM
        self._repeated_bytes = repeated_bytes
        self._claimed_bytes = 0
        self._chunk_bytes: int | None = None
        self.missing: dict[ObjectId, None] = {}

    def check(self, manifest: Manifest, before: Manifest | None = None) -> None:
        """Check all tables, documents and blobs; `missing` is complete (or full) then.

        `before` is the manifest of a snapshot that was found closed: what it says too is not looked up again.

        Raises: TreeError, FormatError: what is here does not hold.
        """
        listed = self._check_blobs(manifest.blobs) if manifest.blobs is not None else 0
        for document in manifest.documents:
            body = self._read(document.object, ObjectKind.DOCUMENT)
            if body is not None and hashlib.sha256(body).digest() != document.sha256:
                raise FormatError(f"document {document.name!r} is not the one that the manifest names")
        for table in manifest.tables:
            self._check_table(table, manifest.schema_document(table.claim.name).object)
        if not self.missing:
            done = {t.top for t in before.tables} if before is not None and before.blobs == manifest.blobs else set()
            for table in manifest.tables:
                if table.top is not None and table.top not in done:
                    self._check_tokens(manifest, table, table.top, listed)

    def _check_table(self, table: ManifestTable, schema_object: ObjectId) -> None:
        claim = table.claim
        body = self._read(schema_object, ObjectKind.DOCUMENT)
        if body is None:
            return
        schema = parse_schema(body)
        if schema.digest != claim.schema or schema.name != claim.name:
            raise FormatError(f"the schema of table {claim.name!r} is not the one that its claim names")
        spec = KeySpec.of(schema)
        fact = None if table.top is None else self._find_fact(table.top, spec, schema, claim.height)
        if fact is not None or table.top is None:
            claimed = Tree(table.top, claim.root, claim.height, claim.items, claim.rows, claim.bytes_)
            check_top(claim.name, fact, claimed)

    def _find_fact(self, top: ObjectId, spec: KeySpec, schema: Schema | None, height: int) -> Fact | None:
        """Give the fact of an object with all below it, computing what is not known; None if something is missing."""
        name = spec.name if schema is not None else BLOBS_SPEC
        known = self._catalog.find_facts(self._unit, self._source, name, [top])
        if top in known:
            return known[top]
        if height == 0:
            return self._judge_pages([top], spec, schema).get(top)
        # Nodes may share children: what was found to lack something is not gone through once for each parent.
        body = None if top in self._incomplete else self._read(top, ObjectKind.NODE)
        if body is None:
            return None
        level, entries = parse_node(body)
        if level != height - 1:
            raise TreeError(f"node {top.hex()[:16]}… has children of level {level}, expected {height - 1}")
        ids = list(dict.fromkeys(entry.child for entry in entries))
        children = self._catalog.find_facts(self._unit, self._source, name, ids)
        unknown = [child for child in ids if child not in children]
        if level == 0:
            for start in range(0, len(unknown), _GROUP_PAGES):
                children |= self._judge_pages(unknown[start : start + _GROUP_PAGES], spec, schema)
        else:
            for child in unknown:
                fact = self._find_fact(child, spec, schema, level)
                if fact is not None:
                    children[child] = fact
        if any(child not in children for child in ids):
            self._incomplete.add(top)
            return None
        if sum(map(key_bytes, children.values())) > _MOST_KEYS_OF_NODE:
            raise LimitError(f"the keys below node {top.hex()[:16]}… have more than {_MOST_KEYS_OF_NODE >> 20} MiB")
        fact = judge_node(top, body, children, spec)
        facts = [(top, name, fact)]
        if schema is not None and self._catalog.find_facts(self._unit, self._source, TOKENS_SPEC, ids):
            facts.append((top, TOKENS_SPEC, fact))
        self._keep(facts)
        return fact

    def _keep(self, facts: Sequence[tuple[ObjectId, str, Fact]]) -> None:
        """Keep facts, but those whose keys are too large; marks of tokens have none. Else few bytes would fill the disk."""
        kept: list[tuple[ObjectId, str, Fact]] = []
        for name, spec, fact in facts:
            if spec == TOKENS_SPEC:
                fact = replace(fact, first_key=b"", last_key=b"")
            size = key_bytes(fact)
            if size <= MOST_KEPT_KEYS and size <= self._room:
                self._room -= size
                kept.append((name, spec, fact))
        self._catalog.add_facts(self._unit, self._source, kept)

    def _rows_of(self, schema: Schema | None) -> RowCheck | None:
        """Give what is asked of a table's lines, made once a table."""
        if schema is None:
            return None
        if self._rows is None or self._rows[0] is not schema:
            self._rows = (schema, RowCheck(schema))
        return self._rows[1]

    def _judge_pages(self, ids: Sequence[ObjectId], spec: KeySpec, schema: Schema | None) -> dict[ObjectId, Fact]:
        bodies = [(page, body) for page in ids if (body := self._read(page, ObjectKind.PAGE)) is not None]
        name = spec.name if schema is not None else BLOBS_SPEC
        facts: dict[ObjectId, Fact] = {}
        tokened: list[tuple[ObjectId, str, Fact]] = []
        for (page, body), verdict in zip(
            bodies, judge_group(bodies, spec, self._key, self._rows_of(schema)), strict=True
        ):
            if verdict.fact is None:
                raise TreeError(f"page {page.hex()[:16]}… of {schema.name if schema else '@blobs'!r}: {verdict.reason}")
            if schema is None and not self._check_entries(body):
                continue
            facts[page] = verdict.fact
            if schema is not None and has_token(body):
                tokened.append((page, TOKENS_SPEC, verdict.fact))
        # An honest table's keys are no more than its rows.
        self._room += 2 * sum(len(body) for _, body in bodies)
        self._keep([*((page, name, fact) for page, fact in facts.items()), *tokened])
        return facts

    def _check_tokens(self, manifest: Manifest, table: ManifestTable, top: ObjectId, listed: int) -> None:
        """Raises: FormatError unless `@blobs` has the bytes of every large cell of a table; all of it is here."""
        schema = parse_schema(
            self._objects.read(manifest.schema_document(table.claim.name).object, ObjectKind.DOCUMENT)
        )
        wanted: dict[bytes, int] = {}
        for page in self._tokened_pages(top, table.claim.height, set()):
            for token in _tokens(self._objects.read_page(page), schema):
                if wanted.setdefault(token.sha256, token.size) != token.size:
                    raise FormatError(f"two rows give the large cell {token.sha256.hex()[:16]}… two sizes")
            if len(wanted) >= _BATCH_TOKENS:
                self._look_up(wanted, manifest.blobs, listed, schema.name)
                wanted = {}
        self._look_up(wanted, manifest.blobs, listed, schema.name)

    def _tokened_pages(self, top: ObjectId, height: int, seen: set[ObjectId]) -> Iterator[ObjectId]:
        """Yield the pages with large cells below `top`."""
        if not seen and not self._catalog.find_facts(self._unit, self._source, TOKENS_SPEC, [top]):
            return
        seen.add(top)
        if height == 0:
            yield top
            return
        children = dict.fromkeys(entry.child for entry in parse_node(self._objects.read_node(top))[1])
        tokened = self._catalog.find_facts(self._unit, self._source, TOKENS_SPEC, children)
        for child in children:
            if child not in tokened:
                continue
            if height == 1:
                yield child
            elif child not in seen:
                yield from self._tokened_pages(child, height - 1, seen)

    def _look_up(self, wanted: dict[bytes, int], blobs: ObjectId | None, listed: int, table: str) -> None:
        found: dict[bytes, int] = {}
        if wanted and blobs is not None:
            height = self._objects.height_of(blobs)
            if len(wanted) * _WALK_SHARE >= listed:
                lines: Iterator[bytes | None] = walk_lines(self._objects, blobs, height)
            else:
                lines = (find_line(self._objects, BLOBS, blobs, height, d.hex().encode()) for d in wanted)
            found = {digest: size for digest, size, _ in map(parse_blob_line, filter(None, lines)) if digest in wanted}
        for digest, size in wanted.items():
            if found.get(digest) != size:
                raise FormatError(
                    f"a row of {table!r} has the token of a large cell {digest.hex()[:16]}… of {size} bytes "
                    "that @blobs does not have"
                )

    def _check_blobs(self, top: ObjectId) -> int:
        """Check `@blobs`, with every blob that it lists; give how many those are."""
        try:
            height = self._objects.height_of(top)
        except MissingObjectError:
            self._miss(top)
            return 0
        fact = self._find_fact(top, BLOBS, None, height)
        return 0 if fact is None else fact.rows

    def _check_entries(self, body: bytes) -> bool:
        """Re-hash every blob of a page of @blobs that was not re-hashed before; tell whether all are here."""
        entries = [parse_blob_line(line) for line in body.split(b"\n")]
        known = self._catalog.find_facts(self._unit, self._source, BLOB_SPEC, [chunks for _, _, chunks in entries])
        complete = True
        hashed: list[tuple[ObjectId, str, Fact]] = []
        for digest, size, chunks in entries:
            fact = known.get(chunks)
            if fact is None:
                fact = self._hash_blob(chunks, digest, size)
                if fact is not None:
                    hashed.append((chunks, BLOB_SPEC, fact))
            if fact is None:
                complete = False
            elif (fact.root, fact.bytes_) != (digest, size):
                raise _false_token(digest)
        # A page's together: each call is durable, and a folder has a blob for every file.
        self._catalog.add_facts(self._unit, self._source, hashed)
        return complete

    def _hash_blob(self, chunks: ObjectId, digest: bytes, claimed_size: int) -> Fact | None:
        """Re-hash a blob whose token says `digest` and a size; None if something of it is missing."""
        if not self._has_chunks(chunks):
            return None
        size = sum(below for below, _ in parse_chunk_list(self._objects.read(chunks, ObjectKind.CHUNK_LIST))[1])
        if size != claimed_size:
            raise _false_token(digest)
        self._claim(size)
        state, size = hashlib.sha256(), 0
        for chunk in read_blob(self._objects, chunks):
            state.update(chunk)
            size += len(chunk)
        return Fact(Sha256(state.digest()), 0, 0, 0, size, b"", b"", True)

    def _claim(self, size: int) -> None:
        """Raises: LimitError if the new blobs of this statement claim more than the source can have sent."""
        self._claimed_bytes += size
        if self._repeated_bytes is None or self._claimed_bytes <= self._repeated_bytes:
            return
        if self._chunk_bytes is None:  # looks at every object of the source: only for a statement with very much
            self._chunk_bytes = self._catalog.count_bytes(self._unit, self._source, ObjectKind.CHUNK)
        if self._claimed_bytes > self._repeated_bytes + self._chunk_bytes:
            raise LimitError(
                f"its new blobs claim {self._claimed_bytes} bytes or more, the chunks that the source has sent have"
                f" {self._chunk_bytes}, and repeated ones may claim {self._repeated_bytes} more"
                " (limits.repeated_bytes in center.yaml)"
            )

    def _has_chunks(self, top: ObjectId, expected: int | None = None) -> bool:
        # Lists may share children too; each is gone through once.
        if top in self._lists or top in self._incomplete:
            return top in self._lists
        body = self._read(top, ObjectKind.CHUNK_LIST)
        if body is None:
            return False
        level, entries = parse_chunk_list(body)
        if expected not in (None, level):
            raise FormatError(f"a chunk list of level {level} stands where one of level {expected} should")
        children = dict.fromkeys(child for _, child in entries)
        if level > 0:
            found = [self._has_chunks(child, level - 1) for child in children]
        else:
            absent = self._catalog.absent(self._unit, self._source, children)
            for child in absent:
                self._miss(child)
            found = [not absent]
        (self._lists if all(found) else self._incomplete).add(top)
        return all(found)

    def _read(self, wanted: ObjectId, kind: ObjectKind) -> bytes | None:
        try:
            return self._objects.read(wanted, kind)
        except MissingObjectError:
            self._miss(wanted)
            return None

    def _miss(self, wanted: ObjectId) -> None:
        if len(self.missing) < MAX_MISSING:
            self.missing[wanted] = None


def has_token(body: bytes) -> bool:
    """Tell whether a page may hold the token of a large cell."""
    # A lone byte is found ten times faster than a word, and most pages have no backslash at all.
    return b"\\" in body and _TOKEN in body


def _false_token(digest: bytes) -> FormatError:
    return FormatError(f"the content of a blob is not what its token {digest.hex()[:16]}… says")


def _tokens(body: bytes, schema: Schema) -> Iterator[Token]:
    """Yield the tokens of a page's rows."""
    for line in body.split(b"\n"):
        if _TOKEN in line:
            yield from (cell for cell in parse_line(line, schema) if isinstance(cell, Token))


def judge_group(
    pages: Sequence[tuple[ObjectId, bytes]], spec: KeySpec, key: bytes, rows: RowCheck | None
) -> list[PageVerdict]:
    """Judge pages together; gives none for none."""
    return judge_pages([body for _, body in pages], spec, key, rows) if pages else []
