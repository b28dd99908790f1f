# SPDX-License-Identifier: Apache-2.0
"""Ledgers in a folder, their keys, a clock, notes to append, and ways to cut a round short."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from center.ledger.ledger import Ledger
from center.ledger.publish import LedgerFiles
from center.ledger.sequence import Step
from evidence.digest import Sha256, leaf_hash, tree_head
from evidence.keys.key import KeyType, VerificationKey
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from evidence.log.merkle import TileTree
from evidence.log.tiles import Tile, parse_bundle, tile_width
from evidence.manifest.entry import Level, parse_entry
from evidence.note.signed import parse_note, sign_note

ORIGIN = "center.example/test"
LOG = Ed25519Signer.from_seed(ORIGIN, KeyType.ED25519, bytes(range(32)))
UNIT = Ed25519Signer.from_seed("X013/his", KeyType.ED25519, bytes(range(1, 33)))
COSIGNER = Ed25519Signer.from_seed("X013", KeyType.COSIGNATURE, bytes(range(2, 34)))
START = datetime(2026, 11, 22, 1, tzinfo=UTC)


@dataclass
class Clock:
    """Gives times a second apart, unless told otherwise."""

    now: datetime = START
    tick: timedelta = timedelta(seconds=1)

    def __call__(self) -> datetime:
        self.now += self.tick
        return self.now


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Steps:
    """Runs `action` when the `nth` step named `at` comes; records all steps."""

    at: Step | None = None
    action: Callable[[], None] = lambda: None
    nth: int = 1
    seen: list[Step] = field(default_factory=list)

    def __call__(self, step: Step) -> None:
        self.seen.append(step)
        if step is self.at and self.seen.count(step) == self.nth:
            self.action()


def raising(err: BaseException) -> Callable[[], None]:
    """Give an action that raises `err`."""

    def act() -> None:
        raise err

    return act


def note_of(number: int) -> bytes:
    """Give a note that can be told from others by its number."""
    return sign_note(f"jinsuo/test@v1\nnumber {number}\n".encode(), [UNIT]).encode()


def drafts(numbers: Sequence[int]) -> list[tuple[str, Level, bytes]]:
    """Give drafts of entries with the notes of `numbers`."""
    return [("statement", Level.STORED, note_of(number)) for number in numbers]


def make_ledger(folder: Path, count: int = 0) -> Path:
    """Make a ledger of `count` entries, with the notes 0, 1, …; give its folder."""
    Ledger.create(folder, LOG)
    if count:
        with Ledger(folder, LOG, Clock()) as ledger:
            ledger.append_all(drafts(range(count)))
    return folder


def open_ledger(folder: Path, step: Callable[[Step], None] = lambda _: None) -> Ledger:
    """Open a ledger with a clock that starts anew."""
    return Ledger(folder, LOG, Clock(), step)


def foreign_checkpoint(size: int, root: bytes = bytes(32)) -> bytes:
    """Give a checkpoint signed by the log's key over a tree that the ledger does not have."""
    return sign_checkpoint(Checkpoint(ORIGIN, size, Sha256(root)), LOG).encode()


def check_files(folder: Path) -> list[bytes]:
    """Check what a stranger sees: the checkpoint's signature, every tile that it needs, every entry; give the entries.

    Written without the code that wrote them, but for the proofs from tiles, which are checked against the leaves.
    """
    checkpoint = verify_checkpoint(parse_note((folder / "checkpoint").read_bytes()), LOG.key)
    files = LedgerFiles(folder)
    entries: list[bytes] = []
    while len(entries) < checkpoint.size:
        index = len(entries) // 256
        tile = Tile(None, index, tile_width(checkpoint.size, 0, index))
        entries += parse_bundle(files.read_tile(tile), tile.width)
    assert tree_head([leaf_hash(entry) for entry in entries]) == checkpoint.root
    tree = TileTree(files.read_tile, checkpoint.size)
    assert tree.root(checkpoint.size) == checkpoint.root
    received = [parse_entry(entry).received for entry in entries]
    assert received == sorted(received)
    return entries


def published_notes(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Give (size, text) of every checkpoint that the ledger has kept."""
    connection = sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT size, note FROM checkpoints ORDER BY size").fetchall()
    finally:
        connection.close()
    return iter([(size, parse_note(note).text) for size, note in rows])


@dataclass
class RecordingSigner:
    """Signs as the log does, and remembers everything that it ever signed, by size."""

    signed: dict[int, set[bytes]] = field(default_factory=dict)

    @property
    def key(self) -> VerificationKey:
        return LOG.key

    def sign(self, message: bytes) -> bytes:
        self.signed.setdefault(parse_checkpoint(message).size, set()).add(message)
        return LOG.sign(message)

    def check_no_fork(self) -> None:
        """Check that no two trees of one size were ever signed."""
        assert [size for size, texts in self.signed.items() if len(texts) > 1] == []
