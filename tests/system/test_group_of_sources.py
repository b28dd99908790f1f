# SPDX-License-Identifier: Apache-2.0
"""Sources of one moment: a transfer between two databases is in both snapshots of a group, or in neither."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.app import Agent
from agent.collectors.base import Collector, Finding, Table, View
from agent.errors import BudgetError, BusyError, LoginError, PausedError, PinError
from agent.lock import RunLock
from agent.outcome import Outcome, Stage
from agent.pausing import Pause, PauseFile
from agent.settings.sources import AnySource
from agent.snapshot.group import take_group
from agent.snapshot.progress import Progress, Silent, unpaced
from agent.sources import SourceMaker
from center.app import Center
from evidence.manifest.group import GroupLack, GroupView, parse_group_note
from evidence.manifest.statement import Consistency
from terminal.language import Text
from tests.builders.commands import wait_until
from tests.builders.world import World, check_chain, run_sql, sqlite_source

NAMES = ("his", "lis", "pacs")


@contextmanager
def silent(_source: str) -> Iterator[Progress]:
    yield Silent()


def _make(path: Path, money: int) -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, money INTEGER NOT NULL) STRICT")
        db.execute("INSERT INTO account VALUES (1, ?)", (money,))
    return path


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[tuple[World, Center]]:
    with World.make(tmp_path) as world, world.serving() as center, ExitStack() as applications:
        paths = [_make(tmp_path / f"{name}.db", 100) for name in NAMES]
        sources = "".join(sqlite_source(name, path) for name, path in zip(NAMES, paths, strict=True))
        world.add_agent(center, "X013", sources + "groups:\n  - {name: nightly, sources: [his, lis, pacs]}\n")
        for path in paths:
            # Live: somebody works with each of them.
            db = applications.enter_context(closing(sqlite3.connect(path)))
            db.execute("SELECT money FROM account").fetchall()
        yield world, center


def _money(center: Center, source: str, sequence: int) -> int:
    snapshot = center.open_snapshot("X013", source, sequence)
    (line,) = snapshot.lines(snapshot.table("account"))
    return int(line.split(b"\t")[1])


def _notes(center: Center, source: str, sequence: int = 1) -> list[GroupView | GroupLack]:
    notes = center.open_snapshot("X013", source, sequence).manifest.notes
    return [found for note in notes if (found := parse_group_note(note)) is not None]


class _Moving:
    """A collector of an open agent that moves money from one database to another when its view is left."""

    def __init__(self, collector: Collector, move: Callable[[], None]) -> None:
        self._collector = collector
        self._move = move

    @contextmanager
    def open_view(self) -> Iterator[View]:
        with self._collector.open_view() as view:
            yield view
        self._move()

    def check(self) -> Sequence[Finding]:
        return self._collector.check()

    def grants(self) -> Text:
        return self._collector.grants()


class _MovingSources(SourceMaker):
    move: Callable[[], None] = staticmethod(lambda: None)

    def collector(self, source: AnySource) -> Collector:
        return _Moving(super().collector(source), self.move)


def test_money_moved_while_the_first_source_is_read_is_in_none_of_the_groups_snapshots(
    hospital: tuple[World, Center], tmp_path: Path
) -> None:
    world, center = hospital
    moved: list[int] = []

    def move() -> None:
        # Committed between the reading of one source and the next: whoever opened the views one by one would see half.
        moved.append(1)
        run_sql(tmp_path / "his.db", "UPDATE account SET money = money - 7")
        run_sql(tmp_path / "pacs.db", "UPDATE account SET money = money + 7")

    _MovingSources.move = staticmethod(move)
    with Agent.open(world.agent_folder("X013"), make_sources=_MovingSources) as agent:
        ends = agent.snapshot_group("nightly", silent)
        outcomes = [end.end for end in ends]
        assert [end.source for end in ends] == list(NAMES)
        assert all(isinstance(o, Outcome) and o.stage is Stage.STORED for o in outcomes), outcomes
        assert len(moved) == 3
        assert [_money(center, name, 1) for name in NAMES] == [100, 100, 100]
        agent.snapshot_group("nightly", silent)
    assert [_money(center, name, 2) for name in NAMES] == [79, 100, 121]
    assert [check_chain(center, "X013", name) for name in NAMES] == [["snapshot"] * 2] * 3


def test_manifests_of_a_group_carry_one_id_their_places_and_the_spread(hospital: tuple[World, Center]) -> None:
    world, center = hospital
    with Agent.open(world.agent_folder("X013")) as agent:
        agent.snapshot_group("nightly", silent)
        agent.snapshot_group("nightly", silent)
    notes = [note for name in NAMES for note in _notes(center, name)]
    assert all(isinstance(note, GroupView) for note in notes)
    views = [note for note in notes if isinstance(note, GroupView)]
    assert [(view.place, view.members) for view in views] == [(1, 3), (2, 3), (3, 3)]
    assert len({(view.group, view.spread) for view in views}) == 1
    span = max(v.opened for v in views) - min(v.opening for v in views)
    assert timedelta(0) <= span <= views[0].spread < timedelta(seconds=30)
    for name, view in zip(NAMES, views, strict=True):
        statement = center.open_snapshot("X013", name, 1).statement
        assert statement.began == view.opening, "a statement's span holds the moment of its state"
    (again,) = _notes(center, "his", 2)
    assert again.group != views[0].group


def test_member_that_cannot_be_opened_loses_no_other_and_stands_in_their_notes(
    hospital: tuple[World, Center], tmp_path: Path
) -> None:
    world, center = hospital
    (tmp_path / "lis.db").rename(tmp_path / "away.db")
    with Agent.open(world.agent_folder("X013")) as agent:
        his, lis, pacs = agent.snapshot_group("nightly", silent)
        assert isinstance(his.end, Outcome)
        assert isinstance(pacs.end, Outcome)
        assert not isinstance(lis.end, Outcome)
        code = lis.end.code
        for name in ("his", "pacs"):
            view, lack = _notes(center, name)
            assert isinstance(view, GroupView)
            assert view.members == 3
            assert lack == GroupLack(view.group, "lis", code)
        (tmp_path / "away.db").rename(tmp_path / "lis.db")
        assert all(isinstance(end.end, Outcome) for end in agent.snapshot_group("nightly", silent))
    assert len(_notes(center, "his", 2)) == 1
    assert check_chain(center, "X013", "lis") == ["snapshot"]


class _Failing(_Moving):
    """A collector whose view is over its budget as soon as it is asked for its tables."""

    @contextmanager
    def open_view(self) -> Iterator[View]:
        with self._collector.open_view() as view:
            view.tables = self._move  # type: ignore[method-assign,assignment]
            yield view


class _FailingSources(SourceMaker):
    def collector(self, source: AnySource) -> Collector:
        def fail() -> None:
            raise BudgetError("too old", hint="read at a quieter hour")

        found = super().collector(source)
        return _Failing(found, fail) if source.name == "lis" else found


def test_member_that_fails_while_it_is_read_stands_in_the_notes_of_those_read_later(
    hospital: tuple[World, Center],
) -> None:
    world, center = hospital
    with Agent.open(world.agent_folder("X013"), make_sources=_FailingSources) as agent:
        ends = {end.source: end.end for end in agent.snapshot_group("nightly", silent)}
    assert isinstance(ends["his"], Outcome)
    assert isinstance(ends["pacs"], Outcome)
    assert isinstance(ends["lis"], BudgetError)
    assert [type(note) for note in _notes(center, "his")] == [GroupView], "it was signed before"
    assert [type(note) for note in _notes(center, "pacs")] == [GroupView, GroupLack]


class _Checkpointing(_Moving):
    """A collector whose view gives its tables only when the application can write all of its log back."""

    @contextmanager
    def open_view(self) -> Iterator[View]:
        with self._collector.open_view() as view:
            tables = view.tables

            def wait() -> Sequence[Table]:
                self._move()
                return tables()

            view.tables = wait  # type: ignore[method-assign]
            yield view


class _CheckpointingSources(SourceMaker):
    """The first of the group is read only when the second's log is free."""

    lis: Path

    def collector(self, source: AnySource) -> Collector:
        found = super().collector(source)
        return _Checkpointing(found, self._write_back) if source.name == "his" else found

    def _write_back(self) -> None:
        with closing(sqlite3.connect(self.lis)) as db, db:
            db.execute("UPDATE account SET money = money + 1")
        assert wait_until(self._is_written_back), "a view that is over its age keeps the log from being written back"

    def _is_written_back(self) -> bool:
        with closing(sqlite3.connect(self.lis)) as db:
            (is_busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not is_busy


@pytest.mark.parametrize("splits", [False, True])
def test_view_that_grows_too_old_before_its_turn_is_closed_then_and_not_at_its_turn(
    hospital: tuple[World, Center], tmp_path: Path, splits: bool
) -> None:
    world, center = hospital
    folder = world.agent_folder("X013")
    _add_settings(folder, "lis", f"snapshot_age_limit: 3s, split: {str(splits).lower()}")
    _CheckpointingSources.lis = tmp_path / "lis.db"
    with Agent.open(folder, make_sources=_CheckpointingSources) as agent:
        ends = {end.source: end.end for end in agent.snapshot_group("nightly", silent)}
    assert isinstance(ends["his"], Outcome), ends["his"]
    assert isinstance(ends["pacs"], Outcome)
    if not splits:
        assert isinstance(ends["lis"], BudgetError)
        assert [type(note) for note in _notes(center, "pacs")] == [GroupView, GroupLack]
        return
    assert isinstance(ends["lis"], Outcome), ends["lis"]
    assert _money(center, "lis", 1) > 100, "it is the state of the view that was opened when its turn came"
    manifest = center.open_snapshot("X013", "lis", 1).manifest
    assert manifest.consistency is Consistency.PER_TABLE
    assert [note for note in manifest.notes if note.startswith("split: the view was over its limit, and all tables")]


class _WritingSources(SourceMaker):
    """When a folder has been read, its application writes, and writes its log back into the database."""

    folder: Path

    def collector(self, source: AnySource) -> Collector:
        found = super().collector(source)
        return _Moving(found, self._write) if source.kind == "files" else found

    def _write(self) -> None:
        # A process of its own: within one, SQLite knows of its locks without asking the system.
        code = (
            "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "db.execute('UPDATE page SET body = upper(body)'); db.execute('PRAGMA wal_checkpoint(TRUNCATE)')"
        )
        subprocess.run([sys.executable, "-c", code, str(self.folder / "his.db")], check=True, timeout=60)


def test_folder_of_a_group_that_holds_its_database_does_not_take_its_locks_away(
    hospital: tuple[World, Center], tmp_path: Path
) -> None:
    # Whoever closes a file loses all locks that his process has on it (POSIX), those of SQLite under an open view too.
    world, center = hospital
    folder = tmp_path / "application"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "his.db")) as live:
        live.execute("PRAGMA journal_mode=WAL")
        live.execute("CREATE TABLE page (id INTEGER PRIMARY KEY, body TEXT)")
        # More than a connection keeps in memory.
        live.executemany("INSERT INTO page VALUES (?, ?)", ((i, "x" * 3_000) for i in range(3_000)))
        live.commit()
        sources = f"  - {{name: tree, kind: files, path: {folder}}}\n" + sqlite_source("his", folder / "his.db")
        world.add_agent(center, "X014", sources + "groups:\n  - {name: both, sources: [tree, his]}\n")
        _WritingSources.folder = folder
        with Agent.open(world.agent_folder("X014"), make_sources=_WritingSources) as agent:
            tree, his = agent.snapshot_group("both", silent)
        assert isinstance(tree.end, Outcome), tree.end
        assert isinstance(his.end, Outcome), his.end
        snapshot = center.open_snapshot("X014", "his", 1)
        assert {line[-3_000:] for line in snapshot.lines(snapshot.table("page"))} == {b"x" * 3_000}


def test_member_that_another_run_holds_is_busy_and_the_others_are_taken(hospital: tuple[World, Center]) -> None:
    world, _ = hospital
    folder = world.agent_folder("X013")
    with RunLock(folder / "locks" / "pacs", "pacs"), Agent.open(folder) as agent:
        ends = {end.source: end.end for end in agent.snapshot_group("nightly", silent)}
    assert isinstance(ends["pacs"], BusyError)
    assert isinstance(ends["his"], Outcome)


class _Refusing:
    """A member's run that meets somebody who is not our center."""

    def settle(self) -> None:
        raise PinError("another key", hint="call the archives")


class _View:
    def __init__(self, name: str, log: list[str], error: Exception | None = None) -> None:
        self.name, self.log, self.error = name, log, error

    @contextmanager
    def open_view(self) -> Iterator["_View"]:
        if self.error is not None:
            raise self.error
        self.log.append(f"open {self.name}")
        try:
            yield self
        finally:
            self.log.append(f"close {self.name}")


class _Settled:
    def __init__(self, log: list[str], error: Exception | None = None) -> None:
        self.log, self.error = log, error

    def settle(self) -> None:
        pass

    def take(self, collector: Collector, *_: object, **__: object) -> str:
        with collector.open_view():
            if self.error is not None:
                raise self.error
        return "taken"


class _Unhurried:
    """A supervised run that never waits."""

    class throttle:
        read = staticmethod(unpaced)
        attend: Callable[[], None] | None = None
        may_stretch = True

    def wait(self) -> None:
        pass

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()


_UNHURRIED = _Unhurried()


def _take(
    members: list[tuple[str, object, object]], run: _Unhurried = _UNHURRIED, **runs: _Unhurried
) -> dict[str, object]:
    """Take a group of such members, supervised by `run`, or by those of `runs` that have their names."""
    from agent.snapshot.group import Member

    made = [Member(name, source, view, runs.get(name, run)) for name, source, view in members]  # type: ignore[arg-type]  # as much as is asked
    clock = iter(datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=i) for i in range(1_000))
    return dict(take_group("g", [m.source for m in made], made, {}, lambda: next(clock), silent, send=False))


@pytest.mark.parametrize("error", [PinError("x", hint="y"), RuntimeError("x"), KeyboardInterrupt()])
def test_every_view_is_closed_when_a_group_is_broken_off(error: BaseException) -> None:
    log: list[str] = []
    members = [(n, _Settled(log, error if n == "b" else None), _View(n, log)) for n in "abc"]  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        _take(members)  # type: ignore[arg-type]
    assert sorted(log[:3]) == ["open a", "open b", "open c"], "all are open before the first is read"
    assert sorted(log[3:]) == ["close a", "close b", "close c"]


def test_views_are_closed_if_opening_another_ends_in_what_no_member_may_raise() -> None:
    log: list[str] = []
    with pytest.raises(ZeroDivisionError):
        _take([("a", _Settled(log), _View("a", log)), ("b", _Settled(log), _View("b", log, ZeroDivisionError()))])
    assert log == ["open a", "close a"]


def test_another_center_in_ours_place_ends_the_group_before_any_view_is_open() -> None:
    log: list[str] = []
    with pytest.raises(PinError):
        _take([("a", _Settled(log), _View("a", log)), ("b", _Refusing(), _View("b", log))])
    assert log == []


def test_group_of_which_nothing_can_be_opened_gives_each_ones_reason() -> None:
    log: list[str] = []
    errors = [LoginError(name, hint="x") for name in "ab"]
    ends = _take([(n, _Settled(log), _View(n, log, e)) for n, e in zip("ab", errors, strict=True)])
    assert list(ends.values()) == errors


def _add_settings(folder: Path, source: str, settings: str) -> None:
    path = folder / "agent.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(f"name: {source},") == 1
    path.write_text(text.replace(f"name: {source},", f"name: {source}, {settings},"), encoding="utf-8")


def test_each_member_keeps_to_its_own_quiet_hours_and_has_a_load_report(hospital: tuple[World, Center]) -> None:
    world, center = hospital
    folder = world.agent_folder("X013")
    at = datetime.now().astimezone()
    hours = f"{at - timedelta(hours=2):%H:%M}-{at + timedelta(hours=2):%H:%M}"
    _add_settings(folder, "lis", f'throttle: {{quiet_hours: "{hours}"}}')
    with Agent.open(folder) as agent:
        his, lis, pacs = agent.snapshot_group("nightly", silent)
        assert isinstance(his.end, Outcome)
        assert isinstance(lis.end, PausedError)
        assert isinstance(pacs.end, Outcome)
        assert [type(note) for note in _notes(center, "pacs")] == [GroupView, GroupLack]
        assert [(load.source, load.outcome, load.sequence) for load in agent.loads(None)] == [
            ("his", "stored", 1),
            ("pacs", "stored", 1),
        ]
        ends = agent.snapshot_group("nightly", silent, force=True)
        assert all(isinstance(end.end, Outcome) for end in ends)
        assert [load.outcome for load in agent.loads("lis")] == ["stored"]
        assert all(load.read_bytes > 0 and load.transaction_s > 0 for load in agent.loads(None))


def test_paused_agent_opens_no_view_of_a_group(hospital: tuple[World, Center]) -> None:
    world, _ = hospital
    folder = world.agent_folder("X013")
    PauseFile(folder).set(Pause(datetime.now(UTC), None))
    with Agent.open(folder) as agent:
        ends = agent.snapshot_group("nightly", silent)
        assert all(isinstance(end.end, PausedError) for end in ends)
        assert agent.loads(None) == []
        assert all(isinstance(end.end, Outcome) for end in agent.snapshot_group("nightly", silent, force=True))


def test_member_that_ends_while_it_is_read_says_so_in_its_load_report(hospital: tuple[World, Center]) -> None:
    world, _ = hospital
    with Agent.open(world.agent_folder("X013"), make_sources=_FailingSources) as agent:
        agent.snapshot_group("nightly", silent)
        assert [load.outcome for load in agent.loads(None)] == ["stored", BudgetError.code, "stored"]


def test_nobodys_view_stands_open_while_another_waits_for_a_calm_machine() -> None:
    log: list[str] = []

    class Waiting(_Unhurried):
        def wait(self) -> None:
            log.append("wait")

    _take([(n, _Settled(log), _View(n, log)) for n in "abc"], Waiting())
    assert log[:3] == ["wait"] * 3
    assert sorted(log[3:6]) == ["open a", "open b", "open c"]


def test_a_source_whose_application_cannot_write_meanwhile_is_read_first_and_what_holds_nothing_last() -> None:
    log: list[str] = []

    class Attended(_Unhurried):
        class throttle(_Unhurried.throttle):
            attend = staticmethod(lambda: None)

    class Blocking(_Unhurried):
        class throttle(Attended.throttle):
            may_stretch = False

    ends = _take([(n, _Settled(log), _View(n, log)) for n in "abcd"], b=Attended(), c=Blocking(), d=Attended())
    assert log[4:] == ["close c", "close b", "close d", "close a"]
    assert list(ends) == ["a", "b", "c", "d"]
