# SPDX-License-Identifier: Apache-2.0
"""The writer: gives entries their places, in batches, in an order that a crash cannot turn into a loss or a fork.

One round, under the `WriterLock`:
    0. finish what an earlier round, or a process that died, has left (the same steps from where it stopped)
    1. may we sign? (`Gate`)                               else HeldError, nothing done
    2. stage the entries in ledger.sqlite, durable         a crash from here on: the batch is finished by step 0
    3. sign the checkpoint over them
    4. compare-and-swap it as the newest one, durable      from here on it is the log's history
    5. write the tiles, durable
    6. replace `checkpoint`, durable                       from here on strangers see it
    7. answer the callers
What was staged is never replaced by something else: once signed, a tree is the only one of its size, even if the crash
came before the swap. There is no timer: a round takes what waits when it starts, and what comes meanwhile goes into the
next. `received` never decreases. Source: design section 5; Sunlight's sequencer.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeAlias

from center.errors import CenterError, StoreError
from center.ledger.edge import Edge, Growth, read_edge
from center.ledger.gate import Gate, ahead_hold
from center.ledger.lock import LedgerLock, Standing, WriterLock
from center.ledger.publish import LedgerFiles
from center.store.folder import explain_os_error
from evidence.errors import EvidenceError
from evidence.keys.signer import Signer
from evidence.log.checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint
from evidence.log.tiles import TILE_WIDTH, Tile
from evidence.manifest.entry import Entry, Level, parse_entry
from evidence.note.signed import parse_note
from terminal.language import Text

MAX_BATCH: Final = 1024
"""So many entries at most in one round; with entries of 64 KiB that is 64 MiB in memory."""

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
log = logging.getLogger(__name__)


class Step(StrEnum):
    """The moments of a round between which it may be cut; for tests that cut it there."""

    STAGING = "before anything is written"
    STAGED = "entries are staged"
    SIGNED = "the checkpoint is signed"
    SWAPPED = "the checkpoint is the newest one"
    TILE = "one more tile is written"
    TILES = "all tiles are written"
    PUBLISHED = "the checkpoint is published"


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry with its place in the log, under a published checkpoint."""

    index: int
    entry: Entry


_Submission: TypeAlias = tuple[Sequence[Entry], "Future[list[Sealed]]"]
_Content: TypeAlias = tuple[str, Level, bytes]


class Sequencer:
    """Sequence entries, in a thread of its own. Methods are thread-safe unless they say otherwise."""

    def __init__(
        self,
        lock: LedgerLock,
        writer_lock: WriterLock,
        gate: Gate,
        files: LedgerFiles,
        signer: Signer,
        clock: Callable[[], datetime],
        step: Callable[[Step], None],
    ) -> None:
        self._lock = lock
        self._writer_lock = writer_lock
        self._gate = gate
        self._files = files
        self._signer = signer
        self._clock = clock
        self._step = step
        self._edge: Edge | None = None
        self._received = _LONG_AGO
        self._unanswered: dict[_Content, Sealed] = {}
        self._queue: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Publish what an earlier process made the newest checkpoint, then wait for entries. Signs nothing."""
        with self._writer_lock:
            self._files.remove_leftovers()
            self.catch_up()
        self._thread.start()

    def submit(self, drafts: Sequence[Entry]) -> "Future[list[Sealed]]":
        """Ask for places for `drafts`, at most MAX_BATCH, whose `received` is set anew; with none, only finish the old.

        The future raises HeldError, FullError, StoreError. What failed may have been staged all the same: then the
        next round finishes it, and the same draft, submitted again, gets that place instead of a second one.
        """
        future: Future[list[Sealed]] = Future()
        self._queue.put((drafts, future))
        if self._has_ended:
            self._refuse_waiting()
        return future

    def stop(self) -> None:
        """Finish the entries that wait, and end the thread."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        if self._edge is not None:
            # Only saves the next start some work: what is staged may stay.
            with self._writer_lock, suppress(CenterError):
                self._lock.settle(self._edge.size)

    def adopt(self, note: bytes, entries: Sequence[bytes]) -> None:
        """Continue by `entries` up to `note`, a checkpoint that this log signed before and the caller has verified.

        Under the `WriterLock`. What was staged and not signed is dropped: those places are taken.
        """
        standing = self._lock.standing()
        self._edge = None
        self._unanswered.clear()
        self._lock.adopt(standing.note, note, standing.size, entries)
        self.catch_up()

    def catch_up(self) -> Edge:
        """Publish the newest checkpoint unless that is done; give its edge. Under the `WriterLock`; signs nothing."""
        standing = self._lock.standing()
        if self._edge is None or self._edge.size != standing.size:
            self._edge = self._recover(standing)
        return self._edge

    def _run(self) -> None:
        try:
            while (first := self._queue.get()) is not None:
                self._answer(self._take_waiting(first))
        except BaseException as err:
            log.critical("the writer of the ledger has ended", exc_info=err)
            self._edge = None
        finally:
            self._has_ended = True
            self._refuse_waiting()

    def _take_waiting(self, first: _Submission) -> list[_Submission]:
        batch, count = [first], len(first[0])
        while count < MAX_BATCH:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            batch.append(item)
            count += len(item[0])
        return batch

    def _refuse_waiting(self) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                item[1].set_exception(_ended())

    def _answer(self, batch: list[_Submission]) -> None:
        try:
            sealed = self._run_round([draft for drafts, _ in batch for draft in drafts])
        except CenterError as err:
            self._fail(batch, err)
        except OSError as err:
            self._fail(batch, explain_os_error(err, self._files.checkpoint_path))
        except EvidenceError as err:
            self._fail(
                batch,
                StoreError(
                    Text(zh=f"日志已损坏：{err}", en=f"the ledger is damaged: {err}"),
                    hint=Text(zh="运行 `jinsuo-center audit`", en="run `jinsuo-center audit`"),
                ),
            )
        except BaseException:
            self._fail(batch, _ended())
            raise
        else:
            for drafts, future in batch:
                future.set_result(sealed[: len(drafts)])
                sealed = sealed[len(drafts) :]

    def _fail(self, batch: list[_Submission], err: CenterError) -> None:
        self._edge = None
        for _, future in batch:
            future.set_exception(err)

    def _run_round(self, drafts: Sequence[Entry]) -> list[Sealed]:
        with self._writer_lock:
            edge = self.catch_up()
            self._gate.check()
            edge = self._finish_staged(edge)
            # Who was refused in an earlier round, and whose entry was finished since, gets that one.
            old = [self._unanswered.pop(_content(draft), None) for draft in drafts]
            new = self._seal_drafts(edge, [draft for draft, done in zip(drafts, old, strict=True) if done is None])
            return [next(new) if done is None else done for done in old]

    def _finish_staged(self, edge: Edge) -> Edge:
        entries = self._lock.staged(edge.size)
        if entries:
            self._remember(edge.size, entries)
            edge = self._seal(edge, entries)
        return edge

    def _seal_drafts(self, edge: Edge, drafts: Sequence[Entry]) -> Iterator[Sealed]:
        if not drafts:
            return iter(())
        received = max(self._clock(), self._received)
        sealed = [Sealed(i, replace(draft, received=received)) for i, draft in enumerate(drafts, edge.size)]
        entries = [each.entry.encode() for each in sealed]
        self._step(Step.STAGING)
        self._lock.stage(edge.size, entries, published_size=edge.size)
        self._unanswered.update((_content(each.entry), each) for each in sealed)
        self._step(Step.STAGED)
        self._seal(edge, entries)
        for each in sealed:
            self._unanswered.pop(_content(each.entry), None)
        return iter(sealed)

    def _seal(self, edge: Edge, entries: Sequence[bytes]) -> Edge:
        """Steps 3 to 6 for `entries`, which are staged from `edge` on."""
        growth = edge.grow(entries)
        checkpoint = Checkpoint(self._signer.key.name, growth.edge.size, growth.edge.root)
        note = sign_checkpoint(checkpoint, self._signer).encode()
        self._step(Step.SIGNED)
        self._lock.swap(self._lock.standing().note, note, checkpoint.size)
        self._step(Step.SWAPPED)
        self._write_tiles(growth)
        self._publish(note, checkpoint.size)
        self._files.drop_partials(edge.size, checkpoint.size)
        self._edge, self._received = growth.edge, parse_entry(entries[-1]).received
        return growth.edge

    def _recover(self, standing: Standing) -> Edge:
        """Steps 5 and 6 for the newest checkpoint, from what is staged; the edge is proven against it first."""
        start = standing.published_size
        edge = first = read_edge(self._files.read_tile, start)
        entries = self._lock.staged(start, standing.size)
        pieces = [entries[i : i + MAX_BATCH] for i in range(0, len(entries), MAX_BATCH)]
        for piece in pieces:
            edge = edge.grow(piece).edge
        newest = verify_checkpoint(parse_note(standing.note), self._signer.key)
        if (edge.size, edge.root) != (newest.size, newest.root):
            raise StoreError(
                Text(
                    zh=f"日志的瓦片和暂存条目（{edge.size} 条）得出的根是 {edge.root.hex()}，"
                    f"最新检查点（{newest.size} 条）的根是 {newest.root.hex()}",
                    en=f"the tiles and staged entries of the ledger give the root {edge.root.hex()} for {edge.size} entries,"
                    f" its newest checkpoint says {newest.root.hex()} for {newest.size}",
                ),
                hint=Text(
                    zh="运行 `jinsuo-center audit` 找出损坏之处；从备份恢复 ledger 目录",
                    en="run `jinsuo-center audit` to find what is damaged; restore the ledger folder from its backup",
                ),
            )
        edge = first
        for piece in pieces:
            growth = edge.grow(piece)
            self._write_tiles(growth)
            edge = growth.edge
        self._remember_unpublished(start, entries)
        self._publish(standing.note, standing.size)
        self._files.drop_partials(start, standing.size)
        self._received = self._read_last_received(edge)
        return edge

    def _write_tiles(self, growth: Growth) -> None:
        for tile, data in growth.tiles:
            self._files.write_tile(tile, data)
            self._step(Step.TILE)
        self._step(Step.TILES)

    def _publish(self, note: bytes, size: int) -> None:
        published = self._files.find_published(self._signer.key)
        if published is not None and published.size > size:
            # ledger.sqlite is older than the files beside it: `checkpoint` is never turned back.
            self._lock.add_hold(ahead_hold(self._files.read_checkpoint(), published.size, size), self._clock())
        elif published is None or self._files.read_checkpoint() != note:
            self._files.write_checkpoint(note)
            self._step(Step.PUBLISHED)

    def _remember_unpublished(self, start: int, entries: Sequence[bytes]) -> None:
        published = self._files.find_published(self._signer.key)
        answered = 0 if published is None else max(0, published.size - start)
        self._remember(start + answered, entries[answered:])

    def _remember(self, start: int, entries: Sequence[bytes]) -> None:
        for index, data in enumerate(entries, start):
            entry = parse_entry(data)
            self._unanswered[_content(entry)] = Sealed(index, entry)

    def _read_last_received(self, edge: Edge) -> datetime:
        if edge.bundle:
            return parse_entry(edge.bundle[-1]).received
        if edge.size == 0:
            return _LONG_AGO
        return parse_entry(self._files.read_bundle(Tile(None, edge.size // TILE_WIDTH - 1))[-1]).received


def _content(entry: Entry) -> _Content:
    return entry.kind, entry.level, entry.note


def _ended() -> StoreError:
    return StoreError(
        Text(
            zh="日志的写入线程已经结束；该条目没有得到确认",
            en="the writer of the ledger has ended; the entry is not acknowledged",
        ),
        hint=Text(
            zh="在中心的日志中找到第一个错误，排除原因后重新启动中心",
            en="look for the first error in the center's log, mend its cause, and start the center again",
        ),
    )
