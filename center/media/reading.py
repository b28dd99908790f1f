# SPDX-License-Identifier: Apache-2.0
"""Read offline media into the center: volumes in any order, again and again, until all of a set is there.

    1. copy the medium to `work` below `media`, bad sectors        4. keep its envelope (`sets.py`), drop the copy; a bag
       as zeros; where anything is damaged:                           that waits for other volumes stays in `waiting`
    2. mend the copy from PAR2                                        beside it
    3. take its bag in: packs, statements, secrets; by the         5. after each bag try those that wait again
       same intake as bags of drop boxes                           6. write receipts, and what is lacking

One bad disc stops no other. A kill at any moment leaves copies that are used again, and packs that are known. Whatever
comes by the line meanwhile is the same packs and statements; each is taken once. Source: decision 0071.
"""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from center.errors import CenterError, ForbiddenError, FullError, MediumError, RefusedError
from center.media.copying import (
    FileDamage,
    TargetError,
    check_copy,
    copy_medium,
    copy_raw,
    measure_medium,
    read_listing,
)
from center.media.repairing import RAW_NAME, repair, salvage
from center.media.sets import SetMemory, SetName, SetReport
from center.receive.answers import Answers
from center.receive.bags import BagIntake, TakenBag
from center.receive.inbox import refusal_of
from evidence.bag.envelope import MAX_ENVELOPE_BYTES
from evidence.bag.layout import ENVELOPE_PATH
from evidence.bag.read import DamagedError
from evidence.digest import sha256
from evidence.disk import make_folder, write_over
from evidence.errors import EvidenceError
from evidence.medium.files import MediumFiles, find_media, open_medium
from evidence.medium.layout import RECORDS
from evidence.medium.listing import Listing
from evidence.medium.number import MediumNumber, parse_number
from terminal.errors import words_of
from terminal.language import NOTHING, Text
from terminal.printer import format_size
from terminal.progress import SILENT, Measure, Progress

log = logging.getLogger(__name__)
OpenMedium = Callable[[Path], MediumFiles]


class Fate(StrEnum):
    """What became of a medium."""

    TAKEN = "taken"
    KNOWN = "known"
    """All of it was here."""
    WAITS = "waits"
    """It builds on another volume, which is still to come."""
    LACKING = "lacking"
    """Part of it could not be read or mended."""
    POSTPONED = "postponed"
    """There is no room for it now; what was copied is used when it is read again."""
    UNREADABLE = "unreadable"
    """Nothing of it could be used."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class MediumReport:
    """A medium that was read. `damaged` and `mended` are files; `lacking`: packs of it that could not be had.

    `refusals`: why statements on it were refused; the receipts tell the unit, too.
    """

    path: Path
    number: MediumNumber | None
    fate: Fate
    reason: Text = NOTHING
    size: int = 0
    packs: int = 0
    lacking: int = 0
    damaged: tuple[FileDamage, ...] = ()
    mended: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a run ended in: media, sets, and the files that were written for the way back."""

    media: tuple[MediumReport, ...]
    sets: tuple[SetReport, ...]
    receipts: tuple[Path, ...]
    missing: tuple[Path, ...]


@dataclass(slots=True)
class _Session:
    """What a run has touched."""

    sets: dict[SetName, None] = field(default_factory=dict)
    taken: dict[tuple[str, str], TakenBag] = field(default_factory=dict)


_WORK: Final = "work"
_WAITING: Final = "waiting"
_SETS: Final = "sets"


class MediaReader:
    """Read media into one center. One process at a time, beside the daemon or without it."""

    def __init__(
        self, folder: Path, intake: BagIntake, answers: Answers, memory: SetMemory, reserve: int,
        opened: OpenMedium = open_medium,
    ) -> None:  # fmt: skip
        """Work in `folder`, of whose disk `reserve` bytes stay free."""
        self._folder = folder
        self._intake = intake
        self._answers = answers
        self._memory = memory
        self._reserve = reserve
        self._open = opened

    def read(self, paths: Sequence[Path], out: Path, *, no_more: bool = False, progress: Progress = SILENT) -> Reading:
        """Read all media at `paths`; write receipts and what is lacking into `out`.

        `no_more`: nothing else will come of their sets, so volumes that were not read are lacking. Raises: MediumError:
        there is no medium; HeldError, StoreError, InboxError: nothing is lost, read again later.
        """
        media = [found for path in paths for found in _find(path)]
        session = _Session()
        reports: list[MediumReport] = []
        with progress.progress(Text(zh="载体", en="media"), len(media)) as bar:
            for path in media:
                try:
                    reports.append(self._read_medium(path, session, progress))
                except (FullError, MediumError) as err:
                    # The next one may be smaller, and must not wait for a disc that only claims to be large.
                    reports.append(MediumReport(path, None, Fate.POSTPONED, refusal_of(err)))
                bar.advance()
        return self._finish(session, reports, out, no_more=no_more)

    # One medium

    def _read_medium(self, path: Path, session: _Session, progress: Progress) -> MediumReport:
        try:
            with self._open(path) as medium:
                listing = read_listing(medium)
                if listing is not None:
                    session.sets[_set_of(listing)] = None
                    if self._memory.is_complete(_set_of(listing), listing.number):
                        return MediumReport(path, listing.number, Fate.KNOWN)
                root = self._folder / _WORK / _work_name(path, listing)
                damaged = self._copy(path, medium, listing, root, progress)
        except OSError as err:
            # Its folders cannot be read; its bytes may be.
            if path.is_dir():
                return MediumReport(path, None, Fate.UNREADABLE, words_of(err.strerror or err))
            return self._salvage(path, session, progress)
        mended, damaged, reason = _mend(root, listing, damaged)
        report = self._take_bags(path, root, listing, session)
        size = sum(file.size for file in listing.files) if listing else 0
        shutil.rmtree(root)
        is_open = report.reason == NOTHING and report.fate is Fate.LACKING
        why = reason if is_open else report.reason
        return replace(report, reason=why, size=size, damaged=tuple(damaged), mended=tuple(mended))

    def _salvage(self, path: Path, session: _Session, progress: Progress) -> MediumReport:
        """Take in an image whose folders are damaged, from its bytes alone."""
        root = self._folder / _WORK / _work_name(path, None)
        shutil.rmtree(root, ignore_errors=True)
        try:
            size = path.stat().st_size
            self._make_room(root, 2 * size)
            with progress.progress(path.name, size, Measure.BYTES) as bar:
                copy_raw(path, root / RAW_NAME, bar.advance)
        except OSError as err:
            return MediumReport(path, None, Fate.UNREADABLE, words_of(err.strerror or err))
        except TargetError as err:
            raise _cannot_copy(path, root, size, err) from err
        reason = salvage(root)
        if reason is not None:
            shutil.rmtree(root)
            return MediumReport(path, None, Fate.UNREADABLE, reason)
        report = self._take_bags(path, root, None, session)
        mended = tuple(found.relative_to(root).as_posix() for found in sorted(root.rglob("*")) if found.is_file())
        shutil.rmtree(root)
        return replace(report, size=size, mended=mended)

    def _make_room(self, root: Path, size: int) -> None:
        make_folder(root)
        if shutil.disk_usage(root).free < size + self._reserve:
            raise _full(root, size)

    def _copy(
        self, path: Path, medium: MediumFiles, listing: Listing | None, root: Path, progress: Progress
    ) -> list[FileDamage]:
        sizes = measure_medium(medium, listing)
        wanted = sum(sizes.values())
        self._make_room(root, wanted)
        total = sum(file.size for file in listing.files) if listing else wanted
        try:
            with progress.progress(path.name, total, Measure.BYTES) as bar:
                return copy_medium(medium, listing, sizes, root, bar.advance)
        except TargetError as err:
            raise _cannot_copy(path, root, wanted, err) from err

    # Its bags

    def _take_bags(self, path: Path, root: Path, listing: Listing | None, session: _Session) -> MediumReport:
        """Take in every bag of a copied medium: one, as our agents write them. Gives what is worst."""
        reports = [self._take_bag(path, folder, listing, session) for folder in _find_bags(root)]
        if not reports:
            return self._lose(
                path, listing, listing.number if listing else None, Text(zh="其中没有包裹", en="there is no bag on it")
            )
        return max(reports, key=lambda report: list(Fate).index(report.fate))

    def _take_bag(self, path: Path, folder: Path, listing: Listing | None, session: _Session) -> MediumReport:
        number = _number_of(folder, listing)
        try:
            bag = self._intake.open(folder)
        except DamagedError as err:
            return self._lose(path, listing, number, words_of(err))
        except (RefusedError, CenterError) as err:
            return MediumReport(path, number, Fate.REFUSED, refusal_of(err))
        envelope = bag.envelope
        if number is None or (number.volume, number.volumes) != (envelope.volume, envelope.volumes):
            reason = Text(
                zh=f"其中的包裹说它是 {envelope.volumes} 卷中的第 {envelope.volume} 卷：保留它，问该单位",
                en=f"its bag says that it is volume {envelope.volume} of {envelope.volumes}: keep it, call the unit",
            )
            return MediumReport(path, number, Fate.REFUSED, reason)
        if not SetName.of(envelope).has(number):
            reason = Text(
                zh=f"其中的包裹属于 {envelope.unit}，不属于载体 {number}：保留它，问该单位",
                en=f"its bag is of {envelope.unit}, and so none of medium {number}: keep it, call the unit",
            )
            return MediumReport(path, number, Fate.REFUSED, reason)
        session.sets[SetName.of(envelope)] = None
        taken = self._intake.take(bag)
        if taken.refusal is not None:
            return MediumReport(path, number, Fate.REFUSED, words_of(f"{taken.refusal.message} ({taken.refusal.code})"))
        self._memory.keep(number, envelope, (folder / ENVELOPE_PATH).read_bytes()[: MAX_ENVELOPE_BYTES + 1])
        session.taken[(envelope.unit, envelope.source)] = taken
        packs = len(envelope.packs) - len(taken.missing) - len(taken.refused)
        fate = Fate.LACKING if taken.missing else Fate.TAKEN
        reason = NOTHING
        if taken.refused or taken.is_early:
            self._keep_waiting(folder, envelope.set_, number)
            fate = max(fate, Fate.WAITS, key=list(Fate).index)
            reason = Text(zh="它的声明接在别的声明之后", en="its statements continue others")
            if taken.refused:
                reason = words_of(taken.refused[0][1].message)
        self._try_waiting(session)
        refusals = [f"{r.message} ({r.code})" for s in taken.statements.values() if (r := s.refusal) is not None]
        return MediumReport(
            path, number, fate, reason, packs=packs, lacking=len(taken.missing), refusals=tuple(refusals)
        )

    def _lose(self, path: Path, listing: Listing | None, number: MediumNumber | None, reason: Text) -> MediumReport:
        if listing is not None:
            self._memory.keep_lost(_set_of(listing), listing.number.as_copy("A"))
        return MediumReport(path, number, Fate.UNREADABLE, reason)

    # Bags that wait for other volumes

    def _keep_waiting(self, folder: Path, set_id: str, number: MediumNumber) -> None:
        target = self._folder / _WAITING / set_id / number.volume_name
        shutil.rmtree(target, ignore_errors=True)
        make_folder(target.parent)
        folder.rename(target)

    def _waiting(self) -> Iterator[Path]:
        yield from sorted((self._folder / _WAITING).glob("*/*"))

    def _try_waiting(self, session: _Session) -> None:
        """Take in again what waited, as long as that brings anything on."""
        is_moving = True
        while is_moving:
            is_moving = False
            for folder in self._waiting():
                try:
                    bag = self._intake.open(folder)
                    taken = self._intake.take(bag)
                except (EvidenceError, RefusedError):
                    shutil.rmtree(folder)  # the medium is read again
                    continue
                except (ForbiddenError, OSError) as err:
                    # Of a unit that is disabled now, or on a disk that fails: no matter of the others.
                    log.warning("a bag of a medium waits on", extra={"bag": folder.name, "reason": str(err)})
                    continue
                session.taken[(bag.envelope.unit, bag.envelope.source)] = taken
                if not (taken.refused or taken.is_early):
                    shutil.rmtree(folder)
                    is_moving = True

    def _pending(self, name: SetName) -> set[str]:
        """Give the packs of a set that are at hand, and wait."""
        names: set[str] = set()
        for folder in sorted((self._folder / _WAITING / name.id).glob("*")):
            try:
                bag = self._intake.open(folder)
            except (EvidenceError, CenterError, OSError):
                continue  # whatever it was good for, it is lacking now
            if SetName.of(bag.envelope) != name:
                continue
            absent = set(bag.reader.find_absent())
            names |= {pack.name for pack in bag.envelope.packs if f"data/packs/{pack.sealed}.pack" not in absent}
        return names

    # The end

    def _finish(self, session: _Session, media: list[MediumReport], out: Path, *, no_more: bool) -> Reading:
        reports: list[SetReport] = []
        missing: list[Path] = []
        for name in session.sets:
            report = self._memory.report(name, self._pending(name), no_more=no_more)
            if report is None:
                continue
            reports.append(report)
            for lacking in report.lacking:
                path = out / lacking.file_name
                write_over(path, lacking.encode())
                missing.append(path)
            self._remove_outdated(report, out)
        receipts = [self._answer(report, session, out) for report in reports if report.stored or report.waiting]
        return Reading(tuple(media), tuple(reports), tuple(dict.fromkeys(receipts)), tuple(missing))

    def _answer(self, report: SetReport, session: _Session, out: Path) -> Path:
        """Write the receipts of a source; of media that were all known before, too."""
        unit, source = report.name.unit, report.name.source
        taken = session.taken.get((unit, source))
        if taken is None:
            envelope = next(iter(self._memory.envelopes(report.name).values()))
            taken = TakenBag(envelope, missing=self._memory.find_absent(envelope))
        return self._answers.write(taken, self._memory.logged(unit, source), out)

    def _remove_outdated(self, report: SetReport, out: Path) -> None:
        """Remove files that name what was lacking and is no more."""
        current = {lacking.file_name for lacking in report.lacking}
        for path in out.glob(f"missing-{report.batch}-*.txt"):
            if path.name not in current:
                path.unlink(missing_ok=True)


def _find(path: Path) -> list[Path]:
    try:
        found = find_media(path)
        if found and all(each.exists() for each in found):
            return found
        why = Text(zh="没有这个文件或目录", en="there is no such file or folder")
        if path.exists():
            why = Text(zh="其中没有载体", en="there is none in it")
    except OSError as err:
        why = words_of(err.strerror or err)
    raise MediumError(
        Text(zh=f"{path} 不是载体：{why.zh}", en=f"{path} is no medium of ours: {why.en}"),
        hint=Text(
            zh="给出光盘的挂载点、载体的目录、ISO 映像，或放着它们的目录",
            en="name the mount point of a disc, a medium's folder, an ISO image, or a folder with such in it",
        ),
    )


def _mend(root: Path, listing: Listing | None, damaged: list[FileDamage]) -> tuple[list[str], list[FileDamage], Text]:
    """Mend a copy where its bags are damaged; give the files that were mended, those still damaged, and why."""
    concerned = [found for found in damaged if found.path.startswith(f"{RECORDS}/")]
    if listing is not None and not concerned:
        return [], damaged, NOTHING
    reason = repair(root) or NOTHING
    if listing is None:
        return [], damaged, reason
    listed = {file.path: file for file in listing.files}
    mended = [found.path for found in concerned if check_copy(root, listed[found.path])]
    return mended, [found for found in damaged if found.path not in mended], reason


def _find_bags(root: Path) -> list[Path]:
    return sorted(path for path in (root / RECORDS).glob("*/*/*") if path.is_dir())


def _number_of(folder: Path, listing: Listing | None) -> MediumNumber | None:
    """Give the number of copy A of the volume that a bag's folder is named after."""
    try:
        return parse_number(f"{folder.name}-A")
    except EvidenceError:
        return listing.number.as_copy("A") if listing else None


def _work_name(path: Path, listing: Listing | None) -> str:
    if listing is not None:
        return f"{listing.set_id}-{listing.number}"
    # Not the path's own name: of `..` and `D:` that is another folder, which would be removed in the end.
    return sha256(os.fsencode(path.absolute())).hex()[:32]


def _set_of(listing: Listing) -> SetName:
    """Give the set that a list says its medium is of: nobody has signed that."""
    return SetName(listing.set_id, listing.unit, listing.source)


def _cannot_copy(path: Path, root: Path, size: int, err: TargetError) -> CenterError:
    if err.error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(root, size)
    return MediumError(
        Text(zh=f"{path} 在 {root} 中的副本写不了：{err}", en=f"the copy of {path} in {root} cannot be written: {err}"),
        hint=Text(
            zh="检查中心目录所在的磁盘，再读一次该载体",
            en="look at the disk of the center's folder, then read the medium again",
        ),
    )


def _full(root: Path, size: int) -> FullError:
    return FullError(
        Text(
            zh=f"{root} 所在的磁盘放不下这张载体的副本（{format_size(size)}）",
            en=f"the disk of {root} has no room for a copy of the medium ({format_size(size)})",
        ),
        hint=Text(zh="腾出空间后再读一次；已接收的不必重来", en="make room and read it again; what was taken in stays"),
    )
