# SPDX-License-Identifier: Apache-2.0
"""Write the volumes of one writing, one after another; each is read back before it counts as done.

    1. plan, number, and keep the note of the writing      4. name it `TO/<number>` or make `TO/<number>.iso`
    2. stage a volume in `TO/.<volume>.part`               5. read it back, note it as done
    3. dress it as a copy, make it durable

A kill, a full target, a medium that was pulled: what is done stays done, and the same command goes on with the next one.
What is half written lies under names that begin with a dot, and is removed when its turn comes again. Slips to print lie
beside the media. Nothing leaves the spool here. Source: decision 0070.
"""

import errno
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from agent.errors import MediumError
from agent.journal import JournalEntry
from agent.media.order import Order, WrittenMedium
from agent.media.readback import read_back
from agent.media.sets import MediaSets, WrittenSet, WrittenVolume
from agent.media.texts import Sheet, write_slip_html
from agent.media.volume import Load, Sender, Staged, copy_volume, dress, settle, stage_volume
from agent.media.volumes import Item, Room, needed_bytes, plan_volumes
from evidence.bag.write import make_bag_id
from evidence.disk import make_folder, sync_folder, write_over
from evidence.errors import EvidenceError
from evidence.medium.files import IMAGE_SUFFIX
from evidence.medium.number import MediumNumber, fonds_of
from terminal.language import Text
from terminal.printer import format_size

_FIXED_BYTES = 1 << 20
"""The verifier, texts, and what an image of no files takes, rounded up."""
_FIXED_FILES = 20
_ANEW = Text(
    zh="排除原因后再运行同一命令：从没有写完的那一卷继续",
    en="mend that and run the same command again: it goes on with the volume that was not done",
)


@dataclass(frozen=True, slots=True)
class Numbering:
    """What numbers of a writing begin with, and how long its receipt is awaited."""

    unit: str
    source: str
    kind: str
    wait: timedelta


def plan_set(
    sets: MediaSets, numbering: Numbering, items: Sequence[Item], entries: Sequence[JournalEntry], order: Order,
    now: datetime,
) -> WrittenSet:  # fmt: skip
    """Plan a writing of these packs and statements, and keep its note. Raises: MediumError."""
    volumes = plan_volumes(items, room_for(entries, order.volume_size, order.redundancy))
    fonds, year = fonds_of(numbering.unit), now.year
    batch = sets.next_batch(fonds, numbering.kind, year)
    numbered = [
        WrittenVolume(
            MediumNumber(fonds, numbering.kind, year, batch, place, len(volumes), "A"),
            tuple(item.name for item in volume),
        )
        for place, volume in enumerate(volumes, 1)
    ]
    written = WrittenSet(
        make_bag_id(), numbering.unit, numbering.source, now, now + numbering.wait,
        tuple(entry.digest for entry in entries), tuple(numbered), order.copies, order.volume_size, order.redundancy,
    )  # fmt: skip
    sets.keep(written)
    return written


def room_for(entries: Sequence[JournalEntry], capacity: int, redundancy: int) -> Room:
    """Give what a volume of such statements holds."""
    notes = sum(len(entry.note) for entry in entries)
    return Room(capacity, _FIXED_BYTES + 2 * notes, _FIXED_FILES + len(entries), redundancy)


def write_set(
    sets: MediaSets, load: Load, sender: Sender, order: Order, sealed: Callable[[int], None]
) -> tuple[WrittenSet, list[WrittenMedium]]:
    """Write what is not done yet of a writing; `sealed` is told of the bytes of each pack. Raises: MediumError."""
    written = load.written
    media: list[WrittenMedium] = []
    sheets: list[Sheet] = []
    for volume in written.volumes:
        todo = written.todo(volume)
        if not todo:
            continue
        try:
            made = _write_volume(volume, todo, load, sender, order, sealed, sheets)
            # Beside the media, for the printer: the slips of all that this run has written so far.
            write_over(order.to / f"{written.batch_name}-slips.html", write_slip_html(sheets))
        except OSError as err:
            raise _cannot_write(order.to, volume.number, err) from err
        except EvidenceError as err:
            raise MediumError(
                Text(
                    zh=f"{volume.number.volume_name} 没有写成：{err}",
                    en=f"{volume.number.volume_name} was not written: {err}",
                ),
                hint=Text(
                    zh="发件箱中的数据包已损坏：运行 `jinsuo-agent media write SOURCE --all`",
                    en="a pack of the spool is damaged: run `jinsuo-agent media write SOURCE --all`",
                ),
            ) from err
        media += made
        written = sets.mark_done(written, [medium.number for medium in made])
    return written, media


def check_target(order: Order, written: WrittenSet, items: Mapping[str, Item], entries: Sequence[JournalEntry]) -> None:
    """Raises: MediumError unless the target has room for what is to be written, as far as its disk tells."""
    room = room_for(entries, written.capacity, written.redundancy)
    total = most = 0
    for volume in written.volumes:
        todo = written.todo(volume)
        if todo:
            size = needed_bytes([items[name] for name in volume.packs], room)
            total += size * len(todo)
            most = max(most, size)
    needed = total + (most if order.image else 0)
    try:
        make_folder(order.to)
        free = shutil.disk_usage(order.to).free
    except OSError as err:
        raise _cannot_write(order.to, written.volumes[0].number, err) from err
    if free < needed:
        raise MediumError(
            Text(
                zh=f"{order.to} 剩余 {format_size(free)}，需要 {format_size(needed)}",
                en=f"{order.to} has {format_size(free)} free, {format_size(needed)} are needed",
            ),
            hint=Text(
                zh="腾出空间，或少写几套（--copies），或换一个目标；没有写任何内容",
                en="make room, write fewer copies, or name another target; nothing was written",
            ),
        )


def _write_volume(
    volume: WrittenVolume, todo: Sequence[MediumNumber], load: Load, sender: Sender, order: Order,
    sealed: Callable[[int], None], sheets: list[Sheet],
) -> list[WrittenMedium]:  # fmt: skip
    part = order.to / f".{volume.number.volume_name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        staged = stage_volume(part, volume, load, sender, sealed)
        made = []
        for place, number in enumerate(todo, 1):
            is_last = place == len(todo)
            make = _make_image if order.image else _make_folder
            path, sheet = make(staged, number, load, order, is_last)
            listing = read_back(path, number)
            size = path.stat().st_size if order.image else sum(file.size for file in listing.files)
            made.append(WrittenMedium(number, path, len(volume.packs), size))
            sheets.append(sheet)
        return made
    finally:
        with suppress(OSError):
            shutil.rmtree(part)


def _make_image(staged: Staged, number: MediumNumber, load: Load, order: Order, is_last: bool) -> tuple[Path, Sheet]:
    from agent.media.image import write_image  # only who makes images needs the library

    size, sheet = dress(staged, staged.root, number, load)
    _check_size(size, load, number)
    image = order.to / f"{number}{IMAGE_SUFFIX}"
    write_image(staged.root, image, number, load.written.written)
    _check_size(image.stat().st_size, load, number)
    if is_last:
        shutil.rmtree(staged.root)
    return image, sheet


def _make_folder(staged: Staged, number: MediumNumber, load: Load, order: Order, is_last: bool) -> tuple[Path, Sheet]:
    folder = order.to / str(number)
    root = staged.root
    if not is_last:
        root = order.to / f".{number}.part"
        shutil.rmtree(root, ignore_errors=True)
        copy_volume(staged, root)
    size, sheet = dress(staged, root, number, load)
    _check_size(size, load, number)
    settle(root)
    # What stands there under this number was written and did not read back, or was never noted as done.
    shutil.rmtree(folder, ignore_errors=True)
    root.rename(folder)
    sync_folder(order.to)
    return folder, sheet


def _check_size(size: int, load: Load, number: MediumNumber) -> None:
    if size > load.written.capacity:
        raise MediumError(
            Text(
                zh=f"{number} 有 {format_size(size)}，超过每卷 {format_size(load.written.capacity)}",
                en=f"{number} has {format_size(size)}, more than a volume's {format_size(load.written.capacity)}",
            ),
            hint=Text(zh="用更大的 --volume-size", en="name a larger --volume-size"),
        )


def _cannot_write(to: Path, number: MediumNumber, err: OSError) -> MediumError:
    full = err.errno in (errno.ENOSPC, errno.EDQUOT)
    return MediumError(
        Text(
            zh=f"{number.volume_name} 写不到 {to}：{'目标已满' if full else err.strerror or err}",
            en=f"{number.volume_name} cannot be written to {to}: {'it is full' if full else err.strerror or err}",
        ),
        hint=_ANEW,
    )
