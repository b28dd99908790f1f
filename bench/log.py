# SPDX-License-Identifier: Apache-2.0
"""Statements per second with receipts, from 1 agent and from 16, against how often the disk can be made durable.

Each statement is a whole submission over HTTPS: a pack is stored, its rows are re-hashed, the statement is locked in
the log, and its receipt is verified by the sender. The submissions are made before the clock starts. The limit beside
it: one small file written, fsynced, named and its folder fsynced, in a loop, on the same disk.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agent.collectors.base import BlobSink, Document, Finding, Omission, Table
from agent.holdings import Base, Holdings
from agent.identity import Identity
from agent.journal import Journal, JournalEntry, SourceKeys, State
from agent.snapshot.progress import Silent
from agent.snapshot.take import Place, take_snapshot
from agent.spool import Spool, SpooledPack
from agent.transport.send import Parties, check_receipt
from bench._world import CenterProcess, machine, table
from evidence.digest import ObjectId, Sha256
from evidence.disk import write_new
from evidence.manifest.statement import Consistency, key_name, statement_digest
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from evidence.wire.secrets import SourceSecrets
from terminal.language import NOTHING, Text

_SCHEMA = Schema("visit", (Column("id", Kind.INT, False, "int"), Column("note", Kind.TEXT, True, "text")), ("id",))


@dataclass(frozen=True)
class Submission:
    """A pack and a statement, ready to be sent."""

    pack: Path
    entry: JournalEntry


class Lines:
    """A collector over lines."""

    consistency = Consistency.CONSISTENT
    position = "-"

    def __init__(self, lines: bytes) -> None:
        self._lines = lines

    @contextmanager
    def open_view(self) -> "Iterator[Lines]":
        """Give itself."""
        yield self

    def tables(self) -> Sequence[Table]:
        """Give the one table."""
        return [Table(_SCHEMA, True)]

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:  # noqa: ARG002 - the protocol's names
        """Give the lines."""
        yield self._lines

    def documents(self) -> Sequence[Document]:
        """Give none."""
        return []

    def omitted(self) -> Sequence[Omission]:
        """Give none."""
        return []

    def notes(self) -> Sequence[str]:
        """Give none."""
        return []

    def check(self) -> Sequence[Finding]:
        """Give none."""
        return []

    def grants(self) -> Text:
        """Give none."""
        return NOTHING


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="script/bench log", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--statements", type=int, default=200, help="statements per agent")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jinsuo-bench-") as name:
        root = Path(name)
        print(f"machine: {machine()}", flush=True)
        rows: list[tuple[object, ...]] = []
        with CenterProcess(root / "center") as center:
            for count in (1, 16):
                agents = [_enroll(center, root, f"U{count}-{i}") for i in range(count)]
                made = [
                    prepare(agent, root / "made" / agent.unit, options.statements // (1 if count == 1 else 4))
                    for agent in agents
                ]
                limit = durable_per_second(root / "limit")
                before = center.cpu_s()
                began = time.perf_counter()
                threads = [threading.Thread(target=send, args=pair) for pair in zip(agents, made, strict=True)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                took = time.perf_counter() - began
                total = sum(len(m) for m in made)
                rows.append(
                    (count, total, total / took, limit, total / took / limit, (center.cpu_s() - before) / total * 1e3)
                )
        headers = ("agents", "statements", "statements/s", "limit: durable files/s", "ratio", "center CPU ms each")
        table("Statements with verified receipts", headers, rows)


def prepare(identity: Identity, folder: Path, count: int) -> list[Submission]:
    """Make `count` submissions of a source named his."""
    keys = SourceKeys(os.urandom(32), os.urandom(32), True)
    with identity.connect(lambda: None) as transport:
        transport.deposit("his", SourceSecrets(keys.row_secret, keys.storage_key))
    folder.mkdir(parents=True)
    holdings = Holdings(folder / "holdings.sqlite")
    spool = Spool(folder / "spool", max_bytes=1 << 40, min_free_bytes=0, keep_bytes=0, level=1)
    signer = identity.statement.renamed(key_name(identity.unit, "his"))
    made: list[Submission] = []
    previous: Sha256 | None = None
    for sequence in range(1, count + 1):
        lines = b"".join(b"%d\tnote %d\n" % (i, i if i else sequence) for i in range(20))
        place = Place(identity.unit, "his", sequence, previous, signer, "bench")
        packs: list[Path] = []
        with spool.writer(partial(_keep, holdings, packs)) as spooler:
            taken = take_snapshot(
                Lines(lines), place, keys, spooler, holdings, folder / "tmp",
                ask=None, clock=lambda: datetime.now(UTC), progress=Silent(),
            )  # fmt: skip
        text = taken.statement.encode()
        previous = statement_digest(text)
        entry = JournalEntry(
            "his",
            sequence,
            "snapshot",
            previous,
            taken.note,
            State.TAKEN,
            taken.statement.ended,
            1,
            20,
            0,
            0,
            None,
            None,
            "",
        )
        made.append(Submission(packs[0], entry))
    holdings.close()
    return made


def _keep(
    holdings: Holdings, packs: list[Path], pack: SpooledPack, ids: Sequence[ObjectId], bases: Sequence[Base]
) -> None:
    packs.append(pack.path)
    holdings.add("his", ids)
    holdings.add_bases("his", pack.name, bases)


def send(identity: Identity, made: Sequence[Submission]) -> None:
    """Send submissions one after another, verifying each receipt."""
    parties = Parties(identity.address.log, identity.address.operator, identity.cosigner)
    with identity.connect(lambda: None) as transport:
        for one in made:
            transport.put_pack("his", one.pack.stem, one.pack)
            answer = transport.submit("his", one.entry.note)
            if answer.receipt is None:
                raise RuntimeError(f"no receipt for {one.entry.sequence}")
            check_receipt(answer.receipt, one.entry, parties)


def durable_per_second(folder: Path) -> float:
    """Give how many small files per second can be made durable."""
    count = 200
    began = time.perf_counter()
    for i in range(count):
        write_new(folder / f"{time.monotonic_ns()}-{i}", bytes(500))
    return count / (time.perf_counter() - began)


def _enroll(center: CenterProcess, root: Path, unit: str) -> Identity:
    center.enroll(unit, root / unit, "  []\n")
    Journal(root / unit / "journal.sqlite").close()
    return Identity.open(root / unit)


if __name__ == "__main__":
    main()
