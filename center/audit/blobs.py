# SPDX-License-Identifier: Apache-2.0
"""The audit of large cells and files: every blob re-hashed, every token of a row held against its snapshot's `@blobs`.

A token is 32 bytes of hash and a size; whether its blob is listed is asked once per page. Pages that were judged before
are not asked again as long as each later snapshot lists all that was listed then: that is a *generation*. A snapshot
that lists less begins a new one, and its pages with tokens are judged anew.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from center.audit.findings import Findings, KeyRange, Reading, SnapshotName, Thing
from center.audit.reader import Reader
from center.errors import CenterError
from center.registry.catalog import Catalog
from center.registry.catalog_tables import BLOB_SPEC, Fact
from evidence.digest import ObjectId, Sha256
from evidence.errors import EvidenceError, MissingObjectError
from evidence.manifest.blobtable import ORDERING, parse_blob_line
from evidence.objects.blobs import read_blob, walk_chunk_lists
from evidence.rows.line import Token
from evidence.tree.read import find_line, walk_lines
from terminal.errors import words_of
from terminal.language import Text

_BATCH = 4_000


@dataclass(slots=True)
class BlobAudit:
    """Judge the blobs of one source, snapshot by snapshot. `facts` None: only what tokens of chosen pages name."""

    reader: Reader
    facts: Catalog | None
    findings: Findings
    reading: Reading
    generation: int = 0
    _listed: int = 0
    _snapshot: SnapshotName = field(default=SnapshotName("", "", 0))
    _top: ObjectId | None = None
    _height: int = 0
    _is_partial: bool = False
    _damaged: dict[bytes, str] = field(default_factory=dict)
    """Digests of blobs that cannot be read, and the file in which the damage is."""
    _reasons: dict[ObjectId, Text] = field(default_factory=dict)

    def begin(self, snapshot: SnapshotName) -> None:
        """Turn to a snapshot; its pages of `@blobs` come next, then `finish`, then tokens."""
        self._snapshot = snapshot
        self._damaged.clear()
        self._is_partial = False

    def judge_page(self, body: bytes) -> bool:
        """Re-hash the blobs that a page of `@blobs` lists; tell whether all are whole."""
        entries = [parse_blob_line(line) for line in body.split(b"\n")]
        known: dict[ObjectId, Fact] = {}
        if self.facts is not None:
            known = self.facts.find_facts(self.reader.unit, self.reader.source, BLOB_SPEC, [c for _, _, c in entries])
        is_sound = True
        for digest, size, chunks in entries:
            reason = self._judge_blob(digest, size, chunks, known.get(chunks))
            if reason is not None:
                is_sound = False
                self._damaged[digest] = self._locate(chunks)
                self.findings.add(
                    Thing.BLOB,
                    self._damaged[digest],
                    Text(
                        zh=f"内容 sha256:{digest.hex()}（{size} 字节）读不了：{reason.zh}",
                        en=f"the content sha256:{digest.hex()} of {size} bytes cannot be read: {reason.en}",
                    ),
                    snapshots=[self._snapshot],
                )
        return is_sound

    def finish(self, top: ObjectId | None, height: int | None) -> None:
        """Learn what the snapshot lists; a list that lacks something of before begins a new generation.

        `top` and `height` None: nothing is listed; `height` alone None: the list's top cannot be read.
        """
        if top is not None and height is None:
            top, self._is_partial = None, True
        self._height = height or 0
        if self.facts is None or top == self._top:
            self._top = top
            return
        self._top = top
        still = sum(len(self._find([d for d, _ in batch])) for batch in self._batches())
        if still != self._listed:
            self.generation += 1
            self._listed = 0
        for batch in self._batches():
            new = [(ObjectId(d), self._spec, _token_fact(size)) for d, size in batch]
            self._listed += len(new) - len(self._find([d for d, _ in batch]))
            self.facts.add_facts(self.reader.unit, self.reader.source, new)

    def judge_tokens(self, tokens: Sequence[tuple[Token, bytes]], table: str, where: str) -> bool:
        """Hold the tokens of a page, each with its row's key, against `@blobs`; tell whether all blobs are whole."""
        listed = self._find([token.sha256 for token, _ in tokens])
        is_sound = True
        for token, key in tokens:
            reason, named = None, f"sha256:{token.sha256.hex()}"
            if listed.get(token.sha256) != token.size:
                where_not = Text(zh="快照", en="the snapshot")
                if self._is_partial:
                    where_not = Text(zh="@blobs 已损坏，", en="@blobs is damaged and")
                reason = Text(
                    zh=f"{where_not.zh}没有列出它的内容 {named}（{token.size} 字节）",
                    en=f"{where_not.en} does not list its content {named} of {token.size} bytes",
                )
            elif token.sha256 in self._damaged:
                reason = Text(zh=f"它的内容 {named} 已损坏", en=f"its content {named} is damaged")
            if reason is not None:
                is_sound = False
                keys = KeyRange(key, key)
                damaged = self._damaged.get(token.sha256, where)
                self.findings.add(Thing.BLOB, damaged, reason, table=table, keys=keys, snapshots=[self._snapshot])
        return is_sound

    @property
    def _spec(self) -> str:
        return f"@token+{self.generation}"

    def _judge_blob(self, digest: Sha256, size: int, chunks: ObjectId, known: Fact | None) -> Text | None:
        """Give what is wrong with a blob, or nothing."""
        if known is None:
            if chunks in self._reasons:
                return self._reasons[chunks]
            state, read = hashlib.sha256(), 0
            try:
                for chunk in read_blob(self.reader.objects, chunks):
                    state.update(chunk)
                    read += len(chunk)
            except (CenterError, EvidenceError) as err:
                self._reasons[chunks] = words_of(err)
                return self._reasons[chunks]
            self.reading.blobs += 1
            known = Fact(Sha256(state.digest()), 0, 0, 0, read, b"", b"", True)
            if self.facts is not None:
                self.facts.add_facts(self.reader.unit, self.reader.source, [(chunks, BLOB_SPEC, known)])
        if (known.root, known.bytes_) != (digest, size):
            return Text(
                zh=f"它有 {known.bytes_} 字节，哈希为 {known.root.hex()}",
                en=f"its bytes are {known.bytes_} with the hash {known.root.hex()}",
            )
        return None

    def _find(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """Give the sizes of those digests that the snapshot (whole audit: the generation) lists."""
        if self.facts is not None:
            ids = [ObjectId(digest) for digest in digests]
            found = self.facts.find_facts(self.reader.unit, self.reader.source, self._spec, ids)
            return {bytes(digest): fact.bytes_ for digest, fact in found.items()}
        sizes: dict[bytes, int] = {}
        for digest in set(digests) if self._top is not None else ():
            try:
                line = find_line(self.reader.objects, ORDERING, self._top, self._height, digest.hex().encode())
                if line is not None:
                    sizes[digest] = parse_blob_line(line)[1]
            except (CenterError, EvidenceError):
                continue  # the damaged page of @blobs has been named when it was read
        return sizes

    def _batches(self) -> Iterator[list[tuple[bytes, int]]]:
        """Yield (digest, size) of all that the snapshot lists; pages that cannot be read have been named."""
        if self._top is None:
            return
        try:
            lines = walk_lines(self.reader.objects, self._top, self._height)
            while batch := [parse_blob_line(line)[:2] for line in islice(lines, _BATCH)]:
                yield [(bytes(digest), size) for digest, size in batch]
        except (CenterError, EvidenceError):
            self._is_partial = True

    def _locate(self, chunks: ObjectId) -> str:
        """Give the file of the first chunk or list of a blob that cannot be read."""
        current = chunks
        try:
            for current, kind in walk_chunk_lists(self.reader.objects, chunks):
                self.reader.objects.read(current, kind)
        except MissingObjectError as err:
            return self.reader.locate(ObjectId(err.object_id))
        except (CenterError, EvidenceError):
            return self.reader.locate(current)
        return self.reader.locate(chunks)


def _token_fact(size: int) -> Fact:
    return Fact(Sha256(bytes(32)), 0, 0, 0, size, b"", b"", True)
