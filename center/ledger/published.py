# SPDX-License-Identifier: Apache-2.0
"""The log as everybody may read it: entries, tiles and proofs, from the published files alone.

No key, no lock, no `ledger.sqlite`: what is read here is what a mirror has. Thread-safe; a writer may publish meanwhile, for a
checkpoint is written after all that it names. Source: C2SP tlog-tiles, tlog-checkpoint, tlog-proof.
"""

from collections.abc import Iterator

from center.errors import NotFoundError, StoreError
from center.ledger.publish import LedgerFiles
from evidence.digest import Sha256, leaf_hash, root_from_path
from evidence.errors import EvidenceError
from evidence.log.checkpoint import Checkpoint, parse_checkpoint
from evidence.log.merkle import TileTree
from evidence.log.tiles import TILE_WIDTH, Tile, parse_tile_path, tile_width
from evidence.log.tlog_proof import TlogProof
from evidence.manifest.receipt import Receipt
from evidence.note.signed import parse_note
from terminal.language import Text


class PublishedLog:
    """One log's published files."""

    def __init__(self, files: LedgerFiles) -> None:
        self._files = files

    @property
    def size(self) -> int:
        """The number of entries under the newest published checkpoint."""
        return self._newest().size

    def checkpoint(self) -> bytes:
        """Give the newest published checkpoint, with the cosignatures that it has got."""
        return self._files.read_checkpoint()

    def tile(self, path: str) -> bytes:
        """Give a tile or entry bundle by its C2SP path (`tile/…`). Raises: FormatError, NotFoundError."""
        tile = parse_tile_path(path)
        if tile.width > tile_width(self.size, tile.level or 0, tile.index):
            raise NotFoundError(
                Text(zh=f"{self.size} 条的日志没有 {path}", en=f"the log of {self.size} entries has no {path}"),
                hint=Text(zh="只能取检查点所说大小的瓦片", en="ask for tiles of a size that a checkpoint names"),
            )
        return self._files.read_tile(tile)

    def entry(self, index: int) -> bytes:
        """Give the entry at `index`. Raises: NotFoundError."""
        size = self.size
        if not 0 <= index < size:
            raise _no_entry(index, size)
        return self._files.read_bundle(_bundle_of(index, size))[index % TILE_WIDTH]

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Give the entries from `start` up to `stop`, or to the end as of now."""
        size = self.size
        yield from read_entries(self._files, size, start, size if stop is None else min(stop, size))

    def receipt(self, index: int, checkpoint: bytes | None = None) -> Receipt:
        """Prove the entry at `index` under the newest checkpoint, or under the one given (from `Ledger.find_checkpoints`).

        Raises:
            NotFoundError: there is no such entry under that checkpoint.
            StoreError: the files do not prove it: they are damaged.
        """
        raw = self.checkpoint() if checkpoint is None else checkpoint
        claim = parse_checkpoint(parse_note(raw).text)
        if not 0 <= index < claim.size:
            raise _no_entry(index, claim.size)
        entry = self.entry(index)
        path = self._tree().inclusion(index, claim.size)
        if root_from_path(leaf_hash(entry), index, claim.size, path) != claim.root:
            raise StoreError(
                Text(
                    zh=f"日志的文件证明不了第 {index} 条在 {claim.size} 条的检查点之内",
                    en=f"the ledger's files do not prove entry {index} under its checkpoint of {claim.size} entries",
                ),
                hint=Text(
                    zh="运行 `jinsuo-center audit` 找出损坏的文件，从镜像或备份恢复",
                    en="run `jinsuo-center audit` to find the damaged file, and restore it from a mirror or a backup",
                ),
            )
        return Receipt(entry, TlogProof(index, tuple(path), raw))

    def consistency(self, old_size: int, new_size: int) -> list[Sha256]:
        """Prove that the first `new_size` entries continue the first `old_size`. Raises: ProofError beyond the log."""
        return self._tree().consistency(old_size, new_size)

    def _newest(self) -> Checkpoint:
        try:
            return parse_checkpoint(parse_note(self.checkpoint()).text)
        except EvidenceError as err:
            raise StoreError(
                Text(
                    zh=f"{self._files.checkpoint_path} 已损坏：{err}",
                    en=f"{self._files.checkpoint_path} is damaged: {err}",
                ),
                hint=Text(
                    zh="重新启动中心：会由 ledger.sqlite 重新写出",
                    en="start the center again: it is written anew from ledger.sqlite",
                ),
            ) from err

    def _tree(self) -> TileTree:
        return TileTree(self._files.read_tile, self.size)


def read_entries(files: LedgerFiles, size: int, start: int, stop: int) -> Iterator[bytes]:
    """Give the entries start ≤ i < stop from the bundles of a log of `size` entries."""
    while start < stop:
        entries = files.read_bundle(_bundle_of(start, size))
        take = entries[start % TILE_WIDTH :][: stop - start]
        yield from take
        start += len(take)


def read_root(files: LedgerFiles, size: int, of: int) -> Sha256:
    """Compute the root of the first `of` entries from the tiles of a log of `size` entries."""
    return TileTree(files.read_tile, size).root(of)


def _bundle_of(index: int, size: int) -> Tile:
    number = index // TILE_WIDTH
    return Tile(None, number, tile_width(size, 0, number))


def _no_entry(index: int, size: int) -> NotFoundError:
    return NotFoundError(
        Text(
            zh=f"{size} 条的检查点之内，日志没有第 {index} 条",
            en=f"the log has no entry {index} under its checkpoint of {size} entries",
        ),
        hint=Text(zh="检查该序号", en="check the number"),
    )
