# SPDX-License-Identifier: Apache-2.0
"""A folder of scans, night after night: only what changed is opened, and nothing of the evidence differs for it.

That nothing is opened is the kernel's word (inotify), not ours.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.app import Agent
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Silent
from center.app import Center
from evidence.rows.line import Token, parse_line
from tests.builders.world import World, read_back

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="inotify")
NIGHT = timedelta(days=1)


@contextmanager
def watching_opens(folder: Path) -> Iterator[set[str]]:
    """Give the set of the files below `folder` that anybody opens meanwhile; it is complete when the context is left."""
    from watchdog.events import FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    opened: set[str] = set()
    is_over = threading.Event()
    last = folder / "last"

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            path = os.fsdecode(event.src_path)
            if path == str(last):
                is_over.set()
            elif isinstance(event, FileOpenedEvent):
                opened.add(os.path.relpath(path, folder))

    observer = Observer()
    observer.schedule(Handler(), str(folder), recursive=True)
    observer.start()
    try:
        yield opened
        # Events come in their order: when this one is there, all before it are.
        last.write_bytes(b"x")
        assert is_over.wait(60)
    finally:
        observer.stop()
        observer.join()
        last.unlink(missing_ok=True)


class Scans:
    def __init__(self, world: World, center: Center, path: Path) -> None:
        self.world, self.center, self.path = world, center, path
        self.folder = world.agent_folder("X013")
        self.now = datetime.now(UTC) + timedelta(hours=1)

    def open(self) -> Agent:
        return Agent.open(self.folder, lambda: self.now)

    def take(self) -> tuple[Outcome, set[str]]:
        """Take a snapshot a night later; give it and which files were opened for it."""
        self.now += NIGHT
        with watching_opens(self.path) as opened, self.open() as agent:
            outcome = agent.snapshot("scans", Silent())
        assert outcome.stage is Stage.STORED, outcome.trouble
        return outcome, opened

    def contents(self, sequence: int) -> dict[str, bytes]:
        """Give every file as the center has it."""
        snapshot = self.center.open_snapshot("X013", "scans", sequence)
        table = snapshot.table("@files")
        found: dict[str, bytes] = {}
        for line in snapshot.lines(table):
            path, *_, content = parse_line(line, table.schema)
            if isinstance(content, Token):
                assert isinstance(path, bytes)
                found[path.decode()] = b"".join(snapshot.blob(content))
        return found

    def live(self) -> dict[str, bytes]:
        paths = [path for path in self.path.rglob("*") if path.is_file()]
        return {path.relative_to(self.path).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def scans(tmp_path: Path) -> Iterator[Scans]:
    path = tmp_path / "scans"
    for i in range(40):
        (path / f"患者{i % 4}").mkdir(parents=True, exist_ok=True)
        (path / f"患者{i % 4}" / f"{i:02}.dcm").write_bytes(bytes([i]) * (10_000 * i))
    with World.make(tmp_path) as world, world.serving() as center:
        world.add_agent(center, "X013", f"  - {{name: scans, kind: files, path: {path}}}\n")
        yield Scans(world, center, path)


def test_second_night_opens_what_changed_alone_and_its_root_is_that_of_a_full_reading(scans: Scans) -> None:
    first, opened = scans.take()
    assert len(opened) == 40
    (scans.path / "患者1" / "05.dcm").write_bytes(b"altered")
    (scans.path / "患者0" / "new.dcm").write_bytes(b"new")
    (scans.path / "患者2" / "06.dcm").unlink()
    second, opened = scans.take()
    assert opened == {"患者1/05.dcm", "患者0/new.dcm"}
    assert any(note.startswith("38 files were not opened") for note in second.notes)
    assert second.sent_bytes < first.sent_bytes
    with watching_opens(scans.path) as opened, scans.open() as agent:
        compared = agent.compare("scans", 2, Silent())
    assert compared.is_equal
    assert compared.live_root == second.root
    assert len(opened) == 40, "comparing reads everything"
    assert scans.contents(2) == scans.live()
    read_back(scans.center, "X013", "scans", 2)


def test_nothing_is_opened_where_nothing_changed_and_every_content_is_still_given_back(scans: Scans) -> None:
    first, _ = scans.take()
    for _ in range(3):
        again, opened = scans.take()
        assert opened == set()
        assert again.root == first.root
    assert scans.contents(4) == scans.live()


def test_lost_caches_cost_a_reading_and_no_evidence(scans: Scans) -> None:
    first, _ = scans.take()
    for path in scans.folder.glob("holdings.sqlite*"):
        path.unlink()
    again, opened = scans.take()
    assert (len(opened), again.root) == (40, first.root)
    for path in (scans.folder / "remembered").iterdir():
        path.unlink()
    again, opened = scans.take()
    assert (len(opened), again.root) == (40, first.root)
    _, opened = scans.take()
    assert opened == set()


def test_content_of_a_run_that_was_cut_before_it_was_durable_is_read_again(scans: Scans) -> None:
    class Cut(Silent):
        def advance(self, rows: int, size_bytes: int) -> None:
            raise KeyboardInterrupt

    scans.now += NIGHT
    with scans.open() as agent, pytest.raises(KeyboardInterrupt):
        agent.snapshot("scans", Cut(), send=False)
    _, opened = scans.take()
    assert opened, "what had reached no pack is read"
    assert scans.contents(1) == scans.live()


def test_reread_at_each_run_opens_every_file(scans: Scans) -> None:
    settings = scans.folder / "agent.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("kind: files", "kind: files, reread: each run"))
    for _ in range(2):
        outcome, opened = scans.take()
        assert len(opened) == 40
        assert outcome.notes == ()


def test_sparse_file_travels_as_next_to_nothing_and_comes_back_whole(scans: Scans) -> None:
    scans.take()
    with (scans.path / "image.raw").open("wb") as file:
        file.seek(96 << 20)
        file.write(b"end")
    outcome, _ = scans.take()
    assert outcome.sent_bytes < 64 << 10
    content = scans.contents(2)["image.raw"]
    assert len(content) == (96 << 20) + 3
    assert content.endswith(b"\0end")
