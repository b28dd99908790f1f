# SPDX-License-Identifier: Apache-2.0
"""A center and an agent with no line between them: a drop box, and a gateway that a test moves by hand.

The agent puts bags into its outbox; `carry` takes them to the folder that the center looks at, and `carry_back` the
receipts. What a gateway may lose, swap, damage or bring twice, a test does in between. Center and agent are the real
ones, enrolled without a line; the clock is the test's.
"""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from agent.acts.outcomes import make_outcome
from agent.app import Agent
from agent.identity import Identity
from agent.offline import accept_enrolment, request_enrolment
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Silent
from center.app import Center
from center.receive.inbox import BagOutcome, Fate, Inbox
from evidence.bag.layout import ENVELOPE_PATH
from evidence.bag.read import BagReader
from tests.builders.receivers import NOW, MovableClock
from tests.builders.world import CENTER_COMMAND, ROOT, check_kept, make_hospital, sqlite_source
from tests.servers.ports import free_port

ORIGIN = "archives.example/drops"
SETTLE = timedelta(minutes=10)
VISITS = 300

Opened = tuple[Center, Inbox]
"""A center that is open, and its drop boxes."""


@dataclass
class Drop:
    """A world without a line. `road`: the YAML of the agent's road; `outbox`, `inbox`: its two folders as they lie on disk."""

    folder: Path
    road: str
    outbox: Path
    inbox: Path
    unit: str = "X013"
    source: str = "his"
    clock: MovableClock = field(default_factory=lambda: MovableClock(NOW))

    @classmethod
    def in_folders(cls, folder: Path) -> "Drop":
        """Make one whose drop box is two folders."""
        outbox, inbox = folder / "outbox", folder / "inbox"
        for each in (outbox, inbox):
            each.mkdir()
        return cls(folder, f"{{kind: folder, folder: {{outbox: {outbox}, inbox: {inbox}}}}}", outbox, inbox)

    @property
    def arrivals(self) -> Path:
        """Where bags arrive at the center."""
        return self.folder / "arrivals"

    @property
    def departures(self) -> Path:
        """Where the center puts receipts."""
        return self.folder / "departures"

    @property
    def agent_folder(self) -> Path:
        return self.folder / f"agent-{self.unit}"

    def make_center(self) -> None:
        """Make the center, with one drop box."""
        Center.create(self.folder / "center", ORIGIN, f"127.0.0.1:{free_port()}", self.clock)
        for each in (self.arrivals, self.departures):
            each.mkdir()
        path = self.folder / "center" / "center.yaml"
        box = f"  boxes: [{{folder: {self.arrivals}, receipts: {self.departures}}}]"
        path.write_text(path.read_text(encoding="utf-8").replace("  boxes: []", box), encoding="utf-8")

    @contextmanager
    def center(self) -> Iterator[Opened]:
        """Open the center and its drop boxes."""
        with Center.open(self.folder / "center", self.clock) as center:
            yield center, center.inbox()

    def enroll(self, center: Center, database: Path, road: str | None = None) -> None:
        """Enrol an agent by files, with one SQLite source."""
        folder = self.agent_folder
        folder.mkdir()
        settings = (
            f"spool: {{min_free: 0 MiB}}\nroad: {road or self.road}\nsources:\n{sqlite_source(self.source, database)}"
        )
        (folder / "agent.yaml").write_text(settings, encoding="utf-8")
        enroll_by_files(center, folder, self.unit)

    @contextmanager
    def agent(self) -> Iterator[Agent]:
        """Open the agent."""
        with Agent.open(self.agent_folder, self.clock) as agent:
            yield agent

    def snapshot(self, *, send: bool = True) -> Outcome:
        """Take a snapshot a minute later; with `send`, it is put into the outbox."""
        self.clock.now += timedelta(minutes=1)
        with self.agent() as agent:
            outcome = agent.snapshot(self.source, Silent(), send=send)
        assert outcome.trouble is None, outcome.trouble
        return outcome

    def send(self) -> list[Outcome]:
        """Read what came and put what waits, a minute later."""
        self.clock.now += timedelta(minutes=1)
        with self.agent() as agent:
            return agent.send(Silent())

    def stages(self) -> list[Stage]:
        """Give how far each statement of the agent has come, in order."""
        with self.agent() as agent:
            return [make_outcome(entry, agent.folder).stage for entry in agent.journal.all_of(self.source)]

    def bags(self) -> list[Path]:
        """Give the bags in the outbox, in the order in which they were made."""
        found = [path for path in self.outbox.iterdir() if (path / ENVELOPE_PATH).exists() and path.name[0] != "."]
        envelopes = {path: BagReader(path).envelope for path in found}
        return sorted(found, key=lambda path: (envelopes[path].created, envelopes[path].volume))

    def carry(self, bags: Sequence[Path] | None = None) -> list[Path]:
        """Move bags to where the center looks; give where they are."""
        return [Path(shutil.move(path, self.arrivals / path.name)) for path in (self.bags() if bags is None else bags)]

    def carry_back(self) -> list[Path]:
        """Move receipts to where the agent looks; give where they are."""
        return [Path(shutil.move(path, self.inbox / path.name)) for path in sorted(self.departures.glob("receipts-*"))]

    def exchange(self, inbox: Inbox) -> list[BagOutcome]:
        """Carry everything there and back once, and let both sides look."""
        self.carry()
        outcomes = inbox.scan()
        self.carry_back()
        self.send()
        return outcomes


@pytest.fixture
def drop_box(tmp_path: Path) -> Drop:
    """Give a drop box of two folders, and its center; nobody is enrolled."""
    box = Drop.in_folders(tmp_path)
    box.make_center()
    return box


@pytest.fixture
def drop(drop_box: Drop, request: pytest.FixtureRequest) -> Drop:
    """Give a drop box whose agent is enrolled, with a hospital of 300 visits or of the module's `VISITS`."""
    visits: int = getattr(request.module, "VISITS", VISITS)
    with drop_box.center() as (center, _):
        drop_box.enroll(center, make_hospital(drop_box.folder / "his.db", visits))
    return drop_box


@pytest.fixture
def center(drop: Drop) -> Iterator[Opened]:
    """Give the center of `drop`, open."""
    with drop.center() as opened:
        yield opened


@pytest.fixture
def first_bag(drop: Drop, center: Opened) -> None:
    """Let the agent of `drop` take a snapshot: a bag lies in its outbox."""
    drop.snapshot()


@dataclass
class SlowGateway:
    """A gateway that takes `days` each way; a `night` is one in which both sides look."""

    drop: Drop
    days: int
    _there: list[list[Path]] = field(default_factory=list)
    _back: list[list[Path]] = field(default_factory=list)

    def night(self, inbox: Inbox, *, take: bool = True) -> list[Path]:
        """Let a day pass: a snapshot, what was put so many days ago arrives; give the bags that were put."""
        self.drop.clock.now += timedelta(days=1)
        if take:
            self.drop.snapshot()
        else:
            self.drop.send()
        put = self._hold(self.drop.bags())
        self._there.append(put)
        if len(self._there) > self.days:
            self.drop.carry(self._there.pop(0))
        inbox.scan()
        self._back.append(self._hold(sorted(self.drop.departures.glob("receipts-*"))))
        if len(self._back) > self.days:
            for path in self._back.pop(0):
                shutil.move(path, self.drop.inbox / path.name)
        self.drop.send()
        return put

    def _hold(self, paths: Sequence[Path]) -> list[Path]:
        road = self.drop.folder / "gateway"
        road.mkdir(exist_ok=True)
        return [Path(shutil.move(path, road / path.name)) for path in paths]


def lose_packs(drop: Drop) -> None:
    """Lose all packs at the center, as a store does that is put back from an older copy, and make the catalog anew."""
    lost = list((drop.folder / "center" / "store" / "packs" / drop.unit / drop.source).rglob("*.pack"))
    assert lost
    for path in lost:
        path.unlink()
    (drop.folder / "center" / "catalog.sqlite").unlink()
    command = [*CENTER_COMMAND, "-C", str(drop.folder / "center"), "rebuild"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr


def enroll_by_files(center: Center, folder: Path, unit: str) -> Identity:
    """Enrol an agent in `folder` by a request and an answer, as where no line leads to the center."""
    code = center.units.add(unit, f"单位 {unit}").encode()
    _, answer = center.enroll_by_file(request_enrolment(folder, code))
    return accept_enrolment(folder, code, answer, lambda _known: None)[0]


def fates(outcomes: Sequence[BagOutcome]) -> list[Fate]:
    """Give what became of bags."""
    return [outcome.fate for outcome in outcomes]


def flip(path: Path, at: float = 0.5) -> None:
    """Flip a bit of a file, in the middle unless told otherwise."""
    raw = bytearray(path.read_bytes())
    raw[min(int(len(raw) * at), len(raw) - 1)] ^= 4
    path.write_bytes(raw)


def packs_of(bag: Path) -> list[Path]:
    """Give the sealed packs in a bag, in the order of its envelope."""
    return [bag / "data" / "packs" / f"{pack.sealed}.pack" for pack in BagReader(bag).envelope.packs]


def check_stored(drop: Drop, center: Center, count: int) -> None:
    """Check that the center holds `count` snapshots to the last row, and the agent their receipts."""
    kept = check_kept(center, drop.agent_folder, drop.unit, drop.source)
    assert [entry.level for entry in kept] == ["stored"] * count, kept
