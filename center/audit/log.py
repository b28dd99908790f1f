# SPDX-License-Identifier: Apache-2.0
"""The audit of the ledger's files: every tile and bundle re-computed, all checkpoints held against them.

The same hashes stand in three places: in the entries, in the tiles of level 0, and folded in those above. Whichever of
them gives the signed root is right, and files that say otherwise are damaged; so one damaged file is named, and not its
neighbours. Reads files as they lie; never goes through `Ledger`, which would repair before anybody has looked. Memory:
32 bytes per 256 entries. Source: C2SP tlog-tiles; RFC 6962 section 2.1.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from center.audit.checkpoints import CHECKPOINT, SQLITE, Signers, judge_checkpoints
from center.audit.findings import Findings, Reading, Thing
from center.errors import CenterError, StoreError
from center.ledger.publish import LedgerFiles
from evidence.digest import EMPTY_ROOT, Sha256, leaf_hash, tree_head
from evidence.errors import FormatError
from evidence.log.checkpoint import Checkpoint
from evidence.log.merkle import TileTree
from evidence.log.tiles import (
    TILE_WIDTH,
    Tile,
    all_tiles,
    count_nodes,
    parse_bundle,
    parse_tile_path,
    split_hashes,
    tile_width,
)
from terminal.language import Text


@dataclass(frozen=True, slots=True)
class LogAudit:
    """What can be relied on afterwards: the size, and which entries are those under the checkpoint."""

    files: LedgerFiles
    size: int
    root: Sha256
    damaged_bundles: frozenset[int]
    is_known: bool = True
    """Whether there was any checkpoint to go by."""

    def entries(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield (index, entry); None where the entry is damaged."""
        for number in range(-(-self.size // TILE_WIDTH)):
            start, width = number * TILE_WIDTH, tile_width(self.size, 0, number)
            if number in self.damaged_bundles:
                yield from ((index, None) for index in range(start, start + width))
            else:
                yield from enumerate(self.files.read_bundle(Tile(None, number, width)), start)


def audit_log(folder: Path, signers: Signers, findings: Findings, reading: Reading) -> LogAudit:
    """Audit the ledger in `folder`."""
    files = LedgerFiles(folder)
    checkpoints = judge_checkpoints(folder, signers, findings)
    checkpoint = checkpoints.newest
    if checkpoint is None:
        return LogAudit(files, 0, EMPTY_ROOT, frozenset(), is_known=False)
    judge = _Judge(files, checkpoint, findings, reading)
    damaged = judge.judge_tiles()
    _judge_kept(checkpoints.kept, checkpoint, judge, findings)
    _judge_strays(folder, files, checkpoint.size, judge, findings)
    return LogAudit(files, checkpoint.size, checkpoint.root, damaged)


class _Judge:
    """Recompute the tree of one checkpoint, in blocks of 256 entries."""

    def __init__(self, files: LedgerFiles, checkpoint: Checkpoint, findings: Findings, reading: Reading) -> None:
        self._files = files
        self._checkpoint = checkpoint
        self._findings = findings
        self._reading = reading
        self._roots: list[Sha256 | None] = []
        """The root of each block, where that is certain."""

    def judge_tiles(self) -> frozenset[int]:
        """Name what is damaged among the tiles of the checkpoint; give the numbers of damaged bundles."""
        size = self._checkpoint.size
        by_entries: list[Sha256 | None] = []
        by_tiles: list[Sha256 | None] = []
        for number in range(-(-size // TILE_WIDTH)):
            by_entries.append(self._read_root(self._bundle(number)))
            by_tiles.append(self._read_root(self._bundle(number, level=0)))
        chosen = self._choose(by_entries, by_tiles)
        if chosen is None:
            self._findings.add(
                Thing.CHECKPOINT,
                CHECKPOINT,
                Text(
                    zh=f"条目和瓦片都推不出它 {size} 条的根：有几个文件损坏",
                    en=f"neither entries nor tiles lead to its root over {size} entries: several files are damaged",
                ),
            )
            # Where both agree they can hardly be wrong in the same way.
            chosen = [a if a == b else None for a, b in zip(by_entries, by_tiles, strict=True)]
        self._roots = chosen
        for number, root in enumerate(chosen):
            if by_tiles[number] not in (None, root):
                self._name_false(self._bundle(number, level=0), number)
            if by_entries[number] not in (None, root):
                self._name_false(self._bundle(number), number)
        self._judge_upper()
        return frozenset(n for n, root in enumerate(chosen) if root is None or by_entries[n] != root)

    def tile_data(self, tile: Tile) -> bytes:
        """Give what a hash tile must hold. Raises: StoreError if that cannot be known."""
        if tile.level == 0:
            nodes: Sequence[bytes | None] = self.leaves(tile.index)
        else:
            span = TILE_WIDTH ** ((tile.level or 0) - 1)
            starts = range(tile.index * TILE_WIDTH * span, (tile.index * TILE_WIDTH + tile.width) * span, span)
            nodes = [_fold(self._roots[start : start + span]) for start in starts]
        known = [node for node in nodes[: tile.width] if node is not None]
        if len(known) != tile.width:
            raise StoreError(
                Text(zh=f"不知道 {tile.path} 应有什么内容", en=f"what {tile.path} must hold is not known"),
                hint=Text(zh="先修复其他损坏", en="mend the other damage first"),
            )
        return b"".join(known)

    def leaves(self, number: int) -> list[bytes]:
        """Give the leaf hashes of a block, from whichever file is right; none if neither is."""
        for tile in (self._bundle(number), self._bundle(number, level=0)):
            try:
                leaves = _parse_leaves(tile, self._files.read_tile(tile))
            except (CenterError, FormatError):
                continue
            if tree_head(leaves) == self._roots[number]:
                return leaves
        return []

    def _bundle(self, number: int, level: int | None = None) -> Tile:
        return Tile(level, number, tile_width(self._checkpoint.size, 0, number))

    def _choose(self, by_entries: list[Sha256 | None], by_tiles: list[Sha256 | None]) -> list[Sha256 | None] | None:
        """Give for each block the root that leads to the signed one: of its entries, of its tile, or of the level above.

        First it is asked who of the three stands alone; last, whether entries and tile were falsified alike.
        """
        for candidate in (by_entries, by_tiles):
            if self._leads_to_root(candidate):
                return candidate
        above = [self._root_above(number) for number in range(len(by_entries))]
        voted = [
            b if a is None or (b is not None and up == b) else a
            for a, b, up in zip(by_entries, by_tiles, above, strict=True)
        ]
        # The last block may have nothing above it.
        candidates = [voted, [*voted[:-1], *by_entries[-1:]], [*voted[:-1], *by_tiles[-1:]]]
        candidates.append([up or root for up, root in zip(above, voted, strict=True)])
        return next((roots for roots in candidates if self._leads_to_root(roots)), None)

    def _leads_to_root(self, roots: Sequence[Sha256 | None]) -> bool:
        known = [root for root in roots if root is not None]
        return len(known) == len(roots) and tree_head(known) == self._checkpoint.root

    def _root_above(self, number: int) -> Sha256 | None:
        """Give what the tile of level 1 says of a full block."""
        size = self._checkpoint.size
        if number >= count_nodes(size, 1):
            return None
        index, position = divmod(number, TILE_WIDTH)
        tile = Tile(1, index, tile_width(size, 1, index))
        try:
            return Sha256(split_hashes(self._files.read_tile(tile), tile.width)[position])
        except (CenterError, FormatError):
            return None

    def _read_root(self, tile: Tile) -> Sha256 | None:
        data = self._read(tile)
        if data is None:
            return None
        try:
            leaves = _parse_leaves(tile, data)
        except FormatError as err:
            self._findings.add(_thing_of(tile), _where(tile), err)
            return None
        self._reading.entries += len(leaves) if tile.level is None else 0
        return tree_head(leaves)

    def _name_false(self, tile: Tile, number: int) -> None:
        right = self.leaves(number)
        found = _parse_leaves(tile, self._files.read_tile(tile))
        indexes = [
            number * TILE_WIDTH + i for i, pair in enumerate(zip(found, right, strict=False)) if pair[0] != pair[1]
        ]
        listed = ", ".join(f"log@{index}" for index in indexes[:10])
        self._findings.add(
            _thing_of(tile),
            _where(tile),
            Text(
                zh=f"由它所说的 {listed or '各条目'} 推不出已签署的根",
                en=f"what it says of {listed or 'its entries'} does not lead to the signed root",
            ),
        )

    def _judge_upper(self) -> None:
        size = self._checkpoint.size
        for level in itertools.count(1):
            nodes = count_nodes(size, level)
            if not nodes:
                return
            for index in range(-(-nodes // TILE_WIDTH)):
                tile = Tile(level, index, tile_width(size, level, index))
                found = self._read(tile)
                if found is not None:
                    self.compare(tile, found)

    def compare(self, tile: Tile, found: bytes) -> None:
        """Name a hash tile or bundle that has not the content that it must have."""
        try:
            if tile.level is None:
                leaves = _parse_leaves(tile, found)
                is_right = leaves == self.leaves(tile.index)[: tile.width]
            else:
                is_right = found == self.tile_data(tile)
        except FormatError as err:
            self._findings.add(_thing_of(tile), _where(tile), err)
        except CenterError:
            return  # what it must hold is not known: the damage that hides it has been named
        else:
            if not is_right:
                self._findings.add(
                    _thing_of(tile),
                    _where(tile),
                    Text(zh="它的内容与树中该处不符", en="it does not hold what the tree has there"),
                )

    def _read(self, tile: Tile) -> bytes | None:
        try:
            data = self._files.read_tile(tile)
        except CenterError as err:
            self._findings.add(_thing_of(tile), _where(tile), err)
            return None
        self._reading.tiles += 1
        self._reading.bytes_ += len(data)
        return data


def _judge_kept(kept: Sequence[Checkpoint], published: Checkpoint, judge: _Judge, findings: Findings) -> None:
    """Hold the checkpoints that ledger.sqlite keeps, the newest first, against the tree."""
    tree = TileTree(judge.tile_data, published.size)
    for position, checkpoint in enumerate(kept):
        if checkpoint.size > published.size:
            findings.add(
                Thing.LEDGER,
                SQLITE,
                Text(
                    zh=f"其中 {checkpoint.size} 条的检查点还没有发布；下次启动会发布",
                    en=f"its checkpoint of {checkpoint.size} entries is not published yet; the next start does that",
                ),
                is_note=True,
            )
            continue
        if position == 0 and checkpoint.size < published.size:
            findings.add(
                Thing.LEDGER,
                SQLITE,
                Text(
                    zh=f"其中最新的检查点是 {checkpoint.size} 条，已发布的是 {published.size} 条：这是一份旧副本",
                    en=f"its newest checkpoint has {checkpoint.size} entries, {published.size} are published: an older copy",
                ),
            )
        try:
            root = tree.root(checkpoint.size)
        except CenterError:
            continue  # tiles that it needs are damaged, and named
        if root != checkpoint.root:
            findings.add(
                Thing.LEDGER,
                SQLITE,
                Text(
                    zh=f"其中 {checkpoint.size} 条的检查点的根，与瓦片得出的 {root.hex()} 不同",
                    en=f"its checkpoint of {checkpoint.size} entries has another root than the tiles give, {root.hex()}",
                ),
            )


def _judge_strays(folder: Path, files: LedgerFiles, size: int, judge: _Judge, findings: Findings) -> None:
    """Judge the tile files that the checkpoint does not need: those of smaller sizes, and what is nobody's."""
    needed = {tile.path for tile in all_tiles(size)}
    for file in sorted((folder / "tile").rglob("*")):
        path = file.relative_to(folder).as_posix()
        if not file.is_file() or path in needed:
            continue
        try:
            tile = parse_tile_path(path)
        except FormatError:
            findings.add(
                Thing.TILE,
                f"ledger/{path}",
                Text(zh="这不是日志的瓦片", en="this is not a tile of a log"),
                is_note=True,
            )
            continue
        if tile.width <= tile_width(size, tile.level or 0, tile.index):
            try:
                found = files.read_tile(tile)
            except CenterError as err:
                findings.add(_thing_of(tile), f"ledger/{path}", err)
            else:
                judge.compare(tile, found)
        else:
            findings.add(
                Thing.TILE,
                f"ledger/{path}",
                Text(zh="它属于比已发布的检查点更长的日志", en="it is of a larger log than the published checkpoint"),
                is_note=True,
            )


def _parse_leaves(tile: Tile, data: bytes) -> list[bytes]:
    """Give the leaf hashes of a bundle or a tile of level 0. Raises: FormatError."""
    if tile.level is None:
        return [leaf_hash(entry) for entry in parse_bundle(data, tile.width)]
    return split_hashes(data, tile.width)


def _fold(roots: Sequence[Sha256 | None]) -> Sha256 | None:
    known = [root for root in roots if root is not None]
    return tree_head(known) if known and len(known) == len(roots) else None


def _thing_of(tile: Tile) -> Thing:
    return Thing.BUNDLE if tile.level is None else Thing.TILE


def _where(tile: Tile) -> str:
    return f"ledger/{tile.path}"
