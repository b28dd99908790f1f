# SPDX-License-Identifier: Apache-2.0
"""The ledger as static C2SP files: tiles, entry bundles, and `checkpoint`; written and read here, decided elsewhere.

    <ledger>/checkpoint   <ledger>/tile/<L>/<N>[.p/<W>]   <ledger>/tile/entries/<N>[.p/<W>]

Tiles are put if absent and are durable before `checkpoint`, which is replaced in one step, names them: a reader who has
a checkpoint can read all of its tiles. Partial tiles are dropped when the full tile is there and the one after it too;
readers fall back to the full tile, as C2SP tlog-tiles tells them. Written by one writer at a time (`WriterLock`); read
by anybody, also meanwhile. Source: C2SP tlog-tiles.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from center.errors import StoreError
from center.store.folder import FolderStore, explain_os_error
from evidence.disk import remove_leftovers, sync_folder, write_over
from evidence.errors import EvidenceError, FormatError
from evidence.keys.key import VerificationKey
from evidence.log.checkpoint import Checkpoint, verify_checkpoint
from evidence.log.tiles import HASH_BYTES, TILE_WIDTH, Tile, count_nodes, encode_bundle, parse_bundle
from evidence.note.signed import parse_note
from terminal.language import Text

_DAMAGED = Text(
    zh="运行 `jinsuo-center audit` 查看所有损坏，从镜像或备份恢复该文件",
    en="run `jinsuo-center audit` to see all damage, and restore this file from a mirror or a backup",
)


class LedgerFiles:
    """The files of one ledger."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = FolderStore(folder)

    @property
    def checkpoint_path(self) -> Path:
        """Where the newest published checkpoint lies."""
        return self._folder / "checkpoint"

    def read_checkpoint(self) -> bytes:
        """Give the newest published checkpoint, verbatim. Raises: StoreError."""
        try:
            return self.checkpoint_path.read_bytes()
        except OSError as err:
            raise explain_os_error(err, self.checkpoint_path) from err

    def find_published(self, log_key: VerificationKey) -> Checkpoint | None:
        """Give the published checkpoint, or None if the file is missing or not signed by `log_key`."""
        try:
            return verify_checkpoint(parse_note(self.read_checkpoint()), log_key)
        except (StoreError, EvidenceError):
            return None

    def read_tile(self, tile: Tile) -> bytes:
        """Give a tile or bundle of exactly the width asked for, cut from the full one if only that is there.

        Raises: StoreError if it is missing, too short, or not a bundle.
        """
        if not tile.is_full and self._store.size(tile.path) is not None:
            try:
                return self._read(tile)
            except StoreError:
                # Dropped between the two looks, as the full tile is there by now; if it is not, that is said below.
                if self._store.size(tile.path) is not None:
                    raise
        data = self._read(tile.full())
        if tile.is_full:
            return data
        if tile.level is not None:
            return data[: HASH_BYTES * tile.width]
        return encode_bundle(parse_bundle(data, TILE_WIDTH)[: tile.width])

    def read_bundle(self, tile: Tile) -> list[bytes]:
        """Give the entries of a bundle. Raises: StoreError."""
        try:
            return parse_bundle(self.read_tile(tile), tile.width)
        except FormatError as err:
            raise StoreError(
                Text(zh=f"{tile.path} 已损坏：{err}", en=f"{tile.path} is damaged: {err}"), hint=_DAMAGED
            ) from err

    def write_tile(self, tile: Tile, data: bytes) -> None:
        """Write a tile durably; one that is there already must have the same bytes.

        Raises:
            StoreError: other bytes are there: what was published stays, and the ledger does not go on over it.
            FullError: no space.
        """
        if self._store.size(tile.path) is None:
            with self._store.create(tile.path) as blob:
                blob.write(data)
                is_new = blob.commit()
        else:
            # From before a crash, maybe: the bytes were synced before they got their name, the name may not be.
            is_new = False
            self._sync_name(self._folder / tile.path)
        if not is_new and self._store.read(tile.path) != data:
            raise StoreError(
                Text(
                    zh=f"{self._folder} 中的 {tile.path} 与日志应写的字节不同",
                    en=f"{tile.path} in {self._folder} has other bytes than the ledger would write",
                ),
                hint=Text(
                    zh="运行 `jinsuo-center audit`：该文件损坏，或比 ledger.sqlite 新；两者要恢复到同一时刻",
                    en="run `jinsuo-center audit`: the file is damaged, or newer than ledger.sqlite; restore both alike",
                ),
            )

    def write_checkpoint(self, note: bytes) -> None:
        """Replace `checkpoint` durably. Every tile that it needs is durable."""
        try:
            write_over(self.checkpoint_path, note)
        except OSError as err:
            raise explain_os_error(err, self.checkpoint_path) from err

    def drop_partials(self, old_size: int, new_size: int) -> None:
        """Drop the partial tiles that the growth from `old_size` to `new_size`, which is published, left behind."""
        for tile in _outgrown(old_size, new_size):
            shutil.rmtree(self._folder / f"{tile.path}.p", ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove what a crash left half written. Under the `WriterLock`."""
        self._store.remove_leftovers()
        remove_leftovers(self._folder)

    def _sync_name(self, path: Path) -> None:
        try:
            self._store.make_durable(path.parent)
            sync_folder(path.parent)
        except OSError as err:
            raise explain_os_error(err, path) from err

    def _read(self, tile: Tile) -> bytes:
        data = self._store.read(tile.path)
        if tile.level is not None and len(data) != HASH_BYTES * tile.width:
            raise StoreError(
                Text(
                    zh=f"{tile.path} 有 {len(data)} 字节，应为 {HASH_BYTES * tile.width}：已损坏",
                    en=f"{tile.path} has {len(data)} bytes, expected {HASH_BYTES * tile.width}: it is damaged",
                ),
                hint=_DAMAGED,
            )
        return data


def _outgrown(old_size: int, new_size: int) -> Iterator[Tile]:
    """Give, as full tiles, those that are followed by another full tile now, but were not at `old_size`."""
    level = 0
    while count_nodes(new_size, level + 1):
        old, new = count_nodes(old_size, level + 1), count_nodes(new_size, level + 1)
        for index in range(max(0, old - 1), new - 1):
            yield Tile(level, index)
            if level == 0:
                yield Tile(None, index)
        level += 1
