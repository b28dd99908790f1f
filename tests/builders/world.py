# SPDX-License-Identifier: Apache-2.0
"""A small world: a center, agents that are enrolled there, live SQLite databases, and the line between them.

Everything is real: keys, TLS, ledger, spool, collectors. Center and agents run in this process (`World.serving`,
`World.agent`) or as processes that can be killed (`World.center_process`, `agent_process`). All that agents send goes
over a `Line`, a relay on loopback, so that a test can count its bytes, and the center may move to another port.
"""

import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agent.app import Agent, utc_now
from agent.outcome import Enrolment, Outcome, Stage
from agent.snapshot.progress import Silent
from center.app import Center
from evidence.manifest.receipt import parse_receipt, verify_receipt
from evidence.manifest.statement import SnapshotStatement, parse_statement, statement_digest
from evidence.note.signed import parse_note
from tests.servers.ports import free_port

ORIGIN = "archives.example/world"
ROOT = Path(__file__).parents[2]
AGENT_COMMAND = (sys.executable, "-m", "agent.cli.main")
CENTER_COMMAND = (sys.executable, "-m", "center.cli.main")
_PRINTABLE = bytes(c for c in range(0x21, 0x7F) if c != 0x5C)
_READ_SIZE = 1 << 16


class Line:
    """A relay from a port of its own to the center's. Attributes: `port`; `sent`, the bytes from agents to the center.

    A context manager. Its threads end with the connections.
    """

    def __init__(self, target: int = 0) -> None:
        """Listen; `target` is the center's port, which may be set later."""
        self.target = target
        self.sent = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, name="line", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join()

    def cut(self) -> None:
        """Break every connection that stands."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            shut(end)

    def carry(self, data: bytes, is_sent: bool) -> Iterator[bytes]:
        """Give what becomes of bytes on the line, part by part; `is_sent`: from the agent. Raises: OSError to cut it."""
        if is_sent:
            with self._lock:
                self.sent += len(data)
        yield data

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), 60)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            for source, sink, counts in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._relay, args=(source, sink, counts), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_READ_SIZE):
                for part in self.carry(data, counts):
                    sink.sendall(part)
        # Either direction's end is the end of both: HTTP/1.1 does not close halfway.
        for end in (source, sink):
            shut(end)
        with self._lock:
            if not counts:
                for end in (source, sink):
                    self._open.discard(end)
        if not counts:
            sink.close()
            source.close()


def shut(end: socket.socket) -> None:
    """End both directions of a connection, if it still stands."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@dataclass
class World:
    """A center's folder and agents' folders in `folder`."""

    folder: Path
    line: Line = field(default_factory=Line)
    clock: Callable[[], datetime] = utc_now

    @classmethod
    @contextmanager
    def make(cls, folder: Path, line: Line | None = None, clock: Callable[[], datetime] = utc_now) -> Iterator["World"]:
        """Make a world with a new center, which does not serve yet; `line` is closed with it. `clock` is the center's."""
        world = cls(folder, line or Line(), clock=clock)
        Center.create(world.center_folder, ORIGIN, f"127.0.0.1:{world.line.target or free_port()}", clock)
        try:
            yield world
        finally:
            world.line.__exit__()

    @property
    def center_folder(self) -> Path:
        return self.folder / "center"

    def agent_folder(self, unit: str) -> Path:
        return self.folder / f"agent-{unit}"

    @contextmanager
    def serving(self) -> Iterator[Center]:
        """Open the center and serve it in a thread; the line leads to it."""
        with Center.open(self.center_folder, self.clock) as center:
            receiver = center.receiver()
            is_ready = threading.Event()
            thread = threading.Thread(target=receiver.run, args=(lambda _: is_ready.set(),), name="receiver")
            thread.start()
            self.line.target = receiver.port
            try:
                assert is_ready.wait(60), "the receiver did not start"
                yield center
            finally:
                # A connection that an agent keeps open would be waited for.
                self.line.cut()
                receiver.stop()
                thread.join(60)
                assert not thread.is_alive(), "the receiver did not stop"

    def center_process(self, folder: Path | None = None, **options: object) -> "CenterProcess":
        """Start the center as a process; the line leads to it."""
        process = CenterProcess(folder or self.center_folder, self.folder / "center.log", **options)  # type: ignore[arg-type]
        self.line.target = process.port
        return process

    def add_agent(self, center: Center, unit: str, sources: str, road: str = "{}", port: int | None = None) -> Path:
        """Add a unit and enrol an agent with `sources` (YAML, indented by two); give its folder.

        `road`: YAML, in one line; `port`: of the center's address as this road knows it, else the line's.
        """
        return self.enroll(
            center.units.add(unit, f"单位 {unit}").encode(), self.agent_folder(unit), sources, road, port
        )

    def enroll(self, code: str, folder: Path, sources: str, road: str = "{}", port: int | None = None) -> Path:
        """Make an agent's folder and enrol it by `code`; the center is being served."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = f"spool: {{min_free: 0 MiB}}\nroad: {road}\nsources:\n{sources}"
        (folder / "agent.yaml").write_text(settings, encoding="utf-8")
        with Agent.open(folder) as agent:
            enrolment: Enrolment = agent.enroll(f"https://127.0.0.1:{port or self.line.port}", code)
        assert enrolment.origin == ORIGIN
        return folder

    def snapshot(self, unit: str, source: str = "his") -> Outcome:
        """Take a snapshot and insist on a `stored` receipt; give the outcome."""
        with Agent.open(self.agent_folder(unit)) as agent:
            outcome = agent.snapshot(source, Silent())
        assert outcome.trouble is None, outcome.trouble
        assert outcome.stage is Stage.STORED
        return outcome


class CenterProcess:
    """A center that serves as a process of its own. A context manager."""

    def __init__(
        self, folder: Path, log: Path, prepare: Callable[[], object] | None = None, within_s: float = 60
    ) -> None:
        """Start it and wait until it takes connections; `prepare` runs in the child before (limits, for example)."""
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*CENTER_COMMAND, "-C", str(folder), "--lang", "en", "serve"],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, preexec_fn=prepare,
            )  # fmt: skip
        assert self.process.stdout is not None
        watch = threading.Timer(within_s, self.process.kill)
        watch.start()
        address = self.process.stdout.readline().decode().strip()
        watch.cancel()
        assert address, f"the center did not start: {log.read_text(encoding='utf-8')[-2000:]}"
        self.port = int(address.rpartition(":")[2])

    def __enter__(self) -> "CenterProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.wait()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self.process.kill()

    def wait(self) -> int:
        """Wait until it has ended; give its exit code."""
        try:
            return self.process.wait(60)
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()


def agent_process(folder: Path, *words: str, prepare: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
    """Start a command of `jinsuo-agent`."""
    return subprocess.Popen(
        [*AGENT_COMMAND, "-C", str(folder), *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, preexec_fn=prepare, env={**os.environ, "JINSUO_LANG": "en"},
    )  # fmt: skip


def sqlite_source(name: str, path: Path) -> str:
    """Give the YAML of a source."""
    return f"  - {{name: {name}, kind: sqlite, path: {path}}}\n"


def make_hospital(path: Path, visits: int = 2_000) -> Path:
    """Make a live hospital database (WAL) with patients, visits and a table without a key."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE 患者 (编号 INTEGER PRIMARY KEY, 姓名 TEXT NOT NULL, 出生 TEXT)")
        db.execute("CREATE TABLE 病程记录 (编号 INTEGER PRIMARY KEY, 患者 INTEGER, 内容 TEXT, 影像 BLOB)")
        db.execute("CREATE TABLE ward (name TEXT, beds INTEGER)")
        db.executemany("INSERT INTO 患者 VALUES (?, ?, ?)", ((i, f"患者{i}", "1980-01-01") for i in range(1, 301)))
        picture = random.Random(7).randbytes(200_000)
        db.executemany(
            "INSERT INTO 病程记录 VALUES (?, ?, ?, ?)",
            (
                (i, i % 300 + 1, f"第 {i} 次查房：一般情况可。", picture if i == 9 else None)
                for i in range(1, visits + 1)
            ),
        )
        db.executemany("INSERT INTO ward VALUES (?, ?)", [("内科", 40), ("外科", 30), ("内科", 40)])
    return path


def make_incompressible(path: Path, size_bytes: int, seed: int = 1) -> Path:
    """Make a database of about `size_bytes` of texts that do not shrink much: several packs from a small file."""
    chance = random.Random(seed)
    table = bytes(_PRINTABLE[i % len(_PRINTABLE)] for i in range(256))
    row_bytes = 4_000
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE record (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        db.executemany(
            "INSERT INTO record VALUES (?, ?)",
            (
                (i, chance.randbytes(row_bytes).translate(table).decode("ascii"))
                for i in range(1, size_bytes // row_bytes + 1)
            ),
        )
    return path


def run_sql(path: Path, sql: str, *values: object) -> None:
    """Change a live database, in one transaction."""
    with closing(sqlite3.connect(path, timeout=30)) as db, db:
        db.execute(sql, values)


@dataclass(frozen=True)
class Kept:
    """A statement that an agent holds a receipt for."""

    sequence: int
    kind: str
    level: str
    index: int


def check_kept(center: Center, folder: Path, unit: str, source: str) -> list[Kept]:
    """Hold an agent's receipts against the center: promise 1 and 2 for one source; give what was found, in order.

    Each receipt verifies under the log's key; its entry is in the log at its place; each stored snapshot opens, and
    every row of every table reads back, as many as claimed; the chain has no hole and no fork.
    """
    with Agent.open(folder) as agent:
        entries = [entry for entry in agent.journal.all_of(source) if entry.receipt is not None]
    center.replay.catch_up()
    found: list[Kept] = []
    for entry in entries:
        assert entry.receipt is not None
        verified = verify_receipt(parse_receipt(entry.receipt), center.ledger.log_key)
        assert center.ledger.entry(verified.index) == verified.entry_bytes
        row = center.catalog.statement(unit, source, entry.sequence)
        assert row.digest == entry.digest == statement_digest(parse_note(row.note).text)
        if entry.kind == SnapshotStatement.kind:
            read_back(center, unit, source, entry.sequence)
        found.append(Kept(entry.sequence, entry.kind, verified.entry.level.value, verified.index))
    check_chain(center, unit, source)
    return found


def read_back(center: Center, unit: str, source: str, sequence: int | None = None) -> int:
    """Read every row of a stored snapshot (each object is checked against its id on the way); give their number."""
    snapshot = center.open_snapshot(unit, source, sequence)
    rows = size = 0
    for table in snapshot.tables():
        for line in snapshot.lines(table):
            rows += 1
            size += len(line) + 1
    assert (rows, size) == (snapshot.statement.rows, snapshot.statement.bytes_)
    return rows


def check_chain(center: Center, unit: str, source: str) -> list[str]:
    """Check that a source's statements in the log run from 1 without hole or fork; give their kinds."""
    kinds: list[str] = []
    previous = None
    for index, raw in enumerate(center.ledger.entries()):
        statement = _statement_of(raw, unit, source)
        if statement is None:
            continue
        text, parsed = statement
        assert parsed.sequence == len(kinds) + 1, f"entry {index}: sequence {parsed.sequence} after {len(kinds)}"
        assert parsed.previous == previous, f"entry {index}: another previous"
        previous = statement_digest(text)
        kinds.append(parsed.kind)
    return kinds


def _statement_of(raw: bytes, unit: str, source: str):  # type: ignore[no-untyped-def]  # the union is long, and local
    from evidence.manifest.entry import parse_entry

    entry = parse_entry(raw)
    if entry.kind != "statement":
        return None
    text = parse_note(entry.note).text
    statement = parse_statement(text)
    return (text, statement) if (statement.unit, statement.source) == (unit, source) else None


def stored_pack_bytes(center: Center, unit: str, source: str) -> int:
    """Give the bytes of a source's packs in the center's store."""
    prefix = f"packs/{unit}/{source}/"
    return sum(center.store.size(name) or 0 for name in center.store.names(prefix))
