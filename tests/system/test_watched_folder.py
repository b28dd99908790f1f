# SPDX-License-Identifier: Apache-2.0
"""An export folder at an agency: what settles in it is at the center without anybody's doing. Real processes and events."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from agent.app import Agent
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from center.app import Center
from terminal.errors import UsageError
from tests.builders.commands import wait_until
from tests.builders.world import World, agent_process, check_chain, check_kept, make_hospital

UNIT = "X013"
SETTLE_S = 2
WATCH = f"watch: {{settle: {SETTLE_S} s, most_wait: 600 s, poll: 3600 s}}"


@contextmanager
def _watching(folder: Path, *sources: str) -> Iterator[list[str]]:
    """Run the daemon; it must end well when told. Gives a list that has its log in the end."""
    daemon = agent_process(folder, "watch", *sources)
    said: list[str] = []
    try:
        yield said
        daemon.send_signal(signal.SIGTERM)
    except BaseException:
        daemon.kill()
        raise
    finally:
        said += daemon.communicate(timeout=60)[0].decode().splitlines()
    assert daemon.returncode == 0, said


def _paths(center: Center, sequence: int | None = None) -> list[bytes]:
    snapshot = center.open_snapshot(UNIT, "exports", sequence)
    (table,) = snapshot.tables()
    return [line.split(b"\t")[0] for line in snapshot.lines(table)]


def _stored(center: Center, source: str = "exports") -> int:
    center.replay.catch_up()
    latest = center.catalog.latest(UNIT, source)
    return 0 if latest is None else latest.sequence


def _write_bit_by_bit(path: Path, center: Center) -> bool:
    """Write a file as an application does: nothing is taken meanwhile.

    False if this machine has let it stand still for so long that it was rightly taken, or will be: write it again then.
    """
    before, moments = _stored(center), []
    with path.open("wb", buffering=0) as file:
        for _ in range(10):
            file.write(b"<row/>")
            moments.append(time.monotonic())
            time.sleep(0.2)
    after = _stored(center)
    if max(b - a for a, b in pairwise([*moments, time.monotonic()])) >= SETTLE_S:
        assert wait_until(lambda: _stored(center) > before)
        time.sleep(SETTLE_S + 1)
        return False
    assert after == before, "a file was taken while it was being written"
    return True


def test_what_settles_in_a_folder_is_at_the_center(tmp_path: Path) -> None:
    exports = tmp_path / "指定目录"
    exports.mkdir()
    (exports / "2026-001.xml").write_bytes(b"<record/>")
    source = f"  - {{name: exports, kind: files, path: {exports}, {WATCH}}}\n"
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, source)
        with _watching(folder) as said:
            assert wait_until(lambda: _stored(center) == 1)
            # A large export is written bit by bit, under a temporary name first, then under its own.
            with (exports / "2026-002.xml.part").open("wb", buffering=0) as file:
                file.write(b"<record>")
                time.sleep(SETTLE_S + 0.5)
                file.write(b"</record>")
            while not _write_bit_by_bit(exports / "2026-003.xml", center):
                pass
            taken = _stored(center)
            (exports / "2026-002.xml.part").rename(exports / "2026-002.xml")
            assert wait_until(lambda: _stored(center) > taken and len(_paths(center)) == 3)
            time.sleep(SETTLE_S + 1)
            taken, before = _stored(center), taken
            assert taken <= before + 2, "both at once; one after the other if this machine stood still between them"
        assert _paths(center, 1) == [b"2026-001.xml"]
        assert _paths(center) == [b"2026-001.xml", b"2026-002.xml", b"2026-003.xml"]
        assert any(line.endswith(f"watch stopped snapshots={taken}") for line in said)

        # While nobody watches, a file comes; the next start finds it, the one after finds nothing.
        (exports / "2026-004.xml").write_bytes(b"<record/>")
        with _watching(folder, "exports"):
            assert wait_until(lambda: _stored(center) == taken + 1)
        with _watching(folder, "exports"):
            time.sleep(5)
        assert _stored(center) == taken + 1
        assert check_chain(center, UNIT, "exports") == ["snapshot"] * (taken + 1)
        check_kept(center, folder, UNIT, "exports")


def test_database_is_watched_too_and_what_a_broken_line_kept_back_is_sent_later(tmp_path: Path) -> None:
    database = make_hospital(tmp_path / "his.db", visits=50)
    source = f"  - {{name: his, kind: sqlite, path: {database}, {WATCH}}}\n"
    with World.make(tmp_path / "world") as world:
        with world.serving() as center:
            folder = world.add_agent(center, UNIT, source)
            world.snapshot(UNIT)
        # The center is down: the snapshot waits in the spool, and the daemon goes on.
        with _watching(folder) as said, closing(sqlite3.connect(database, isolation_level=None)) as live:
            live.execute("INSERT INTO ward VALUES ('急诊', 12)")
            assert wait_until(lambda: _last_stage(folder) is Stage.SPOOLED)
        assert any("snapshot not sent" in line for line in said)
        with world.serving() as center:
            with _watching(folder):
                assert wait_until(lambda: _last_stage(folder) is Stage.STORED)
            assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot"]


def _last_stage(folder: Path) -> Stage | None:
    with Agent.open(folder) as agent:
        outcome = agent.last_outcome("his")
    return None if outcome is None or outcome.sequence < 2 else outcome.stage


def test_source_without_watch_cannot_be_watched(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text(
        "sources: [{name: a, kind: files, path: a}, {name: b, kind: files, path: b, watch: {}}]"
    )
    with Agent.open(tmp_path) as agent:
        assert [watch.name for watch in agent.watches([])] == ["b"]
        with pytest.raises(UsageError, match="source a is not set to be watched"):
            agent.watches(["a"])
    (tmp_path / "agent.yaml").write_text("sources: [{name: a, kind: files, path: a}]")
    with Agent.open(tmp_path) as agent, pytest.raises(UsageError, match="no source is set to be watched"):
        agent.watches([])


def test_remark_of_the_watch_is_in_the_signed_manifest(tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, UNIT, f"  - {{name: exports, kind: files, path: {exports}}}\n")
        with Agent.open(folder) as agent:
            outcome = agent.snapshot("exports", Silent(), remarks=["taken before the source stood still"])
        assert outcome.notes == ("taken before the source stood still",)
        assert center.open_snapshot(UNIT, "exports", 1).manifest.notes == outcome.notes
