# SPDX-License-Identifier: Apache-2.0
"""Drop boxes: folders where bags arrive, by a gateway, SFTP or hand, and where receipts for them are put.

    FOLDER/<bag>                   a bag that waits; names that begin with a dot are not whole yet
    FOLDER/done/<day>/<bag>        taken in on that day (UTC); stays for a while
    FOLDER/refused/<bag>           refused, with <bag>.reason.txt beside it; stays until a person removes it
    RECEIPTS/receipts-….note       for the way back (`answers.py`)

A bag is taken once all that its envelope names is there in full; one that is not whole, or damaged, once nothing of it
has changed for `settle`. Order: taken in (durable), answered (durable), moved. So a kill at any moment leaves a bag that is
taken again, which is harmless. One bad bag stops neither the others nor the daemon. One process looks at the drop boxes
of a center. Clock: an argument; what has changed is judged by looking, not by the times of files, which gateways set.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from center.errors import CenterError, ForbiddenError, InboxError, RefusedError
from center.receive.answers import Answers
from center.receive.aside import open_shelf
from center.receive.bags import BagIntake, OpenedBag, TakenBag
from center.settings.inbox import InboxSettings
from evidence.bag.read import Damage, DamagedError
from evidence.disk import sync_folder
from terminal.errors import words_of
from terminal.language import NOTHING, Text

DONE: Final = "done"
REFUSED: Final = "refused"
log = logging.getLogger(__name__)
_Fingerprint: TypeAlias = tuple[tuple[str, int, int], ...]


class Fate(StrEnum):
    """What became of a bag when it was looked at."""

    TAKEN = "taken"
    REFUSED = "refused"
    WAITS = "waits"


@dataclass(frozen=True, slots=True)
class BagOutcome:
    """A bag, its fate, and why it is not simply taken. `damages`: files that were not as they should be."""

    path: Path
    fate: Fate
    reason: Text = NOTHING
    unit: str = ""
    source: str = ""
    packs: int = 0
    statements: int = 0
    damages: tuple[Damage, ...] = ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A bag that may be taken now, and where it stands among others."""

    box: "Box"
    path: Path
    order: tuple[str, str, datetime, int]


@dataclass(frozen=True, slots=True)
class Box:
    """A drop box with absolute folders."""

    folder: Path
    receipts: Path
    settle: timedelta
    keep: timedelta

    @classmethod
    def of(cls, settings: InboxSettings, folder: Path) -> "Box":
        """Make one from settings; relative paths are below the center's `folder`."""
        return cls(
            folder / settings.folder, folder / settings.receipts,
            timedelta(seconds=settings.settle), timedelta(seconds=settings.keep),
        )  # fmt: skip


@dataclass(slots=True)
class _Look:
    """What a bag looked like, since when, and what was last told of it.

    `tried`: the newest sequence of its source when it was taken in and had to wait; until that or the bag changes, or the
    bag is settled, trying again brings nothing.
    """

    fingerprint: _Fingerprint
    since: datetime
    told: Text = NOTHING
    tried: int | None = None


class Inbox:
    """All drop boxes of a center. One thread."""

    def __init__(
        self, boxes: Sequence[Box], intake: BagIntake, answers: Answers, clock: Callable[[], datetime]
    ) -> None:
        self._boxes = boxes
        self._intake = intake
        self._answers = answers
        self._clock = clock
        self._looks: dict[Path, _Look] = {}
        self._unswept: set[Path] = set()

    def scan(self, *, is_settled: bool = False, is_stopping: Callable[[], bool] = lambda: False) -> list[BagOutcome]:
        """Look at all drop boxes once, and take what can be taken; give what became of each bag.

        `is_settled`: a person says that no more will come of what is there. `is_stopping`: asked before each bag. Raises:
        nothing but for a drop box that cannot be read: InboxError, after the others were looked at.
        """
        outcomes: list[BagOutcome] = []
        waiting: list[_Waiting] = []
        trouble: InboxError | None = None
        seen: set[Path] = set()
        for box in self._boxes:
            try:
                paths = _find_bags(box)
                self._sweep(box)
            except OSError as err:
                trouble = trouble or _no_box(box, err)
                continue
            for path in paths:
                seen.add(path)
                found = self._survey(box, path)
                if isinstance(found, BagOutcome):
                    outcomes.append(found)
                else:
                    waiting.append(found)
        for each in sorted(waiting, key=lambda w: w.order):
            if is_stopping():
                break
            outcomes.append(self._guarded(each.path, partial(self._take, each, is_settled)))
        self._looks = {path: look for path, look in self._looks.items() if path in seen and path.exists()}
        if trouble is not None:
            raise trouble
        return outcomes

    def _survey(self, box: Box, path: Path) -> "_Waiting | BagOutcome":
        """Open a bag, and show the ledger what its agent had seen, before any is taken in."""
        found: list[_Waiting] = []

        def open_it() -> BagOutcome:
            bag = self._intake.open(path)
            self._intake.show(bag)
            envelope = bag.envelope
            found.append(_Waiting(box, path, (envelope.unit, envelope.source, envelope.created, envelope.volume)))
            return BagOutcome(path, Fate.WAITS)

        outcome = self._guarded(path, open_it, box)
        return found[0] if found else outcome

    def _guarded(self, path: Path, act: Callable[[], BagOutcome], box: Box | None = None) -> BagOutcome:
        """Do something with a bag; whatever is wrong with it, the center or the drop box, it is told, and others go on."""
        try:
            return self._judged(path, act, box)
        except CenterError as err:
            words = words_of(err)
            told = Text(zh=f"{words.zh}（{err.code}）", en=f"{words.en} ({err.code})")
            return self._wait(path, told, level=logging.WARNING)
        except OSError as err:
            told = Text(zh=f"{path} 不能读写或移动：{err}", en=f"{path} cannot be read, written or moved: {err}")
            return self._wait(path, told, level=logging.WARNING)
        except Exception as err:
            log.exception("a bag failed", extra={"bag": path.name})
            kind = type(err).__name__
            return BagOutcome(
                path, Fate.WAITS, Text(zh=f"程序自身出错：{kind}", en=f"an error of the program itself: {kind}")
            )

    def _judged(self, path: Path, act: Callable[[], BagOutcome], box: Box | None) -> BagOutcome:
        """Do something with a bag; move it away if it is refused. Raises: CenterError, OSError: it can be tried again."""
        try:
            return act()
        except DamagedError as err:
            if box is not None and self._is_settled(box, path):
                return self._refuse(
                    path,
                    Text(
                        zh=f"包裹 {path.name} 没有可读的封套：{err}",
                        en=f"the bag {path.name} has no envelope that can be read: {err}",
                    ),
                )
            return self._wait(path, words_of(err))
        except (RefusedError, ForbiddenError) as err:
            return self._refuse(path, refusal_of(err))

    def _take(self, waiting: _Waiting, is_settled: bool) -> BagOutcome:
        box, path = waiting.box, waiting.path
        bag = self._intake.open(path)
        absent = bag.reader.find_absent()
        is_settled = self._is_settled(box, path) or is_settled
        if absent and not is_settled:
            more = len(absent) - 1
            told = Text(
                zh=f"尚不完整：缺 {absent[0]} 等 {more + 1} 个", en=f"not whole yet: {absent[0]} and {more} more"
            )
            return self._wait(path, told)
        look, newest = self._look(path), self._intake.newest(bag)
        if look.tried == newest and not is_settled:
            return self._wait(path, look.told)
        taken = self._intake.take(bag)
        look.tried = newest
        if taken.is_early:
            return self._wait(path, _EARLY)
        if (taken.missing or taken.refused) and not is_settled:
            damage = taken.damages[-1].reason
            told = Text(zh=f"尚不完整，或已损坏：{damage}", en=f"not whole yet, or damaged: {damage}")
            return self._wait(path, told)
        self._answers.write(taken, self._intake.logged(bag), box.receipts)
        return self._settle(path, bag, taken)

    def _settle(self, path: Path, bag: OpenedBag, taken: TakenBag) -> BagOutcome:
        """Move a bag that was answered."""
        envelope = bag.envelope
        facts = {"unit": envelope.unit, "source": envelope.source, "bag": envelope.bag}
        if taken.refusal is not None:
            refusal = taken.refusal
            return self._refuse(path, words_of(f"{refusal.message} ({refusal.code}); {refusal.hint}"))
        for damage in taken.damages:
            log.warning("a file of a bag is damaged", extra={**facts, "file": damage.path, "reason": damage.reason})
        packs = len(envelope.packs) - len(taken.missing) - len(taken.refused)
        log.info("a bag is taken in", extra={**facts, "packs": packs, "statements": len(envelope.statements)})
        self._move(path, DONE)
        return BagOutcome(
            path,
            Fate.TAKEN,
            NOTHING,
            envelope.unit,
            envelope.source,
            packs,
            len(envelope.statements),
            tuple(taken.damages),
        )

    def _refuse(self, path: Path, reason: Text) -> BagOutcome:
        self._move(path, REFUSED, reason)
        log.warning("a bag is refused", extra={"bag": path.name, "reason": reason.en})
        return BagOutcome(path, Fate.REFUSED, reason)

    def _wait(self, path: Path, reason: Text, level: int = logging.INFO) -> BagOutcome:
        look = self._look(path)
        if look.told != reason:
            log.log(level, "a bag waits", extra={"bag": path.name, "reason": reason.en})
            look.told = reason
        return BagOutcome(path, Fate.WAITS, reason)

    def _is_settled(self, box: Box, path: Path) -> bool:
        """Tell whether nothing of a bag has changed for as long as is set."""
        return self._clock() - self._look(path).since >= box.settle

    def _look(self, path: Path) -> _Look:
        fingerprint = tuple(_fingerprint(path))
        look = self._looks.get(path)
        if look is None or look.fingerprint != fingerprint:
            look = self._looks[path] = _Look(fingerprint, self._clock())
        return look

    def _move(self, path: Path, to: str, reason: Text = NOTHING) -> None:
        """Move a bag below `done` or `refused`; a `reason` is written beside it. Raises: OSError.

        Its own times are the sender's, and may not be ours to set: the day is a folder's name.
        """
        parts = [to, self._clock().date().isoformat()] if to == DONE else [to]
        with open_shelf(path.parent, parts, make=True) as (shelf, box):
            name = shelf.take_in(path, box)
            if reason != NOTHING:
                text = f"{reason.en}\n" if reason.zh == reason.en else f"{reason.zh}\n{reason.en}\n"
                shelf.write(f"{name}.reason.txt", text.encode(errors="backslashreplace"))
        sync_folder(path.parent)
        self._looks.pop(path, None)

    def _sweep(self, box: Box) -> None:
        """Remove bags that were taken in long ago. What stands in the way is told once, and keeps no bag waiting."""
        until = self._clock() - box.keep
        try:
            with open_shelf(box.folder, [DONE]) as (shelf, _):
                for name in shelf.folders():
                    with suppress(ValueError):
                        day = datetime.combine(date.fromisoformat(name), time(), UTC)
                        if day + timedelta(days=1) <= until:
                            shelf.clear(name)
        except FileNotFoundError:
            return
        except OSError as err:
            if box.folder not in self._unswept:
                self._unswept.add(box.folder)
                reason = err.strerror or str(err)
                log.warning("what was taken in is not cleared away", extra={"box": box.folder, "reason": reason})


class InboxPoller:
    """Look at the drop boxes every so often, in a thread, until `stop`."""

    def __init__(self, inbox: Inbox, poll_s: float) -> None:
        self._inbox = inbox
        self._poll_s = poll_s
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        """Begin; the first look is at once."""
        self._thread.start()

    def stop(self) -> None:
        """Let the bag that is being taken in be finished, and end."""
        self._is_stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._inbox.scan(is_stopping=self._is_stopping.is_set)
            except Exception:
                log.exception("the drop boxes could not be looked at")
            if self._is_stopping.wait(self._poll_s):
                return


def _find_bags(box: Box) -> list[Path]:
    """Give the folders that may be bags, by name. Raises: OSError."""
    with os.scandir(box.folder) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and entry.name not in (DONE, REFUSED) and entry.name[0] != "."
        )


def _fingerprint(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Give what tells whether anything of a bag has changed. What vanishes meanwhile has changed."""
    for base, _, names in os.walk(folder):
        for name in sorted(names):
            with suppress(OSError):
                path = Path(base) / name
                status = path.stat(follow_symlinks=False)
                yield str(path), status.st_size, status.st_mtime_ns


def _no_box(box: Box, err: OSError) -> InboxError:
    return InboxError(
        Text(
            zh=f"收发目录 {box.folder} 读不了：{err.strerror or err}",
            en=f"the drop box {box.folder} cannot be read: {err.strerror or err}",
        ),
        hint=Text(
            zh="检查其权限，或 center.yaml 中的 `inboxes`", en="look at its rights, or at `inboxes` in center.yaml"
        ),
    )


def refusal_of(err: CenterError) -> Text:
    """Give why something is refused, its code, and what to do, as one line."""
    words, remedy = words_of(err), err.remedy
    todo = words_of(remedy)
    return Text(zh=f"{words.zh}（{err.code}）；{todo.zh}", en=f"{words.en} ({err.code}); {todo.en}")


_EARLY = Text(zh="它的声明接在别的声明之后，那些还没有到", en="its statements continue others, which have not come yet")
